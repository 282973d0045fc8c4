"""Instants as the record writes them: RFC 3339 UTC with microseconds and ``Z``.

They are read in :mod:`attest.instant_reading`, with ``datetime``, which who writes them need not load.
"""

from __future__ import annotations

import functools
import time


def format_instant(unix_ns: int) -> str:
    """Write nanoseconds of Unix time as an instant; what lies below a microsecond is cut off."""
    seconds, rest = divmod(unix_ns // 1_000, 1_000_000)
    return f"{_write_second(seconds)}.{rest:06d}Z"


@functools.lru_cache(maxsize=8)  # a writer under load writes thousands of instants of one second
def _write_second(unix_seconds: int) -> str:
    # Not strftime: whether its %Y pads to four digits is up to each libc.
    year, month, day, hour, minute, second = time.gmtime(unix_seconds)[:6]
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}"
