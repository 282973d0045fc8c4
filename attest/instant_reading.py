"""Instants of the record, read back: the one form of :mod:`attest.instant`, and none that means the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from attest.errors import MalformedError

_FIRST_YEAR = 1000
"""No clock shows less, and what shows it is not the same on every platform."""
_EPOCH, _MICROSECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(microseconds=1)


def parse_instant(text: str) -> datetime:
    """Return the UTC time that ``text`` writes.

    Raises:
        MalformedError: not of the one form, or no such day.
    """
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        raise MalformedError("not an instant: RFC 3339 UTC with microseconds and Z") from None
    # fromisoformat reads many forms (other zones, week dates, commas): writing again leaves the one.
    if instant.tzinfo is not UTC or instant.year < _FIRST_YEAR or _write(instant) != text:
        raise MalformedError("an instant, but not in its one form")
    return instant


def unix_microseconds(text: str) -> int:
    """Return the microseconds of Unix time that ``text`` writes, exactly: a float of far years is rounded.

    Raises:
        MalformedError: not of the one form, or no such day.
    """
    return (parse_instant(text) - _EPOCH) // _MICROSECOND


def _write(instant: datetime) -> str:
    return instant.replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"
