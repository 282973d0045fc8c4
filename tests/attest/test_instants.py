"""Instants: one form, on every platform."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest.errors import MalformedError
from attest.instant import format_instant
from attest.instant_reading import parse_instant

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


@given(st.integers(-(2**63), 2**63 - 1))
def test_every_clock_value_is_read_back_to_the_microsecond(unix_ns: int) -> None:
    text = format_instant(unix_ns)
    assert len(text) == 27
    assert (parse_instant(text) - EPOCH) // datetime.timedelta(microseconds=1) == unix_ns // 1000


def test_instants_sort_as_text() -> None:
    moments = [0, 999, 1_000, 999_999_999, 10**9, 10**18, 1_700_000_000_123_456_789]
    assert [format_instant(moment) for moment in moments] == sorted(
        format_instant(moment) for moment in moments
    )
    assert format_instant(1_700_000_000_123_456_789) == "2023-11-14T22:13:20.123456Z"
    assert format_instant(999) == "1970-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-03-01",
        "20260301T120000.000000Z",
        "2026-W09-7T12:00:00.000000Z",
        "2026-03-01 12:00:00.000000Z",
        "2026-03-01t12:00:00.000000Z",
        "2026-03-01T12:00:00.000000z",
        "2026-03-01T12:00:00.000000",
        "2026-03-01T12:00:00.000000+00:00",
        "2026-03-01T12:00:00.000000-00:00",
        "2026-03-01T12:00:00.000000+01:00",
        "2026-03-01T12:00:00,000000Z",
        "2026-03-01T12:00:00.000Z",
        "2026-03-01T12:00:00.0000000Z",
        "2026-03-01T12:00:00Z",
        "2026-03-01T12:00Z",
        "2026-03-01T24:00:00.000000Z",
        "2026-03-01T23:59:60.000000Z",
        "2026-02-29T12:00:00.000000Z",
        "2026-13-01T12:00:00.000000Z",
        "0000-01-01T00:00:00.000000Z",
        "0001-01-01T00:00:00.000000Z",
        "0999-12-31T23:59:59.999999Z",
        "999-12-31T23:59:59.999999Z",
        "10000-01-01T00:00:00.000000Z",
        "+2026-03-01T12:00:00.000000Z",
        " 2026-03-01T12:00:00.000000Z",
        "2026-03-01T12:00:00.000000Z\n",
        "2026-3-1T12:00:00.000000Z",
        "\uff12\uff10\uff12\uff16-03-01T12:00:00.000000Z",
        "2026-03-01T12:00:00.00000\u0660Z",
        "2026-03-01T12:00:00.000000Z\x00",
        "\ud800026-03-01T12:00:00.000000Z",
    ],
    ids=ascii,
)
def test_every_other_form_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        parse_instant(text)


@settings(max_examples=300)
@given(st.text("0123456789-T:.Z+ W\u0661\ud800", max_size=30))
def test_arbitrary_text_is_an_instant_or_malformed(text: str) -> None:
    try:
        instant = parse_instant(text)
    except MalformedError:
        return
    assert format_instant((instant - EPOCH) // datetime.timedelta(microseconds=1) * 1000) == text
