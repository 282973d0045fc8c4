"""Which launches are meant: what can be asked for, and the query that finds it.

A list is of the newest, so a search either has few launches to choose from, or finds enough of them soon.
Which it is, each criterion says beforehand, for the price of counting to :data:`FEW`:

1. One that few launches meet is where the search begins; those few are looked at and sorted.
2. Else the launches are gone through from the newest on until enough are found: in the table of commands if
   a command is asked for, else in the index of a criterion that has its launches in that order, else in
   that of all launches.

What the query does not begin with is written so that no index serves it (``exit + 0``): the database is not
to choose otherwise, for it knows nothing of how many launches meet what.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import and_, exists, func, or_, select, true

from store.index.tables import COMMAND, EXECUTABLE, LABEL, LAUNCH, PATH

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import ColumnElement, Connection, Select

FEW = 2_000
"""Launches that can all be looked at."""

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


@dataclass(frozen=True, slots=True)
class _Criterion:
    """One thing that is asked for.

    Attributes:
        firsts: finds the launches that meet it, by an index, as their first entries.
        of_launch: whether a launch that was found otherwise meets it.
        in_order: how the launches that meet it are found newest first, or None if no index has them so.
    """

    firsts: Select[tuple[int]]
    of_launch: ColumnElement[bool]
    in_order: ColumnElement[bool] | None = None


def query(connection: Connection, ledger_id: int, criteria: Criteria) -> Select[Any] | None:
    """Return the query for a ledger's launches, newest first, or None where there are none.

    Its columns are those of the launch, ``command``, ``executable_path`` and ``executable_sha256``.
    """
    asked = list(_criteria(connection, ledger_id, criteria))
    fewest: tuple[int, _Criterion] | None = None
    for criterion in asked:
        some = criterion.firsts.where(*_time(criteria, criterion.firsts)).limit(FEW + 1).subquery()
        count = connection.scalar(select(func.count()).select_from(some)) or 0
        if count == 0:
            return None
        if count <= FEW and (fewest is None or count < fewest[0]):
            fewest = count, criterion
    conditions = [LAUNCH.c.ledger_id == ledger_id]
    at: ColumnElement[int] = LAUNCH.c.at
    first: ColumnElement[int] = LAUNCH.c.first
    begin = LAUNCH
    if fewest is not None:
        conditions.append(LAUNCH.c.first.in_(fewest[1].firsts))
        at = LAUNCH.c.at + 0
    elif criteria.command is not None:
        # That there is a range at all tells SQLite where to begin.
        conditions = [COMMAND.c.ledger_id == ledger_id, COMMAND.c.at >= 0]
        begin, at, first = COMMAND, COMMAND.c.at, COMMAND.c.first
    else:
        conditions += [criterion.in_order for criterion in asked if criterion.in_order is not None][:1]
    conditions += [criterion.of_launch for criterion in asked if fewest is None or criterion is not fewest[1]]
    if criteria.command is not None:
        conditions.append(_contains(connection, COMMAND.c.command, criteria.command))
    if criteria.since is not None:
        conditions.append(at >= criteria.since)
    if criteria.until is not None:
        conditions.append(at < criteria.until)
    command_of_launch = and_(
        COMMAND.c.ledger_id == LAUNCH.c.ledger_id,
        COMMAND.c.at == LAUNCH.c.at,
        COMMAND.c.first == LAUNCH.c.first,
    )
    executable = and_(
        EXECUTABLE.c.ledger_id == LAUNCH.c.ledger_id, EXECUTABLE.c.number == LAUNCH.c.executable
    )
    both = (
        COMMAND.join(LAUNCH, command_of_launch)
        if begin is COMMAND
        else LAUNCH.join(COMMAND, command_of_launch, isouter=criteria.command is None)
    )
    return (
        select(
            LAUNCH,
            COMMAND.c.command,
            EXECUTABLE.c.path.label("executable_path"),
            EXECUTABLE.c.sha256.label("executable_sha256"),
        )
        .select_from(both.join(EXECUTABLE, executable, isouter=True))
        .where(*conditions)
        .order_by(at.desc(), first.desc())
    )


def _contains(connection: Connection, column: ColumnElement[str], text: str) -> ColumnElement[bool]:
    """Return the condition that a column contains a text, in this very case."""
    if connection.dialect.name == "sqlite":
        # By a third faster than instr(), and this is the one search that may have to look at everything.
        literal = "".join(f"[{character}]" if character in "*?[" else character for character in text)
        return column.op("GLOB", is_comparison=True)(f"*{literal}*")
    find = func.strpos if connection.dialect.name == "postgresql" else func.instr
    return find(column, text) > 0


def _time(criteria: Criteria, firsts: Select[Any]) -> list[ColumnElement[bool]]:
    """Return the span that is asked for, as a condition on the table that is searched."""
    (table,) = firsts.get_final_froms()
    conditions: list[ColumnElement[bool]] = []
    if criteria.since is not None:
        conditions.append(table.c.at >= criteria.since)
    if criteria.until is not None:
        conditions.append(table.c.at < criteria.until)
    return conditions


def _criteria(connection: Connection, ledger_id: int, criteria: Criteria) -> Iterator[_Criterion]:
    launches = select(LAUNCH.c.first).where(LAUNCH.c.ledger_id == ledger_id)
    if criteria.session is not None:
        begins = _begins(LAUNCH.c.session, criteria.session)
        yield _Criterion(launches.where(begins), _begins(LAUNCH.c.session + "", criteria.session))
    for name, value in criteria.labels:
        yield _label(ledger_id, name, value)
    if criteria.exit is not None:
        meets = LAUNCH.c.exit == criteria.exit
        yield _Criterion(launches.where(meets), LAUNCH.c.exit + 0 == criteria.exit, meets)
    for asked, column in ((criteria.denied, LAUNCH.c.refused), (criteria.lost, LAUNCH.c.unfinished)):
        if asked:
            yield _Criterion(launches.where(column == true()), column == true(), column == true())
    if criteria.executable is not None or criteria.executable_sha256 is not None:
        yield _one_of(connection, launches, LAUNCH.c.executable, _executables(ledger_id, criteria))
    if criteria.path is not None:
        yield _one_of(connection, launches, LAUNCH.c.paths, _path_sets(ledger_id, criteria.path))


def _label(ledger_id: int, name: str, value: str | None) -> _Criterion:
    meets = [LABEL.c.name == name, *(() if value is None else (LABEL.c.value == value,))]
    return _Criterion(
        select(LABEL.c.first).where(LABEL.c.ledger_id == ledger_id, *meets),
        exists().where(LABEL.c.ledger_id == LAUNCH.c.ledger_id, LABEL.c.first == LAUNCH.c.first, *meets),
    )


def _executables(ledger_id: int, criteria: Criteria) -> Select[tuple[int]]:
    numbers = select(EXECUTABLE.c.number).where(EXECUTABLE.c.ledger_id == ledger_id)
    if criteria.executable is not None:
        column = EXECUTABLE.c.path if "/" in criteria.executable else EXECUTABLE.c.name
        numbers = numbers.where(column == criteria.executable)
    if criteria.executable_sha256 is not None:
        numbers = numbers.where(_begins(EXECUTABLE.c.sha256, criteria.executable_sha256))
    return numbers


def _path_sets(ledger_id: int, path: str) -> Select[tuple[int]]:
    above = path.rstrip("/") + "/"
    return (
        select(PATH.c.number)
        .where(
            PATH.c.ledger_id == ledger_id,
            # Not LIKE: its wildcards and its idea of case differ from one database to the next.
            or_(PATH.c.path == path, func.substr(PATH.c.path, 1, len(above)) == above),
        )
        .distinct()
    )


def _one_of(
    connection: Connection,
    launches: Select[tuple[int]],
    column: ColumnElement[int],
    numbers: Select[tuple[int]],
) -> _Criterion:
    """Return the criterion that a launch has one of some numbers."""
    named = connection.scalars(numbers.limit(_MAX_NUMBERS + 1)).all()
    if len(named) > _MAX_NUMBERS:
        return _Criterion(launches.where(column.in_(numbers)), (column + 0).in_(numbers))
    meets = column == named[0] if len(named) == 1 else column.in_(named)
    return _Criterion(launches.where(meets), (column + 0).in_(named), meets if len(named) == 1 else None)


def _begins(column: ColumnElement[str], digits: str) -> ColumnElement[bool]:
    # 'g' is behind every hex digit, in every collation.
    return and_(column >= digits, column < digits + "g")
