"""A launch in a process that does nothing else, as ``nono run`` makes it: what that changes, it puts back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attest import canonical, schema
from store.ledger_file import connect_for_reading

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
PROLOGUE = f"""\
import json, os, signal, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from runtime import LaunchError
from runtime.capabilities import Access
from runtime.grant_request import GrantRequest
from runtime.launch import Launch
from runtime.request import LaunchRequest
def say(value): print(json.dumps(value, default=repr))
def launch(command, *, allow=(), outputs=(), ledger=None):
    request = LaunchRequest(
        command=tuple(map(os.fsencode, command)), variables=dict(os.environb),
        grants=tuple(GrantRequest(Access.READWRITE, os.fsencode(path), directory=True, source="user")
                     for path in allow),
        outputs=tuple(map(os.fsencode, outputs)), ledger=None if ledger is None else os.fsencode(ledger),
    )
    return Launch(request, notify=lambda _: None).run()
"""


@pytest.fixture
def host(tmp_path: Path) -> Callable[..., Any]:
    """Run code of a host program and return the JSON that it says last."""
    work = tmp_path / "work"
    work.mkdir()
    environment = {
        "HOME": str(tmp_path / "home"),
        "PATH": "/usr/bin:/bin",
        "TMPDIR": str(tmp_path),
        **{f"XDG_{name}_HOME": str(tmp_path / name) for name in ("CACHE", "CONFIG", "STATE")},
    }

    def run(code: str, **options: Any) -> Any:  # whatever JSON has, and what subprocess.run takes
        done = subprocess.run(
            [sys.executable, "-I", "-c", PROLOGUE + code],
            env={**environment, **options.pop("env", {})},
            cwd=work,
            capture_output=True,
            check=False,
            timeout=60,
            **options,
        )
        assert done.returncode == 0, done.stderr.decode()
        assert b"Traceback" not in done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


def entries(ledger: str) -> list[dict[str, Any]]:
    connection = connect_for_reading(os.fsencode(ledger), "immutable=1")
    bodies = [row[0] for row in connection.execute("SELECT body FROM entry ORDER BY idx")]
    connection.close()
    documents = [canonical.decode_object(body) for body in bodies]
    for document in documents:
        schema.check_entry(document)
    return [dict(document) for document in documents]


def test_a_process_with_other_threads_is_refused(host: Callable[..., Any]) -> None:
    found = host(
        "stop = threading.Event()\n"
        "thread = threading.Thread(target=stop.wait); thread.start()\n"
        "try: launch(['/bin/true'])\n"
        "except LaunchError as error: code = error.code\n"
        "stop.set(); thread.join()\n"
        "say([code, launch(['/bin/true']).exit])"
    )
    assert found == ["launch.threads", 0]


def test_a_thread_that_begins_meanwhile_is_seen_before_the_fork(host: Callable[..., Any]) -> None:
    """A hook or a keyring makes none here; should anything else, nothing is forked."""
    found = host(
        "from runtime import enforcement\n"
        "prepare, done = enforcement.prepare, threading.Event()\n"
        "def threaded(*arguments, **named):\n"
        "    threading.Thread(target=done.wait).start()\n"
        "    return prepare(*arguments, **named)\n"
        "enforcement.prepare = threaded\n"
        "try: launch(['/bin/true'], ledger='threaded.db')\n"
        "except LaunchError as error: code = error.code\n"
        "done.set()\n"
        "say([code, os.path.abspath('threaded.db')])"
    )
    assert found[0] == "launch.threads"
    (outcome,) = (entry for entry in entries(found[1]) if entry["kind"] == "launch.outcome")
    assert outcome["data"]["not_started"]["code"] == "launch.threads"


def test_launches_leave_nothing_in_the_host(host: Callable[..., Any]) -> None:
    """Descriptors, children, signal handling, working directory, umask: all as before, after each way out."""
    found = host(
        "def state():\n"
        "    handlers = [repr(signal.getsignal(n)) for n in signal.valid_signals()]\n"
        "    mask = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))\n"
        "    umask = os.umask(0); os.umask(umask)\n"
        "    with open('/proc/self/task/%d/children' % os.getpid()) as file: children = file.read()\n"
        "    descriptors = sorted(os.listdir('/proc/self/fd'))\n"
        "    return [handlers, mask, os.getcwd(), umask, children, descriptors, dict(os.environ)]\n"
        "launch(['/bin/true'])\n"
        "before = state(); said = []\n"
        "for command in (['/bin/true'], ['/no/such/file'], ['/bin/sh', '-c', 'kill -9 $$'], []):\n"
        "    try: launch(command)\n"
        "    except LaunchError: pass\n"
        "    said.append(state() == before)\n"
        "say(said)"
    )
    assert found == [True, True, True, True]


def test_the_hosts_limits_are_its_own_afterwards(host: Callable[..., Any]) -> None:
    found = host(
        "import resource\n"
        "asked = {1: (1 << 26, 1 << 27), 7: (99, 999)}\n"
        "for number, pair in asked.items(): resource.setrlimit(number, pair)\n"
        "launch(['/bin/true'])\n"
        "say([list(resource.getrlimit(number)) == list(pair) for number, pair in asked.items()])"
    )
    assert found == [True, True]


def test_a_signal_to_the_host_reaches_command_and_host(host: Callable[..., Any]) -> None:
    found = host(
        "got = []\n"
        "signal.signal(signal.SIGTERM, lambda number, frame: got.append(number))\n"
        "pid = os.getpid()\n"
        "helper = os.fork()\n"
        "if helper == 0:\n"
        "    while not os.path.exists('ready'): time.sleep(0.01)\n"
        "    os.kill(pid, signal.SIGTERM); os._exit(0)\n"
        "script = 'trap \"exit 9\" TERM; : > ready; while :; do sleep 0.05; done'\n"
        "result = launch(['/bin/sh', '-c', script], allow=['.'])\n"
        "os.waitpid(helper, 0)\n"
        "say([result.exit, got])"
    )
    assert found == [9, [15]]


def test_keyboard_interrupt_comes_after_the_record(host: Callable[..., Any]) -> None:
    found = host(
        "pid = os.getpid()\n"
        "helper = os.fork()\n"
        "if helper == 0:\n"
        "    while not os.path.exists('ready'): time.sleep(0.01)\n"
        "    os.kill(pid, signal.SIGINT); os._exit(0)\n"
        "try:\n"
        "    launch(['/bin/sh', '-c', ': > ready; exec sleep 60'], allow=['.'], ledger='../l.db')\n"
        "except KeyboardInterrupt:\n"
        "    os.waitpid(helper, 0); say('interrupted')\n"
    )
    assert found == "interrupted"


@pytest.mark.parametrize("subreaper", [False, True])
def test_a_hosts_handler_that_raises_ends_the_command_and_not_its_record(
    host: Callable[..., Any], subreaper: bool
) -> None:
    found = host(
        f"from runtime import syscalls\nsyscalls.prctl(36, {subreaper:d})\n"
        "def late(*_): raise TimeoutError('too late')\n"
        "signal.signal(signal.SIGALRM, late)\n"
        "signal.setitimer(signal.ITIMER_REAL, 1.5)\n"
        "script = 'sleep 600 & echo $$ > pid; exec sleep 600'\n"
        "try:\n"
        "    launch(['/bin/sh', '-c', script], allow=['.'], outputs=['pid'], ledger='../l.db')\n"
        "except TimeoutError:\n"
        "    say([os.path.exists('/proc/' + open('pid').read().strip()), os.path.abspath('../l.db')])\n"
    )
    assert found[0] is False
    *_, outcome, attestation = entries(found[1])
    assert attestation["kind"] == "launch.attestation"
    assert outcome["data"]["signal"] == signal.SIGKILL
    assert outcome["data"]["outputs"][0]["unhashed"] == "unreadable"
    assert outcome["data"]["counts"]["survivors"] == 1


def test_a_host_that_is_no_subreaper_says_what_it_cannot_know(host: Callable[..., Any]) -> None:
    """What a lost monitor leaves becomes somebody else's, and is not said to be gone."""
    found = host(
        "pid = os.getpid()\n"
        "helper = os.fork()\n"
        "if helper == 0:\n"
        "    def children(of): return open(f'/proc/{of}/task/{of}/children').read().split()\n"
        "    while not os.path.exists('ready'): time.sleep(0.01)\n"
        "    (monitor,) = set(children(pid)) - {str(os.getpid())}\n"
        "    os.kill(int(monitor), signal.SIGKILL); os._exit(0)\n"
        "result = launch(['/bin/sh', '-c', ': > ready; exec sleep 600'], allow=['.'], ledger='../l.db')\n"
        "os.waitpid(helper, 0)\n"
        "say([result.signal, result.exit_status, os.path.abspath('../l.db')])\n"
    )
    assert found[:2] == [signal.SIGKILL, 128 + signal.SIGKILL]
    *_, outcome, _ = entries(found[2])
    assert outcome["data"]["counts"] == {
        "decisions": 0, "decisions_dropped": 0, "survivors": 0, "survivors_left": 1,
    }  # fmt: skip


