"""Ledgers that somebody writes to meanwhile, or that somebody stopped writing to: never called tampered."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import tempfile
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from verify import Pin, locks, private_copy, reader, verify
from verify.errors import NotCheckedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.verify.conftest import Bench, Book

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux says who holds a lock")

# A process that has the database open in WAL mode, has written to it, and then waits or is killed.
WRITER = textwrap.dedent("""
    import sqlite3, sys
    db = sqlite3.connect(sys.argv[1], isolation_level=None)
    db.execute("PRAGMA journal_mode=WAL"); db.execute("PRAGMA wal_autocheckpoint=0")
    other = sqlite3.connect(sys.argv[2])
    db.execute("BEGIN IMMEDIATE")
    db.executemany("INSERT OR IGNORE INTO entry VALUES (?, ?)", other.execute("SELECT * FROM entry"))
    head = other.execute("SELECT note, edge FROM head").fetchone()
    db.execute("UPDATE head SET (note, edge) = (?, ?)", head)
    db.execute("COMMIT")
    other.close()
    print("ready", flush=True)
    for line in sys.stdin:
        if line == "close\\n":
            db.close()
            print("closed", flush=True)
""")


class Writer:
    def __init__(self, path: str, later: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, later],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("close\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "closed\n"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def end(self) -> None:
        self.kill()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()


@pytest.fixture
def written(bench: Bench, new_book: Callable[..., Book]) -> Iterator[tuple[str, Writer, Book]]:
    """Yield a ledger of one launch, whose second launch lies in the -wal of a living writer."""
    book = new_book()
    book.launch()
    path = bench.write(book)
    book.launch()
    writer = Writer(path, bench.write(book))
    yield path, writer, book
    writer.end()


def side_files(path: str) -> dict[str, tuple[int, int]]:
    directory, name = os.path.split(path)
    found = (os.path.join(directory, entry) for entry in os.listdir(directory) if entry.startswith(name))
    return {file: (os.stat(file).st_mtime_ns, os.stat(file).st_size) for file in found}


def mode(path: str) -> str:
    with reader.open_ledger(os.fsencode(path)) as source:
        return source.mode


@linux
def test_a_living_writer_is_seen_without_a_trace(written: tuple[str, Writer, Book]) -> None:
    path, writer, _ = written
    shm = os.fsencode(path) + b"-shm"
    before = side_files(path)
    assert locks.has_live_connection(shm) is True
    assert side_files(path) == before
    writer.kill()
    assert locks.has_live_connection(shm) is False
    assert locks.has_live_connection(shm + b"-none") is False


@linux
def test_a_connection_of_this_very_process_is_seen(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("SELECT * FROM head").fetchone()
        assert locks.has_live_connection(os.fsencode(path) + b"-shm") is True


@linux
def test_a_living_ledger_is_read_with_its_tail_and_left_alone(
    bench: Bench, written: tuple[str, Writer, Book]
) -> None:
    path, _, book = written
    before = side_files(path)
    assert set(before) == {path, path + "-wal", path + "-shm"}
    assert mode(path) == "live"
    said = bench.verify(path)
    assert (said.status, said.document["size"]) == (0, len(book.bodies))
    assert {name: size for name, (_, size) in side_files(path).items()} == {
        name: size for name, (_, size) in before.items()
    }


def test_a_killed_writers_tail_is_read_from_a_copy(bench: Bench, written: tuple[str, Writer, Book]) -> None:
    path, writer, book = written
    writer.kill()
    before = side_files(path)
    assert mode(path) == "copy"
    said = bench.verify(path)
    assert (said.status, said.document["size"]) == (0, len(book.bodies))
    assert side_files(path) == before


def test_the_copy_is_private_and_taken_away(
    bench: Bench, written: tuple[str, Writer, Book], monkeypatch: Any
) -> None:
    path, writer, _ = written
    writer.kill()
    os.mkdir(bench.path("temporary"))
    monkeypatch.setattr("tempfile.tempdir", bench.path("temporary"))
    with reader.open_ledger(os.fsencode(path)) as source:
        (made,) = os.listdir(bench.path("temporary"))
        assert stat.S_IMODE(os.stat(os.path.join(bench.path("temporary"), made)).st_mode) == 0o700
        assert source.integrity() is None
    assert os.listdir(bench.path("temporary")) == []


def test_a_closed_ledger_is_read_in_place(bench: Bench, written: tuple[str, Writer, Book]) -> None:
    path, writer, book = written
    writer.close()
    assert mode(path) == "immutable"
    before = side_files(path)
    said = bench.verify(path)
    assert (said.status, said.document["size"]) == (0, len(book.bodies))
    assert side_files(path) == before


def test_an_empty_wal_counts_as_none(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    open(path + "-wal", "wb").close()
    assert mode(path) == "immutable"
    assert bench.verify(path).status == 0


def test_only_the_database_of_a_living_ledger_is_an_older_true_copy(
    bench: Bench, written: tuple[str, Writer, Book]
) -> None:
    path, _, book = written
    shutil.copy(path, bench.path("copy.db"))
    said = bench.verify(bench.path("copy.db"))
    assert (said.status, said.document["freshness"]) == (0, "unproven")
    assert said.document["size"] < len(book.bodies)


def test_a_foreign_wal_is_never_verified_as_something_else(
    bench: Bench, written: tuple[str, Writer, Book], book: Book
) -> None:
    path, writer, _ = written
    writer.kill()
    other = bench.write(book)
    root = bench.verify(other).document["root"]
    shutil.copy(path + "-wal", other + "-wal")
    said = bench.verify(other)
    assert said.status in {1, 2} or said.document["root"] == root


def test_a_wal_that_is_none_changes_nothing(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    with open(path + "-wal", "wb") as file:
        file.write(b"nothing" * 1_000)
    said = bench.verify(path)
    assert (said.status, said.document["size"]) == (0, len(book.bodies))


def test_a_planted_journal_is_not_applied(bench: Bench, book: Book) -> None:
    path = bench.write(book)
    with open(path, "rb") as file:
        before = file.read()
    for plant in (lambda name: open(name, "wb").close(), os.mkdir, lambda name: os.symlink("nowhere", name)):
        plant(path + "-journal")
        said = bench.verify(path)
        assert (said.status, said.codes) == (2, ["input.journal"])
        (os.rmdir if os.path.isdir(path + "-journal") else os.unlink)(path + "-journal")
    with open(path, "rb") as file:
        assert file.read() == before
    assert bench.verify(path).status == 0


def test_in_a_folder_that_nobody_may_write_to(bench: Bench, book: Book) -> None:
    os.mkdir(bench.path("folder"))
    path = shutil.copy(bench.write(book), bench.path("folder/ledger.db"))
    os.chmod(path, 0o444)
    os.chmod(bench.path("folder"), 0o555)
    assert bench.verify(path).status == 0
    assert os.listdir(bench.path("folder")) == ["ledger.db"]


def test_a_file_that_changes_while_it_is_read_is_not_judged(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.write(book)
    true = reader.LedgerFile.integrity
    changes = []

    def touch(self: reader.LedgerFile) -> str | None:
        changes.append(1)
        os.utime(path, ns=(len(changes), len(changes)))
        return true(self)

    monkeypatch.setattr(reader.LedgerFile, "integrity", touch)
    with pytest.raises(NotCheckedError) as caught:
        verify(path)
    assert caught.value.code == "input.changing"
    assert len(changes) == reader.ATTEMPTS
    monkeypatch.setattr(
        reader.LedgerFile,
        "integrity",
        lambda self: touch(self) if len(changes) < reader.ATTEMPTS + 1 else true(self),
    )
    assert verify(path).exit == 3  # changed once, quiet afterwards


def test_it_may_grow_before_it_is_looked_at(
    bench: Bench, new_book: Callable[..., Book], monkeypatch: pytest.MonkeyPatch, shapes: Any
) -> None:
    """What the header says of the length must belong to the very state that is judged."""
    book = new_book()
    book.launch()
    path = bench.write(book)
    for _ in range(40):
        book.launch()
    later = bench.write(book)
    true, looks = reader._look, []

    def look(real: bytes) -> reader._Trace:
        looks.append(real)
        if len(looks) == 1:
            shutil.copyfile(later, path)
        return true(real)

    monkeypatch.setattr(reader, "_look", look)
    verdict = verify(path, pins=[Pin(shapes.KEY.public)])
    assert (verdict.exit, verdict.size) == (0, len(book.bodies))


@linux
def test_no_room_for_the_copy_is_not_checked(
    written: tuple[str, Writer, Book], bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, writer, _ = written
    writer.kill()
    with monkeypatch.context() as patch:
        # What tempfile says where it may write nowhere.
        patch.setattr(tempfile, "_get_default_tempdir", nowhere)
        patch.setattr(tempfile, "tempdir", None)
        said = bench.verify(path)
    assert (said.status, said.codes) == (2, ["input.too_large"])
    assert "TMPDIR" in said.text

    def full(source: bytes, target: bytes) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(private_copy, "_copy", full)
    said = bench.verify(path)
    assert (said.status, said.codes) == (2, ["input.too_large"])


def nowhere() -> str:
    raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']")


@linux
@pytest.mark.parametrize("suffix", [b"", b"-wal"])
def test_a_wal_that_is_taken_in_while_it_is_copied(
    written: tuple[str, Writer, Book], monkeypatch: pytest.MonkeyPatch, shapes: Any, suffix: bytes
) -> None:
    path, writer, book = written
    writer.kill()
    true, copied = private_copy._copy, list[bytes]()

    def copy(source: bytes, target: bytes) -> None:
        if source.endswith(b".db" + suffix) and not copied:
            copied.append(source)
            with contextlib.closing(sqlite3.connect(path)) as db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert not os.path.exists(path + "-wal")
        true(source, target)

    monkeypatch.setattr(private_copy, "_copy", copy)
    verdict = verify(path, pins=[Pin(shapes.KEY.public)])
    assert copied
    assert (verdict.exit, verdict.size) == (0, len(book.bodies))


def test_what_goes_away_for_good_does_not_exist(
    bench: Bench, book: Book, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = bench.write(book)
    true = reader._look

    def look(real: bytes) -> reader._Trace:
        if os.path.exists(real):
            os.unlink(real)
        return true(real)

    monkeypatch.setattr(reader, "_look", look)
    with pytest.raises(NotCheckedError, match="does not exist"):
        verify(path)


@linux
def test_it_may_grow_all_the_while(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    """Verify again and again while another process appends and checkpoints: 0 or 2, never 1."""
    book = new_book()
    book.launch()
    path = bench.write(book)
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")  # with a journal, so before anybody looks
    later = []
    for _ in range(12):
        book.launch()
        later.append(bench.write(book))
    code = WRITER.split("other =", maxsplit=1)[0] + textwrap.dedent("""
        import time
        for number, name in enumerate(sys.argv[2:]):
            sys.stdin.buffer.read(1)  # as a verification begins, however long each takes
            time.sleep(0.01)
            other = sqlite3.connect(name)
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT OR IGNORE INTO entry VALUES (?, ?)", other.execute("SELECT * FROM entry"))
            head = other.execute("SELECT note, edge FROM head").fetchone()
            db.execute("UPDATE head SET (note, edge) = (?, ?)", head)
            db.execute("COMMIT"); other.close(); time.sleep(0.03)
            if number % 3 == 2:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)"); time.sleep(0.03)
    """)
    pin = Pin(shapes.KEY.public)
    exits, sizes = [], []
    with subprocess.Popen([sys.executable, "-c", code, path, *later], stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        while process.poll() is None:
            with contextlib.suppress(BrokenPipeError):  # it has just ended
                os.write(process.stdin.fileno(), b"x")
            try:
                verdict = verify(path, pins=[pin])
            except NotCheckedError as error:
                assert error.code in {"input.changing", "input.busy"}  # noqa: PT017  # the loop goes on
                continue
            exits.append(verdict.exit)
            sizes.append(verdict.size)
    assert set(exits) == {0}
    assert len(set(sizes)) > 2
    assert bench.verify(path).document["size"] == len(book.bodies)


@linux
def test_a_launch_that_runs_is_told_from_one_that_does_not(
    bench: Bench, new_book: Callable[..., Book], shapes: Any
) -> None:
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot = file.read().strip()
    with subprocess.Popen(["sleep", "60"]) as process:
        with open(f"/proc/{process.pid}/stat", encoding="ascii") as file:
            started = int(file.read().rpartition(") ")[2].split()[19])
        host = {**shapes.INTENT["host"], "boot_id": boot}
        supervisor = {
            "pid": process.pid,
            "pid_namespace": str(os.stat("/proc/self/ns/pid").st_ino),
            "start_time": started,
            "version": "0.1.0",
        }

        def verdict(
            host: dict[str, Any], supervisor: dict[str, Any], *arguments: str
        ) -> tuple[int, list[str], int]:
            book = new_book()
            intent = shapes.changed(shapes.INTENT, host=host, supervisor=supervisor)
            book.add("launch.intent", book.new_session(), intent)
            said = bench.verify(bench.write(book), *arguments)
            return said.status, said.codes, said.document["launches"]["running"]

        assert verdict(host, supervisor) == (3, ["launch.running"], 1)
        assert verdict(host, supervisor, "--allow-running") == (0, [], 1)
        with open(bench.path("attested.toml"), "w", encoding="utf-8") as file:
            file.write("version = 1\n[every]\nattested = true\n")
        policy = ("--policy", bench.path("attested.toml"))
        assert verdict(host, supervisor, *policy) == (3, ["launch.running", "policy.attested"], 1)
        assert verdict(host, supervisor, "--allow-running", *policy) == (0, [], 1)
        for other_host, other in (
            ({**host, "boot_id": "0" * 8 + boot[8:]}, supervisor),
            (host, {**supervisor, "pid_namespace": "1"}),
            (host, {**supervisor, "start_time": started + 1}),
        ):
            assert verdict(other_host, other, "--allow-running") == (3, ["launch.unfinished"], 0)
        process.send_signal(signal.SIGSTOP)
        process.kill()
        # A zombie from now on: it has ended, whatever its pid says.
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert verdict(host, supervisor, "--allow-running") == (3, ["launch.unfinished"], 0)
