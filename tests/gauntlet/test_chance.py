"""Mutations by chance: a few of them here, many with ``make gauntlet``; and that a failure would show."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from tests.gauntlet import chance
from tests.gauntlet.mutation import content
from tests.verify.conftest import KEY, three_launches

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.verify.conftest import Bench


def go(capsys: pytest.CaptureFixture[str], tmp_path: Path, *words: str) -> tuple[int, str]:
    status = chance.main([*words, "--jobs", "1", "--keep", str(tmp_path / "kept")])
    return status, capsys.readouterr().out


def test_none_of_a_hundred_is_verified(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    status, output = go(capsys, tmp_path, "--count", "100", "--seed", "tests")
    assert status == 0, output
    assert output.startswith("seed tests, 100 mutations, 1 processes\n")
    assert "\n100 mutations in " in output
    assert not (tmp_path / "kept").exists()


def test_a_seed_is_made_up_and_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    seeds = {go(capsys, tmp_path, "--count", "0")[1].split()[1] for _ in range(2)}
    assert len(seeds) == 2


def test_the_same_seed_gives_the_same_cases(tmp_path: Path) -> None:
    once, again = (chance.run_ledger("seed", 3, [60, 61, 62], str(tmp_path)) for _ in range(2))
    assert once == again
    (alone,) = (
        each for each in chance.run_ledger("seed", 3, [61], str(tmp_path)) if each.kind != "untouched"
    )
    assert alone in once


def test_many_processes_give_what_one_gives(tmp_path: Path) -> None:
    def outcomes(jobs: int) -> list[str]:
        every = chance.run_all("seed", list(range(45)), str(tmp_path), jobs)
        return sorted(str(each) for outcomes in every for each in outcomes)

    assert outcomes(1) == outcomes(2)


@pytest.mark.parametrize("kind", dict.fromkeys(chance.KINDS), ids=lambda kind: kind.__name__)
def test_each_kind_changes_something_and_is_found(
    kind: Callable[[chance.Attack], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(chance, "KINDS", (kind,))
    outcomes = chance.run_ledger("kinds", 1, list(range(20, 40)), str(tmp_path))
    assert [each for each in outcomes if each.wrong] == []
    assert any(each.kind == kind.__name__ for each in outcomes)


# --- that it could fail ---------------------------------------------------------------------------------


def accept(words: list[str]) -> tuple[int, frozenset[str], str]:
    return 0, frozenset(), ""


def test_what_is_accepted_is_kept_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chance, "judged", accept)
    monkeypatch.setattr(chance, "KINDS", (chance.row_more,))
    status, output = go(capsys, tmp_path, "--count", "1", "--seed", "s")
    assert status == 1
    assert "case 0, row_more: accepted: 0, []\n" in output
    assert output.endswith("case-0; again with: make gauntlet SEED=s CASE=0\n")
    place = tmp_path / "kept" / "seed-s-case-0"
    assert {"case.db", "true.db", "key.pub"} <= set(os.listdir(place))
    assert content(str(place / "case.db")) != content(str(place / "true.db"))


def test_an_untouched_ledger_that_is_not_verified_is_a_failure(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chance, "judged", lambda words: (1, frozenset({"tree.root"}), ""))
    status, output = go(capsys, tmp_path, "--count", "1", "--seed", "s")
    assert status == 1
    assert "untouched: an untouched ledger: 1, ['tree.root']" in output


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ((4, "{}"), "KeyError"),
        ((0, "no JSON"), "JSONDecodeError"),
        ((4, '{"findings": []}'), "the exit code 4"),
        ((2, '{"findings": [{"code": "input.unexpected"}]}'), "a fault of the verifier itself"),
    ],
)
def test_a_verifier_that_fails_is_a_failure(
    answer: tuple[int, str], wrong: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chance, "run", lambda words: answer)
    assert wrong in chance.judged(["x"])[2]


# --- what counts as the same ledger ------------------------------------------------------------------------


def test_content_is_all_that_a_file_says(bench: Bench) -> None:
    true = bench.write(three_launches())
    said = content(true)
    assert said == content(bench.write(three_launches()))
    for statement in (
        "UPDATE entry SET body = body || ' ' WHERE idx = 3",
        "PRAGMA user_version = 2",
        "DELETE FROM blob",
        "CREATE TABLE more (x)",
    ):
        assert content(bench.alter(bench.write(three_launches()), statement)) != said
    with contextlib.closing(sqlite3.connect(true)) as db:
        db.execute("VACUUM")
    assert content(true) == said
    with open(bench.path("none"), "wb") as file:
        file.write(b"nothing" * 100)
    assert content(bench.path("none")) is None


def test_books_of_one_seed_are_one(bench: Bench) -> None:
    one, two = (chance.random_book(Random("x"), KEY) for _ in range(2))
    assert one.bodies == two.bodies
    other: Any = chance.random_book(Random("y"), KEY)
    assert other.bodies != one.bodies
