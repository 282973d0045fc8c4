"""Step 3, the tree: the leaves as they come, the tiles and the edge that they give, and those stored.

A tile of level 0 holds 256 leaf hashes, one of level n the roots of 256 tiles of level n - 1; its
root is that of the perfect subtree above them. Exactly the full tiles are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest.tree import HASH_BYTES, TILE_WIDTH, perfect_root
from verify.growing_tree import GrowingTree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.tree import Edge
    from verify.findings import Findings
    from verify.reader import LedgerFile


class TileCheck:
    """The tree over the entries, and the stored tiles that it is compared with as it grows.

    Attributes:
        tree: the tree so far; when it has 256 loose leaves, :meth:`add` takes them in.
        differing: the first leaf that a stored tile has otherwise, or None.
    """

    def __init__(self, source: LedgerFile, findings: Findings) -> None:
        self.tree = GrowingTree()
        self.differing: int | None = None
        self._source = source
        self._findings = findings
        self._pending: list[list[bytes]] = []
        self._stored: list[Iterator[tuple[object, ...]]] = []
        self._counts: list[int] = []
        self._bad: set[tuple[int, int]] = set()

    def add(self) -> None:
        """Take in the tree's 256 loose leaves as a tile."""
        leaves = list(self.tree.leaves)
        self._tile(0, leaves, self.tree.fold())

    def finish(self) -> None:
        """Report what is stored beyond the full tiles."""
        levels = len(self._stored) or 1
        if not self._stored:
            self._open(0)
        for level in range(levels):
            if next(self._stored[level], None) is not None:
                self._findings.add("tree.tile_surplus", f"a tile of level {level} is stored that is not full")
        if self._source.has_tiles_outside(levels):
            self._findings.add("tree.tile_surplus", "a tile is stored of a level that the tree does not have")

    def _open(self, level: int) -> None:
        self._stored.append(self._source.tiles(level))
        self._pending.append([])
        self._counts.append(0)

    def _tile(self, level: int, hashes: list[bytes], root: bytes) -> None:
        if level == len(self._stored):
            self._open(level)
        number = self._counts[level]
        self._counts[level] += 1
        self._compare(level, number, root, hashes)
        pending = self._pending[level]
        pending.append(root)
        if len(pending) == TILE_WIDTH:
            self._pending[level] = []
            self._tile(level + 1, pending, perfect_root(pending))

    def _compare(self, level: int, number: int, root: bytes, hashes: list[bytes]) -> None:
        row = next(self._stored[level], None)
        name = f"tile {number} of level {level}"
        first = number * TILE_WIDTH ** (level + 1)
        if row is None or row[0] != number:
            # The rows come in order: one that is not here is missing, or lies at a place not its own.
            self._findings.add("tree.tile_missing", f"begins {name}, which is not stored", first)
            return
        if row[1:] == (root, b"".join(hashes)):
            return
        self._bad.add((level, number))
        differing = _differing(row[2], hashes)
        if level == 0 and differing:
            for at in differing:
                self._findings.add("tree.leaf", "has another hash than its tile holds", first + at)
            if self.differing is None:
                self.differing = first + differing[0]
        elif not differing or any((level - 1, number * TILE_WIDTH + at) not in self._bad for at in differing):
            # Else it only differs where a tile below does, which was said already.
            self._findings.add("tree.tile", f"begins {name}, which is not what its entries give", first)


def _differing(stored: object, hashes: list[bytes]) -> list[int]:
    """Return where a stored tile's data differs from ``hashes``; nothing if it is no tile's data."""
    if not isinstance(stored, bytes) or len(stored) != HASH_BYTES * len(hashes):
        return []
    return [at for at, node in enumerate(hashes) if stored[at * HASH_BYTES : (at + 1) * HASH_BYTES] != node]


def first_difference(computed: Edge, stored: Edge) -> tuple[int, int] | None:
    """Return the first and last leaf under the leftmost node in which two edges of one size differ."""
    first = 0
    for height in reversed(range(computed.size.bit_length())):
        if not computed.size >> height & 1:
            continue
        at = (computed.size >> height + 1).bit_count()
        if computed.nodes[at] != stored.nodes[at]:
            return first, first + (1 << height) - 1
        first += 1 << height
    return None
