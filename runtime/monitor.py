"""The monitor: one process for each launch, between nono and the command.

It is the command's parent, its tracer until exec, and the subreaper of everything that the command
starts. It holds neither ledger nor key; it reports to the process that launched. When that process is
gone, the monitor kills the command and all that it left, so that a command never outlives its record;
when the monitor is gone before exec, the kernel kills the command (PTRACE_O_EXITKILL).

Protocol over two pipes, each message of the monitor one line of JSON:

1. monitor: ``{"pid"}`` once the child is traced, or ``{"error", "code"}``;
2. launcher: one byte, when it holds the child's pidfd;
3. monitor: ``{"image": null | REASON}`` at the exec stop (not when exec failed);
4. monitor: ``{"status", "user_us", "system_us", "max_rss_bytes", "survivors", "left"}`` at the end.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from typing import TYPE_CHECKING

import orjson

from runtime import child, executable, syscalls

if TYPE_CHECKING:
    import resource

    from runtime.executable import Held

KILL_SECONDS = 10.0
KILL_PAUSE = 0.002
"""How long, and how often, what a command left is killed, in seconds."""


class Channel:
    """The monitor's ends of its two pipes to the launcher.

    Attributes:
        launcher: read end; one byte comes, and its end is the launcher's end.
        messages: write end.
    """

    def __init__(self, launcher: int, messages: int) -> None:
        self.launcher = launcher
        self.messages = messages

    def send(self, message: dict[str, object]) -> None:
        """Send one message; when the launcher is gone, what is left to do is to kill."""
        with contextlib.suppress(OSError):
            os.write(self.messages, orjson.dumps(message) + b"\n")

    def is_acknowledged(self) -> bool:
        """Wait for the launcher's byte; return False when it is gone."""
        return os.read(self.launcher, 1) == b"\x01"


def run(
    channel: Channel, plan: child.Plan, held: Held, pipes: tuple[int, int, int], keep: frozenset[int]
) -> None:
    """Be the monitor; never returns.

    Args:
        channel: to the launcher.
        plan: what the child is to become.
        held: the executable, to be compared at the exec stop.
        pipes: the child's ends: report, release, failure.
        keep: further descriptors that monitor and child need.
    """
    try:
        _supervise(channel, plan, held, pipes, keep)
    finally:
        os._exit(0)


def _supervise(
    channel: Channel, plan: child.Plan, held: Held, pipes: tuple[int, int, int], keep: frozenset[int]
) -> None:
    signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
    syscalls.prctl(syscalls.PR_SET_CHILD_SUBREAPER, 1)
    # Ledger and key stay with the launcher; so does its end of everything.
    _close_all_but({channel.launcher, channel.messages, *pipes, *keep})
    pid = os.fork()
    if pid == 0:
        os.close(channel.launcher)
        os.close(channel.messages)
        child.run(plan, *pipes)
    # Inherited as ignored it would make the kernel reap the command, and its status with it. After the
    # fork: what the command was to ignore it ignores.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for pipe in pipes:
        os.close(pipe)
    try:
        syscalls.ptrace_seize(pid, syscalls.PTRACE_O_TRACEEXEC | syscalls.PTRACE_O_EXITKILL)
    except OSError as error:
        channel.send({"code": "enforcement.traced", "error": _why_not_traced(pid, error)})
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return
    channel.send({"pid": pid})
    # os.wait4 imports it: now, while others work, rather than when the command waits at its exec stop.
    import resource  # noqa: F401, PLC0415  # see above

    if not channel.is_acknowledged():
        os.kill(pid, signal.SIGKILL)
    ended = _pass_exec(channel, pid, held)
    if ended is None:
        ended = _await_end(channel, pid)
    status, usage = ended
    survivors, left = _kill_rest()
    channel.send(
        {
            "left": left,
            "max_rss_bytes": usage.ru_maxrss * 1024,
            "status": status,
            "survivors": survivors,
            "system_us": round(usage.ru_stime * 1e6),
            "user_us": round(usage.ru_utime * 1e6),
        },
    )


def _pass_exec(channel: Channel, pid: int, held: Held) -> tuple[int, resource.struct_rusage] | None:
    """Wait for the exec stop, judge the image, let go; return how the child ended if it did before."""
    while True:
        _, status, usage = os.wait4(pid, 0)
        if not os.WIFSTOPPED(status):
            return status, usage
        if status >> 8 == signal.SIGTRAP | syscalls.PTRACE_EVENT_EXEC << 8:
            reason = executable.check_image(pid, held)
            if reason is not None:
                os.kill(pid, signal.SIGKILL)
                channel.send({"image": reason})
                continue
            syscalls.ptrace_detach(pid)
            channel.send({"image": None})
            return None
        event = status >> 16
        # A signal on its way to the child is passed on; a stop by job control just goes on.
        syscalls.ptrace_cont(pid, 0 if event else os.WSTOPSIG(status))


def _await_end(channel: Channel, pid: int) -> tuple[int, resource.struct_rusage]:
    """Wait until the command ends; kill it when the launcher is gone."""
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(channel.launcher, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in poll.poll()}
        if pidfd in ready:
            _, status, usage = os.wait4(pid, 0)
            os.close(pidfd)
            return status, usage
        # The launcher sends nothing more, so this is its end.
        os.kill(pid, signal.SIGKILL)
        poll.unregister(channel.launcher)


def _kill_rest() -> tuple[int, int]:
    """Kill everything that the command left; return how many there were, and how many are left.

    Orphans become this process's children, and a pid cannot be used again before its parent has
    waited for it, so what is listed here is what is killed.
    """
    killed: set[int] = set()
    deadline = time.monotonic() + KILL_SECONDS
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            return len(killed), 0
        left = children()
        for pid in left:
            killed.add(pid)
            os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            return len(killed), len(left)
        time.sleep(KILL_PAUSE)


def children() -> frozenset[int]:
    """Return the pids of this process's children, zombies included."""
    with open(b"/proc/self/task/%d/children" % os.getpid(), "rb") as file:
        return frozenset(int(pid) for pid in file.read().split())


def _why_not_traced(pid: int, error: OSError) -> str:
    with open(b"/proc/%d/status" % pid, "rb") as file:
        for line in file:
            if line.startswith(b"TracerPid:") and (tracer := int(line.split()[1])):
                with open(b"/proc/%d/comm" % tracer, "rb") as comm:
                    name = comm.read().strip().decode("utf-8", "replace")
                return (
                    f"the command is traced by {name} (pid {tracer}), so what it executes cannot be checked"
                )
    return f"the command cannot be traced: {error.strerror}"


def _close_all_but(keep: set[int]) -> None:
    first = 3
    for descriptor in sorted(keep - {0, 1, 2}):
        if descriptor > first:
            syscalls.close_range(first, descriptor - 1)
        first = descriptor + 1
    syscalls.close_range(first)
