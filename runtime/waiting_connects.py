"""Connecting for the command without waiting for anybody: what takes its time has a process of its own.

A connect can last: until a server accepts (a UNIX socket whose backlog is full), or until a host answers
(TCP). It cannot be made not to wait without changing what the command sees of its socket. So the monitor
tries under a clock that interrupts it; what is interrupted, and what is known to last, is handed to a
*helper*, forked for that one connect. The helper answers the thread that asked and is gone; when that thread
is killed, so is its helper. There are at most ``MAX_HELPERS``; what comes then waits for its turn. Imported
before the fork.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import signal
import struct
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from runtime import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_HELPERS = 32
MAX_WAITING = 256
"""Connects that wait for a helper; each is a thread of the command and a descriptor of the monitor."""

LOOK_SECONDS = 0.2
"""How often it is looked whether those who asked are still there."""

_TICK_SECONDS = 0.001
# Of linux/seccomp.h.
_ID_VALID = 0x40082102


class Waiting(NamedTuple):
    """One connect that takes its time.

    Attributes:
        request: number of the notification that is to be answered.
        descriptor: the socket.
        address: as the kernel takes it.
        target: a descriptor that the address names, None without one.
    """

    request: int
    descriptor: int
    address: bytes
    target: int | None

    def close(self) -> None:
        """Close the descriptors."""
        os.close(self.descriptor)
        if self.target is not None:
            os.close(self.target)


class Connects:
    """The connects of one launch.

    Args:
        listener: the filter's, on which answers are given.
        answer: gives one: the number of a notification, and the errno or 0.

    Attributes:
        helpers: the processes that are at work, by pid; whoever reaps one calls :meth:`ended`.
    """

    def __init__(self, listener: int, answer: Callable[[int, int], None]) -> None:
        self.helpers: dict[int, int] = {}
        self._listener = listener
        self._answer = answer
        self._waiting: deque[Waiting] = deque()
        self._looked = 0.0
        signal.signal(signal.SIGALRM, _interrupt)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})

    @property
    def patience_ms(self) -> int | None:
        """How long the monitor may wait until it looks after them; None for as long as it wants."""
        return int(LOOK_SECONDS * 1_000) if self.helpers or self._waiting else None

    def connect(
        self, request: int, socket: _socket.socket, address: bytes, target: int | None = None
    ) -> None:
        """Connect, and answer now or later.

        Args:
            request: number of the notification that is to be answered.
            socket: taken from the thread that asks; it is used up.
            address: as the kernel takes it.
            target: a descriptor that the address names, None without one; likewise.
        """
        lasts = _lasts(socket)
        asked = Waiting(request, socket.detach(), address, target)
        if not lasts:
            error = self._try(asked)
            if error != errno.EINTR:
                asked.close()
                self._answer(asked.request, error)
                return
        if len(self._waiting) == MAX_WAITING:
            asked.close()
            self._answer(asked.request, errno.EAGAIN)
            return
        self._waiting.append(asked)
        self._start()

    def look_after(self) -> None:
        """Kill the helpers of threads that are gone, and forget what they wait for."""
        now = time.monotonic()
        if now < self._looked + LOOK_SECONDS:
            return
        self._looked = now
        for pid, request in self.helpers.items():
            if not self._is_there(request):
                os.kill(pid, signal.SIGKILL)
        for asked in [each for each in self._waiting if not self._is_there(each.request)]:
            self._waiting.remove(asked)
            asked.close()

    def ended(self, pid: int) -> bool:
        """Return whether the process that was reaped was a helper; then the next one can start."""
        request = self.helpers.pop(pid, None)
        if request is None:
            return False
        # One that could not answer leaves nobody waiting; to answer twice is refused by the kernel.
        self._answer(request, errno.EAGAIN)
        self._start()
        return True

    def close(self) -> None:
        """Kill the helpers; they are reaped with all else."""
        for pid in self.helpers:
            os.kill(pid, signal.SIGKILL)
        while self._waiting:
            self._waiting.pop().close()

    def _try(self, asked: Waiting) -> int:
        """Connect for a moment; return EINTR when that was not enough."""
        # It ticks on: the first tick can come before the call has begun.
        signal.setitimer(signal.ITIMER_REAL, _TICK_SECONDS, _TICK_SECONDS)
        try:
            return syscalls.connect(asked.descriptor, asked.address)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)

    def _start(self) -> None:
        while self._waiting and len(self.helpers) < MAX_HELPERS:
            asked = self._waiting.popleft()
            monitor = os.getpid()
            try:
                pid = os.fork()
            except OSError:
                self._answer(asked.request, errno.EAGAIN)
                asked.close()
                continue
            if pid == 0:
                self._help(asked, monitor)
            self.helpers[pid] = asked.request
            asked.close()

    def _help(self, asked: Waiting, monitor: int) -> None:
        """Be a helper; never returns."""
        try:
            # The pipes to the launcher above all: their end is how it learns that the monitor is lost.
            kept = {self._listener, asked.descriptor}
            syscalls.close_all_but(kept if asked.target is None else {*kept, asked.target})
            syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() == monitor:
                error = errno.EINTR
                while error == errno.EINTR:
                    error = syscalls.connect(asked.descriptor, asked.address)
                self._answer(asked.request, error)
        finally:
            os._exit(0)

    def _is_there(self, request: int) -> bool:
        """Return whether the thread that asked still waits for its answer."""
        with suppress(OSError):
            fcntl.ioctl(self._listener, _ID_VALID, struct.pack("=Q", request))
            return True
        return False


def _lasts(socket: _socket.socket) -> bool:
    """Return whether connecting ``socket`` is known to take its time: a blocking one, to another host."""
    if socket.type != _socket.SOCK_STREAM or socket.family not in (_socket.AF_INET, _socket.AF_INET6):
        return False
    return not fcntl.fcntl(socket.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK


def _interrupt(_signal_number: int, _frame: object) -> None:
    """Do nothing: that the call is interrupted is all that is wanted."""
