"""A set of byte strings that may become large: what does not fit into a bounded part of memory lies on disk.

It is filled in batches, sorted, into a database of SQLite's own temporary kind, which has no name that
anybody else could open and is gone with the process.
"""

from __future__ import annotations

import apsw

from verify.errors import NotCheckedError

MAX_IN_MEMORY = 1 << 16
"""How many are kept in memory before they go to disk: some 8 MB of digests."""


class Seen:
    """What was seen so far.

    Raises:
        NotCheckedError: from any method, when there is no room on disk for what does not fit into memory.
    """

    __slots__ = ("_db", "_items")

    def __init__(self) -> None:
        self._items: set[bytes] = set()
        self._db: apsw.Connection | None = None

    def add(self, item: bytes) -> None:
        """Take in one more."""
        self._items.add(item)
        if len(self._items) >= MAX_IN_MEMORY:
            try:
                self._move()
            except apsw.Error as error:
                raise _no_room(error) from None

    def __contains__(self, item: object) -> bool:
        """Return whether ``item`` was taken in."""
        if item in self._items:
            return True
        if self._db is None or not isinstance(item, bytes):
            return False
        try:
            return bool(self._db.execute("SELECT 1 FROM seen WHERE item = ?", (item,)).fetchall())
        except apsw.Error as error:
            raise _no_room(error) from None

    def _move(self) -> None:
        if self._db is None:
            self._db = apsw.Connection("")
            for statement in (
                "PRAGMA journal_mode=OFF",
                "PRAGMA synchronous=OFF",
                "PRAGMA cache_size=-4000",
                "CREATE TABLE seen (item BLOB PRIMARY KEY) WITHOUT ROWID",
            ):
                self._db.execute(statement)
        with self._db:
            self._db.executemany(
                "INSERT OR IGNORE INTO seen VALUES (?)", ((item,) for item in sorted(self._items))
            )
        self._items.clear()


def _no_room(error: Exception) -> NotCheckedError:
    return NotCheckedError(
        f"there is no room for what must be remembered of so long a ledger: {error}",
        code="input.too_large",
        hint="name a directory that can be written in TMPDIR",
    )
