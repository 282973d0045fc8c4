"""Whatever an honest ledger has and whatever is asked of it, its page agrees with its verdict."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from attest import entry
from tests.verify.cosigning import ASKED, MONDAY, TUESDAY, A, B, Scene
from tests.verify.timestamp_authority import TimestampAuthority, sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.verify.conftest import Bench, Book
    from tests.verify.report.conftest import Opened, Reporter


def assert_agrees(
    opened: Opened, reporter: Reporter, book: Book, status: int, *arguments: str, **key: Any
) -> str:
    """Make the page of all and that of a part, which agree; return what the first says of its verdict."""
    said = ""
    for part in ((), ("--limit", "1")):
        report = reporter.of(book, *arguments, *part, **key)
        assert report.document()["verdict"]["exit"] == status, report.document()["verdict"]
        opened.open(report)
        assert (opened.result, opened.errors) == ("agrees", []), opened.steps
        said = said or opened.page.inner_text("#verdict")
    return said


@pytest.mark.parametrize("beside", [False, True])
def test_witnesses_in_anchors(
    reporter: Reporter, bench: Bench, book: Book, opened: Opened, beside: bool
) -> None:
    scene = Scene(bench, book)
    scene.anchor(5, (A, MONDAY), (B, MONDAY), beside=beside)
    scene.anchor(7, (A, TUESDAY))
    asked = ("--witness-policy", str(scene.policy), "--now", ASKED)
    assert "by A" in assert_agrees(opened, reporter, book, 0, *asked)
    assert_agrees(opened, reporter, book, 0)
    scene.define("group G all A B", "quorum G")
    assert_agrees(opened, reporter, book, 0, *asked)


def test_witnesses_outside(reporter: Reporter, bench: Bench, book: Book, opened: Opened) -> None:
    scene = Scene(bench, book)
    notes = scene.note(len(book.bodies), (A, TUESDAY))
    book.launch()
    asked = ("--witness-policy", str(scene.policy), "--now", ASKED)
    assert "a quorum of witnesses saw it" in assert_agrees(opened, reporter, book, 0, *asked, *notes)
    assert_agrees(opened, reporter, book, 3, *asked)


def test_timestamps(reporter: Reporter, new_book: Callable[[], Book], opened: Opened, tmp_path: Path) -> None:
    authority = TimestampAuthority(tmp_path / "tsa")
    book = new_book()
    book.launch()
    book.launch()
    book.kept += [5]
    response = authority.stamp(sha256(book.note(5).encode()))
    evidence = base64.b64encode(response).decode()
    book.add(entry.ANCHOR, None, {"covers": {"size": 5}, "evidence": evidence, "type": "rfc3161"})
    assert "timestamped" in assert_agrees(opened, reporter, book, 0, "--tsa-roots", authority.roots)
    assert_agrees(opened, reporter, book, 0)


def test_pins_of_every_kind(
    reporter: Reporter, bench: Bench, new_book: Callable[[], Book], shapes: Any, opened: Opened
) -> None:
    book = new_book()
    book.launch()
    book.hand_over(shapes.SUCCESSOR)
    assert_agrees(opened, reporter, book, 0)  # a handover is the last entry: both signed the head
    assert_agrees(opened, reporter, book, 0, key="successor.pub")
    book.launch()
    assert "pinned by" in assert_agrees(opened, reporter, book, 0, key="successor.pub")
    assert "origin pinned" in assert_agrees(opened, reporter, book, 0, "--origin", book.origin, key=None)
    assert "Pin: -k FILE" in assert_agrees(opened, reporter, book, 3, key=None)
    assert "key.not_pinned" in assert_agrees(opened, reporter, book, 3, key="stranger.pub")
    assert_agrees(opened, reporter, book, 0, "-k", bench.path("stranger.pub"))
    assert_agrees(opened, reporter, book, 3, "--origin", f"test/{'0' * 32}")


def test_launches_of_every_end(
    reporter: Reporter, bench: Bench, new_book: Callable[[], Book], shapes: Any, opened: Opened
) -> None:
    book = new_book()
    whole = book.launch(decisions=2)
    lost = book.new_session()
    book.add(entry.INTENT, lost, shapes.INTENT)
    book.add(entry.LOST, lost, {"found": "another-boot"})
    direct = book.new_session()
    book.add(entry.INTENT, direct, shapes.changed(shapes.INTENT, strategy="direct", outputs=[]))
    book.add(entry.START, direct, shapes.START)
    refused = book.new_session()
    book.add(entry.INTENT, refused, shapes.INTENT)
    book.add(entry.OUTCOME, refused, shapes.REFUSED)
    book.attest(refused)
    assert_agrees(opened, reporter, book, 3)
    with open(bench.path("accepts.toml"), "w", encoding="utf-8") as file:
        file.write(f"version = 1\n[accept]\nlost = ['{lost}']\n[every]\nbypass = false\n")
    assert "(met)" in assert_agrees(opened, reporter, book, 0, "--policy", bench.path("accepts.toml"))
    assert_agrees(opened, reporter, book, 3, "--require-label", "run=8")
    for session in (whole, lost, direct, refused):
        report = reporter.of(book, "--session", session)
        assert opened.open(report).result == "agrees", opened.steps
        assert f"session {session} alone" in opened.page.inner_text("#verdict")
    open_one = book.new_session()
    book.add(entry.INTENT, open_one, shapes.INTENT)
    report = reporter.of(book, "--session", open_one)
    page = opened.open(report, f"#{open_one}").ready().page
    page.wait_for_selector("#proof svg")
    assert "running or unfinished, as far as this page carries it" in page.inner_text("#detail")
