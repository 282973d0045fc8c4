"""Files that are no ledger, or that try to be more than one: SQLite is asked to do what it can do."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sqlite3
from typing import TYPE_CHECKING, Any

from attest import ledger_format
from tests.gauntlet.mutation import Asked, Mutation, ask, two_tiles
from tests.verify.conftest import Book, three_launches

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench

PAGE = 4_096

# --- no ledger at all --------------------------------------------------------------------------------


def of_bytes(data: bytes) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        with open(bench.path("x.db"), "wb") as file:
            file.write(data)
        return ask(bench, bench.path("x.db"))

    return make


def at(name: str, prepare: Callable[[str], object] = lambda path: None) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        prepare(bench.path(name))
        return ask(bench, bench.path(name))

    return make


def given(path: str) -> Callable[[Bench], Asked]:
    return lambda bench: ask(bench, path)


def bind(path: str) -> None:
    """Leave a socket; its name must be short, so it is bound where it lies."""
    before = os.open(".", os.O_RDONLY)
    try:
        os.chdir(os.path.dirname(path))
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.basename(path))
    finally:
        os.fchdir(before)
        os.close(before)


def fifo(path: str) -> None:
    os.mkfifo(path)


def sparse(path: str) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 43)


def of_another_program(path: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE entry (idx INTEGER PRIMARY KEY, body TEXT)")


def encoded(encoding: str) -> Callable[[str], None]:
    def prepare(path: str) -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            for statement in (
                f"PRAGMA encoding = '{encoding}'",
                f"PRAGMA application_id = {ledger_format.APPLICATION_ID}",
                "PRAGMA user_version = 1",
                *ledger_format.ddl(),
            ):
                db.execute(statement)

    return prepare


def closed(bench: Bench) -> Asked:
    path = bench.write(three_launches())
    os.chmod(path, 0)
    return ask(bench, path)


def below_a_file(bench: Bench) -> Asked:
    return ask(bench, bench.write(three_launches()) + "/x.db")


NONE: list[tuple[str, str, str, Callable[[Bench], Asked], str]] = [
    ("an empty file", "nothing was recorded, or all of it is gone", "input.unreadable", of_bytes(b""), ""),
    ("a text file", "no ledger", "input.unreadable", of_bytes(b"hello\n" * 100), ""),
    ("half of a header", "as a torn write would leave it", "input.unreadable", of_bytes(b"SQLite format 3\0"), ""),
    ("a file of zeros", "as a torn write would leave it", "input.unreadable", of_bytes(bytes(8_192)), ""),
    ("a header and nothing else", "SQLite takes it for an empty database", "input.not_a_ledger", of_bytes(b"SQLite format 3\0" + bytes(4_080)), ""),
    ("an export of a ledger", "text is no ledger, whatever it says", "input.unreadable", of_bytes(b"\n".join(three_launches().bodies)), ""),
    ("a missing file", "nothing was checked", "input.unreadable", at("missing.db"), ""),
    ("a file below a file", "nothing was checked", "input.unreadable", below_a_file, "posix"),
    ("an empty path", "an empty variable of a pipeline", "input.unreadable", given(""), ""),
    ("a path with a NUL", "what C reads ends there", "input.unreadable", given("x\0y.db"), ""),
    ("a name that is too long", "nothing was checked", "input.unreadable", at("a" * 300), "posix"),
    ("a directory", "nothing was checked", "input.unreadable", at("directory", os.mkdir), ""),
    ("a FIFO", "opening it would wait for ever", "input.unreadable", at("fifo", fifo), "posix"),
    ("a socket", "no file", "input.unreadable", at("socket", bind), "posix"),
    ("a device without an end", "reading it would never end", "input.unreadable", given("/dev/zero"), "linux"),
    ("a loop of symbolic links", "following it would never end", "input.unreadable", at("loop", lambda path: os.symlink("loop", path)), "posix"),
    ("a symbolic link to nowhere", "nothing was checked", "input.unreadable", at("dangling", lambda path: os.symlink("nowhere", path)), "posix"),
    ("a file without permission", "nothing was checked", "input.unreadable", closed, "user"),
    ("a sparse giant", "8 TiB of zeros", "input.unreadable", at("giant", sparse), "linux"),
    ("another SQLite database", "no ledger, with a table of that name", "input.not_a_ledger", at("other.db", of_another_program), ""),
    ("a ledger in UTF-16, low byte first", "the same text in other bytes", "input.not_a_ledger", at("utf16.db", encoded("UTF-16le")), ""),
    ("a ledger in UTF-16, high byte first", "the same text in other bytes", "input.not_a_ledger", at("utf16.db", encoded("UTF-16be")), ""),
]  # fmt: skip

# --- another schema -----------------------------------------------------------------------------------------

BOMB = "hex(zeroblob(500000000))"

SCHEMAS: list[tuple[str, str, str, str]] = [
    ("another application", "a database of another program", "input.not_a_ledger", "PRAGMA application_id = 1"),
    ("no application", "a database of no program", "input.not_a_ledger", "PRAGMA application_id = 0"),
    ("version 0", "no version of a ledger", "input.version", "PRAGMA user_version = 0"),
    ("version 2", "a ledger of a later version is not judged by this one", "input.version", "PRAGMA user_version = 2"),
    ("version -1", "no version of a ledger", "input.version", "PRAGMA user_version = -1"),
    ("a view", "a name that reads something else", "input.not_a_ledger", "CREATE VIEW v AS SELECT * FROM entry"),
    ("an index", "a second copy that can disagree with the first", "input.not_a_ledger", "CREATE INDEX i ON entry (body)"),
    ("an index of an expression", "code that runs with each query", "input.not_a_ledger", "CREATE INDEX i ON entry (length(body))"),
    ("a table more", "a place to hide data in evidence", "input.not_a_ledger", "CREATE TABLE more (x)"),
    ("a generated column that is a bomb", "500 MB with each row", "input.not_a_ledger", f"CREATE TABLE gen (x, y AS ({BOMB}))"),
    ("a CHECK that is a bomb", "500 MB with each integrity check", "input.not_a_ledger", f"CREATE TABLE chk (x CHECK (length({BOMB}) > 0))"),
    ("a trigger more", "code that runs with each write", "input.not_a_ledger", "CREATE TRIGGER t AFTER INSERT ON entry BEGIN SELECT 1; END"),
    ("a trigger less", "one seat belt less for the writer", "input.not_a_ledger", "DROP TRIGGER entry_update"),
    ("a table less", "nowhere to look for blobs", "input.not_a_ledger", "DROP TABLE blob"),
    ("a virtual table", "an extension's code would run", "input.not_a_ledger", "CREATE VIRTUAL TABLE f USING fts5 (x)"),
    ("statistics", "a planner that is told lies", "input.not_a_ledger", "ANALYZE"),
    ("a column more", "a place to hide data in evidence", "input.not_a_ledger", "ALTER TABLE entry ADD COLUMN x TEXT"),
    ("a generated column in a table of ours", "500 MB with each row", "input.not_a_ledger", f"ALTER TABLE entry ADD COLUMN x TEXT AS ({BOMB})"),
    ("a column renamed", "another column under the name of ours", "input.not_a_ledger", "ALTER TABLE head RENAME COLUMN note TO text"),
    ("a table renamed", "another table under the name of ours", "input.not_a_ledger", "ALTER TABLE blob RENAME TO blobs"),
]  # fmt: skip

HAND: list[tuple[str, str, int, str, str]] = [
    ("a hostile column under the name of ours", "500 MB with each row", 2, "input.not_a_ledger", f"UPDATE sqlite_schema SET sql = 'CREATE TABLE entry (idx INTEGER PRIMARY KEY, body TEXT AS ({BOMB}))' WHERE name = 'entry'"),
    ("a table that is not strict", "values of any type", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET sql = 'CREATE TABLE entry (idx INTEGER PRIMARY KEY, body TEXT NOT NULL)' WHERE name = 'entry'"),
    ("a space in a definition", "the definition is compared byte for byte", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET sql = sql || ' ' WHERE name = 'entry'"),
    ("another case in a definition", "the definition is compared byte for byte", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET sql = replace(sql, 'TABLE', 'table') WHERE name = 'entry'"),
    ("a view in the place of a table", "a name that reads something else", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET sql = 'CREATE VIEW entry AS SELECT 0 AS idx, 1 AS body', type = 'view', rootpage = 0 WHERE name = 'entry'"),
    ("a trigger without a text", "a definition that says nothing", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET sql = NULL WHERE name = 'entry_update'"),
    ("a trigger with a text of bytes", "a definition of another type", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET sql = x'00' WHERE name = 'entry_update'"),
    ("a trigger of another name", "the definition is compared byte for byte", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET name = 'x' WHERE name = 'entry_update'"),
    ("a trigger of another table", "the definition is compared byte for byte", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET tbl_name = 'tile' WHERE name = 'entry_update'"),
    ("two tables on one page", "one table's rows read as another's", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'head') WHERE name = 'checkpoint'"),
    ("a table on a page that is not there", "rows from nowhere", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'checkpoint'"),
    ("a bomb in a CHECK of ours", "500 MB with each integrity check", 2, "input.not_a_ledger", f"UPDATE sqlite_schema SET sql = 'CREATE TABLE head (id INTEGER PRIMARY KEY CHECK (length({BOMB})), note TEXT NOT NULL, edge BLOB NOT NULL) STRICT' WHERE name = 'head'"),
    ("a table on no page", "rows from nowhere", 1, "file.damaged", "UPDATE sqlite_schema SET rootpage = 0 WHERE name = 'checkpoint'"),
    ("another order of the schema", "the definitions are compared in their order", 2, "input.not_a_ledger", "UPDATE sqlite_schema SET rowid = rowid + 100 WHERE name = 'entry'"),
    ("a trigger twice", "the definitions are compared one by one", 2, "input.not_a_ledger", "INSERT INTO sqlite_schema SELECT * FROM sqlite_schema WHERE name = 'entry_update'"),
    ("statistics without an ANALYZE", "a planner that is told lies", 2, "input.not_a_ledger", "INSERT INTO sqlite_schema VALUES ('table', 'sqlite_stat1', 'sqlite_stat1', 0, 'CREATE TABLE sqlite_stat1(tbl,idx,stat)')"),
    ("a table less in the schema", "nowhere to look for blobs", 2, "input.not_a_ledger", "DELETE FROM sqlite_schema WHERE name = 'blob'"),
    ("no schema", "nowhere to look at all", 2, "input.not_a_ledger", "DELETE FROM sqlite_schema"),
]  # fmt: skip


def by_statement(statement: str, *, by_hand: bool = False) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        path = bench.write(three_launches())
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
            if by_hand:
                db.execute("PRAGMA writable_schema = ON")
            db.execute(statement)
        return ask(bench, path)

    return make


# --- values of another type ---------------------------------------------------------------------------------

ENTRY = "CREATE TABLE entry (idx INTEGER PRIMARY KEY, body)"
HEAD = "CREATE TABLE head (id INTEGER PRIMARY KEY, note, edge)"

TYPES: list[tuple[str, str, str, str, str]] = [
    ("an entry as bytes", "the same bytes, and another value to who compares", "file.damaged", ENTRY, "UPDATE entry SET body = CAST(body AS BLOB) WHERE idx = 3"),
    ("an entry as a number", "no text at all", "file.damaged", ENTRY, "UPDATE entry SET body = 17 WHERE idx = 3"),
    ("an entry as nothing", "no text at all", "file.damaged", ENTRY, "UPDATE entry SET body = NULL WHERE idx = 3"),
    ("an entry as a float", "no text at all", "file.damaged", ENTRY, "UPDATE entry SET body = 1e300 WHERE idx = 3"),
    ("a head as bytes", "the same bytes, and another value to who compares", "file.damaged", HEAD, "UPDATE head SET note = CAST(note AS BLOB)"),
    ("a head as nothing", "no text at all", "file.damaged", HEAD, "UPDATE head SET note = NULL"),
    ("an edge as text", "the same bytes, and another value to who compares", "file.damaged", HEAD, "UPDATE head SET edge = CAST(edge AS TEXT)"),
    ("a head of another number", "a head where nobody looks", "head.missing", HEAD, "UPDATE head SET id = 1"),
    ("two heads", "a reader chooses", "head.missing", HEAD, "INSERT INTO head SELECT 1, note, edge FROM head"),
]  # fmt: skip


def retyped(path: str, definition: str, statement: str | tuple[str, tuple[Any, ...]]) -> str:
    """Run a statement while a table has another definition, and put the true one back."""
    name = definition.split(" ")[2]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        (true,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (name,)).fetchone()
        triggers = db.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
        ).fetchall()
        for trigger, _ in triggers:
            db.execute(f"DROP TRIGGER {trigger}")
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (definition, name))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        db.execute(*((statement,) if isinstance(statement, str) else statement))
        db.execute("PRAGMA writable_schema = ON")
        db.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (true, name))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA synchronous = OFF")
        for _, sql in triggers:
            db.execute(sql)
    return path


def with_types(definition: str, statement: str) -> Callable[[Bench], Asked]:
    return lambda bench: ask(bench, retyped(bench.write(three_launches()), definition, statement))


# --- side files ----------------------------------------------------------------------------------------------


def beside(suffix: str, plant: Callable[[str], object]) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        path = bench.write(three_launches())
        plant(path + suffix)
        return ask(bench, path)

    return make


def touch(path: str) -> None:
    open(path, "wb").close()


def two_states(bench: Bench) -> tuple[str, str]:
    """Return a ledger of one launch and, written beside it, the -wal that makes it one of two."""
    book = Book()
    book.launch()
    path = bench.write(book)
    book.launch()
    later = bench.write(book)
    wal = bench.path("kept-wal")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("ATTACH ? AS later", (later,))
        db.execute("BEGIN")
        db.execute("INSERT INTO entry SELECT * FROM later.entry WHERE idx > 4")
        db.execute("UPDATE head SET (note, edge) = (SELECT note, edge FROM later.head)")
        db.execute("COMMIT")
        shutil.copy(path, bench.path("kept.db"))
        shutil.copy(path + "-wal", wal)
    os.replace(bench.path("kept.db"), path)
    return path, wal


def foreign_wal(bench: Bench) -> Asked:
    _, wal = two_states(bench)
    path = bench.write(three_launches())
    shutil.copy(wal, path + "-wal")
    return ask(bench, path)


def missing_wal(bench: Bench) -> Asked:
    path, _ = two_states(bench)
    book = Book()
    book.launch()
    book.launch()
    with open(bench.path("memory"), "w", encoding="utf-8") as file:
        file.write(book.note(len(book.bodies)))
    return ask(bench, path, "--checkpoint", bench.path("memory"))


def forged_wal(bench: Bench) -> Asked:
    """The -wal of somebody who edited an entry: SQLite takes it in, so it is a part of the file."""
    path = bench.write(three_launches())
    bench.alter(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
    shutil.copy(path, bench.path("kept.db"))
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA wal_autocheckpoint=0")
        (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = 'entry_update'").fetchone()
        db.execute("BEGIN")
        db.execute("DROP TRIGGER entry_update")
        db.execute("UPDATE entry SET body = replace(body, '\"exit\":0', '\"exit\":1') WHERE idx = 5")
        db.execute("PRAGMA writable_schema = ON")
        db.execute(
            "INSERT INTO sqlite_schema (rowid, type, name, tbl_name, rootpage, sql)"
            " VALUES (6, 'trigger', 'entry_update', 'entry', 0, ?)",
            (sql,),
        )
        db.execute("COMMIT")
        shutil.copy(path + "-wal", bench.path("kept.db-wal"))
    return ask(bench, bench.path("kept.db"))


def giant_wal(bench: Bench) -> Asked:
    path = bench.write(three_launches())
    sparse(path + "-wal")
    return ask(bench, path)


# --- damage ---------------------------------------------------------------------------------------------------


def damaged(
    change: Callable[[bytearray], None], of: Callable[[], Book] = three_launches
) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        path = bench.write(of())
        with open(path, "rb") as file:
            data = bytearray(file.read())
        true = bytes(data)
        change(data)
        assert data != true
        with open(path, "wb") as file:
            file.write(data)
        return ask(bench, path)

    return make


def cut(size: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        del data[size:]

    return change


def zeroed(page: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)

    return change


def swapped(one: int, other: int) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        first, second = (bytes(data[page * PAGE : (page + 1) * PAGE]) for page in (one, other))
        data[one * PAGE : (one + 1) * PAGE] = second
        data[other * PAGE : (other + 1) * PAGE] = first

    return change


def flipped(find: bytes) -> Callable[[bytearray], None]:
    def change(data: bytearray) -> None:
        data[data.index(find)] ^= 1

    return change


def extended(data: bytearray) -> None:
    data += b"more"


def page_more(data: bytearray) -> None:
    data += bytes(PAGE)


def page_bytes(data: bytearray) -> None:
    data[16:18] = (512).to_bytes(2, "big")


def looped(data: bytearray) -> None:
    """Make the root of the entries' tree its own last child."""
    for start in range(0, len(data), PAGE):
        if data[start] == 5:  # an interior page of a table
            data[start + 8 : start + 12] = (start // PAGE + 1).to_bytes(4, "big")
            return
    raise AssertionError("no interior page")


DAMAGE: list[tuple[str, str, int, str, Callable[[bytearray], None], Callable[[], Book]]] = [
    ("a file cut within a page", "as a torn copy would leave it", 2, "input.not_a_ledger", cut(3 * PAGE + 100), three_launches),
    ("a file cut by its last page", "as a torn copy would leave it", 2, "input.not_a_ledger", cut(-PAGE), three_launches),
    ("a file cut to its first page", "as a torn copy would leave it", 2, "input.not_a_ledger", cut(PAGE), three_launches),
    ("bytes behind the last page", "a place to hide data in evidence", 1, "file.size", extended, three_launches),
    ("a page behind the last page", "a place to hide data in evidence", 1, "file.size", page_more, three_launches),
    ("a page zeroed", "as a bad disk would leave it", 1, "file.damaged", zeroed(3), three_launches),
    ("two pages swapped", "as a bad disk would leave it", 1, "file.damaged", swapped(2, 5), three_launches),
    ("a flipped bit of an entry", "as a bad disk would leave it", 1, "tree.root", flipped(b"release"), three_launches),
    ("a flipped bit of the schema", "as a bad disk would leave it", 2, "input.not_a_ledger", flipped(b"append-only"), three_launches),
    ("a flipped bit of a blob", "as a bad disk would leave it", 1, "blob.digest", flipped(b"TERM"), three_launches),
    ("another page size", "every page lies elsewhere", 2, "input.not_a_ledger", page_bytes, three_launches),
    ("a tree of pages that is no tree", "reading it would never end", 1, "file.damaged", looped, two_tiles),
]  # fmt: skip


def rows() -> list[Mutation]:
    return [
        *(Mutation(name, why, 2, frozenset({code}), make, needs=needs) for name, why, code, make, needs in NONE),
        *(Mutation(f"a ledger with {name}" if code == "input.not_a_ledger" else f"a ledger of {name}", why, 2, frozenset({code}), by_statement(statement)) for name, why, code, statement in SCHEMAS),
        *(Mutation(f"a schema written by hand: {name}", why, status, frozenset({code}), by_statement(statement, by_hand=True), others=status == 1) for name, why, status, code, statement in HAND),
        *(Mutation(name, why, 1, frozenset({code}), with_types(definition, statement), others=True) for name, why, code, definition, statement in TYPES),
        *(Mutation(name, why, status, frozenset({code}), damaged(change, of), others=status == 1) for name, why, status, code, change, of in DAMAGE),
    ]  # fmt: skip


MUTATIONS = [
    *rows(),
    Mutation("a planted journal", "SQLite would roll it back into the file", 2, frozenset({"input.journal"}), beside("-journal", touch)),
    Mutation("a planted journal that is a directory", "nothing of that name belongs there", 2, frozenset({"input.journal"}), beside("-journal", os.mkdir)),
    Mutation("a planted journal that leads nowhere", "nothing of that name belongs there", 2, frozenset({"input.journal"}), beside("-journal", lambda path: os.symlink("nowhere", path)), needs="posix"),
    Mutation("another ledger's -wal", "its pages are put over this one's", 1, frozenset(), foreign_wal, others=True),
    Mutation("a -wal with an edited entry", "the file itself is true", 1, frozenset({"tree.root", "launch.statement"}), forged_wal),
    Mutation("a missing -wal against a remembered checkpoint", "its launches are gone with it", 1, frozenset({"memory.older"}), missing_wal),
    Mutation("a sparse giant for a -wal", "8 TiB to copy", 2, frozenset({"input.too_large"}), giant_wal, needs="linux"),
]  # fmt: skip
"""The rows of this part."""
