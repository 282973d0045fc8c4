"""Lines of exports (``nono-verify export-check``): what was changed on them, and where they do not belong."""

# ruff: noqa: E501  # a table with one row a line is easier to check than one that is wrapped

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.gauntlet.mutation import Asked, Mutation, another_ledger
from tests.verify.conftest import INTENT, Bench, changed, three_launches
from tests.verify.exported import export

if TYPE_CHECKING:
    from collections.abc import Callable


class Row(NamedTuple):
    name: str
    why: str
    exit: int
    codes: str
    form: str
    change: Callable[[bytes], bytes]
    key: str | None = "key.pub"
    proven: bool = True


def put(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    def change(data: bytes) -> bytes:
        assert old in data
        return data.replace(old, new, 1)

    return change


def same(data: bytes) -> bytes:
    return data


def without_its_launch(data: bytes) -> bytes:
    return _of_refusal(data, lambda _: [])


def named_alone(data: bytes) -> bytes:
    return _of_refusal(
        data, lambda launch: [{"index": each["index"], "leaf_sha256": "0" * 64} for each in launch]
    )


def _of_refusal(data: bytes, change: Callable[[list[Any]], list[Any]]) -> bytes:
    """Return the line of the first refusal, with something else for what it carries of its launch."""
    event = next(
        found for found in map(json.loads, data.splitlines()) if found["metadata"]["event_code"] == "decision"
    )
    event["unmapped"]["nono"]["launch"] = change(event["unmapped"]["nono"]["launch"])
    return json.dumps(event).encode()


ROWS = [
    Row("json-lines: an entry changed", "a refusal is told as a grant", 1, "proof.root", "json-lines", put(b'"verdict":"denied"', b'"verdict":"granted"')),
    Row("json-lines: a false index", "an entry is moved within the ledger", 1, "proof.root", "json-lines", put(b'"index":3,', b'"index":4,')),
    Row("json-lines: a false leaf hash", "the record is said to stand elsewhere", 1, "export.changed", "json-lines", put(b'"leaf_sha256":"', b'"leaf_sha256":"00')),
    Row("json-lines: a false size", "the ledger is said to be longer", 1, "export.changed", "json-lines", put(b'"size":', b'"size":1')),
    Row("json-lines: a member more", "what nobody recorded", 1, "export.changed", "json-lines", put(b'{"export"', b'{"approved":true,"export"')),
    Row("json-lines: a name twice", "readers take one or the other", 1, "export.form", "json-lines", put(b'"entry":{', b'"entry":{},"entry":{')),
    Row("json-lines: a line cut off", "a half of a record", 1, "export.form", "json-lines", lambda data: data[:-40]),
    Row("json-lines: without proofs", "nothing shows where it is from", 2, "export.unproven", "json-lines", same, "key.pub", False),
    Row("json-lines: another key is pinned", "what is trusted is another key", 3, "key.not_pinned", "json-lines", same, "stranger.pub"),
    Row("json-lines: nothing pinned", "anyone could have made it", 3, "key.none_pinned", "json-lines", same, None),
    Row("csv: a cell changed", "the view is told otherwise than the entry", 1, "export.changed", "csv", put(b'"make release"', b'"make test"')),
    Row("csv: a time changed", "the view is told otherwise than the entry", 1, "export.changed", "csv", put(b'"2026-', b'"2025-')),
    Row("csv: a column renamed", "a command is shown as a reason", 1, "export.form", "csv", put(b'"command"', b'"approved"')),
    Row("csv: a column twice", "readers take one or the other", 1, "export.form", "csv", put(b'"command"', b'"decision"')),
    Row("csv: a label more in its cell", "what nobody asked for is told", 1, "export.changed", "csv", put(b'{""run"":""7""}', b'{""approved"":""yes"",""run"":""7""}')),
    Row("ocsf: a signature more", "who did not sign is listed among those who did", 1, "export.changed", "ocsf", put(b'"signatures":[', b'"signatures":[{"algorithm":"Ed25519","algorithm_id":99,"value":"AAAA"},')),
    Row("ocsf: the launch left out", "a refusal without who was refused", 1, "export.changed", "ocsf", without_its_launch),
    Row("ocsf: the launch named alone", "an entry that no line before it carries", 2, "export.unproven", "ocsf", named_alone),
    Row("cef: a value changed", "the view is told otherwise than the entry", 1, "export.changed", "cef", put(b"act=denied", b"act=granted")),
    Row("cef: a severity changed", "a refusal is told as nothing much", 1, "export.changed", "cef", put(b"decided|5|", b"decided|0|")),
    Row("cef: a key more", "what nobody recorded", 1, "export.changed", "cef", put(b" cs4=", b" nonoApproved=yes cs4=")),
    Row("cef: a key twice", "readers take one or the other", 1, "export.form", "cef", put(b" cs4=", b" cs4=verified cs4=")),
    Row("cef: a line cut in two", "what was a value is a line of its own to other readers", 1, "export.form", "cef", put(b" cs4=", b"\r cs4=")),
    Row("csv: a mark of byte order within", "a spreadsheet sees no quotes around the first cell", 1, "export.form", "csv", put(b'\r\n"1"', b'\r\n\xef\xbb\xbf"1"')),
    Row("an export that is none", "words", 2, "input.not_an_export", "cef", lambda _: b"nothing\n"),
    Row("an export that is empty", "nothing at all", 2, "input.not_an_export", "csv", lambda _: b""),
]  # fmt: skip


def made(row: Row) -> Callable[[Bench], Asked]:
    def make(bench: Bench) -> Asked:
        data = export(bench, three_launches(), row.form, *(["--with-proofs"] if row.proven else []))
        with open(bench.path("x.export"), "wb") as file:
            file.write(row.change(data))
        pinned = ["-k", bench.path(row.key)] if row.key else []
        return Asked(("export-check", bench.path("x.export"), *pinned))

    return make


def of_two_ledgers(bench: Bench) -> Asked:
    """Put the checkpoint of another ledger of the same key into a line."""
    ours, theirs = (
        export(bench, book, "json-lines", "--with-proofs") for book in (three_launches(), another_ledger(14))
    )
    note = [data.split(b'"checkpoint":"')[1].split(b'"')[0] for data in (ours, theirs)]
    with open(bench.path("x.export"), "wb") as file:
        file.write(ours.replace(note[0], note[1], 1))
    return Asked(("export-check", bench.path("x.export"), "-k", bench.path("key.pub")))


def of_two_histories(bench: Bench) -> Asked:
    """Put the lines of a history behind those of a shorter one that went another way."""
    one, other = three_launches(), three_launches()
    one.launch()
    for _ in range(2):
        other.launch(intent=changed(INTENT, command=["make", "other"]))
    with open(bench.path("x.export"), "wb") as file:
        for book in (one, other):
            file.write(export(bench, book, "json-lines", "--with-proofs"))
    return Asked(("export-check", bench.path("x.export"), "-k", bench.path("key.pub")))


def missing(bench: Bench) -> Asked:
    return Asked(("export-check", bench.path("missing")))


MUTATIONS = [
    *(Mutation(row.name, row.why, row.exit, frozenset(row.codes.split()), made(row)) for row in ROWS),
    Mutation("json-lines: another ledger's checkpoint", "the same key, another ledger", 1, frozenset({"proof.root"}), of_two_ledgers),
    Mutation("json-lines: two histories of two sizes", "the same key signed both", 1, frozenset({"checkpoint.root"}), of_two_histories),
    Mutation("an export that is not there", "nothing was exported", 2, frozenset({"input.unreadable"}), missing),
]  # fmt: skip
"""The rows of this part."""
