"""Each way out works outside of the sandbox, as this user, and not in a launch."""

from __future__ import annotations

import ast
import dataclasses
import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.escapes import table
from tests.escapes.way import WORKS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.escapes.arena import Arena
    from tests.escapes.way import Open, Scenario, Way

ROOT = Path(__file__).parents[2]
IS_ROOT = os.geteuid() == 0


@pytest.mark.parametrize("way", table.HERE, ids=lambda way: way.name)
def test_a_way_out(arena: Arena, way: Way, record_property: Callable[[str, object], None]) -> None:
    outside = arena.outside(way)
    if outside == way.outside:
        proved = "works outside" if way.outside == WORKS else "gets past the kernel's own checks outside"
        assert outside not in way.ends, "what is said inside must be told from what is said outside"
    elif outside in way.lacking:
        proved = "this kernel has no such thing; refused inside as well"
    else:
        assert not IS_ROOT, f"it must end with {way.outside} outside"
        assert outside in way.ordinary, f"it must end with {way.outside} outside, or one of {way.ordinary}"
        proved = "only root gets further outside; refused inside as well"
    record_property("proved", proved)
    assert arena.inside(way) in way.ends


@pytest.mark.parametrize("way", table.OF_AN_AGENT, ids=lambda way: way.name)
def test_an_agent_in_its_profile_gets_no_further(arena: Arena, way: Way) -> None:
    """What the profile grants besides, and mediates, opens none of them. The first of each topic is tried."""
    assert arena.inside(dataclasses.replace(way, flags=(*way.flags, "-p", "claude-code"))) in way.ends


@pytest.mark.parametrize("way", table.OPEN, ids=lambda way: way.name)
def test_what_is_said_to_be_open_is_open(arena: Arena, way: Open) -> None:
    assert arena.outside(way) == WORKS
    assert arena.inside(way) == WORKS


def test_every_topic_has_a_row_and_every_name_is_one() -> None:
    rows = (*table.WAYS, *table.SCENARIOS)
    assert {row.topic for row in rows} == set(table.TOPICS)
    names = [row.name for row in (*rows, *table.OPEN)]
    assert sorted(names) == sorted(set(names))
    assert len(table.HERE) >= 60


@functools.cache
def functions_of(path: str) -> set[str]:
    """Return the functions of a file, which several scenarios name."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("scenario", table.SCENARIOS, ids=lambda scenario: scenario.name)
def test_a_scenario_names_a_test_that_is_there(scenario: Scenario) -> None:
    path, _, name = scenario.test.partition("::")
    assert name in functions_of(path)
