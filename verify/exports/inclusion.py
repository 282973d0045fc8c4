"""Inclusion proofs for the entries of a ledger in their order, 256 at a time (RFC 9162, section 2.1.3).

The lower part of a way up is inside the 256 entries, which are at hand; the upper part is the same for all of
them, and comes from the stored tiles. Those were compared with the entries in the replay.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from attest.proof import prove_inclusion
from attest.tree import TILE_HEIGHT, TILE_WIDTH, hash_leaf, hash_level, perfect_root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.reader import LedgerFile


class Inclusion:
    """The proofs of one ledger.

    Args:
        source: the ledger, which was replayed and holds.
        size: the size of its head.
    """

    def __init__(self, source: LedgerFile, size: int) -> None:
        self._source = source
        self._size = size
        self._node = functools.lru_cache(maxsize=1_024)(self._read_node)

    def paths(self, first: int, leaves: Sequence[bytes]) -> list[list[bytes]]:
        """Return the proofs of entries in a row.

        Args:
            first: where the first of them stands, a multiple of 256.
            leaves: their leaf hashes: 256, or fewer up to the last entry.
        """
        if len(leaves) < TILE_WIDTH:
            return [self.path(first + at) for at in range(len(leaves))]
        levels: list[Sequence[bytes]] = [leaves]
        while len(levels) < TILE_HEIGHT:
            levels.append(hash_level(levels[-1]))
        above = self.path(first)[TILE_HEIGHT:]
        return [
            [level[(at >> height) ^ 1] for height, level in enumerate(levels)] + above
            for at in range(TILE_WIDTH)
        ]

    def path(self, index: int) -> list[bytes]:
        """Return the proof of the entry at ``index``, 32 bytes each, nearest to the leaf first."""
        return prove_inclusion(index, self._size, self._node)

    def _read_node(self, height: int, index: int) -> bytes:
        """Return the root of the perfect subtree of ``2**height`` leaves at ``index``."""
        if height >= TILE_HEIGHT:
            level, rest = divmod(height, TILE_HEIGHT)
            return perfect_root(self._source.tile_roots(level - 1, index << rest, 1 << rest))
        if height:
            return perfect_root([self._node(height - 1, 2 * index), self._node(height - 1, 2 * index + 1)])
        return hash_leaf(self._source.body(index) or b"")
