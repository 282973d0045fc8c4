"""Reading a ledger for the index: what cannot be read is passed over and counted, not fatal.

A ledger may be damaged or hostile, and one bad entry must not hide the launches around it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import blob, entry
from attest.errors import MalformedError
from store import sqlite
from store.errors import LedgerError
from store.index.glances import parsed
from store.reading import LedgerReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.canonical import Json

MAX_BLOB_BYTES = 16 << 20


class LedgerBodies(LedgerReader):
    """A ledger, open for reading its entries' bytes."""

    def __enter__(self) -> LedgerBodies:
        return self

    def bodies(self, start: int, end: int) -> Iterator[tuple[int, bytes | None]]:
        """Yield index and bytes of the entries from ``start`` up to ``end`` (exclusive).

        The bytes are None where no entry can be: not text, or far too long.

        Raises:
            LedgerError: the file cannot be read on.
        """
        try:
            # One row at a time: a hostile file can hold longer ones, and each is let go of at once.
            for index, body in self._db.execute(
                "SELECT idx, body FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (start, end)
            ):
                yield index, body if type(body) is bytes and len(body) <= entry.MAX_BYTES else None
        except sqlite.Error as error:
            raise self._unreadable(error) from None

    def resolved(self, field: Json) -> Json:
        """Return a field's value, from its blob if it lies beside the entry.

        Unlike :meth:`value` it checks that the blob is the one that the entry names.

        Returns:
            None when the blob is withheld, is another, or is too large to be shown.
        """
        if not blob.is_reference(field):
            return field
        assert isinstance(field, dict)
        reference = field["blob"]
        try:
            digest = bytes.fromhex(str(reference["sha256"])) if isinstance(reference, dict) else b""
            row = self._db.execute(
                "SELECT salt, data FROM blob WHERE sha256 = ? AND length(data) <= ?", (digest, MAX_BLOB_BYTES)
            ).fetchone()
            if row is None or not isinstance(row[0], bytes) or not isinstance(row[1], bytes):
                return None
            return blob.Blob(*row).value(field)
        except (KeyError, ValueError, MalformedError):
            return None
        except sqlite.Error as error:
            raise self._unreadable(error) from None

    def entry_at(self, index: int) -> entry.Entry:
        """Return the entry at ``index``.

        Raises:
            LedgerError: there is none, or it cannot be read.
        """
        for _, body in self.bodies(index, index + 1):
            found = parsed(body)
            if found is not None:
                return found
        raise LedgerError(
            f"entry {index} of the ledger cannot be read",
            code="ledger.unreadable",
            hint="check the ledger with nono-verify",
        )
