"""Statements by themselves: read and verified by others' programs."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]  # exported unsaid
from sigstore_models.bundle.v1 import Bundle

from attest import entry
from tests.verify.conftest import run
from tests.verify.exported import export
from tests.verify.hostile_texts import hostile_book

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book


def public_key(shapes: Any) -> SSlibKey:
    key = load_pem_public_key(shapes.KEY.public.pem())
    assert isinstance(key, Ed25519PublicKey)
    return SSlibKey.from_crypto(key, keyid=shapes.KEY.public.fingerprint())


def attested(book: Book) -> list[dict[str, Any]]:
    """Return the envelopes of a book."""
    bodies = [json.loads(body) for body in book.bodies]
    return [body["data"] for body in bodies if body["kind"] == entry.ATTESTATION]


def test_envelopes_are_those_of_the_ledger_and_others_verify_them(bench: Bench, shapes: Any) -> None:
    book = hostile_book()
    lines = export(bench, book, "dsse").splitlines()
    assert [json.loads(line) for line in lines] == attested(book)
    for line in lines:
        envelope = Envelope.from_dict(json.loads(line))
        assert envelope.verify([public_key(shapes)], 1)
        statement = json.loads(envelope.payload)
        assert statement["predicateType"] == "urn:nono-attest:launch:v1"
        assert statement["predicate"]["origin"] == book.origin


def test_bundles_are_those_of_sigstore(bench: Bench, book: Book, shapes: Any) -> None:
    lines = export(bench, book, "sigstore").splitlines()
    assert len(lines) == 3
    for line, envelope in zip(lines, attested(book), strict=True):
        bundle = Bundle.from_json(line)
        assert bundle.media_type == "application/vnd.dev.sigstore.bundle.v0.3+json"
        assert bundle.verification_material.public_key is not None
        assert bundle.verification_material.public_key.hint == shapes.KEY.public.fingerprint()
        assert bundle.dsse_envelope is not None
        assert bundle.dsse_envelope.payload_type == envelope["payloadType"]
        document = json.loads(line)
        assert document["dsseEnvelope"] == envelope
        assert json.loads(base64.b64decode(envelope["payload"]))["_type"].startswith("https://in-toto.io/")


def test_after_a_handover_the_hint_is_the_new_key(bench: Bench, book: Book, shapes: Any) -> None:
    book.hand_over(shapes.SUCCESSOR)
    session = book.launch()
    (line,) = export(bench, book, "sigstore", "--session", session).splitlines()
    hint = json.loads(line)["verificationMaterial"]["publicKey"]["hint"]
    assert hint == shapes.SUCCESSOR.public.fingerprint()


@pytest.mark.parametrize("form", ["dsse", "sigstore"])
def test_what_cannot_be_marked_is_never_exported_unverified(bench: Bench, book: Book, form: str) -> None:
    path = bench.write(book)
    for flag in ("--unsafe-export-unverified", "--with-proofs"):
        status, text = run(["export", path, "-k", bench.path("key.pub"), "--to", form, flag])
        assert (status, text.startswith(f"not checked: {flag}: ")) == (2, True)
    status, text = run(["export", path, "--to", form])
    assert status == 3
    assert "  exported: nothing\n  hint: no record of this format could say so" in text


@pytest.mark.parametrize("form", ["dsse", "sigstore"])
def test_what_is_not_met_is_not_exported_where_nothing_could_say_so(
    bench: Bench, book: Book, shapes: Any, form: str
) -> None:
    """A launch without an end, of which the statements about the others say nothing."""
    book.add(entry.INTENT, book.new_session(), shapes.INTENT)
    path, out = bench.write(book), bench.path("x")
    asked = ["export", path, "-k", bench.path("key.pub"), "--to", form]
    for where in (["--out", out], []):
        status, text = run([*asked, *where])
        assert status == 3
        assert text.startswith("intact, not met: ")
        assert (
            "  exported: nothing\n  hint: no record of this format could say so; those of others do: json"
            in text
        )
        assert "payload" not in text
    assert not os.path.lexists(out)
