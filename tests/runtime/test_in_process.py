"""Launches from inside a program of Python: threads, event loops, forks, streams, cancelling, odd hosts."""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.runtime.host_program import ROOT, Host

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PROLOGUE = """\
import asyncio
from attest.errors import NonoError
from runtime import LaunchError, LaunchResult, alaunch, launch, start
def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
def zygotes():
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file: words = file.read().split(b"\\0")
        except OSError: continue
        if words[-2:-1] == [b"%d" % os.getpid()] and b"zygote" in b" ".join(words): found.append(int(name))
    return found
"""


WHOLE = ["intent", "start", "outcome", "attestation"]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path, PROLOGUE)


def test_threads_launch_at_once_and_share_one_ledger(host: Host) -> None:
    found = host.run(
        "results = {}\n"
        "def work(n): results[n] = launch(['/bin/sh', '-c', f'exit {n}'], ledger='../l.db')\n"
        "threads = [threading.Thread(target=work, args=(n,)) for n in range(12)]\n"
        "for thread in threads: thread.start()\n"
        "for thread in threads: thread.join()\n"
        "held = [os.readlink(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')\n"
        "        if os.path.lexists(f'/proc/self/fd/{n}')]\n"
        "say([[results[n].exit for n in range(12)], sum(path.endswith('l.db') for path in held)])"
    )
    assert found[0] == list(range(12))
    assert found[1] == 2  # the connection, and the descriptor that says where the file is
    assert list(host.sessions().values()) == [WHOLE] * 12


def test_zygote_monitor_and_command_have_a_session_each(host: Host) -> None:
    """In one session a command could join the process groups of others."""
    found = host.run(
        "def child(of):\n"
        "    with open(f'/proc/{of}/task/{of}/children') as file: (pid,) = map(int, file.read().split())\n"
        "    return pid\n"
        "running = start(['/bin/sh', '-c', ': > ready; exec sleep 600'], allow=['.'])\n"
        "until(lambda: os.path.exists('ready'))\n"
        "zygote = zygotes()[0]\n"  # the monitor that it has forked looks the same
        "monitor = child(zygote)\n"
        "leading = [os.getsid(pid) == pid for pid in (zygote, monitor, child(monitor))]\n"
        "running.cancel(); running.wait()\n"
        "say(leading)"
    )
    assert found == [True, True, True]


def test_an_event_loop_goes_on_while_commands_run(host: Host) -> None:
    found = host.run(
        "async def main():\n"
        "    ticks = 0\n"
        "    async def tick():\n"
        "        nonlocal ticks\n"
        "        while True: ticks += 1; await asyncio.sleep(0.01)\n"
        "    ticking = asyncio.create_task(tick())\n"
        "    script = 'sleep 0.5; exit '\n"
        "    waiting = [alaunch(['/bin/sh', '-c', f'{script}{n}'], ledger='../l.db') for n in range(4)]\n"
        "    results = await asyncio.gather(*waiting)\n"
        "    ticking.cancel()\n"
        "    say([[result.exit for result in results], ticks > 5])\n"
        "asyncio.run(main())"
    )
    assert found == [[0, 1, 2, 3], True]
    assert list(host.sessions().values()) == [WHOLE] * 4


def test_a_cancelled_task_ends_its_command_and_closes_its_record(host: Host) -> None:
    found = host.run(
        "async def main():\n"
        "    script = 'echo $$ > pid; mv pid pid.there; exec sleep 600'\n"
        "    task = asyncio.create_task(alaunch(['/bin/sh', '-c', script], allow=['.'], ledger='../l.db'))\n"
        "    while not os.path.exists('pid.there'): await asyncio.sleep(0.01)\n"
        "    task.cancel()\n"
        "    try: await task\n"
        "    except asyncio.CancelledError: pass\n"
        "    say(os.path.exists('/proc/' + open('pid.there').read().strip()))\n"
        "asyncio.run(main())"
    )
    assert found is False
    assert list(host.sessions().values()) == [WHOLE]
    outcome = host.entries()[-2]["data"]
    assert (outcome["signal"], outcome["ended_by"]) == (signal.SIGTERM, "cancelled")


def test_what_ignores_that_it_is_told_to_end_is_killed(host: Host) -> None:
    found = host.run(
        "from runtime.processes import supervision\n"
        "supervision.CANCEL_GRACE_SECONDS = 0.3\n"
        "running = start(['/bin/sh', '-c', 'trap \"\" TERM; : > ready; while :; do sleep 1; done'],\n"
        "                allow=['.'], ledger='../l.db')\n"
        "until(lambda: os.path.exists('ready'))\n"
        "done = running.is_done\n"
        "running.cancel()\n"
        "result = running.wait()\n"
        "say([done, running.is_done, result.signal, result.ended_by])"
    )
    assert found == [False, True, signal.SIGKILL, "cancelled"]


