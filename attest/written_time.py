"""Times as people write them where they ask for entries: an instant, a date, or how long ago.

All are of UTC, whatever the zone of the one who asks: so are the times of a record
(:mod:`attest.instant`).
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from attest.errors import MalformedError

FORMS = "2026-01-31, 2026-01-31T12:00:00Z, or how long ago: 90s 15m 2h 3d 1w"
"""What can be written, by examples; for errors."""

TIMES = """\
TIME is an instant of RFC 3339 (2026-01-31T12:00:00Z, or with an offset), a date (2026-01-31, a day in UTC),
or how long ago (90s, 15m, 2h, 3d, 1w)."""
"""The same for helps."""

_DAY = timedelta(days=1)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_time(text: str, now: datetime, *, end: bool = False) -> datetime:
    """Return the time that ``text`` means, in UTC.

    Args:
        text: an instant of RFC 3339 (also with a blank in the place of the T), a date, or an age.
        now: what an age is counted from, in UTC.
        end: whether a date means the end of its day.

    Raises:
        MalformedError: it is none of them, or there is no such time.
    """
    instant = text.replace(" ", "T", 1)
    if _INSTANT.fullmatch(instant):
        return parse_rfc_3339(instant)
    try:
        if _DATE.fullmatch(text):
            return datetime.fromisoformat(text).replace(tzinfo=UTC) + (_DAY if end else timedelta())
        if (ago := _AGO.fullmatch(text)) is not None:
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    except (ValueError, OverflowError):
        raise _no_such_time() from None
    raise MalformedError(FORMS)


def parse_rfc_3339(text: str) -> datetime:
    """Return the instant that ``text`` means, in UTC; what lies below a microsecond is cut off.

    Raises:
        MalformedError: it is none of RFC 3339, or there is no such time.
    """
    if not _INSTANT.fullmatch(text):
        raise MalformedError("an instant of RFC 3339: 2026-01-31T12:00:00Z")
    try:
        return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise _no_such_time() from None


def _no_such_time() -> MalformedError:
    return MalformedError("there is no such time")
