"""What a process and all that it starts have in memory together."""

from __future__ import annotations

import contextlib
import subprocess
import time
from typing import TYPE_CHECKING

from measuring import BenchmarkError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_EVERY_SECONDS = 0.02


def peak_memory(command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run a command and return the most that its processes had at a time, in bytes of proportional set size.

    Raises:
        BenchmarkError: the command failed.
    """
    most = 0
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        while process.poll() is None:
            most = max(most, sum(map(_proportional_bytes, _tree(process.pid))))
            time.sleep(_EVERY_SECONDS)
        assert process.stderr is not None
        if process.returncode != 0:
            raise BenchmarkError(f"{command[0]} ended with {process.returncode}: {process.stderr.read()!r}")
    return most


def _tree(pid: int) -> list[int]:
    found = [pid]
    with contextlib.suppress(OSError):  # it ended meanwhile
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
            children = file.read().split()
        for child in children:
            found += _tree(int(child))
    return found


def _proportional_bytes(pid: int) -> int:
    try:
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
            return next((int(line.split()[1]) << 10 for line in file if line.startswith("Pss:")), 0)
    except OSError:
        return 0