def test_a_launch_that_is_cancelled_before_it_begins_runs_nothing(host: Host) -> None:
    found = host.run(
        "def cancelling(text):\n"
        "    running.cancel()\n"
        "from runtime.launcher import calling\n"
        "command = ['/bin/sh', '-c', ': > ran']\n"
        "running = calling._prepare(command, allow=['.'], ledger='../l.db', notify=cancelling)\n"
        "try: running.run()\n"
        "except LaunchError as error: say([error.code, os.path.exists('ran')])"
    )
    assert found == ["launch.interrupted", False]
    assert list(host.sessions().values()) == [["intent", "outcome", "attestation"]]


@pytest.mark.parametrize("function", ["launch", "start"])
def test_what_interrupts_a_launch_as_it_begins_cancels_it(host: Host, function: str) -> None:
    """Its thread is there already, and nobody has the launch yet."""
    found = host.run(
        "signal.alarm(60)\n"
        "begin = threading.Thread.start\n"
        "def interrupted(thread): begin(thread); signal.raise_signal(signal.SIGINT)\n"
        "threading.Thread.start = interrupted\n"
        f"try: {function}(['/bin/sh', '-c', 'exec sleep 600'], ledger='../l.db')\n"
        "except KeyboardInterrupt: threading.Thread.start = begin\n"
        "until(lambda: threading.active_count() == 1)\n"
        "say(threading.Thread.start is begin)"
    )
    assert found is True
    assert list(host.sessions().values()) == [["intent", "outcome", "attestation"]]


def test_what_interrupts_a_launch_before_it_begins_leaves_nothing_of_it(host: Host) -> None:
    found = host.run(
        "held = os.listdir('/proc/self/fd')\n"
        "begin = threading.Thread.start\n"
        "def interrupted(thread): signal.raise_signal(signal.SIGINT)\n"
        "threading.Thread.start = interrupted\n"
        "try: launch(['/bin/sh', '-c', ': > ran'], allow=['.'])\n"
        "except KeyboardInterrupt: say([len(os.listdir('/proc/self/fd')) - len(held), os.path.exists('ran')])"
    )
    assert found == [0, False]


def test_a_handler_cancels_while_another_does(host: Host) -> None:
    """The second one runs in the midst of the first."""
    found = host.run(
        "signal.alarm(60)\n"
        "running = start(['/bin/sh', '-c', ': > ready; exec sleep 600'], allow=['.'], ledger='../l.db')\n"
        "until(lambda: os.path.exists('ready'))\n"
        "signal.signal(signal.SIGTERM, lambda *_: running.cancel())\n"
        "write = os.eventfd_write\n"
        "def interrupted(*arguments):\n"
        "    os.eventfd_write = write\n"
        "    signal.raise_signal(signal.SIGTERM)\n"
        "    write(*arguments)\n"
        "os.eventfd_write = interrupted\n"
        "running.cancel()\n"
        "say([os.eventfd_write is write, running.wait().ended_by])"
    )
    assert found == [True, "cancelled"]


def test_output_is_captured_told_and_bounded(host: Host) -> None:
    found = host.run(
        "told = []\n"
        "script = 'printf abc; head -c 5000000 /dev/zero >&2; cat'\n"
        "result = launch(['/bin/sh', '-c', script], input=b'given', capture=True, output_limit=1000,\n"
        "                on_stderr=lambda piece: told.append(len(piece)), ledger='../l.db')\n"
        "say([result.stdout.decode(), result.stdout_dropped, len(result.stderr), result.stderr_dropped,\n"
        "     sum(told), isinstance(result, LaunchResult)])\n"
    )
    assert found == ["abcgiven", 0, 1000, 4_999_000, 5_000_000, True]


def test_without_capture_the_streams_are_the_hosts(host: Host) -> None:
    begun = host.begin(
        "launch(['/bin/sh', '-c', 'cat; echo err >&2'], ledger='../l.db')", stdin=subprocess.PIPE
    )
    out, err = begun.communicate(b"through", timeout=60)
    assert (begun.returncode, out, err) == (0, b"through", b"err\n")


def test_a_callback_that_raises_ends_the_command(host: Host) -> None:
    found = host.run(
        "def refuse(piece): raise ZeroDivisionError(piece)\n"
        "try: launch(['/bin/sh', '-c', 'echo x; exec sleep 600'], on_stdout=refuse, ledger='../l.db')\n"
        "except ZeroDivisionError as error: say(repr(error.args[0]))"
    )
    assert found == repr(b"x\n")
    assert list(host.sessions().values()) == [WHOLE]
    assert host.entries()[-2]["data"]["ended_by"] == "cancelled"


def test_a_callback_in_an_event_loop_can_wait(host: Host) -> None:
    found = host.run(
        "async def main():\n"
        "    told, thread = [], threading.get_ident()\n"
        "    async def take(piece):\n"
        "        await asyncio.sleep(0.01)\n"
        "        told.append([piece.decode(), threading.get_ident() == thread])\n"
        "        open('go', 'w').close()\n"
        "    script = 'echo a; until [ -e go ]; do sleep 0.01; done; echo b'\n"
        "    await alaunch(['/bin/sh', '-c', script], on_stdout=take, allow=['.'], ledger='../l.db')\n"
        "    say(told)\n"
        "asyncio.run(main())"
    )
    assert found == [["a\n", True], ["b\n", True]]


