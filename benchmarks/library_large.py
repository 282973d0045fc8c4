"""A launch as a function call, from a program with a large heap and threads, as agents are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import library_launch
from measuring import Bar

if TYPE_CHECKING:
    from measuring import Result
    from workspace import Workspace

NAME = "library-large"
BARS = (Bar(library_launch.OURS, library_launch.NONO_PY, 0.5),)


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Call each again and again in one interpreter that has 500 MiB of objects and 20 threads."""
    environment = {**workspace.environment, "BENCH_HOST": "large"}
    title = "launch of /bin/true, one call in a process of 500 MiB and 20 threads"
    return library_launch.compare(NAME, title, environment, BARS, quick=quick)
