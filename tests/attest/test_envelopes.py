"""DSSE envelopes against securesystemslib, both ways, and in-toto statements."""

from __future__ import annotations

import copy
from typing import Any
from urllib.parse import quote

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey  # type: ignore[attr-defined]  # exported unsaid

from attest import canonical, envelope
from attest.errors import MalformedError, NonoError, SignatureError
from attest.keys import DSSE_DOMAIN, SigningKey
from attest.statement import _percent_encoded

SEED = bytes(range(32))
KEY = SigningKey(SEED)
THEIR_PRIVATE = Ed25519PrivateKey.from_private_bytes(SEED)
THEIR_KEY = SSlibKey.from_crypto(THEIR_PRIVATE.public_key(), keyid=KEY.public.fingerprint())


@given(st.binary(max_size=200))
def test_securesystemslib_verifies_ours(payload: bytes) -> None:
    theirs = Envelope.from_dict(copy.deepcopy(envelope.sign(payload, KEY)))
    assert theirs.payload == payload
    assert theirs.pae() == envelope.pae(payload)
    assert list(theirs.verify([THEIR_KEY], 1)) == [KEY.public.fingerprint()]


@given(st.binary(max_size=200))
def test_ours_verifies_that_of_securesystemslib(payload: bytes) -> None:
    theirs = Envelope(payload, envelope.PAYLOAD_TYPE, {})
    theirs.sign(CryptoSigner(THEIR_PRIVATE, THEIR_KEY))
    document = theirs.to_dict()
    assert envelope.verify(document, KEY.public) == payload
    assert document == envelope.sign(payload, KEY), "Ed25519 is deterministic and the form is one"


def test_both_refuse_what_was_changed() -> None:
    document: dict[str, Any] = envelope.sign(b'{"exit":0}', KEY)
    document["payload"] = envelope.sign(b'{"exit":1}', KEY)["payload"]
    with pytest.raises(VerificationError):
        Envelope.from_dict(copy.deepcopy(document)).verify([THEIR_KEY], 1)
    with pytest.raises(SignatureError):
        envelope.verify(document, KEY.public)


def test_pre_authentication_encoding_of_the_specification(monkeypatch: pytest.MonkeyPatch) -> None:
    # DSSE, protocol.md: the one example has a type of its own.
    monkeypatch.setattr(envelope, "PAYLOAD_TYPE", "http://example.com/HelloWorld")
    assert envelope.pae(b"hello world") == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@pytest.mark.parametrize("payload", [b"", b" ", b"\x00\xff\n", "é".encode(), b"x" * 100_000])
def test_lengths_in_the_encoding_are_bytes(payload: bytes) -> None:
    theirs = Envelope(payload, envelope.PAYLOAD_TYPE, {})
    assert envelope.pae(payload) == theirs.pae()
    assert envelope.pae(payload).startswith(DSSE_DOMAIN)


JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [
        None,
        True,
        0,
        -1,
        "",
        "x",
        "AA==",
        [],
        {},
        [[]],
        [{}],
        {"keyid": "", "sig": ""},
        [{"keyid": [], "sig": {}}],
    ]
)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_envelope_is_an_error_of_ours(data: st.DataObject) -> None:
    document: dict[str, Any] = copy.deepcopy(envelope.sign(b"{}", KEY))
    intact = copy.deepcopy(document)
    target = data.draw(st.sampled_from([document, document["signatures"][0]]))
    member = data.draw(st.sampled_from([*target, "extra"]))
    if member in target and data.draw(st.booleans()):
        del target[member]
    else:
        target[member] = data.draw(JUNK)
    if document != intact:
        with pytest.raises((MalformedError, SignatureError)):
            envelope.verify(document, KEY.public)


def test_every_flipped_bit_of_an_envelope_is_refused() -> None:
    body = canonical.encode(envelope.sign(b'{"a":1}', KEY))
    assert envelope.verify(canonical.decode_object(body), KEY.public) == b'{"a":1}'
    for at in range(len(body)):
        for bit in range(8):
            changed = bytearray(body)
            changed[at] ^= 1 << bit
            with pytest.raises(NonoError):
                envelope.verify(canonical.decode_object(bytes(changed)), KEY.public)


@given(st.binary(max_size=40))
def test_a_path_in_a_uri_is_written_as_urllib_writes_it(path: bytes) -> None:
    assert _percent_encoded(path) == quote(path, safe="/")
