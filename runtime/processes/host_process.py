"""The process that launches, where it is a program of its own: an agent, a server, a test run.

It may have threads, a large heap, an event loop and handlers of its own, so a launch changes nothing of it
and never forks it: no signal is blocked or forwarded, no limit lifted, no score written. Ledger and key stay
here all the same, and so does the order of the launch; the monitor, and whoever reads the outputs, come from
the zygote (:mod:`runtime.processes.zygote_link`). It stands where ``nono run`` has
:mod:`runtime.processes.own_process`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

from runtime.kernel import out_of_memory, own_limits, syscalls
from runtime.processes import monitor, outputs, zygote_link
from runtime.processes.shared_ledgers import borrow
from runtime.processes.supervision import Orphans
from runtime.processes.zygote_link import Standing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from attest.canonical import Json
    from runtime.capability.executable import Held
    from runtime.processes import child
    from runtime.processes.shared_ledgers import SharedLedger
    from runtime.processes.zygote_link import Answer, Forked
    from store.ledger import Ledger

_RESOURCES = 16  # RLIM_NLIMITS
_END_SECONDS = 10.0

# A launch that is being prepared holds a hundred descriptors, and one that runs a dozen.
_MOST_PREPARING = 8

_preparing = threading.BoundedSemaphore(_MOST_PREPARING)
_secrets = threading.Lock()
_ballast = out_of_memory.SharedBallast()


def _after_fork() -> None:
    global _preparing, _secrets, _ballast  # noqa: PLW0603  # a thread of the parent may have held the locks
    _preparing = threading.BoundedSemaphore(_MOST_PREPARING)
    _secrets = threading.Lock()
    _ballast = out_of_memory.SharedBallast()


os.register_at_fork(after_in_child=_after_fork)


class HostSignals:
    """What ends a launch before its time: nothing but :meth:`cancel`. Signals are the host's.

    Attributes:
        descriptor: readable once it was cancelled.
        mask: the signal mask that the command gets.
        seen: no signals.
    """

    def __init__(self) -> None:
        self.descriptor = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.mask = frozenset(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
        self.seen: tuple[syscalls.SignalInfo, ...] = ()
        self.is_cancelled = False
        # One handler of the host's can cancel while another one does, which it interrupted.
        self._lock = threading.RLock()

    def cancel(self) -> None:
        """End the launch: told to end first, where it runs already."""
        with self._lock:
            self.is_cancelled = True
            if self.descriptor >= 0:
                os.eventfd_write(self.descriptor, 1)

    def read(self) -> tuple[syscalls.SignalInfo, ...]:
        """Return no signals."""
        return ()

    def interrupted(self) -> bool:
        """Return whether it was cancelled: before the command runs that ends the launch."""
        return self.is_cancelled

    def close(self) -> None:
        """Give the descriptor up; cancelling does nothing from now on."""
        with self._lock:
            # In this order: a handler that cancels in between must not write to what was closed.
            descriptor, self.descriptor = self.descriptor, -1
            os.close(descriptor)


class HostProcess:
    """This process, for one launch.

    Args:
        signals: what cancels the launch; made, and closed, by the caller.
        streams: the descriptors that become the command's standard streams.

    Attributes:
        streams: likewise.
        own_session: the command always has a session of its own.
        limits: all limits of this process, for the command: the zygote has lifted its own.
    """

    own_session = True

    def __init__(self, signals: HostSignals, streams: Sequence[int] = (0, 1, 2)) -> None:
        self.streams = tuple(streams)
        self.limits: tuple[own_limits.Limit, ...] = ()
        self._signals = signals
        self._standing: Standing | None = None
        self._forked: Forked | None = None
        self._turn: threading.BoundedSemaphore | None = None

    def enter(self, cleanup: contextlib.ExitStack) -> None:
        """Wait until not too many are being prepared, look at what this process is, and ask for a monitor."""
        self._take_turn()
        cleanup.callback(self._give_turn)
        self._standing = Standing.of_this_thread()
        self.limits = tuple((number, *syscalls.getrlimit(number)) for number in range(_RESOURCES))
        # What forks it is another process, which does so while the launch is prepared here.
        self._forked = zygote_link.fork_monitor(self._standing)
        cleanup.callback(self._let_go)

    def _let_go(self) -> None:
        forked, self._forked = self._forked, None
        if forked is not None:
            forked.close()

    def require_streams(self) -> None:
        """Do nothing: whoever has made the other streams has seen to it before."""

    def take_signals(self, _: contextlib.ExitStack) -> HostSignals:
        """Return what cancels the launch."""
        return self._signals

    def taking_secrets(self) -> contextlib.AbstractContextManager[object]:
        """Have no other launch take secrets out of the environment meanwhile."""
        return _secrets

    def open_ledger(self, slot: tuple[object, ...], opening: Callable[[], Ledger]) -> SharedLedger:
        """Open a ledger, or take the one that other launches of this process have open."""
        return borrow(slot, opening)

    def hash_outputs(self, paths: Sequence[bytes], expected: Sequence[bytes]) -> list[Json]:
        """Return what the outcome says of the declared outputs; see ``outputs.hash_outputs``."""

        def begin(writer: int) -> Callable[[], None]:
            return self._read_apart(expected, writer)

        return outputs.hash_outputs(paths, expected, begin=begin)

    def _read_apart(self, expected: Sequence[bytes], writer: int) -> Callable[[], None]:
        answer = zygote_link.call(
            outputs.report, (tuple(expected), writer), {}, descriptors={writer}, standing=self._standing
        )

        def end() -> None:
            answer.kill()
            answer.close()

        return end

    @contextlib.contextmanager
    def as_before(self) -> Iterator[None]:
        """Let others be prepared while a hook runs, which can take its time."""
        had = self._turn is not None
        self._give_turn()
        try:
            yield
        finally:
            if had:
                self._take_turn()

    def _take_turn(self) -> None:
        self._turn = _preparing
        self._turn.acquire()

    def _give_turn(self) -> None:
        turn, self._turn = self._turn, None
        if turn is not None:
            turn.release()

    def take_place(self, _: contextlib.ExitStack) -> int:
        """Return the score of the command when memory runs out: the first one; nothing of this changes."""
        self._give_turn()
        return out_of_memory.HIGHEST

    def start_monitor(
        self,
        channel: monitor.Channel,
        plan: child.Plan,
        held: Held,
        pipes: tuple[int, int, int],
        keep: frozenset[int],
        **more: object,
    ) -> HostMonitor:
        """Have what the zygote forks be the monitor, with what :func:`runtime.processes.monitor.run` takes.

        Raises:
            LaunchError: there can be none.
        """
        answer = zygote_link.call(
            monitor.run,
            (channel, plan, held, pipes, keep),
            more,
            descriptors={channel.launcher, channel.messages, *pipes, *keep},
            streams=self.streams,
            standing=self._standing,
            forked=self._forked,
        )
        self._forked = None  # the socket is the answer's now
        return HostMonitor(answer)


class HostMonitor:
    """A monitor that the zygote has forked.

    Attributes:
        pid: its pid.
        ballast: memory that the launches of this process hold together.
        reaps_strangers: never: the children of this process are its own.
    """

    reaps_strangers = False

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self.pid = answer.pid
        self.ballast = _ballast

    def kill(self) -> None:
        """Kill it, if it has not ended."""
        self._answer.kill()

    def take_over(self, command: int, deadline: float) -> Orphans:
        """Learn what became of what it left: the zygote, which has it now, kills it.

        Args:
            command: pid of the command.
            deadline: until when, of CLOCK_MONOTONIC.
        """
        self.kill()
        try:
            account = self._answer.account(deadline - time.monotonic())
        except (OSError, ValueError):
            return Orphans(None, 0, 1)  # the zygote is gone as well: nobody knows
        if account is None:
            return Orphans(None, 0, 0)
        found = account["reaped"].pop(str(command), None)
        if found is None:
            return Orphans(None, account["killed"], account["left"])
        status, *usage = found
        killed = account["killed"] - (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL)
        return Orphans((status, syscalls.Usage(*usage)), killed, account["left"])

    def close(self) -> None:
        """Wait until it has ended, so that nothing of the launch is left; again does nothing."""
        if self._answer.pidfd >= 0:
            self._answer.wait(_END_SECONDS)
        self._answer.close()
