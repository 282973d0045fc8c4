"""One row of the gauntlet: what is done to a true ledger, why somebody would, and what must be said of it.

The true ledgers come from the builder of the verifier's tests, and the verdict from its command.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import tempfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.verify.conftest import KEY, SUCCESSOR, Book

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.verify.conftest import Bench


@dataclass(frozen=True, slots=True)
class Asked:
    """What the verifier is asked.

    Attributes:
        words: its arguments, all but the format.
        environment: variables that are set beside that.
    """

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Mutation:
    """One row.

    Attributes:
        name: what it is, unique.
        why: what somebody wants with it, or why it must not pass, in one sentence.
        exit: the exit code.
        codes: the codes of all findings; with ``others`` of those that must be among them
        make: makes the files and says what is asked.
        index: the entry that the first finding names, where the row says which.
        others: what else is found depends on the SQLite at hand, so it is not listed.
        needs: where alone it can be made: ``linux``, ``posix``, or for an ordinary ``user`` there.
    """

    name: str
    why: str
    exit: int
    codes: frozenset[str]
    make: Callable[[Bench], Asked]
    index: int | None = None
    others: bool = False
    needs: str = ""


def ask(bench: Bench, ledger: str, *arguments: str, key: str | None = "key.pub") -> Asked:
    """Ask for a ledger, under one pinned key or none."""
    return Asked((ledger, *(["-k", bench.path(key)] if key else []), *arguments))


def written(
    name: str,
    why: str,
    codes: str,
    make: Callable[[], Book],
    *arguments: str,
    code: int = 1,
    key: str | None = "key.pub",
) -> Mutation:
    """Return the row of a ledger that was written wrong from the beginning; ``codes`` as above."""
    return Mutation(
        name,
        why,
        code,
        frozenset(codes.split()),
        lambda bench: ask(bench, bench.write(make()), *arguments, key=key),
    )


# --- true ledgers, beside tests.verify.conftest.three_launches ----------------------------------------


def two_tiles() -> Book:
    """Return a ledger of 601 entries: two full tiles, and an edge behind them."""
    book = Book()
    for _ in range(150):
        book.launch()
    return book


def handed_over(name: str = "test") -> Book:
    """Return a launch, a handover at entry 5, and a launch under the new key."""
    book = Book(name=name)
    book.launch()
    book.hand_over(SUCCESSOR)
    book.launch()
    return book


def anchored() -> Book:
    """Return a launch, an anchor of size 3 at entry 5, and a launch behind it."""
    book = Book()
    book.launch()
    book.kept.append(3)
    book.add("anchor", None, {"covers": {"size": 3}, "evidence": "AAAA", "type": "rfc3161"})
    book.launch()
    return book


def another_ledger(size: int) -> Book:
    """Return another ledger of the same key, of exactly ``size`` entries."""
    book = Book(KEY, name="other")
    book.launch(decisions=size - 5)
    assert len(book.bodies) == size
    return book


# --- what a file holds ----------------------------------------------------------------------------------

TABLES = {
    "entry": "idx",
    "tile": "level, idx",
    "head": "id",
    "checkpoint": "size",
    "blob": "sha256",
}
"""Each table of a ledger, and the order of its rows."""


def content(path: str) -> list[tuple[object, ...]] | None:
    """Return all that a file says: pragmas, schema and every row, with types; None if it cannot be read.

    Two files of one content are one ledger, whatever stands in the unused parts of their pages.
    """
    with tempfile.TemporaryDirectory() as directory:
        copy = os.path.join(directory, "ledger.db")
        for suffix in ("", "-wal"):
            if os.path.exists(path + suffix):
                shutil.copyfile(path + suffix, copy + suffix)
        return _content(copy)


def _content(path: str) -> list[tuple[object, ...]] | None:
    found: list[tuple[object, ...]] = []
    try:
        with contextlib.closing(sqlite3.connect(path)) as db:
            db.text_factory = bytes
            for pragma in ("application_id", "user_version", "encoding"):
                found += db.execute(f"PRAGMA {pragma}").fetchall()
            found += db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid")
            for table, order in TABLES.items():
                columns = [row[1].decode() for row in db.execute(f"PRAGMA table_info({table})")]
                every = ", ".join(f"typeof({column}), {column}" for column in columns)
                found.append((table,))
                found += db.execute(f"SELECT {every} FROM {table} ORDER BY {order}")
    except sqlite3.Error:
        return None
    return found
