"""Whether a launch without an end still runs: judged only where that can be known.

The intent names the boot, the pid namespace, the supervisor's pid and its start time. Only on the
same boot and within the same pid namespace does a pid mean anything here.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attest.canonical import Json

_START_TIME_FIELD = 22  # proc_pid_stat(5)


def is_running(host: dict[str, Json], supervisor: dict[str, Json]) -> bool:
    """Return whether the supervisor of an intent is known to live, here and now.

    Args:
        host: the intent's ``host``.
        supervisor: the intent's ``supervisor``.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            if file.read().strip() != host["boot_id"]:
                return False
        if str(os.stat("/proc/self/ns/pid").st_ino) != supervisor["pid_namespace"]:
            return False
        with open(f"/proc/{supervisor['pid']}/stat", "rb") as file:
            # The name may hold spaces and parentheses: count from behind its last one.
            fields = file.read().rpartition(b") ")[2].split()
        return int(fields[_START_TIME_FIELD - 3]) == supervisor["start_time"] and fields[0] not in b"ZX"
    except (OSError, ValueError, IndexError):
        return False
