"""The side of the program: make the call as often as a line of standard input says, answer with the times."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


_HEAP_OBJECTS = 500 << 10
_THREADS = 20


def serve(call: Callable[[], object], measured: Callable[[], float] | None = None) -> None:
    """Serve until standard input ends.

    Args:
        call: is timed.
        measured: makes the call instead, and returns what it took, in seconds.
    """
    heap = _grow() if os.environ.get("BENCH_HOST") == "large" else []
    # The answers keep this pipe to themselves; what the call starts writes to nowhere.
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            if measured is not None:
                seconds.append(measured())
                continue
            begun = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begun)
        answers.write(json.dumps(seconds) + "\n")
        answers.flush()
    del heap


def _grow() -> list[bytes]:
    """Be as large as an agent is: 500 MiB of objects, 20 threads that wait."""
    for _ in range(_THREADS):
        threading.Thread(target=threading.Event().wait, daemon=True).start()
    return [os.urandom(16) + bytes(1_000) for _ in range(_HEAP_OBJECTS)]
