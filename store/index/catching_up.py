"""Bringing the index up to a ledger's head, in one transaction for each ledger.

How a replaced or edited ledger is noticed without reading it again: beside the size that is indexed
stands the compact range over exactly those entries. New entries extend it, and if it then leads to
the head's root, what was indexed before is still what the ledger begins with (RFC 9162: the root
binds every leaf). If not, all of it is indexed anew.
"""

from __future__ import annotations

import os
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import delete, insert, select

from attest import entry as entries
from attest import tree
from attest.errors import MalformedError, ProofError
from store.index import launches
from store.index.records import checked
from store.index.tables import IndexedLabel, IndexedLaunch, IndexedLedger

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy.orm import Session

    from attest.checkpoint import Checkpoint
    from attest.entry import Entry
    from store.index.bodies import LedgerBodies

_CHUNK = 5_000
"""Entries whose rows are held in memory at once."""

_MAX_PARAMETERS = 500
"""Values in one ``IN``: SQLite's limit was 999 for long."""

_Value = TypeVar("_Value")
_Chunk = list[tuple[int, bytes | None]]


def current(session: Session, path: bytes, head: Checkpoint) -> IndexedLedger | None:
    """Return the ledger's row if it is what the index holds already, else None."""
    row = _find(session, path)
    if row is None or (row.origin, row.size, row.root) != (head.origin, head.size, head.root):
        return None
    return row


def catch_up(session: Session, reader: LedgerBodies) -> IndexedLedger:
    """Index what is new in the ledger, inside the session's transaction.

    Raises:
        LedgerError: the ledger cannot be read.
    """
    head = reader.head()
    row = _find(session, reader.path, for_update=True)
    if row is not None and (row.origin, row.size, row.root) == (head.origin, head.size, head.root):
        return row
    if row is None:
        row = IndexedLedger(host=_host(), path=reader.path)
        _empty(row)
        session.add(row)
        session.flush()
    extends = row.consistent and row.origin == head.origin and 0 < row.size < head.size
    if not extends or not _extend(session, row, reader, head):
        _forget_launches(session, row)
        _empty(row)
        _extend(session, row, reader, head)
    session.flush()
    return row


def _find(session: Session, path: bytes, *, for_update: bool = False) -> IndexedLedger | None:
    query = select(IndexedLedger).where(IndexedLedger.host == _host(), IndexedLedger.path == path)
    row = session.scalars(query.with_for_update() if for_update else query).one_or_none()
    return None if row is None else checked(row)


def _host() -> str:
    return os.uname().nodename


def _empty(row: IndexedLedger) -> None:
    row.origin, row.size, row.root, row.edge = "", 0, tree.EMPTY_ROOT, b""
    row.consistent, row.key_entry, row.skipped = True, 0, 0


def _forget_launches(session: Session, row: IndexedLedger) -> None:
    session.execute(delete(IndexedLabel).where(IndexedLabel.ledger_id == row.id))
    session.execute(delete(IndexedLaunch).where(IndexedLaunch.ledger_id == row.id))


def _extend(session: Session, row: IndexedLedger, reader: LedgerBodies, head: Checkpoint) -> bool:
    """Index the entries from the row's size up to the head; return whether they lead to its root."""
    try:
        edge = tree.Edge.decode(row.size, row.edge)
    except ProofError:
        return False
    whole = True
    bodies = reader.bodies(row.size, head.size)
    while chunk := list(islice(bodies, _CHUNK)):
        for index, body in chunk:
            whole = whole and index == edge.size and body is not None
            edge.append(tree.hash_leaf(body or b""))
        _index_chunk(session, row, chunk, reader)
    row.origin, row.size, row.root = head.origin, head.size, head.root
    row.consistent = whole and edge.size == head.size and edge.root() == head.root
    row.edge = edge.encode() if row.consistent else b""
    return row.consistent


def _index_chunk(session: Session, row: IndexedLedger, chunk: _Chunk, reader: LedgerBodies) -> None:
    parsed = list(_readable(row, chunk))
    begun = {entry.session for _, entry in parsed if entry.kind == entries.INTENT}
    earlier = {entry.session for _, entry in parsed if entry.session is not None} - begun
    known = _known_launches(session, row.id, sorted(str(name) for name in earlier))
    labels: list[dict[str, object]] = []
    for index, entry in parsed:
        if entry.session is None:
            if entry.kind == entries.KEY:
                row.key_entry = index
            continue
        launch = known.get(entry.session)
        if launch is None or entry.kind == entries.INTENT:
            launch = launches.new_launch(row.id, index, entry)
            known[entry.session] = launch
            session.add(launch)
        launches.add(launch, index, entry, reader.resolved)
        if entry.kind == entries.INTENT:
            labels.extend(
                {"ledger_id": row.id, "first": index, "name": name, "value": value}
                for name, value in launches.labels(entry).items()
            )
    session.flush()
    if labels:
        session.execute(insert(IndexedLabel), labels)


def _readable(row: IndexedLedger, chunk: _Chunk) -> Iterator[tuple[int, Entry]]:
    for index, body in chunk:
        entry = _parsed(body)
        if entry is None or not (entry.session is None or launches.is_session(entry.session)):
            row.skipped += 1
            continue
        yield index, entry


def _parsed(body: bytes | None) -> Entry | None:
    try:
        return entries.parse(body or b"")
    except MalformedError:
        return None


def _known_launches(session: Session, ledger_id: int, sessions: list[str]) -> dict[str, IndexedLaunch]:
    """Return the newest launch of each of the sessions that the index knows."""
    known: dict[str, IndexedLaunch] = {}
    for some in batches(sessions):
        query = (
            select(IndexedLaunch)
            .where(IndexedLaunch.ledger_id == ledger_id, IndexedLaunch.session.in_(some))
            .order_by(IndexedLaunch.first)
        )
        known.update((checked(launch).session, launch) for launch in session.scalars(query))
    return known


def batches(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """Yield ``values`` in pieces that fit into one ``IN``."""
    for start in range(0, len(values), _MAX_PARAMETERS):
        yield values[start : start + _MAX_PARAMETERS]