def test_a_callback_that_takes_its_time_holds_up_no_record(host: Host) -> None:
    found = host.run(
        "go = threading.Event()\n"
        "running = start(['/bin/echo', 'x'], on_stdout=lambda piece: go.wait(), ledger='../l.db')\n"
        "import sqlite3\n"
        "def closed():\n"
        "    if not os.path.exists('../l.db'): return False\n"
        "    kinds = sqlite3.connect('../l.db').execute('SELECT count(*) FROM entry').fetchone()\n"
        "    return kinds == (5,)\n"
        "until(closed)\n"
        "before = running.is_done; go.set(); running.wait()\n"
        "say(before)"
    )
    assert found is False


def test_after_a_fork_both_processes_launch(host: Host) -> None:
    found = host.run(
        "launch(['/bin/true'], ledger='../l.db')\n"
        "before = zygotes()\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    code = launch(['/bin/sh', '-c', 'exit 7'], ledger='../l.db').exit\n"
        "    os._exit(code if len(zygotes()) == 1 and zygotes() != before else 1)\n"
        "mine = launch(['/bin/sh', '-c', 'exit 6'], ledger='../l.db').exit\n"
        "say([mine, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), len(before), zygotes() == before])"
    )
    assert found == [6, 7, 1, True]
    assert list(host.sessions().values()) == [WHOLE] * 3


def test_a_fork_while_another_thread_begins_a_launch_holds_up_no_launch_of_the_child(host: Host) -> None:
    found = host.run(
        "from runtime.launcher import running_launch\n"
        "launching = running_launch.open_missing_streams\n"
        "held, go_on = threading.Event(), threading.Event()\n"
        "def hold(): held.set(); go_on.wait(); launching()\n"
        "running_launch.open_missing_streams = hold\n"
        "thread = threading.Thread(target=launch, args=[['/bin/true']], kwargs={'ledger': '../l.db'})\n"
        "thread.start(); held.wait()\n"
        "running_launch.open_missing_streams = launching\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    signal.alarm(30)\n"
        "    os._exit(launch(['/bin/sh', '-c', 'exit 7'], ledger='../l.db').exit)\n"
        "status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])\n"
        "go_on.set(); thread.join()\n"
        "say(status)"
    )
    assert found == 7
    assert list(host.sessions().values()) == [WHOLE] * 2


def test_the_record_is_the_commands_own(host: Host) -> None:
    """What ``nono run`` records of the same command differs in what differs, and in nothing else."""
    host.run(
        "from runtime.cli import main\n"
        "os.umask(0o27)\n"
        "command = ['/bin/sh', '-c', 'umask; exit 4']\n"
        "main(['run', '--silent', '--ledger', '../l.db', '--block-net', '--', *command])\n"
        "result = launch(command, ledger='../l.db', block_net=True, capture=True)\n"
        "say(result.stdout.decode())"
    )
    run, called = ([e["data"] for e in host.entries() if e["session"] == s] for s in host.sessions())
    for theirs, ours in zip(run[:-1], called[:-1], strict=True):
        differing = {name for name in {*theirs, *ours} if theirs.get(name) != ours.get(name)}
        assert differing <= {
            "capabilities", "capabilities_sha256", "duration_us", "ended", "environment", "pid", "resources",
            "started", "supervisor",
        }  # fmt: skip
    assert run[1]["enforcement"] == called[1]["enforcement"]


def test_a_command_has_the_hosts_umask_directory_limits_and_ignored_signals(host: Host) -> None:
    code = (
        "import resource\n"
        "os.umask(0o37)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (200, 300))\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "signal.signal(signal.SIGUSR2, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])\n"
        "told, kept = [], {'read': ['.'], 'ledger': '../l.db', 'capture': True}\n"
        "for command in (['/bin/sh', '-c', 'umask; ulimit -Sn; ulimit -Hn; ulimit -c; pwd'],\n"
        "                ['/bin/grep', '-E', '^Sig(Ign|Blk)', '/proc/self/status']):\n"
        "    told += launch(command, **kept).stdout.decode().splitlines()\n"
        "say(told)"
    )
    umask, soft, hard, core, directory, blocked, ignored = host.run(code)
    assert (umask, soft, hard, core) == ("0037", "200", "300", "0")
    assert directory == str(host.work)
    assert int(blocked.split()[1], 16) == 1 << signal.SIGUSR1 - 1
    assert int(ignored.split()[1], 16) >> signal.SIGUSR2 - 1 & 1


def test_a_zygote_that_was_killed_is_replaced(host: Host) -> None:
    found = host.run(
        "launch(['/bin/true'], ledger='../l.db')\n"
        "(first,) = zygotes()\n"
        "os.kill(first, signal.SIGKILL)\n"
        "until(lambda: not zygotes())\n"
        "exits = [launch(['/bin/sh', '-c', 'exit 3'], ledger='../l.db').exit for _ in range(2)]\n"
        "say([exits, len(zygotes()), zygotes() != [first]])"
    )
    assert found == [[3, 3], 1, True]


