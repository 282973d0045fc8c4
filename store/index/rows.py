"""Writing and finding many rows at once, without an object for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import bindparam, insert, update

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection, Table

_MAX_PARAMETERS = 500
"""Values in one ``IN``: SQLite's limit was 999 for long."""

_Value = TypeVar("_Value")


def insert_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows that have a value for each column of the table, in its order."""
    if not rows:
        return
    statement = insert(table)
    compiled = statement.compile(dialect=connection.dialect)
    if compiled.positional:
        # Straight to the driver: SQLAlchemy would make a dictionary of each row, and a tuple of that.
        connection.exec_driver_sql(str(compiled), list(rows))
    else:
        names = table.c.keys()
        connection.execute(statement, [dict(zip(names, row, strict=True)) for row in rows])


def update_rows(connection: Connection, table: Table, rows: Sequence[tuple[Any, ...]]) -> None:
    """Replace rows, found by the primary key, by these, as :func:`insert_rows` has them."""
    if not rows:
        return
    key, names = set(table.primary_key.columns.keys()), table.c.keys()
    statement = (
        update(table)
        .where(*(table.c[name] == bindparam(f"at_{name}") for name in sorted(key)))
        .values({name: bindparam(f"to_{name}") for name in names if name not in key})
    )
    parameters = [f"{'at' if name in key else 'to'}_{name}" for name in names]
    connection.execute(statement, [dict(zip(parameters, row, strict=True)) for row in rows])


def pieces(values: Sequence[_Value]) -> Iterator[Sequence[_Value]]:
    """Yield ``values`` in pieces that fit into one ``IN``."""
    for start in range(0, len(values), _MAX_PARAMETERS):
        yield values[start : start + _MAX_PARAMETERS]
