"""How long a launch may last: it is told to end, has a while for that, and is ended.

The monitor keeps the time, from the exec on: it must not depend on a launcher that is busy, or stopped. When
it is over all that the command started gets SIGTERM and, as what is stopped could not act on it, SIGCONT.
What is there when the grace is over as well is killed like whatever a command leaves. Where the kernel cannot
keep signals within the launch only the command itself is told.

The clock is CLOCK_MONOTONIC: while the machine is suspended no time passes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runtime import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GRACE_MS = 5_000
"""How long a launch has to end when it is told to, unless something else is asked, in milliseconds."""

_MILLISECONDS = 1_000


class TimeLimit:
    """The time of one launch.

    Args:
        asked: the limits, by their names in the record; ``timeout_ms`` is one of them.

    Attributes:
        ENDED_BY: what has ended a launch whose time was over, as the outcome says it.
    """

    ENDED_BY = "time-out"

    def __init__(self, asked: Mapping[str, int]) -> None:
        self._timeout_ms = asked[limits.TIMEOUT]
        self._grace_ms = asked.get(limits.TIMEOUT_GRACE, GRACE_MS)
        self._tell: Callable[[], None] | None = None
        self._deadline = 0.0
        self._is_told = False

    @property
    def at_most_seconds(self) -> float:
        """Within which time of its release a launch is told to end, and killed."""
        return (self._timeout_ms + self._grace_ms) / _MILLISECONDS

    def begin(self, tell: Callable[[], None]) -> None:
        """Let the time begin.

        Args:
            tell: tells the launch to end.
        """
        self._tell = tell
        self._deadline = time.monotonic() + self._timeout_ms / _MILLISECONDS

    def pause_ms(self) -> int:
        """Return within which time to look again, in milliseconds."""
        return max(0, int((self._deadline - time.monotonic()) * _MILLISECONDS) + 1)

    def is_over(self) -> bool:
        """Tell the launch to end if it is time to, and return whether the grace is over as well."""
        if self._tell is None or time.monotonic() < self._deadline:
            return False
        if self._is_told:
            return True
        self._is_told = True
        self._deadline = time.monotonic() + self._grace_ms / _MILLISECONDS
        self._tell()
        return False

    def said(self) -> dict[str, Any]:
        """Return how the limit bore on the launch, as :class:`runtime.supervision.Ending` has it.

        Returns:
            Nothing for a launch that ended before; else ``ended_by`` and ``notes``.
        """
        if not self._is_told:
            return {}
        note = f"the command was ended: it had run for {limits.time_words(self._timeout_ms)} (--timeout)"
        return {"ended_by": self.ENDED_BY, "notes": [note]}
