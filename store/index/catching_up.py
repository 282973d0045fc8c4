"""Bringing the index up to a ledger's head, in batches: one transaction each.

How a replaced or edited ledger is noticed without reading it again: beside the size that is indexed
stands the compact range over exactly those entries. New entries extend it, and if it then leads to
the head's root, what was indexed before is still what the ledger begins with (RFC 9162: the root
binds every leaf). If not, all of it is indexed anew.

A batch writes its rows and how far they reach in one transaction. So a kill at any instant leaves an
index that is a batch behind and no worse, and several processes that catch up with one ledger take turns
and share the work: each looks at the ledger's row first and goes on from there.
"""

from __future__ import annotations

import os
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from sqlalchemy import delete, insert, select, update

from attest import entry as entries
from attest import tree
from attest.errors import ProofError
from store.index.glances import Glance, Glances
from store.index.interning import Interned
from store.index.launches import Launch, is_session, row_of
from store.index.records import IndexedState, checked, ledger_record
from store.index.rows import insert_rows, pieces, update_rows
from store.index.tables import COMMAND, LABEL, LAUNCH, LEDGER, OF_A_LEDGER

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Engine

    from attest.checkpoint import Checkpoint
    from store.index.bodies import LedgerBodies

BATCH = 20_000
"""Entries of one transaction; their rows are held in memory."""

_PIECE = 500
"""Entries that are read at once: few enough to be still at hand when they are parsed after being hashed."""

_UNDER_WAY = b""
"""The root of a ledger that is not caught up yet: no head has it."""

_Body = tuple[int, bytes | None]


def current(connection: Connection, path: bytes, head: Checkpoint) -> IndexedState | None:
    """Return the ledger's state if the index holds the ledger up to its head already, else None."""
    state = _find(connection, path)
    return state if state is not None and _is_at(state, head) else None


def catch_up(
    engine: Engine, reader: LedgerBodies, progress: Callable[[int, int], None] | None = None
) -> IndexedState:
    """Index what is new in the ledger.

    Args:
        engine: connects to the index; each batch is a transaction of its own.
        reader: the ledger.
        progress: told before each batch how many entries of how many are indexed.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    work: _Work | None = None
    anew = False
    with engine.connect() as connection:
        while True:
            head = reader.head()
            with connection.begin():
                state = _find(connection, reader.path, for_update=True) or _added(connection, reader.path)
                if _is_at(state, head):
                    return state
                if work is None or work.state != state:  # another process went on from where we were
                    work = _Work.at(state)
                if work is None or not work.leads_to(head):
                    work = _Work(_emptied(connection, state), tree.Edge())
                anew = anew or work.state.size == 0
                if progress is not None:
                    progress(work.state.size, head.size)
                work.take_batch(connection, reader, head)
                if work.is_at_odds_with(head) and not anew:
                    # What was indexed before is not what the ledger begins with now.
                    work = None
                    _emptied(connection, state)
                    continue
                work.save(connection, head)
            if work.state.size >= head.size:
                return work.state


def is_here(state: IndexedState) -> bool:
    """Return whether the ledger's path is one of this host's."""
    return state.host == _host()


def known(connection: Connection) -> list[IndexedState]:
    """Return every ledger that the index has, those of other hosts included."""
    rows = connection.execute(select(LEDGER).order_by(LEDGER.c.host, LEDGER.c.path)).mappings()
    return [ledger_record(row) for row in rows]


class _Work:
    """How far the index is, and what is remembered from one batch to the next."""

    def __init__(self, state: IndexedState, edge: tree.Edge) -> None:
        self.state = state
        self._edge = edge
        self._whole = state.consistent
        self._interned, self._glances = Interned(state.id), Glances()

    @classmethod
    def at(cls, state: IndexedState) -> _Work | None:
        """Return the work that goes on from ``state``; None where nothing can."""
        if not state.consistent:
            # Once an entry is missing there is nothing to prove; the rest is read to be listed.
            return cls(state, tree.Edge()) if state.root == _UNDER_WAY else None
        try:
            return cls(state, tree.Edge.decode(state.size, state.edge))
        except ProofError:
            return None

    def leads_to(self, head: Checkpoint) -> bool:
        """Return whether what was indexed may be what the head's ledger begins with."""
        return self.state.size == 0 or (self.state.origin == head.origin and self.state.size < head.size)

    def take_batch(self, connection: Connection, reader: LedgerBodies, head: Checkpoint) -> None:
        """Index the next entries."""
        start = self.state.size
        rows = _Rows(connection, self.state.id, self._glances, reader)
        bodies = islice(reader.bodies(start, head.size), BATCH)
        end, count = start, 0
        while piece := list(islice(bodies, _PIECE)):
            end, count = piece[-1][0] + 1, count + len(piece)
            self._whole = self._whole and count == end - start
            if self._whole:
                self._hash(piece)
            rows.take(piece)
        if count < BATCH:
            self._whole = self._whole and end == head.size
            end = head.size
        rows.write(self._interned)
        self.state = replace(
            self.state,
            size=end,
            key_entry=self.state.key_entry if rows.key_entry is None else rows.key_entry,
            skipped=self.state.skipped + rows.skipped,
        )

    def is_at_odds_with(self, head: Checkpoint) -> bool:
        """Return whether all was read and does not lead to the head's root."""
        return self.state.size >= head.size and not (self._whole and self._edge.root() == head.root)

    def save(self, connection: Connection, head: Checkpoint) -> None:
        """Write down how far the index is."""
        self._whole = self._whole and not self.is_at_odds_with(head)
        self.state = replace(
            self.state,
            origin=head.origin,
            root=head.root if self.state.size >= head.size else _UNDER_WAY,
            edge=self._edge.encode() if self._whole else b"",
            consistent=self._whole,
        )
        _write(connection, self.state)

    def _hash(self, batch: list[_Body]) -> None:
        append, hash_leaf = self._edge.append, tree.hash_leaf
        for _, body in batch:
            if body is None:
                self._whole = False
                return
            append(hash_leaf(body))


