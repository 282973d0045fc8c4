"""How many cores a verification is worth."""

from __future__ import annotations

import os
import sys

MIN_BYTES = 16 << 20
"""A ledger below this is checked by one process: it is done before others would have started."""

MAX_CORES = 8
"""Beyond so many, reading the file and putting the answers together takes as long as the checks."""


def cores_for(size: int, most: int | None = None) -> int:
    """Return how many cores to use.

    Args:
        size: how long the ledger is, in bytes.
        most: the most that may be used, or None for all that this process may use.
    """
    # A frozen program is its own interpreter: it could not be started as a worker.
    if size < MIN_BYTES or not sys.executable or getattr(sys, "frozen", False):
        return 1
    if most is None:
        most = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(most, MAX_CORES))
