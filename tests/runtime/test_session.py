"""Session ids: a UUIDv7 as 32 hex digits."""

from __future__ import annotations

import time
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.capability.session import is_session_id, new_session_id


def test_a_new_id_is_a_uuid_of_version_7_of_now() -> None:
    before = time.time_ns() // 1_000_000
    session = new_session_id()
    after = time.time_ns() // 1_000_000
    parsed = uuid.UUID(hex=session)
    assert (parsed.version, parsed.variant) == (7, uuid.RFC_4122)
    assert parsed.hex == session
    assert before <= int(session[:12], 16) <= after


def test_ids_differ_and_sort_by_time() -> None:
    ids = [new_session_id() for _ in range(2_000)]
    assert len(set(ids)) == len(ids)
    assert [session[:12] for session in ids] == sorted(session[:12] for session in ids)


def test_every_random_bit_varies() -> None:
    """74 of the 128 bits are random; 48 are the time and 6 are fixed."""
    ids = [int(new_session_id(), 16) for _ in range(400)]
    ones = zeros = 0
    for value in ids:
        ones |= value
        zeros |= ~value
    varying = ones & zeros & (1 << 80) - 1
    assert varying.bit_count() == 74
    fixed = ~varying & (1 << 80) - 1
    assert all(value & fixed == 7 << 76 | 0b10 << 62 for value in ids)


@given(st.binary(min_size=10, max_size=10), st.integers(0, (1 << 48) - 1))
def test_every_uuid_of_version_7_is_one(random: bytes, milliseconds: int) -> None:
    low = int.from_bytes(random, "big")
    value = milliseconds << 80 | low
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0b11 << 62) | 0b10 << 62
    assert is_session_id(f"{value:032x}")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0192f0c1d2e37a4b8c5d6e7f8091a2b",
        "0192f0c1d2e37a4b8c5d6e7f8091a2b3c",
        "0192F0C1D2E37A4B8C5D6E7F8091A2B3",
        "0192f0c1-d2e3-7a4b-8c5d-6e7f8091a2b3",
        "0192f0c1d2e34a4b8c5d6e7f8091a2b3",
        "0192f0c1d2e37a4bcc5d6e7f8091a2b3",
        "0192f0c1d2e37a4b8c5d6e7f8091a2g3",
        "0192f0c1d2e37a4b8c5d6e7f8091a2b\n",
        "\uff10192f0c1d2e37a4b8c5d6e7f8091a2b",
    ],
)
def test_what_is_none(text: str) -> None:
    assert is_session_id("0192f0c1d2e37a4b8c5d6e7f8091a2b3")
    assert not is_session_id(text)
