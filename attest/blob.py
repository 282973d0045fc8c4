"""Blobs: values too large for an entry, which names them by a salted digest (design 2, "Canonical JSON").

The digest is SHA-256(salt ‖ data) over a 32-byte salt that lies beside the data, so a blob that was
erased is *withheld*: its digest does not let anybody guess it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import canonical, hashing
from attest.errors import MalformedError
from attest.named_tuples import NamedTuple

if TYPE_CHECKING:
    from attest.canonical import Json

SALT_BYTES = 32

MAX_BYTES = 1 << 24
"""The most data that one blob may have: the writer refuses more, and so does the verifier."""

MAX_ROW_BYTES = MAX_BYTES + 4_096
"""What SQLite must be able to hold, in a value and in a row, for a blob of that size to be stored and read:
digest, salt and the row's header come on top of the data."""


class Blob(NamedTuple):
    """A value beside the entries.

    Attributes:
        salt: 32 random bytes.
        data: the canonical JSON of the value.
    """

    salt: bytes
    data: bytes

    def digest(self) -> bytes:
        """Return SHA-256(salt ‖ data), 32 bytes."""
        taken = hashing.running(self.salt)
        taken.update(self.data)
        return hashing.finish(taken)

    def reference(self) -> dict[str, Json]:
        """Return what stands in the entry in the value's place."""
        return {"blob": {"sha256": self.digest().hex(), "size": len(self.data)}}

    def value(self, reference: Json) -> Json:
        """Return the value that ``reference`` names, if this is its blob.

        Raises:
            MalformedError: another digest or size, a salt of another length, or data that is not canonical.
        """
        if len(self.salt) != SALT_BYTES or self.reference() != reference:
            raise MalformedError("a blob that is not the one that its entry names", code="blob.digest")
        return canonical.decode(self.data)


def is_reference(value: Json) -> bool:
    """Return whether ``value`` stands for a blob (no other value of the record has such a member)."""
    return isinstance(value, dict) and value.keys() == {"blob"}
