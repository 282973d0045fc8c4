"""Processes that work for the monitor: forked by its thread that mediates, reaped by the other.

The other thread reaps whatever ends, so it asks here what was none of the command's (:meth:`Helpers.is_one`),
and the thread that mediates learns here which have ended. Imported before the fork.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
from typing import TYPE_CHECKING

from runtime.kernel import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable


class Helpers:
    """The helpers of one monitor; made by its first thread.

    Attributes:
        changed: descriptor that is readable when one has ended.
    """

    def __init__(self) -> None:
        self._lock = _thread.allocate_lock()
        self._running: dict[int, int] = {}
        self._ended: list[int] = []
        self._closed = False
        self.changed, self._change = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        # What interrupts a call that lasts; blocked but in the thread that makes such calls.
        signal.signal(signal.SIGALRM, _interrupt)

    def start(self, work: Callable[[], None], keep: set[int]) -> int | None:
        """Fork a helper and return its pid; None where none can be made, or the command has ended.

        Args:
            work: what it does; whatever that raises, it ends afterwards.
            keep: the descriptors that it needs; it has no others but the standard streams.
        """
        monitor = os.getpid()
        with self._lock:
            if self._closed:
                return None
            try:
                pid = os.fork()
            except OSError:
                return None
            if pid == 0:
                try:
                    # The pipes to the launcher above all: by their end it learns that the monitor is lost.
                    syscalls.close_all_but(keep)
                    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
                    if os.getppid() == monitor:
                        work()
                finally:
                    os._exit(0)
            self._running[pid] = -1
            with contextlib.suppress(OSError):  # it has ended already
                self._running[pid] = os.pidfd_open(pid)
            return pid

    def kill(self, pid: int) -> None:
        """Kill a helper, if it has not ended."""
        with self._lock:
            self._kill(pid)

    def _kill(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            signal.pidfd_send_signal(self._running.get(pid, -1), signal.SIGKILL)

    def is_one(self, pid: int) -> bool:
        """Return whether a process that was reaped was a helper."""
        with self._lock:
            pidfd = self._running.pop(pid, None)
            if pidfd is None:
                return False
            if pidfd >= 0:
                os.close(pidfd)
            self._ended.append(pid)
        with contextlib.suppress(BlockingIOError):  # then it is readable anyway
            os.write(self._change, b"x")
        return True

    def ended(self) -> list[int]:
        """Return the pids of those that have ended since the last call."""
        with contextlib.suppress(BlockingIOError):
            os.read(self.changed, 4_096)
        with self._lock:
            ended, self._ended = self._ended, []
        return ended

    def close(self) -> None:
        """Kill them all, and let no more begin; whoever reaps the command's processes reaps them too."""
        with self._lock:
            self._closed = True
            for pid in self._running:
                self._kill(pid)


def _interrupt(_signal_number: int, _frame: object) -> None:
    """Do nothing: that the call is interrupted is all that is wanted."""
