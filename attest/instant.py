"""Instants as the record writes them: RFC 3339 UTC with microseconds and ``Z``."""

from __future__ import annotations

from datetime import UTC, datetime

from attest.errors import MalformedError

_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def format_instant(unix_ns: int) -> str:
    """Write nanoseconds of Unix time as an instant; what lies below a microsecond is cut off."""
    seconds, rest = divmod(unix_ns // 1_000, 1_000_000)
    # %Y is not padded to four digits by every libc; the years that a clock can show here need none.
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).strftime(_FORMAT)


def parse_instant(text: str) -> datetime:
    """Return the UTC time that ``text`` writes.

    Raises:
        MalformedError: not of the one form, or no such day.
    """
    try:
        instant = datetime.strptime(text, _FORMAT).replace(tzinfo=UTC)
    except ValueError:
        raise MalformedError("not an instant: RFC 3339 UTC with microseconds and Z") from None
    if instant.strftime(_FORMAT) != text:
        raise MalformedError("an instant, but not in its one form")
    return instant
