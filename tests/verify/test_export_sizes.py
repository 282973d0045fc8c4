"""OCSF events of launches whose arguments fill an entry: bounded, valid, and checked like the others."""

from __future__ import annotations

import itertools
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from attest import entry
from tests.verify.conftest import DECISION, INTENT, OUTCOME, START, Book, changed
from tests.verify.exported import check, export, export_of
from tests.verify.test_export_ocsf import events
from verify.exports import long_entries
from verify.exports.plain import MAX_BRIEF, brief

if TYPE_CHECKING:
    from tests.verify.conftest import Bench

HUGE = ("x" * 60_000, "\x7f" * 60_000, "\x80" * 30_000, "\U0001f600" * 15_000, '"' * 30_000)
EVENT = 8 << 10
"""What an event has at most beside entries, in bytes: some texts, each as long as it may be."""
PROOFS = 4 << 10
"""Three proofs in such a ledger, and the checkpoint."""


def large(text: str, decisions: int = 300) -> Book:
    """Return a ledger of a launch that says this text wherever it can, and of many refusals."""
    book = Book()
    session = book.new_session()
    started = changed(START, directory=text)
    for kind, data in (
        (entry.INTENT, changed(INTENT, command=[text])),
        (entry.START, started),
        *((entry.DECISION, DECISION) for _ in range(decisions)),
        (entry.OUTCOME, changed(OUTCOME, counts={**OUTCOME["counts"], "decisions": decisions})),
    ):
        book.add(kind, session, data)
    book.attest(session)
    return book


@pytest.mark.parametrize("text", HUGE, ids=lambda text: ascii(text[0]))
@pytest.mark.parametrize("proven", [False, True])
def test_a_large_launch_makes_no_large_events_of_its_refusals(bench: Bench, text: str, proven: bool) -> None:
    book = large(text)
    data = export(bench, book, "ocsf", *(["--with-proofs"] if proven else []))
    lines = data.splitlines()
    events(data)
    for line, body in zip(lines, book.bodies, strict=True):
        said = json.loads(line)["unmapped"]["nono"].get("launch", [])
        assert not any("entry" in each for each in said)  # their own lines are there
        assert len(line) <= 6 * len(body) + EVENT + PROOFS * proven
    if proven:
        status, document = check(bench, data)
        assert (status, document["lines"]["held"]) == (0, len(book.bodies)), document["findings"][:1]


@pytest.mark.parametrize("text", ["x" * 10_000, "\x7f" * 1_700, "\U0001f600" * 800, '"' * 5_000])
def test_what_stands_on_each_line_has_a_bound(bench: Bench, text: str) -> None:
    """As much as just is not long: each line is checked by itself, and no line is longer than that."""
    book = large(text, 30)
    lines = export(bench, book, "ocsf", "--with-proofs").splitlines()
    for line, body in zip(lines, book.bodies, strict=True):
        launch = json.loads(line)["unmapped"]["nono"].get("launch", [])
        assert all("entry" in each for each in launch)
        assert len(line) <= 6 * len(body) + len(launch) * long_entries.LONG + EVENT + PROOFS
    for line in lines[3:6]:
        assert check(bench, line)[0] == 0


def test_a_large_command_is_not_quoted_anew_for_each_event(bench: Bench) -> None:
    """To quote 16,000 arguments takes milliseconds: a small ledger of many refusals would take minutes."""
    book = Book()
    session = book.new_session()
    book.add(entry.INTENT, session, changed(INTENT, command=["'"] * 16_000))
    book.add(entry.START, session, START)
    for _ in range(1_000):
        book.add(entry.DECISION, session, DECISION)
    book.add(entry.OUTCOME, session, changed(OUTCOME, counts={**OUTCOME["counts"], "decisions": 1_000}))
    book.attest(session)
    path = bench.write(book)
    began = time.process_time()
    data = export_of(bench, path, "ocsf")
    assert time.process_time() - began < 4  # it is 9 when each is quoted anew
    said = json.loads(data.splitlines()[-2])["process"]["cmd_line"]
    assert said.endswith("... [127999 characters]")


