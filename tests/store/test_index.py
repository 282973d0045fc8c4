"""The index: made from ledgers, caught up on use, thrown away when damaged, and never anybody else's file."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from attest import entry as entries
from attest.keys import SigningKey
from store import Draft
from store.errors import LedgerError, SearchIndexError
from store.index import Criteria, SearchIndex, reread, wording
from store.index.bodies import LedgerBodies
from tests.store.recorded_launches import (
    INTENT,
    NOT_STARTED,
    OUTCOME,
    SHA,
    START,
    changed,
    drafts,
    open_ledger,
    session_id,
    this_process,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from store.index import IndexedState, LaunchRecord

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the index lies by default."""
    return tmp_path / "cache" / "nono" / "index.db"


def launches_of(path: Path) -> list[LaunchRecord]:
    with SearchIndex() as index:
        return index.launches(index.catch_up(os.fsencode(path)))


def state_of(path: Path) -> IndexedState:
    with SearchIndex() as index:
        return index.catch_up(os.fsencode(path))


def write(path: Path, *numbers: int, tmp_path: Path) -> None:
    with open_ledger(path, tmp_path / "state") as ledger:
        for number in numbers:
            ledger.append(drafts(session_id(number)))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    """A ledger of three launches."""
    path = tmp_path / "ledger.db"
    write(path, 1, 2, 3, tmp_path=tmp_path)
    return path


def sessions(found: list[LaunchRecord]) -> list[str]:
    return [launch.session for launch in found]


def tamper(path: Path, *statements: str) -> None:
    """Change a ledger in ways that its triggers forbid, and leave its schema as it was."""
    database = sqlite3.connect(path, isolation_level=None)
    triggers = database.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
    ).fetchall()
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        database.execute(statement)
    for _, sql in triggers:
        database.execute(sql)
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


# --- what a row says ------------------------------------------------------------------------------


def test_a_launch_is_listed_with_where_it_stands_and_how_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    intent = changed(INTENT, labels={"run": "7", "job": "build"}, command=["make", "a b"])
    with open_ledger(path, tmp_path / "state") as ledger:
        first = ledger.append(
            drafts(session_id(1), intent=intent, decisions=2, outcome=changed(OUTCOME, exit=3))
        )
    (launch,) = launches_of(path)
    assert (launch.intent, launch.start, launch.outcome, launch.attestation, launch.lost) == (
        1,
        2,
        5,
        6,
        None,
    )
    assert (launch.first, launch.last, launch.entries) == (1, 6, 6)
    assert (launch.state, launch.exit, launch.signal, launch.not_started) == ("complete", 3, None, None)
    assert (launch.program, launch.command) == ("make", "make 'a b'")
    assert (launch.executable, launch.executable_sha256) == ("/usr/bin/echo", "cd" * 32)
    assert (launch.decisions, launch.denied, launch.duration_us) == (2, 2, 1_500)
    assert launch.labels == {"run": "7", "job": "build"}
    assert launch.time == first[0].entry.time