def test_a_host_that_ignores_its_children(host: Callable[..., Any]) -> None:
    code = (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "say([launch(['/bin/sh', '-c', 'printf x > o; exit 5'], allow=['.'], outputs=['o']).exit])"
    )
    assert host(code) == [5]


def test_a_host_that_reaps_its_children(host: Callable[..., Any]) -> None:
    """A handler that waits for any child takes the monitor's status; the command's comes by its pipe."""
    code = (
        "def reap(*_):\n"
        "    try:\n"
        "        while os.waitpid(-1, os.WNOHANG)[0]: pass\n"
        "    except ChildProcessError: pass\n"
        "signal.signal(signal.SIGCHLD, reap)\n"
        "command = ['/bin/sh', '-c', 'printf x > o; exit 5']\n"
        "say([launch(command, allow=['.'], outputs=['o']).exit for _ in range(3)])"
    )
    assert host(code) == [5, 5, 5]


SILENT_MONITOR = """
from runtime import supervision, syscalls
syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
supervision._PATIENCE_SECONDS = 0.5
here = os.getpid()
if os.fork() == 0:
    me = os.getpid()
    while True:
        with open(f"/proc/{here}/task/{here}/children") as file:
            monitors = [int(pid) for pid in file.read().split() if int(pid) != me]
        for monitor in monitors:
            with open(f"/proc/{monitor}/task/{monitor}/children") as file:
                commands = file.read().split()
            for command in commands:
                with open(f"/proc/{command}/status") as file:
                    status = file.read()
                if "Name:\\tsleep" in status and "TracerPid:\\t0" in status:  # let go of, it runs
                    os.kill(monitor, signal.SIGSTOP)
                    os._exit(0)
        time.sleep(0.005)
result = launch(["/bin/sleep", "2"])
say({"exit": result.exit, "ledger": os.fsdecode(result.ledger)})
"""


def test_a_monitor_that_says_nothing_does_not_hold_up_the_record(host: Callable[..., Any]) -> None:
    """It can wait for a page of the command's that a file system does not bring."""
    said = host(SILENT_MONITOR)
    assert said["exit"] == 0
    kinds = [document["kind"] for document in entries(said["ledger"])]
    assert kinds[-2:] == ["launch.outcome", "launch.attestation"]