# --- the ledger's row -----------------------------------------------------------------------------


def _find(connection: Connection, path: bytes, *, for_update: bool = False) -> IndexedState | None:
    query = select(LEDGER).where(LEDGER.c.host == _host(), LEDGER.c.path == path)
    row = connection.execute(query.with_for_update() if for_update else query).mappings().one_or_none()
    return None if row is None else ledger_record(row)


def _is_at(state: IndexedState, head: Checkpoint) -> bool:
    return (state.origin, state.size, state.root) == (head.origin, head.size, head.root)


def _host() -> str:
    return os.uname().nodename


def _added(connection: Connection, path: bytes) -> IndexedState:
    values: dict[str, Any] = {"host": _host(), "path": path, **_EMPTY}
    identifier = connection.execute(insert(LEDGER).values(values)).inserted_primary_key
    assert identifier is not None
    return IndexedState(id=identifier[0], **values)


_EMPTY: dict[str, Any] = {
    "origin": "",
    "size": 0,
    "root": _UNDER_WAY,
    "edge": b"",
    "consistent": True,
    "key_entry": 0,
    "skipped": 0,
}


def _emptied(connection: Connection, state: IndexedState) -> IndexedState:
    """Forget all that is indexed of a ledger."""
    for table in OF_A_LEDGER:
        connection.execute(delete(table).where(table.c.ledger_id == state.id))
    emptied = replace(state, **_EMPTY)
    _write(connection, emptied)
    return emptied


def _write(connection: Connection, state: IndexedState) -> None:
    values = {name: getattr(state, name) for name in _EMPTY}
    connection.execute(update(LEDGER).where(LEDGER.c.id == state.id).values(values))


# --- entries --------------------------------------------------------------------------------------


class _Rows:
    """The rows of one batch.

    Attributes:
        key_entry: the last entry that names a key, or None.
        skipped: how many entries could not be read.
    """

    def __init__(
        self, connection: Connection, ledger_id: int, glances: Glances, reader: LedgerBodies
    ) -> None:
        self._connection = connection
        self._ledger_id = ledger_id
        self._glances = glances
        self._reader = reader
        self._newest: dict[str, Launch] = {}
        self._had: list[Launch] = []
        self._new: list[Launch] = []
        self.key_entry: int | None = None
        self.skipped = 0

    def take(self, piece: list[_Body]) -> None:
        """Take entries in."""
        read: list[tuple[int, Glance, str]] = []
        begun: set[str] = set()
        earlier: set[str] = set()  # begun in an earlier batch, as far as this one tells
        newest, at = self._newest, self._glances.at
        for index, body in piece:
            glance = at(body)
            if glance is None:
                self.skipped += 1
                continue
            kind, session, _, _, end = glance
            if session is None:
                self.key_entry = index if kind == entries.KEY else self.key_entry
            elif end or is_session(session):
                if session not in newest and session not in begun:
                    (begun if kind == entries.INTENT else earlier).add(session)
                read.append((index, glance, session))
            else:
                self.skipped += 1
        self._look_up(sorted(earlier))
        data_of, resolved = self._glances.data, self._reader.resolved
        for index, glance, session in read:
            data = data_of(glance)
            if data is None:
                self.skipped += 1
                continue
            launch = newest.get(session)
            if launch is None or glance[0] == entries.INTENT:
                launch = newest[session] = Launch.begun(self._ledger_id, index, session, glance[2])
                self._new.append(launch)
            launch.add(index, glance[0], data, resolved)

    def write(self, interned: Interned) -> None:
        """Write the rows."""
        connection, ledger_id = self._connection, self._ledger_id
        interned.settle(connection, self._had + self._new)
        update_rows(connection, LAUNCH, [row_of(launch) for launch in self._had])
        insert_rows(connection, LAUNCH, [row_of(launch) for launch in self._new])
        insert_rows(
            connection,
            COMMAND,
            [
                (ledger_id, launch.at, launch.first, launch.command)
                for launch in self._new
                if launch.command is not None
            ],
        )
        insert_rows(
            connection,
            LABEL,
            [
                (ledger_id, launch.first, name, value, launch.at)
                for launch in self._new
                for name, value in launch.labels.items()
            ],
        )

    def _look_up(self, sessions: list[str]) -> None:
        """Take in the newest launch of each of the sessions that the index has."""
        found: dict[str, Launch] = {}
        for some in pieces(sessions):
            query = (
                select(LAUNCH)
                .where(LAUNCH.c.ledger_id == self._ledger_id, LAUNCH.c.session.in_(some))
                .order_by(LAUNCH.c.first)
            )
            for row in self._connection.execute(query).mappings():
                found[row["session"]] = Launch.of_row(checked(LAUNCH, row))
        self._newest.update(found)
        self._had += found.values()
