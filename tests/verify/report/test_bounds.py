"""However much there is of anything in a ledger, its page is of a bounded size, and says what it left out."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from attest import checkpoint, tree
from attest.canonical import encode
from attest.keys import SigningKey
from tests.verify.report.test_report_command import root_of
from verify import render
from verify.report import choice
from verify.report.carried import carry
from verify.report.choice import ENTRY_COST, Bounds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.verify.conftest import Bench, Book
    from tests.verify.report.conftest import Opened, Reporter


def test_one_huge_launch_is_carried_from_both_ends(
    reporter: Reporter, new_book: Callable[[], Book], opened: Opened
) -> None:
    book = new_book()
    book.launch()
    huge = book.launch(decisions=100_000)
    book.launch()
    report = reporter.of(book, "--session", huge)
    frames = report.frames()
    cost = sum(len(body) + ENTRY_COST for _, body in frames)
    assert choice.MAX_LAUNCH_BYTES * 0.99 < cost < choice.MAX_LAUNCH_BYTES + 2_000
    assert len(report.text) < 3 << 20
    (shortened,) = report.document()["shortened"]
    assert shortened["session"] == huge
    left = shortened["left_out"]
    assert left == 100_004 - (len(frames) - 1)
    assert root_of(report) == report.document()["verdict"]["root"]
    page = opened.open(report, f"#{huge}").ready().page
    assert (opened.result, opened.errors) == ("agrees", [])
    said = page.inner_text("#part")
    assert "1 of 3 launches (session " in said
    assert f"Of 1 launch the first and the last entries are carried: {left:,} entries between them" in said
    page.wait_for_selector("#proof svg")
    text = page.inner_text("#detail")
    assert f"{left} between the first and the last are not" in text
    assert "signed by the key in force, and states what the entries say" in text
    assert "exit 0" in text
    assert "at least " in page.inner_text("#row-0")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Leave room for some 20 entries of a launch; return how much."""
    room = 20 * (ENTRY_COST + 400)
    monkeypatch.setattr(choice, "MAX_LAUNCH_BYTES", room)
    return room


def test_what_is_left_out_of_a_launch_cannot_be_anything_else(
    reporter: Reporter, new_book: Callable[[], Book], opened: Opened, small: int
) -> None:
    book = new_book()
    book.launch(decisions=3)
    book.launch(decisions=60)
    report = reporter.of(book)
    assert opened.open(report).result == "agrees"
    honest = report.document()
    (shortened,) = honest["shortened"]
    first, height, root = shortened["subtrees"][0]
    other = f"{int(root[0], 16) ^ 1:x}{root[1:]}"
    for forged in (
        [],
        [{**shortened, "left_out": shortened["left_out"] - 1}],
        [{**shortened, "left_out": shortened["left_out"] + 1}],
        [{**shortened, "subtrees": shortened["subtrees"][1:]}],
        [{**shortened, "subtrees": [[first, height, other], *shortened["subtrees"][1:]]}],
        [{**shortened, "subtrees": [[first, height + 1, root], *shortened["subtrees"][1:]]}],
        [shortened, {**shortened, "session": "0" * 32}],
        [{**shortened, "subtrees": [["x", height, root]]}],
    ):
        report.forge({**honest, "shortened": forged})
        assert opened.open(report.save()).result == "disagrees", forged
    report.forge(honest)
    assert opened.open(report.save()).result == "agrees"
    # An entry of the launch less, and its place covered in both trees: its own numbers have a gap.
    frames = report.frames()
    report.forge(frames=[*frames[:3], *frames[4:]])
    assert opened.open(report.save()).result == "disagrees"


@pytest.mark.parametrize("decisions", [*range(12, 40), 63, 64, 65, 200])
def test_every_length_of_a_launch_keeps_its_root(decisions: int, small: int) -> None:
    session = "5" * 32
    kinds = ["launch.intent", *["decision"] * decisions, "launch.outcome"]
    bodies = [
        encode({"kind": kind, "session": session, "seq": seq, "time": "", "pad": "x" * (seq * 37 % 300)})
        for seq, kind in enumerate(kinds)
    ]
    found = carry(lambda: enumerate(bodies), lambda _: None, len(bodies), Bounds(1))
    cost = sum(len(body) + ENTRY_COST for body in bodies)
    assert bool(found.shortened) is (cost > small)
    assert found.whole is not bool(found.shortened)
    if not found.shortened:
        return
    (shortened,) = found.shortened
    assert found.subtrees == shortened.subtrees  # the ledger is this launch alone
    assert shortened.left_out == len(bodies) - found.entries
    assert found.entry_bytes + found.entries * ENTRY_COST <= small
    covered = sum(1 << height for _, height, _ in shortened.subtrees)
    assert covered == shortened.left_out
    for first, height, root in shortened.subtrees:
        leaves = [tree.hash_leaf(body) for body in bodies[first : first + (1 << height)]]
        assert tree.perfect_root(leaves) == root


