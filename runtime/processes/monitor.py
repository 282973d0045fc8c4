"""The monitor: one process for each launch, between nono and the command.

It is the command's parent, its tracer until exec, and the subreaper of everything that the command
starts. It holds neither ledger nor key; it reports to the process that launched. When that process is
gone, the monitor kills the command and all that it left, so that a command never outlives its record;
when the monitor is gone before exec, the kernel kills the command (PTRACE_O_EXITKILL).

Protocol over two pipes, each message of the monitor one line of JSON:

1. monitor: ``{"pid"}`` once the child is traced, or ``{"error", "code"}``;
2. launcher: one byte, when it holds the child's pidfd;
3. monitor: ``{"image": null | REASON}`` at the exec stop (not when exec failed);
4. monitor: ``{"decision": DATA}`` for what it refuses, of each subject once, and not without end; and
   ``{"ask": {"id", "path", "access", "made"}}`` where a person may be asked
   (:mod:`runtime.broker.elevation`);
5. monitor: ``{"stopped": SIGNAL}`` when the command is stopped that has a terminal of its own; the launcher
   answers with one byte (:mod:`runtime.processes.stopped_command`);
6. monitor: ``{"status", "user_us", "system_us", "max_rss_bytes", "survivors", "left", "decisions"}`` at the
   end, the last being how often it refused; with ``{"ended_by", "notes"}`` where there were limits, and
   ``{"execs"}``, counts, where every exec was traced.
"""

from __future__ import annotations

import _thread
import contextlib
import errno
import json
import os
import select
import signal
from typing import TYPE_CHECKING, Any

from runtime.capability import executable
from runtime.kernel import out_of_memory, syscalls
from runtime.processes import child
from runtime.processes.offspring import Offspring, children, fence
from runtime.sandbox import enforcement

if TYPE_CHECKING:
    from runtime.broker.exec_tracing import ExecTracer
    from runtime.broker.mediation import Handover, Mediation
    from runtime.capability.exec_rules import ExecRules
    from runtime.capability.executable import Held
    from runtime.processes.pseudo_terminal import PseudoTerminal
    from runtime.processes.stopped_command import Stops
    from runtime.processes.time_limit import TimeLimit
    from runtime.sandbox.confinement import Confinement
    from runtime.sandbox.enforcement import Prepared


_REAP_PAUSE_MS = 5


class Channel:
    """The monitor's ends of its two pipes to the launcher; both of its threads send.

    Attributes:
        launcher: read end; one byte comes, and its end is the launcher's end.
        messages: write end.
    """

    def __init__(self, launcher: int, messages: int) -> None:
        self.launcher = launcher
        self.messages = messages
        self._sending = _thread.allocate_lock()

    def __reduce__(self) -> tuple[type[Channel], tuple[int, int]]:
        # On its way to a monitor that another process forks: the descriptors have the same numbers there.
        return Channel, (self.launcher, self.messages)

    def send(self, message: dict[str, object]) -> None:
        """Send one message; when the launcher is gone, what is left to do is to kill."""
        line = json.dumps(message).encode() + b"\n"
        # Beyond PIPE_BUF, and where the pipe is nearly full, the kernel would mix what two threads write.
        with self._sending, contextlib.suppress(OSError):
            while line:
                line = line[os.write(self.messages, line) :]

    def is_open(self) -> bool:
        """Return whether the launcher is there, and wants to hear."""
        poll = select.poll()
        poll.register(self.launcher, 0)  # that it has hung up is told all the same
        return not poll.poll(0)

    def answer(self) -> bytes:
        """Return what the launcher has said, of which there is something; nothing when it is gone."""
        return os.read(self.launcher, 16)

    def is_acknowledged(self) -> bool:
        """Wait for the launcher's byte; return False when it is gone."""
        return os.read(self.launcher, 1) == b"\x01"


def stand_ready() -> bool:
    """Do what a monitor does before it knows its launch; return what :func:`offspring.fence` says.

    To be called right after the fork.
    """
    syscalls.block_all_signals()
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    out_of_memory.stand_before_nono()
    try:
        return fence(syscalls.landlock_abi())
    except OSError:
        return False


