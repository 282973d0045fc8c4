"""The launcher's side of one run: fork the monitor, wait for the child's report, release it, wait.

The order matters and is the caller's to keep: :meth:`Supervision.begin` forks, and the caller hashes
meanwhile; :meth:`Supervision.meet` waits for the child, which restricts itself, and
:meth:`Supervision.achieved` says what it reached; only after the caller has recorded that does
:meth:`Supervision.release` let it exec.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from attest.errors import files_hint
from attest.named_tuples import NamedTuple
from runtime.errors import EnforcementError, ExecFailedError, LaunchError
from runtime.kernel import syscalls
from runtime.processes import child, monitor, offspring

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from attest.canonical import Json
    from runtime.broker.elevation import Elevation
    from runtime.broker.kernel_denials import KernelDenials
    from runtime.capability.exec_rules import ExecRules
    from runtime.capability.executable import Held
    from runtime.processes.host_process import HostMonitor, HostProcess, HostSignals
    from runtime.processes.own_process import OwnMonitor, OwnProcess
    from runtime.processes.pseudo_terminal import PseudoTerminal
    from runtime.processes.standard_error import Relay
    from runtime.processes.time_limit import TimeLimit, Watch
    from runtime.sandbox.confinement import Confinement
    from runtime.sandbox.enforcement import Prepared

FORWARDED = frozenset({signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT})
"""Signals to the launcher that are meant for the command."""

FORWARDED_ALONE = FORWARDED | {signal.SIGUSR1, signal.SIGUSR2}
"""Likewise where the launcher does nothing but launch: a host program has uses of its own for these two."""

# Between two commits of what was decided. What a nono that is killed has not written is lost, so never long;
# and of what there is to write there is an end (runtime.broker.decisions, runtime.broker.exec_tracing).
_FIRST_PAUSE_SECONDS = 0.25
_PAUSE_SECONDS = 1.0
# For a monitor whose command has ended; to kill what was left takes a sixth of it at most.
_PATIENCE_SECONDS = 6 * offspring.KILL_SECONDS
_END_SECONDS = 2 * offspring.KILL_SECONDS

CANCEL_GRACE_SECONDS = 5.0
"""How long a command that was cancelled has to end when it is told to."""

CANCELLED = "cancelled"
"""What has ended it then, as the outcome says it."""

SAME = "same"
DIFFERENT = "different"
UNCHECKED = "unchecked"
_INIT = 1
_REAP_PAUSE_MS = 1_000


class Ending(NamedTuple):
    """How the command ended.

    Attributes:
        status: its wait status (wait(2)).
        image: ``same`` as the one that was hashed, ``different``, or ``unchecked`` if it ended before.
        image_reason: what was different.
        user_us: user time of the command and what it waited for, in microseconds.
        system_us: system time, likewise.
        max_rss_bytes: largest resident set.
        survivors: processes that were still there and were killed.
        left: processes that could not be ended.
        monitor_lost: whether the monitor ended first, so that the launcher did what is the monitor's.
        decisions: how often the command was refused what the monitor decides on.
        ended_by: the limit that ended it (``memory``, ``cpu-time``, ``time-out``, …); None if it was none.
        notes: what the user should know of that, a sentence each.
        execs: how many execs there were, by the names of the outcome; empty where they were not traced.
    """

    status: int
    image: str
    image_reason: str | None
    user_us: int
    system_us: int
    max_rss_bytes: int
    survivors: int
    left: int
    monitor_lost: bool = False
    decisions: int = 0
    ended_by: str | None = None
    notes: Sequence[str] = ()
    execs: Mapping[str, int] = MappingProxyType({})

    @property
    def exit(self) -> int | None:
        """The exit code, None when a signal ended it."""
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else None

    @property
    def signal(self) -> int | None:
        """The signal that ended it, None when it exited."""
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else None

    @property
    def core_dumped(self) -> bool:
        """Whether there was a core dump."""
        return os.WCOREDUMP(self.status)


class Orphans(NamedTuple):
    """What became of what a lost monitor left.

    Attributes:
        ended: how the command ended, wait status and what it used; None where that cannot be known.
        killed: how many others were killed.
        left: how many were not ended.
    """

    ended: tuple[int, syscalls.Usage] | None
    killed: int
    left: int


class Signals:
    """The forwarded signals, blocked and read from a descriptor while a launch runs.

    Blocking begins before the intent, so that no signal can end nono between two entries.

    Args:
        forwarded: the signals.

    Attributes:
        mask: the signal mask before, which the command gets back.
    """

    is_cancelled = False

    def __init__(self, forwarded: frozenset[signal.Signals] = FORWARDED) -> None:
        # A terminal stops whoever writes to it from the background, where the command can have put nono.
        blocked = forwarded | {signal.SIGTTOU}
        self.mask = frozenset(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, blocked))
        self.descriptor = syscalls.signalfd(frozenset(int(number) for number in forwarded))
        self.seen: list[syscalls.SignalInfo] = []

    def read(self) -> list[syscalls.SignalInfo]:
        """Return the signals that have come since the last call."""
        new = syscalls.read_signals(self.descriptor)
        self.seen += new
        return new

    def interrupted(self) -> bool:
        """Return whether a signal has come: before the command runs that ends the launch."""
        self.read()
        return bool(self.seen)

    def restore(self, *, redeliver: bool) -> None:
        """Unblock; with ``redeliver`` the caller's own handlers see each signal that came, afterwards."""
        self.read()
        os.close(self.descriptor)
        if redeliver:
            for number in {info.signal for info in self.seen}:
                os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)