def test_a_ledger_that_does_not_hold_is_bounded_too(small: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its launches can begin twice, and go on before they begin."""
    monkeypatch.setattr(choice, "MAX_ENTRY_BYTES", 3 * small)
    sessions = [f"{number:032x}" for number in range(6)]
    bodies = [
        encode({"kind": "decision", "session": each, "time": ""}) for each in sessions for _ in range(90)
    ]
    begun = [encode({"kind": "launch.intent", "session": each, "time": ""}) for each in sessions]
    bodies = [*bodies, *begun, *bodies, *begun[::-1], *bodies, *begun, b"{", b"\xff", *bodies]
    for limit in (1, 2, 6):
        found = carry(lambda: enumerate(bodies), lambda _: None, len(bodies), Bounds(limit))
        assert found.entry_bytes + found.entries * ENTRY_COST <= 3 * small + small
        assert not found.whole


def rotating(book: Book, keys: Sequence[SigningKey]) -> Book:
    """Hand over to one key after the other, in a book that computes the root at each of them just once."""
    for key in keys:
        book.hand_over(key)
    book.launch()
    edge, roots = tree.Edge(), dict[int, bytes]()
    sizes = {*book.kept, len(book.bodies)}
    for size, body in enumerate(book.bodies, 1):
        edge.append(tree.hash_leaf(body))
        if size in sizes:
            roots[size] = edge.root()
    signers = {first: signing for first, signing in book.keys if first}
    last = book.keys[-1][1][-1:]

    def note(size: int, keys: list[SigningKey] | None = None) -> str:
        return checkpoint.Checkpoint(book.origin, size, roots[size]).sign(keys or signers.get(size, last))

    book.note = note  # type: ignore[method-assign]  # the same, and not each time from the beginning
    return book


def many(count: int) -> list[SigningKey]:
    return [SigningKey(number.to_bytes(32, "big")) for number in range(1_000, 1_000 + count)]


def test_more_handovers_than_a_page_carries(
    reporter: Reporter, new_book: Callable[[], Book], opened: Opened
) -> None:
    book = rotating(new_book(), many(choice.MAX_HANDOVERS + 5))
    report = reporter.of(book)
    document = report.document()
    assert (document["handovers_left_out"], document["whole"]) == (5, False)
    assert len(document["handovers"]) == len(document["verdict"]["epochs"]) - 1 == choice.MAX_HANDOVERS
    assert len(report.text) < 24 << 20
    page = opened.open(report).ready().page
    assert (opened.result, opened.errors) == ("unable", [])
    assert opened.status == "not checked: this page carries 10,000 handovers, and not all"
    assert "5 handovers are not carried, nor the keys of these" in opened.steps
    assert "does not hold" not in opened.steps
    assert "5 later ones left out" in page.inner_text("#part")
    assert page.locator(".standing.computed").count() == 0
    assert page.locator("#verdict dt", has_text="key").count() < 30
    # What can be computed is, and a change of it is seen.
    report.forge({**document, "verdict": {**document["verdict"], "root": "0" * 64}})
    assert opened.open(report.save()).result == "disagrees"


def test_as_many_handovers_as_a_page_carries_are_checked(
    reporter: Reporter, new_book: Callable[[], Book], opened: Opened
) -> None:
    report = reporter.of(rotating(new_book(), many(choice.MAX_HANDOVERS)))
    assert report.document()["handovers_left_out"] == 0
    opened.open(report)
    assert (opened.result, opened.errors) == ("agrees", [])
    assert "10,000 handovers" in opened.steps


def test_handovers_are_not_left_out_at_will(
    reporter: Reporter, new_book: Callable[[], Book], opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who cannot sign leaves out the handover that would show it, and says that there was no room for it."""
    book = rotating(new_book(), many(4))
    monkeypatch.setattr(choice, "MAX_HANDOVERS", 3)
    report = reporter.of(book)
    assert report.document()["handovers_left_out"] == 1
    opened.open(report)
    assert opened.result == "disagrees"
    assert "handovers are left out for which there is room" in opened.steps


def test_both_sides_know_the_same_bound(reporter: Reporter, book: Book, opened: Opened) -> None:
    page = opened.open(reporter.of(book)).ready().page
    assert page.evaluate("MAX_HANDOVERS") == choice.MAX_HANDOVERS
    longest = 4 * 1_024 + 400 + ENTRY_COST  # a reason of so many characters, and the rest of the entry
    assert choice.MAX_HANDOVERS * longest < choice.MAX_HANDOVER_BYTES


def test_very_many_keys_are_some_lines_of_text(
    bench: Bench, new_book: Callable[[], Book], tmp_path: Path
) -> None:
    keys = many(60)
    path = bench.write(rotating(new_book(), keys))
    pinned = tmp_path / "pinned.pub"
    pinned.write_bytes(keys[-1].public.pem())
    said = bench.verify(path, "-k", str(pinned), key=None)
    lines = [line for line in said.text.splitlines() if line.startswith("  key: ")]
    assert said.status == 0
    assert len(lines) == 2 * render._SHOWN_KEYS + 1
    assert "  key: 41 more between; --format json lists them" in lines
    assert [bool(re.search(r"\(pinned\)$", line)) for line in lines].count(True) == 1
    assert len(said.document["epochs"]) == 61
