"""The side of the program: make the call as often as a line of standard input says, answer with the times."""

from __future__ import annotations

import json
import os
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


def serve(call: Callable[[], object]) -> None:
    """Serve until standard input ends."""
    # The answers keep this pipe to themselves; what the call starts writes to nowhere.
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, 1)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            begun = time.perf_counter()
            call()
            seconds.append(time.perf_counter() - begun)
        answers.write(json.dumps(seconds) + "\n")
        answers.flush()
