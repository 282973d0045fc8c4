"""Entries, origins and blobs: sizes, shapes and what is not theirs."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import canonical, entry, origin
from attest.blob import SALT_BYTES, Blob, is_reference
from attest.entry import Entry
from attest.errors import MalformedError

TIME = "2026-03-01T12:00:00.000000Z"
PLAIN = Entry(entry.LOST, "0" * 32, 1, TIME, {"found": "lock-free"})
SPKI = bytes.fromhex("302a300506032b6570032100") + bytes(range(32))
NAMES = st.text("abcxyz0189./_-", min_size=1, max_size=100)


def filled(size: int) -> Entry:
    """Return an entry whose canonical form has ``size`` bytes."""
    room = size - len(PLAIN.encode()) - len(',"x":""')
    return Entry(PLAIN.kind, PLAIN.session, PLAIN.seq, PLAIN.time, {"found": "lock-free", "x": "x" * room})


def test_an_entry_has_at_most_65535_bytes() -> None:
    largest = filled(65_535).encode()
    assert len(largest) == entry.MAX_BYTES
    assert entry.parse(largest).encode() == largest
    with pytest.raises(MalformedError) as caught:
        filled(65_536).encode()
    assert caught.value.code == "entry.too_large"


def test_what_is_too_large_is_not_even_parsed() -> None:
    with pytest.raises(MalformedError) as caught:
        entry.parse(b"{" * 65_536)
    assert caught.value.code == "entry.too_large"


def test_a_size_is_counted_in_bytes() -> None:
    wide = Entry(PLAIN.kind, None, 0, TIME, {"x": "é" * 32_767})
    with pytest.raises(MalformedError):
        wide.encode()


@settings(max_examples=200)
@given(st.data())
def test_a_changed_entry_is_another_entry_or_malformed(data: st.DataObject) -> None:
    body = bytearray(PLAIN.encode())
    at = data.draw(st.integers(0, len(body) - 1))
    body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    try:
        parsed = entry.parse(bytes(body))
    except MalformedError:
        return
    assert parsed.encode() == bytes(body)
    assert (parsed == PLAIN) is (bytes(body) == PLAIN.encode())


@given(NAMES, st.binary(min_size=32, max_size=32))
def test_an_origin_is_its_definition(name: str, nonce: bytes) -> None:
    expected = hashlib.sha256(b"nono-ledger-v1" + b"\0" + SPKI + nonce).digest()[:16].hex()
    made = origin.derive(name, SPKI, nonce)
    assert made == f"{name}/{expected}"
    assert origin.split(made) == (name, expected)


@pytest.mark.parametrize(
    "name", ["", "a" * 101, "A", "a b", "a+b", "é", "a\n", "a\0", "\u017f", "\ud800"], ids=ascii
)
def test_a_name_outside_its_alphabet_is_refused(name: str) -> None:
    with pytest.raises(MalformedError):
        origin.derive(name, SPKI, bytes(32))
    with pytest.raises(MalformedError):
        origin.split(f"{name}/{'0' * 32}")


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_nonce_has_32_bytes(length: int) -> None:
    with pytest.raises(MalformedError):
        origin.derive("a", SPKI, bytes(length))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "a",
        "a/",
        "/" + "0" * 32,
        "a/" + "0" * 31,
        "a/" + "0" * 33,
        "a/" + "g" * 32,
        "a/" + "A" * 32,
        "a/" + "0" * 32 + "\n",
        "a/" + "\u0660" * 32,
        "0" * 32,
    ],
    ids=ascii,
)
def test_another_form_is_no_origin(text: str) -> None:
    with pytest.raises(MalformedError):
        origin.split(text)


def test_another_key_or_nonce_is_another_ledger() -> None:
    made = {
        origin.derive("a", SPKI, bytes(32)),
        origin.derive("a", SPKI[:-1] + b"\0", bytes(32)),
        origin.derive("a", SPKI, bytes(31) + b"\1"),
    }
    assert len(made) == 3


def test_a_blob_is_the_one_that_its_entry_names() -> None:
    salt, data = bytes(range(32)), b'["x"]'
    blob = Blob(salt, data)
    reference = blob.reference()
    assert reference == {"blob": {"sha256": hashlib.sha256(salt + data).hexdigest(), "size": 5}}
    assert is_reference(reference)
    assert blob.value(reference) == ["x"]


@pytest.mark.parametrize(
    ("salt", "data"),
    [
        (bytes(32), b'["y"]'),
        (bytes(31) + b"\1", b'["x"]'),
        (bytes(31), b'["x"]'),
        (bytes(31), b'\0["x"]'),
        (bytes(33), b'["x"]'),
        (bytes(32) + b"[", b'"x"]'),
    ],
    ids=["data", "salt", "short salt", "border moved left", "long salt", "border moved right"],
)
def test_another_blob_is_refused(salt: bytes, data: bytes) -> None:
    reference = Blob(bytes(SALT_BYTES), b'["x"]').reference()
    with pytest.raises(MalformedError) as caught:
        Blob(salt, data).value(reference)
    assert caught.value.code == "blob.digest"


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_salt_has_32_bytes_whatever_the_digest_says(length: int) -> None:
    """Else the border between salt and data could move, and one digest would name two values."""
    blob = Blob(bytes(length), b'["x"]')
    with pytest.raises(MalformedError):
        blob.value(blob.reference())


def test_a_salt_hides_what_the_data_was() -> None:
    assert Blob(bytes(32), b"[]").digest() != Blob(bytes(31) + b"\1", b"[]").digest()


@pytest.mark.parametrize("data", [b"[ ]", b"{}{}", b"", b"[1.0]", b"\xff"])
def test_a_blob_holds_canonical_json(data: bytes) -> None:
    blob = Blob(bytes(32), data)
    with pytest.raises(MalformedError) as caught:
        blob.value(blob.reference())
    assert caught.value.code == "form.malformed"


@pytest.mark.parametrize("value", [None, "blob", [], {}, {"blob": 1, "x": 1}, {"base64": ""}])
def test_what_is_no_reference(value: Any) -> None:
    assert not is_reference(canonical.decode(canonical.encode(value)))
