"""Any change of any value of any table of a small ledger is found; so is any row less, more or moved."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from attest.keys import SigningKey
from tests.gauntlet.files import retyped
from tests.gauntlet.mutation import content
from verify import NotCheckedError, Pin, verify

if TYPE_CHECKING:
    from collections.abc import Callable


COLUMNS = {
    "entry": ("idx", "body"),
    "tile": ("level", "idx", "root", "data"),
    "head": ("id", "note", "edge"),
    "checkpoint": ("size", "note"),
    "blob": ("sha256", "salt", "data"),
}
PIN = Pin(SigningKey(b"\x01" * 32).public)


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a ledger that has rows in every table, without its triggers, which guard nobody here."""
    from tests.verify.conftest import START, Book, changed

    book = Book()
    book.launch(start=changed(START, environment=book.beside(["HOME", "PATH"])), decisions=3)
    book.hand_over(SigningKey(b"\x02" * 32))
    book.launch(decisions=250)
    book.launch(start=changed(START, environment=book.beside(["LANG"])))
    return book.write(str(tmp_path_factory.mktemp("every") / "ledger.db"))


def change_text(value: str, data: st.DataObject) -> str:
    at = data.draw(st.integers(0, len(value)))
    what = data.draw(st.sampled_from(["replace", "insert", "delete", "cut"]))
    letter: str = data.draw(st.sampled_from([*' "{}[]:,0123456789abcefZ+/=\n\\\0', "\u00e9", "\U0001f512"]))
    if what == "insert":
        return value[:at] + letter + value[at:]
    return (
        value[:at]
        + {"replace": letter, "delete": "", "cut": ""}[what]
        + ("" if what == "cut" else value[at + 1 :])
    )


def change_bytes(value: bytes, data: st.DataObject) -> bytes:
    at = data.draw(st.integers(0, max(len(value) - 1, 0)))
    what = data.draw(st.sampled_from(["flip", "insert", "delete", "cut"]))
    if what == "flip" and value:
        return value[:at] + bytes([value[at] ^ 1 << data.draw(st.integers(0, 7))]) + value[at + 1 :]
    if what == "insert":
        return value[:at] + data.draw(st.binary(min_size=1, max_size=2)) + value[at:]
    return value[:at] if what == "cut" else value[:at] + value[at + 1 :]


def change(value: Any, data: st.DataObject) -> Any:
    if isinstance(value, str):
        return change_text(value, data)
    if isinstance(value, bytes):
        return change_bytes(value, data)
    return data.draw(st.one_of(st.integers(value - 3, value + 3), st.integers(-(2**63), 2**63 - 1)))


def execute_without_triggers(path: str, run: Callable[[sqlite3.Connection], None]) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        triggers = db.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
        ).fetchall()
        for name, _ in triggers:
            db.execute(f"DROP TRIGGER {name}")
        run(db)
        for _, sql in triggers:
            db.execute(sql)


def status(path: str) -> int:
    try:
        return verify(path, pins=[PIN]).exit
    except NotCheckedError:
        return 2


