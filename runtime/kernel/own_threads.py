"""The threads of this process, as the kernel counts them: those that Python does not know are among them."""

from __future__ import annotations

import os
import sys
import time

END_SECONDS = 0.5
"""How long a thread may take to end after Python has heard the last of it."""


def is_alone() -> bool:
    """Return whether this process has one thread, now."""
    return len(os.listdir("/proc/self/task")) == 1


def becomes_alone() -> bool:
    """Return whether this process has one thread, once those that are ending have ended.

    ``Thread.join()`` returns when the thread is done with Python, and that is before the kernel is done with
    it. So as long as Python knows of no other, one that is left is given :data:`END_SECONDS`.
    """
    latest = time.monotonic() + END_SECONDS
    while not is_alone():
        known = len(sys._current_frames())  # noqa: SLF001  # documented under this name; threading is not loaded here
        if known > 1 or time.monotonic() > latest:
            return False
        time.sleep(0.001)
    return True
