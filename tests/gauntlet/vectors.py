"""The vectors under tests/vectors/verify, made from rows of the gauntlet (``make vectors``).

Everything in them is fixed, keys and times included, so what is made again is the same: text byte for byte,
ledgers in all that they say (:func:`tests.gauntlet.mutation.content`). The bytes of a ledger differ with the
version of SQLite, which writes it into the file; a ledger that says the same is left as it is.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tempfile
from typing import TYPE_CHECKING, NamedTuple

from attest import entry
from tests.gauntlet.mutation import anchored, ask, content, handed_over
from tests.gauntlet.proofs import BODY, TRUE
from tests.gauntlet.table import MUTATIONS
from tests.verify.conftest import (
    DECISION,
    HOOK,
    HOOK_RESULT,
    INTENT,
    OUTCOME,
    REFUSED,
    SIGNALLED,
    START,
    Bench,
    Book,
    changed,
    three_launches,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tests.gauntlet.mutation import Asked

PLACE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "vectors", "verify")

README = """\
# Ledgers for verifiers

One directory a case; `_fail` in its name where anything but success is right.

- `README.md` says why the case is there.
- `expected.json` says how `nono-verify` is asked, in that directory (`arguments`), with which code it must
  exit (`exit`: 0 verified, 1 tampered with, 2 not checked, 3 intact but not what was required), and which
  findings there must be (`codes`, see `verify/findings.py`). Where `others` is true there may be more, as
  SQLite words damage differently from version to version.
- The files that the arguments name: a ledger, public keys, remembered checkpoints, proofs.

The private keys are 32 bytes of 1 (`key.pub`), of 2 (`successor.pub`) and of 3 (`stranger.pub`).
`make vectors` writes all of this; the rows that it takes are those of `tests/gauntlet`.
"""

CHOSEN = (
    "a value of an entry",
    "an entry dropped from the middle",
    "an entry dropped and the rest moved up",
    "the tail cut",
    "two entries of one session reordered",
    "a session relabelled",
    "an entry rehashed into the edge",
    "an entry doubled behind the head",
    "the head's size with a zero before it",
    "an extension line in the head",
    "a bit of the head's signature",
    "a bit of the edge",
    "a blob's salt moved into its data",
    "the handover signed by the old key alone",
    "a handover's checkpoint dropped",
    "two outcomes",
    "a lost launch",
    "an attestation of another session",
    "a start behind a required hook that failed",
    "a blob taken away",
    "a kind that is not known",
    "founded with a key of small order",
    "an entry: a duplicate key",
    "an entry: a float",
    "an entry: 2^53",
    "signed again by a stranger",
    "a stranger's ledger that ends in a handover to the pinned key",
    "another ledger's head",
    "another true ledger under a pinned origin",
    "an older copy against a remembered checkpoint",
    "another history against a remembered checkpoint",
    "a ledger with a view",
    "an entry as bytes",
    "a file cut within a page",
    "a planted journal",
    "a -wal with an edited entry",
    "a proof at a false index",
    "a proof with a hash more",
    "a proof under a false size",
)
"""The rows that tell most about a verifier, and whose ledgers are small."""


class Vector(NamedTuple):
    """One directory: its name, why it is there, what is asked, and what must be answered."""

    name: str
    why: str
    make: Callable[[Bench], Asked]
    exit: int
    codes: tuple[str, ...]
    others: bool = False


def every_form() -> Book:
    """Return every form of a session that the grammar has, but for lost ones."""
    book = Book()
    hooks = {"before": HOOK, "after": HOOK}
    session = book.new_session()
    book.add(entry.INTENT, session, changed(INTENT, hooks=hooks))
    book.add(entry.DECISION, session, DECISION)
    book.add(entry.HOOK_RESULT, session, HOOK_RESULT)
    book.add(entry.START, session, START)
    counts = {**OUTCOME["counts"], "decisions": 1}
    book.add(entry.OUTCOME, session, changed(OUTCOME, counts=counts))
    book.add(entry.HOOK_RESULT, session, changed(HOOK_RESULT, hook="after"))
    book.attest(session)
    session = book.new_session()
    book.add(entry.INTENT, session, changed(INTENT, hooks=hooks))
    book.add(entry.OUTCOME, session, REFUSED)
    book.attest(session)
    session = book.new_session()
    book.add(entry.INTENT, session, changed(INTENT, strategy="direct", outputs=[]))
    book.add(entry.START, session, START)
    book.launch(outcome=SIGNALLED)
    return book


def long_session() -> Book:
    """Return a launch of so many decisions that a tile is full."""
    book = Book()
    book.launch(decisions=256)
    return book


def interleaved() -> Book:
    book = Book()
    sessions = [book.new_session() for _ in range(2)]
    for kind, data in ((entry.INTENT, INTENT), (entry.START, START), (entry.OUTCOME, OUTCOME)):
        for session in sessions:
            book.add(kind, session, data)
    for session in reversed(sessions):
        book.attest(session)
    return book


def older() -> Book:
    book = three_launches()
    del book.bodies[7:], book.blobs[:]
    return book


def _written(of: Callable[[], Book]) -> Callable[[Bench], Asked]:
    return lambda bench: ask(bench, bench.write(of()))


def _remembered(bench: Bench) -> Asked:
    with open(bench.path("memory"), "w", encoding="utf-8") as file:
        file.write(three_launches().note(7))
    return ask(bench, bench.write(three_launches()), "--checkpoint", bench.path("memory"))


def _proved(bench: Bench) -> Asked:
    for name, data in (("x.tlog-proof", TRUE.encode()), ("entry.json", BODY)):
        with open(bench.path(name), "wb") as file:
            file.write(data)
    asked = ask(bench, bench.path("x.tlog-proof"), bench.path("entry.json"))
    return type(asked)(("proof", *asked.words))


def handed_to_the_successor(bench: Bench) -> Asked:
    return ask(bench, bench.write(handed_over()), key="successor.pub")


TRUE_ONES = (
    Vector("a first entry alone", "a ledger that was founded, and nothing launched", _written(Book), 0, ()),
    Vector("three launches", "launches, a refusal, and a blob", _written(three_launches), 0, ()),
    Vector("every form of a session", "hooks, refused, direct, a signal", _written(every_form), 0, ()),
    Vector("interleaved sessions", "two launches at once", _written(interleaved), 0, ()),
    Vector("a full tile", "more than 256 entries", _written(long_session), 0, ()),
    Vector("a handover", "under the key that founded it", _written(handed_over), 0, ()),
    Vector("a handover, the new key", "under the key that signed its head", handed_to_the_successor, 0, ()),
    Vector("an anchor", "a checkpoint is kept where it was anchored", _written(anchored), 0, ()),
    Vector("an older copy", "without any memory nothing shows its age", _written(older), 0, ()),
    Vector("a remembered checkpoint", "the ledger continues what was remembered", _remembered, 0, ()),
    Vector("a proof", "one entry, without its ledger", _proved, 0, ()),
)  # fmt: skip


def vectors() -> list[Vector]:
    """Return all of them."""
    by_name = {mutation.name: mutation for mutation in MUTATIONS}
    chosen = [by_name[name] for name in CHOSEN]
    return [
        *TRUE_ONES,
        *(
            Vector(row.name, row.why, row.make, row.exit, tuple(sorted(row.codes)), row.others)
            for row in chosen
        ),
    ]


def directory_name(vector: Vector) -> str:
    """Return the name of a vector's directory."""
    name = vector.name.replace("'s ", "s ").replace("^", " to ").lower()
    words = re.sub("[^a-z0-9]+", "-", name).strip("-")
    return re.sub("^(an?|the)-", "", words) + ("_fail" if vector.exit else "")


