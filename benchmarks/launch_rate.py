"""How many launches a program makes in a second, many at once, and what each costs."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from measuring import Ceiling, Result, Subject, in_turn
from workers import Worker

if TYPE_CHECKING:
    from workspace import Workspace

NAME = "launch-rate"
AT_ONCE = 16
WALL = f"launches, {AT_ONCE} at once"
CPU = "CPU time of all their processes"

_LAUNCHES = 160
_RATE = 300


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Launch blocks of ``/bin/true`` from the threads of one process, recorded and signed."""
    with contextlib.ExitStack() as stack:

        def subject(name: str, kind: str) -> Subject:
            arguments = (str(AT_ONCE), str(_LAUNCHES), kind)
            worker = Worker("nono_rate.py", *arguments, environment=workspace.environment)
            return Subject(name, stack.enter_context(worker).sample, _LAUNCHES)

        measured = in_turn([subject(WALL, "wall"), subject(CPU, "cpu")], rounds=2 if quick else 10)
    notes = [
        f"{measured[0].units / measured[0].median:.0f} launches/s;"
        f" {measured[1].median / _LAUNCHES * 1e3:.1f} ms of CPU time each, of all processes together"
    ]
    ceilings = (Ceiling(WALL, _LAUNCHES / _RATE),)
    return Result(NAME, f"launches of /bin/true, {AT_ONCE} at once", measured, [], (), notes, ceilings)
