"""A launch in a process that does nothing else, as ``nono run`` makes it: what that changes, it puts back."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.runtime.host_program import Host

if TYPE_CHECKING:
    from pathlib import Path

PROLOGUE = """\
from runtime import LaunchError
from runtime.capability.capabilities import Access
from runtime.capability.grant_request import GrantRequest
from runtime.launcher.launch import Launch
from runtime.policy.request import LaunchRequest
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
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, PROLOGUE)


def test_a_process_with_other_threads_is_refused(host: Host) -> None:
    found = host.run(
        "stop = threading.Event()\n"
        "thread = threading.Thread(target=stop.wait); thread.start()\n"
        "try: launch(['/bin/true'])\n"
        "except LaunchError as error: code = error.code\n"
        "stop.set(); thread.join()\n"
        "say([code, launch(['/bin/true']).exit])"
    )
    assert found == ["launch.threads", 0]


NATIVE_THREAD = """\
import ctypes
libc = ctypes.CDLL(None)
def native_thread(seconds):
    argument = ctypes.c_void_p(int(seconds * 1e6))
    libc.pthread_create(ctypes.byref(ctypes.c_ulong()), None, libc.usleep, argument)
    return len(os.listdir("/proc/self/task"))
"""


def test_a_thread_that_ends_is_waited_for(host: Host) -> None:
    """``join()`` returns before the kernel has ended a thread; one that Python never knew stands for it."""
    assert host.run(NATIVE_THREAD + "say([native_thread(0.1), launch(['/bin/true']).exit])") == [2, 0]


def test_a_thread_that_python_knows_nothing_of_is_refused(host: Host) -> None:
    found = host.run(
        NATIVE_THREAD + "begun = [native_thread(60)]\n"
        "try: launch(['/bin/true'])\n"
        "except LaunchError as error: begun.append(error.code)\n"
        "say(begun)"
    )
    assert found == [2, "launch.threads"]


def test_a_thread_that_begins_meanwhile_is_seen_before_the_fork(host: Host) -> None:
    """A hook or a keyring makes none here; should anything else, nothing is forked."""
    found = host.run(
        "from runtime.sandbox import enforcement\n"
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
    (outcome,) = (entry for entry in host.entries(found[1]) if entry["kind"] == "launch.outcome")
    assert outcome["data"]["not_started"]["code"] == "launch.threads"


def test_launches_leave_nothing_in_the_host(host: Host) -> None:
    """Descriptors, children, signal handling, working directory, umask: all as before, after each way out."""
    found = host.run(
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


def test_the_hosts_limits_are_its_own_afterwards(host: Host) -> None:
    found = host.run(
        "import resource\n"
        "asked = {1: (1 << 26, 1 << 27), 7: (99, 999)}\n"
        "for number, pair in asked.items(): resource.setrlimit(number, pair)\n"
        "launch(['/bin/true'])\n"
        "say([list(resource.getrlimit(number)) == list(pair) for number, pair in asked.items()])"
    )
    assert found == [True, True]


def test_a_signal_to_the_host_reaches_command_and_host(host: Host) -> None:
    found = host.run(
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


def test_keyboard_interrupt_comes_after_the_record(host: Host) -> None:
    found = host.run(
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
def test_a_hosts_handler_that_raises_ends_the_command_and_not_its_record(host: Host, subreaper: bool) -> None:
    found = host.run(
        f"from runtime.kernel import syscalls\nsyscalls.prctl(36, {subreaper:d})\n"
        "running = False\n"
        "def late(*_):\n"
        "    global running\n"
        "    if running: raise TimeoutError('too late')\n"
        "    running = os.path.exists('pid') and os.path.getsize('pid') > 0\n"  # on a busy machine not yet
        "    signal.setitimer(signal.ITIMER_REAL, 0.5)\n"
        "signal.signal(signal.SIGALRM, late)\n"
        "signal.setitimer(signal.ITIMER_REAL, 1)\n"
        "script = 'sleep 600 & echo $$ > pid; exec sleep 600'\n"
        "try:\n"
        "    launch(['/bin/sh', '-c', script], allow=['.'], outputs=['pid'], ledger='../l.db')\n"
        "except TimeoutError:\n"
        "    say([os.path.exists('/proc/' + open('pid').read().strip()), os.path.abspath('../l.db')])\n"
    )
    assert found[0] is False
    *_, outcome, attestation = host.entries(found[1])
    assert attestation["kind"] == "launch.attestation"
    assert outcome["data"]["signal"] == signal.SIGKILL
    assert outcome["data"]["outputs"][0]["unhashed"] == "unreadable"
    assert outcome["data"]["counts"]["survivors"] == 1


def test_a_host_that_is_no_subreaper_says_what_it_cannot_know(host: Host) -> None:
    """What a lost monitor leaves becomes somebody else's, and is not said to be gone."""
    found = host.run(
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
    *_, outcome, _ = host.entries(found[2])
    assert outcome["data"]["counts"] == {
        "decisions": 0, "decisions_dropped": 0, "survivors": 0, "survivors_left": 1,
    }  # fmt: skip


def test_a_host_that_ignores_its_children(host: Host) -> None:
    code = (
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "say([launch(['/bin/sh', '-c', 'printf x > o; exit 5'], allow=['.'], outputs=['o']).exit])"
    )
    assert host.run(code) == [5]


def test_a_host_that_reaps_its_children(host: Host) -> None:
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
    assert host.run(code) == [5, 5, 5]


SILENT_MONITOR = """
from runtime.kernel import syscalls
from runtime.processes import supervision
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


def test_a_monitor_that_says_nothing_does_not_hold_up_the_record(host: Host) -> None:
    """It can wait for a page of the command's that a file system does not bring."""
    said = host.run(SILENT_MONITOR)
    assert said["exit"] == 0
    kinds = [document["kind"] for document in host.entries(said["ledger"])]
    assert kinds[-2:] == ["launch.outcome", "launch.attestation"]
