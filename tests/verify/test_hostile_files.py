"""Files that are no ledger, or that try to be more than one: exit 2 or 1, in bounded time and memory."""

# ruff: noqa: E501  # a table with one case a line is easier to check than one that is wrapped

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from attest import ledger_format

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book


def not_checked(bench: Bench, path: str, sentence: str) -> None:
    said = bench.verify(path)
    assert said.status == 2
    assert sentence in said.text.splitlines()[0]
    assert len(said.document["findings"]) == 1
    assert said.document["origin"] is None


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFOs here")
def test_what_is_no_regular_file(bench: Bench) -> None:
    os.mkdir(bench.path("directory"))
    os.mkfifo(bench.path("fifo"))
    os.symlink("loop", bench.path("loop"))
    os.symlink("nowhere", bench.path("dangling"))
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(bench.path("socket"))
    not_checked(bench, bench.path("directory"), "is a directory")
    not_checked(bench, bench.path("fifo"), "is not a regular file")
    not_checked(bench, bench.path("socket"), "is not a regular file")
    not_checked(bench, "/dev/zero", "is not a regular file")
    not_checked(bench, bench.path("loop"), "is a chain of symbolic links without an end")
    not_checked(bench, bench.path("dangling"), "does not exist")
    not_checked(bench, bench.path("missing"), "does not exist")
    not_checked(bench, bench.path("missing/x.db"), "does not exist")
    not_checked(bench, bench.path("x\0y"), "a path with a NUL character names no file")
    not_checked(bench, "", "an empty path names no file")
    not_checked(bench, bench.path("a" * 300), "cannot be read")


def test_what_is_no_database(bench: Bench) -> None:
    for name, data, sentence in (
        ("empty", b"", "is empty"),
        ("text", b"hello\n" * 100, "is not an SQLite database"),
        ("short", b"SQLite format 3\0", "is not an SQLite database"),
        ("zeroes", bytes(8192), "is not an SQLite database"),
        ("header", b"SQLite format 3\0" + bytes(4080), "is not a nono ledger"),
    ):
        with open(bench.path(name), "wb") as file:
            file.write(data)
        not_checked(bench, bench.path(name), sentence)


def test_a_sparse_giant(bench: Bench, book: Book) -> None:
    giant = bench.path("giant")
    with open(giant, "wb") as file:
        file.truncate(1 << 43)
    began = time.monotonic()
    not_checked(bench, giant, "is not an SQLite database")
    path = bench.write(book)
    with open(path, "r+b") as file:
        file.truncate(1 << 43)
    assert bench.verify(path).codes[0] == "file.size"
    shutil.copy(bench.write(book), bench.path("wal.db"))
    with open(bench.path("wal.db-wal"), "wb") as file:
        file.truncate(1 << 43)  # more than is free, or the test would wait for a copy of holes
    not_checked(bench, bench.path("wal.db"), "too large to be copied")
    assert time.monotonic() - began < 10


def test_another_sqlite_database(bench: Bench) -> None:
    with contextlib.closing(sqlite3.connect(bench.path("other.db"))) as db:
        db.execute("CREATE TABLE entry (idx INTEGER PRIMARY KEY, body TEXT)")
    not_checked(bench, bench.path("other.db"), "is not a nono ledger")


