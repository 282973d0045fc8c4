"""Opening a granted file from inside: ours, plain Landlock with the same rules, and no sandbox at all."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from measuring import Bar, Result, Subject, in_turn
from workers import PROGRAMS, Worker
from workspace import installed_command

if TYPE_CHECKING:
    from workspace import Workspace

NAME = "opening"
OURS = "inside of nono run"
LANDLOCK = "under plain Landlock, the same rules"
OUTSIDE = "outside"

BARS = (Bar(OURS, LANDLOCK, 1.05),)


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Open and close one file a thousand times, in each place."""
    path = os.path.join(workspace.directory("opening"), "file")
    with open(path, "wb") as file:
        file.write(b"content")
    readable = sorted({os.path.dirname(path), PROGRAMS, sys.prefix, sys.base_prefix})
    nono = [installed_command("nono"), "run", "--silent", "--block-net", "--no-audit"]
    ours = [*nono, *(word for directory in readable for word in ("--read", directory)), "--"]
    landlock = [sys.executable, os.path.join(PROGRAMS, "plain_landlock.py"), *readable, "--"]
    environment = workspace.environment
    with (
        Worker("opens.py", path, environment=environment, inside=ours) as sandboxed,
        Worker("opens.py", path, environment=environment, inside=landlock) as restricted,
        Worker("opens.py", path, environment=environment) as outside,
    ):
        subjects = [
            Subject(OURS, sandboxed.sample, 1_000),
            Subject(LANDLOCK, restricted.sample, 1_000),
            Subject(OUTSIDE, outside.sample, 1_000),
        ]
        measured = in_turn(subjects, rounds=20 if quick else 200, block=5, warm_up=5)
    return Result(NAME, "1,000 times open and close of a granted file", measured, [], BARS)
