"""A launch as a function call, in a process that has imported everything: ``launch()`` and nono-py's."""

from __future__ import annotations

import contextlib
from importlib.util import find_spec
from typing import TYPE_CHECKING

import equal_grants
from measuring import Bar, Missing, Result, Subject, in_turn
from workers import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workspace import Workspace

NAME = "library"
OURS = "launch() (4 entries, durable)"
NONO_PY = "nono-py sandboxed_exec, in process"

BARS = (Bar(OURS, NONO_PY, 2.0),)


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Call each again and again in one fresh interpreter of its own."""
    title = "launch of /bin/true, one call in a warm process"
    return compare(NAME, title, workspace.environment, BARS, quick=quick)


def compare(
    name: str, title: str, environment: Mapping[str, str], bars: tuple[Bar, ...], *, quick: bool
) -> Result:
    """Compare the two in hosts with this environment."""
    missing = []
    with contextlib.ExitStack() as stack:
        ours = stack.enter_context(Worker("nono_calls.py", environment=environment))
        subjects = [Subject(OURS, ours.sample)]
        if find_spec("nono_py") is None:
            missing.append(Missing(NONO_PY, "not installed: pip install '.[bench]'"))
        else:
            peer = Worker("nono_py_calls.py", *equal_grants.as_arguments(), environment=environment)
            subjects.append(Subject(NONO_PY, stack.enter_context(peer).sample))
        measured = in_turn(subjects, rounds=4 if quick else 20, block=10, warm_up=5)
    notes = ["nono-py records nothing; three commits of ours are synced to the disk"]
    return Result(name, title, measured, missing, bars, notes)