@pytest.mark.skipif(sys.platform == "win32", reason="modes mean nothing there")
def test_no_permission(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    shutil.copy(path, bench.path("closed.db"))
    os.chmod(bench.path("closed.db"), 0)
    if os.geteuid() == 0:
        # Root reads it all the same, so ask as somebody else: with the capability gone.
        code = (
            "import ctypes, sys; ctypes.CDLL(None).prctl(24, 1, 0, 0, 0); ctypes.CDLL(None).prctl(24, 2, 0, 0, 0)\n"
            "import locale, os; os.setgroups([]); os.setresgid(65534, 65534, 65534)\n"
            "import verify.cli.ledger; from verify.cli import main; os.setresuid(65534, 65534, 65534); sys.exit(main(sys.argv[1:]))"
        )
        place = bench.directory
        while os.path.dirname(place) not in ("/", "/tmp", "/var"):
            os.chmod(place, 0o755)
            place = os.path.dirname(place)
        os.chmod(place, 0o755)
        os.chmod(bench.path("key.pub"), 0o644)
        done = subprocess.run(
            [sys.executable, "-c", code, bench.path("closed.db"), "-k", bench.path("key.pub")],
            check=False, capture_output=True, text=True, cwd=os.path.dirname(os.path.dirname(ROOT)),
        )  # fmt: skip
        assert done.returncode == 2, done.stderr
        assert "no permission" in done.stdout
    else:
        not_checked(bench, bench.path("closed.db"), "no permission")


ROOT = os.path.dirname(os.path.abspath(__file__))


def test_a_path_with_characters_that_mean_something_in_a_uri(bench: Bench, book: Book) -> None:
    for name in ("a?mode=rwc.db", "b#c.db", "d%20e.db", "f g&h=.db", "ü.db"):
        shutil.copy(bench.write(book), bench.path(name))
        assert bench.verify(bench.path(name)).status == 0
    shutil.copy(os.fsencode(bench.write(book)), os.fsencode(bench.path("")) + b"\xff.db")
    assert bench.verify(os.fsdecode(os.fsencode(bench.path("")) + b"\xff.db")).status == 0


def test_through_a_symbolic_link(bench: Bench, book: Book) -> None:
    os.symlink(bench.write(book), bench.path("link.db"))
    assert bench.verify(bench.path("link.db")).status == 0


# --- a ledger's tables, and something more ------------------------------------------------------------

HEADER = [
    ("PRAGMA application_id = 1", "is not a nono ledger"),
    ("PRAGMA application_id = 0", "is not a nono ledger"),
    ("PRAGMA user_version = 0", "is a ledger of format 0; this verifier knows 1"),
    ("PRAGMA user_version = 2", "is a ledger of format 2; this verifier knows 1"),
    ("PRAGMA user_version = -1", "is a ledger of format 4294967295"),
]
SCHEMAS = [
    "CREATE VIEW v AS SELECT * FROM entry",
    "CREATE INDEX i ON entry (body)",
    "CREATE INDEX i ON entry (length(body))",
    "CREATE TABLE more (x)",
    "CREATE TABLE gen (x, y AS (hex(zeroblob(500000000))))",
    "CREATE TABLE chk (x CHECK (length(hex(zeroblob(500000000))) > 0))",
    "CREATE TRIGGER t AFTER INSERT ON entry BEGIN SELECT 1; END",
    "CREATE VIRTUAL TABLE f USING fts5 (x)",
    "ANALYZE",
    "DROP TRIGGER entry_update",
    "DROP TABLE blob",
    "ALTER TABLE entry ADD COLUMN x TEXT",
    "ALTER TABLE entry ADD COLUMN x TEXT AS (hex(zeroblob(500000000)))",
    "ALTER TABLE head RENAME COLUMN note TO text",
    "ALTER TABLE blob RENAME TO blobs",
]


@pytest.mark.parametrize(("statement", "sentence"), HEADER)
def test_another_header(bench: Bench, book: Book, statement: str, sentence: str) -> None:
    not_checked(bench, bench.alter(bench.write(book), statement), sentence)


@pytest.mark.parametrize("statement", SCHEMAS)
def test_another_schema_never_runs(bench: Bench, book: Book, statement: str) -> None:
    path = bench.write(book)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(statement)
    not_checked(bench, path, "is not a nono ledger")


@pytest.mark.parametrize(
    "statement",
    [
        # Hostile columns under the very name and place of a table of ours.
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE entry (idx INTEGER PRIMARY KEY, body TEXT AS (hex(zeroblob(500000000))))' WHERE name = 'entry'",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE entry (idx INTEGER PRIMARY KEY, body TEXT NOT NULL)' WHERE name = 'entry'",
        "UPDATE sqlite_schema SET sql = sql || ' ' WHERE name = 'entry'",
        "UPDATE sqlite_schema SET sql = replace(sql, 'TABLE', 'table') WHERE name = 'entry'",
        "UPDATE sqlite_schema SET sql = 'CREATE VIEW entry AS SELECT 0 AS idx, 1 AS body', type = 'view', rootpage = 0 WHERE name = 'entry'",
        "UPDATE sqlite_schema SET sql = 'CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (length(hex(zeroblob(500000000)))), note TEXT NOT NULL, edge BLOB NOT NULL) STRICT' WHERE name = 'head'",
        "UPDATE sqlite_schema SET sql = NULL WHERE name = 'entry_update'",
        "UPDATE sqlite_schema SET sql = x'00' WHERE name = 'entry_update'",
        "UPDATE sqlite_schema SET name = 'x' WHERE name = 'entry_update'",
        "UPDATE sqlite_schema SET tbl_name = 'tile' WHERE name = 'entry_update'",
        "UPDATE sqlite_schema SET rowid = rowid + 100 WHERE name = 'entry'",
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'head') WHERE name = 'checkpoint'",
        "UPDATE sqlite_schema SET rootpage = 0 WHERE name = 'checkpoint'",
        "UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'checkpoint'",
        "DELETE FROM sqlite_schema WHERE name = 'blob'",
        "DELETE FROM sqlite_schema",
        "INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'entry_update'",
        "INSERT INTO sqlite_schema VALUES ('table', 'sqlite_stat1', 'sqlite_stat1', 0, 'CREATE TABLE sqlite_stat1(tbl,idx,stat)')",
    ],
)  # fmt: skip
def test_a_schema_written_by_hand(bench: Bench, book: Book, statement: str) -> None:
    path = bench.write(book)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA writable_schema = ON")
        db.execute(statement)
    began = time.monotonic()
    said = bench.verify(path)
    assert said.status in {1, 2}
    assert said.status == 2 or said.codes[0].startswith("file.")
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_another_encoding(bench: Bench, encoding: str) -> None:
    path = bench.path("utf16.db")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"PRAGMA encoding = '{encoding}'")
        db.execute(f"PRAGMA application_id = {ledger_format.APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        for statement in ledger_format.ddl():
            db.execute(statement)
    not_checked(bench, path, "is not a nono ledger")


@pytest.mark.parametrize(
    ("ddl", "insert"),
    [
        ("CREATE TABLE entry (idx INTEGER PRIMARY KEY, body)", "UPDATE entry SET body = CAST(body AS BLOB) WHERE idx = 3"),
        ("CREATE TABLE entry (idx INTEGER PRIMARY KEY, body)", "UPDATE entry SET body = 17 WHERE idx = 3"),
        ("CREATE TABLE entry (idx INTEGER PRIMARY KEY, body)", "UPDATE entry SET body = NULL WHERE idx = 3"),
        ("CREATE TABLE entry (idx INTEGER PRIMARY KEY, body)", "UPDATE entry SET body = 1e300 WHERE idx = 3"),
        ("CREATE TABLE head (id INTEGER PRIMARY KEY, note, edge)", "UPDATE head SET note = CAST(note AS BLOB)"),
        ("CREATE TABLE head (id INTEGER PRIMARY KEY, note, edge)", "UPDATE head SET note = NULL"),
        ("CREATE TABLE head (id INTEGER PRIMARY KEY, note, edge)", "UPDATE head SET edge = CAST(edge AS TEXT)"),
        ("CREATE TABLE head (id INTEGER PRIMARY KEY, note, edge)", "UPDATE head SET id = 1"),
        ("CREATE TABLE head (id INTEGER PRIMARY KEY, note, edge)", "INSERT INTO head SELECT 1, note, edge FROM head"),
    ],
)  # fmt: skip
def test_values_of_another_type_than_their_column(bench: Bench, book: Book, ddl: str, insert: str) -> None:
    path = bench.write(book)
    name = ddl.split(" ")[2]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        (true,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        triggers = db.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        for trigger, _ in triggers:
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (ddl, name))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(insert)
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (true, name))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        for _, sql in triggers:
            db.execute(sql)
    said = bench.verify(path)
    assert said.status == 1
    assert {"file.damaged", "head.missing"} & set(said.codes)


