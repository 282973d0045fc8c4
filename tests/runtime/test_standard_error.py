"""What a command writes to standard error, seen on its way or read back: real pipes, sockets and files."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

# A process whose standard error is what the test gives it; it answers on standard output.
PROLOGUE = f"""\
import json, os, select, signal, sys, time
sys.path.insert(0, {str(ROOT)!r})
from runtime.processes.standard_error import FileView, Relay, why_not_relayed
def answer(value): os.write(1, json.dumps(value).encode())
def writer(relay, code):
    pid = os.fork()
    if pid == 0:
        os.dup2(relay.command_end, 2)
        begin = "import os, signal, sys, time\\nsignal.signal(signal.SIGPIPE, signal.SIG_DFL)\\n"
        os.execv(sys.executable, [sys.executable, "-I", "-S", "-c", begin + code])
    relay.close_command_end()
    return pid
def relayed(relay, pid):
    poll = select.poll()
    pidfd = os.pidfd_open(pid)
    poll.register(pidfd, select.POLLIN)
    relay.register(poll)
    most = 0
    while True:
        ready = dict(poll.poll())
        relay.serve(ready, poll)
        most = max(most, len(relay._pending), len(relay._tail))
        if pidfd in ready:
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), most
"""


def start(code: str, stderr: Any, **options: Any) -> subprocess.Popen[bytes]:  # whatever Popen takes
    return subprocess.Popen(
        [sys.executable, "-I", "-c", PROLOGUE + code], stdout=subprocess.PIPE, stderr=stderr, **options
    )


def answered(process: subprocess.Popen[bytes]) -> Any:  # JSON
    assert process.stdout is not None
    with process:
        answer = process.stdout.read()
    assert process.returncode == 0, answer
    return json.loads(answer)


RELAYED = """
relay = Relay()
status, most = relayed(relay, writer(relay, {code!r}))
tail = relay.tail()
relay.hand_on(sys.stdin.fileno())
relay.close()
answer([status, most, len(tail), len(relay.tail()), relay.tail()[-4:].decode()])
"""
MANY = "for i in range(3000): os.write(2, b'%04d' % i * 1000)"


@pytest.mark.parametrize("kind", ["pipe", "fifo", "socket"])
def test_nothing_is_lost_reordered_or_kept_without_bound(tmp_path: Path, kind: str) -> None:
    if kind == "pipe":
        reader, sink = os.pipe()
    elif kind == "fifo":
        os.mkfifo(tmp_path / "f")
        reader = os.open(tmp_path / "f", os.O_RDONLY | os.O_NONBLOCK)
        sink = os.open(tmp_path / "f", os.O_WRONLY)
        os.set_blocking(reader, True)  # its name says what is true
    else:
        ours, theirs = socket.socketpair()
        reader, sink = ours.detach(), theirs.detach()
    hold, release = os.pipe()
    process = start(RELAYED.format(code=MANY), sink, stdin=hold)
    os.close(sink)
    os.close(hold)
    digest = bytearray()
    while piece := os.read(reader, 70_001):
        digest += piece
    os.close(release)
    status, most, _, kept, end = answered(process)
    assert bytes(digest) == b"".join(b"%04d" % i * 1000 for i in range(3000))
    assert (status, kept, end) == (0, 65_536, "2999")
    assert most <= 65_536
    os.close(reader)


def test_a_reader_that_waits_makes_the_command_wait() -> None:
    """Back-pressure: what is not read outside is not read from the command."""
    reader, sink = os.pipe()
    code = (
        "os.set_blocking(2, False)\nn = 0\n"
        "def fill(n):\n"
        "  try:\n"
        "    while True: n += os.write(2, b'x' * 4096)\n"
        "  except BlockingIOError: return n\n"
        "before = -1\n"
        "while before != n: before, n = n, fill(n); time.sleep(0.1)\n"
        "os._exit(7 if n <= 3 * 65536 else 8)\n"
    )
    process = start(RELAYED.format(code=code), sink, stdin=subprocess.DEVNULL)
    os.close(sink)
    # The command ends although nobody has read: all of it is in the two pipes and the one piece between.
    assert answered(process)[0] == 7
    os.close(reader)


def test_without_a_reader_the_command_has_its_signal() -> None:
    reader, sink = os.pipe()
    code = "os.write(2, b'first')\nwhile True: os.write(2, b'x'); time.sleep(0.001)\n"
    process = start(RELAYED.format(code=code), sink, stdin=subprocess.DEVNULL)
    os.close(sink)
    assert os.read(reader, 5) == b"first"
    os.close(reader)
    assert answered(process)[0] == -13


def test_what_is_left_at_the_end_is_handed_on_and_no_more() -> None:
    """A process that could not be ended may go on writing; nono does not wait for it."""
    reader, sink = os.pipe()
    code = "os.write(2, b'y' * 1000)\nif os.fork() == 0:\n  while True: os.write(2, b'z' * 4096)\n"
    body = f"""
