"""What a page carries of a ledger: whole launches, the newest first, and the tree over all the rest.

Entries go in as their exact bytes. Of what is left out, the roots of the largest perfect subtrees go in
(RFC 9162, section 2.1): together with the entries they cover the tree without a gap, so whoever has them can
compute the root, and none of the carried entries could be another one. That is an inclusion proof of all of
them at once, and the proof of each is in it.

A ledger that does not hold is carried as far as it can be read; where entries are missing there is no root
to compute, and no subtrees are named.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from attest import entry, tree
from attest.blob import is_reference
from attest.fast_json import orjson
from verify.growing_tree import GrowingTree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from attest.canonical import Json

MAX_LAUNCHES = 100_000
"""More than that no page can be asked to carry."""

MAX_ENTRY_BYTES = 256 << 20
"""How many bytes of entries a page carries at most: it is read as a whole into a browser's memory."""

MAX_BLOB_BYTES = 1 << 20
MAX_BLOBS_BYTES = 32 << 20
"""A value that lay beside the entries is carried up to the one, all of them up to the other."""

_SHOWN_BLOBS = {kind: fields for kind, fields in entry.BLOB_FIELDS.items() if kind != entry.ANCHOR}
_LEDGER_KINDS = frozenset({entry.GENESIS, entry.KEY})


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which launches a page is to carry.

    Attributes:
        limit: at most so many, the newest.
        since: only those whose intent is not older than this instant (as entries write it), or None.
        until: only those whose intent is older than this instant, or None.
        session: only this one, or None.
    """

    limit: int
    since: str | None = None
    until: str | None = None
    session: str | None = None

    def take(self, session: str, time: str) -> bool:
        """Return whether a launch with that intent is asked for, as far as its number does not matter."""
        return (
            (self.session is None or session == self.session)
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
        )

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {"limit": self.limit, "since": self.since, "until": self.until, "session": self.session}


@dataclass(slots=True)
class Carried:
    """What a page carries.

    Attributes:
        whole: whether that is every entry of the ledger.
        launches: how many launches the ledger has, by their intents.
        carried: how many of them are carried.
        asked: how many were asked for; more than ``carried`` where the bounds left out older ones.
        entries: how many entries are carried.
        entry_bytes: how many bytes they have.
        frames: index (64 bit), length (32 bit, both big-endian) and bytes of each, compressed by gzip.
        subtrees: ``(first index, height, root)`` of each perfect subtree that is left out, in order;
            None where entries are missing.
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
    subtrees: list[tuple[int, int, bytes]] | None = field(default_factory=list)
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
    chosen = _choose(entries(), bounds)
    whole = chosen.launches == len(chosen.sessions) and chosen.seen_bytes <= MAX_ENTRY_BYTES
    found = Carried(whole=whole, launches=chosen.launches, carried=len(chosen.sessions), asked=chosen.asked)
    frames, beside, gap, whole_tree = _Compressed(), _Blobs(blob), _Gap(), GrowingTree()
    subtrees: list[tuple[int, int, bytes]] = []
    expected = 0
    for index, body in entries():
        if index != expected:
            found.subtrees = None
        expected = index + 1
        document, leaf = _document(body), tree.hash_leaf(body)
        whole_tree.leaves.append(leaf)
        if len(whole_tree.leaves) == tree.TILE_WIDTH:
            whole_tree.fold()
        if not whole and not _belongs(document, chosen.sessions):
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
    found.root = whole_tree.root()
    found.frames = frames.finish()
    found.blobs = beside.finish()
    return found


class _Chosen:
    """The launches that are carried, with the bytes of their entries."""

    def __init__(self) -> None:
        self.sessions: OrderedDict[str, int] = OrderedDict()
        self.launches = 0
        self.asked = 0
        self.seen_bytes = 0
        self.carried_bytes = 0

    def open(self, session: str, limit: int) -> None:
        self.asked += 1
        self.sessions.setdefault(session, 0)
        while len(self.sessions) > limit:
            self._drop()

    def count(self, session: str, length: int) -> None:
        self.sessions[session] += length
        self.carried_bytes += length
        while self.carried_bytes > MAX_ENTRY_BYTES and len(self.sessions) > 1:
            self._drop()

    def _drop(self) -> None:
        _, length = self.sessions.popitem(last=False)
        self.carried_bytes -= length


def _choose(entries: Iterable[tuple[int, bytes]], bounds: Bounds) -> _Chosen:
    chosen = _Chosen()
    for _, body in entries:
        chosen.seen_bytes += len(body)
        document = _document(body)
        session, time = document.get("session"), document.get("time")
        if not isinstance(session, str):
            continue
        if document.get("kind") == entry.INTENT:
            chosen.launches += 1
            if isinstance(time, str) and bounds.take(session, time):
                chosen.open(session, bounds.limit)
        if session in chosen.sessions:
            chosen.count(session, len(body))
    return chosen


def _document(body: bytes) -> dict[str, Json]:
    """Return an entry's members; nothing of what is no JSON object."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _belongs(document: dict[str, Json], sessions: OrderedDict[str, int]) -> bool:
    session = document.get("session")
    if session is None:
        return document.get("kind") in _LEDGER_KINDS
    return isinstance(session, str) and session in sessions


class _Gap:
    """The entries between two that are carried, as the largest perfect subtrees at their places."""

    def __init__(self) -> None:
        self._nodes: list[tuple[int, int, bytes]] = []

    def add(self, index: int, leaf: bytes) -> None:
        node = (index, 0, leaf)
        while self._nodes:
            first, height, root = self._nodes[-1]
            if height != node[1] or first % (2 << height):
                break
            self._nodes.pop()
            node = (first, height + 1, tree.hash_node(root, node[2]))
        self._nodes.append(node)

    def close(self) -> list[tuple[int, int, bytes]]:
        nodes, self._nodes = self._nodes, []
        return nodes


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
            if len(salt) != hashlib.sha256().digest_size or len(data) > min(MAX_BLOB_BYTES, self._left):
                continue
            self._left -= len(data)
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