def run(
    channel: Channel,
    plan: child.Plan,
    held: Held,
    pipes: tuple[int, int, int],
    keep: frozenset[int],
    *,
    confinement: Confinement | None = None,
    time_limit: TimeLimit | None = None,
    exec_rules: ExecRules | None = None,
    fenced: bool | None = None,
) -> None:
    """Be the monitor; never returns.

    Args:
        channel: to the launcher.
        plan: what the child is to become.
        held: the executable, to be compared at the exec stop.
        pipes: the child's ends: report, release, failure.
        keep: further descriptors that monitor and child need.
        confinement: the control groups that hold the launch to its limits, None without any.
        time_limit: how long it may last, None without a limit.
        exec_rules: what is asked of each exec, None where only the first is looked at.
        fenced: what :func:`stand_ready` has returned, None where that is still to be done.
    """
    tracer = None if exec_rules is None else _tracer(exec_rules, channel)
    try:
        _supervise(
            channel,
            plan,
            held,
            pipes,
            keep,
            confinement=confinement,
            time_limit=time_limit,
            tracer=tracer,
            fenced=stand_ready() if fenced is None else fenced,
        )
    finally:
        os._exit(0)


def _supervise(
    channel: Channel,
    plan: child.Plan,
    held: Held,
    pipes: tuple[int, int, int],
    keep: frozenset[int],
    *,
    confinement: Confinement | None,
    time_limit: TimeLimit | None,
    tracer: ExecTracer | None,
    fenced: bool,
) -> None:
    try:
        # Ledger and key stay with the launcher; so does its end of everything.
        syscalls.close_all_but({channel.launcher, channel.messages, *pipes, *keep})
    except OSError as error:
        hint = enforcement.filter_hint(error.errno, ("close_range",))
        channel.send(
            {
                "code": "launch.failed",
                "error": f"the monitor cannot close what is not its own: {error.strerror}",
                "hint": hint,
            }
        )
        return
    if plan.terminal is not None and not _lead(channel, plan.terminal):
        return
    handover = _handover(plan.prepared)
    pid = _start(channel, plan, pipes, handover)
    if pid is None:
        return
    _leave_to_child(plan, pipes)
    if not _seize(channel, pid, tracer):
        return
    mediation: Mediation | None = None
    if handover is not None:
        try:
            mediation = handover.begin(
                pid,
                lambda data: channel.send({"decision": data}),
                lambda question: channel.send({"ask": question}),
            )
        except RuntimeError:  # Python does not say why, and there is one reason
            why = f"cannot make a thread: {os.strerror(errno.EAGAIN)}"
            hint = enforcement.processes_hint(errno.EAGAIN)
            channel.send({"code": "launch.resources", "error": why, "hint": hint})
            _give_up(pid)
            return
    channel.send({"pid": pid})
    if not channel.is_acknowledged():
        os.kill(pid, signal.SIGKILL)
    is_own = None if mediation is None else mediation.helpers.is_one
    offspring = Offspring(pid, fenced=fenced, is_own=is_own, tracer=tracer)
    offspring.ended = _pass_exec(channel, pid, held, tracer)
    if offspring.ended is None:
        if time_limit is not None:
            time_limit.begin(offspring.tell_to_end)
        stops = None
        if plan.terminal is not None:
            stops = _stops(channel, pid, tracer)
        _await_end(
            channel,
            pid,
            offspring,
            confinement=confinement,
            time_limit=time_limit,
            stops=stops,
            reacts=tracer is not None,
        )
    # Before the command is killed, for the user waits; and after it, should nono be killed meanwhile.
    _give_back(channel, plan)
    _end(channel, offspring, mediation, confinement, time_limit=time_limit, tracer=tracer)
    _give_back(channel, plan)