def test_a_zygote_that_is_killed_while_commands_run_takes_none_with_it(host: Host) -> None:
    found = host.run(
        "scripts = [f': > ready{n}; sleep 1; exit {n}' for n in range(3)]\n"
        "running = [start(['/bin/sh', '-c', each], allow=['.'], ledger='../l.db') for each in scripts]\n"
        "until(lambda: all(os.path.exists(f'ready{n}') for n in range(3)))\n"
        "os.kill(zygotes()[0], signal.SIGKILL)\n"
        "say([each.wait().exit for each in running])"
    )
    assert found == [0, 1, 2]
    assert list(host.sessions().values()) == [WHOLE] * 3


def test_a_zygote_that_is_killed_with_a_call_before_it_is_replaced(host: Host) -> None:
    """The call lies in its socket, and nobody knows whether it was taken: it is made again, and runs once."""
    found = host.run(
        "launch(['/bin/true'], ledger='../l.db')\n"
        "(first,) = zygotes()\n"
        "os.kill(first, signal.SIGSTOP)\n"
        "running = start(['/bin/sh', '-c', 'echo x >> ran'], allow=['.'], ledger='../l.db')\n"
        "import sqlite3\n"
        "connection = sqlite3.connect('../l.db')\n"
        "until(lambda: connection.execute('SELECT count(*) FROM entry').fetchone() == (6,))\n"
        "time.sleep(0.5)\n"
        "os.kill(first, signal.SIGKILL)\n"
        "say([running.wait().exit, open('ran').read(), zygotes() != [first]])"
    )
    assert found == [0, "x\n", True]
    assert list(host.sessions().values()) == [WHOLE] * 2


def test_a_zygote_that_is_stopped_holds_no_launch_up_for_ever(host: Host) -> None:
    found = host.run(
        "from runtime.processes import zygote_link\n"
        "launch(['/bin/true'], ledger='../l.db')\n"
        "zygote_link._START_SECONDS = 0.5\n"
        "(first,) = zygotes()\n"
        "os.kill(first, signal.SIGSTOP)\n"
        "try: launch(['/bin/sh', '-c', ': > ran'], allow=['.'], ledger='../l.db')\n"
        "except LaunchError as error: code = error.code\n"
        "os.kill(first, signal.SIGCONT)\n"
        "zygote_link._START_SECONDS = 30\n"
        "exit = launch(['/bin/sh', '-c', 'exit 4'], ledger='../l.db').exit\n"
        "say([code, os.path.exists('ran'), exit])"
    )
    assert found == ["launch.zygote", False, 4]
    assert list(host.sessions().values()) == [WHOLE, ["intent", "outcome", "attestation"], WHOLE]


def test_what_is_forked_before_its_call_holds_its_socket_alone_and_ends_without_one(host: Host) -> None:
    found = host.run(
        "def children(of):\n"
        "    with open(f'/proc/{of}/task/{of}/children') as file: found = file.read().split()\n"
        "    return list(map(int, found))\n"
        "def held(pid): return sorted(map(int, os.listdir(f'/proc/{pid}/fd')))\n"
        "from runtime.processes import zygote_link\n"
        "running = start(['/bin/sh', '-c', ': > ready; exec sleep 600'], allow=['.'])\n"
        "until(lambda: os.path.exists('ready'))\n"
        "zygote = min(zygotes())\n"
        "(monitor,) = children(zygote)\n"
        "forked = zygote_link.fork_monitor(zygote_link.Standing.of_this_thread())\n"
        "until(lambda: len(children(zygote)) == 2)\n"
        "(waiting,) = {*children(zygote)} - {monitor}\n"
        "until(lambda: len(held(waiting)) == 4)\n"
        "forked.close()\n"
        "until(lambda: children(zygote) == [monitor])\n"
        "running.cancel(); running.wait()\n"
        "try: launch(['no-such-program'])\n"
        "except LaunchError as error: code = error.code\n"
        "until(lambda: not children(zygote))\n"
        "say([code, forked.link.is_intact])"
    )
    assert found == ["executable.missing", True]


