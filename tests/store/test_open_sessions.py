"""Who keeps a session's record, told by a lock that the kernel gives up with the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from store.errors import LedgerError
from store.open_sessions import ANOTHER_BOOT, LOCK_FREE, PROCESS_GONE, OpenSessions, Supervisor

if TYPE_CHECKING:
    from pathlib import Path

ORIGIN = "host/" + "0a" * 16
SESSION = "0192" + "0" * 8 + "7" + "0" * 3 + "8" + "0" * 15
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HERE = Supervisor("boot", "4026531836", os.getpid(), 1)

KEEPER = """
import os, sys
sys.path.insert(0, sys.argv[1])
from store.open_sessions import OpenSessions, Supervisor
sessions = OpenSessions(os.fsencode(sys.argv[2]), sys.argv[3])
sessions.enter(sys.argv[4], 5, Supervisor(sys.argv[5], "4026531836", os.getpid(), 1))
print("kept", flush=True)
sys.stdin.read()
"""


def keeper(state: Path, session: str = SESSION, boot: str = "boot") -> subprocess.Popen[str]:
    """Return a process that keeps a session until it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", KEEPER, ROOT, state, ORIGIN, session, boot],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "kept\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def found(state: Path) -> list[tuple[str, int, str]]:
    sessions = OpenSessions(os.fsencode(state), ORIGIN)
    seen = list(sessions.abandoned(HERE))
    for abandoned in seen:
        os.close(abandoned.descriptor)
    return [abandoned[:3] for abandoned in seen]


def test_the_living_are_never_abandoned_and_the_dead_are(tmp_path: Path) -> None:
    process = keeper(tmp_path)
    assert found(tmp_path) == []
    process.send_signal(signal.SIGSTOP)
    assert found(tmp_path) == []
    kill(process)
    # Another process may have that pid by now, but not with that start time.
    assert found(tmp_path) == [(SESSION, 5, PROCESS_GONE)]


def test_another_boot_and_another_namespace(tmp_path: Path) -> None:
    kill(keeper(tmp_path, boot="an earlier one"))
    assert found(tmp_path) == [(SESSION, 5, ANOTHER_BOOT)]
    sessions = OpenSessions(os.fsencode(tmp_path), ORIGIN)
    elsewhere = HERE._replace(boot_id="an earlier one", pid_namespace="1")
    (abandoned,) = sessions.abandoned(elsewhere)
    assert abandoned.found == LOCK_FREE
    sessions.forget(abandoned)
    assert found(tmp_path) == []


def test_one_writer_at_a_time_deals_with_the_dead(tmp_path: Path) -> None:
    kill(keeper(tmp_path))
    first, second = (OpenSessions(os.fsencode(tmp_path), ORIGIN) for _ in range(2))
    (abandoned,) = first.abandoned(HERE)
    assert list(second.abandoned(HERE)) == []
    first.forget(abandoned)
    assert list(second.abandoned(HERE)) == []


def test_all_that_are_marked_are_counted(tmp_path: Path) -> None:
    own, other = (OpenSessions(os.fsencode(tmp_path), ORIGIN) for _ in range(2))
    assert own.count() == 0
    own.enter(SESSION, 0, HERE)
    other.enter("f" * 32, 0, HERE)
    assert own.count() == other.count() == 2
    other.leave(closed=True)
    assert own.count() == 1
    own.leave(closed=True)


def test_a_closed_session_leaves_nothing_and_an_open_one_its_mark(tmp_path: Path) -> None:
    sessions = OpenSessions(os.fsencode(tmp_path), ORIGIN)
    sessions.enter(SESSION, 0, HERE)
    sessions.leave(closed=True)
    assert found(tmp_path) == []
    sessions.enter(SESSION, 7, HERE)
    sessions.leave(closed=False)
    assert [(session, first) for session, first, _ in found(tmp_path)] == [(SESSION, 7)]


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"first":0}', b'{"first":"x"}', b"\xff", b'{"first":1,"more":2}']
)
def test_a_mark_that_says_nothing_is_still_judged_by_its_lock(tmp_path: Path, content: bytes) -> None:
    kill(keeper(tmp_path))
    (mark,) = (path for path in tmp_path.rglob(SESSION))
    mark.write_bytes(content)
    assert found(tmp_path) == [(SESSION, 0, LOCK_FREE)]


def test_what_is_no_mark_is_left_alone(tmp_path: Path) -> None:
    kill(keeper(tmp_path))
    (mark,) = (path for path in tmp_path.rglob(SESSION))
    mark.unlink()
    (mark.parent / "notes").write_text("mine")
    mark.symlink_to(mark.parent / "notes")
    os.mkfifo(mark.parent / ("1" * 32))
    (mark.parent / ("2" * 32)).mkdir()
    assert SESSION not in [session for session, _, _ in found(tmp_path)]
    assert (mark.parent / "notes").read_text() == "mine"


def test_a_state_directory_that_takes_no_mark(tmp_path: Path) -> None:
    (tmp_path / "running").write_text("")
    with pytest.raises(LedgerError) as caught:
        OpenSessions(os.fsencode(tmp_path), ORIGIN).enter(SESSION, 0, HERE)
    assert caught.value.code == "ledger.session_mark"
    assert found(tmp_path) == []
