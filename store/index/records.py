"""What the index answers with: plain records, checked, without a database behind them.

The file of the index may have been damaged in ways that its database does not notice, so each value
is looked at before anybody relies on its type.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from store.index import running
from store.index.launches import OPEN
from store.index.tables import LAUNCH, LEDGER

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Table

RUNNING = "running"
UNFINISHED = "unfinished"

_Row = TypeVar("_Row", bound="Mapping[Any, Any]")


class InconsistentIndexError(Exception):
    """A value in the index is not of its column's type: the file is damaged. Never leaves the package."""


@dataclass(frozen=True, slots=True)
class IndexedState:
    """A ledger as it was when it was caught up.

    Attributes:
        id: what its launches are found by, in this index and as long as it is open.
        host: the name of the host that the path belongs to.
        path: the file.
        origin, size, root: its head; while another process catches up with it, how far that is.
        edge: the compact range over its entries, encoded; empty when not consistent.
        consistent: whether its entries lead to that root. When not, the ledger is damaged or edited.
        key_entry: index of the entry that names its key in force.
        skipped: entries that could not be read.
    """

    id: int
    host: str
    path: bytes
    origin: str
    size: int
    root: bytes
    edge: bytes
    consistent: bool
    key_entry: int
    skipped: int


@dataclass(frozen=True, slots=True)
class LaunchRecord:
    """A launch, for listing; the attributes are those of :data:`store.index.tables.LAUNCH`.

    Attributes:
        state: ``complete``, ``running``, ``unfinished`` or ``lost``.
        command: all of it, quoted for a shell.
        executable, executable_sha256: what ran, as hashed before exec.
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


def checked(table: Table, row: _Row) -> _Row:
    """Return the row if each of its values has its column's type.

    Raises:
        InconsistentIndexError: one has not.
    """
    for name, nullable, kind in _types(table):
        value = row[name]
        if not (nullable if value is None else type(value) is kind):
            raise InconsistentIndexError(f"a {type(value).__name__} in {table.name}.{name}")
    return row


@functools.cache
def _types(table: Table) -> list[tuple[str, bool, type]]:
    return [(column.key, bool(column.nullable), column.type.python_type) for column in table.columns]


def ledger_record(row: Mapping[Any, Any]) -> IndexedState:
    """Return the record of a ledger's row.

    Raises:
        InconsistentIndexError: the row is damaged.
    """
    return IndexedState(**checked(LEDGER, row))


def launch_record(
    row: Mapping[Any, Any],
    *,
    command: str | None,
    image: tuple[str | None, str | None],
    labels: dict[str, str],
) -> LaunchRecord:
    """Return the record of a launch's row; whether an open one runs is judged now.

    Args:
        row: the values of its columns.
        command: all of it.
        image: path and SHA-256 of what ran.
        labels: by name.

    Raises:
        InconsistentIndexError: the row is damaged.
    """
    checked(LAUNCH, row)
    if not all(value is None or type(value) is str for value in (command, *image)):
        raise InconsistentIndexError("a command or an executable that is no text")
    state = row["state"]
    if state == OPEN:
        supervisor = running.Supervisor(row["boot_id"], row["pid_namespace"], row["pid"], row["start_time"])
        state = RUNNING if running.is_alive(supervisor) else UNFINISHED
    given = {
        "state": state,
        "command": command,
        "executable": image[0],
        "executable_sha256": image[1],
        "labels": labels,
    }
    return LaunchRecord(**given, **{name: row[name] for name in _SHARED})


_SHARED = LaunchRecord.__annotations__.keys() & set(LAUNCH.c.keys()) - {"state", "executable"}