def _end(
    channel: Channel,
    offspring: Offspring,
    mediation: Mediation | None,
    confinement: Confinement | None,
    *,
    time_limit: TimeLimit | None,
    tracer: ExecTracer | None,
) -> None:
    """Kill what is left, and say how all of it ended."""
    if mediation is not None:
        mediation.helpers.close()
    status, usage = offspring.kill()
    said = _said(confinement, time_limit, status)
    if mediation is not None and mediation.failures:
        why = f"its calls could not be judged any more ({mediation.failures[0]}), so the command was killed"
        said["notes"] = [*said.get("notes", ()), why]
    channel.send(
        said
        | ({} if tracer is None else {"execs": tracer.document()})
        | {
            "decisions": (0 if mediation is None else mediation.decisions.count)
            + (0 if tracer is None else tracer.told + tracer.untold),
            "left": 0 if offspring.gone else len(children()),
            "max_rss_bytes": usage.max_rss_bytes,
            "status": status,
            "survivors": offspring.killed,
            "system_us": usage.system_us,
            "user_us": usage.user_us,
        },
    )
    if confinement is not None and not channel.is_open():
        confinement.remove()  # as its launcher would


def _said(confinement: Confinement | None, time_limit: TimeLimit | None, status: int) -> dict[str, Any]:
    """Return how limits bore on the launch; what was told to end has ended by that, whatever came then."""
    said = {} if confinement is None else confinement.said(status)
    if time_limit is not None and (late := time_limit.said()):
        return late | {"notes": [*late["notes"], *said.get("notes", ())]}
    return said


def _lead(channel: Channel, terminal: PseudoTerminal) -> bool:
    """Begin the session of the command's terminal; return False, and say why, where that cannot be."""
    try:
        terminal.lead()
    except OSError as error:
        why = f"a terminal of its own cannot be given to the command: {error.strerror}"
        channel.send({"code": "launch.terminal", "error": why, "hint": "share this one with it: --no-pty"})
        return False
    return True


def _leave_to_child(plan: child.Plan, pipes: tuple[int, int, int]) -> None:
    """Let go, after the fork, of what is the child's."""
    # Whoever kills nono's process group must not take away who then kills the command, which left it or not.
    # Nor may it be in the caller's session: the command can be in the caller's group, and a parent in another
    # group of the session is what keeps that from being an orphan. When the command ended, it would become
    # one, and the kernel hangs up on all of an orphaned group that has a stopped member.
    if plan.terminal is None:  # else it leads a session already
        os.setsid()
    # Inherited as ignored it would make the kernel reap the command, and its status with it. After the
    # fork: what the command was to ignore it ignores.
    syscalls.take_default_action(signal.SIGCHLD)
    for pipe in pipes:
        os.close(pipe)
    if plan.standard_error >= 0:
        os.close(plan.standard_error)


def _give_back(channel: Channel, plan: child.Plan) -> None:
    if plan.terminal is not None and not channel.is_open():
        plan.terminal.give_back_for()


def _seize(channel: Channel, pid: int, tracer: ExecTracer | None) -> bool:
    """Trace the child until its exec, or for good; return False, and tell the launcher, if it cannot be."""
    more = 0 if tracer is None else tracer.OPTIONS
    try:
        syscalls.ptrace_seize(pid, syscalls.PTRACE_O_TRACEEXEC | syscalls.PTRACE_O_EXITKILL | more)
    except OSError as error:
        # A child that could not restrict itself has said so, and may be gone before it is traced.
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            why, hint = _why_not_traced(pid, error)
            channel.send({"code": "enforcement.traced", "error": why, "hint": hint})
            _give_up(pid)
            return False
    return True


def _stops(channel: Channel, pid: int, tracer: ExecTracer | None) -> Stops:
    from runtime.processes.stopped_command import Stops  # noqa: PLC0415  # the launcher has imported it

    return Stops(pid, lambda number: channel.send({"stopped": number}), tracer)


def _tracer(rules: ExecRules, channel: Channel) -> ExecTracer:
    from runtime.broker import exec_tracing  # noqa: PLC0415  # the launcher has imported it; most launches need it not

    return exec_tracing.ExecTracer(
        rules, lambda data: channel.send({"decision": data}), is_wanted=channel.is_open
    )


def _handover(prepared: Prepared) -> Handover | None:
    """Return how the filter's listener will come, where the monitor makes calls for the command."""
    if not prepared.mediates:
        return None
    from runtime.broker import mediation  # noqa: PLC0415  # the launcher has imported it; most launches need it not

    return mediation.Handover.of(prepared)