def test_untouched_it_is_verified(ledger: str) -> None:
    assert status(ledger) == 0
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        assert all(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in COLUMNS)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_any_value_is_found(ledger: str, tmp_path: Any, data: st.DataObject) -> None:
    path = shutil.copy(ledger, tmp_path / "changed.db")
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    column = data.draw(st.sampled_from(COLUMNS[table]))
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        rows = db.execute(f"SELECT * FROM {table}").fetchall()
    row = data.draw(st.sampled_from(rows))
    position = COLUMNS[table].index(column)
    new = change(row[position], data)
    assume(new != row[position])
    where = " AND ".join(f"{name} = ?" for name in COLUMNS[table])
    done = []

    def run(db: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.IntegrityError, UnicodeEncodeError):
            done.append(db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (new, *row)).rowcount)

    execute_without_triggers(str(path), run)
    assume(done == [1])
    assert status(str(path)) == 1
    os.unlink(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_row_less_or_exchanged_is_found(ledger: str, tmp_path: Any, data: st.DataObject) -> None:
    path = str(shutil.copy(ledger, tmp_path / "changed.db"))
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    columns = COLUMNS[table]
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        rows = db.execute(f"SELECT * FROM {table}").fetchall()
    row, other = data.draw(st.sampled_from(rows)), data.draw(st.sampled_from(rows))
    exchange = data.draw(st.booleans()) and row != other
    keys = 2 if table == "tile" else 1
    where = " AND ".join(f"{name} = ?" for name in columns[:keys])
    content = ", ".join(f"{name} = ?" for name in columns[keys:])

    def run(db: sqlite3.Connection) -> None:
        if exchange:
            db.execute(f"UPDATE {table} SET {content} WHERE {where}", (*other[keys:], *row[:keys]))
            db.execute(f"UPDATE {table} SET {content} WHERE {where}", (*row[keys:], *other[:keys]))
        else:
            db.execute(f"DELETE FROM {table} WHERE {where}", row[:keys])

    execute_without_triggers(path, run)
    # A blob that is gone is withheld, which is another thing than tampering; everything else is.
    assert status(path) == (3 if table == "blob" and not exchange else 1)
    os.unlink(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_row_more_is_found(ledger: str, tmp_path: Any, data: st.DataObject) -> None:
    path = str(shutil.copy(ledger, tmp_path / "changed.db"))
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        row = list(data.draw(st.sampled_from(db.execute(f"SELECT * FROM {table}").fetchall())))
    for position in range(2 if table == "tile" else 1):
        row[position] = change(row[position], data)
    done = []

    def run(db: sqlite3.Connection) -> None:
        with contextlib.suppress(sqlite3.IntegrityError):
            marks = ", ".join("?" * len(row))
            done.append(db.execute(f"INSERT INTO {table} VALUES ({marks})", row).rowcount)

    execute_without_triggers(path, run)
    assume(done == [1])
    assert status(path) == 1
    os.unlink(path)


# Each table as it would be if nothing kept its values to a type.
UNTYPED = {
    "entry": "CREATE TABLE entry (idx INTEGER PRIMARY KEY, body)",
    "tile": "CREATE TABLE tile (level, idx, root, data, PRIMARY KEY (level, idx)) WITHOUT ROWID",
    "head": "CREATE TABLE head (id INTEGER PRIMARY KEY, note, edge)",
    "checkpoint": "CREATE TABLE checkpoint (size INTEGER PRIMARY KEY, note)",
    "blob": "CREATE TABLE blob (sha256 PRIMARY KEY, salt, data) WITHOUT ROWID",
}
ANY_VALUE = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    st.text(st.characters(codec="utf-8"), max_size=40),
    st.binary(max_size=40),
)
ANY_ROW = {
    "entry": (st.integers(-5, 2**63 - 1), st.text(st.characters(codec="utf-8"), max_size=40)),
    "tile": (st.integers(-2, 9), st.integers(-2, 9), st.binary(max_size=40), st.binary(max_size=40)),
    "checkpoint": (st.integers(-5, 2**63 - 1), st.text(st.characters(codec="utf-8"), max_size=40)),
    "blob": (st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=40)),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_of_another_type_is_found(ledger: str, tmp_path: Any, data: st.DataObject) -> None:
    path = str(shutil.copy(ledger, tmp_path / "changed.db"))
    table = data.draw(st.sampled_from(sorted(COLUMNS)))
    with contextlib.closing(sqlite3.connect(ledger)) as db:
        row = data.draw(st.sampled_from(db.execute(f"SELECT * FROM {table}").fetchall()))
    first = 1 if "INTEGER PRIMARY KEY" in UNTYPED[table] else 0  # such a key is never anything else
    at = data.draw(st.integers(first, len(row) - 1))
    new = data.draw(ANY_VALUE.filter(lambda value: type(value) is not type(row[at])))
    where = " AND ".join(f"{name} = ?" for name in COLUMNS[table])
    statement = f"UPDATE {table} SET {COLUMNS[table][at]} = ? WHERE {where}"
    try:
        retyped(path, UNTYPED[table], (statement, (new, *row)))
    except sqlite3.IntegrityError:  # NULL where a key stands
        assume(False)
    assert content(path) != content(ledger)
    assert status(path) == 1
    os.unlink(path)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_row_that_was_made_up_is_found(ledger: str, tmp_path: Any, data: st.DataObject) -> None:
    path = str(shutil.copy(ledger, tmp_path / "changed.db"))
    table = data.draw(st.sampled_from(sorted(ANY_ROW)))
    row = data.draw(st.tuples(*ANY_ROW[table]))
    marks = ", ".join("?" * len(row))
    execute_without_triggers(
        path, lambda db: db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({marks})", row).close()
    )
    assert status(path) == 1
    os.unlink(path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_few_changes_together_are_found(ledger: str, tmp_path: Any, data: st.DataObject) -> None:
    """One may hide another: what was changed twice, or moved into the gap that was left."""
    path = str(shutil.copy(ledger, tmp_path / "changed.db"))

    def run(db: sqlite3.Connection) -> None:
        for _ in range(data.draw(st.integers(2, 5))):
            table = data.draw(st.sampled_from(sorted(COLUMNS)))
            columns = COLUMNS[table]
            rows = db.execute(f"SELECT * FROM {table}").fetchall()
            if not rows:
                continue
            row = data.draw(st.sampled_from(rows))
            where = " AND ".join(f"{name} = ?" for name in columns)
            at = data.draw(st.integers(0, len(columns) - 1))
            with contextlib.suppress(sqlite3.IntegrityError, UnicodeEncodeError):
                if data.draw(st.booleans()):
                    new = change(row[at], data)
                    db.execute(f"UPDATE {table} SET {columns[at]} = ? WHERE {where}", (new, *row))
                else:
                    db.execute(f"DELETE FROM {table} WHERE {where}", row)

    execute_without_triggers(path, run)
    assume(content(path) != content(ledger))
    assert status(path) in {1, 3}
    assert status(path) == 1 or only_blobs_are_gone(ledger, path)
    os.unlink(path)


def only_blobs_are_gone(ledger: str, path: str) -> bool:
    """Return whether one file is the other without some of its blobs: they are withheld then."""
    before, after = content(ledger), content(path)
    assert before is not None
    assert after is not None
    blobs = before.index(("blob",))
    return before[:blobs] == after[:blobs] and set(after[blobs:]) < set(before[blobs:])
