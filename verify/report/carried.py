"""What a page carries of a ledger: whole launches, the newest first, and the tree over all the rest.

Entries go in as their exact bytes. Of what is left out, the roots of the largest perfect subtrees go in
(RFC 9162, section 2.1): together with the entries they cover the tree without a gap, so whoever has them can
compute the root, and none of the carried entries could be another one. That is an inclusion proof of all of
them at once, and the proof of each is in it.

Of a launch with very many entries the first and the last ones go in, and of those between them the same
subtrees once more, of the launch's own entries alone: its attestation is signed over their root.

A ledger that does not hold is carried as far as it can be read; where entries are missing there is no root
to compute, and no subtrees are named.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from attest import entry, tree
from attest.blob import SALT_BYTES, is_reference
from attest.fast_json import orjson
from verify.growing_tree import GrowingTree
from verify.report.choice import Choice, Chosen
from verify.report.subtrees import Gap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from attest.canonical import Json
    from verify.report.choice import Bounds, Shortened
    from verify.report.subtrees import Subtree

MAX_BLOB_BYTES = 1 << 20
MAX_BLOBS_BYTES = 32 << 20
"""A value that lay beside the entries is carried up to the one, all of them up to the other."""

_BLOB_FRAME = 68  # digest, salt and length
_SHOWN_BLOBS = {kind: fields for kind, fields in entry.BLOB_FIELDS.items() if kind != entry.ANCHOR}


@dataclass(slots=True)
class Carried:
    """What a page carries.

    Attributes:
        whole: whether that is every entry of the ledger.
        launches: how many launches the ledger has, by their intents.
        carried: how many of them are carried, whole or in part.
        asked: how many were asked for; more than ``carried`` where the bounds left out older ones.
        entries: how many entries are carried.
        entry_bytes: how many bytes they have.
        frames: index (64 bit), length (32 bit, both big-endian) and bytes of each, compressed by gzip.
        subtrees: ``(first index, height, root)`` of each perfect subtree that is left out, in order;
            None where entries are missing.
        shortened: the launches of which a part is carried.
        handovers: how many handovers are carried.
        handovers_left_out: how many are not.
        root: the root over all entries of the ledger, 32 bytes, as far as there are any.
        blobs: digest and salt (32 bytes each), length (32 bit) and data of each value, compressed by gzip.
    """

    whole: bool
    launches: int
    carried: int
    asked: int
    entries: int = 0
    entry_bytes: int = 0
    frames: bytes = b""
    subtrees: list[Subtree] | None = field(default_factory=list)
    shortened: list[Shortened] = field(default_factory=list)
    handovers: int = 0
    handovers_left_out: int = 0
    root: bytes = b""
    blobs: bytes = b""


def carry(
    entries: Callable[[], Iterable[tuple[int, bytes]]],
    blob: Callable[[bytes], tuple[bytes, bytes] | None],
    size: int,
    bounds: Bounds,
) -> Carried:
    """Return what a page carries of a ledger, in memory that depends on the bounds alone.

    Args:
        entries: begins to yield index and bytes of all entries, in order; called twice.
        blob: returns salt and data under a digest, or None.
        size: that of the ledger.
        bounds: which launches are asked for.
    """
    chosen = Chosen()
    for _, body in entries():
        chosen.see(_document(body), len(body), bounds)
    found = Carried(
        whole=chosen.is_all(), launches=chosen.launches, carried=len(chosen.sessions), asked=chosen.asked
    )
    frames, beside, gap, whole_tree = _Compressed(), _Blobs(blob), Gap(), GrowingTree()
    choice = Choice(chosen, whole=found.whole)
    subtrees: list[Subtree] = []
    expected = 0
    for index, body in entries():
        if index != expected:
            found.subtrees = None
        expected = index + 1
        document, leaf = _document(body), tree.hash_leaf(body)
        whole_tree.leaves.append(leaf)
        if len(whole_tree.leaves) == tree.TILE_WIDTH:
            whole_tree.fold()
        if not choice.take(document, len(body), leaf):
            gap.add(index, leaf)
            continue
        subtrees += gap.close()
        frames.add(struct.pack(">QI", index, len(body)) + body)
        found.entries += 1
        found.entry_bytes += len(body)
        beside.look(document)
    subtrees += gap.close()
    if expected != size:
        found.subtrees = None
    if found.subtrees is not None:
        found.subtrees = subtrees
    found.shortened = choice.shortened()
    found.handovers, found.handovers_left_out = choice.handovers.taken, choice.handovers.left_out
    found.root = whole_tree.root()
    found.frames = frames.finish()
    found.blobs = beside.finish()
    return found


def _document(body: bytes) -> dict[str, Json]:
    """Return an entry's members; nothing of what is no JSON object."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


class _Blobs:
    """The values beside the carried entries, each once, as far as they are not too large."""

    def __init__(self, blob: Callable[[bytes], tuple[bytes, bytes] | None]) -> None:
        self._blob = blob
        self._named: set[bytes] = set()
        self._left = MAX_BLOBS_BYTES
        self._out = _Compressed()

    def look(self, document: dict[str, Json]) -> None:
        for digest in _digests(document):
            if digest in self._named:
                continue
            self._named.add(digest)
            found = self._blob(digest)
            if found is None:
                continue
            salt, data = found
            if len(salt) != SALT_BYTES or len(data) > min(MAX_BLOB_BYTES, self._left):
                continue
            self._left -= len(data) + _BLOB_FRAME
            self._out.add(digest + salt + struct.pack(">I", len(data)) + data)

    def finish(self) -> bytes:
        return self._out.finish()


def _digests(document: dict[str, Json]) -> Iterator[bytes]:
    """Yield the digests of what lies beside an entry and is shown."""
    kind, data = document.get("kind"), document.get("data")
    if not isinstance(kind, str) or not isinstance(data, dict):
        return
    for name in _SHOWN_BLOBS.get(kind, ()):
        value = data.get(name)
        if not is_reference(value) or not isinstance(value, dict):
            continue
        reference = value["blob"]
        digest = reference.get("sha256") if isinstance(reference, dict) else None
        try:
            yield bytes.fromhex(str(digest))
        except ValueError:
            continue  # of an entry that is not of its schema, which was reported


class _Compressed:
    """Bytes, compressed by gzip as they come; the same bytes always give the same."""

    def __init__(self) -> None:
        self._zip = zlib.compressobj(6, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self._pieces: list[bytes] = []

    def add(self, data: bytes) -> None:
        self._pieces.append(self._zip.compress(data))

    def finish(self) -> bytes:
        return b"".join([*self._pieces, self._zip.flush()])