def test_a_line_that_names_an_entry_wants_the_line_that_carries_it(bench: Bench) -> None:
    lines = export(bench, large("x" * 60_000, 3), "ocsf", "--with-proofs").splitlines(keepends=True)
    for chosen in (lines[5:6], lines[4:], [lines[4], lines[3]]):
        status, said = check(bench, b"".join(chosen))
        assert status == 2
        assert said["findings"][0]["code"] == "export.unproven"
        assert "names a long entry of its launch" in said["findings"][0]["message"]
    for chosen in (lines[1:], [lines[1], lines[2], lines[5]], lines[1:] + lines[1:]):
        assert check(bench, b"".join(chosen))[0] == 0


def test_whichever_lines_are_chosen_the_first_of_them_carries_it(bench: Bench) -> None:
    book = large("x" * 60_000, 5)
    for kinds in (["decision"], ["launch.outcome"], ["decision", "launch.attestation"]):
        chosen = itertools.chain.from_iterable(("--kind", kind) for kind in kinds)
        data = export(bench, book, "ocsf", "--with-proofs", *chosen)
        first, *others = (json.loads(line)["unmapped"]["nono"]["launch"] for line in data.splitlines())
        assert ["entry" in each for each in first] == [True, True]
        assert not any("entry" in each for launch in others for each in launch)
        assert check(bench, data)[0] == 0
        assert check(bench, data.splitlines()[0])[0] == 0


@pytest.mark.parametrize("change", ["leaf", "index", "short", "more", "swapped", "less"])
def test_a_name_that_is_another_entrys_is_found(bench: Bench, change: str) -> None:
    book = large("x" * 60_000, 3)
    book.launch(decisions=1)
    data = export(bench, book, "ocsf", "--with-proofs")
    lines = [json.loads(line) for line in data.splitlines()]
    launch: list[Any] = lines[4]["unmapped"]["nono"]["launch"]
    assert [each.keys() for each in launch] == [{"index", "leaf_sha256"}] * 2
    if change == "leaf":
        launch[0]["leaf_sha256"] = launch[1]["leaf_sha256"]
    elif change == "index":
        launch[0]["index"] = 0
    elif change == "short":  # such a one is named by no line
        launch[:] = [{"index": 1, "leaf_sha256": lines[9]["metadata"]["uid"]}]
    elif change == "more":
        launch[0]["approved"] = True
    elif change == "swapped":
        launch.reverse()
    else:
        launch[:] = launch[:1]
    status, said = check(bench, b"\n".join(json.dumps(line).encode() for line in lines))
    assert status in {1, 2}
    assert [each["message"].split(":")[0].split(" ")[1] for each in said["findings"]] == ["5"]


def test_more_of_them_than_are_remembered_are_carried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Launches that run at once, in turns: what writes and what reads forget the same ones."""
    monkeypatch.setattr(long_entries, "MAX_REMEMBERED", 5)
    book = Book()
    sessions = [book.new_session() for _ in range(4)]
    for session in sessions:
        book.add(entry.INTENT, session, changed(INTENT, command=["x" * 13_000]))
        book.add(entry.START, session, changed(START, directory="/" + "x" * 13_000))
    for turn in (0, 1, 2, 3, 3, 2, 2, 0, 1, 0, 3, 1, 1, 2, 0):
        book.add(entry.DECISION, sessions[turn], DECISION)
    data = export(bench, book, "ocsf", "--with-proofs", status=3)
    launches = [json.loads(line)["unmapped"]["nono"].get("launch", []) for line in data.splitlines()]
    again = [len([each for each in launch if "entry" in each]) for launch in launches[9 : len(book.bodies)]]
    assert 0 in again
    assert any(again)
    status, said = check(bench, data)
    assert (status, said["lines"]["held"]) == (0, len(book.bodies)), said["findings"][:1]


@pytest.mark.parametrize(
    "text", [*HUGE, "\x00" * 90, "a" * 1_025, "\n" * 1_025, "a" * 1_000 + "\U0001f600" * 90]
)
def test_a_brief_text_says_how_long_it_was(text: str) -> None:
    said = brief(text)
    assert len(json.dumps(said)) <= MAX_BRIEF + 2
    if len(json.dumps(text)) > MAX_BRIEF + 2:
        assert said.endswith(f"... [{len(text)} characters]")
        assert text.startswith(said.partition("...")[0])
    else:
        assert said == text


@pytest.mark.parametrize("text", ["", "a", "a" * 1_024, "\U0001f600" * 85, '"' * 512, "\x01" * 170])
def test_a_text_that_is_brief_is_left_as_it_is(text: str) -> None:
    assert brief(text) == text
