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
import functools
import os
import signal
import struct
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.kernel import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.broker.monitor_helpers import Helpers

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
    """The connects of one launch; made and used by the thread that mediates.

    Args:
        listener: the filter's, on which answers are given.
        answer: gives one: the number of a notification, and the errno or 0.
        helpers: of the monitor.
    """

    def __init__(self, listener: int, answer: Callable[[int, int], None], helpers: Helpers) -> None:
        self._listener = listener
        self._answer = answer
        self._helpers = helpers
        self._working: dict[int, int] = {}
        self._waiting: deque[Waiting] = deque()
        self._looked = 0.0
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGALRM})

    @property
    def patience_ms(self) -> int | None:
        """How long it may take until :meth:`look_after` is called again; None for ever."""
        return int(LOOK_SECONDS * 1_000) if self._working or self._waiting else None

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
            error = _try(asked)
            if error != errno.EINTR:
                self._answer(asked.request, error)
                asked.close()
                return
        if len(self._waiting) == MAX_WAITING:
            self._answer(asked.request, errno.EAGAIN)
            asked.close()
            return
        self._waiting.append(asked)
        self._start()

    def look_after(self) -> None:
        """Start what can start, and kill the helpers of threads that are gone."""
        for pid in self._helpers.ended():
            request = self._working.pop(pid, None)
            if request is not None:
                # One that could not answer leaves nobody waiting; to answer twice is refused by the kernel.
                self._answer(request, errno.EAGAIN)
        self._start()
        now = time.monotonic()
        if now < self._looked + LOOK_SECONDS:
            return
        self._looked = now
        for pid, request in self._working.items():
            if not self._is_there(request):
                self._helpers.kill(pid)
        for asked in [each for each in self._waiting if not self._is_there(each.request)]:
            self._waiting.remove(asked)
            asked.close()

    def _start(self) -> None:
        while self._waiting and len(self._working) < MAX_HELPERS:
            asked = self._waiting.popleft()
            keep = {self._listener, asked.descriptor}
            pid = self._helpers.start(
                functools.partial(self._help, asked), keep if asked.target is None else {*keep, asked.target}
            )
            if pid is None:
                self._answer(asked.request, errno.EAGAIN)
            else:
                self._working[pid] = asked.request
            asked.close()

    def _help(self, asked: Waiting) -> None:
        """Be a helper."""
        error = errno.EINTR
        while error == errno.EINTR:
            error = syscalls.connect(asked.descriptor, asked.address)
        self._answer(asked.request, error)

    def _is_there(self, request: int) -> bool:
        """Return whether the thread that asked still waits for its answer."""
        with suppress(OSError):
            fcntl.ioctl(self._listener, _ID_VALID, struct.pack("=Q", request))
            return True
        return False


def _try(asked: Waiting) -> int:
    """Connect for a moment; return EINTR when that was not enough."""
    # It ticks on: the first tick can come before the call has begun.
    signal.setitimer(signal.ITIMER_REAL, _TICK_SECONDS, _TICK_SECONDS)
    try:
        return syscalls.connect(asked.descriptor, asked.address)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _lasts(socket: _socket.socket) -> bool:
    """Return whether connecting ``socket`` is known to take its time: a blocking one, to another host."""
    if socket.type != _socket.SOCK_STREAM or socket.family not in (_socket.AF_INET, _socket.AF_INET6):
        return False
    return not fcntl.fcntl(socket.fileno(), fcntl.F_GETFL) & os.O_NONBLOCK
