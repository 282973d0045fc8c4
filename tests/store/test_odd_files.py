"""What is no ledger of this user is refused before SQLite touches it, and stays as it is."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sqlite3
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attest import ledger_format
from store import LedgerError
from store.reading import LedgerReader
from tests.store.place import Place, drafts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

NOBODY = 65534


def _refused(place: Place, code: str, *, by_reader: bool = True) -> None:
    with pytest.raises(LedgerError) as caught:
        place.open()
    assert caught.value.code == code, str(caught.value)
    assert os.fsdecode(place.path) in str(caught.value)
    if by_reader:
        with pytest.raises(LedgerError) as caught:
            LedgerReader(place.path)
        assert caught.value.code == code


def _digests(place: Place) -> dict[str, str]:
    return {
        name: hashlib.sha256((place.directory / name).read_bytes()).hexdigest()
        for name in sorted(os.listdir(place.directory))
        if name != "state"
    }


def _other_database(place: Place, *pragmas: str) -> sqlite3.Connection:
    connection = sqlite3.connect(os.fsdecode(place.path), isolation_level=None)
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE t (x)")
    connection.execute("INSERT INTO t VALUES ('precious')")
    return connection


@pytest.mark.parametrize("content", [b"", b"x", b"SQLite format 3\0", bytes(4096), b"%PDF-1.7\n" * 500])
def test_what_is_no_database(place: Place, content: bytes) -> None:
    (place.directory / place.name).write_bytes(content)
    before = _digests(place)
    _refused(place, "ledger.format")
    assert _digests(place) == before


def test_another_database_stays_byte_for_byte(place: Place) -> None:
    _other_database(place).close()
    before = _digests(place)
    _refused(place, "ledger.format")
    assert _digests(place) == before


def test_another_database_with_a_log_stays_byte_for_byte(place: Place) -> None:
    """Opened like a ledger, its log would be folded into it."""
    with contextlib.closing(_other_database(place, "journal_mode=WAL")):
        files = {name: (place.directory / name).read_bytes() for name in os.listdir(place.directory)}
    for name, content in files.items():
        (place.directory / name).write_bytes(content)
    assert f"{place.name}-wal" in files
    before = _digests(place)
    _refused(place, "ledger.format")
    assert _digests(place) == before


def test_another_database_with_a_hot_journal_stays_byte_for_byte(place: Place) -> None:
    """Opened like a ledger, its last transaction would be rolled back."""
    with contextlib.closing(_other_database(place)) as connection:
        connection.execute("PRAGMA cache_size = 1")
        connection.execute("BEGIN")
        for number in range(200):
            connection.execute("INSERT INTO t VALUES (?)", (f"{number}" * 500,))
        files = {name: (place.directory / name).read_bytes() for name in os.listdir(place.directory)}
    for name, content in files.items():
        (place.directory / name).write_bytes(content)
    assert f"{place.name}-journal" in files
    before = _digests(place)
    _refused(place, "ledger.format")
    assert _digests(place) == before


def test_a_database_with_our_application_id_and_other_tables(place: Place) -> None:
    application = f"application_id = {ledger_format.APPLICATION_ID}"
    _other_database(place, application, f"user_version = {ledger_format.FORMAT_VERSION}").close()
    before = _digests(place)
    _refused(place, "ledger.schema")
    assert _digests(place) == before


@pytest.mark.parametrize(
    ("pragma", "code"),
    [
        ("application_id = 0", "ledger.format"),
        ("user_version = 2", "ledger.version"),
        ("user_version = 0", "ledger.version"),
    ],
)
def test_another_application_or_version(place: Place, pragma: str, code: str) -> None:
    place.found(3).close()
    with contextlib.closing(sqlite3.connect(os.fsdecode(place.path))) as connection:
        connection.execute(f"PRAGMA {pragma}")
    before = _digests(place)
    _refused(place, code)
    assert _digests(place) == before


def test_another_encoding(place: Place) -> None:
    connection = sqlite3.connect(os.fsdecode(place.path), isolation_level=None)
    connection.execute("PRAGMA encoding = 'UTF-16le'")
    connection.execute(f"PRAGMA application_id = {ledger_format.APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {ledger_format.FORMAT_VERSION}")
    for statement in ledger_format.ddl():
        connection.execute(statement)
    connection.close()
    _refused(place, "ledger.schema")


def test_a_directory(place: Place) -> None:
    os.mkdir(place.path)
    _refused(place, "ledger.not_regular")


def test_a_fifo_does_not_block(place: Place) -> None:
    os.mkfifo(place.path)
    _refused(place, "ledger.not_regular")


def test_a_socket(place: Place) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(os.fsdecode(place.path))
        _refused(place, "ledger.not_regular")


def test_a_device(place: Place) -> None:
    with pytest.raises(LedgerError) as caught:
        Place(Path("/dev"), name="null").open()
    assert caught.value.code == "ledger.not_regular"


@pytest.mark.parametrize("target", ["real.db", "nowhere", "ledger.db"])
def test_a_symbolic_link(place: Place, target: str) -> None:
    Place(place.directory, place.key, "real.db").found().close()
    os.symlink(target, place.path)
    _refused(place, "ledger.symlink")


def test_nothing_and_no_directory(place: Place) -> None:
    _refused(place, "ledger.missing")
    assert os.listdir(place.directory) == []
    _refused(Place(place.directory / "missing"), "ledger.missing")


def test_a_name_with_a_nul(place: Place) -> None:
    place.name = "a\0b"
    with pytest.raises(LedgerError):
        place.open()
    with pytest.raises(LedgerError):
        place.found()


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_what_others_may_write(place: Place, mode: int) -> None:
    place.found().close()
    os.chmod(place.path, mode)
    _refused(place, "ledger.mode", by_reader=False)
    os.chmod(place.path, 0o644)
    place.open().close()


def test_what_belongs_to_another_user(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.found().close()
    own = os.geteuid()
    if own == 0:
        os.chown(place.path, NOBODY, NOBODY)
        _refused(place, "ledger.owner", by_reader=False)
        os.chown(place.path, 0, 0)
        place.open().close()
    monkeypatch.setattr(os, "geteuid", lambda: own + 1)
    _refused(place, "ledger.owner", by_reader=False)


# --- permissions, as an ordinary user ---------------------------------------------------------------


@pytest.fixture
def reachable() -> Iterator[Place]:
    """A place that an ordinary user can reach: the directories of the test runner are its own."""
    with tempfile.TemporaryDirectory(prefix="nono-") as directory:
        os.chmod(directory, 0o755)
        yield Place(Path(directory))


def _as_ordinary_user(place: Place, attempt: Callable[[], object]) -> str:
    """Return what an attempt raises (its code), or ``done``, in a child without root's privileges."""
    if os.geteuid() == 0:
        for directory, _, names in os.walk(place.directory):
            for each in (directory, *(os.path.join(directory, name) for name in names)):
                os.chown(each, NOBODY, NOBODY)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # the test runner may have threads; the child has one
        child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setresgid(NOBODY, NOBODY, NOBODY)
                os.setresuid(NOBODY, NOBODY, NOBODY)
            try:
                attempt()
                said = "done"
            except LedgerError as error:
                said = error.code
            except BaseException as error:  # noqa: BLE001  # it is told to the parent
                said = repr(error)
            os.write(writing, said.encode())
        finally:
            os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        said = pipe.read()
    os.waitpid(child, 0)
    return said


