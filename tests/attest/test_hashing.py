"""SHA-256, by each library that can be there: the vectors of FIPS 180-4, and each against the other."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attest import hashing

if TYPE_CHECKING:
    from types import ModuleType

# NIST, "Cryptographic Standards and Guidelines: Example Values", SHA-256: one block, and two.
VECTORS = {
    b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
    b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    b"": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
}


def chosen(*, loaded: bool, signs: bool) -> ModuleType:
    """Return the module as it is where hashlib is loaded, and where there is a library that signs."""
    assert hashing.__spec__ is not None
    spec = importlib.util.spec_from_file_location("hashing_again", hashing.__spec__.origin)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        if not loaded:
            patch.delitem(sys.modules, "hashlib")
        if not signs:
            patch.setitem(sys.modules, "cryptography.hazmat.primitives.hashes", None)
        spec.loader.exec_module(module)
    return module


MODULES = [
    chosen(loaded=True, signs=True), chosen(loaded=False, signs=True), chosen(loaded=False, signs=False)
]  # fmt: skip
IDS = ["loaded", "signing", "alone"]


def test_each_has_its_library() -> None:
    """A test of all of them is one of little where they are the same."""
    libraries = [type(module.running()).__module__.partition(".")[0] for module in MODULES]
    assert libraries == ["_hashlib", "cryptography", "_hashlib"]


@pytest.mark.parametrize("module", MODULES, ids=IDS)
@pytest.mark.parametrize(("data", "digest"), VECTORS.items())
def test_the_vectors(module: Any, data: bytes, digest: str) -> None:
    assert module.hexdigest(data) == digest
    assert module.digest(memoryview(data)).hex() == digest


@pytest.mark.parametrize("module", MODULES, ids=IDS)
@given(parts=st.lists(st.binary(max_size=200), max_size=6), begun=st.binary(max_size=80))
def test_a_running_hash_is_that_of_all_that_it_took(module: Any, parts: list[bytes], begun: bytes) -> None:
    whole = module.running(begun)
    for part in parts:
        whole.update(memoryview(part))
    other = whole.copy()
    other.update(b"more")
    assert module.finish(whole) == hashlib.sha256(begun + b"".join(parts)).digest()
    assert module.finish(other) == hashlib.sha256(begun + b"".join(parts) + b"more").digest()
