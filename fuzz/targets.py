"""What is fuzzed: each target takes any bytes, and holds whatever they are.

A target hands the bytes to a parser or to the verifier and checks what comes back: only the errors that are
documented, only the exit codes that there are; what is accepted is, written again, the very same bytes; and
nothing is verified but what the key, which is at hand here and at hand of nobody who fuzzes, has signed. It
returns whether the bytes were accepted. Anything else that is raised is a fault.

``make fuzz`` runs them under atheris, guided by coverage (:mod:`fuzz.run`); the tests use Hypothesis.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import io
import json
import os
import sqlite3
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attest import canonical, canonical_in_bulk, checkpoint, entry, note, schema, tlog_proof
from attest.errors import MalformedError, SignatureError
from tests.gauntlet.chance import MEMORY
from tests.gauntlet.mutation import TABLES, anchored, content, handed_over
from tests.gauntlet.proofs import BOOK, TRUE
from tests.verify import evidence_of_a_book
from tests.verify.conftest import KEY, Bench, run, session_id, three_launches
from tests.verify.cosigning import A, B
from tests.verify.exported import export
from verify import NotCheckedError, Pin, policy, policy_words, verify_evidence, verify_proof, witness_policy
from verify.exports import formats
from verify.exports.checking import check_export
from verify.exports.records import Standing, View
from verify.numbers import has_only_integers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from verify.exports.format import LineFormat

VECTORS = Path(__file__).parents[1] / "tests" / "vectors"
POLICIES = Path(__file__).parents[1] / "docs" / "policies"
SEPARATOR = b"\0\0"
"""Between a proof and its entry; neither can hold a NUL."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target.

    Attributes:
        run: takes the bytes; returns whether they were accepted, and raises when something is wrong.
        seeds: what fuzzing begins with.
        max_bytes: longer inputs are not made.
        max_seconds: how long one input may keep the processor busy.
    """

    run: Callable[[bytes], bool]
    seeds: Callable[[], Iterable[bytes]]
    max_bytes: int
    max_seconds: float = 5.0

    def __call__(self, data: bytes) -> bool:
        """Run it, within its time.

        Raises:
            AssertionError: the invariant does not hold, or it took too long.
            Exception: any error that is not documented.
        """
        began = time.process_time()  # a busy machine is not a fault
        accepted = self.run(data)
        assert time.process_time() - began < self.max_seconds, "too slow"
        return accepted


def _files(pattern: str) -> Iterable[bytes]:
    found = sorted(VECTORS.glob(pattern))
    assert found, pattern
    return (path.read_bytes() for path in found)


# --- note ---------------------------------------------------------------------------------------------


def check_note(data: bytes) -> bool:
    """A signed note, and a checkpoint in it."""
    try:
        parsed = note.parse(data)
    except MalformedError:
        return False
    lines = (
        f"\u2014 {line.name} {base64.b64encode(line.key_id + line.signature).decode()}\n"
        for line in parsed.signatures
    )
    assert f"{parsed.text}\n{''.join(lines)}".encode() == data
    try:
        head = checkpoint.parse_text(parsed.text)
    except MalformedError:
        return True
    assert head.text() == parsed.text
    assert 0 <= head.size <= checkpoint.MAX_SIZE
    try:
        signed = checkpoint.open_signed(data, head.origin, [KEY.public])
    except (MalformedError, SignatureError):
        return True
    assert signed == head
    assert head.sign([KEY]).encode() == data
    assert head.text() in _signed_texts(), "signed by nobody"
    return True


@functools.cache
def _signed_texts() -> frozenset[str]:
    return frozenset(note.parse(head).text for head in _heads())


def _heads() -> Iterable[bytes]:
    book = handed_over()
    yield from (book.note(size).encode() for size in (1, 6, len(book.bodies)))
    yield BOOK.note(14).encode()


def note_seeds() -> Iterable[bytes]:
    """Return heads that are signed, and the vectors of notes."""
    yield from _heads()
    yield from _files("attest/**/note.txt")
    yield from _files("attest/cosignature/*/cosigned.txt")


# --- entry ----------------------------------------------------------------------------------------------


def check_entry(data: bytes) -> bool:
    """An entry, by the long way and by the short one that a replay takes."""
    try:
        parsed = entry.parse(data)
        schema.check_entry(parsed.document())
    except MalformedError:
        assert not _is_valid_at_once(data)
        return False
    assert parsed.encode() == data
    assert canonical.encode(parsed.document()) == data
    assert _is_valid_at_once(data)
    return True


def _is_valid_at_once(data: bytes) -> bool:
    if len(data) > entry.MAX_BYTES:
        return False
    try:
        document: Any = canonical_in_bulk.decode(data)
        kind = document["kind"]
        return bool(
            kind in entry.KINDS
            and schema.validator(kind).is_valid(document)
            and has_only_integers(kind)(document)
        )
    except (MalformedError, TypeError, LookupError):
        return False


def entry_seeds() -> Iterable[bytes]:
    """Return entries of every kind, and the vectors of entries."""
    for book in (three_launches(), handed_over(), anchored()):
        yield from book.bodies
    yield from _files("attest/entry/*/entry.json")


# --- proof ------------------------------------------------------------------------------------------------


def check_proof(data: bytes) -> bool:
    """A proof and the entry that it is of, both from somebody else."""
    written, _, body = data.partition(SEPARATOR)
    with contextlib.suppress(MalformedError):
        assert tlog_proof.parse(written).encode() == written
    try:
        verdict = verify_proof(written, body, pins=[Pin(KEY.public)])
    except NotCheckedError:
        return False
    assert verdict.exit in {0, 1, 3}
    if verdict.exit:
        return False
    assert verdict.index is not None
    assert (verdict.index, body) in _proved(), "proved by nobody"
    return True


@functools.cache
def _proved() -> frozenset[tuple[int, bytes]]:
    return frozenset(enumerate(BOOK.bodies))


def proof_seeds() -> Iterable[bytes]:
    """Return proofs with their entries, those of the vectors among them."""
    yield TRUE.encode() + SEPARATOR + BOOK.bodies[TRUE.index]
    for directory in sorted(VECTORS.glob("verify/proof*")):
        proof, body = ((directory / name).read_bytes() for name in ("x.tlog-proof", "entry.json"))
        yield proof + SEPARATOR + body
    for directory in sorted(VECTORS.glob("attest/tlog-proof/*/")):
        yield (directory / "proof.txt").read_bytes() + SEPARATOR + (directory / "entry.bin").read_bytes()


# --- ledger -------------------------------------------------------------------------------------------


def _judge(path: str, bench: Bench) -> tuple[int, set[str]]:
    status, output = run([path, "-k", bench.path("key.pub"), "--format", "json"])
    assert status in {0, 1, 2, 3}
    document = json.loads(output)
    assert document["exit"] == status
    codes = {finding["code"] for finding in document["findings"]}
    assert "input.unexpected" not in codes, output
    assert bool(codes) or not status
    return status, codes


def check_ledger(data: bytes) -> bool:
    """Any file, given to the verifier."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        bench = Bench(directory)
        path = bench.path("x.db")
        with open(path, "wb") as file:
            file.write(data)
        status, _ = _judge(path, bench)
        assert status or content(path) in _true_contents(), "verified, and nobody's"
        assert os.listdir(directory).count("x.db-wal") + os.listdir(directory).count("x.db-shm") == 0
    return not status


