"""Proofs from a ledger's file: that an entry is in it, and that it continues what it was (RFC 9162).

A path climbs through one tile on each level, 256 nodes wide. A full tile is one row; one that is still
growing is made from what stands below it, at most 255 entries or roots of tiles; and what hangs over the
right edge of the tree comes from the stored edge. So a proof reads at most three tiles from a ledger of
up to 2**24 entries (16.7 million), and one more for each factor of 256 beyond.

A file may have been edited, so each proof is checked against the head before it is handed out. Whether the
head is signed by the right key is for whoever verifies the proof to say.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest import checkpoint, entry, note, origin, proof, tree
from attest.errors import MalformedError, NonoError, ProofError
from attest.named_tuples import NamedTuple
from attest.tlog_proof import TlogProof
from store import ledger_file, sqlite
from store.errors import LedgerError
from store.reading import LedgerReader

if TYPE_CHECKING:
    from attest.checkpoint import Checkpoint

_TILE_BYTES = tree.TILE_WIDTH * tree.HASH_BYTES
_KEPT_TILES = 64
"""How many tiles stay in memory, the ones read last: some 1.5 MB."""
_KEPT_NODES = 1_024
"""How many nodes do: the paths of neighbours have most of theirs in common."""


class ProvenEntry(NamedTuple):
    """An entry and the proof of it.

    Attributes:
        body: the entry's exact bytes.
        proof: that they stand in the ledger.
        tiles: how many tiles were read for it.
    """

    body: bytes
    proof: TlogProof
    tiles: int


class Continuation(NamedTuple):
    """That a ledger continues what it was at an earlier size.

    Attributes:
        checkpoint: the head, a signed note.
        hashes: the consistency proof, as :func:`attest.proof.check_consistency` takes it.
        tiles: how many tiles were read for it.
    """

    checkpoint: bytes
    hashes: tuple[bytes, ...]
    tiles: int


class LedgerProver(LedgerReader):
    """A ledger, open for proving what it holds."""

    def __enter__(self) -> LedgerProver:
        return self

    def prove_entry(self, index: int) -> ProvenEntry:
        """Return the entry at ``index`` and the proof that it is in the ledger as it is now.

        Raises:
            LedgerError: there is no such entry (``ledger.no_entry``), or the file cannot be read.
            TamperedLedgerError: the file does not lead to its own head.
        """
        with ProvableSnapshot(self._db, self.path) as snapshot:
            if not 0 <= index < snapshot.head.size:
                raise LedgerError(
                    f"no entry {index} in {os.fsdecode(self.path)}: it has {snapshot.head.size}",
                    code="ledger.no_entry",
                )
            (body,) = snapshot.bodies(index, 1)
            hashes = snapshot.prove_inclusion(index, body)
            return ProvenEntry(body, TlogProof(index, hashes, snapshot.note), snapshot.tiles)

    def prove_continuation(self, past: Checkpoint) -> Continuation:
        """Return the proof that the ledger as it is now continues what it was at ``past``.

        Raises:
            LedgerError: it is another ledger's checkpoint, or the file cannot be read.
            TamperedLedgerError: the ledger does not continue it: an older copy was put back, or the file
                does not lead to its own head.
        """
        with ProvableSnapshot(self._db, self.path) as snapshot:
            if past.origin != snapshot.head.origin:
                raise LedgerError("a checkpoint of another ledger", code="ledger.other_origin")
            if past.size > snapshot.head.size:
                raise snapshot.tampered(f"it has {snapshot.head.size} entries, and had {past.size} before")
            return Continuation(snapshot.note, snapshot.prove_consistency(past), snapshot.tiles)


class ProvableSnapshot:
    """A ledger at one moment, whatever its writer does meanwhile: its head, and the nodes below it.

    Args:
        connection: the ledger, open for reading.
        path: its file.

    Attributes:
        note: the head, a signed note.
        head: what it says.
        tiles: how many tiles were read.
    """

    def __init__(self, connection: sqlite.Connection, path: bytes) -> None:
        self._db = connection
        self._path = path
        self._tiles: dict[tuple[int, int], list[bytes]] = {}
        self._edge: dict[tuple[int, int], bytes] = {}
        self._nodes: dict[tuple[int, int], bytes] = {}
        self.tiles = 0

    def __enter__(self) -> ProvableSnapshot:
        try:
            self._db.execute("BEGIN")
            self._read_head()
        except sqlite.Error as error:
            self._end()
            raise ledger_file.translate(error, self._path) from None
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._end()
        if isinstance(error, sqlite.Error):
            raise ledger_file.translate(error, self._path) from None

    def _end(self) -> None:
        if self._db.in_transaction:
            self._db.execute("ROLLBACK")

    def _read_head(self) -> None:
        row = self._db.execute(
            "SELECT note, edge FROM head WHERE id = 0 AND typeof(note) = 'text' AND length(note) <= ?"
            " AND typeof(edge) = 'blob'",
            (note.MAX_BYTES,),
        ).fetchone()
        if row is None:
            raise self.tampered("it has no head")
        signed, encoded = row
        try:
            parsed = note.parse(signed)
            self.head = checkpoint.parse_text(parsed.text)
            origin.split(self.head.origin)
            # A proof is printed: nothing stands in it but what a writer of ledgers puts there.
            if any(line.name != self.head.origin for line in parsed.signatures):
                raise MalformedError("a signature under another name")
            edge = tree.Edge.decode(self.head.size, encoded)
        except NonoError as error:
            raise self.tampered(f"its head does not hold: {error}") from None
        if edge.root() != self.head.root:
            raise self.tampered("its edge does not lead to the signed root")
        self.note = signed
        self._edge = dict(zip(tree.edge_nodes(edge.size), edge.nodes, strict=True))

    def prove_inclusion(self, index: int, body: bytes) -> tuple[bytes, ...]:
        """Return the proof that the entry ``body`` is under the head at ``index``, below its size.

        Raises:
            TamperedLedgerError: it does not lead to it.
        """
        hashes = proof.prove_inclusion(index, self.head.size, self.node)
        try:
            proof.check_inclusion(tree.hash_leaf(body), index, self.head, hashes)
        except ProofError:
            raise self.tampered(f"entry {index} does not lead to its head") from None
        return tuple(hashes)

    def prove_consistency(self, past: Checkpoint) -> tuple[bytes, ...]:
        """Return the proof that the head continues ``past``, which is no larger.

        Raises:
            TamperedLedgerError: it does not.
        """
        hashes = proof.prove_consistency(past.size, self.head.size, self.node)
        try:
            proof.check_consistency(past, self.head, hashes)
        except ProofError:
            raise self.tampered(f"it does not continue what it was at {past.size} entries") from None
        return tuple(hashes)

    def node(self, height: int, index: int) -> bytes:
        """Return the root of the perfect subtree of ``2**height`` leaves at ``index``."""
        known = self._edge.get((height, index)) or self._nodes.get((height, index))
        if known is not None:
            return known
        level, rest = divmod(height, tree.TILE_HEIGHT)
        number, at = divmod(index << rest, tree.TILE_WIDTH)
        tile = self._tiles.get((level, number))
        if tile is None:
            if len(self._tiles) == _KEPT_TILES:
                del self._tiles[next(iter(self._tiles))]
            tile = self._tiles[level, number] = self._read_tile(level, number)
            self.tiles += 1
        root = tree.perfect_root(tile[at : at + (1 << rest)])
        if len(self._nodes) == _KEPT_NODES:
            self._nodes.clear()
        self._nodes[height, index] = root
        return root

    def _read_tile(self, level: int, number: int) -> list[bytes]:
        """Return the hashes of a tile, as far as it goes."""
        start = number * tree.TILE_WIDTH
        count = min(tree.TILE_WIDTH, (self.head.size >> tree.TILE_HEIGHT * level) - start)
        if count < tree.TILE_WIDTH:
            if level == 0:
                return [tree.hash_leaf(body) for body in self.bodies(start, count)]
            return self._tile_roots(level - 1, start, count)
        row = self._db.execute(
            "SELECT data FROM tile"
            " WHERE level = ? AND idx = ? AND typeof(data) = 'blob' AND length(data) = ?",
            (level, number, _TILE_BYTES),
        ).fetchone()
        if row is None:
            raise self.tampered(f"tile {number} of level {level} is missing, or is none")
        data: bytes = row[0]
        return [data[at : at + tree.HASH_BYTES] for at in range(0, _TILE_BYTES, tree.HASH_BYTES)]

    def _tile_roots(self, level: int, start: int, count: int) -> list[bytes]:
        rows = self._db.execute(
            "SELECT root FROM tile WHERE level = ? AND idx >= ? AND idx < ?"
            " AND typeof(root) = 'blob' AND length(root) = ? ORDER BY idx",
            (level, start, start + count, tree.HASH_BYTES),
        ).fetchall()
        if len(rows) != count:
            raise self.tampered(f"tiles of level {level} are missing, or are none")
        return [row[0] for row in rows]

    def bodies(self, start: int, count: int) -> list[bytes]:
        """Return the bytes of so many entries.

        Raises:
            TamperedLedgerError: one is missing, no text, or too long for an entry.
        """
        rows = self._db.execute(
            "SELECT body FROM entry WHERE idx >= ? AND idx < ? AND typeof(body) = 'text'"
            " AND length(body) <= ? ORDER BY idx",
            (start, start + count, entry.MAX_BYTES),
        ).fetchall()
        if len(rows) != count:
            raise self.tampered(f"entries from {start} on are missing, or are none")
        return [row[0] for row in rows]

    def tampered(self, why: str) -> LedgerError:
        """Return the error that says why nothing can be proved."""
        return ledger_file.tampered(self._path, why)
