"""How long a launch may last, and be silent: it is told to end, has a while for that, and is ended.

The monitor keeps the time, from the exec on: it must not depend on a launcher that is busy, or stopped. When
it is over all that the command started gets SIGTERM and, as what is stopped could not act on it, SIGCONT.
What is there when the grace is over as well is killed like whatever a command leaves. Where the kernel cannot
keep signals within the launch only the command itself is told.

That a command has begun is seen by its launcher, who relays its terminal: it must have written something
there. So the launcher keeps the time for that (:class:`Watch`), and has the monitor end the launch.

The clock is CLOCK_MONOTONIC: while the machine is suspended no time passes.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from runtime.policy import limits

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GRACE_MS = 5_000
"""How long a launch has to end when it is told to, unless something else is asked, in milliseconds."""

TIME_OUT = "time-out"
STARTUP_TIME_OUT = "startup-time-out"
"""What has ended a launch whose time was over, or that had not begun in time, as the outcome says it."""

_MILLISECONDS = 1_000


class TimeLimit:
    """The time of one launch.

    Args:
        asked: the limits, by their names in the record, a time among them.

    Attributes:
        END: what the launcher says to the monitor when the command has not begun in time.
    """

    END = b"e"

    def __init__(self, asked: Mapping[str, int]) -> None:
        self._timeout_ms = asked.get(limits.TIMEOUT)
        self._startup_ms = asked.get(limits.STARTUP_TIMEOUT)
        self._grace_ms = asked.get(limits.TIMEOUT_GRACE, GRACE_MS)
        self._tell: Callable[[], None] | None = None
        self._deadline: float | None = None
        self._ended_by: str | None = None

    # --- the monitor's ------------------------------------------------------------------------------

    def begin(self, tell: Callable[[], None]) -> None:
        """Let the time begin.

        Args:
            tell: tells the launch to end.
        """
        self._tell = tell
        self._deadline = _after(self._timeout_ms)

    def pause_ms(self) -> int | None:
        """Return within which time to look again, in milliseconds; None when nothing need be looked at."""
        if self._deadline is None:
            return None
        return max(0, int((self._deadline - time.monotonic()) * _MILLISECONDS) + 1)

    def is_over(self) -> bool:
        """Tell the launch to end if it is time to, and return whether the grace is over as well."""
        if self._deadline is None or time.monotonic() < self._deadline:
            return False
        if self._ended_by is not None:
            return True
        self.end(TIME_OUT)
        return False

    def end(self, why: str = STARTUP_TIME_OUT) -> None:
        """Tell the launch to end, unless it has been."""
        if self._ended_by is None and self._tell is not None:
            self._ended_by = why
            self._deadline = _after(self._grace_ms)
            self._tell()

    def said(self) -> dict[str, Any]:
        """Return how the limit bore on the launch, as :class:`runtime.processes.supervision.Ending` has it.

        Returns:
            Nothing for a launch that ended before; else ``ended_by`` and ``notes``.
        """
        if self._ended_by is None:
            return {}
        return {"ended_by": self._ended_by, "notes": [self._note(self._ended_by)]}

    def _note(self, why: str) -> str:
        if why == TIME_OUT and self._timeout_ms is not None:
            return f"the command was ended: it had run for {limits.time_words(self._timeout_ms)} (--timeout)"
        silent = limits.time_words(self._startup_ms or 0)
        return f"the command was ended: it had written nothing within {silent} (--startup-timeout)"

    # --- the launcher's -----------------------------------------------------------------------------

    def watch(self, has_begun: Callable[[], bool], patience: float) -> Watch:
        """Begin to watch over the release of the command.

        Args:
            has_begun: says whether the command has written to its terminal.
            patience: how much later than the monitor the launcher ends a launch itself, in seconds.
        """
        return Watch(self._startup_ms, self._timeout_ms, self._grace_ms, has_begun, patience)


class Watch:
    """What the launcher watches: that the command begins, and that the monitor ends it when it should.

    Args:
        startup_ms: within which time it has to begin, in milliseconds, None for whenever.
        timeout_ms: how long it may last, None for ever.
        grace_ms: how long it has to end when it is told to.
        has_begun: says whether it has.
        patience: how much later the launcher ends it itself, in seconds.

    Attributes:
        ended_by: what ends it, should the launcher have to.
    """

    def __init__(
        self,
        startup_ms: int | None,
        timeout_ms: int | None,
        grace_ms: int,
        has_begun: Callable[[], bool],
        patience: float,
    ) -> None:
        self._has_begun = has_begun
        self._startup = _after(startup_ms)
        self._last = grace_ms / _MILLISECONDS + patience
        overdue = _after(timeout_ms)
        self._overdue = None if overdue is None else overdue + self._last
        self.ended_by = TIME_OUT

    def next(self) -> float | None:
        """Return when to look again, on the monotonic clock; None when nothing need be looked at."""
        return min((each for each in (self._startup, self._overdue) if each is not None), default=None)

    def must_be_ended(self) -> bool:
        """Return, once, that the monitor is to end a command that has not begun."""
        if self._startup is None:
            return False
        if self._has_begun():
            self._startup = None
        elif time.monotonic() >= self._startup:
            self._startup = None
            self._overdue, self.ended_by = time.monotonic() + self._last, STARTUP_TIME_OUT
            return True
        return False

    def is_overdue(self) -> bool:
        """Return whether the monitor has not done what it should have by now."""
        return self._overdue is not None and time.monotonic() >= self._overdue


def _after(milliseconds: int | None) -> float | None:
    return None if milliseconds is None else time.monotonic() + milliseconds / _MILLISECONDS
