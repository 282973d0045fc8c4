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


@pytest.mark.parametrize(
    ("data", "command"),
    [
        (b'{"evidence":"urn:nono-attest:evidence:v1","x":"' + b"x" * 100, "nono-verify evidence FILE"),
        (b"c2sp.org/tlog-proof@v1\n" + b"x" * 100, "nono-verify proof PROOF ENTRY"),
    ],
)
def test_what_another_command_checks(bench: Bench, data: bytes, command: str) -> None:
    with open(bench.path("other"), "wb") as file:
        file.write(data)
    found = bench.verify(bench.path("other"))
    assert (found.status, found.codes) == (2, ["input.unreadable"])
    assert command in found.text


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


@pytest.mark.parametrize(("statement", "sentence"), HEADER)
def test_another_header(bench: Bench, book: Book, statement: str, sentence: str) -> None:
    not_checked(bench, bench.alter(bench.write(book), statement), sentence)


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
    began = time.process_time()
    said = bench.verify(path)
    assert said.status == 1
    assert "file.damaged" in said.codes
    assert time.process_time() - began < 10


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
