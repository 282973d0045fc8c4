"""The evidence of one launch, which somebody gets who has no ledger: changed, mixed, cut, or of another one."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.gauntlet.mutation import Asked, Mutation, handed_over
from tests.verify.conftest import STRANGER, Book, session_id, three_launches
from tests.verify.evidence_of_a_book import data_of, lines_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench

Lines = list[dict[str, Any]]
FIRST, SECOND = session_id(1), session_id(2)


def showing(
    change: Callable[[Lines], Lines | bytes], of: Callable[[], Book] = three_launches, key: str = "key.pub"
) -> Callable[[Bench], Asked]:
    """Return what asks for the evidence of a launch, after something was done to its lines."""

    def make(bench: Bench) -> Asked:
        changed = change(lines_of(of(), FIRST))
        with open(bench.path("launch.evidence"), "wb") as file:
            file.write(changed if isinstance(changed, bytes) else data_of(changed))
        return Asked(("evidence", bench.path("launch.evidence"), "-k", bench.path(key)))

    return make


def edited(old: str, new: str) -> Callable[[Lines], Lines | bytes]:
    """Return what replaces a text of the file."""

    def change(lines: Lines) -> bytes:
        data = data_of(lines)
        assert old.encode() in data
        return data.replace(old.encode(), new.encode())

    return change


def of_a_stranger() -> Book:
    book = Book(key=STRANGER)
    book.launch()
    return book


def of_another_launch(lines: Lines) -> Lines:
    """Put an entry of the second launch, with its true proof, behind those of the first."""
    return lines + [line for line in lines_of(three_launches(), SECOND)[2:] if "entry" in line]


def without(number: int) -> Callable[[Lines], Lines]:
    return lambda lines: lines[:number] + lines[number + 1 :]


MUTATIONS = (
    Mutation("evidence: an edited entry", "what a launch did is told otherwise", 1, frozenset({"proof.root"}), showing(edited("/usr/bin/make", "/usr/bin/fake")), others=True),
    Mutation("evidence: an entry that was left out", "what a launch did is not told", 1, frozenset({"launch.sequence"}), showing(without(4)), others=True),
    Mutation("evidence: the end that was left out", "how it ended is not told", 3, frozenset({"launch.unfinished"}), showing(lambda lines: lines[:-1])),
    Mutation("evidence: an entry of another launch", "two launches are told as one", 1, frozenset({"evidence.surplus"}), showing(of_another_launch), others=True),
    Mutation("evidence: without its genesis", "whose ledger it is cannot be known", 1, frozenset({"evidence.form"}), showing(without(1)), others=True),
    Mutation("evidence: without a handover", "a key that nobody handed over to", 1, frozenset({"head.signature"}), showing(lambda lines: [line for line in lines if "checkpoint" not in line], handed_over), others=True),
    Mutation("evidence: of a stranger", "anyone could have written it", 3, frozenset({"key.not_pinned"}), showing(lambda lines: lines, of_a_stranger)),
    Mutation("evidence: a line twice", "one form, and no other", 1, frozenset({"evidence.form"}), showing(lambda lines: [*lines, lines[-1]]), others=True),
    Mutation("evidence: with white space", "one form, and no other", 1, frozenset({"evidence.form"}), showing(edited('"inclusion":', '"inclusion": ')), others=True),
    Mutation("evidence: an empty file", "what was lost must not pass for shown", 2, frozenset({"input.not_evidence"}), showing(lambda lines: b"")),
    Mutation("evidence: another file", "what was lost must not pass for shown", 2, frozenset({"input.not_evidence"}), showing(lambda lines: b"SQLite format 3\0" + bytes(4096))),
)  # fmt: skip
