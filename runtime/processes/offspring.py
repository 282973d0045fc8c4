"""All that a command starts: fenced in, reaped as it ends, and killed when the launch is over.

Whoever forks faster than it can be listed is never caught by listing. So the monitor enters a Landlock
domain of its own before it forks the command, one that does nothing but confine its signals to what it
starts. ``kill(-1)`` then reaches the command with everything that it left, and nothing else on the machine,
and no fork slips through: the kernel holds its list of tasks meanwhile, and a fork whose caller has been
killed fails. Where there is no such fence, they are listed and killed until nothing is left or time is up.
"""

from __future__ import annotations

import contextlib
import os
import time
from signal import SIGCONT, SIGKILL, SIGTERM, SIGTRAP
from typing import TYPE_CHECKING

from runtime.kernel import syscalls
from runtime.sandbox import landlock_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from runtime.broker.exec_tracing import ExecTracer

KILL_SECONDS = 10.0
KILL_PAUSE = 0.002
"""How long, and how often, what a command left is killed, in seconds."""

_BATCH = 256
# wait(2): threads that made this process their tracer, and children with another signal than SIGCHLD, too.
_WALL = 0x40000000


def fence(abi: int) -> bool:
    """Confine the signals of this process, and of all that it starts, to what it starts.

    To be called right after the fork from a process of the same user.

    Args:
        abi: the Landlock ABI of the kernel.

    Returns:
        False where the kernel cannot do that; then nothing must be sent to ``kill(-1)``.
    """
    outside = os.getppid()
    try:
        syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
        landlock_rules.confine_signals(abi)
    except OSError:
        return False
    # Asked of the kernel, not concluded: without a fence the last resort would end all that this user runs.
    try:
        os.kill(outside, 0)
    except PermissionError:
        return os.getppid() == outside
    except OSError:
        return False
    return False


class Offspring:
    """The children of this process, a subreaper: the command, and what it left when it ended or before.

    Args:
        command: pid of the command.
        fenced: what :func:`fence` returned.
        is_own: says of a process that was reaped whether it worked for this one, so is not the command's.
        tracer: deals with what stops, where all of them are traced; None where only the command was.

    Attributes:
        ended: how the command ended, once it was reaped: wait status and what it used.
        gone: whether there are no children any more.
    """

    def __init__(
        self,
        command: int,
        *,
        fenced: bool,
        is_own: Callable[[int], bool] | None = None,
        tracer: ExecTracer | None = None,
    ) -> None:
        self._command = command
        self._tracer = tracer
        # What is traced is told of when it ends, and once more when its own parent has ended before it.
        self._killed: set[int] = set()
        self._is_own = is_own
        self._fenced = fenced
        self._killing = False
        self.ended: tuple[int, syscalls.Usage] | None = None
        self.gone = False

    @property
    def killed(self) -> int:
        """How many of them :meth:`kill` ended; one whose own parent ignored SIGCHLD goes uncounted."""
        return len(self._killed)

    def reap(self) -> bool:
        """Reap what has ended; return whether there may be more: the command decides how much there is.

        A process or thread can make its parent its tracer (PTRACE_TRACEME), and then it stops, or stays as
        a zombie without which nobody learns that the command ended. It is let go.
        """
        for _ in range(_BATCH):
            try:
                pid, status, usage = syscalls.wait4(-1, os.WNOHANG | _WALL)
            except ChildProcessError:
                self.gone = True
                return False
            if pid == 0:
                return False
            if os.WIFSTOPPED(status) and self._tracer is not None:
                if not self._tracer.stopped(pid, status):
                    return True
            elif os.WIFSTOPPED(status):
                stopped_by = os.WSTOPSIG(status)
                with contextlib.suppress(OSError):  # killed meanwhile
                    # An event is no signal, and SIGTRAP is what an exec sends to whoever is traced.
                    syscalls.ptrace_detach(pid, 0 if status >> 16 or stopped_by == SIGTRAP else stopped_by)
            elif pid == self._command:
                self.ended = status, usage
            elif self._is_own is not None and self._is_own(pid):
                pass
            elif self._tracer is not None and self._tracer.ended(pid):
                pass  # a thread: its process is the one that counts
            elif self._killing and os.WIFSIGNALED(status) and os.WTERMSIG(status) == SIGKILL:
                self._killed.add(pid)
        return True

    def tell_to_end(self) -> None:
        """Send all of them SIGTERM, and SIGCONT for what is stopped; without a fence only the command."""
        for number in (SIGTERM, SIGCONT):
            with contextlib.suppress(OSError):  # it has ended
                os.kill(-1 if self._fenced else self._command, number)

    def kill(self) -> tuple[int, syscalls.Usage]:
        """Kill all of them, reap them within a bounded while, and return how the command ended."""
        self._killing = True
        if self._tracer is not None:
            self._tracer.end()
        deadline = time.monotonic() + KILL_SECONDS
        while not self.gone:
            self._signal_all()
            while self.reap() and time.monotonic() <= deadline:
                pass
            # How the command ended is waited for, whatever it takes: nothing else can close its record.
            if self.gone or (self.ended is not None and time.monotonic() > deadline):
                break
            time.sleep(KILL_PAUSE)
        if self.ended is None:
            raise ChildProcessError("somebody else has reaped the command")
        return self.ended

    def _signal_all(self) -> None:
        if self._fenced:
            with contextlib.suppress(OSError):  # nobody is left
                os.kill(-1, SIGKILL)
            return
        # A pid in this list cannot be used again before this process has waited for it.
        for pid in children():
            with contextlib.suppress(OSError):
                os.kill(pid, SIGKILL)


def children() -> frozenset[int]:
    """Return the pids of this process's children, zombies included."""
    with open(b"/proc/self/task/%d/children" % os.getpid(), "rb") as file:
        return frozenset(int(pid) for pid in file.read().split())
