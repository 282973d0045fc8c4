"""Somebody edits the file and has no key: which entry is named. What is found is in ``tests/gauntlet``."""

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

FLIP = "UPDATE entry SET body = replace(body, '\"exit\":0', '\"exit\":1') WHERE idx = 5"


def test_it_goes_on_after_the_first_finding_and_names_the_entry(bench: Bench, book: Book) -> None:
    said = bench.verify(bench.alter(bench.write(book), FLIP, "UPDATE blob SET salt = zeroblob(32)"))
    found = {finding["code"]: finding["index"] for finding in said.document["findings"]}
    assert found["launch.statement"] == 6
    assert found["blob.digest"] == 8
    assert said.text.startswith(
        "FAILED: entry 0 or one up to 7 differs from its signed checkpoint [tree.root]"
    )
    indices = [-1 if finding["index"] is None else finding["index"] for finding in said.document["findings"]]
    assert indices == sorted(indices)


@pytest.fixture
def long_book(new_book: Callable[..., Book]) -> Book:
    """Return a ledger of 2 full tiles and 89 entries behind them."""
    book = new_book()
    for _ in range(150):
        book.launch()
    return book


def test_an_entry_under_a_tile_is_named_exactly(bench: Bench, long_book: Book) -> None:
    path = bench.alter(
        bench.write(long_book),
        "UPDATE entry SET body = replace(body, '\"exit\":0', '\"exit\":1') WHERE idx = 303",
    )
    said = bench.verify(path)
    session = f"0192{76:08x}70008{0:015x}"
    assert said.status == 1
    assert said.text.startswith("FAILED: entry 303 has another hash than its tile holds [tree.leaf]")
    assert f"entry 303 (session {session}) differs from its signed checkpoint [tree.root]" in said.text


def test_a_tile_that_fits_an_edited_entry_hides_nothing(bench: Bench, long_book: Book) -> None:
    path = bench.write(long_book)
    long_book.bodies[303] = long_book.bodies[303].replace(b'"exit":0', b'"exit":1')
    forged = bench.write(long_book)
    db = sqlite3.connect(forged)
    tiles, edge = db.execute("SELECT * FROM tile").fetchall(), db.execute("SELECT edge FROM head").fetchone()
    (body,) = db.execute("SELECT body FROM entry WHERE idx = 303").fetchone()
    db.close()
    said = bench.verify(
        bench.alter(
            path,
            "DELETE FROM tile",
            *[("INSERT INTO tile VALUES (?, ?, ?, ?)", row) for row in tiles],
            ("UPDATE entry SET body = ? WHERE idx = 303", (body,)),
            ("UPDATE head SET edge = ?", edge),
        )
    )
    assert said.status == 1
    assert {"tree.edge", "tree.root", "launch.statement"} <= set(said.codes)


def test_an_older_true_copy_is_honestly_verified_and_says_that_it_may_be_old(
    bench: Bench, book: Book
) -> None:
    path = bench.write(book)
    del book.bodies[7:], book.blobs[:]
    older = bench.verify(bench.write(book))
    assert (older.status, older.document["freshness"]) == (0, "unproven")
    with contextlib.closing(sqlite3.connect(path)) as db:
        (note,) = db.execute("SELECT note FROM head").fetchone()
    assert bench.verify(bench.write(book, head=note)).codes == ["entry.missing"]


def test_findings_are_bounded_and_the_rest_is_counted(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    book.launch(decisions=300)
    said = bench.verify(
        bench.alter(bench.write(book), "UPDATE entry SET body = body || ' ' WHERE idx BETWEEN 1 AND 250")
    )
    assert said.status == 1
    assert len(said.document["findings"]) <= 302
    assert said.document["findings"][-1]["code"] == "findings.more"
    assert len(said.text.splitlines()) < 40
