"""What holds a launch to its limits: control groups for what it has together, and resource limits.

- *Memory*: ``memory.max`` of version 2, without swap; ``memory.limit_in_bytes`` where there is version 1.
  When it is used up the kernel ends the whole launch; under version 1 one process, and the monitor the rest.
- *Processes and threads*: ``pids.max``. RLIMIT_NPROC counts all that a user runs, and root not at all.
- *CPU time*: the account of a group, of either version, which the monitor looks at when the rest could be
  used up at the earliest. RLIMIT_CPU, of each process and a second later, is for a monitor that gets no time.
- *Size of files, open files*: RLIMIT_FSIZE and RLIMIT_NOFILE of each process, soft and hard: no process can
  raise them without a capability that is cut.

The groups are made, and limited, before the fork; the child is in them before it is released. It cannot leave
them: no grant opens a cgroup file system for writing (:mod:`runtime.capability.protected`), and clone3(2) is
refused. Where a limit cannot be held the launch is refused.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from typing import TYPE_CHECKING, Any

from runtime.errors import LimitError
from runtime.kernel.path_names import shown
from runtime.policy import limits
from runtime.sandbox import cgroups

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtime.sandbox.cgroups import Cgroup, Own

MEMORY = "memory"
CPU_TIME = "cpu-time"
"""What can have ended a launch, as the outcome says it."""

# asm-generic/resource.h
_RLIMIT_CPU, _RLIMIT_FSIZE, _RLIMIT_NOFILE = 0, 1, 7
_RESOURCES = (
    (limits.CPU, _RLIMIT_CPU, 1),
    (limits.FILE_SIZE, _RLIMIT_FSIZE, 0),
    (limits.OPEN_FILES, _RLIMIT_NOFILE, 0),
)

_CONTROLLERS = {limits.MEMORY: b"memory", limits.PROCESSES: b"pids"}
_OF_CPU = b"cpuacct"
_NEED = {
    limits.MEMORY: "a limit of memory",
    limits.PROCESSES: "a limit of processes",
    limits.CPU: "a limit of CPU time",
}
# The most that the kernel ends somebody for: it asks for 2^PAGE_ALLOC_COSTLY_ORDER pages at once, of 64 KiB.
_LARGEST_REQUEST = 8 * 65_536
_V1_PAUSE_MS = 100
_SHORTEST_PAUSE_MS = 10
_LONGEST_PAUSE_MS = 60_000

_TRIED = 1 << 20

_DELEGATE = "systemd-run {}--scope -p Delegate=yes -- nono run …"
_OF_THE_CONTAINER = "limit the container itself (docker run --memory, --pids-limit)"


class Confinement:
    """What holds one launch to its limits; made by its launcher, watched by its monitor.

    Args:
        asked: the limits, by their names in the record.
        outer: the session of the launch around this one, None without one.

    Attributes:
        bounds: the resource limits (getrlimit(2)) of the child: of each the resource, and how much.
        descriptors: those that the monitor needs.

    Raises:
        LimitError: one of them cannot be held here; nothing is left then.
    """

    def __init__(self, asked: Mapping[str, int], outer: str | None = None) -> None:
        self.bounds = tuple(
            (resource, asked[member] + more) for member, resource, more in _RESOURCES if member in asked
        )
        self._asked = asked
        self._outer = outer
        self._groups: list[Cgroup] = []
        self._memory: Cgroup | None = None
        self._processes: Cgroup | None = None
        self._cpu: Cgroup | None = None
        # Whether the kernel ends one process alone when memory is used up, and the rest is for us to end.
        self._ends_one_alone = False
        self._is_over = False
        self._next = 0.0
        if asked.keys().isdisjoint(_NEED):
            return
        try:
            self._make(cgroups.own())
        except BaseException:
            self.remove()
            raise
        self._next = time.monotonic() + self._pause()

    def _make(self, own: Own) -> None:
        wanted = [member for member in _CONTROLLERS if member in self._asked]
        # A controller is in the tree of one version alone. Every group of version 2 counts CPU time.
        first = [member for member in wanted if _CONTROLLERS[member] in own.by_controller]
        unified = [member for member in wanted if member not in first]
        if limits.CPU in self._asked:
            (first if own.unified is None else unified).append(limits.CPU)
        if unified:
            self._make_unified(unified, own.unified)
        for member in first:
            self._make_first(member, own.by_controller)

    def _make_unified(self, members: list[str], group: bytes | None) -> None:
        if group is None:
            raise self._refusal(members[0], "no file system of cgroups can be seen", 0)
        controllers = frozenset(_CONTROLLERS[member] for member in members if member in _CONTROLLERS)
        try:
            made = cgroups.make(cgroups.handing_down(group, controllers))
        except cgroups.UnavailableError as error:
            raise self._refusal(members[0], f"{error} ({shown(group)})", error.number) from None
        self._groups.append(made)
        for member in members:
            with self._refusing(member, made):
                if member == limits.MEMORY:
                    self._memory = made
                    _limit(made, "memory.max", self._asked[member])
                    made.write("memory.oom.group", b"1")
                    if made.has("memory.swap.max"):
                        _limit(made, "memory.swap.max", 0)
                    else:
                        self._require_no_swap()
                else:
                    self._hold_in(made, member)

    def _make_first(self, member: str, trees: Mapping[bytes, bytes]) -> None:
        """Make the group of version 1 for one limit."""
        group = trees.get(_CONTROLLERS.get(member, _OF_CPU))
        if group is None:
            raise self._refusal(member, "no file system of cgroups can be seen", 0)
        try:
            made = cgroups.make(group)
        except cgroups.UnavailableError as error:
            raise self._refusal(member, f"{error} ({shown(group)})", error.number) from None
        self._groups.append(made)
        with self._refusing(member, made):
            if member == limits.MEMORY:
                self._memory, self._ends_one_alone = made, True
                _limit(made, "memory.limit_in_bytes", self._asked[member])
                if made.has("memory.memsw.limit_in_bytes"):  # memory and swap together
                    _limit(made, "memory.memsw.limit_in_bytes", self._asked[member])
                else:
                    self._require_no_swap()
            else:
                self._hold_in(made, member)

    def _hold_in(self, group: Cgroup, member: str) -> None:
        """Set what both versions call the same: the number of processes, or the account of CPU time."""
        if member == limits.PROCESSES:
            self._processes = group
            _limit(group, "pids.max", self._asked[member])
        else:
            self._cpu = group
            _cpu_us(group)

    def _require_no_swap(self) -> None:
        """Refuse where memory could be had as swap, which nothing counts.

        Raises:
            LimitError: there is swap.
        """
        with open("/proc/swaps", "rb") as file:
            if len(file.read().splitlines()) <= 1:
                return
        raise LimitError(
            "cannot hold the command to a limit of memory: this kernel does not count swap, and has some",
            hint="boot with swapaccount=1, or without swap",
        )

    @contextlib.contextmanager
    def _refusing(self, member: str, group: Cgroup) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            why = f"{os.strerror(error.errno or 0).lower()} ({shown(group.path)})"
            raise self._refusal(member, why, error.errno or 0) from None

    def _refusal(self, member: str, why: str, number: int) -> LimitError:
        return LimitError(
            f"cannot hold the command to {_NEED[member]}: no control group can be made for it: {why}",
            hint=self._hint(number),
        )

    def _hint(self, number: int) -> str:
        flag = "or leave the limit out"
        if self._outer is not None:
            return f"give the limit to the launch around this one, session {self._outer}; {flag}"
        if number == errno.EROFS:
            return f"{_OF_THE_CONTAINER}, {flag}"
        systemd = os.path.isdir("/run/systemd/system")
        command = _DELEGATE.format("" if os.geteuid() == 0 else "--user ")
        if systemd:
            return f"run it in a group of its own: {command}"
        return f"run it in a group that is delegated to you (with systemd: {command}), {flag}"

    @property
    def descriptors(self) -> frozenset[int]:
        """Those that the monitor needs."""
        return frozenset(group.descriptor for group in self._groups)

    def hold(self, pid: int) -> None:
        """Put the child in, before it is released.

        Raises:
            LimitError: it cannot be put in.
        """
        for group in self._groups:
            try:
                group.enter(pid)
            except OSError as error:
                raise LimitError(
                    "cannot hold the command to its limits: it cannot be put into its control group"
                    f" {shown(group.path)}: {os.strerror(error.errno or 0).lower()}",
                    hint=self._hint(error.errno or 0),
                ) from None

    # --- watched by the monitor ---------------------------------------------------------------------

    def pause_ms(self) -> int | None:
        """Return within which time to look again, in milliseconds; None when nothing need be looked at."""
        if not self._is_watched():
            return None
        return max(0, int((self._next - time.monotonic()) * 1_000) + 1)

    def is_over(self) -> bool:
        """Look, if it is time to, and return whether a limit has ended the launch."""
        if not self._is_over and self._is_watched() and time.monotonic() >= self._next:
            self._is_over = (self._ends_one_alone and self._kills() > 0) or (
                self._cpu is not None and self._cpu_left_us() <= 0
            )
            self._next = time.monotonic() + self._pause()
        return self._is_over

    def _is_watched(self) -> bool:
        return self._cpu is not None or self._ends_one_alone

    def _pause(self) -> float:
        longest = _V1_PAUSE_MS if self._ends_one_alone else _LONGEST_PAUSE_MS
        if self._cpu is None:
            return longest / 1_000
        # On all processors at once it could be used up by then, and no earlier.
        earliest = max(_SHORTEST_PAUSE_MS, self._cpu_left_us() // 1_000 // (os.cpu_count() or 1))
        return min(longest, earliest) / 1_000

    def _cpu_left_us(self) -> int:
        assert self._cpu is not None
        try:
            return self._asked[limits.CPU] * 1_000_000 - _cpu_us(self._cpu)
        except OSError:  # somebody has removed the group, so it is empty
            return 0

    def _kills(self) -> int:
        """Return how many processes the kernel has ended for want of memory."""
        assert self._memory is not None
        first = self._memory.number("memory.oom_control", "oom_kill")
        return first or self._memory.number("memory.events", "oom_kill")

    # --- when it is over -----------------------------------------------------------------------------

    def said(self, status: int) -> dict[str, Any]:
        """Return how the limits bore on the launch, as :class:`runtime.processes.supervision.Ending` has it.

        Args:
            status: the wait status of the command.

        Returns:
            ``ended_by``, None for a command that ended by itself, and ``notes``.
        """
        ended_by: str | None = None
        killed = _is_killed(status)
        ran_out = self._memory is not None and self._kills() > 0
        if ran_out and killed:
            ended_by = MEMORY
        elif self._cpu is not None and killed and self._cpu_left_us() <= 0:
            ended_by = CPU_TIME
        return {"ended_by": ended_by, "notes": self._notes(ended_by, ran_out=ran_out)}

    def _notes(self, ended_by: str | None, *, ran_out: bool) -> list[str]:
        said = []
        if ran_out:
            most = limits.words(limits.MEMORY, self._asked[limits.MEMORY])
            # A shell can go on, and exit, when the kernel has ended what it ran.
            who, it = (
                ("the command", "it") if ended_by == MEMORY else ("a process of the command", "the launch")
            )
            if self._is_full():
                said.append(f"{who} was ended: {it} had used up its {most} (--memory)")
            else:
                said.append(f"{who} was ended: memory ran out around it, not its own {most}")
        if ended_by == CPU_TIME:
            most = limits.words(limits.CPU, self._asked[limits.CPU])
            said.append(f"the command was ended: it had used up its {most} (--cpu-time)")
        if self._processes is not None and (refused := self._processes.number("pids.events", "max")):
            most = limits.words(limits.PROCESSES, self._asked[limits.PROCESSES])
            said.append(
                f"the command was refused a process {refused:,} times: it has {most} (--max-processes)"
            )
        return said

    def _is_full(self) -> bool:
        """Return whether its own limit of memory was reached; the kernel counts the machine's as well."""
        assert self._memory is not None
        if self._memory.number("memory.events", "oom"):
            return True
        # What failed to be had is not counted by every kernel; what was had is, in pages.
        with contextlib.suppress(OSError, ValueError):
            had = int(self._memory.read("memory.max_usage_in_bytes"))
            return had >= self._asked[limits.MEMORY] - _LARGEST_REQUEST
        return False

    def kills_all(self) -> bool:
        """Kill all that is in the groups; return whether there are any, and nothing is left in them."""
        killed = [group.kill() for group in self._groups]
        return bool(killed) and all(killed)

    def remove(self) -> None:
        """Remove the groups; what is still in there is killed."""
        for group in self._groups:
            if not group.remove():
                group.kill()
                if not group.remove():
                    group.close()


def _is_killed(status: int) -> bool:
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def _limit(group: Cgroup, name: str, value: int) -> None:
    """Set a limit, and see that it is set: the kernel rounds down to pages.

    Raises:
        OSError: it is not.
    """
    group.write(name, b"%d" % value)
    found = group.read(name).strip()
    if not found.isdigit() or int(found) > value:
        raise OSError(errno.ENOTSUP, "not set")


def _cpu_us(group: Cgroup) -> int:
    """Return the CPU time that was used in a group, in microseconds.

    Raises:
        OSError: it does not say.
    """
    if group.has("cpuacct.usage"):
        return int(group.read("cpuacct.usage")) // 1_000
    for line in group.read("cpu.stat").splitlines():
        if line.startswith(b"usage_usec "):
            return int(line.split()[1])
    raise OSError(errno.ENOTSUP, "no account of CPU time")


def why_not(member: str) -> LimitError | None:
    """Try a limit, and return what stands in its way; None where it holds.

    Args:
        member: its name in the record.
    """
    try:
        tried = Confinement({member: _TRIED})
    except LimitError as error:
        return error
    tried.remove()
    return None