def write(place: str) -> None:
    """Write every vector below ``place``; a ledger that says the same as before is not written again."""
    wanted = {directory_name(vector) for vector in vectors()}
    os.makedirs(place, exist_ok=True)
    for name in os.listdir(place):
        if os.path.isdir(os.path.join(place, name)) and name not in wanted:
            shutil.rmtree(os.path.join(place, name))
    _put(os.path.join(place, "README.md"), README.encode())
    for vector in vectors():
        _write(vector, os.path.join(place, directory_name(vector)))


def _write(vector: Vector, target: str) -> None:
    os.makedirs(target, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        asked = vector.make(Bench(directory))
        assert not asked.environment
        names = {word: _name_of(word, directory) for word in asked.words}
        expected = {
            "arguments": [names[word] for word in asked.words],
            "exit": vector.exit,
            "codes": list(vector.codes),
            "others": vector.others,
        }
        files = {
            word + suffix: name + suffix
            for word, name in names.items()
            for suffix in ("", "-wal", "-journal")
            if word.startswith(directory) and os.path.exists(word + suffix)
        }
        for name in set(os.listdir(target)) - {*files.values(), "README.md", "expected.json"}:
            os.unlink(os.path.join(target, name))
        _put(os.path.join(target, "README.md"), f"{vector.why[:1].upper()}{vector.why[1:]}.\n".encode())
        _put(os.path.join(target, "expected.json"), json.dumps(expected, indent=2).encode() + b"\n")
        for source, name in files.items():
            before = os.path.join(target, name)
            # The two of a ledger and its -wal belong together, so both are looked at and both are written.
            ledger, old = (path.removesuffix("-wal") for path in (source, before))
            is_same = os.path.exists(before) and ledger.endswith(".db") and content(ledger) == content(old)
            if not is_same or content(ledger) is None:
                shutil.copyfile(source, before)


def _name_of(word: str, directory: str) -> str:
    if not word.startswith(directory):
        return word
    return re.sub(r"^(\d+|kept)\.db$", "ledger.db", os.path.basename(word))


def _put(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def main(arguments: Sequence[str]) -> None:
    """Write the vectors to a directory, by default to where they lie."""
    write(arguments[0] if arguments else PLACE)


if __name__ == "__main__":
    main(sys.argv[1:])
