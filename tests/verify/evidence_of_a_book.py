"""The evidence of a launch in a book, made by the definitions, so that a test can change any part of it."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import TYPE_CHECKING, Any

from attest import entry, proof, tree
from attest.blob import is_reference
from attest.canonical import encode
from verify import NotCheckedError, Pin, verify_evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.verify.conftest import Book
    from verify import EvidenceVerdict

Lines = list[dict[str, Any]]


def lines_of(book: Book, session: str, *, size: int | None = None, head: str | None = None) -> Lines:
    """Return the lines of a launch's evidence under the head of ``size``."""
    size = size or len(book.bodies)
    leaves = [tree.hash_leaf(body) for body in book.bodies[:size]]

    def nodes(height: int, at: int) -> bytes:
        return tree.root(leaves[at << height : (at + 1) << height])

    made: Lines = [{"evidence": "urn:nono-attest:evidence:v1", "head": head or book.note(size)}]
    for index, body in enumerate(book.bodies[:size]):
        written = entry.parse(body)
        if index and written.session != session and written.kind != entry.KEY:
            continue
        line: dict[str, Any] = {
            "entry": body.decode(),
            "inclusion": [value.hex() for value in proof.prove_inclusion(index, size, nodes)],
            "index": index,
        }
        if written.kind == entry.KEY:
            line["checkpoint"] = book.note(index + 1)
            line["consistency"] = [value.hex() for value in proof.prove_consistency(index + 1, size, nodes)]
        made += [line, *beside(book, written)]
    return made


def beside(book: Book, written: entry.Entry) -> Lines:
    """Return what lies beside an entry, in the order of its fields."""
    made: Lines = []
    for name in entry.BLOB_FIELDS.get(written.kind, ()):
        field: Any = written.data.get(name)
        if not is_reference(field):
            continue
        digest = field["blob"]["sha256"]
        for blob in book.blobs:
            if hashlib.sha256(blob.salt + blob.data).hexdigest() == digest:
                salt, data = (base64.b64encode(part).decode() for part in blob)
                made.append({"blob": {"data": data, "salt": salt}})
                break
        else:
            made.append({"withheld": digest})
    return made


def data_of(lines: Sequence[Any]) -> bytes:
    """Return the bytes of a file of these lines."""
    return b"".join(encode(line) + b"\n" for line in lines)


def judged(data: bytes, *pins: Pin, origin: str | None = None) -> EvidenceVerdict:
    """Return what the verifier says of a file's bytes."""
    return verify_evidence(io.BytesIO(data), pins=pins, origin=origin)


def status(data: bytes, *pins: Pin) -> int:
    """Return the exit code that a file's bytes would end with."""
    try:
        return judged(data, *pins).exit
    except NotCheckedError:
        return 2