@functools.cache
def _true_contents() -> list[object]:
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory)
        made = [bench.write(book) for book in (three_launches(), handed_over(), anchored())]
        return [content(str(path)) for path in (*made, *filter(_is_true, VECTORS.glob("verify/*/ledger.db")))]


def _is_true(ledger: Path) -> bool:
    """Return whether the ledger of a vector is true: what is wrong, if anything, lies outside of it."""
    expected = json.loads((ledger.parent / "expected.json").read_text())
    return set(expected["codes"]) <= {"memory.older", "memory.root", "origin.not_pinned", "input.journal"}


def ledger_seeds() -> Iterable[bytes]:
    """Return the ledgers of the vectors."""
    return _files("verify/*/ledger.db")


# --- rows ---------------------------------------------------------------------------------------------


def check_rows(data: bytes) -> bool:
    """The bytes say which values of a true ledger are changed, and how: SQLite itself is left whole."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        bench = Bench(directory)
        path = bench.write(handed_over() if data[:1] < b"\x80" else three_launches())
        true = content(path)
        try:
            bench.alter(path, *_edits(data[1:]))
        except sqlite3.Error:
            return False
        status, _ = _judge(path, bench)
        assert status or content(path) == true, "verified, and changed"
    return not status


_EDIT_BYTES = 6


def _edits(data: bytes) -> Iterable[tuple[str, tuple[Any, ...]]]:
    """Read edits of six bytes: table, row, column, what to do, where, with what."""
    tables = list(TABLES)
    columns = {
        "entry": "idx body",
        "tile": "level idx root data",
        "head": "note edge",
        "checkpoint": "size note",
    }
    columns["blob"] = "sha256 salt data"
    for start in range(0, min(len(data), 8 * _EDIT_BYTES) - _EDIT_BYTES + 1, _EDIT_BYTES):
        which, row, column, how, at, letter = data[start : start + _EDIT_BYTES]
        table = tables[which % len(tables)]
        names = columns[table].split()
        name = names[column % len(names)]
        numbered = f"SELECT {TABLES[table]} FROM {table} ORDER BY {TABLES[table]} LIMIT 1 OFFSET ?"
        where = f"({TABLES[table]}) = ({numbered})"
        if how % 4 == 0:
            yield f"DELETE FROM {table} WHERE {where}", (row,)
        elif name in {"idx", "level", "size"}:
            yield f"UPDATE {table} SET {name} = {name} + ? WHERE {where}", (letter - 128, row)
        else:
            length = how % 4 - 1
            kind = "TEXT" if name in {"body", "note"} else "BLOB"
            spot = at * (1 + letter % 7) + 1
            value = f"substr({name}, 1, ?) || CAST(? AS {kind}) || substr({name}, ?)"
            new = bytes([letter]) if kind == "BLOB" else chr(letter)
            yield (
                f"UPDATE {table} SET {name} = CAST({value} AS {kind}) WHERE {where}",
                (spot - 1, new, spot + length, row),
            )


def row_seeds() -> Iterable[bytes]:
    """Return edits of each table."""
    for ledger in (0, 255):
        for table in range(len(TABLES)):
            for how in range(4):
                yield bytes((ledger, table, 1, table % 3, how, 40, 65))
    yield b""


# --- evidence of one launch -------------------------------------------------------------------------------


def check_evidence(data: bytes) -> bool:
    """The evidence of one launch, from somebody else."""
    try:
        verdict = verify_evidence(io.BytesIO(data), pins=[Pin(KEY.public)])
    except NotCheckedError:
        return False
    assert verdict.exit in {0, 1, 3}
    if not verdict.exit:
        assert data in _true_evidence(), "evidence that nobody wrote"
    return not verdict.exit


@functools.cache
def _true_evidence() -> frozenset[bytes]:
    return frozenset(
        evidence_of_a_book.data_of(evidence_of_a_book.lines_of(book, session_id(number)))
        for book, numbers in ((three_launches(), (1, 2, 3)), (handed_over(), (1, 2)))
        for number in numbers
    )


def evidence_seeds() -> Iterable[bytes]:
    """Return the evidence of launches, and what is left of one when lines of it are gone."""
    yield from sorted(_true_evidence())
    lines = evidence_of_a_book.lines_of(three_launches(), session_id(1))
    for number in range(len(lines)):
        yield evidence_of_a_book.data_of(lines[:number] + lines[number + 1 :])


# --- exports ----------------------------------------------------------------------------------------------


def check_export_lines(data: bytes) -> bool:
    """Lines of an export, from somebody else."""
    try:
        verdict = check_export(io.BytesIO(data), pins=[Pin(KEY.public)])
    except NotCheckedError as error:
        return _refused(error, "input.not_an_export")
    assert verdict.exit in {0, 1, 2, 3}
    if verdict.exit:
        return False
    assert verdict.form is not None
    form, said = _said(verdict.form, data)
    for each in said:
        if form.claim(each).own is not None:  # else it tells of a finding, which nothing proves
            assert canonical.encode(each) in _true_lines(verdict.form), "a line that nobody wrote"
    return True


def _said(name: str, data: bytes) -> tuple[LineFormat, list[Any]]:
    """Return what the lines of an export say."""
    form = formats.load_lines(name)(View(Standing(None, None, None, "verified")))
    lines = [line for line in data.split(b"\n") if line.strip()]
    if form.begin_reading(data.split(b"\n")[0]):
        lines = lines[1:]
    return form, [form.read(line) for line in lines]


@functools.cache
def _exported(name: str) -> bytes:
    """Return an export with proofs."""
    with tempfile.TemporaryDirectory() as directory:
        bench = Bench(directory)
        return export(bench, three_launches(), name, "--with-proofs")


@functools.cache
def _true_lines(name: str) -> frozenset[bytes]:
    """Return what true lines say; what the verification said may be any of its words."""
    words = (b"verified", b"not-met", b"failed", b"not-checked")
    return frozenset(
        canonical.encode(each)
        for word in words
        for each in _said(name, _exported(name).replace(b"verified", word))[1]
    )


def export_seeds() -> Iterable[bytes]:
    """Return exports, and what is left of one when it was cut."""
    for name in formats.CHECKABLE:
        data = _exported(name)
        yield data[: 1 << 15].rpartition(b"\n")[0]
        yield data.splitlines(keepends=True)[5]
        yield data[: 1 << 12]


# --- policies ---------------------------------------------------------------------------------------------


def _refused(error: NotCheckedError, *codes: str) -> bool:
    assert error.code in codes
    return False


def check_policy(data: bytes) -> bool:
    """A policy, and what it says in words."""
    try:
        found = policy.parse(data, "x")
    except NotCheckedError as error:
        return _refused(error, "policy.form", "policy.empty")
    assert policy_words.sentences(found)
    assert policy.parse(data, "y").sha256 == found.sha256
    return True


def policy_seeds() -> Iterable[bytes]:
    """Return the policies that are documented."""
    yield from (path.read_bytes() for path in sorted(POLICIES.glob("*.toml")))
    yield b"version = 1\n"


def check_witnesses(data: bytes) -> bool:
    """A policy on witnesses."""
    try:
        witness_policy.parse(data, "x")
    except NotCheckedError as error:
        return _refused(error, "witness.form")
    return True


def witness_seeds() -> Iterable[bytes]:
    """Return policies with one witness, with groups, and one that asks for nobody."""
    lines = [f"witness {name} {each.witness.vkey()}\n" for name, each in zip("AB", (A, B), strict=True)]
    yield (lines[0] + "quorum A\n").encode()
    yield ("".join(lines) + "group G 2 A B\ngroup H any G A\nquorum H\n").encode()
    yield b"quorum none\n"
    yield b"quorum A\n"


TARGETS = {
    "note": Target(check_note, note_seeds, 1 << 17),
    "entry": Target(check_entry, entry_seeds, entry.MAX_BYTES + 64),
    "proof": Target(check_proof, proof_seeds, 1 << 17),
    "evidence": Target(check_evidence, evidence_seeds, 1 << 17),
    "export": Target(check_export_lines, export_seeds, 1 << 16),
    "policy": Target(check_policy, policy_seeds, 1 << 14),
    "witnesses": Target(check_witnesses, witness_seeds, 1 << 14),
    "ledger": Target(check_ledger, ledger_seeds, 1 << 17, 20.0),
    "rows": Target(check_rows, row_seeds, 1 + 8 * _EDIT_BYTES, 20.0),
}
"""Every target, by name."""
