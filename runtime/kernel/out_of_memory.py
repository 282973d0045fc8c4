"""When memory runs out: who is ended first, and what is kept back so that a record can be closed.

The kernel ends whoever has the most memory, shifted by a score (proc_pid_oom_score_adj(5)) that counts in
thousandths of what the machine, or the memory cgroup, may have. A command can keep its memory where it counts
for nobody, or outlives whoever made it (a memfd, a tmpfs, System V shared memory). So the scores say: the
command first, then the monitor, whose work nono can do itself, and nono last. Lowering a score needs
CAP_SYS_RESOURCE; without it the command's is as high as scores go.

When the command has ended and what it filled is still full, nono gives up its ballast, and has room for what
is left to do.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import time
from signal import SIGKILL
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCORE = "/proc/self/oom_score_adj"
HIGHEST = 1000
"""The score of who is ended first."""

# Not the lowest: that exempts, and where nobody can be ended, whoever needs memory waits for ever.
_LAST = -900
_STEP_OF_THE_COMMAND = 500
# A helper's memory is about nono's, so this has to outweigh what nono has loaded since; in a cgroup of 32 MiB
# twelve of them. What is left up to the command's has to outweigh the helper itself.
_STEP_OF_A_HELPER = 400

BALLAST_BYTES = 2 << 20
"""Enough to close a record with an output and a hook; each MiB costs a launch a quarter of a millisecond."""


_SECONDS_BETWEEN = 1.0


class Place:
    """Where nono stands among those that can be ended.

    Attributes:
        command: the score of the command.
    """

    def __init__(self) -> None:
        """Take the last place, if that is allowed."""
        self._inherited = read()
        self._own = self._inherited
        if self._inherited > _LAST and write(_LAST):
            self._own = _LAST
        self.command = HIGHEST
        if self._own <= _LAST:
            self.command = min(self._inherited + _STEP_OF_THE_COMMAND, HIGHEST)

    def leave(self) -> None:
        """Give the last place up."""
        if self._own != self._inherited:
            write(self._inherited)

    @contextlib.contextmanager
    def left(self) -> Iterator[None]:
        """Give it up meanwhile: for what is started that is neither nono nor the command."""
        self.leave()
        try:
            yield
        finally:
            if self._own != self._inherited:
                write(self._own)


def stand_before_nono() -> None:
    """Have this process, a helper that nono has forked, ended before nono is."""
    write(min(read() + _STEP_OF_A_HELPER, HIGHEST))


def read() -> int:
    """Return the score of this process; 0 when it cannot be read."""
    try:
        descriptor = os.open(_SCORE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return 0
    try:
        return int(os.read(descriptor, 16))
    except (OSError, ValueError):
        return 0
    finally:
        os.close(descriptor)


def write(score: int) -> bool:
    """Set the score of this process; return False when it may not."""
    try:
        descriptor = os.open(_SCORE, os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        os.write(descriptor, b"%d" % score)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


class Ballast:
    """Memory that is held to be given up.

    Pages of a memfd that were never written: they count for the cgroup like others, not for this process when
    it is measured against the command, and take half the time of pages that have to be cleared.
    """

    def __init__(self) -> None:
        self._descriptor = -1

    def take(self) -> None:
        """Take the memory; without it where the kernel refuses."""
        with contextlib.suppress(OSError):
            self._descriptor = os.memfd_create("nono-ballast", os.MFD_CLOEXEC)
            os.posix_fallocate(self._descriptor, 0, BALLAST_BYTES)

    def drop(self, status: int | None = None) -> None:  # noqa: ARG002  # it matters to the shared one
        """Give it up; nothing happens the second time.

        Args:
            status: the wait status of the command, None where it is not at its end.
        """
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class SharedBallast(Ballast):
    """The ballast of a program that launches many commands: one for all of them, which stays.

    It is given up when a command was killed, as whoever uses up the memory is, and taken again with the next
    launch, but not within a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._is_held = False
        self._identity: tuple[int, int] | None = None
        self._taken = float("-inf")
        self._lock = _thread.allocate_lock()

    def take(self) -> None:
        """Take the memory, where it is not there and was not given up a moment ago."""
        with self._lock:
            now = time.monotonic()
            if self._is_held or now - self._taken < _SECONDS_BETWEEN:
                return
            self._taken = now
            with contextlib.suppress(OSError):
                if not self._is_ours():
                    self._descriptor = os.memfd_create("nono-ballast", os.MFD_CLOEXEC)
                    self._identity = _identity(self._descriptor)
                os.posix_fallocate(self._descriptor, 0, BALLAST_BYTES)
                self._is_held = True

    def drop(self, status: int | None = None) -> None:
        """Give it up if a command was killed, as its wait status says; the descriptor stays."""
        if status is not None and os.WIFSIGNALED(status) and os.WTERMSIG(status) == SIGKILL:
            with self._lock, contextlib.suppress(OSError):
                if self._is_held and self._is_ours():
                    os.ftruncate(self._descriptor, 0)
                self._is_held = False

    def _is_ours(self) -> bool:
        """Return whether the descriptor is what it was: a program can close whatever is open."""
        return self._descriptor >= 0 and _identity(self._descriptor) == self._identity


def _identity(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino
