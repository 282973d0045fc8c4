"""How long ago something was, in the unit that suits it: for people."""

from __future__ import annotations

from datetime import UTC, datetime

from attest.errors import MalformedError
from attest.instant_reading import parse_instant

_UNITS = ((86_400 * 365, "year"), (86_400 * 30, "month"), (86_400, "day"), (3_600, "hour"), (60, "minute"))


_MOMENT = 10
"""Seconds that nobody counts."""


def ago(instant: str, now: datetime | None = None) -> str:
    """Return how long ago an instant of the record was; the instant itself where that makes no sense.

    Args:
        instant: RFC 3339 UTC with microseconds.
        now: when that is asked, with a zone; None is now.
    """
    try:
        seconds = int(((datetime.now(UTC) if now is None else now) - parse_instant(instant)).total_seconds())
    except MalformedError:
        return instant
    if seconds < 0:  # of a host whose clock is ahead
        return instant[:19].replace("T", " ")
    for length, name in _UNITS:
        if seconds >= length:
            count = seconds // length
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now" if seconds < _MOMENT else f"{seconds} seconds ago"
