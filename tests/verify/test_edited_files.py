"""The gauntlet, first part: somebody edits the file and has no key. Never 0, and the finding says what.

Each case edits a true ledger in one way. Where the design allows it the case also names the entry.
"""

# ruff: noqa: E501  # a table with one case a line is easier to check than one that is wrapped

from __future__ import annotations

import contextlib
import sqlite3
from typing import TYPE_CHECKING

import pytest

from attest.keys import SigningKey

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

FLIP = "UPDATE entry SET body = replace(body, '\"exit\":0', '\"exit\":1') WHERE idx = 5"

# What is edited: SQL on the fixture's ledger of 14 entries (a launch of 6, one of 4, a refusal of 3),
# and the codes that must be among those found.
EDITS: dict[str, tuple[list[str], set[str]]] = {
    "a value of an entry": ([FLIP], {"tree.root", "launch.statement"}),
    "a value of the last entry": (["UPDATE entry SET body = replace(body, 'a', 'b') WHERE idx = 13"], {"tree.root"}),
    "a value of the genesis": (["UPDATE entry SET body = replace(body, 'test/', 'best/') WHERE idx = 0"], {"head.origin", "tree.root"}),
    "the genesis nonce": (["UPDATE entry SET body = replace(body, '0707', '0708') WHERE idx = 0"], {"origin.genesis", "tree.root"}),
    "an entry dropped from the middle": (["DELETE FROM entry WHERE idx = 4"], {"entry.missing"}),
    "an entry dropped and the rest moved up": (["DELETE FROM entry WHERE idx = 4", "UPDATE entry SET idx = -idx WHERE idx > 4", "UPDATE entry SET idx = -idx - 1 WHERE idx < 0"], {"entry.missing", "launch.sequence"}),
    "the genesis dropped": (["DELETE FROM entry WHERE idx = 0"], {"entry.missing"}),
    "the tail cut": (["DELETE FROM entry WHERE idx > 9"], {"entry.missing"}),
    "every entry dropped": (["DELETE FROM entry"], {"entry.missing"}),
    "two entries of one session reordered": (["UPDATE entry SET idx = 100 WHERE idx = 3", "UPDATE entry SET idx = 3 WHERE idx = 4", "UPDATE entry SET idx = 4 WHERE idx = 100"], {"tree.root", "launch.sequence", "entry.time"}),
    "two sessions swapped": (["UPDATE entry SET idx = idx + 100 WHERE idx BETWEEN 7 AND 9", "UPDATE entry SET idx = idx - 4 WHERE idx BETWEEN 11 AND 13", "UPDATE entry SET idx = idx - 96 WHERE idx > 100"], {"tree.root"}),
    "an entry doubled behind the head": (["INSERT INTO entry SELECT 14, body FROM entry WHERE idx = 13"], {"head.beyond"}),
    "an entry far behind the head": (["INSERT INTO entry SELECT 9007199254740993, body FROM entry WHERE idx = 13"], {"head.beyond"}),
    "an entry at a negative index": (["INSERT INTO entry SELECT -1, body FROM entry WHERE idx = 13"], {"head.beyond"}),
    "an entry doubled over another": (["UPDATE entry SET body = (SELECT body FROM entry WHERE idx = 3) WHERE idx = 4"], {"tree.root", "launch.sequence"}),
    "a session relabelled": ([f"UPDATE entry SET body = replace(body, '{'0192' + '00000001' + '7'}', '{'0192' + '00000009' + '7'}') WHERE idx BETWEEN 1 AND 6"], {"tree.root", "launch.statement"}),
    "an entry of another session": ([f"UPDATE entry SET body = replace(body, '{'0192' + '00000001' + '7'}', '{'0192' + '00000009' + '7'}') WHERE idx = 3"], {"tree.root", "launch.intent"}),
    "a time": (["UPDATE entry SET body = replace(body, '04:00:08', '04:00:10') WHERE idx = 7"], {"tree.root", "entry.time"}),
    "a label": (["UPDATE entry SET body = replace(body, '\"run\":\"7\"', '\"run\":\"8\"') WHERE idx = 1"], {"tree.root", "launch.statement"}),
    "the head dropped": (["DELETE FROM head"], {"head.missing"}),
    "the head emptied": (["UPDATE head SET note = ''"], {"head.form"}),
    "the head's size": (["UPDATE head SET note = replace(note, char(10) || '14' || char(10), char(10) || '13' || char(10))"], {"head.beyond", "head.signature", "tree.root"}),
    "the head's size with a zero before it": (["UPDATE head SET note = replace(note, char(10) || '14' || char(10), char(10) || '014' || char(10))"], {"head.form"}),
    "the head's size in other digits": (["UPDATE head SET note = replace(note, char(10) || '14' || char(10), char(10) || '1٤' || char(10))"], {"head.form"}),
    "the head's size made negative": (["UPDATE head SET note = replace(note, char(10) || '14' || char(10), char(10) || '-4' || char(10))"], {"head.form"}),
    "the head's size beyond all": (["UPDATE head SET note = replace(note, char(10) || '14' || char(10), char(10) || '9007199254740992' || char(10))"], {"head.form"}),
    "an extension line in the head": (["UPDATE head SET note = replace(note, char(10) || char(10), char(10) || 'more' || char(10) || char(10))"], {"head.form"}),
    "a second size line in the head": (["UPDATE head SET note = replace(note, char(10) || '14' || char(10), char(10) || '14' || char(10) || '13' || char(10))"], {"head.form"}),
    "the head's signature doubled": (["UPDATE head SET note = note || substr(note, instr(note, char(8212)))"], {"head.signature"}),
    "the head's signature cut off": (["UPDATE head SET note = substr(note, 1, instr(note, char(8212)) - 1)"], {"head.form"}),
    "a letter of the head's signature": (["UPDATE head SET note = substr(note, 1, length(note) - 10) || CASE substr(note, length(note) - 9, 1) WHEN 'A' THEN 'B' ELSE 'A' END || substr(note, length(note) - 8)"], {"head.signature"}),
    "carriage returns in the head": (["UPDATE head SET note = replace(note, char(10), char(13) || char(10))"], {"head.form"}),
    "a NUL in the head": (["UPDATE head SET note = note || char(0)"], {"head.form"}),
    "the edge emptied": (["UPDATE head SET edge = x''"], {"tree.edge"}),
    "the edge's nodes": (["UPDATE head SET edge = zeroblob(length(edge))"], {"tree.edge"}),
    "one byte more on the edge": (["UPDATE head SET edge = CAST(edge || x'00' AS BLOB)"], {"tree.edge"}),
    "a blob's data": (["UPDATE blob SET data = CAST(replace(CAST(data AS TEXT), 'TERM', 'TERN') AS BLOB)"], {"blob.digest"}),
    "a blob's data made longer": (["UPDATE blob SET data = CAST(data || x'20' AS BLOB)"], {"blob.digest"}),
    "a blob's salt": (["UPDATE blob SET salt = zeroblob(32)"], {"blob.digest"}),
    "a blob's salt moved into its data": (["UPDATE blob SET salt = substr(salt, 1, 31), data = CAST(substr(salt, 32) || data AS BLOB)"], {"blob.digest"}),
    "a blob's name": (["UPDATE blob SET sha256 = zeroblob(32)"], {"blob.surplus", "blob.withheld"}),
    "a blob too many": (["INSERT INTO blob VALUES (zeroblob(32), zeroblob(32), x'5b5d')"], {"blob.surplus"}),
    "a tile that is not full": (["INSERT INTO tile VALUES (0, 0, zeroblob(32), zeroblob(448))"], {"tree.tile_surplus"}),
    "a tile of a level that is not there": (["INSERT INTO tile VALUES (3, 0, zeroblob(32), zeroblob(8192))"], {"tree.tile_surplus"}),
    "a tile of a negative level": (["INSERT INTO tile VALUES (-1, 0, zeroblob(32), zeroblob(8192))"], {"tree.tile_surplus"}),
    "an older head kept as a checkpoint": (["INSERT INTO checkpoint SELECT 14, note FROM head"], {"checkpoint.surplus"}),
    "a checkpoint kept for size 0": (["INSERT INTO checkpoint SELECT 0, note FROM head"], {"checkpoint.size"}),
    "a checkpoint kept for a negative size": (["INSERT INTO checkpoint SELECT -5, note FROM head"], {"checkpoint.size"}),
    "a checkpoint kept beyond the head": (["INSERT INTO checkpoint SELECT 15, note FROM head"], {"checkpoint.size"}),
    "the head kept under another size": (["INSERT INTO checkpoint SELECT 9, note FROM head"], {"checkpoint.size"}),
    "a kept checkpoint that is none": (["INSERT INTO checkpoint VALUES (9, 'nothing')"], {"checkpoint.form"}),
}  # fmt: skip


