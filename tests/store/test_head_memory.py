"""What the host remembers of the heads that it signed."""

from __future__ import annotations

import multiprocessing
import os
from typing import TYPE_CHECKING

import pytest

from attest import checkpoint
from store import LedgerError
from store.head_memory import HeadMemory, RememberedHead
from tests.store.place import Place, drafts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ORIGIN = "host/0123456789abcdef0123456789abcdef"


@pytest.fixture
def memory(tmp_path: Path) -> HeadMemory:
    return HeadMemory(os.fsencode(tmp_path / "state" / "heads"), ORIGIN)


def test_nothing_is_remembered_at_first(memory: HeadMemory) -> None:
    assert memory.read() is None


def test_the_last_head_is_remembered_in_a_file_of_the_users_own(memory: HeadMemory) -> None:
    for size in (1, 9, 10, 99, 100):
        memory.write(size, bytes([size]) * 32)
        assert memory.read() == RememberedHead(size, bytes([size]) * 32)
        assert HeadMemory(os.path.dirname(memory.path), ORIGIN).read() == memory.read()
    assert os.stat(memory.path).st_mode & 0o777 == 0o600
    assert os.stat(os.path.dirname(memory.path)).st_mode & 0o777 == 0o700


def test_a_slower_writer_neither_lowers_nor_garbles_it(memory: HeadMemory) -> None:
    other = HeadMemory(os.path.dirname(memory.path), ORIGIN)
    memory.write(9, bytes(32))
    other.write(10, b"\1" * 32)
    memory.write(9, bytes(32))
    memory.write(8, bytes(32))
    for each in (memory, other):
        assert each.read() == RememberedHead(10, b"\1" * 32)


def _write_some(directory: bytes, first: int) -> None:
    memory = HeadMemory(directory, ORIGIN)
    for size in range(first, 1200, 4):
        memory.write(size, size.to_bytes(32))
        read = memory.read()
        assert read is not None
        assert read.size >= size
        assert read.root == read.size.to_bytes(32), "torn"


def test_many_writers_leave_the_largest_and_nobody_reads_a_torn_one(memory: HeadMemory) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=_write_some, args=(os.path.dirname(memory.path), first))
        for first in range(1, 5)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert memory.read() == RememberedHead(1199, (1199).to_bytes(32))


def test_a_file_that_never_reached_the_disk_says_nothing(memory: HeadMemory) -> None:
    memory.write(5, bytes(32))
    for content in (b"", bytes(84)):
        with open(memory.path, "wb") as file:
            file.write(content)
        assert memory.read() is None


def _text(origin: str = ORIGIN, size: str = "5", root: str = "A" * 43 + "=") -> bytes:
    return f"{origin}\n{size}\n{root}\n".encode()


def test_the_form_that_is_garbled_below_is_read_when_it_is_not(memory: HeadMemory) -> None:
    memory.write(4, bytes(32))
    with open(memory.path, "wb") as file:
        file.write(_text())
    assert memory.read() == RememberedHead(5, bytes(32))


@pytest.mark.parametrize(
    "content",
    [
        b"garbage",
        b"\n\n\n",
        _text()[:-1],
        _text()[:50],
        _text() + b"\n",
        _text() + b"x" * 1000,
        _text(size="05"),
        _text(size="-1"),
        _text(size="9" * 17),
        _text(size="\u0665"),
        _text(root="A" * 43),
        _text(root="AAAA"),
        _text("host/" + "f" * 32),
        b"\xff" + _text(),
        b"\0" + _text(),
    ],
)
def test_garbage_in_memory_refuses_the_ledger_and_stays(place: Place, content: bytes) -> None:
    place.found(2).close()
    place.memory.write_bytes(content)
    before = place.head()
    with pytest.raises(LedgerError) as caught:
        place.open()
    assert caught.value.code == "ledger.memory"
    assert caught.value.hint
    assert (place.head(), place.memory.read_bytes()) == (before, content)


def test_garbage_that_comes_after_the_commit_does_not_call_it_lost(place: Place) -> None:
    with place.found(2) as ledger:
        place.memory.write_bytes(b"garbage")
        assert ledger.append(drafts())[0].index == 3
    assert place.memory.read_bytes() == b"garbage"
    with pytest.raises(LedgerError):
        place.open()


@pytest.mark.parametrize(
    "make",
    [
        os.mkdir,
        os.mkfifo,
        lambda path: os.symlink("/dev/null", path),
        lambda path: os.symlink("elsewhere", path),
    ],
    ids=["directory", "fifo", "link", "dangling"],
)
def test_what_is_no_file_at_its_place_refuses_the_ledger(place: Place, make: Callable[[str], None]) -> None:
    place.found(2).close()
    file = place.memory
    file.unlink()
    make(str(file))
    before = place.head()
    with pytest.raises(LedgerError) as caught:
        place.open()
    assert caught.value.code == "ledger.memory"
    assert place.head() == before


def test_a_memory_that_lags_is_no_accusation(place: Place) -> None:
    place.found(2).close()
    old = place.memory.read_bytes()
    for more in (1, 1, 300, 1):
        with place.open() as ledger:
            ledger.append(drafts(more))
        place.memory.write_bytes(old)
    with place.open() as ledger:
        ledger.append(drafts())
    assert len(place.check()) == 307
    assert checkpoint.parse_text(place.memory.read_text()).size == 307


def test_a_memory_that_was_removed_at_work_is_made_anew(place: Place) -> None:
    with place.found(2) as ledger:
        place.memory.unlink()
        ledger.append(drafts())
        assert checkpoint.parse_text(place.memory.read_text()).size == 4


def test_a_lock_that_somebody_keeps_does_not_stop_a_commit(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    monkeypatch.setattr("store.head_memory._LOCK_PAUSE_SECONDS", 0.0001)
    with place.found(2) as ledger:
        old = place.memory.read_bytes()
        with open(place.memory, "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            assert ledger.append(drafts())[0].index == 3
            assert place.memory.read_bytes() == old
            with pytest.raises(LedgerError) as caught:
                place.open()
            assert caught.value.code == "ledger.memory"
        ledger.append(drafts())
    assert checkpoint.parse_text(place.memory.read_text()).size == 5
    assert len(place.check()) == 5


def test_each_ledger_has_a_memory_of_its_own(tmp_path: Path) -> None:
    for name in ("a.db", "b.db"):
        Place(tmp_path, name=name).found(1).close()
    assert len(os.listdir(tmp_path / "state" / "heads")) == 2
