"""Reading a ledger for the index: what cannot be read is passed over and counted, not fatal.

A ledger may be damaged or hostile, and one bad entry must not hide the launches around it.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from attest import blob, canonical, entry
from attest.errors import MalformedError
from store.errors import LedgerError
from store.reading import LedgerReader

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.canonical import Json

MAX_BLOB_BYTES = 16 << 20

_MEMBERS = {"v", "kind", "session", "seq", "time", "data"}


def parsed(body: bytes | None) -> entry.Entry | None:
    """Return the entry in ``body``, or None if it is none.

    What takes time and can hide nothing is left to the verifier: the bytes must be of their canonical
    form, but depth and keys are not walked. :func:`attest.entry.parse` is the judge.
    """
    if body is None or len(body) > entry.MAX_BYTES:
        return None
    try:
        document = canonical.decode_unwalked(body)
    except MalformedError:
        return None
    if type(document) is not dict or document.keys() != _MEMBERS:
        return None
    kind, session, seq, time, data = (document[name] for name in ("kind", "session", "seq", "time", "data"))
    if (
        document["v"] != entry.VERSION
        or type(document["v"]) is not int
        or type(kind) is not str
        or not (session is None or type(session) is str)
        or type(seq) is not int
        or type(time) is not str
        or type(data) is not dict
    ):
        return None
    return entry.Entry(kind, session, seq, time, data)


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
            # The length counts characters, so it bounds what is read to four bytes of each.
            for index, body in self._db.execute(
                "SELECT idx, CASE WHEN length(body) <= ? THEN body END FROM entry"
                " WHERE idx >= ? AND idx < ? ORDER BY idx",
                (entry.MAX_BYTES, start, end),
            ):
                data = body.encode() if isinstance(body, str) else body
                yield index, data if isinstance(data, bytes) else None
        except sqlite3.Error as error:
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
        except sqlite3.Error as error:
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