@pytest.mark.parametrize("name", EDITS)
def test_an_edit_is_found(bench: Bench, book: Book, name: str) -> None:
    statements, codes = EDITS[name]
    said = bench.verify(bench.alter(bench.write(book), *statements))
    assert said.status == 1
    assert codes <= set(said.codes)
    assert bench.verify(bench.write(book)).status == 0  # and it was the edit


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


@pytest.mark.parametrize(
    ("statement", "code"),
    [
        ("DELETE FROM tile WHERE idx = 0", "tree.tile_missing"),
        ("DELETE FROM tile WHERE idx = 1", "tree.tile_missing"),
        ("DELETE FROM tile", "tree.tile_missing"),
        ("UPDATE tile SET idx = 2 WHERE idx = 1", "tree.tile_missing"),
        ("UPDATE tile SET level = 1 WHERE idx = 1", "tree.tile_missing"),
        ("INSERT INTO tile SELECT 0, 2, root, data FROM tile WHERE idx = 0", "tree.tile_surplus"),
        ("INSERT INTO tile SELECT 0, -1, root, data FROM tile WHERE idx = 0", "tree.tile_missing"),
        ("INSERT INTO tile SELECT 1, 0, root, data FROM tile WHERE idx = 0", "tree.tile_surplus"),
        ("UPDATE tile SET root = zeroblob(32) WHERE idx = 1", "tree.tile"),
        ("UPDATE tile SET data = zeroblob(8192) WHERE idx = 0", "tree.leaf"),
        ("UPDATE tile SET data = CAST(data || x'00' AS BLOB) WHERE idx = 0", "tree.tile"),
        ("UPDATE tile SET data = x'' WHERE idx = 0", "tree.tile"),
    ],
)
def test_tiles_are_exactly_those_that_the_entries_give(
    bench: Bench, long_book: Book, statement: str, code: str
) -> None:
    said = bench.verify(bench.alter(bench.write(long_book), statement))
    assert said.status == 1
    assert code in said.codes


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


def test_a_stranger_who_signs_everything_again_is_not_the_pinned_key(
    bench: Bench, book: Book, new_book: Callable[..., Book]
) -> None:
    forged = new_book(SigningKey(b"\x03" * 32))
    forged.launch()
    path = bench.write(forged)
    assert bench.verify(path).codes == ["key.not_pinned"]
    assert bench.verify(path, key=None).codes == ["key.none_pinned"]
    assert bench.verify(path, "--origin", book.origin, key=None).codes == ["origin.not_pinned"]


def test_a_stranger_who_keeps_the_genesis_cannot_sign_for_it(bench: Bench, book: Book) -> None:
    stranger = SigningKey(b"\x03" * 32)
    said = bench.verify(bench.write(book, head=book.note(len(book.bodies), [stranger])))
    assert (said.status, said.codes) == (1, ["head.signature"])


def test_the_head_of_another_ledger_of_the_same_key(
    bench: Bench, book: Book, new_book: Callable[..., Book]
) -> None:
    other = new_book(name="other")
    for _ in range(3):
        other.launch(decisions=1)
    said = bench.verify(bench.write(book, head=other.note(len(book.bodies))))
    assert said.status == 1
    assert {"head.origin", "tree.root"} <= set(said.codes)


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