relay = Relay()
pid = writer(relay, {code!r})
os.waitpid(pid, 0)
relay.hand_on()
answer(len(relay.tail()))
relay.close()
"""
    process = start(body, sink, stdin=subprocess.DEVNULL, start_new_session=True)
    os.close(sink)
    assert answered(process) <= 65_536
    assert os.read(reader, 1000) == b"y" * 1000
    while os.read(reader, 65_536):  # the one that goes on has its SIGPIPE, and then this ends
        pass
    os.close(reader)


def test_a_slow_reader_is_left_when_a_signal_comes() -> None:
    reader, sink = os.pipe()
    hold, release = os.pipe()
    code = "os.write(2, b'y' * 65536)\nos.write(2, b'y' * 65536)\n"
    process = start(RELAYED.format(code=code), sink, stdin=hold)
    os.close(sink)
    ended = select.poll()
    ended.register(os.pidfd_open(process.pid), select.POLLIN)
    assert ended.poll(300) == []  # it waits for the reader
    os.write(release, b"a signal")
    assert answered(process)[0] == 0
    for descriptor in (reader, hold, release):
        os.close(descriptor)


def test_what_is_not_relayed_and_why(tmp_path: Path) -> None:
    code = "answer(why_not_relayed())"
    controller, terminal = os.openpty()
    assert answered(start(code, terminal)) == "is a terminal"
    assert answered(start(code, subprocess.STDOUT)) == "is where standard output goes"
    with open(tmp_path / "f", "wb") as file:
        assert answered(start(code, file)) == "is neither a pipe nor a stream"
    datagrams, peer = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with datagrams, peer:
        assert answered(start(code, datagrams.fileno())) == "is neither a pipe nor a stream"
    pipe = os.pipe()
    assert answered(start(code, pipe[1])) is None
    for descriptor in (controller, terminal, *pipe):
        os.close(descriptor)


VIEWED = "os.write(2, b'before\\n'); view = FileView()\nos.write(2, {what})\nanswer(view.tail().decode())"


@pytest.mark.parametrize("flags", [os.O_WRONLY, os.O_WRONLY | os.O_APPEND, os.O_RDWR])
def test_a_file_is_read_back_from_where_it_ended(tmp_path: Path, flags: int) -> None:
    path = tmp_path / "f"
    path.write_text("earlier\n")
    descriptor = os.open(path, flags)
    try:
        assert answered(start(VIEWED.format(what="b'mine\\n'"), descriptor)) == "mine\n"
        path.write_text("")
        assert answered(start(VIEWED.format(what="b'x' * 70000 + b'!'"), descriptor)) == "x" * 65_535 + "!"
        cut = "os.write(2, b'xyz'); view = FileView(); os.ftruncate(2, 0); answer(view.tail().decode())"
        assert answered(start(cut, descriptor)) == ""
    finally:
        os.close(descriptor)