def test_what_is_forked_before_its_call_ends_although_the_host_has_forked(host: Host) -> None:
    """The child has its socket as well, and can live as long as a server's worker does."""
    found = host.run(
        "def children(of):\n"
        "    with open(f'/proc/{of}/task/{of}/children') as file: return file.read().split()\n"
        "from runtime.processes import zygote_link\n"
        "launch(['/bin/true'])\n"
        "(zygote,) = zygotes()\n"
        "forked = zygote_link.fork_monitor(zygote_link.Standing.of_this_thread())\n"
        "until(lambda: children(zygote))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    while True: signal.pause()\n"
        "try:\n"
        "    forked.close()\n"
        "    until(lambda: not children(zygote))\n"
        "finally: os.kill(child, signal.SIGKILL)\n"
        "say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    )
    assert found == -signal.SIGKILL


def test_the_zygote_ends_with_its_host(host: Host) -> None:
    begun = host.begin("launch(['/bin/true'], ledger='../l.db')\nsay(zygotes())")
    out, _ = begun.communicate(timeout=60)
    (zygote,) = json.loads(out.splitlines()[-1])
    _until_gone(zygote)


def _until_gone(pid: int) -> None:
    import time

    deadline = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}"):
        with open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] == b"Z":
                return
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("forked", [False, True])
def test_a_host_that_is_killed_takes_its_commands_with_it(host: Host, forked: bool) -> None:
    """Also where a child of it goes on, which has inherited its end of every pipe."""
    begun = host.begin(
        "import ctypes\n"
        "script = 'setsid sleep 601 & echo $! $$ > pids; mv pids there; exec sleep 600'\n"
        "running = start(['/bin/sh', '-c', script], allow=['.'], ledger='../l.db')\n"
        "until(lambda: os.path.exists('there'))\n"
        # Behind Python's back, so that nothing is closed in the child.
        + (
            "child = ctypes.CDLL(None).fork()\n"
            "if child == 0:\n"
            "    os.close(1), os.close(2)\n"
            "    time.sleep(60); os._exit(0)\n"
            if forked
            else "child = 0\n"
        )
        + "say(child)\ntime.sleep(60)\n"
    )
    assert begun.stdout is not None
    child = int(begun.stdout.readline())
    begun.kill()
    begun.communicate(timeout=60)
    try:
        for pid in (host.work / "there").read_text().split():
            _until_gone(int(pid))
    finally:
        if child:
            os.kill(child, signal.SIGKILL)
            _until_gone(child)
    assert list(host.sessions().values()) == [["intent", "start"]]
    host.run("say(launch(['/bin/true'], ledger='../l.db').exit)")
    assert list(host.sessions().values()) == [["intent", "start", "lost"], WHOLE]


def test_a_monitor_that_is_lost_leaves_nothing_and_the_record_says_how_it_ended(host: Host) -> None:
    found = host.run(
        "def children(of):\n"
        "    with open(f'/proc/{of}/task/{of}/children') as file: return file.read().split()\n"
        "script = 'setsid sleep 601 & echo $! $$ > pids; mv pids there; exec sleep 600'\n"
        "running = start(['/bin/sh', '-c', script], allow=['.'], ledger='../l.db')\n"
        "until(lambda: os.path.exists('there'))\n"
        "(monitor,) = children(zygotes()[0])\n"
        "os.kill(int(monitor), signal.SIGKILL)\n"
        "result = running.wait()\n"
        "gone = [not os.path.exists('/proc/' + pid) for pid in open('there').read().split()]\n"
        "say([result.signal, result.survivors, gone])"
    )
    assert found == [signal.SIGKILL, 1, [True, True]]
    counts = host.entries()[-2]["data"]["counts"]
    assert (counts["survivors"], counts["survivors_left"]) == (1, 0)


def test_no_module_is_found_in_the_current_directory_or_on_the_hosts_path(host: Host) -> None:
    hostile = "open('taken', 'a').write(__name__)"
    for place in (host.work, host.place / "path"):
        place.mkdir(exist_ok=True)
        for name in (
            "socket",
            "pickle",
            "json",
            "runtime",
            "attest",
            "select",
            "sitecustomize",
            "usercustomize",
        ):
            (place / f"{name}.py").write_text(hostile)
    found = host.run(
        "from runtime.launcher import calling\n"
        "sys.path[:0] = [os.getcwd(), os.path.abspath('../path')]\n"
        "os.environ['PYTHONPATH'] = os.path.abspath('../path')\n"
        "say([launch(['/bin/true'], ledger='../l.db').exit, os.path.exists('taken')])"
    )
    assert found == [0, False]


def test_what_a_host_has_become_its_commands_are(host: Host) -> None:
    """A zygote of before must not stand in for a process that has given something up."""
    as_root = os.geteuid() == 0
    become = "os.setgroups([4242])" if as_root else "syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)"
    found = host.run(
        "from runtime.kernel import syscalls\n"
        "launch(['/bin/true'], ledger='../l.db')\n"
        "before = zygotes()\n"
        f"{become}\n"
        "result = launch(['/usr/bin/id', '-G'], ledger='../l.db', capture=True)\n"
        "until(lambda: not set(before) & set(zygotes()))\n"
        "say(result.stdout.decode().split())"
    )
    assert ("4242" in found) is as_root


def test_a_host_that_has_closed_its_streams(host: Host) -> None:
    found = host.run(
        "kept = os.dup(1)\n"
        "for number in range(3): os.close(number)\n"
        "result = launch(['/bin/sh', '-c', 'cat; echo x; echo y >&2'], ledger='../l.db', capture=True)\n"
        "os.dup2(kept, 1)\n"
        "say([result.exit, result.stdout.decode(), result.stderr.decode()])"
    )
    assert found == [0, "x\n", "y\n"]


def test_descriptors_with_high_and_low_numbers_arrive(host: Host) -> None:
    found = host.run(
        "import resource\n"
        "held = [os.open('/dev/null', os.O_RDONLY) for _ in range(40)]\n"
        "first = launch(['/bin/sh', '-c', 'exit 3'], ledger='../l.db').exit\n"
        "for number in held[::2]: os.close(number)\n"
        "second = launch(['/bin/sh', '-c', 'exit 4'], ledger='../l.db').exit\n"
        "for number in held[1::2]: os.close(number)\n"
        "say([first, second, launch(['/bin/sh', '-c', 'exit 5'], ledger='../l.db').exit])"
    )
    assert found == [3, 4, 5]


