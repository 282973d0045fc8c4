"""The signed statements about launches by themselves: one a launch, one a line.

As DSSE v1 envelopes, and as Sigstore bundles v0.3 whose verification material is the fingerprint of the key
(``verificationMaterial.publicKey.hint``). Both are the envelope that the ledger holds, to the byte of its
payload; where the launch stands in the ledger is said by the statement's predicate (``origin``, ``first``,
``last``, ``root`` over its entries), and is signed. A launch without an attestation has none.

Nothing in them says what the verification found, and nothing could be added that readers would heed. So
they are made of a ledger of which everything is met, or not at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from attest import entry
from verify.exports.format import Format
from verify.exports.plain import document_json

if TYPE_CHECKING:
    from verify.exports.records import Record

MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json"


class DsseEnvelopes(Format):
    """DSSE envelopes."""

    CAN_BE_MARKED = False

    def add(self, record: Record) -> bytes:
        """Return the line of an attestation; nothing for what is none."""
        document = record.document
        if document is None or document["kind"] != entry.ATTESTATION:
            return b""
        return document_json(self._document(document["data"])) + b"\n"

    def _document(self, envelope: dict[str, Any]) -> dict[str, Any]:
        return envelope


class SigstoreBundles(DsseEnvelopes):
    """Sigstore bundles v0.3."""

    def _document(self, envelope: dict[str, Any]) -> dict[str, Any]:
        (signature,) = envelope["signatures"]
        return {
            "mediaType": MEDIA_TYPE,
            # No entry of a Sigstore log: some readers want to be told.
            "verificationMaterial": {"publicKey": {"hint": signature["keyid"]}, "tlogEntries": []},
            "dsseEnvelope": envelope,
        }
