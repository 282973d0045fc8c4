"""Many that append to one ledger at once: the threads of one process, and processes."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from large_ledger import of_decisions
from measuring import Bar, Ceiling, Result, Subject, in_turn
from workers import Worker

if TYPE_CHECKING:
    from workspace import Workspace

NAME = "sharing"
WRITERS = 16
ALONE = "one thread"
THREADS = f"{WRITERS} threads of one process"
ONE_PROCESS = "one process"
PROCESSES = f"{WRITERS} processes"
ONE_APPEND = f"one append among {WRITERS} processes"

BARS = (Bar(THREADS, ALONE, 1 / 3), Bar(PROCESSES, ONE_PROCESS, 2.0))
"""Three times the rate of one, and half of it."""

_ENTRIES = 480
_ANY_SIZE = 2
_P99_SECONDS = 1.0


def measure(workspace: Workspace, *, quick: bool) -> Result:
    """Append the same number of entries in each way, each in a ledger of its own."""
    with contextlib.ExitStack() as stack:

        def subject(name: str, kind: str, writers: int, answer: str = "rounds") -> Subject:
            directory = workspace.directory(os.path.join("sharing", f"{kind}-{writers}-{answer}"))
            path = of_decisions(directory, _ANY_SIZE)
            arguments = (path, kind, str(writers), str(_ENTRIES), answer)
            worker = Worker("nono_shared_appends.py", *arguments, environment=workspace.environment)
            return Subject(name, stack.enter_context(worker).sample, 1 if answer == "waits" else _ENTRIES)

        subjects = [
            subject(THREADS, "threads", WRITERS),
            subject(ALONE, "threads", 1),
            subject(PROCESSES, "processes", WRITERS),
            subject(ONE_PROCESS, "processes", 1),
            subject(ONE_APPEND, "processes", WRITERS, "waits"),
        ]
        measured = in_turn(subjects, rounds=3 if quick else 15)
    waits = measured[-1]
    notes = [
        f"a sample of all but the last is {_ENTRIES} entries, each its own append, durable when it returns",
        f"of {len(waits.seconds):,} appends among {WRITERS} processes 99 % took at most"
        f" {waits.quantile(0.99) * 1e3:.0f} ms, and the longest {max(waits.seconds) * 1e3:.0f} ms",
    ]
    ceilings = (Ceiling(ONE_APPEND, _P99_SECONDS, of=0.99),)
    return Result(NAME, "one ledger, many writers", measured, [], BARS, notes, ceilings)
