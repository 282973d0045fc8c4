r"""Checkpoints: signed tree heads (C2SP tlog-checkpoint) in the strict form that a ledger keeps.

The note text is ``origin\nsize\nbase64(root)\n`` without extension lines; the key name is the origin.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from attest import canonical, note
from attest.errors import MalformedError, SignatureError
from attest.named_tuples import NamedTuple
from attest.tree import HASH_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.keys import PublicKey, SigningKey

MAX_SIZE = 2**53 - 1


class Checkpoint(NamedTuple):
    """A tree head.

    Attributes:
        origin: the ledger.
        size: number of entries, below 2**53.
        root: 32 bytes, the root over them.
    """

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """Return the note text."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    def sign(self, keys: Sequence[SigningKey]) -> str:
        """Return the signed note, one signature of each key in that order, each under the origin."""
        return note.sign(self.text(), [(self.origin, key) for key in keys])


def parse_text(text: str) -> Checkpoint:
    """Read a note text that is exactly origin, size and root.

    Raises:
        MalformedError: extension lines, a size with leading zeros, a root that is no hash.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not lines[0]:
        raise MalformedError("not a checkpoint: origin, size, root")
    origin, size, root = lines[0], lines[1], canonical.decode_base64(lines[2])
    if not (size.isascii() and size.isdigit()) or len(size) > 16 or str(int(size)) != size:
        raise MalformedError("a checkpoint whose size is not a plain decimal number")
    if int(size) > MAX_SIZE or len(root) != HASH_BYTES:
        raise MalformedError("a checkpoint whose size or root is out of range")
    return Checkpoint(origin, int(size), root)


def open_signed(data: bytes, origin: str, keys: Sequence[PublicKey]) -> Checkpoint:
    """Verify a checkpoint of a ledger file: this origin, and exactly one signature of each key, in order.

    Args:
        data: the signed note.
        origin: the origin that it must name.
        keys: whose signatures must stand there: one key, or the old and the new one at a handover.

    Raises:
        MalformedError: any other form, surplus or missing signatures included.
        SignatureError: a signature does not hold, or it is another ledger's checkpoint.
    """
    parsed = note.parse(data)
    checkpoint = parse_text(parsed.text)
    if checkpoint.origin != origin:
        raise SignatureError("a checkpoint of another ledger", code="signature.origin")
    verifiers = [note.Verifier(origin, key) for key in keys]
    if [(line.name, line.key_id) for line in parsed.signatures] != [
        (verifier.name, verifier.key_id()) for verifier in verifiers
    ]:
        raise SignatureError("not exactly the signatures of the key in force", code="signature.unknown_key")
    for line, verifier in zip(parsed.signatures, verifiers, strict=True):
        verifier.key.verify(line.signature, parsed.text.encode())
    return checkpoint
