"""Times as people write them: an instant, a date, or how long ago."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from attest.errors import MalformedError
from attest.written_time import parse_rfc_3339, parse_time

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "end", "means"),
    [
        ("2026-01-31", False, datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31", True, datetime(2026, 2, 1, tzinfo=UTC)),
        ("2024-02-29", True, datetime(2024, 3, 1, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", True, datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31t12:00:00z", False, datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00.5+02:00", False, datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T12:00:00.123456789Z", False, datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("0s", True, NOW),
        ("90s", False, NOW - timedelta(seconds=90)),
        ("15m", False, NOW - timedelta(minutes=15)),
        ("2h", True, NOW - timedelta(hours=2)),
        ("3d", False, NOW - timedelta(days=3)),
        ("1w", False, NOW - timedelta(days=7)),
    ],
)
def test_what_is_written_is_what_is_meant(text: str, end: bool, means: datetime) -> None:
    found = parse_time(text, NOW, end=end)
    assert (found, found.utcoffset()) == (means, timedelta())


@pytest.mark.parametrize(
    "text",
    [
        "", " ", "today", "yesterday", "1", "w", "1y", "-1d", "+1d", "1.5h", "1w ", " 1w", "1W", "٣d", "1w2d",
        "9999999999s", "999999999w", "2026-1-1", "2026-02-30", "2025-02-29", "20260131", "2026-W05-1",
        "2026-01-31T12:00Z", "2026-01-31T12:00:00", "2026-01-31T24:00:00Z", "2026-01-31T12:00:60Z",
        "2026-01-31T12:00:00,5Z", "2026-01-31T12:00:00.Z", "2026-01-31T12:00:00+2",
        "2026-01-31T12:00:00+99:00",
        "0000-01-01", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59",
        "\uff12\uff10\uff12\uff16-01-31",
        "2026-01-31\n", "2026-01-31T12:00:00Z\n", "1w\0", "x" * 100_000, "9" * 100_000 + "w",
    ],
)  # fmt: skip
def test_what_is_no_time_is_one_error(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_time(text, NOW)


def test_the_end_of_the_last_day_is_no_time() -> None:
    assert parse_time("9999-12-31", NOW) == datetime(9999, 12, 31, tzinfo=UTC)
    with pytest.raises(MalformedError, match="there is no such time"):
        parse_time("9999-12-31", NOW, end=True)


@pytest.mark.parametrize("text", ["1w", "2026-01-31", "2026-01-31 12:00:00Z"])
def test_an_instant_is_no_age_and_no_date(text: str) -> None:
    with pytest.raises(MalformedError, match="RFC 3339"):
        parse_rfc_3339(text)
