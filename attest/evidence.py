"""One launch in one file: a launch's entries, and all that it takes to check them without their ledger.

A file is lines (``.jsonl``), each the canonical JSON of one object and a newline, in this order::

    {"evidence":"urn:nono-attest:evidence:v1","head":NOTE}      once: the ledger's head, a signed checkpoint
    {"entry":TEXT,"inclusion":[…],"index":N}                    the genesis entry, and the launch's own
    {"checkpoint":NOTE,"consistency":[…],"entry":TEXT,…}        a handover, with the checkpoint kept behind it
    {"blob":{"data":BASE64,"salt":BASE64}}                      what lies beside the entry above
    {"withheld":SHA-256}                                        the same, where it was taken away

Entries stand in the order of the ledger, from the genesis entry on; every handover that the ledger had is
among them. ``TEXT`` is an entry's exact bytes. Directly below an entry there is one line for each of its
fields that stands for a blob, in the order of :data:`attest.entry.BLOB_FIELDS`. Proofs are hex, the hash
nearest to the leaves first: that the entry is under the head (RFC 9162, section 2.1.3), and that the head
continues the kept checkpoint (2.1.4). A line's form is a closed schema (``attest/schemas/evidence.json``).

Lines rather than one document, so that reading takes the memory of one line, however many there are.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from attest import blob, canonical, schema
from attest import entry as entries
from attest.blob import Blob
from attest.errors import MalformedError
from attest.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from attest.canonical import Json
    from attest.entry import Entry

FORMAT = "urn:nono-attest:evidence:v1"

MAX_BYTES = 1 << 30
"""The most that one file may have. A launch with more is shown with its ledger."""
MAX_LINE_BYTES = 1 << 18
"""The most that a line may have that is no blob's: the largest entry, escaped, and its proofs."""
MAX_BLOB_LINE_BYTES = 4 * (-(-blob.MAX_BYTES // 3)) + 256

_FIRST_BYTES = f'{{"evidence":"{FORMAT}",'.encode()
_ANY_VERSION = b'{"evidence":"urn:nono-attest:evidence:v'
# A blob's line has two objects and two commas; more would be taken apart into far more than it is long.
_MOST_BRACKETS_AND_COMMAS = 8


class Head(NamedTuple):
    """The first line.

    Attributes:
        note: the signed checkpoint, verbatim.
    """

    note: bytes


class KeptCheckpoint(NamedTuple):
    """What stands beside a handover.

    Attributes:
        note: the checkpoint that the ledger keeps directly behind it, a signed note, verbatim.
        consistency: the proof that the head continues it, 32 bytes each.
    """

    note: bytes
    consistency: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class ProvenEntry:
    """An entry.

    Attributes:
        index: where it stands in the ledger.
        body: its exact bytes.
        inclusion: the proof that it is under the head, 32 bytes each.
        kept: for a handover, the checkpoint behind it.
    """

    index: int
    body: bytes
    inclusion: tuple[bytes, ...]
    kept: KeptCheckpoint | None = None


class Withheld(NamedTuple):
    """What is said in the place of a blob that was taken away.

    Attributes:
        digest: the one that its entry names, 32 bytes.
    """

    digest: bytes


Line: TypeAlias = Head | ProvenEntry | Blob | Withheld


def references(entry: Entry) -> list[bytes]:
    """Return the digests of the blobs that an entry names, one for each field that stands for one.

    The entry need not be of its schema: what could not be a digest is the empty string.
    """
    return [
        _digest(entry.data[name])
        for name in entries.BLOB_FIELDS.get(entry.kind, ())
        if blob.is_reference(entry.data.get(name))
    ]


def _digest(reference: Json) -> bytes:
    named = reference["blob"] if isinstance(reference, dict) else None
    digest = named.get("sha256") if isinstance(named, dict) else None
    try:
        return bytes.fromhex(str(digest))
    except ValueError:
        return b""


# --- writing --------------------------------------------------------------------------------------


def encode(line: Line) -> bytes:
    """Return the bytes of a line, its newline included, which :func:`read` reads back.

    Raises:
        MalformedError: something in it is out of its bounds.
    """
    document = _document(line)
    schema.check_evidence(document)
    _require_bounds(line)
    return canonical.encode(document) + b"\n"


def _document(line: Line) -> Json:
    if isinstance(line, Head):
        return {"evidence": FORMAT, "head": _text(line.note)}
    if isinstance(line, Blob):
        return {"blob": {"data": _base64(line.data), "salt": _base64(line.salt)}}
    if isinstance(line, Withheld):
        return {"withheld": line.digest.hex()}
    document: dict[str, Json] = {
        "entry": _text(line.body),
        "inclusion": [value.hex() for value in line.inclusion],
        "index": line.index,
    }
    if line.kept is not None:
        document["checkpoint"] = _text(line.kept.note)
        document["consistency"] = [value.hex() for value in line.kept.consistency]
    return document


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedError("an entry or a note that is not UTF-8") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


# --- reading --------------------------------------------------------------------------------------


def read(file: BinaryIO) -> Iterator[Line]:
    """Yield the lines of a file; only the form of each is looked at.

    Raises:
        MalformedError: a line is not in its one form, the last one has no end, or there is too much. The
            code is ``form.not_evidence`` when it does not even begin like evidence, and
            ``form.other_version`` when it begins like that of another version.
    """
    data = file.readline(MAX_LINE_BYTES + 1)
    if not data.startswith(_FIRST_BYTES):
        if data.startswith(_ANY_VERSION):
            raise MalformedError("evidence of another version", code="form.other_version")
        raise MalformedError("not evidence of one launch: another first line", code="form.not_evidence")
    number, size = 1, 0
    while data:
        size += len(data)
        if size > MAX_BYTES:
            raise MalformedError(f"more than {MAX_BYTES} bytes")
        try:
            line = parse(data)
            _require_place(line, number)
        except MalformedError as error:
            raise MalformedError(f"line {number}: {error}") from None
        data = b""  # a blob is held by who needs it, and its line by nobody
        yield line
        del line
        number += 1
        data = file.readline(MAX_BLOB_LINE_BYTES + 1)


def _require_place(line: Line, number: int) -> None:
    if isinstance(line, Head) is not (number == 1):
        raise MalformedError("the head is the first line, and no other")


def parse(data: bytes) -> Line:
    """Read one line, its newline included.

    Raises:
        MalformedError: too long, not canonical, or not of its schema.
    """
    if not data.endswith(b"\n"):
        raise MalformedError("longer than any line may be, or cut off")
    data = data[:-1]
    if len(data) > MAX_LINE_BYTES and sum(map(data.count, (b",", b"[", b"{"))) > _MOST_BRACKETS_AND_COMMAS:
        raise MalformedError(f"longer than {MAX_LINE_BYTES} bytes, and no blob")
    document = canonical.decode_object(data)
    schema.check_evidence(document)
    if "evidence" in document:
        return Head(_bytes(document["head"]))
    if "withheld" in document:
        return Withheld(bytes.fromhex(str(document["withheld"])))
    line: Line
    beside, index = document.get("blob"), document.get("index")
    if isinstance(beside, dict):
        line = Blob(canonical.decode_base64(beside["salt"]), canonical.decode_base64(beside["data"]))
    else:
        assert isinstance(index, int)
        kept = None
        if "checkpoint" in document:
            kept = KeptCheckpoint(_bytes(document["checkpoint"]), _hashes(document["consistency"]))
        line = ProvenEntry(index, _bytes(document["entry"]), _hashes(document["inclusion"]), kept)
    _require_bounds(line)
    return line


def _require_bounds(line: Line) -> None:
    """Refuse what is longer than its kind may be; a schema counts characters, not bytes."""
    if isinstance(line, ProvenEntry) and len(line.body) > entries.MAX_BYTES:
        raise MalformedError(f"an entry of more than {entries.MAX_BYTES} bytes")
    if isinstance(line, Blob) and len(line.data) > blob.MAX_BYTES:
        raise MalformedError(f"a blob of more than {blob.MAX_BYTES} bytes")


def _bytes(text: Json) -> bytes:
    assert isinstance(text, str)
    return text.encode("utf-8")


def _hashes(listed: Json) -> tuple[bytes, ...]:
    assert isinstance(listed, list)
    return tuple(bytes.fromhex(str(value)) for value in listed)
