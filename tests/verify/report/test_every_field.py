"""Each field of the page's data, changed by somebody who makes the rest fit: the page says so, or had said
before that it takes this over.
"""

from __future__ import annotations

import copy
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.verify.report.test_hostile_page import HOSTILE, UNSEEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.verify.conftest import Bench, Book
    from tests.verify.report.conftest import Opened, Report, Reporter

DOCS = Path(__file__).parents[3] / "docs" / "report.md"

# What a page cannot compute, as docs/report.md lists it; "[]" is each item of a list.
TAKEN_OVER = (
    "made", "tool", "ledger", "bounds.limit", "bounds.since", "bounds.until", "verdict.pins",
    "verdict.remembered[].source", "verdict.remembered[].size", "verdict.policy", "verdict.required",
    "verdict.findings", "verdict.not_excluded", "verdict.witnessed", "verdict.anchors.newest[].holds",
    "verdict.anchors.newest[].time", "verdict.anchors.newest[].by",
)  # fmt: skip
TAKEN_OVER_IN_A_PART = ("launches.asked", "verdict.anchors")


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of everything in a document that can be changed, lists and objects included."""
    yield path
    members: Any = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    for name, member in members:
        yield from leaves(member, (*path, name))


def other(value: Any) -> Iterator[Any]:
    """Yield values of the same type, and one of another."""
    if isinstance(value, bool):
        yield not value
    elif isinstance(value, int):
        yield value + 1
        if value:
            yield value - 1
    elif isinstance(value, str):
        hexadecimal = re.fullmatch("[0-9a-f]+", value) is not None
        yield (f"{int(value[0], 16) ^ 1:x}" if hexadecimal else "x") + value[1:] if value else "x"
    elif value is None:
        yield "x"
    elif isinstance(value, list):
        yield value[:-1] if value else ["x"]
    yield 7.5 if isinstance(value, str) else None if value is not None else 7


def changed(document: dict[str, Any], path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    copied = copy.deepcopy(document)
    place: Any = copied
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = value
    return copied


def pattern(path: tuple[str | int, ...]) -> str:
    return "".join("[]" if isinstance(name, int) else f".{name}" for name in path).lstrip(".")


def unseen(opened: Opened, report: Report, told: tuple[str, ...] = TAKEN_OVER) -> tuple[list[str], int]:
    """Return which changes no page noticed that should have, and how many there were."""
    honest, missed, count = report.document(), [], 0
    for path in leaves(honest):
        if not path or pattern(path).startswith(told):
            continue
        value: Any = honest
        for name in path:
            value = value[name]
        for forged in other(value):
            report.forge(changed(honest, path, forged))
            count += 1
            if opened.check(report.save()) == "agrees":
                missed.append(f"{pattern(path)}: {value!r} to {forged!r}")
    return missed, count


@pytest.fixture
def asked(bench: Bench) -> Callable[[Book], tuple[str, ...]]:
    """Return what is asked besides of a book: a policy, a label, a remembered checkpoint."""

    def arguments(book: Book) -> tuple[str, ...]:
        files = {
            "older.checkpoint": book.note(5),
            "policy.toml": "version = 1\n[every]\nnetwork = 'blocked'\n",
        }
        for name, text in files.items():
            with open(bench.path(name), "w", encoding="utf-8", newline="\n") as file:
                file.write(text)
        checkpoint, policy = (bench.path(name) for name in files)
        return ("--checkpoint", checkpoint, "--policy", policy, "--require-label", "run=7")

    return arguments


def test_no_field_of_a_whole_ledger_can_be_changed(
    reporter: Reporter, book: Book, opened: Opened, asked: Callable[[Book], tuple[str, ...]]
) -> None:
    report = reporter.of(book, *asked(book))
    assert opened.open(report).result == "agrees"
    missed, count = unseen(opened, report)
    assert missed == []
    assert count > 60


def test_no_field_of_a_part_can_be_changed(
    reporter: Reporter, new_book: Callable[[], Book], shapes: Any, opened: Opened
) -> None:
    book = new_book()
    for number in range(4):
        book.launch(decisions=number)
    book.hand_over(shapes.SUCCESSOR)
    book.launch()
    report = reporter.of(book, "--limit", "2", "--since", "2026-11-24T04:00:02Z")
    assert opened.open(report).result == "agrees"
    missed, count = unseen(opened, report, TAKEN_OVER + TAKEN_OVER_IN_A_PART)
    assert missed == []
    assert count > 60


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_in_every_field_at_once_does_nothing(
    reporter: Reporter, book: Book, opened: Opened, asked: Callable[[Book], tuple[str, ...]], text: str
) -> None:
    report = reporter.of(book, *asked(book))
    document = report.document()
    for path in leaves(document):
        place: Any = document
        for name in path[:-1]:
            place = place[name]
        if path and path[-1] != "schema" and isinstance(place[path[-1]], str):
            place[path[-1]] = text
    report.forge(document)
    page = opened.open(report.save()).page
    assert opened.result == "disagrees"
    assert not any(char in page.inner_text("body") for char in UNSEEN)
    assert page.evaluate("globalThis.taken") is None
    assert (opened.dialogs, opened.errors, opened.requests) == ([], [], [f"file://{report.path}"])


def test_what_is_taken_over_is_said_to_be(
    reporter: Reporter, book: Book, opened: Opened, asked: Callable[[Book], tuple[str, ...]]
) -> None:
    """Nobody can compute from the entries what a policy asked for: whoever forges that finds it named."""
    report = reporter.of(book, *asked(book))
    page = opened.open(report).ready().page
    told = page.inner_text("#check-told")
    for words in (
        "that nothing was found", "which keys were pinned", "that the policy is met", "what was required",
        "what was remembered",
    ):  # fmt: skip
        assert words in told
    marks = page.evaluate(
        """() => Object.fromEntries([...document.querySelectorAll('#verdict dt')].map(
          term => [term.textContent, [...term.nextElementSibling.querySelectorAll('.standing')].map(
            mark => mark.textContent)]))"""
    )
    here, over = "computed here", "taken over"
    assert marks == {
        "ledger": [over, here], "entries": [here], "root": [here], "key": [here, over],
        "launches": [here, over], "how new": [over], "remembered": [over], "policy": [over],
        "required": [over], "made": [over],
    }  # fmt: skip
    listed = " ".join(DOCS.read_text(encoding="utf-8").split())
    assert [name for name in TAKEN_OVER + TAKEN_OVER_IN_A_PART if f"`{name}`" not in listed] == []


def test_a_verdict_without_its_policy_says_what_it_rests_on(
    reporter: Reporter, bench: Bench, book: Book, opened: Opened
) -> None:
    """A policy was not met; somebody takes that away, and all that follows from it."""
    with open(bench.path("policy.toml"), "w", encoding="utf-8") as file:
        file.write("version = 1\n[every]\nexit = [7]\n")
    report = reporter.of(book, "--policy", bench.path("policy.toml"))
    assert report.document()["verdict"]["exit"] == 3
    opened.open(report)
    assert opened.result == "agrees"
    assert "its findings" in opened.page.inner_text("#check-told")
    assert "that the policy is not met" in opened.page.inner_text("#check-told")
    document = report.document()
    honest = document["verdict"]
    for forged in (
        {"policy": {**honest["policy"], "met": True}},
        {"policy": {**honest["policy"], "met": True}, "exit": 0, "verdict": "verified"},
        {"findings": [], "exit": 0, "verdict": "verified"},
    ):
        report.forge({**document, "verdict": {**honest, **forged}})
        assert opened.open(report.save()).result == "disagrees", forged
    better = {
        "policy": {**honest["policy"], "met": True}, "findings": [], "exit": 0, "verdict": "verified",
    }  # fmt: skip
    report.forge({**document, "verdict": {**honest, **better}})
    page = opened.open(report.save()).ready().page
    assert opened.result == "agrees"  # with the entries, that is; and it says what it has not computed
    assert "Taken over from nono-verify, and not computed here: that nothing was found" in page.inner_text(
        "#check-told"
    )
    assert "that the policy is met" in page.inner_text("#check-told")
    row = page.locator("#verdict dt", has_text="policy").locator("xpath=following-sibling::dd[1]")
    assert row.locator(".standing").all_text_contents() == ["taken over"]


def test_nothing_is_computed_where_nothing_was_checked(
    reporter: Reporter, book: Book, opened: Opened
) -> None:
    opened.page.add_init_script("Object.defineProperty(crypto, 'subtle', { value: undefined });")
    page = opened.open(reporter.of(book)).page
    assert opened.result == "unable"
    assert page.locator(".standing.computed").count() == 0
    assert page.locator(".standing.told").count() > 5
    assert not page.is_visible("#check-told")