def test_a_host_that_waits_for_any_child_has_none(host: Host) -> None:
    found = host.run(
        "launch(['/bin/true'], ledger='../l.db')\n"
        "running = start(['/bin/sleep', '1'], ledger='../l.db')\n"
        "try: os.waitpid(-1, 0)\n"
        "except ChildProcessError: say(running.wait().exit)"
    )
    assert found == 0


def test_a_ledger_that_was_moved_away_is_not_written_to(host: Host) -> None:
    found = host.run(
        "first = launch(['/bin/true'], ledger='../l.db')\n"
        "for tail in ('', '-wal', '-shm'): os.rename('../l.db' + tail, '../old.db' + tail)\n"
        "second = launch(['/bin/true'], ledger='../l.db')\n"
        "say([first.entries, second.entries])"
    )
    assert found == [[1, 2, 3, 4], [1, 2, 3, 4]]


@pytest.mark.parametrize("value", [{"output_limit": -1}, {"output_limit": True}, {"input": "text"}])
def test_streams_that_make_no_sense_are_refused(value: Mapping[str, object]) -> None:
    from runtime import LaunchError, launch

    with pytest.raises(LaunchError) as caught:
        launch(["/bin/true"], **value)  # type: ignore[arg-type]  # the point of it
    assert caught.value.code == "usage.streams"


def test_a_child_of_the_host_keeps_no_session_of_it(host: Host) -> None:
    """While it lives the next launch finds that the host is gone, and says so."""
    begun = host.begin(
        "running = start(['/bin/sh', '-c', ': > ready; exec sleep 600'], allow=['.'], ledger='../l.db')\n"
        "until(lambda: os.path.exists('ready'))\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    try: running.wait()\n"
        "    except LaunchError: print('not mine', flush=True)\n"
        "    os.close(1), os.close(2)\n"
        "    time.sleep(60); os._exit(0)\n"
        "say(child)\ntime.sleep(60)\n"
    )
    assert begun.stdout is not None
    lines = sorted(begun.stdout.readline().strip() for _ in range(2))
    assert lines[1] == b"not mine"
    begun.kill()
    begun.communicate(timeout=60)
    try:
        host.run("say(launch(['/bin/true'], ledger='../l.db').exit)")
        assert sorted(host.sessions().values()) == [["intent", "start", "lost"], WHOLE]
    finally:
        os.kill(int(lines[0]), signal.SIGKILL)
        _until_gone(int(lines[0]))


def test_a_host_that_closes_what_is_open_is_told_and_nothing_is_written_elsewhere(host: Host) -> None:
    found = host.run(
        "launch(['/bin/true'], ledger='../l.db')\n"
        "launch(['/bin/true'], audit=False)\n"
        "os.closerange(3, 200)\n"
        "theirs = [os.open('theirs', os.O_RDWR | os.O_CREAT) for _ in range(60)]\n"
        "try: launch(['/bin/true'], ledger='../l.db')\n"
        "except Exception as error: code = error.code\n"
        "other = launch(['/bin/sh', '-c', 'exit 3'], audit=False).exit\n"
        "alive = [os.fstat(number).st_ino for number in theirs]\n"
        "say([code, other, len(set(alive)), os.path.getsize('theirs')])"
    )
    assert found == ["ledger.descriptors", 3, 1, 0]
    host.run("say(launch(['/bin/true'], ledger='../l.db').exit)")
    assert list(host.sessions().values()) == [WHOLE] * 2


def test_what_other_threads_open_meanwhile_is_not_taken_for_the_ledgers(host: Host) -> None:
    """Files that are open when a ledger is opened, the ledger itself among them, and closed afterwards."""
    found = host.run(
        "from runtime.processes import shared_ledgers\n"
        "from store.ledger import Ledger\n"
        "launch(['/bin/true'], ledger='../l.db')\n"
        "shared_ledgers.close_idle()\n"
        "opening, theirs = Ledger.open.__func__, []\n"
        "def busy(*arguments, **options):\n"
        "    theirs.extend(os.open(name, os.O_RDONLY) for name in ('../l.db', '/etc/passwd', '/etc/group'))\n"
        "    return opening(*arguments, **options)\n"
        "Ledger.open = classmethod(busy)\n"
        "first = launch(['/bin/true'], ledger='../l.db').exit\n"
        "for number in theirs[1:]: os.close(number)\n"
        "os.dup2(os.open('/dev/null', os.O_RDONLY), theirs[0])\n"
        "say([first, len(theirs), launch(['/bin/sh', '-c', 'exit 3'], ledger='../l.db').exit])"
    )
    assert found == [0, 3, 3]


