"""Whose turn it is: writers wait for each other, and nobody waits for ever."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from store.turn import Turn
from tests.store.place import SOURCES, drafts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from store import Ledger
    from tests.store.place import Place

HOLDER = """\
import os, sys
from store.turn import Turn
turn = Turn(os.fsencode(sys.argv[1]), b"l.db")
turn.take()
os.write(1, b"x")
os.read(0, 1)
"""


def _holder(directory: Path) -> subprocess.Popen[bytes]:
    """Start a process that has the turn until it may go on."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": SOURCES},
    )
    assert holder.stdout is not None
    assert holder.stdout.read(1) == b"x"
    return holder


def test_the_next_one_waits_until_the_turn_is_given_up(tmp_path: Path) -> None:
    first, second = (Turn(os.fsencode(tmp_path / "turns"), b"l.db") for _ in range(2))
    first.take()
    had = threading.Event()

    def wait() -> None:
        second.take()
        had.set()

    waiting = threading.Thread(target=wait)
    waiting.start()
    assert not had.wait(0.2)
    first.give_up()
    assert had.wait(4)
    waiting.join()
    first.close()
    second.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, None])
def test_whoever_dies_has_it_no_more(tmp_path: Path, how: signal.Signals | None) -> None:
    holder = _holder(tmp_path)
    if how is None:
        holder.communicate(b"x")
    else:
        holder.send_signal(how)
        holder.communicate()
    turn = Turn(os.fsencode(tmp_path), b"l.db")
    begun = time.monotonic()
    turn.take()
    assert time.monotonic() - begun < 4
    turn.close()


def test_a_stopped_process_that_has_it_stops_nobody_for_ever(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.turn._PATIENCE_SECONDS", 0.2)
    place.found().close()
    turns = place.directory / "state" / "turns"
    (turn,) = turns.iterdir()
    turn.rename(turns / "l.db.turn")
    os.link(turns / "l.db.turn", turn)
    holder = _holder(turns)
    holder.send_signal(signal.SIGSTOP)
    try:
        with place.open() as ledger:
            assert ledger.append(drafts())[0].index == 1
    finally:
        holder.kill()
        holder.communicate()
    assert len(place.check()) == 2


def test_where_something_is_written_a_writer_waits_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.turn._PATIENCE_SECONDS", 1.0)
    log = tmp_path / "l.db-wal"
    log.write_bytes(b"")
    first, second, third = (
        Turn(os.fsencode(tmp_path), b"l.db", os.fsencode(log) if watches else None)
        for watches in (False, True, False)
    )
    first.take()
    waiting, unseeing = (threading.Thread(target=each.take) for each in (second, third))
    waiting.start()
    unseeing.start()
    begun = time.monotonic()
    while time.monotonic() - begun < 3:  # three times the patience, and in every part of it there is more
        with log.open("ab") as file:
            file.write(b"x")
        time.sleep(0.01)
    unseeing.join()
    assert waiting.is_alive()
    assert not unseeing.is_alive()
    first.give_up()
    waiting.join(4)
    assert (second.is_held, third.is_held) == (True, False)
    for turn in (first, second, third):
        turn.close()


def test_however_much_is_written_nobody_waits_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("store.turn._PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr("store.turn._MOST_SECONDS", 0.4)
    log = tmp_path / "l.db-wal"
    first, second = (Turn(os.fsencode(tmp_path), b"l.db", os.fsencode(log)) for _ in range(2))
    first.take()
    waiting = threading.Thread(target=second.take)
    waiting.start()
    begun = time.monotonic()
    while waiting.is_alive() and time.monotonic() - begun < 4:
        log.write_bytes(b"x" * int(1e3 * (time.monotonic() - begun)))
    assert not waiting.is_alive()
    assert not second.is_held
    for turn in (first, second):
        turn.close()


def test_opening_and_closing_wait_for_it_with_the_file_let_alone(place: Place) -> None:
    """SQLite would make whoever else comes wait its own way: the last to close holds all of the file."""
    place.found().close()
    turns = place.directory / "state" / "turns"
    (file,) = turns.iterdir()
    turn = Turn(os.fsencode(turns), os.fsencode(file.name.removesuffix(".turn")))
    opened: list[Ledger] = []

    def lets_the_file_alone(work: Callable[[], None]) -> None:
        turn.take()
        done = threading.Event()
        before = descriptors()

        def act() -> None:
            work()
            done.set()

        waiting = threading.Thread(target=act)
        waiting.start()
        assert not done.wait(0.2)
        assert descriptors() == before
        turn.give_up()
        assert done.wait(4)
        waiting.join()

    def descriptors() -> int:
        """Return how many there are of the ledger's file, whatever of it SQLite has open."""
        links = []
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(FileNotFoundError):  # what the directory was listed with
                links.append(os.readlink(f"/proc/self/fd/{number}"))
        return sum(link.startswith(os.fsdecode(place.path)) for link in links)

    lets_the_file_alone(lambda: opened.append(place.open()))
    lets_the_file_alone(opened[0].close)
    turn.close()


@pytest.mark.parametrize("in_the_way", ["file", "directory", "link", "fifo"])
def test_a_ledger_does_without_where_there_can_be_none(place: Place, in_the_way: str) -> None:
    place.found().close()
    turns = place.directory / "state" / "turns"
    (turn,) = turns.iterdir()
    turn.unlink()
    elsewhere = place.directory / "elsewhere"
    if in_the_way == "file":
        turns.rmdir()
        turns.write_bytes(b"")
    elif in_the_way == "directory":
        turn.mkdir()
    elif in_the_way == "link":
        turn.symlink_to(elsewhere)
    else:
        os.mkfifo(turn)
    with place.open() as ledger:
        assert ledger.append(drafts())[0].index == 1
    assert not elsewhere.exists()
    assert len(place.check()) == 2


def test_the_file_is_the_users_own(place: Place) -> None:
    before = os.umask(0)
    try:
        place.found().close()
    finally:
        os.umask(before)
    turns = place.directory / "state" / "turns"
    (turn,) = turns.iterdir()
    assert turns.stat().st_mode & 0o777 == 0o700
    assert turn.stat().st_mode & 0o777 == 0o600