def _give_up(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def _start(
    channel: Channel, plan: child.Plan, pipes: tuple[int, int, int], handover: Handover | None
) -> int | None:
    """Return the pid of the child that becomes the command; None without one, which the launcher is told."""
    try:
        pid = os.fork()
    except OSError as error:
        hint = enforcement.processes_hint(error.errno)
        error_text = f"cannot make a process: {error.strerror}"
        channel.send({"code": "launch.resources", "error": error_text, "hint": hint})
        return None
    if pid == 0:
        os.close(channel.launcher)
        os.close(channel.messages)
        child.run(plan, *pipes, handover)
    return pid


def _pass_exec(
    channel: Channel, pid: int, held: Held, tracer: ExecTracer | None
) -> tuple[int, syscalls.Usage] | None:
    """Wait for the exec stop, judge the image, let go; return how the child ended if it did before."""
    while True:
        _, status, usage = syscalls.wait4(pid, 0)
        if not os.WIFSTOPPED(status):
            return status, usage
        if status >> 8 == signal.SIGTRAP | syscalls.PTRACE_EVENT_EXEC << 8:
            reason = executable.check_image(pid, held)
            if reason is not None:
                os.kill(pid, signal.SIGKILL)
                channel.send({"image": reason})
                continue
            # Whoever wants to write to a file of the chain would otherwise wait until the command ends.
            held.end_leases()
            if tracer is None:
                syscalls.ptrace_detach(pid)
            else:
                tracer.begin(pid)
            channel.send({"image": None})
            return None
        event = status >> 16
        # A signal on its way to the child is passed on; a stop by job control just goes on.
        syscalls.ptrace_cont(pid, 0 if event else os.WSTOPSIG(status))


def _await_end(
    channel: Channel,
    pid: int,
    offspring: Offspring,
    *,
    confinement: Confinement | None,
    time_limit: TimeLimit | None,
    stops: Stops | None,
    reacts: bool,
) -> None:
    """Wait until the command ends, a limit ends it, or the launcher is gone.

    What ends or stops meanwhile is taken care of: at once where ``reacts``, since what is traced waits.
    """
    poll = select.poll()
    poll.register(channel.launcher, select.POLLIN)
    # Also when it cannot be reaped yet: a process that the command left may trace it, and never wait for it.
    poll.register(command := os.pidfd_open(pid), select.POLLIN)
    urgent = select.poll()
    urgent.register(channel.launcher, select.POLLIN)
    urgent.register(command, select.POLLIN)
    poll.register(changed := syscalls.signalfd(frozenset({int(signal.SIGCHLD)})), select.POLLIN)
    more = True
    while offspring.ended is None:
        pauses = [each.pause_ms() for each in (confinement, time_limit) if each is not None]
        pause = min((each for each in pauses if each is not None), default=None)
        ready = {descriptor for descriptor, _ in poll.poll(0 if more else pause)}
        if confinement is not None and confinement.is_over():
            return
        # What has ended is not told to.
        if time_limit is not None and command not in ready and time_limit.is_over():
            return
        if changed in ready:
            syscalls.read_signals(changed)
        more = offspring.reap()
        if channel.launcher in ready:
            answer = channel.answer()
            if not answer:
                return  # it is gone, and then all of it ends
            if time_limit is not None and time_limit.END in answer:
                time_limit.end()
            elif stops is not None:
                stops.heed(answer)
        if command in ready:
            return
        if stops is not None:
            stops.look()
        # What ends in crowds is reaped in crowds: the command decides how often, and the time is ours.
        if not more and not reacts:
            urgent.poll(_REAP_PAUSE_MS)


def _why_not_traced(pid: int, error: OSError) -> tuple[str, str | None]:
    with open(b"/proc/%d/status" % pid, "rb") as file:
        for line in file:
            if line.startswith(b"TracerPid:") and (tracer := int(line.split()[1])):
                with open(b"/proc/%d/comm" % tracer, "rb") as comm:
                    name = comm.read().strip().decode("utf-8", "replace")
                return (
                    f"the command is traced by {name} (pid {tracer}), so what it executes cannot be checked",
                    "run nono outside of the tracer",
                )
    return f"the command cannot be traced: {error.strerror}", enforcement.tracing_hint(error.errno)
