"""Which launches are meant: what can be asked for, and the query that finds it.

Each query begins where its rows lie in the order of the list (``store/index/tables.py``), so that it can
stop as soon as enough is found. It is the table that a label or a command is looked for in, else that of
the launches, by whichever of its indexes the database chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, false, func, or_, select, true

from store.index.tables import COMMAND, EXECUTABLE, LABEL, LAUNCH, PATH

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Select

_MAX_NUMBERS = 500
"""Executables or sets of paths that are named one by one; more are left to the database."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """What launches must be like; each that is given must hold.

    Attributes:
        since: the earliest time of their first entry, microseconds of Unix time.
        until: the time that it must be before, likewise.
        session: how their session id begins, lower-case hex.
        command: what their command contains, as it is shown (quoted for a shell), in this very case.
        path: a path, as :func:`store.index.wording.text` has it: a grant of the user or of the profile, or
            an output, is this path or lies beneath it.
        executable: the path of what ran; without a slash its last part.
        executable_sha256: how the SHA-256 of what ran begins, lower-case hex.
        labels: names and values; a value of None is any.
        exit: the exit code.
        denied: whether only those that were not started, or that something was denied to.
        lost: whether only those whose supervisor is gone though they did not end.
    """

    since: int | None = None
    until: int | None = None
    session: str | None = None
    command: str | None = None
    path: str | None = None
    executable: str | None = None
    executable_sha256: str | None = None
    labels: tuple[tuple[str, str | None], ...] = ()
    exit: int | None = None
    denied: bool = False
    lost: bool = False


def query(connection: Connection, ledger_id: int, criteria: Criteria) -> Select[Any]:
    """Return the query for a ledger's launches, newest first: their rows, commands and executables."""
    conditions: list[ColumnElement[bool]] = [LAUNCH.c.ledger_id == ledger_id]
    if criteria.exit is not None:
        conditions.append(LAUNCH.c.exit == criteria.exit)
    if criteria.denied:
        conditions.append(LAUNCH.c.refused == true())
    if criteria.lost:
        conditions.append(LAUNCH.c.unfinished == true())
    if criteria.session is not None:
        conditions.append(_begins(LAUNCH.c.session, criteria.session))
    conditions += _executable(connection, ledger_id, criteria)
    if criteria.path is not None:
        conditions.append(_paths(connection, ledger_id, criteria.path))
    return _from(connection, ledger_id, criteria, conditions)


def _from(
    connection: Connection, ledger_id: int, criteria: Criteria, conditions: list[ColumnElement[bool]]
) -> Select[Any]:
    """Return the query, beginning in the table that is best for it."""
    of_launch = and_(
        COMMAND.c.ledger_id == LAUNCH.c.ledger_id,
        COMMAND.c.at == LAUNCH.c.at,
        COMMAND.c.first == LAUNCH.c.first,
    )
    executable = and_(
        EXECUTABLE.c.ledger_id == LAUNCH.c.ledger_id, EXECUTABLE.c.number == LAUNCH.c.executable
    )
    at, first = LAUNCH.c.at, LAUNCH.c.first
    labels = list(criteria.labels)
    found = select(
        LAUNCH,
        COMMAND.c.command,
        EXECUTABLE.c.path.label("executable_path"),
        EXECUTABLE.c.sha256.label("executable_sha256"),
    )
    if labels:
        name, value = labels.pop(0)
        conditions += [*_is_label(ledger_id, name, value)]
        label_of_launch = and_(LABEL.c.ledger_id == LAUNCH.c.ledger_id, LABEL.c.first == LAUNCH.c.first)
        source = LABEL.join(LAUNCH, label_of_launch).join(
            COMMAND, of_launch, isouter=criteria.command is None
        )
        if value is not None:
            at, first = LABEL.c.at, LABEL.c.first
    elif criteria.command is not None:
        conditions.append(COMMAND.c.ledger_id == ledger_id)
        source = COMMAND.join(LAUNCH, of_launch)
        at, first = COMMAND.c.at, COMMAND.c.first
    else:
        source = LAUNCH.join(COMMAND, of_launch, isouter=True)
    if criteria.command is not None:
        find = func.strpos if connection.dialect.name == "postgresql" else func.instr
        conditions.append(find(COMMAND.c.command, criteria.command) > 0)
    for name, value in labels:
        other = LABEL.alias()
        conditions.append(
            exists().where(
                other.c.ledger_id == LAUNCH.c.ledger_id,
                other.c.first == LAUNCH.c.first,
                other.c.name == name,
                *(() if value is None else (other.c.value == value,)),
            )
        )
    if criteria.since is not None:
        conditions.append(at >= criteria.since)
    if criteria.until is not None:
        conditions.append(at < criteria.until)
    return (
        found.select_from(source.join(EXECUTABLE, executable, isouter=True))
        .where(*conditions)
        .order_by(at.desc(), first.desc())
    )


def _is_label(ledger_id: int, name: str, value: str | None) -> list[ColumnElement[bool]]:
    conditions = [LABEL.c.ledger_id == ledger_id, LABEL.c.name == name]
    return conditions if value is None else [*conditions, LABEL.c.value == value]


def _executable(connection: Connection, ledger_id: int, criteria: Criteria) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if criteria.executable is not None:
        column = EXECUTABLE.c.path if "/" in criteria.executable else EXECUTABLE.c.name
        conditions.append(column == criteria.executable)
    if criteria.executable_sha256 is not None:
        conditions.append(_begins(EXECUTABLE.c.sha256, criteria.executable_sha256))
    if not conditions:
        return []
    numbers = select(EXECUTABLE.c.number).where(EXECUTABLE.c.ledger_id == ledger_id, *conditions)
    return [_one_of(connection, LAUNCH.c.executable, numbers)]


def _paths(connection: Connection, ledger_id: int, path: str) -> ColumnElement[bool]:
    above = path.rstrip("/") + "/"
    numbers = select(PATH.c.number).where(
        PATH.c.ledger_id == ledger_id,
        # Not LIKE: its wildcards and its idea of case differ from one database to the next.
        or_(PATH.c.path == path, func.substr(PATH.c.path, 1, len(above)) == above),
    )
    return _one_of(connection, LAUNCH.c.paths, numbers.distinct())


def _one_of(
    connection: Connection, column: ColumnElement[Any], numbers: Select[tuple[int]]
) -> ColumnElement[bool]:
    """Return the condition that a launch has one of some numbers."""
    named = connection.scalars(numbers.limit(_MAX_NUMBERS + 1)).all()
    if not named:
        return false()
    if len(named) == 1:  # by a single one the launches lie in order already
        return column == named[0]
    return column.in_(named if len(named) <= _MAX_NUMBERS else numbers)


def _begins(column: ColumnElement[str], digits: str) -> ColumnElement[bool]:
    # 'g' is behind every hex digit, in every collation.
    return and_(column >= digits, column < digits + "g")