class Supervision:
    """One child under one monitor.

    Attributes:
        pid: the child's pid, in this pid namespace.
        decisions: the data of those that the monitor has told and nobody has taken yet.
    """

    def __init__(
        self,
        own_monitor: OwnMonitor | HostMonitor,
        *,
        acknowledge: int,
        messages: int,
        report: int,
        release: int,
        failure: int,
    ) -> None:
        self._acknowledge = acknowledge
        self._messages = messages
        self._buffer = b""
        self._report = report
        self._release = release
        self._failure = failure
        self._monitor = own_monitor
        self._pidfd = -1
        self._ballast = own_monitor.ballast
        self._image: tuple[str, str | None] = UNCHECKED, None
        self._confinement: Confinement | None = None
        self._time_limit: TimeLimit | None = None
        self._terminal: PseudoTerminal | None = None
        self._elevation: Elevation | None = None
        self._decisions = 0
        self._denials: KernelDenials | None = None
        self.decisions: list[dict[str, Json]] = []
        self.pid = 0

    @classmethod
    def begin(
        cls,
        *,
        held: Held,
        prepared: Prepared,
        environment: Mapping[bytes, bytes],
        directory: int,
        signals: Signals | HostSignals,
        process: OwnProcess | HostProcess,
        oom_score: int,
        relay: Relay | None = None,
        confinement: Confinement | None = None,
        time_limit: TimeLimit | None = None,
        terminal: PseudoTerminal | None = None,
        exec_rules: ExecRules | None = None,
        elevation: Elevation | None = None,
    ) -> Supervision:
        """Start the monitor, which forks the child: :meth:`meet` it.

        Raises:
            LaunchError: a process cannot be made.
        """
        (
            (acknowledged, acknowledge),
            (messages, messages_end),
            (report, report_end),
            (release_end, release),
            (failure, failure_end),
        ) = _pipes(5)
        plan = child.Plan(
            prepared=prepared,
            image=held.descriptor,
            argv=held.argv,
            environment=environment,
            directory=directory,
            signal_mask=signals.mask,
            limits=process.limits,
            oom_score=oom_score,
            bounds=() if confinement is None else confinement.bounds,
            own_session=process.own_session or elevation is not None,
            standard_error=-1 if relay is None else relay.command_end,
            terminal=terminal,
        )
        pipes = (report_end, release_end, failure_end)
        keep = frozenset(
            {
                prepared.ruleset,
                directory,
                *(image.descriptor for image in held.images),
                *prepared.mediated_descriptors,
                *(each.command_end for each in (relay, terminal) if each is not None),
            }
        )
        if confinement is not None:
            keep |= confinement.descriptors
        channel = monitor.Channel(acknowledged, messages_end)
        try:
            started = process.start_monitor(
                channel,
                plan,
                held,
                pipes,
                keep,
                confinement=confinement,
                time_limit=time_limit,
                exec_rules=exec_rules,
            )
        except BaseException:
            for pipe in (acknowledge, messages, report, release, failure):
                os.close(pipe)
            raise
        finally:
            for pipe in (acknowledged, messages_end, *pipes):
                os.close(pipe)
        if relay is not None:
            relay.close_command_end()
        if elevation is not None:
            elevation.close_monitor_end()
        supervision = cls(
            started,
            acknowledge=acknowledge,
            messages=messages,
            report=report,
            release=release,
            failure=failure,
        )
        supervision._confinement, supervision._time_limit = confinement, time_limit
        supervision._terminal = terminal
        supervision._elevation = elevation
        if elevation is not None:
            elevation.report = supervision.note
        return supervision

    def note(self, decision: dict[str, Json]) -> None:
        """Keep the data of a decision until it is taken to be recorded."""
        self.decisions.append(decision)

    def meet(self) -> None:
        """Wait until the child is there, traced and held to its limits.

        Raises:
            LaunchError: it cannot be made, or traced, or held to its limits.
        """
        message = self._message()
        if "error" in message:
            # A child that could not restrict itself is gone before it can be traced, and knows better why.
            self._raise_report(self._child_report())
            hint = message.get("hint")
            raise EnforcementError(
                str(message["error"]), code=str(message["code"]), hint=None if hint is None else str(hint)
            )
        pid = message.get("pid")
        if not isinstance(pid, int):
            raise LaunchError("the monitor ended before the command began", code="launch.monitor")
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        os.write(self._acknowledge, b"\x01")
        self._ballast.take()  # while the child restricts itself, and before it is released
        if self._confinement is not None:
            self._confinement.hold(pid)

    def achieved(self) -> dict[str, bool]:
        """Wait for the child's report and return what it reached, for each feature.

        Raises:
            EnforcementError: it could not restrict itself.
        """
        report = self._child_report()
        self._raise_report(report)
        if report is None:
            raise EnforcementError("the child ended before it was restricted")
        achieved: dict[str, bool] = report["achieved"]
        return achieved

    def _child_report(self) -> dict[str, Any] | None:
        """Wait for what the child says of itself; None when it ended without a word."""
        data = b""
        while piece := os.read(self._report, child.REPORT_BYTES):
            data += piece
        try:
            report: dict[str, Any] = json.loads(data)
        except ValueError:
            return None
        return report

    @staticmethod
    def _raise_report(report: dict[str, Any] | None) -> None:
        if report is not None and "error" in report:
            raise EnforcementError(report["error"], code=report.get("code"), hint=report.get("hint"))

    def release(self) -> None:
        """Let the child exec, and return when it has.

        Raises:
            ExecFailedError: exec itself failed.
        """
        if self._terminal is not None:
            self._terminal.begin(self._pidfd, self._messages)
        with contextlib.suppress(BrokenPipeError):  # killed meanwhile; how it ended is still to come
            os.write(self._release, b"\x01")
        problem = os.read(self._failure, 16)
        if problem:
            reason = os.strerror(int(problem)) if int(problem) else "an argument holds a NUL byte"
            raise ExecFailedError(f"the command cannot be executed: {reason}")

    def wait(
        self, signals: Signals | HostSignals, record: Callable[[], None], relay: Relay | None = None
    ) -> Ending:
        """Forward signals until the command has ended and what it left is gone.

        Args:
            signals: blocked since before the intent.
            record: takes what is in ``decisions`` while the command runs: soon after the first one, then
                within a second.

        When the monitor is lost, this process kills the command and says how it ended all the same. So it
        does when the command has ended and the monitor does not say so: to mediate, a monitor reads in the
        command's memory, and a page there can be of a file system that does not answer.

        Args:
            signals: that are forwarded.
            relay: hands on what the command writes to standard error, where it does not do so itself.
        """
        poll = select.poll()
        poll.register(signals.descriptor, select.POLLIN)
        poll.register(self._messages, select.POLLIN)
        poll.register(self._pidfd, select.POLLIN)
        if self._denials is not None:
            poll.register(self._denials.descriptor, select.POLLIN)
        relays = [each for each in (relay, self._terminal, self._elevation) if each is not None]
        for each in relays:
            each.register(poll)
        self._forward(signals.seen)
        is_init = self._monitor.reaps_strangers and os.getpid() == _INIT
        ending: Ending | None = None
        pause, deadline = _FIRST_PAUSE_SECONDS, None
        watch = self._begin_watch()
        while ending is None:
            if self.decisions and deadline is None:
                deadline = time.monotonic() + pause
            next_look = None if watch is None else watch.next()
            ready = dict(poll.poll(_wait_ms(deadline, next_look, longest=self._pause_ms(is_init=is_init))))
            if deadline is not None and time.monotonic() >= deadline:
                record()
                pause, deadline = _PAUSE_SECONDS, None
            if is_init:
                self._reap_strangers()
            if signals.descriptor in ready:
                self._forward(signals.read())
            for each in relays:
                each.serve(ready, poll)
            if self._denials is not None and self._denials.descriptor in ready:
                self._hear_kernel(self._denials, poll)
            ending = self._ended(ready, watch, is_cancelled=signals.is_cancelled)
        return ending

    def listen(self, denials: KernelDenials) -> None:
        """Take what the kernel says of the command, too."""
        denials.begin(self.pid)
        self._denials = denials

    def _hear_kernel(self, denials: KernelDenials, poll: select.poll) -> None:
        descriptor = denials.descriptor
        denials.read()
        self.decisions += denials.take()
        if denials.descriptor < 0:
            poll.unregister(descriptor)

    def hear_last(self, ending: Ending) -> Ending:
        """Return how the command ended, with the count of what the kernel says until now."""
        if self._denials is None:
            return ending
        self._denials.read_last(likely=ending.exit != 0)
        self.decisions += self._denials.take()
        return ending._replace(decisions=ending.decisions + self._denials.count)

    def _begin_watch(self) -> Watch | None:
        if self._time_limit is None:
            return None
        terminal = self._terminal
        return self._time_limit.watch(lambda: terminal is None or terminal.has_shown, _PATIENCE_SECONDS)

    def _ended(self, ready: Mapping[int, int], watch: Watch | None, *, is_cancelled: bool) -> Ending | None:
        """Return how the command has ended, or was ended now; None while it goes on."""
        if is_cancelled:
            return self._cancel()
        if self._messages in ready:
            return self._hear()
        if self._pidfd in ready:
            return self.end(_PATIENCE_SECONDS)
        if watch is not None and self._time_limit is not None and watch.must_be_ended():
            self._answer(self._time_limit.END)
        if watch is not None and watch.is_overdue():  # and the monitor, which does nothing, has not noticed
            return self.end()._replace(ended_by=watch.ended_by)
        return None

    def _pause_ms(self, *, is_init: bool) -> int | None:
        pauses = (
            _REAP_PAUSE_MS if is_init else None,
            None if self._terminal is None else self._terminal.pause_ms(),
            None if self._elevation is None else self._elevation.pause_ms(),
        )
        return min((each for each in pauses if each is not None), default=None)

    def _cancel(self) -> Ending:
        """Tell the command to end, give it a while, and kill it."""
        told = False
        with contextlib.suppress(ProcessLookupError):  # it has ended already
            signal.pidfd_send_signal(self._pidfd, signal.SIGTERM)
            told = True
        ending = self._hear_until(time.monotonic() + CANCEL_GRACE_SECONDS) or self.end()
        return ending._replace(ended_by=ending.ended_by or CANCELLED) if told else ending

    def _hear_until(self, deadline: float) -> Ending | None:
        """Return how the command ended, None if it has not by then."""
        poll = select.poll()
        poll.register(self._messages, select.POLLIN)
        while poll.poll(max(0.0, deadline - time.monotonic()) * 1_000):
            if (ending := self._hear()) is not None:
                return ending
        return None

    def _reap_strangers(self) -> None:
        """As the first process of a container: wait for what others leave to it (``docker exec``)."""
        with contextlib.suppress(ChildProcessError):
            # Looked at before it is waited for: how these two ended is still wanted.
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) is not None:
                if ended.si_pid in {self._monitor.pid, self.pid}:
                    return
                os.waitpid(ended.si_pid, os.WNOHANG)

    def end(self, patience: float | None = None) -> Ending:
        """Kill the command and what it left, whatever state the run is in, and say how it ended.

        Args:
            patience: how long the monitor has for it, in seconds; without it, twice as long as it may take.
        """
        self._hang_up()
        patience = _END_SECONDS if patience is None else patience
        if (ending := self._hear_until(time.monotonic() + patience)) is not None:
            return ending
        self._monitor.kill()
        return self._take_over()

    def _hear(self) -> Ending | None:
        """Take what the monitor says; return how the command ended when it says that, or is gone."""
        ending = self._hear_one()
        while ending is None and b"\n" in self._buffer:  # it came with what was read, and no poll tells of it
            ending = self._hear_one()
        return ending

    def _hear_one(self) -> Ending | None:
        message = self._message()
        if "decision" in message:
            self._decisions += 1
            self.decisions.append(message["decision"])
            return None
        if "ask" in message:
            if self._elevation is not None:
                self._elevation.hear(message["ask"])
            return None
        if "image" in message:
            reason = message["image"]
            self._image = (SAME if reason is None else DIFFERENT), reason
            return None
        if "stopped" in message:
            self._stop(message["stopped"])
            return None
        self._ballast.drop(message.get("status", signal.SIGKILL))
        if "status" not in message:
            return self._take_over()
        return Ending(
            status=message["status"],
            image=self._image[0],
            image_reason=self._image[1],
            user_us=message["user_us"],
            system_us=message["system_us"],
            max_rss_bytes=message["max_rss_bytes"],
            survivors=message["survivors"],
            left=message["left"],
            decisions=message["decisions"] + (0 if self._elevation is None else self._elevation.count),
            ended_by=message.get("ended_by"),
            notes=tuple(message.get("notes", ())),
            execs=message.get("execs", {}),
        )

    def _stop(self, number: int) -> None:
        """Stop as the command did, and have it go on when this does."""
        if self._terminal is not None and self._acknowledge >= 0:
            self._answer(self._terminal.suspend(number))

    def _answer(self, said: bytes) -> None:
        """Say something to the monitor."""
        with contextlib.suppress(BrokenPipeError):  # it has ended meanwhile
            os.write(self._acknowledge, said)

    def _forward(self, seen: Sequence[syscalls.SignalInfo]) -> None:
        for info in seen:
            if self._terminal is not None and self._terminal.tells_again(info):
                continue
            with contextlib.suppress(ProcessLookupError):  # it has ended, and what it left is being killed
                if info.code == syscalls.SI_KERNEL and (
                    self._has_it_from_the_terminal(info.signal)
                    or (self._terminal is not None and self._terminal.press(info.signal))
                ):
                    continue
                signal.pidfd_send_signal(self._pidfd, info.signal)

    def _has_it_from_the_terminal(self, number: int) -> bool:
        # A key reaches the whole foreground group, the command included; that the terminal is gone is
        # told to the leader of its session alone.
        if number == signal.SIGHUP and os.getsid(0) == os.getpid():
            return False
        return os.getpgid(self.pid) == os.getpgrp()

    def _message(self) -> dict[str, Any]:
        """Return the monitor's next message; an empty one when it is gone."""
        while b"\n" not in self._buffer:
            piece = os.read(self._messages, 65_536)
            if not piece:
                return {}
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        message: dict[str, Any] = json.loads(line.decode())
        return message

    def _take_over(self) -> Ending:
        """Do what the lost monitor can do no more: kill the command, and what it left if that can be found.

        Where it is not known how the command ended this says what was done: it was killed.
        """
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
        deadline = time.monotonic() + offspring.KILL_SECONDS
        ended, killed, left = self._monitor.take_over(self.pid, deadline)
        gone = select.poll()
        gone.register(self._pidfd, select.POLLIN)
        gone.poll(max(0.0, deadline - time.monotonic()) * 1_000)
        # Nobody has counted what a stranger inherited, and what nobody counted is not said to be gone.
        left = left if ended is not None else max(1, left)
        if self._confinement is not None and self._confinement.kills_all():
            left = 0  # a control group counts what a stranger inherits as well
        status, usage = ended or (signal.SIGKILL, syscalls.Usage(0, 0, 0))
        return Ending(
            status=status,
            image=self._image[0],
            image_reason=self._image[1],
            user_us=usage.user_us,
            system_us=usage.system_us,
            max_rss_bytes=usage.max_rss_bytes,
            survivors=killed,
            left=left,
            monitor_lost=True,
            decisions=self._decisions,
            **({} if self._confinement is None else self._confinement.said(status)),
        )

    def abandon(self) -> None:
        """Make sure that nothing of this run is left; after the end this only cleans up."""
        # The monitor kills the child when its peer is gone, and its whole offspring with it.
        self._hang_up()
        self._ballast.drop()
        for descriptor in (self._messages, self._report, self._release, self._failure):
            os.close(descriptor)
        self._monitor.close()
        if self._pidfd >= 0:
            os.close(self._pidfd)

    def _hang_up(self) -> None:
        """Let the monitor see that its launcher wants no more of this run."""
        if self._acknowledge >= 0:
            if self._terminal is not None:
                self._terminal.leave_to_launcher()
            os.close(self._acknowledge)
            self._acknowledge = -1


def _pipes(count: int) -> list[tuple[int, int]]:
    """Return pipes, read end and write end of each; all of them, or none is left open.

    Raises:
        LaunchError: there are not so many descriptors left.
    """
    made: list[tuple[int, int]] = []
    try:
        while len(made) < count:
            made.append(os.pipe())
    except OSError as error:
        for end in (end for pipe in made for end in pipe):
            os.close(end)
        raise LaunchError(
            f"cannot prepare a process: {error.strerror}",
            code="launch.resources",
            hint=files_hint(error.errno),
        ) from None
    return made


def _wait_ms(*deadlines: float | None, longest: int | None) -> int | None:
    """Return how long to wait, in milliseconds: until the first of the deadlines; None for ever."""
    now = time.monotonic()
    waits = [max(0, int((each - now) * 1_000) + 1) for each in deadlines if each is not None]
    return min(waits if longest is None else [*waits, longest], default=None)
