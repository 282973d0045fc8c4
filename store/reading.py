"""Looking at a ledger without extending it: entries for people, and snapshots.

What is read here is shown, not judged; whether a ledger holds is what ``nono-verify`` says.
"""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING
from urllib.parse import quote_from_bytes

from attest import blob, canonical, checkpoint, entry, ledger_format, note
from attest.errors import NonoError
from store.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from attest.canonical import Json


class LedgerReader:
    """A ledger that is open for reading.

    Attributes:
        path: the file.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        if not os.path.lexists(path):
            raise LedgerError(f"no ledger at {os.fsdecode(path)}", code="ledger.missing")
        try:
            self._db = sqlite3.connect(
                f"file:{quote_from_bytes(path)}?mode=ro", uri=True, isolation_level=None
            )
            self._db.execute("PRAGMA trusted_schema=OFF")
            self._db.execute("PRAGMA query_only=ON")
            (application,) = self._db.execute("PRAGMA application_id").fetchone()
            tables = [row[0] for row in self._db.execute("SELECT sql FROM sqlite_schema ORDER BY rowid")]
        except sqlite3.Error as error:
            raise self._unreadable(error) from None
        if application != ledger_format.APPLICATION_ID or tables != list(ledger_format.ddl()):
            self._db.close()
            raise LedgerError(f"{os.fsdecode(path)} is not a nono ledger", code="ledger.format")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> LedgerReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def head(self) -> checkpoint.Checkpoint:
        """Return the stored head; its signature is not checked here.

        Raises:
            LedgerError: there is none, or it cannot be read.
        """
        try:
            row = self._db.execute("SELECT note FROM head WHERE id = 0").fetchone()
            if row is None:
                raise LedgerError(f"{os.fsdecode(self.path)} has no head", code="ledger.unreadable")
            return checkpoint.parse_text(note.parse(row[0].encode()).text)
        except sqlite3.Error as error:
            raise self._unreadable(error) from None
        except NonoError as error:
            raise LedgerError(f"the head of {os.fsdecode(self.path)} cannot be read: {error}") from None

    def entries(self, start: int = 0) -> Iterator[tuple[int, entry.Entry, bytes]]:
        """Yield index, entry and canonical bytes of what the head covers, from ``start``.

        Raises:
            LedgerError: an entry cannot be read.
        """
        size = self.head().size
        try:
            for index, body in self._db.execute(
                "SELECT idx, body FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (start, size)
            ):
                data = body.encode()
                yield index, entry.parse(data), data
        except sqlite3.Error as error:
            raise self._unreadable(error) from None
        except NonoError as error:
            raise LedgerError(
                f"an entry of {os.fsdecode(self.path)} cannot be read: {error}",
                code="ledger.unreadable",
                hint=f"nono-verify {os.fsdecode(self.path)}",
            ) from None

    def entry(self, index: int) -> entry.Entry:
        """Return the entry at ``index``.

        Raises:
            LedgerError: there is none, or it cannot be read.
        """
        for found, read, _ in self.entries(index):
            if found == index:
                return read
            break
        raise LedgerError(f"no entry {index} in {os.fsdecode(self.path)}", code="ledger.no_entry")

    def value(self, field: Json) -> Json:
        """Return a field's value, from its blob if it lies beside the entry; None when that is withheld."""
        if not blob.is_reference(field):
            return field
        assert isinstance(field, dict)
        reference = field["blob"]
        assert isinstance(reference, dict)
        row = self._db.execute(
            "SELECT salt, data FROM blob WHERE sha256 = ?", (bytes.fromhex(str(reference["sha256"])),)
        ).fetchone()
        return None if row is None else canonical.decode(row[1])

    def snapshot(self, target: bytes) -> None:
        """Write a compact copy of the ledger as it is now to ``target``, which must not exist.

        Raises:
            LedgerError: it exists, or cannot be written.
        """
        if os.path.lexists(target):
            raise LedgerError(
                f"{os.fsdecode(target)} exists already", code="snapshot.exists", hint="name another file"
            )
        try:
            self._db.execute("PRAGMA query_only=OFF")
            self._db.execute("VACUUM INTO ?", (os.fsdecode(target),))
            self._db.execute("PRAGMA query_only=ON")
        except sqlite3.Error as error:
            raise LedgerError(
                f"cannot write a snapshot to {os.fsdecode(target)}: {error}", code="snapshot.failed"
            ) from None

    def _unreadable(self, error: sqlite3.Error) -> LedgerError:
        return LedgerError(f"cannot read {os.fsdecode(self.path)}: {error}", code="ledger.unreadable")
