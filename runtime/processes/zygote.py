"""The zygote: one helper process with a single thread, which forks what a process with threads must not fork.

A process that has threads cannot safely run Python between fork and exec, and one with a large heap pays for
every fork. So the first launch of a process starts this one (:mod:`runtime.processes.zygote_link`), by exec:
isolated, with a small heap and nothing of the caller's but the modules that nono itself runs there. It forks
one process for each *call* that it is sent, a monitor mostly, and nothing else: it holds neither ledger nor
key, and what it forks reports to whoever asked.

A call begins with what it is to be and one descriptor, which come over the control socket. The descriptor is
of a SEQPACKET socket pair, over which go

1. from here, at once: ``{"pid": N}`` with a pidfd of the process that was forked, or ``{"errno": N}``;
2. to the forked process, when whoever asked knows what is to be called, which can be a good while later: in
   packets the numbers (ints of C) of the descriptors that come with each of them, then one with the sealed
   memfd that holds the pickled call; or its end, where nothing is to be called;
3. from the forked process: ``{"errno": N}``, or ``{}`` when it has taken all that, which can come before
   what this one says;
4. from here, when that has ended and left processes behind, which are this one's then, as a subreaper, and
   are killed: ``{"reaped": {PID: [STATUS, USER_US, SYSTEM_US, MAX_RSS]}, "killed": N, "left": N}``; then its
   end.

So a launch has its monitor forked, and made ready, while it is being prepared. Until its call comes a forked
process is a copy of this one that holds nothing but its socket.

Pickles are for processes that trust each other. Both ends are nono's own here: the sockets and the memfd are
close-on-exec and made by the process that launches, whoever could write there could as well write into that
process, and what is forked closes them before it becomes a command. In exchange a plan travels as it is, with
whatever members it gets. A pickle can name modules of ours alone.

It ends when the control socket does and nothing is left to wait for. When the process that it works for has
ended and something that was forked goes on all the same (another process can have inherited the ends of its
pipes), that is killed, with all that it left.
"""

from __future__ import annotations

import array
import contextlib
import errno
import io
import json
import os
import pickle
import select
import signal
import socket
import time
from typing import TYPE_CHECKING, Any

from runtime.kernel import own_limits, syscalls
from runtime.processes import offspring

if TYPE_CHECKING:
    import enum
    from collections.abc import Callable
    from typing import NoReturn

    from runtime.kernel.syscalls import Usage

MAX_DESCRIPTORS = 250
"""How many come with one packet: SCM_MAX_FD of the kernel is 253."""

PACKET_BYTES = 8_192
CALL = b"a call"  # as long as no numbers are
MONITOR = b"a monitor"
READY = b"ready"

# What the forked processes need; imported here, so that they import nothing.
PRELOADED = (
    "attest.printable_text",
    "runtime.broker.exec_tracing",
    "runtime.broker.mediation",
    "runtime.broker.metadata_mediation",
    "runtime.broker.open_mediation",
    "runtime.broker.unix_mediation",
    "runtime.broker.waiting_connects",
    "runtime.capability.unix_sockets",
    "runtime.processes.monitor",
    "runtime.processes.outputs",
    "runtime.processes.stopped_command",
    "runtime.processes.time_limit",
    "runtime.sandbox.cgroups",
    "runtime.sandbox.confinement",
)

_OURS = ("attest.", "runtime.", "store.")
_WALL = 0x40000000  # wait(2): what traces this process, and children with another signal, too
_SECONDS_AFTER_THE_HOST = 2.0
_PAUSE_MS = 5
_MOST_REPORTED = 64
_STREAMS = 3
_SIGNALS_BYTES = 4_096  # of which each takes 128 (signalfd(2)); which process it was wait4(2) says

# By this process, and so by what it forks; most processes that ask ignore no others.
_IGNORED = frozenset({int(signal.SIGPIPE), int(signal.SIGXFSZ)})


class Forked:
    """A process that was forked for a call.

    Attributes:
        socket: to who asked.
        ended: whether it has ended.
        deadline: until when what it left is waited for.
    """

    def __init__(self, answers: socket.socket) -> None:
        self.socket = answers
        self.ended = False
        self.deadline = 0.0
        self.reaped: dict[int, tuple[int, Usage]] = {}


