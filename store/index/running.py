"""Whether a launch whose session is open still runs, as far as that can be known from here.

Only the same boot and the same pid namespace tell: elsewhere the pid means another process, or none.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass

_START_TIME_FIELD = 22


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Who supervises a launch, as its intent says.

    Attributes:
        boot_id: ``/proc/sys/kernel/random/boot_id``.
        pid_namespace: inode number, decimal.
        pid: process id in that namespace.
        start_time: clock ticks after boot (proc_pid_stat(5), field 22).
    """

    boot_id: str | None
    pid_namespace: str | None
    pid: int | None
    start_time: int | None


def is_alive(supervisor: Supervisor) -> bool:
    """Return whether it is known that this very process is alive."""
    if supervisor.pid is None or supervisor.pid <= 0:
        return False
    return (
        (supervisor.boot_id, supervisor.pid_namespace) == _here()
        and supervisor.start_time is not None
        and _start_time(supervisor.pid) == supervisor.start_time
    )


@functools.cache
def _here() -> tuple[str, str] | None:
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            boot_id = file.read().strip()
        return boot_id, str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return None


def _start_time(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            line = file.read()
    except OSError:
        return None
    # The name stands in parentheses and may hold any byte, so fields are counted behind the last one.
    fields = line.rpartition(b")")[2].split()
    if len(fields) <= _START_TIME_FIELD - 3 or fields[0] in {b"Z", b"X"}:
        return None
    return int(fields[_START_TIME_FIELD - 3])