def test_a_host_that_has_few_descriptors_left_is_refused_in_words_and_goes_on(host: Host) -> None:
    """However few there are: each launch is refused or runs, and nothing is kept open."""
    found = host.run(
        "import resource\n"
        "launch(['/bin/true'], ledger='../l.db', capture=True)\n"
        "def opened(): return len(os.listdir('/proc/self/fd'))\n"
        "before, hard = opened(), resource.getrlimit(7)[1]\n"
        "ended = []\n"
        "for few in range(0, 150, 3):\n"
        "    resource.setrlimit(7, (before + few, hard))\n"
        "    try: ended.append(launch(['/bin/true'], ledger='../l.db', capture=True).exit)\n"
        "    except NonoError as error: ended.append(error.code)\n"
        "    resource.setrlimit(7, (hard, hard))\n"
        "    assert opened() <= before, (few, opened(), before)\n"
        "say([ended, launch(['/bin/sh', '-c', 'exit 3'], ledger='../l.db').exit])"
    )
    ended, last = found
    assert last == 3
    assert ended[-1] == 0
    assert {type(each) for each in ended} == {int, str}
    assert "ledger.full" not in ended  # it is not the disk that lacks room
    assert [path for path in host.place.iterdir() if path.name.startswith("nono-")] == []
    # One that was refused after its intent says so; none is left without an end.
    assert {kinds[-1] for kinds in host.sessions().values()} == {"attestation"}


@pytest.mark.parametrize("limit", ["RLIMIT_FSIZE", "RLIMIT_NPROC", "RLIMIT_STACK", "RLIMIT_CPU"])
def test_a_host_that_lowers_a_limit_between_launches_is_told_or_served(host: Host, limit: str) -> None:
    found = host.run(
        "import resource\n"
        f"kind = resource.{limit}\n"
        "launch(['/bin/true'], ledger='../l.db')\n"
        "before = resource.getrlimit(kind)\n"
        "low = {resource.RLIMIT_CPU: 3600, resource.RLIMIT_STACK: 1 << 20}.get(kind, 1)\n"
        "resource.setrlimit(kind, (low, before[1]))\n"
        "try: ended = launch(['/bin/true'], ledger='../l.db').exit\n"
        "except NonoError as error: ended = error.code\n"
        "resource.setrlimit(kind, before)\n"
        "say([ended, launch(['/bin/sh', '-c', 'exit 3'], ledger='../l.db').exit])"
    )
    ended, after = found
    assert after == 3
    expected: dict[str, set[object]] = {
        "RLIMIT_FSIZE": {"ledger.full"},
        # Of root the kernel counts no processes.
        "RLIMIT_NPROC": {0} if os.geteuid() == 0 else {"launch.resources"},
    }
    assert ended in expected.get(limit, {0})
    assert {kinds[-1] for kinds in host.sessions().values()} <= {"attestation"}


def test_a_host_that_forks_ignores_its_children_and_moves_between_launches(host: Host) -> None:
    """A step between two launches each, of many kinds; each process keeps a record of its own launches."""
    (host.work / "below").mkdir()
    found = host.run(
        "def one(code): return launch(['/bin/sh', '-c', f'exit {code}'], ledger=place).exit\n"
        "place = os.path.abspath('../l.db')\n"
        "ended = [one(1)]\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_IGN)\n"
        "ended.append(one(2))\n"
        "if (child := os.fork()) == 0: os._exit(one(3))\n"
        "signal.signal(signal.SIGCHLD, signal.SIG_DFL)\n"
        "ended.append(one(4))\n"
        "if (child := os.fork()) == 0: os._exit(one(5))\n"
        "ended.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
        "os.umask(0o777)\n"
        "try: one(9)\n"  # as root it works; whoever cannot read what it made is told so
        "except NonoError: pass\n"
        "os.umask(0o77)\n"
        "ended.append(one(6))\n"
        "os.chdir('below'); os.rmdir('../below')\n"
        "try: one(7)\n"
        "except LaunchError as error: ended.append(error.code)\n"
        "os.chdir('..')\n"
        "del os.environ['PATH']\n"
        "os.setpgid(0, 0)\n"
        "ended.append(one(8))\n"
        "say(ended)"
    )
    assert found == [1, 2, 4, 5, 6, "usage.invalid", 8]
    outcomes = [entry["data"] for entry in host.entries() if entry["kind"] == "launch.outcome"]
    assert {outcome["exit"] for outcome in outcomes if "exit" in outcome} >= {1, 2, 4, 5, 6, 8}


def test_a_host_whose_interpreter_has_no_name_is_told(host: Host) -> None:
    """A program that Python is embedded in has none, unless it says one."""
    found = host.run(
        "said = []\n"
        "for name in (None, '', '/no/such/python', '/bin/false'):\n"
        "    sys.executable = name\n"
        "    try: launch(['/bin/true'], audit=False)\n"
        "    except LaunchError as error: said.append([error.code, bool(error.hint)])\n"
        "say(said)"
    )
    assert found == [["launch.zygote", True]] * 4