class Zygote:
    """The zygote's only thread.

    Args:
        control: over which the calls come.
        host: pidfd of the process that it works for.
    """

    def __init__(self, control: socket.socket, host: int) -> None:
        self._control = control
        self._host = host
        self._running: dict[int, Forked] = {}
        self._leaving: list[Forked] = []
        self._is_open = True
        self._kill_at: float | None = None
        self._changed = syscalls.signalfd(frozenset({int(signal.SIGCHLD)}))

    def serve(self) -> None:
        """Serve until nobody asks any more, and everything has ended."""
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._host, select.POLLIN)
        poll.register(self._changed, select.POLLIN)
        while self._is_open or self._running or self._leaving:
            ready = {descriptor for descriptor, _ in poll.poll(self._pause_ms())}
            if self._changed in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._changed, _SIGNALS_BYTES)
            if self._control.fileno() in ready and not self._take_call():
                self._is_open = False
                poll.unregister(self._control)
            if self._host in ready:
                poll.unregister(self._host)
                self._is_open = False
                self._kill_at = time.monotonic() + _SECONDS_AFTER_THE_HOST
            if self._kill_at is not None and time.monotonic() >= self._kill_at:
                for pid in self._running:
                    os.kill(pid, signal.SIGKILL)  # not reaped yet, so the number is its own
            self._reap()
            self._end_what_is_left()

    def _pause_ms(self) -> int | None:
        if self._leaving:
            return _PAUSE_MS
        if self._kill_at is None:
            return None
        return max(_PAUSE_MS, int((self._kill_at - time.monotonic()) * 1_000) + 1)

    def _take_call(self) -> bool:
        """Fork for the next call; return False when no more will come."""
        try:
            data, descriptors, _, _ = socket.recv_fds(self._control, 16, 1, socket.MSG_CMSG_CLOEXEC)
        except OSError:
            return False
        if not data:
            return False
        if len(descriptors) != 1:  # this process may open no more
            return True
        answers = socket.socket(fileno=descriptors[0])
        try:
            pid = os.fork()
        except OSError as error:
            _tell(answers, {"errno": error.errno})
            answers.close()
            return True
        if pid == 0:
            serve_call(answers, is_monitor=data == MONITOR)
        self._running[pid] = Forked(answers)
        try:
            pidfd = os.pidfd_open(pid)
        except OSError as error:
            os.kill(pid, signal.SIGKILL)
            _tell(answers, {"errno": error.errno})
            return True
        _tell(answers, {"pid": pid}, pidfd)
        os.close(pidfd)
        return True

    def _reap(self) -> None:
        """Reap what has ended: the forked, and what those have left."""
        while True:
            try:
                pid, status, usage = syscalls.wait4(-1, os.WNOHANG | _WALL)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if os.WIFSTOPPED(status):
                with contextlib.suppress(OSError):
                    syscalls.ptrace_detach(pid, 0)
                continue
            forked = self._running.pop(pid, None)
            if forked is not None:
                forked.ended = True
                forked.deadline = time.monotonic() + offspring.KILL_SECONDS
                self._leaving.append(forked)
            else:
                for each in self._leaving:
                    if len(each.reaped) < _MOST_REPORTED:
                        each.reaped[pid] = status, usage

    def _end_what_is_left(self) -> None:
        """Kill what ended monitors have left, and say what became of it when that is over."""
        if not self._leaving:
            return
        orphans = offspring.children() - self._running.keys()
        for pid in orphans:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        now, leaving = time.monotonic(), []
        for forked in self._leaving:
            if orphans and now < forked.deadline:
                leaving.append(forked)
                continue
            if forked.reaped or orphans:
                _tell(forked.socket, _account(forked, len(orphans)))
            forked.socket.close()
        self._leaving = leaving


def _account(forked: Forked, left: int) -> dict[str, Any]:
    killed = sum(
        os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        for status, _ in forked.reaped.values()
    )
    reaped = {
        str(pid): [status, usage.user_us, usage.system_us, usage.max_rss_bytes]
        for pid, (status, usage) in forked.reaped.items()
    }
    return {"reaped": reaped, "killed": killed, "left": left}


def _tell(answers: socket.socket, message: dict[str, Any], descriptor: int = -1) -> None:
    data = json.dumps(message).encode()
    # Who asked may be gone, or read nothing: that is no reason to wait.
    with contextlib.suppress(OSError):
        if descriptor < 0:
            answers.send(data, socket.MSG_DONTWAIT)
        else:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
            answers.sendmsg([data], rights, socket.MSG_DONTWAIT)


# --- in the forked process ----------------------------------------------------------------------------