def test_states_are_complete_running_unfinished_and_lost(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    here = changed(INTENT, **this_process())
    # The same pid, started at another time: another process that got its number later.
    reused = changed(
        here, supervisor=changed(here["supervisor"], start_time=here["supervisor"]["start_time"] + 1)
    )
    elsewhere = changed(here, supervisor=changed(here["supervisor"], pid_namespace="1"))
    with open_ledger(path, tmp_path / "state") as ledger:
        for number, intent in enumerate((here, reused, elsewhere, INTENT)):
            ledger.append(drafts(session_id(number), intent=intent, outcome=None, closing=None))
        ledger.append(drafts(session_id(4), outcome=None, closing=entries.LOST))
        ledger.append(drafts(session_id(5), start=None, outcome=NOT_STARTED))
        ledger.append(
            drafts(session_id(6), intent=changed(INTENT, strategy="direct"), outcome=None, closing=None)
        )
    found = launches_of(path)
    assert [launch.state for launch in reversed(found)] == [
        "running", "unfinished", "unfinished", "unfinished", "lost", "complete", "complete",
    ]  # fmt: skip
    assert found[1].not_started == "executable.missing"


def test_a_running_launch_is_unfinished_once_its_supervisor_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    child = subprocess.Popen(["/bin/sleep", "60"])
    try:
        stat_line = Path(f"/proc/{child.pid}/stat").read_bytes()
        here = this_process()
        here["supervisor"].update(pid=child.pid, start_time=int(stat_line.rpartition(b")")[2].split()[19]))
        with open_ledger(path, tmp_path / "state") as ledger:
            ledger.append(drafts(session_id(1), intent=changed(INTENT, **here), outcome=None, closing=None))
        assert launches_of(path)[0].state == "running"
    finally:
        child.kill()
        child.wait()
    assert launches_of(path)[0].state == "unfinished"


def test_a_command_too_large_for_its_entry_is_read_from_its_blob_and_cut(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    intent = changed(INTENT, command=["tool", *["x" * 1_000] * 200])
    with open_ledger(path, tmp_path / "state") as ledger:
        appended = ledger.append(drafts(session_id(1), intent=intent))
    assert "blob" in str(appended[0].entry.data["command"])
    (launch,) = launches_of(path)
    assert launch.command is not None
    assert launch.command.startswith("tool xxx")
    assert launch.command.endswith("…")
    assert len(launch.command) == 4_096


# --- catching up ----------------------------------------------------------------------------------


def test_the_newest_comes_first_and_a_limit_holds(ledger: Path) -> None:
    with SearchIndex() as index:
        state = index.catch_up(os.fsencode(ledger))
        assert sessions(index.launches(state)) == [session_id(3), session_id(2), session_id(1)]
        assert sessions(index.launches(state, limit=1)) == [session_id(3)]
        assert index.count(state) == 3


def test_only_what_is_new_is_read(ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(launches_of(ledger)) == 3
    write(ledger, 4, tmp_path=tmp_path)
    read: list[tuple[int, int]] = []
    whole = LedgerBodies.bodies

    def watched(reader: LedgerBodies, start: int, end: int) -> Iterator[tuple[int, bytes | None]]:
        read.append((start, end))
        return whole(reader, start, end)

    monkeypatch.setattr(LedgerBodies, "bodies", watched)
    assert len(launches_of(ledger)) == 4
    assert read == [(13, 17)]
    assert len(launches_of(ledger)) == 4
    assert read == [(13, 17)]


def test_a_launch_that_was_open_is_completed_when_its_end_is_indexed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    made = drafts(session_id(1))
    with open_ledger(path, tmp_path / "state") as ledger:
        ledger.append(made[:2])
        ledger.append(drafts(session_id(2)))
        assert [launch.state for launch in launches_of(path)] == ["complete", "unfinished"]
        ledger.append(made[2:])
    found = launches_of(path)
    assert [launch.state for launch in found] == ["complete", "complete"]
    assert (found[1].first, found[1].last, found[1].entries, found[1].exit) == (1, 8, 4, 0)


def test_many_interleaved_launches_are_the_same_caught_up_at_once_and_step_by_step(tmp_path: Path) -> None:
    path, other = tmp_path / "ledger.db", tmp_path / "index-of-all.db"
    waiting = [drafts(session_id(number), decisions=number % 3) for number in range(700)]
    with open_ledger(path, tmp_path / "state") as ledger:
        while any(waiting):
            # Round robin: sessions overlap across many more entries than are held in memory at once.
            ledger.append([made.pop(0) for made in waiting if made])
            launches_of(path)
    with SearchIndex(f"sqlite:///{other}") as index:
        at_once = index.launches(index.catch_up(os.fsencode(path)))
    assert launches_of(path) == at_once
    assert len(at_once) == 700
    assert {launch.state for launch in at_once} == {"complete"}
    assert [launch.entries for launch in at_once] == [4 + number % 3 for number in reversed(range(700))]


def test_several_ledgers_keep_apart(ledger: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    write(other, 1, 9, tmp_path=tmp_path)
    with SearchIndex() as index:
        first, second = index.catch_up(os.fsencode(ledger)), index.catch_up(os.fsencode(other))
        assert first.origin != second.origin
        assert sessions(index.launches(second)) == [session_id(9), session_id(1)]
        assert len(index.launches(first)) == 3
        assert sessions(index.launches(second, Criteria(session=session_id(9)[:12]))) == [session_id(9)]
        assert index.launches(first, Criteria(session=session_id(9)[:12])) == []


def test_a_ledger_under_two_names_is_one(ledger: Path, tmp_path: Path, file: Path) -> None:
    (tmp_path / "directory").symlink_to(tmp_path)
    assert state_of(ledger).path == state_of(tmp_path / "directory" / "ledger.db").path
    with contextlib.closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT count(*) FROM index_ledger").fetchone() == (1,)


def test_a_path_that_is_not_utf_8_is_indexed(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff\xfe.db"))
    write(path, 1, tmp_path=tmp_path)
    assert sessions(launches_of(path)) == [session_id(1)]


@pytest.mark.parametrize("replacement", ["shorter", "as long", "longer"])
def test_a_ledger_that_was_replaced_is_indexed_anew(ledger: Path, tmp_path: Path, replacement: str) -> None:
    before = state_of(ledger)
    other = tmp_path / "other.db"
    numbers = {"shorter": [7], "as long": [7, 8, 9], "longer": [6, 7, 8, 9]}[replacement]
    write(other, *numbers, tmp_path=tmp_path)
    os.replace(other, ledger)
    after = state_of(ledger)
    assert after.consistent
    assert after.origin != before.origin
    assert sessions(launches_of(ledger)) == [session_id(number) for number in reversed(numbers)]


def test_an_older_copy_put_back_and_continued_otherwise_is_indexed_anew(ledger: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    copy.write_bytes(ledger.read_bytes())
    write(ledger, 4, tmp_path=tmp_path)
    assert len(launches_of(ledger)) == 4
    # Elsewhere, where nothing is remembered, the same key continues the copy: one origin, two histories.
    with open_ledger(copy, tmp_path / "elsewhere") as forked:
        for number in (5, 6):
            forked.append(drafts(session_id(number)))
    os.replace(copy, ledger)
    assert sessions(launches_of(ledger)) == [session_id(number) for number in (6, 5, 3, 2, 1)]
    assert state_of(ledger).consistent


# --- damaged and hostile ledgers --------------------------------------------------------------------


def test_an_edited_ledger_is_listed_but_is_said_not_to_be_consistent(ledger: Path, file: Path) -> None:
    assert state_of(ledger).consistent
    tamper(ledger, "UPDATE entry SET body = replace(body, 'hello world', 'jello world') WHERE idx = 5")
    file.unlink()
    state = state_of(ledger)
    assert not state.consistent
    assert "jello" in (launches_of(ledger)[1].command or "")


def test_an_edited_ledger_that_grows_is_noticed_without_losing_the_index(
    ledger: Path, tmp_path: Path
) -> None:
    assert state_of(ledger).consistent
    tamper(
        ledger,
        "UPDATE head SET note = replace(note, char(10) || '13' || char(10), char(10) || '12' || char(10))",
    )
    state = state_of(ledger)
    assert (state.size, state.consistent) == (12, False)
    assert len(launches_of(ledger)) == 3
    assert launches_of(ledger)[0].state == "unfinished"


@pytest.mark.parametrize(
    "body",
    [
        "'{'",
        "'[]'",
        "''",
        "zeroblob(0)",
        "'{\"a\":1}'",
        "printf('%*c', 70000, 'x')",
        "printf('%*c', 300000, 'x')",
    ],
)
def test_an_entry_that_cannot_be_read_is_counted_and_hides_no_other(ledger: Path, body: str) -> None:
    tamper(ledger, f"UPDATE entry SET body = CAST({body} AS TEXT) WHERE idx = 5")
    state = state_of(ledger)
    assert (state.skipped, state.consistent) == (1, False)
    found = launches_of(ledger)
    # The launch whose intent it was is still there, from its other entries.
    assert sessions(found) == [session_id(3), session_id(2), session_id(1)]
    assert (found[1].intent, found[1].command, found[1].start, found[1].state) == (None, None, 6, "complete")


def test_missing_entries_are_no_reason_to_stop(ledger: Path) -> None:
    tamper(ledger, "DELETE FROM entry WHERE idx IN (5, 6)")
    assert not state_of(ledger).consistent
    assert [launch.entries for launch in launches_of(ledger)] == [4, 2, 4]


def test_values_of_wrong_types_and_hostile_text_are_listed_as_far_as_they_are_understood(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.db"
    nested: dict[str, object] = {"parts": [{"parts": ["x"]}, {"redacted": 7}, {"redacted": "\x1b[2J"}]}
    hostile = changed(
        INTENT,
        command=["\0\x1b]0;owned\x07", nested, 5, None, {"redacted": "flag"}, "\u2039redacted: flag\u203a"],
        labels={"ab": "\0" * 600, "n": 5, "x" * 300: "\x1b", **{f"l{number}": "" for number in range(100)}},
        host=[],
        supervisor="nobody",
        strategy={"no": "text"},
    )
    with open_ledger(path, tmp_path / "state") as ledger:
        ledger.append(
            drafts(
                session_id(1),
                intent=hostile,
                start={"executable": {"path": {"base64": "!"}, "sha256": 5}},
                outcome={
                    "exit": "0",
                    "signal": True,
                    "not_started": [],
                    "counts": None,
                    "duration_us": -(2**53) + 1,
                },
                checked=False,
            )
        )
        ledger.append(
            [Draft("launch.intent", "not a session", 0, {}), Draft("launch.future", session_id(2), 0, {})]
        )
    found = launches_of(path)
    assert [launch.session for launch in found] == [session_id(2), session_id(1)]
    launch = found[1]
    assert (launch.command or "").translate({0x2039: "<", 0x203A: ">"}) == (
        "$'\\x00\\x1b]0;owned\\x07' <unreadable><redacted: <unreadable>><redacted: $'\\x1b[2J'>"
        " <unreadable> <unreadable> <redacted: flag> '<redacted: flag>'"
    )
    assert len(launch.labels) <= 64
    assert launch.labels["ab"] == "␀" * 512
    assert (launch.exit, launch.signal, launch.not_started, launch.executable_sha256) == (
        None,
        None,
        None,
        None,
    )
    assert launch.executable == wording.UNREADABLE
    assert state_of(path).skipped == 1


def test_a_session_that_a_hostile_ledger_holds_twice_is_listed_twice(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path, tmp_path / "state") as ledger:
        ledger.append(drafts(session_id(1)))
        ledger.append(drafts(session_id(1), outcome=changed(OUTCOME, exit=7)))
    found = launches_of(path)
    assert [(launch.first, launch.exit) for launch in found] == [(5, 7), (1, 0)]
    assert [launch.exit for launch in (reread(os.fsencode(path), item).launch for item in found)] == [7, 0]


@pytest.mark.parametrize("kind", ["missing", "directory", "text", "fifo"])
def test_what_is_not_a_ledger_is_an_error_of_the_ledger(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x.db"
    if kind == "directory":
        path.mkdir()
    elif kind == "text":
        path.write_text("hello")
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(LedgerError):
        launches_of(path)


# --- the file ---------------------------------------------------------------------------------------


def test_the_index_is_private(ledger: Path, file: Path) -> None:
    before = os.umask(0)
    try:
        launches_of(ledger)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    for name in os.listdir(file.parent):
        assert stat.S_IMODE((file.parent / name).stat().st_mode) == 0o600
    assert {"index.db"} <= set(os.listdir(file.parent)) <= {"index.db", "index.db.lock"}


def test_a_deleted_index_is_made_again(ledger: Path, file: Path) -> None:
    before = launches_of(ledger)
    file.unlink()
    assert launches_of(ledger) == before


@pytest.mark.parametrize("damage", ["emptied", "cut", "pages", "schema", "revision", "types", "edge"])
def test_a_damaged_index_of_ours_is_made_again(ledger: Path, tmp_path: Path, file: Path, damage: str) -> None:
    before = launches_of(ledger)
    data = bytearray(file.read_bytes())
    statements = {
        "schema": "DROP TABLE index_label",
        "revision": "UPDATE index_revision SET version_num = '9999'",
        "types": "UPDATE index_launch SET entries = 'many', session = x'00' || session",
        "edge": "UPDATE index_ledger SET edge = x'00', size = 5, root = zeroblob(32)",
    }
    if damage == "emptied":
        data.clear()
    elif damage == "cut":
        del data[4_096:]
    elif damage == "pages":
        data[4_096:] = b"\xa5" * (len(data) - 4_096)
    file.write_bytes(data)
    if damage in statements:
        database = sqlite3.connect(file)
        database.execute(statements[damage])
        database.commit()
        database.close()
    assert launches_of(ledger) == before
    write(ledger, 4, tmp_path=tmp_path)
    assert len(launches_of(ledger)) == 4


def test_an_index_that_breaks_while_it_is_open_is_made_again(
    ledger: Path, tmp_path: Path, file: Path
) -> None:
    other = tmp_path / "other.db"
    write(other, 8, tmp_path=tmp_path)
    with SearchIndex() as index:
        first, second = index.catch_up(os.fsencode(other)), index.catch_up(os.fsencode(ledger))
        data = file.read_bytes()
        file.write_bytes(data[:4_096] + b"\xa5" * (len(data) - 4_096))
        assert sessions(index.launches(second)) == [session_id(3), session_id(2), session_id(1)]
        assert sessions(index.launches(first)) == [session_id(8)]


@pytest.mark.parametrize("kind", ["database", "text", "symlink", "directory"])
def test_what_somebody_else_put_there_is_left_alone(
    ledger: Path, tmp_path: Path, file: Path, kind: str
) -> None:
    file.parent.mkdir(parents=True)
    precious = tmp_path / "precious.db"
    database = sqlite3.connect(precious)
    database.execute("CREATE TABLE precious (x)")
    database.commit()
    database.close()
    if kind == "database":
        precious.rename(file)
    elif kind == "text":
        file.write_text("the only copy")
    elif kind == "symlink":
        file.symlink_to(precious)
    else:
        file.mkdir()
    content = None if kind == "directory" else file.read_bytes()
    with pytest.raises(SearchIndexError) as caught:
        launches_of(ledger)
    assert caught.value.code == "index.foreign"
    assert str(file) in str(caught.value)
    assert caught.value.hint
    assert (None if kind == "directory" else file.read_bytes()) == content
    assert file.is_symlink() == (kind == "symlink")


def test_a_home_that_cannot_be_written_is_no_reason_not_to_list(
    ledger: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "a file where a directory would be"
    blocked.write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(blocked))
    assert len(launches_of(ledger)) == 3
    assert blocked.read_text() == ""


def test_what_a_killed_maker_left_is_cleared_away(ledger: Path, file: Path) -> None:
    launches_of(ledger)
    (file.parent / "index.db.new-0011223344556677").write_bytes(b"half")
    (file.parent / "index.dbx").write_bytes(b"not ours")
    file.unlink()
    launches_of(ledger)
    assert set(os.listdir(file.parent)) == {"index.db", "index.db.lock", "index.dbx"}


LIST = """
import os, sys
sys.path.insert(0, sys.argv[1])
from store.index import SearchIndex
print("ready", flush=True)
sys.stdin.readline()
with SearchIndex() as index:
    print(len(index.launches(index.catch_up(os.fsencode(sys.argv[2])))), flush=True)
"""


def start_listing(path: Path) -> subprocess.Popen[str]:
    child = subprocess.Popen(
        [sys.executable, "-c", LIST, str(ROOT), str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    return child


def test_a_kill_at_any_moment_of_catching_up_loses_nothing(tmp_path: Path, file: Path) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path, tmp_path / "state") as ledger:
        ledger.append(
            [draft for number in range(1_500) for draft in drafts(session_id(number), checked=False)]
        )
    started = time.monotonic()
    child = start_listing(path)
    assert child.communicate("\n")[0] == "1500\n"
    whole = time.monotonic() - started
    file.unlink()
    killed = 0
    for step in range(6):
        child = start_listing(path)
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
        time.sleep(whole * step / 7)
        if child.poll() is None:
            killed += 1
        else:  # the machine was busier when it was measured
            whole /= 2
        child.kill()
        child.communicate()
        if step % 2:  # what the killed one left: read it, or let the next one build on it
            assert len(launches_of(path)) == 1_500
            file.unlink()
    assert killed >= 3
    assert len(launches_of(path)) == 1_500


def test_processes_that_make_the_index_at_the_same_moment_agree(ledger: Path) -> None:
    children = [start_listing(ledger) for _ in range(6)]
    answers = []
    for child in children:
        assert child.stdin is not None
        child.stdin.write("\n")
        child.stdin.flush()
    answers = [child.communicate()[0] for child in children]
    assert answers == ["3\n"] * 6


def test_an_index_is_not_replaced_under_somebody_who_has_it_open(
    ledger: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store.index import index_file

    monkeypatch.setattr(index_file, "_BUSY_SECONDS", 0.3)
    with SearchIndex() as index:
        state = index.catch_up(os.fsencode(ledger))
        damaged = sqlite3.connect(file)
        damaged.execute("UPDATE index_revision SET version_num = '9999'")
        damaged.commit()
        damaged.close()
        inode = file.stat().st_ino
        with pytest.raises(SearchIndexError) as caught:
            SearchIndex()
        assert caught.value.code == "index.busy"
        assert file.stat().st_ino == inode
        assert index.count(state) == 3
    assert len(launches_of(ledger)) == 3
    assert file.stat().st_ino != inode


def test_a_reader_waits_for_a_writer(ledger: Path, file: Path) -> None:
    launches_of(ledger)
    writer = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    release = threading.Timer(0.3, writer.execute, ["ROLLBACK"])
    file_before = file.stat().st_ino
    with open_ledger(ledger, ledger.parent / "state") as opened:
        opened.append(drafts(session_id(4)))
    release.start()
    assert len(launches_of(ledger)) == 4
    assert file.stat().st_ino == file_before
    release.join()
    writer.close()


# --- reading again ------------------------------------------------------------------------------------


def test_what_is_shown_comes_from_the_ledger_whatever_the_index_says(ledger: Path, file: Path) -> None:
    launches_of(ledger)
    forged = sqlite3.connect(file)
    forged.executescript(
        "UPDATE index_launch SET exit = 99, state = 'lost';"
        "UPDATE index_command SET command = 'innocent';"
        "UPDATE index_executable SET path = '/x'"
    )
    forged.commit()
    forged.close()
    with SearchIndex() as index:
        (listed,) = index.launches(index.catch_up(os.fsencode(ledger)), limit=1)
    assert listed.command == "innocent"
    shown = reread(os.fsencode(ledger), listed).launch
    assert (shown.command, shown.exit, shown.state) == ("echo 'hello world'", 0, "complete")
    assert shown.executable == "/usr/bin/echo"


def test_an_index_that_points_elsewhere_is_not_believed(ledger: Path, file: Path) -> None:
    launches_of(ledger)
    forged = sqlite3.connect(file)
    forged.execute("UPDATE index_launch SET session = (SELECT session FROM index_launch WHERE first = 1)")
    forged.commit()
    forged.close()
    with SearchIndex() as index:
        (listed,) = index.launches(index.catch_up(os.fsencode(ledger)), limit=1)
    with pytest.raises(SearchIndexError) as caught:
        reread(os.fsencode(ledger), listed)
    assert caught.value.code == "index.stale"


def test_a_handover_moves_the_entry_that_names_the_key(ledger: Path, tmp_path: Path) -> None:
    assert state_of(ledger).key_entry == 0
    with open_ledger(ledger, tmp_path / "state") as opened:
        opened.hand_over(SigningKey(b"\x05" * 32), "routine")
        opened.append(drafts(session_id(4)))
    state = state_of(ledger)
    assert (state.key_entry, state.consistent, state.size) == (13, True, 18)


# --- batches ------------------------------------------------------------------------------------------


KILLED_AFTER_BATCHES = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
from store.index import SearchIndex, catching_up
catching_up.BATCH = 500
left = int(sys.argv[3])

def progress(done, total):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1

SearchIndex().catch_up(os.fsencode(sys.argv[2]), progress)
"""


def test_a_killed_catching_up_is_gone_on_with_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "ledger.db"
    with open_ledger(path, tmp_path / "state") as ledger:
        ledger.append([draft for number in range(600) for draft in drafts(session_id(number), checked=False)])
    child = subprocess.run(
        [sys.executable, "-c", KILLED_AFTER_BATCHES, str(ROOT), str(path), "3"], check=False
    )
    assert child.returncode == -signal.SIGKILL
    begun: list[int] = []
    whole = LedgerBodies.bodies

    def watched(reader: LedgerBodies, start: int, end: int) -> Iterator[tuple[int, bytes | None]]:
        begun.append(start)
        return whole(reader, start, end)

    monkeypatch.setattr(LedgerBodies, "bodies", watched)
    found = launches_of(path)
    assert begun == [1_500]
    assert [launch.entries for launch in found] == [4] * 600
    assert {launch.state for launch in found} == {"complete"}
    assert state_of(path).consistent


def test_batches_that_the_ledger_does_not_begin_with_any_more_are_indexed_anew(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    write(path, *range(300), tmp_path=tmp_path)
    tamper(path, "UPDATE entry SET body = replace(body, 'hello world', 'jello world') WHERE idx = 5")
    subprocess.run([sys.executable, "-c", KILLED_AFTER_BATCHES, str(ROOT), str(path), "1"], check=False)
    tamper(path, "UPDATE entry SET body = replace(body, 'jello world', 'hello world') WHERE idx = 5")
    state = state_of(path)
    assert (state.size, state.consistent) == (1_201, True)
    found = launches_of(path)
    assert len(found) == 300
    assert {launch.command for launch in found} == {"echo 'hello world'"}


def test_a_damaged_ledger_is_listed_whole_in_batches_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from store.index import catching_up

    monkeypatch.setattr(catching_up, "BATCH", 10)
    path = tmp_path / "ledger.db"
    write(path, *range(20), tmp_path=tmp_path)
    tamper(path, "DELETE FROM entry WHERE idx IN (5, 6, 30)", "UPDATE entry SET body = '{' WHERE idx = 41")
    state = state_of(path)
    assert (state.size, state.consistent, state.skipped) == (81, False, 1)
    found = launches_of(path)
    assert len(found) == 20
    assert sum(launch.entries for launch in found) == 80 - 4


def test_a_head_that_claims_more_entries_than_there_are_does_not_stop_the_list(ledger: Path) -> None:
    tamper(
        ledger,
        "UPDATE head SET note = replace(note, char(10) || '13' || char(10),"
        " char(10) || '9007199254740991' || char(10))",
    )
    state = state_of(ledger)
    assert (state.size, state.consistent) == (2**53 - 1, False)
    assert len(launches_of(ledger)) == 3


def test_progress_is_told_before_each_batch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from store.index import catching_up

    monkeypatch.setattr(catching_up, "BATCH", 30)
    path = tmp_path / "ledger.db"
    write(path, *range(20), tmp_path=tmp_path)
    told: list[tuple[int, int]] = []
    with SearchIndex() as index:
        index.catch_up(os.fsencode(path), lambda done, total: told.append((done, total)))
        assert told == [(0, 81), (30, 81), (60, 81)]
        index.catch_up(os.fsencode(path), lambda done, total: told.append((done, total)))
    assert len(told) == 3


def test_entries_out_of_their_canonical_form_are_listed_and_said_to_be_so(ledger: Path) -> None:
    tamper(ledger, "UPDATE entry SET body = replace(body, ',\"kind\":', ', \"kind\":') WHERE idx = 5")
    assert not state_of(ledger).consistent
    found = launches_of(ledger)[1]
    assert (found.first, found.command) == (5, "echo 'hello world'")
    shown = reread(os.fsencode(ledger), found)
    assert [item.fault for item in shown.entries] == ["not in its canonical form", None, None, None]


def test_what_is_glanced_at_is_what_is_parsed() -> None:
    """The index looks at starts and at the ends of entries without parsing them whole."""
    from store.index.glances import Glances, parsed
    from store.index.launches import Launch, row_of

    glances = Glances()
    capabilities = changed(START["capabilities"])
    capabilities["files"] += [
        {"access": "read", "asked": "/usr", "path": "/usr", "source": "group:x", "type": "directory"},
        {"access": "read", "asked": "p", "path": "/p", "source": "profile", "type": "directory"},
    ]
    tricks = [
        START,
        changed(START, capabilities=capabilities),
        changed(START, capabilities={"files": [{"source": "user"}, 5, None]}),
        changed(START, capabilities={"blob": {"sha256": SHA, "size": 5}}),
        changed(START, capabilities={"a": ',"capabilities_sha256":"', "b": 1}),
        changed(START, capabilities={"capabilities_sha256": "x", "zz": {"executable": 1, "interpreters": 2}}),
        changed(START, capabilities=[]),
        changed(START, executable={"interpreters": 1, "path": "/x"}),
        changed(START, executable=None),
        {"executable": {"path": "/only"}},
        {"kind": "decision", "seq": 1, "session": "x", "time": "y", "v": 1},
        {},
    ]
    for data in tricks:
        for kind in ("launch.start", "launch.intent", "hook.result"):
            for session in (session_id(1), None, "no session"):
                entry = entries.Entry(kind, session, 1, "2026-01-02T03:04:05.678901Z", data)
                for body in (entry.encode(), entry.encode().replace(b',"kind":', b', "kind":')):
                    glance, whole = glances.at(body), parsed(body)
                    assert glance is not None
                    assert whole is not None
                    assert glance[:3] == (kind, session, entry.time)
                    rows = []
                    for seen in (glances.data(glance), whole.data):
                        assert seen is not None
                        launch = Launch.begun(1, 2, "", entry.time)
                        launch.add(3, kind, seen, lambda field: field)
                        rows.append((row_of(launch), launch.image, launch.granted, launch.command))
                    assert rows[0] == rows[1], data
