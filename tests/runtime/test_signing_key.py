"""The ledger's key: each form of a reference, and what must be true before it is used."""

from __future__ import annotations

import base64
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa

from attest.keys import SigningKey
from runtime.errors import SigningKeyError
from runtime.secrets import signing_key

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

KEY = SigningKey(b"\x05" * 32)
DER = serialization.load_pem_private_key(KEY.pem(), None).private_bytes(
    serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
IS_ROOT = os.geteuid() == 0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "key.pem"
    path.write_bytes(KEY.pem())
    path.chmod(0o600)
    return path


def refused(reference: str) -> SigningKeyError:
    with pytest.raises(SigningKeyError) as caught:
        signing_key.resolve(reference)
    assert caught.value.exit_status == 125
    return caught.value


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_file(file: Path, prefix: str) -> None:
    resolved = signing_key.resolve(f"{prefix}{file}")
    assert resolved.key.public == KEY.public
    assert resolved.files == (os.fsencode(file),)
    assert resolved.variables == ()
    status = file.stat()
    assert resolved.identity == (status.st_dev, status.st_ino)


def test_a_relative_path_and_a_link_are_kept_under_each_name(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What must be kept from the command is the link as well as the file that it leads to."""
    monkeypatch.chdir(file.parent)
    (file.parent / "link").symlink_to("key.pem")
    resolved = signing_key.resolve("link")
    assert set(resolved.files) == {os.fsencode(file), os.fsencode(file.parent / "link")}


def test_the_key_itself() -> None:
    text = base64.b64encode(DER).decode()
    assert signing_key.is_inline(text)
    assert signing_key.file_of(text) is None
    resolved = signing_key.resolve(text)
    assert resolved.key.public == KEY.public
    assert (resolved.files, resolved.variables, resolved.identity) == ((), (), None)


@pytest.mark.parametrize("form", ["pem", "base64", "base64 and a newline"])
def test_a_variable_is_used_and_forgotten(monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    text = KEY.pem().decode() if form == "pem" else base64.b64encode(DER).decode()
    monkeypatch.setenv("TEST_KEY", text + "\n" * form.endswith("newline"))
    resolved = signing_key.resolve("env://TEST_KEY")
    assert resolved.key.public == KEY.public
    assert resolved.variables == (b"TEST_KEY",)
    assert "TEST_KEY" not in os.environ


@pytest.mark.parametrize("reference", ["env://", "env://NO_SUCH_VARIABLE_IS_SET", "env://a=b"])
def test_a_variable_that_is_not_set(reference: str) -> None:
    assert refused(reference).code == "key.variable"


def test_a_variable_that_holds_no_key_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_KEY", "no key")
    assert "TEST_KEY" in str(refused("env://TEST_KEY"))
    assert "no key" not in str(refused("env://TEST_KEY"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o620])
def test_a_file_that_others_can_open(file: Path, mode: int) -> None:
    file.chmod(mode)
    error = refused(str(file))
    assert error.code == "key.mode"
    assert f"{mode:04o}" in str(error)
    assert error.hint == f"chmod 600 {file}"


def test_a_public_half_is_called_that_whatever_its_mode(tmp_path: Path) -> None:
    (tmp_path / "key.pub").write_bytes(KEY.public.pem())
    (tmp_path / "key.pub").chmod(0o644)
    error = refused(str(tmp_path / "key.pub"))
    assert (error.code, "it is a public key; its private half is wanted" in str(error)) == ("key.type", True)


@pytest.mark.parametrize("reference", ["foo://x", "http://host/key.pem", "ENV://KEY"])
def test_an_unknown_scheme_is_no_path(reference: str) -> None:
    error = refused(reference)
    assert error.code == "key.scheme"
    assert "env://NAME" in (error.hint or "")
    with pytest.raises(SigningKeyError):
        signing_key.file_of(reference)


@pytest.mark.parametrize("value", ["", " \n"])
def test_a_variable_that_is_empty_is_called_that(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("TEST_KEY", value)
    error = refused("env://TEST_KEY")
    assert (error.code, str(error)) == ("key.variable", "the variable of the signing key is empty: TEST_KEY")


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    (tmp_path / "loop").symlink_to("loop")
    began = time.monotonic()
    assert refused(str(tmp_path / "fifo")).code == "key.not_regular"
    assert refused(str(tmp_path)).code == "key.not_regular"
    assert refused("/dev/zero").code == "key.not_regular"
    assert refused(str(tmp_path / "loop")).code == "key.unreadable"
    assert time.monotonic() - began < 5
    missing = refused(str(tmp_path / "missing"))
    assert (missing.code, missing.hint) == ("key.unreadable", "make one with: nono keygen --out FILE")


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_file_of_another_user(file: Path) -> None:
    os.chown(file, 65534, -1)
    assert refused(str(file)).code == "key.owner"


@pytest.mark.skipif(IS_ROOT, reason="root reads everything")
def test_a_file_that_cannot_be_read(file: Path) -> None:
    file.chmod(0)
    assert refused(str(file)).code == "key.unreadable"


@pytest.mark.parametrize("size", [16_384, 16_385, 1 << 20])
def test_a_file_that_is_too_large_is_not_read_whole(file: Path, size: int) -> None:
    file.write_bytes(KEY.pem().ljust(size, b"\n"))
    if size <= signing_key.MAX_BYTES:
        assert signing_key.resolve(str(file)).key.public == KEY.public
    else:
        assert refused(str(file)).code == "key.size"


OTHER_KEYS: dict[str, PrivateKeyTypes] = {
    "RSA": rsa.generate_private_key(65_537, 2_048),
    "P-256": ec.generate_private_key(ec.SECP256R1()),
    "Ed448": ed448.Ed448PrivateKey.generate(),
}


@pytest.mark.parametrize("kind", OTHER_KEYS)
def test_a_key_of_another_type(file: Path, kind: str) -> None:
    file.write_bytes(
        OTHER_KEYS[kind].private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    assert refused(str(file)).code == "key.type"


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"text",
        b"-----BEGIN PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAUF\n-----END PRIVATE KEY-----\n",
        KEY.public.pem(),
        base64.b64encode(DER)[:-1],
        base64.b64encode(DER[:-1]),
        base64.b64encode(DER + b"\0"),
        b"\xff" * 64,
    ],
)
def test_what_is_no_private_key(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    error = refused(str(file))
    assert str(file) in str(error)
    assert str(error).isprintable()


def test_an_encrypted_key_without_anybody_to_ask(file: Path) -> None:
    key = serialization.load_pem_private_key(KEY.pem(), None)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert refused(str(file)).code == "key.encrypted"


def test_where_the_halves_lie() -> None:
    assert signing_key.default_path(b"/c/nono") == b"/c/nono/keys/default.pem"
    assert signing_key.public_half(b"/k/a.pem") == b"/k/a.pub"
    assert signing_key.public_half(b"/k/a") == b"/k/a.pub"
    assert signing_key.public_half(b"/k/a.pem.pem") == b"/k/a.pem.pub"


def test_the_host_key_is_made_once(tmp_path: Path) -> None:
    config = os.fsencode(tmp_path / "config")
    said: list[str] = []
    first = signing_key.host_key(config, notify=said.append)
    again = signing_key.host_key(config, notify=said.append)
    assert first.key.public == again.key.public
    assert len(said) == 1
    assert first.key.public.fingerprint()[:16] in said[0]
    path = Path(os.fsdecode(signing_key.default_path(config)))
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(path.parent)) == ["default.pem", "default.pub"]
    assert os.listdir(tmp_path / "config" / "trust") == [f"{first.key.public.fingerprint()}.pub"]


def test_a_host_key_whose_public_half_was_never_written_gets_one(tmp_path: Path) -> None:
    config = os.fsencode(tmp_path / "config")
    made = signing_key.host_key(config)
    public = Path(os.fsdecode(signing_key.public_half(signing_key.default_path(config))))
    content = public.read_bytes()
    public.unlink()
    assert signing_key.host_key(config).key.public == made.key.public
    assert public.read_bytes() == content