class _Unpickler(pickle.Unpickler):
    """Of pickles that name functions and classes of ours, and what enumerations are made of."""

    def find_class(self, module: str, name: str) -> Any:  # a class or a function
        if (module, name) == (
            "builtins",
            "getattr",
        ):  # how Python 3.11.0 to 3.11.3 names enumerations' members
            return _member
        if not module.startswith(_OURS) and (module, name) not in {
            ("builtins", "frozenset"),
            ("builtins", "set"),
            ("signal", "Signals"),
        }:
            raise pickle.UnpicklingError(f"no call of nono names {module}.{name}")
        return super().find_class(module, name)


def _member(enumeration: enum.EnumType, name: str) -> Any:  # its member
    return enumeration[name]


def serve_call(answers: socket.socket, *, is_monitor: bool) -> NoReturn:
    """Wait for the call, put everything in its place, and run it; never returns.

    Args:
        answers: from which it comes.
        is_monitor: whether it will be :func:`runtime.processes.monitor.run`, for which this makes ready.
    """
    try:
        # The zygote's own, and the sockets of other calls, whose ends somebody waits for.
        syscalls.close_all_but({answers.fileno()})
        ready: dict[str, object] = {}
        if is_monitor:
            from runtime.processes import monitor  # noqa: PLC0415  # preloaded

            ready["fenced"] = monitor.stand_ready()
        received: dict[int, int] = {}
        try:
            call = _take(answers, received)
        except Exception as error:  # noqa: BLE001  # whatever it is, who asked is told
            _tell(answers, {"errno": getattr(error, "errno", None) or errno.EINVAL})
            call = None
        if call is not None:
            _tell(answers, {})
            answers.close()
            _run(call, received, ready)
    finally:
        os._exit(0)


def _run(pickled: bytes, received: dict[int, int], ready: dict[str, object]) -> None:
    call: dict[str, Any] = _Unpickler(io.BytesIO(pickled)).load()
    _put_in_place(received)
    os.umask(call["umask"])
    for number in set(call["ignored"]) - _IGNORED:
        with contextlib.suppress(OSError, ValueError):  # what nobody may ignore, or Python does not know
            signal.signal(number, signal.SIG_IGN)
    call["function"](*call["arguments"], **call["more"], **ready)


def _take(answers: socket.socket, received: dict[int, int]) -> bytes | None:
    """Return the pickled call that comes, its descriptors by the numbers that they had; None if none does."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(
            answers, PACKET_BYTES, MAX_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
        )
        if not data:
            return None
        if data == CALL and len(descriptors) == 1:
            # By its place: where a process is lost with it, another one reads the same.
            call = os.pread(descriptors[0], os.fstat(descriptors[0]).st_size, 0)
            os.close(descriptors[0])
            return call
        numbers = array.array("i", data)
        received.update(zip(numbers, descriptors, strict=False))
        if len(numbers) != len(descriptors):  # this process may open no more
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


def _put_in_place(received: dict[int, int]) -> None:
    """Give each descriptor the number that it has where it comes from.

    Args:
        received: by those numbers the ones that they have here.
    """
    here = dict(received)
    for wanted in received:
        now = here.pop(wanted)
        if now == wanted:
            continue
        for other, at in here.items():
            if at == wanted:  # in the way: it has its own place yet to come
                here[other] = os.dup(at)
                break
        os.dup2(now, wanted, inheritable=wanted < _STREAMS)
        os.close(now)


# --- the process itself -------------------------------------------------------------------------------


def main(control: int, host_pid: int) -> None:
    """Be the zygote of the process ``host_pid``, which has just started this one.

    Args:
        control: number of the control socket.
        host_pid: pid of the process that it works for, this one's parent.
    """
    for name in PRELOADED:
        __import__(name)
    host = os.pidfd_open(host_pid)
    if os.getppid() != host_pid:  # it is gone, and the number may be another's
        return
    # Not a child of the process that it works for: whoever waits there for all children would wait for ever.
    if os.fork():
        os._exit(0)
    os.setsid()
    os.chdir("/")
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    syscalls.close_all_but({control, host})
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    own_limits.lift()
    connection = socket.socket(fileno=control)
    connection.send(READY)
    Zygote(connection, host).serve()


def start(function: Callable[[int, int], None], arguments: list[str]) -> None:
    """Run ``function`` with two numbers, and end without whatever Python does at its end."""
    import gc  # noqa: PLC0415  # with this process's own imports done

    gc.disable()
    try:
        function(int(arguments[0]), int(arguments[1]))
    finally:
        os._exit(0)
