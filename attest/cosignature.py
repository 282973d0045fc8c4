r"""Cosignatures: what a witness says of a checkpoint (C2SP tlog-cosignature v1, Ed25519, type 0x04).

A witness signs ``cosignature/v1\ntime <seconds>\n`` and the note text of a checkpoint: at that time this was
the largest consistent tree head of that log that it had seen. Its signature line in the note carries
``key id ‖ time (8 bytes, big endian) ‖ signature``.

The message does not name the witness, so one key must never count under two names. A witness's key is
another key than any ledger's: the types make their ids differ, and a ledger key signs no such message.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from attest import note
from attest.errors import MalformedError, SignatureError
from attest.keys import SIGNATURE_BYTES, PublicKey
from attest.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.note import Note

COSIGNATURE = b"\x04"
MAX_TIME = 2**63 - 1
"""The latest time that a cosignature can have, in seconds."""

_TIME_BYTES = 8


@dataclass(frozen=True, slots=True)
class Witness:
    """A witness's key under its name.

    Attributes:
        name: non-empty, without Unicode spaces and without ``+``.
        key: its public key.
    """

    name: str
    key: PublicKey

    def __post_init__(self) -> None:
        if not note.is_key_name(self.name):
            raise MalformedError("a key name is not empty and has neither spaces nor '+'")

    def key_id(self) -> bytes:
        """Return the four bytes that stand before this witness's cosignatures."""
        return note.key_id(self.name, COSIGNATURE, self.key)

    def vkey(self) -> str:
        """Return the verifier key, ``name+hex(key id)+base64(0x04 ‖ public key)``."""
        return note.encode_vkey(self.name, COSIGNATURE, self.key)

    @classmethod
    def from_vkey(cls, vkey: str) -> Witness:
        """Read a witness's verifier key.

        Raises:
            MalformedError: not of that form, not of type 0x04, or a key id that is not this key's.
            KeyFormatError: the key itself must not be used.
        """
        return cls(*note.decode_vkey(vkey, COSIGNATURE))

    def verify(self, signature: bytes, text: str) -> int:
        """Check one cosignature and return its time.

        Args:
            signature: time and signature, 72 bytes, as they stand behind the key id.
            text: the note text of the checkpoint, whole.

        Returns:
            seconds since 1970. It is the witness's word; whether it is too old or lies in the future is
            for the caller to say.

        Raises:
            SignatureError: it is not this witness's cosignature of that text.
        """
        if len(signature) != _TIME_BYTES + SIGNATURE_BYTES:
            raise SignatureError("a cosignature of no possible length")
        seconds = int.from_bytes(signature[:_TIME_BYTES], "big")
        if seconds > MAX_TIME:
            raise SignatureError("a cosignature of no possible time")
        self.key.verify(signature[_TIME_BYTES:], message(seconds, text))
        return seconds


class Cosignature(NamedTuple):
    """That a witness saw a checkpoint.

    Attributes:
        witness: which one.
        time: when, in seconds since 1970, by its own clock.
    """

    witness: Witness
    time: int


def message(seconds: int, text: str) -> bytes:
    """Return what a witness signs at a time over a checkpoint's note text."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def verify(cosigned: Note, witnesses: Sequence[Witness]) -> tuple[Cosignature, ...]:
    """Return the cosignatures of known witnesses under a note, one a witness, in the order of the lines.

    A witness that cosigned more than once counts once, with its latest time. None at all is no error: how
    many are needed is for a policy to say.

    Raises:
        SignatureError: a known witness's cosignature does not hold; or two of the witnesses share their
            key, or name and key id, so that one could count for two (``signature.ambiguous``).
    """
    known = {(witness.name, witness.key_id()): witness for witness in witnesses}
    distinct = set(witnesses)
    if len(known) != len(distinct) or len({witness.key for witness in distinct}) != len(distinct):
        raise SignatureError("two witnesses with one key, or one name and key id", code="signature.ambiguous")
    times: dict[Witness, int] = {}
    for line in cosigned.signatures:
        witness = known.get((line.name, line.key_id))
        if witness is not None:
            seconds = witness.verify(line.signature, cosigned.text)
            times[witness] = max(seconds, times.get(witness, 0))
    return tuple(Cosignature(witness, seconds) for witness, seconds in times.items())
