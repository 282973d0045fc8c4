"""Envelopes: DSSE v1 (secure-systems-lab/dsse) around an in-toto statement, one signature.

The pre-authentication encoding is ``"DSSEv1" SP len(type) SP type SP len(body) SP body``. After a
verification the payload is the one that was verified, and is taken from nowhere else.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from attest import canonical
from attest.errors import MalformedError, SignatureError

if TYPE_CHECKING:
    from attest.canonical import Json
    from attest.keys import PublicKey, SigningKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"


def pae(payload: bytes) -> bytes:
    """Return the pre-authentication encoding of a payload of :data:`PAYLOAD_TYPE`."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def sign(payload: bytes, key: SigningKey) -> dict[str, Json]:
    """Return the envelope of ``payload``, signed; the key id is the key's fingerprint."""
    return {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {"keyid": key.public.fingerprint(), "sig": base64.b64encode(key.sign(pae(payload))).decode()}
        ],
    }


def verify(envelope: dict[str, Json], key: PublicKey, expected: bytes | None = None) -> bytes:
    """Return the payload of an envelope that ``key`` signed.

    Args:
        envelope: the envelope.
        key: whose it must be.
        expected: what the payload likely is, which spares decoding it, and changes nothing else.

    Raises:
        MalformedError: not an envelope of one signature in the one form.
        SignatureError: another key's, or it does not hold.
    """
    if envelope.keys() != {"payload", "payloadType", "signatures"} or envelope["payloadType"] != PAYLOAD_TYPE:
        raise MalformedError("not an envelope of an in-toto statement")
    signatures = envelope["signatures"]
    if not isinstance(signatures, list) or len(signatures) != 1:
        raise MalformedError("an envelope has exactly one signature")
    signature = signatures[0]
    if not isinstance(signature, dict) or signature.keys() != {"keyid", "sig"}:
        raise MalformedError("not a signature of an envelope")
    if signature["keyid"] != key.fingerprint():
        raise SignatureError("signed by another key than the one in force", code="signature.unknown_key")
    payload = expected
    if payload is None or base64.b64encode(payload).decode() != envelope["payload"]:
        payload = canonical.decode_base64(envelope["payload"])
    key.verify(canonical.decode_base64(signature["sig"]), pae(payload))
    return payload
