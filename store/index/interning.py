"""What many launches share is stored once: executables, and sets of paths.

Each has a number in its ledger and is found by a digest. Numbers are given out inside the transaction
that has the ledger's row, so no two writers give the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select

from attest import hashing
from store.index.rows import insert_rows, pieces
from store.index.tables import EXECUTABLE, MAX_PATHS, PATH, PATH_SET

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Table

    from store.index.launches import Launch

_MAX_KNOWN = 100_000
"""Numbers that are kept in memory."""

_Key = tuple[str | None, ...]


class Interned:
    """What launches of one ledger share, while it is being caught up.

    It may be kept from one transaction to the next as long as nobody else indexes the ledger.

    Args:
        ledger_id: the ledger.
    """

    def __init__(self, ledger_id: int) -> None:
        self._ledger_id = ledger_id
        self._executables: dict[_Key, int] = {}
        self._path_sets: dict[_Key, int] = {}

    def settle(self, connection: Connection, launches: Iterable[Launch]) -> None:
        """Give each launch the numbers of what it ran and of its paths, made where they are new."""
        ran = [(launch, launch.image) for launch in launches if launch.image is not None]
        numbers, new = self._numbers(connection, EXECUTABLE, self._executables, {image for _, image in ran})
        for launch, image in ran:
            launch.executable = numbers[image]
        insert_rows(
            connection,
            EXECUTABLE,
            [
                (self._ledger_id, number, digest, path, _last_part(path), sha256)
                for number, digest, (path, sha256) in new
            ],
        )
        had = [(launch, paths) for launch in launches if (paths := self._paths(connection, launch))]
        numbers, new = self._numbers(connection, PATH_SET, self._path_sets, {paths for _, paths in had})
        for launch, paths in had:
            launch.paths = numbers[paths]
        insert_rows(connection, PATH_SET, [(self._ledger_id, number, digest) for number, digest, _ in new])
        insert_rows(
            connection,
            PATH,
            [
                (self._ledger_id, number, position, path)
                for number, _, paths in new
                for position, path in enumerate(paths)
            ],
        )

    def _paths(self, connection: Connection, launch: Launch) -> tuple[str, ...]:
        """Return all paths of a launch, or none if there is nothing new about them."""
        granted = launch.granted
        if granted is None:
            if not launch.written:
                return ()
            query = select(PATH.c.path).where(
                PATH.c.ledger_id == self._ledger_id, PATH.c.number == launch.paths
            )
            granted = tuple(connection.scalars(query))
        if not launch.written and len(granted) == 1:
            return granted
        return tuple(sorted({*granted, *launch.written}))[:MAX_PATHS]

    def _numbers(
        self, connection: Connection, table: Table, known: dict[_Key, int], keys: set[Any]
    ) -> tuple[dict[Any, int], list[tuple[int, bytes, Any]]]:
        """Return the number of each key, and those that are new: number, digest, key."""
        if len(known) > _MAX_KNOWN:
            known.clear()
        unknown = {_digest(key): key for key in keys if key not in known}
        for some in pieces(list(unknown)):
            query = select(table.c.digest, table.c.number).where(
                table.c.ledger_id == self._ledger_id, table.c.digest.in_(some)
            )
            for digest, number in connection.execute(query):
                known[unknown.pop(bytes(digest))] = number
        new = []
        if unknown:
            last = select(func.max(table.c.number)).where(table.c.ledger_id == self._ledger_id)
            following = (connection.scalar(last) or 0) + 1
            for number, (digest, key) in enumerate(unknown.items(), following):
                known[key] = number
                new.append((number, digest, key))
        return {key: known[key] for key in keys}, new


def _digest(key: _Key) -> bytes:
    # No part holds a NUL; what is missing differs from what is empty.
    parts = (b"\1" if part is None else part.encode("utf-8", "surrogatepass") for part in key)
    return hashing.digest(b"\0".join(parts))[:16]


def _last_part(path: str | None) -> str | None:
    return None if path is None else path.rpartition("/")[2]
