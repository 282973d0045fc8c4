"""Limits: how they are written, which of several holds, and how they are said."""

from __future__ import annotations

from typing import Any

import pytest

from attest import schema
from runtime.errors import UsageError
from runtime.policy import limits
from tests.runtime import limit_values


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("memory", "1", 1),
        ("memory", "4096", 4096),
        ("memory", "512M", 512 << 20),
        ("memory", "512MiB", 512 << 20),
        ("memory", "2G", 2 << 30),
        ("max_file_size", "1K", 1 << 10),
        ("max_file_size", "999T", 999 << 40),
        ("cpu_time", "90", 90),
        ("cpu_time", "90s", 90),
        ("cpu_time", "10m", 600),
        ("cpu_time", "2h", 7_200),
        ("cpu_time", "9999d", 9_999 * 86_400),
        ("max_processes", "64", 64),
        ("nofile", "4", 4),
        ("timeout", "90", 90_000),
        ("timeout", "90s", 90_000),
        ("timeout", "500ms", 500),
        ("timeout", "10m", 600_000),
        ("timeout_grace", "1ms", 1),
        ("startup_timeout", "10s", 10_000),
    ],
)
def test_what_a_text_means(name: str, text: str, value: int) -> None:
    (found,) = limits.asked({name: text}, typed=True).values()
    assert found == value
    limits.check(limits.asked({name: text}, typed=True))


@pytest.mark.parametrize("name", limits.NAMES)
@pytest.mark.parametrize("typed", [False, True])
def test_whatever_is_taken_fits_into_the_record_and_the_rest_has_one_kind_of_error(
    name: str, typed: bool
) -> None:
    known = schema.load("launch.start")["properties"]["data"]["properties"]["limits"]["properties"]
    assert set(known) == set(limits.MEMBERS)
    taken, refused = 0, []
    for value in limit_values.WRITTEN:
        try:
            found = limits.asked({name: value}, typed=typed)
        except UsageError as error:
            refused.append((error.code, str(error).startswith(f"{name}: ")))
            continue
        taken += 1
        ((member, number),) = found.items()
        assert limits.name_of(member) == name
        assert 0 < number <= known[member]["maximum"]
        limits.check(found)
    assert taken
    assert set(refused) == {("usage.limit", True)}


@pytest.mark.parametrize(
    "wrong",
    [{"memory": 1}, {"memory_bytes": "1M"}, {"memory_bytes": 0}, {"open_files": True}, {"open_files": 3}],
)
def test_what_no_record_could_hold_is_refused(wrong: Any) -> None:
    with pytest.raises(UsageError) as caught:
        limits.check(wrong)
    assert caught.value.code == "usage.limit"


def test_of_several_the_lowest_holds() -> None:
    said = [{"memory_bytes": 5, "processes": 9}, {"memory_bytes": 7}, {"memory_bytes": 6, "cpu_seconds": 1}]
    assert limits.lowest(said) == {"cpu_seconds": 1, "memory_bytes": 5, "processes": 9}
    assert limits.lowest([]) == {}


@pytest.mark.parametrize(
    ("member", "value", "said"),
    [
        ("memory_bytes", 512 << 20, "512 MiB of memory"),
        ("memory_bytes", 1_000_000, "1,000,000 bytes of memory"),
        ("processes", 1, "1 process and threads"),
        ("processes", 64, "64 processes and threads"),
        ("cpu_seconds", 90, "90 s of CPU time"),
        ("file_size_bytes", 1 << 30, "files of 1 GiB"),
        ("open_files", 1024, "1,024 open files in each process"),
        ("timeout_ms", 1_500, "1,500 ms until it is told to end"),
        ("timeout_grace_ms", 5_000, "5 s from there until it is ended"),
        ("startup_timeout_ms", 2_000, "2 s until it must have written to its terminal"),
    ],
)
def test_how_they_are_said(member: str, value: int, said: str) -> None:
    assert limits.words(member, value) == said
