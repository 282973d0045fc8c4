"""Lines of several checkpoints: whether they are of one history, and what is said where nothing shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from attest import entry
from tests.verify.conftest import INTENT, changed, run, three_launches
from tests.verify.exported import check, export
from verify.exports import formats, histories

if TYPE_CHECKING:
    from tests.verify.conftest import Bench, Book


def fork(words: str, more: int) -> Book:
    """Return a ledger that begins as others do, and goes on in its own way."""
    book = three_launches()
    for _ in range(more):
        book.add(entry.INTENT, book.new_session(), changed(INTENT, command=[words]))
    return book


def lines(bench: Bench, book: Book, form: str = "json-lines", *arguments: str) -> list[bytes]:
    whole = export(bench, book, form, "--with-proofs", *arguments, status=3).splitlines(keepends=True)
    return whole[1:] if form == "csv" else whole


def caveats(said: dict[str, Any]) -> list[str]:
    return [each["message"] for each in said["not_excluded"] if each["code"] == "export.histories"]


@pytest.mark.parametrize("form", formats.CHECKABLE)
def test_two_whole_exports_of_one_history_are_shown_to_be_one(bench: Bench, form: str) -> None:
    first, second = (lines(bench, fork("make", more), form) for more in (1, 4))
    status, said = check(bench, b"".join(first + second), "--from", form)
    assert (status, caveats(said)) == (0, [])
    status, said = check(bench, b"".join(first), "--from", form)
    assert (status, caveats(said)) == (0, [])


@pytest.mark.parametrize("form", formats.CHECKABLE)
def test_two_histories_of_different_sizes_are_found_where_a_line_shows_it(bench: Bench, form: str) -> None:
    first, second = lines(bench, fork("make", 1), form), lines(bench, fork("other", 4), form)
    for each in (first, second):
        assert check(bench, b"".join(each), "--from", form)[0] == 0
    status, said = check(bench, b"".join(first + second), "--from", form)
    assert status == 1
    assert "checkpoint.root" in {finding["code"] for finding in said["findings"]}
    assert any("its first" in finding["message"] for finding in said["findings"])


def test_where_no_line_shows_it_the_verdict_says_so(bench: Bench) -> None:
    first, second = lines(bench, fork("make", 1)), lines(bench, fork("other", 4))
    sizes = [len(fork("make", 1).bodies), len(fork("make", 4).bodies)]
    for chosen in (first[:3] + second[:3], second + first):
        status, said = check(bench, b"".join(chosen))
        (words,) = caveats(said)
        assert status == 0
        assert (
            f"checkpoints of 2 sizes, and no line shows that a larger one continues that of {sizes[0]}"
            in words
        )
        text = run(["export-check", bench.path("checked.export"), "-k", bench.path("key.pub")])[1]
        assert f"    - {words}\n" in text


def test_a_chain_of_exports_is_one_where_each_shows_the_one_before(bench: Bench) -> None:
    exports = [lines(bench, fork("make", more)) for more in range(1, 6)]
    said = check(bench, b"".join(line for each in exports for line in each))[1]
    assert caveats(said) == []
    short = [line for each in exports[:-1] for line in each] + exports[-1][:2]
    status, said = check(bench, b"".join(short))
    (words,) = caveats(said)
    assert status == 0
    assert "checkpoints of 5 sizes" in words
    assert f"continues that of {len(fork('make', 4).bodies)} entries" in words


def test_a_third_history_is_compared_with_each_size_that_there_was(bench: Bench) -> None:
    """Not with the newest alone."""
    one, other, newest = (
        lines(bench, fork("make", 1)),
        lines(bench, fork("other", 1)),
        lines(bench, fork("make", 3)),
    )
    status, said = check(bench, b"".join(one[:3] + newest[:3] + other[:3]))
    assert status == 1
    assert {finding["code"] for finding in said["findings"]} == {"checkpoint.root"}


def test_what_is_remembered_has_a_bound_and_that_is_said(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(histories, "MAX_SIZES", 3)
    exports = [lines(bench, fork("make", more))[:2] for more in range(1, 6)]
    status, said = check(bench, b"".join(line for each in exports for line in each))
    (words,) = caveats(said)
    assert (status, "more than 3 sizes, which were not all compared" in words) == (0, True)