# --- damage -------------------------------------------------------------------------------------------


def test_truncated_and_flipped_pages_are_never_verified_as_something_else(
    bench: Bench, new_book: Callable[..., Book]
) -> None:
    book = new_book()
    for _ in range(80):
        book.launch()
    path = bench.write(book)
    with open(path, "rb") as file:
        true = file.read()
    root = book.edge().root().hex()
    choose = random.Random(7)
    for _ in range(60):
        data = bytearray(true)
        if choose.random() < 0.3:
            del data[choose.randrange(len(data)) :]
        else:
            data[choose.randrange(len(data))] ^= 1 << choose.randrange(8)
        with open(bench.path("damaged.db"), "wb") as file:
            file.write(data)
        said = bench.verify(bench.path("damaged.db"))
        # A bit in a page's unused space changes nothing that anybody reads.
        assert said.status in {1, 2} or (
            said.status == 0 and said.document["root"] == root and len(data) == len(true)
        )


def test_bytes_behind_the_last_page(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    with open(path, "ab") as file:
        file.write(b"more")
    assert bench.verify(path).codes == ["file.size"]


def test_a_tree_of_pages_that_is_no_tree_ends(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    for _ in range(120):
        book.launch()
    path = bench.write(book)
    with contextlib.closing(sqlite3.connect(path)) as db:
        (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'entry'").fetchone()
    with open(path, "r+b") as file:
        file.seek((root - 1) * 4096)
        page = bytearray(file.read(4096))
        assert page[0] == 5  # an interior page of a table
        cells = int.from_bytes(page[3:5], "big")
        first = int.from_bytes(page[12:14], "big")
        child = page[first : first + 4]
        for cell in range(cells):  # every child is the first child
            at = int.from_bytes(page[12 + 2 * cell : 14 + 2 * cell], "big")
            page[at : at + 4] = child
        page[8:12] = root.to_bytes(4, "big")  # and the last one is the page itself
        file.seek((root - 1) * 4096)
        file.write(page)
    began = time.monotonic()
    said = bench.verify(path)
    assert said.status == 1
    assert "file.damaged" in said.codes
    assert time.monotonic() - began < 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads its peak from /proc")
def test_a_value_that_is_too_long_is_not_taken_into_memory(bench: Bench, book: Book) -> None:
    path = bench.alter(
        bench.write(book), "INSERT INTO blob VALUES (zeroblob(32), zeroblob(32), zeroblob(400000000))"
    )
    code = (
        "import sys; from verify.cli import main; status = main(sys.argv[1:])\n"
        "print([line.split()[1] for line in open('/proc/self/status') if line.startswith('VmHWM')][0]); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, path, "-k", bench.path("key.pub")],
        check=False, capture_output=True, text=True, cwd=os.path.dirname(os.path.dirname(ROOT)),
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert int(done.stdout.split()[-1]) < 120_000