def _append(place: Place) -> None:
    with place.open() as ledger:
        ledger.append(drafts())


def test_an_ordinary_user_can_append_at_all(reachable: Place) -> None:
    reachable.found().close()
    assert _as_ordinary_user(reachable, lambda: _append(reachable)) == "done"


def test_a_read_only_file(reachable: Place) -> None:
    reachable.found().close()
    os.chmod(reachable.path, 0o400)
    assert _as_ordinary_user(reachable, lambda: _append(reachable)) == "ledger.readonly"


def test_an_unreadable_file(reachable: Place) -> None:
    reachable.found().close()
    os.chmod(reachable.path, 0o000)
    assert _as_ordinary_user(reachable, lambda: _append(reachable)) == "ledger.readonly"


def test_a_read_only_directory(reachable: Place) -> None:
    reachable.found().close()
    os.chmod(reachable.directory, 0o555)
    try:
        assert _as_ordinary_user(reachable, lambda: _append(reachable)) == "ledger.readonly"
        assert (
            _as_ordinary_user(reachable, lambda: Place(reachable.directory, name="new.db").found())
            == "ledger.create"
        )
        assert sorted(os.listdir(reachable.directory)) == [reachable.name, "state"]
    finally:
        os.chmod(reachable.directory, 0o755)


def test_a_state_directory_that_cannot_be_written(reachable: Place) -> None:
    reachable.found(2).close()
    before = reachable.head()
    reachable.memory.unlink()
    os.chmod(reachable.directory / "state" / "heads", 0o555)
    assert _as_ordinary_user(reachable, lambda: _append(reachable)) == "ledger.memory"
    if os.geteuid() == 0:
        os.chown(reachable.path, 0, 0)
    assert reachable.head() == before
