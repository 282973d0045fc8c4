"""What the index answers with: plain records, checked, without a database behind them.

The file of the index may have been damaged in ways that its database does not notice, so each value
is looked at before anybody relies on its type.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

from store.index import running
from store.index.launches import OPEN

if TYPE_CHECKING:
    from store.index.tables import Base, IndexedLaunch, IndexedLedger

RUNNING = "running"
UNFINISHED = "unfinished"

_Row = TypeVar("_Row", bound="Base")
_Record = TypeVar("_Record", "IndexedState", "LaunchRecord")


class InconsistentIndexError(Exception):
    """A value in the index is not of its column's type: the file is damaged. Never leaves the package."""


@dataclass(frozen=True, slots=True)
class IndexedState:
    """A ledger as it was when it was caught up.

    Attributes:
        id: what its launches are found by, in this index and as long as it is open.
        path: the file.
        origin, size, root: its head.
        consistent: whether its entries lead to that root. When not, the ledger is damaged or edited.
        key_entry: index of the entry that names its key in force.
        skipped: entries that could not be read.
    """

    id: int
    path: bytes
    origin: str
    size: int
    root: bytes
    consistent: bool
    key_entry: int
    skipped: int


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """A launch, for listing; the attributes are those of :class:`store.index.tables.IndexedLaunch`.

    Attributes:
        state: ``complete``, ``running``, ``unfinished`` or ``lost``.
        labels: by name.
    """

    first: int
    last: int
    session: str
    intent: int | None
    start: int | None
    outcome: int | None
    attestation: int | None
    lost: int | None
    state: str
    time: str
    program: str | None
    command: str | None
    executable: str | None
    executable_sha256: str | None
    exit: int | None
    signal: int | None
    not_started: str | None
    duration_us: int | None
    entries: int
    decisions: int
    denied: int
    labels: dict[str, str]


def checked(row: _Row) -> _Row:
    """Return the row if each of its values has its column's type.

    Raises:
        InconsistentIndexError: one has not.
    """
    for column in row.__table__.columns:
        value = getattr(row, column.key)
        fits = column.nullable if value is None else type(value) is column.type.python_type
        if not fits:
            raise InconsistentIndexError(f"a {type(value).__name__} in {column}")
    return row


def ledger_record(row: IndexedLedger) -> IndexedState:
    """Return the record of a ledger's row.

    Raises:
        InconsistentIndexError: the row is damaged.
    """
    return _record(IndexedState, checked(row))


def launch_record(row: IndexedLaunch, labels: dict[str, str]) -> LaunchRecord:
    """Return the record of a launch's row; whether an open one runs is judged now.

    Raises:
        InconsistentIndexError: the row is damaged.
    """
    state = checked(row).state
    if state == OPEN:
        supervisor = running.Supervisor(row.boot_id, row.pid_namespace, row.pid, row.start_time)
        state = RUNNING if running.is_alive(supervisor) else UNFINISHED
    return _record(LaunchRecord, row, state=state, labels=labels)


def _record(kind: type[_Record], row: Base, **given: Any) -> _Record:
    """Return the record whose attributes are the row's, but for those that are given."""
    names = (field.name for field in fields(kind) if field.name not in given)
    return kind(**{name: getattr(row, name) for name in names}, **given)
