"""The process that launches, where it does nothing else: ``nono run``.

What a launch wants of the process around it is here, so that it can be another one's
(:mod:`runtime.processes.host_process`): whose streams the command gets, which signals are forwarded, what is
lifted and shifted for nono alone, who forks the monitor, and who opens the ledger. This one has a single
thread and forks the monitor itself.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import TYPE_CHECKING

from runtime.errors import LaunchError
from runtime.kernel import out_of_memory, own_limits, own_threads, syscalls
from runtime.processes import monitor, offspring, outputs
from runtime.processes.supervision import FORWARDED, FORWARDED_ALONE, Orphans, Signals
from runtime.sandbox import enforcement

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from attest.canonical import Json
    from runtime.capability.executable import Held
    from runtime.processes import child
    from store.ledger import Ledger

_TAKE_OVER_CPU_SECONDS = 0.5


class OwnProcess:
    """This process, for one launch.

    Args:
        redeliver_signals: whether signals that came meanwhile go to the caller's own handlers afterwards.

    Attributes:
        streams: the descriptors that become the command's standard streams.
        own_session: whether the command gets a session of its own.
        limits: the caller's limits that nono has lifted for itself; the command gets them back.
    """

    streams: Sequence[int] = (0, 1, 2)

    def __init__(self, *, redeliver_signals: bool = True) -> None:
        self.limits: tuple[own_limits.Limit, ...] = ()
        self._redeliver = redeliver_signals
        self._place: out_of_memory.Place | None = None

    @property
    def own_session(self) -> bool:
        """Whether the command gets a session of its own: not where the caller's terminal is to control it."""
        return not any(map(os.isatty, self.streams))

    def enter(self, cleanup: contextlib.ExitStack) -> None:
        """Begin; ``cleanup`` leaves everything as it was.

        Raises:
            LaunchError: there are other threads.
        """
        _require_one_thread()
        self.limits = own_limits.lift()
        cleanup.callback(own_limits.put_back, self.limits)

    def require_streams(self) -> None:
        """Have standard streams, so that nothing of nono's gets their numbers."""
        open_missing_streams()

    def take_signals(self, cleanup: contextlib.ExitStack) -> Signals:
        """Return the signals that are meant for the command, blocked from here on."""
        signals = Signals(FORWARDED if self._redeliver else FORWARDED_ALONE)
        cleanup.callback(signals.restore, redeliver=self._redeliver)
        return signals

    def taking_secrets(self) -> contextlib.AbstractContextManager[None]:
        """Have no other launch take secrets out of the environment meanwhile: there is none."""
        return contextlib.nullcontext()

    def open_ledger(self, _: Sequence[object], opening: Callable[[], Ledger]) -> Ledger:
        """Open a ledger, for this launch."""
        return opening()

    def hash_outputs(self, paths: Sequence[bytes], expected: Sequence[bytes]) -> list[Json]:
        """Return what the outcome says of the declared outputs; see ``outputs.hash_outputs``."""
        return outputs.hash_outputs(paths, expected)

    @contextlib.contextmanager
    def as_before(self) -> Iterator[None]:
        """Have what is for nono alone put back meanwhile: for a hook."""
        with own_limits.as_before(self.limits), contextlib.ExitStack() as stack:
            if self._place is not None:
                stack.enter_context(self._place.left())
            yield

    def take_place(self, cleanup: contextlib.ExitStack) -> int:
        """Be the last one to be ended when memory runs out, and return the score of the command.

        Raises:
            LaunchError: there are other threads by now: nothing may fork in between.
        """
        _require_one_thread()  # once more: nothing that was loaded or asked since may have begun another
        self._place = out_of_memory.Place()
        cleanup.callback(self._place.leave)
        return self._place.command

    def start_monitor(
        self,
        channel: monitor.Channel,
        plan: child.Plan,
        held: Held,
        pipes: tuple[int, int, int],
        keep: frozenset[int],
        **more: object,
    ) -> OwnMonitor:
        """Fork the monitor, with what :func:`runtime.processes.monitor.run` takes.

        Raises:
            LaunchError: there can be none.
        """
        try:
            pid = os.fork()
        except OSError as error:
            raise LaunchError(
                f"cannot make a process: {error.strerror}",
                code="launch.resources",
                hint=enforcement.processes_hint(error.errno),
            ) from None
        if pid == 0:
            monitor.run(channel, plan, held, pipes, keep, **more)  # type: ignore[arg-type]  # as it takes them
        return OwnMonitor(pid)


class OwnMonitor:
    """A monitor that this process has forked.

    Attributes:
        ballast: memory that is held to be given up when the command has ended.
        reaps_strangers: whether, as the first process of a container, this one waits for what others leave.
    """

    reaps_strangers = True

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.ballast = out_of_memory.Ballast()
        self._others = offspring.children() - {pid}

    def kill(self) -> None:
        """Kill it; its end of the pipe is open, so it is there, and the number is its own."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def wait(self) -> None:
        """Wait until it has ended."""
        with contextlib.suppress(ChildProcessError):  # where SIGCHLD is ignored this waits all the same
            os.waitpid(self.pid, 0)

    def close(self) -> None:
        """Wait until it has ended; again does nothing."""
        self.wait()

    def take_over(self, command: int, deadline: float) -> Orphans:
        """Kill what it left, where that is this process's now.

        ``nono run`` is a subreaper and learns how the command ended. A caller that is none does not.

        Args:
            command: pid of the command.
            deadline: until when, of CLOCK_MONOTONIC.
        """
        self.wait()  # its children have a new parent when it can be waited for
        ended: tuple[int, syscalls.Usage] | None = None
        killed = 0
        # The limit that may have ended the monitor is this process's as well, and the record comes first.
        end_of_time = time.process_time() + _TAKE_OVER_CPU_SECONDS
        while (
            (orphans := offspring.children() - self._others)
            and time.monotonic() < deadline
            and time.process_time() < end_of_time
        ):
            for pid in orphans:
                with contextlib.suppress(ProcessLookupError, ChildProcessError):
                    os.kill(pid, signal.SIGKILL)
                    found, status, usage = syscalls.wait4(pid, os.WNOHANG)
                    if found == command:
                        ended = status, usage
                    elif found:
                        killed += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            time.sleep(offspring.KILL_PAUSE)
        return Orphans(ended, killed, len(orphans))


def _require_one_thread() -> None:
    if not own_threads.becomes_alone():
        raise LaunchError(
            "this process has other threads, and a fork would freeze their locks in the child",
            code="launch.threads",
            hint="call runtime.launch(), which does not fork this process, or run the nono command",
        )


def open_missing_streams() -> None:
    """Open /dev/null in the place of closed standard streams, so that nothing of ours lands there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open("/dev/null", os.O_RDWR)
            if opened == number:  # the lowest that was free
                os.set_inheritable(opened, True)  # noqa: FBT003  # its name says what is true
            else:  # another thread was faster
                os.close(opened)
