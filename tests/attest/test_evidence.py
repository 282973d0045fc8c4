"""The evidence of one launch: its golden bytes, its one form, and its bounds."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import blob, canonical, entry, evidence, note, schema
from attest.blob import Blob
from attest.entry import Entry
from attest.errors import MalformedError, NonoError
from attest.evidence import Head, KeptCheckpoint, ProvenEntry, Withheld
from attest.keys import PublicKey
from tests.attest.test_closed_schemas import judge
from verify import Pin, verify_evidence

VECTORS = Path(__file__).parents[1] / "vectors" / "attest"
KEY = PublicKey.from_pem((VECTORS / "key" / "rfc8032-test-1" / "public.pem").read_bytes())
SECOND = PublicKey.from_pem((VECTORS / "key" / "rfc8032-test-2" / "public.pem").read_bytes())


def vectors(*, fail: bool) -> list[Path]:
    found = sorted((VECTORS / "evidence").iterdir())
    return [path for path in found if path.name.endswith("_fail") is fail]


def lines(path: Path) -> list[evidence.Line]:
    with open(path / "evidence.jsonl", "rb") as file:
        return list(evidence.read(file))


@pytest.mark.parametrize("vector", vectors(fail=False), ids=lambda path: path.name)
def test_the_golden_bytes_are_read_and_written_again(vector: Path) -> None:
    data = (vector / "evidence.jsonl").read_bytes()
    assert b"".join(map(evidence.encode, lines(vector))) == data
    for document in map(json.loads, data.splitlines()):
        assert judge(schema.EVIDENCE).is_valid(document)
    (fingerprint,) = (vector / "keys.txt").read_text().split()
    assert KEY.fingerprint() == fingerprint
    for key in (KEY, SECOND):
        verdict = verify_evidence(io.BytesIO(data), pins=[Pin(key)])
        assert verdict.exit == int((vector / "verdict.txt").read_text())


@pytest.mark.parametrize("vector", vectors(fail=True), ids=lambda path: path.name)
def test_what_is_not_of_its_form_is_refused(vector: Path) -> None:
    with pytest.raises(NonoError) as caught:
        lines(vector)
    assert caught.value.code == (vector / "expected.txt").read_text().strip()


def test_every_form_of_a_line_has_its_bytes() -> None:
    seen = [type(line) for vector in vectors(fail=False) for line in lines(vector)]
    assert set(seen) == {Head, ProvenEntry, Blob, Withheld}
    kept = [line.kept for line in lines(VECTORS / "evidence" / "handover") if isinstance(line, ProvenEntry)]
    assert sum(each is not None for each in kept) == 1


HASHES = st.lists(st.binary(min_size=32, max_size=32), max_size=54).map(tuple)
BODIES = st.text(st.characters(exclude_categories=["Cs"]), max_size=200).map(str.encode)
INDICES = st.integers(0, 2**53 - 1)
LINES = st.one_of(
    st.builds(Head, BODIES),
    st.builds(ProvenEntry, INDICES, BODIES, HASHES),
    st.builds(ProvenEntry, INDICES, BODIES, HASHES, st.builds(KeptCheckpoint, BODIES, HASHES)),
    st.builds(Blob, st.binary(min_size=32, max_size=32), st.binary(max_size=500)),
    st.builds(Withheld, st.binary(min_size=32, max_size=32)),
)


@given(LINES)
def test_what_is_written_is_read_back(line: evidence.Line) -> None:
    data = evidence.encode(line)
    assert evidence.parse(data) == line
    assert data.count(b"\n") == 1
    assert len(data) <= evidence.MAX_LINE_BYTES


@settings(max_examples=300)
@given(st.sampled_from([line for vector in vectors(fail=False) for line in lines(vector)]), st.data())
def test_two_validators_agree_on_what_was_changed(line: evidence.Line, data: st.DataObject) -> None:
    document: Any = json.loads(evidence.encode(line))
    changed = copy.deepcopy(document)
    name = data.draw(st.sampled_from(sorted(document)))
    value = data.draw(
        st.one_of(
            st.none(),
            st.integers(-2, 2**53),
            st.text(max_size=8),
            st.lists(st.sampled_from(["0" * 64, "0" * 63, "A" * 64, 0]), max_size=2),
            st.sampled_from(
                [{}, {"data": "", "salt": "A" * 43 + "="}, {"data": "A", "salt": ""}, "x" * 65_536]
            ),
        )
    )
    how = data.draw(st.sampled_from(["replace", "delete", "add"]))
    if how == "delete":
        del changed[name]
    else:
        other = data.draw(st.sampled_from(["blob", "checkpoint", "consistency", "withheld", "evidence", "x"]))
        changed[name if how == "replace" else other] = value
    if judge(schema.EVIDENCE).is_valid(changed):
        schema.check_evidence(changed)
        return
    with pytest.raises(MalformedError) as caught:
        schema.check_evidence(changed)
    assert caught.value.code == "evidence.schema"


def test_the_largest_of_each_has_room_in_its_line() -> None:
    hashes = tuple([b"\xff" * 32] * 54)
    quotes = b'"' * entry.MAX_BYTES
    kept = KeptCheckpoint(b"\xe2\x80\x94" * 8_192, hashes)
    largest = evidence.encode(ProvenEntry(2**53 - 1, quotes, hashes, kept))
    assert len(largest) <= evidence.MAX_LINE_BYTES
    assert evidence.parse(largest) == ProvenEntry(2**53 - 1, quotes, hashes, kept)
    whole = Blob(bytes(32), bytes(blob.MAX_BYTES))
    data = evidence.encode(whole)
    assert len(data) <= evidence.MAX_BLOB_LINE_BYTES
    assert evidence.parse(data) == whole


@pytest.mark.parametrize(
    "line",
    [
        ProvenEntry(0, b"x" * (entry.MAX_BYTES + 1), ()),
        ProvenEntry(0, "é".encode() * 40_000, ()),
        ProvenEntry(0, b"\xff", ()),
        ProvenEntry(-1, b"", ()),
        ProvenEntry(2**53, b"", ()),
        ProvenEntry(0, b"", (bytes(31),)),
        ProvenEntry(0, b"", tuple([bytes(32)] * 55)),
        ProvenEntry(0, b"", (), KeptCheckpoint(b"x" * 8_193, ())),
        Head(b"\xff"),
        Blob(bytes(31), b""),
        Blob(bytes(32), bytes(blob.MAX_BYTES + 1)),
        Blob(bytes(32), bytes(blob.MAX_BYTES + 3)),
        Withheld(b""),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_not_written(line: evidence.Line) -> None:
    with pytest.raises(MalformedError):
        evidence.encode(line)


def test_what_is_out_of_bounds_by_its_bytes_alone_is_not_read() -> None:
    """Of so many characters the schema thinks that they fit."""
    for line in (
        ProvenEntry(0, "é".encode() * 40_000, ()),
        Blob(bytes(32), bytes(blob.MAX_BYTES + 1)),
    ):
        document = evidence._document(line)
        schema.check_evidence(document)
        with pytest.raises(MalformedError, match="of more than"):
            evidence.parse(canonical.encode(document) + b"\n")


def test_the_references_of_an_entry_are_those_of_its_schema_in_order() -> None:
    references: list[canonical.Json] = [
        {"blob": {"sha256": f"{number:02x}" * 32, "size": 1}} for number in range(2)
    ]
    data: dict[str, canonical.Json] = {
        "grants": references[0],
        "command": references[1],
        "labels": references[0],
    }
    assert evidence.references(Entry(entry.INTENT, None, 0, "", data)) == [b"\x01" * 32, bytes(32)]
    assert evidence.references(Entry(entry.OUTCOME, None, 0, "", data)) == []
    odd: list[canonical.Json] = [
        {"blob": None},
        {"blob": {}},
        {"blob": {"sha256": "x"}},
        {"blob": {"sha256": 5}},
    ]
    for each in odd:
        assert evidence.references(Entry(entry.INTENT, None, 0, "", {"command": each})) == [b""]


def test_a_head_of_a_ledger_fits() -> None:
    """An origin of the longest name, and two signatures: that is all that stands in a ledger's head."""
    longest = "x" * 100 + "/" + "0" * 32
    text = f"{longest}\n{2**53 - 1}\n{'A' * 43}=\n\n" + f"\u2014 {longest} {'A' * 92}\n" * 2
    note.parse(text.encode())
    assert evidence.parse(evidence.encode(Head(text.encode()))) == Head(text.encode())