def test_a_launch_from_a_callback_and_one_at_the_end_of_the_program(host: Host) -> None:
    found = host.run(
        "import atexit\n"
        "def last(): say(launch(['/bin/sh', '-c', 'exit 5'], ledger='../l.db').exit)\n"
        "atexit.register(last)\n"
        "inner = []\n"
        "def told(piece): inner.append(launch(['/bin/sh', '-c', 'exit 4'], ledger='../l.db').exit)\n"
        "outer = launch(['/bin/echo', 'x'], ledger='../l.db', on_stdout=told).exit\n"
        "assert (outer, inner) == (0, [4]), (outer, inner)"
    )
    assert found == 5
    assert list(host.sessions().values()).count(WHOLE) == 3


def test_a_host_that_masks_and_handles_everything(host: Host) -> None:
    found = host.run(
        "for number in signal.valid_signals():\n"
        "    try: signal.signal(number, lambda *_: None)\n"
        "    except OSError: pass\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "results = [launch(['/bin/sh', '-c', f'exit {n}'], ledger='../l.db').exit for n in range(3)]\n"
        "running = start(['/bin/sleep', '600'], ledger='../l.db')\n"
        "running.cancel()\n"
        "try: ended = running.wait().ended_by\n"
        "except LaunchError as error: ended = error.code\n"
        "say([results, ended])"
    )
    assert found[0] == [0, 1, 2]
    assert found[1] in ("cancelled", "launch.interrupted")


def test_whatever_a_launch_can_be_asked_for_travels_to_its_monitor(host: Host) -> None:
    """Mediation of sockets, ports and metadata, rules of execs, limits of time and resources: all at once."""
    host.run(
        "os.mkdir('sockets')\n"
        "import socket\n"
        "server = socket.socket(socket.AF_UNIX); server.bind('sockets/s'); server.listen()\n"
        "threading.Thread(target=lambda: server.accept()[0].sendall(b'hello'), daemon=True).start()\n"
        "os.mkdir('inside'); open('outside', 'w').close(); os.chmod('outside', 0o600)\n"
        "script = (\n"
        "    'import os, socket, subprocess\\n'\n"
        "    's = socket.socket(socket.AF_UNIX); s.connect(\"sockets/s\"); print(s.recv(9).decode())\\n'\n"
        "    'socket.create_server((\"127.0.0.1\", 0)) if 0 else None\\n'\n"
        "    'print(subprocess.run([\"/bin/true\"]).returncode)\\n'\n"
        "    'print(subprocess.run([\"/bin/echo\"]).returncode)\\n'\n"
        "    'os.chmod(\"inside\", 0o711)\\n'\n"
        "    'try: os.chmod(\"outside\", 0o644)\\n'\n"
        "    'except OSError as error: print(error.errno)\\n'\n"
        ")\n"
        "result = launch([os.path.realpath(sys.executable), '-I', '-c', script], ledger='../l.db',\n"
        "    read=[sys.base_prefix, '.'], allow=['inside'], allow_unix_socket_dir=['sockets'],\n"
        "    open_ports=[3061], protect_metadata=True, exec_allow=['/bin/true'], timeout=60, nofile=64,\n"
        "    input=b'', capture=True)\n"
        "say([result.exit, result.stdout.decode(), result.stderr.decode()])\n"
        "assert result.exit == 0, result\n"
        "assert result.stdout.decode().split() == ['hello', '0', '-9', '1'], result\n"
        "assert os.stat('outside').st_mode & 0o777 == 0o600\n"
    )
    start = host.entries()[2]["data"]
    assert start["enforcement"]["achieved"]["metadata"] is True
    assert {"timeout_ms", "open_files"} <= start["limits"].keys()
    assert "decision" in next(iter(host.sessions().values()))


OF_WHO_PREPARES = {
    "runtime.capability.running_images",
    "runtime.capability.socket_variables",
    "runtime.kernel.surroundings",
    "runtime.sandbox.seccomp_rules",
}
"""What modules of a monitor import in functions that only the launcher calls: its filter, its variables."""


def _imported_by(module: str) -> set[str]:
    """Return the modules of ours that one imports, wherever in it, when it runs."""
    path = ROOT / (module.replace(".", "/") + ".py")
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found |= {node.module, *(f"{node.module}.{name.name}" for name in node.names)}
    return {name for name in found if (ROOT / (name.replace(".", "/") + ".py")).exists() and "." in name}


def test_whatever_a_monitor_can_ever_import_the_zygote_has() -> None:
    """Nothing is imported after the fork: whoever gives a monitor a module of its own names it there."""
    from runtime.processes import zygote, zygote_link

    reached, waiting = set[str](), {"runtime.processes.monitor", "runtime.processes.outputs"}
    while waiting:
        reached.add(module := waiting.pop())
        waiting |= _imported_by(module) - reached
    start = "zygote.start(zygote.main, [control, host])\n"
    assert start in zygote_link._PROGRAM
    program = zygote_link._PROGRAM.replace(
        start,
        "for name in zygote.PRELOADED: __import__(name)\n"
        "import importlib.util\nassert importlib.util.find_spec('cryptography') is None\n"  # lies beside
        "print(' '.join(sys.modules))\n",
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, "", zygote_link._places(), "", ""],
        capture_output=True,
        check=True,
        text=True,
    )
    loaded = set(done.stdout.split())
    assert reached - loaded == OF_WHO_PREPARES
    assert set(zygote.PRELOADED) <= loaded
