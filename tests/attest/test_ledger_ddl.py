"""The DDL of a ledger, as SQLite understands it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from attest import ledger_format

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def ledger() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    connection.execute("PRAGMA recursive_triggers=ON")
    for statement in ledger_format.ddl():
        connection.execute(statement)
    connection.execute("INSERT INTO entry VALUES (0, 'a')")
    connection.execute("INSERT INTO tile VALUES (0, 0, x'00', x'01')")
    connection.execute("INSERT INTO head VALUES (0, 'n', x'00')")
    connection.execute("INSERT INTO checkpoint VALUES (1, 'n')")
    connection.execute("INSERT INTO blob VALUES (x'00', x'01', x'02')")
    yield connection
    connection.close()


def test_the_schema_of_a_ledger_is_the_ddl_byte_for_byte(ledger: sqlite3.Connection) -> None:
    assert tuple(sql for (sql,) in ledger.execute("SELECT sql FROM sqlite_schema")) == ledger_format.ddl()


def test_nothing_in_a_ledger_can_disagree_with_its_entries(ledger: sqlite3.Connection) -> None:
    assert {row[0] for row in ledger.execute("SELECT DISTINCT type FROM sqlite_schema")} == {
        "table",
        "trigger",
    }
    for table in ("entry", "tile", "head", "checkpoint", "blob"):
        columns = ledger.execute(f"PRAGMA table_xinfo({table})").fetchall()
        assert [column for column in columns if column[6]] == [], "no hidden or generated column"
        (strict,) = ledger.execute("SELECT strict FROM pragma_table_list WHERE name = ?", (table,)).fetchone()
        assert strict == 1


def test_the_application_id_spells_the_name() -> None:
    assert ledger_format.APPLICATION_ID.to_bytes(4, "big") == b"NONO"
    assert ledger_format.FORMAT_VERSION == 1


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET body = 'b'",
        "DELETE FROM entry",
        "INSERT OR REPLACE INTO entry VALUES (0, 'b')",
        "UPDATE tile SET data = x'02'",
        "DELETE FROM tile",
        "INSERT OR REPLACE INTO tile VALUES (0, 0, x'00', x'02')",
        "DELETE FROM head",
        "INSERT OR REPLACE INTO head VALUES (0, 'm', x'01')",
        "UPDATE checkpoint SET note = 'm'",
        "DELETE FROM checkpoint",
        "INSERT OR REPLACE INTO checkpoint VALUES (1, 'm')",
        "UPDATE blob SET data = x'03'",
        "DELETE FROM blob",
        "INSERT OR REPLACE INTO blob VALUES (x'00', x'01', x'03')",
        "UPDATE entry SET idx = 7",
        "UPDATE OR REPLACE checkpoint SET size = 2",
    ],
)
def test_what_was_written_stays(ledger: sqlite3.Connection, statement: str) -> None:
    before = list(ledger.iterdump())
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        ledger.execute(statement)
    assert list(ledger.iterdump()) == before


def test_the_head_alone_is_replaced_in_place(ledger: sqlite3.Connection) -> None:
    ledger.execute("UPDATE head SET note = 'm', edge = x'01'")
    assert ledger.execute("SELECT * FROM head").fetchall() == [(0, "m", b"\x01")]
    for statement in ("INSERT INTO head VALUES (1, 'm', x'')", "UPDATE head SET id = 1"):
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            ledger.execute(statement)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO entry VALUES ('x', 'b')",
        "INSERT INTO entry VALUES (1, x'62')",
        "INSERT INTO entry VALUES (1, NULL)",
        "INSERT INTO head VALUES (0, 'n', 'text')",
        "INSERT INTO tile VALUES (0, 1, 'text', x'00')",
    ],
)
def test_types_are_strict(ledger: sqlite3.Connection, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        ledger.execute(statement)
