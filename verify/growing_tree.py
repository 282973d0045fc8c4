"""An RFC 6962 tree that grows leaf by leaf, 256 leaves hashed at a time.

It gives what :class:`attest.tree.Edge` gives. That one is written for an append, where each leaf must
be folded in at once; here a leaf costs a list's append and its share of one tight loop.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest.tree import EMPTY_ROOT, TILE_HEIGHT, TILE_WIDTH, Edge, hash_level, hash_node, perfect_root

if TYPE_CHECKING:
    from collections.abc import Sequence


class GrowingTree:
    """A tree that grows at the right.

    Attributes:
        leaves: the leaves behind the last whole 256; the caller appends to it, and calls :meth:`fold`
            when there are 256.
        folded: how many leaves stand before those.
    """

    __slots__ = ("_nodes", "folded", "leaves")

    def __init__(self) -> None:
        self.leaves: list[bytes] = []
        self.folded = 0
        self._nodes: list[bytes] = []

    @property
    def size(self) -> int:
        """The number of leaves."""
        return self.folded + len(self.leaves)

    def add(self, leaves: Sequence[bytes]) -> None:
        """Take in leaves."""
        at = 0
        while len(self.leaves) + len(leaves) - at >= TILE_WIDTH:
            end = at + TILE_WIDTH - len(self.leaves)
            self.leaves += leaves[at:end]
            self.fold()
            at = end
        self.leaves += leaves[at:]

    def fold(self) -> bytes:
        """Take the 256 leaves in as one perfect subtree, and return its root."""
        root = node = perfect_root(self.leaves)
        self.folded += TILE_WIDTH
        number = self.folded >> TILE_HEIGHT
        while not number & 1:
            node = hash_node(self._nodes.pop(), node)
            number >>= 1
        self._nodes.append(node)
        self.leaves.clear()
        return root

    def edge(self) -> Edge:
        """Return the edge of the tree as it is now."""
        edge = Edge(self.folded, self._nodes)
        for leaf in self.leaves:
            edge.append(leaf)
        return edge

    def root(self) -> bytes:
        """Return the root of the tree as it is now: that of its edge, in a third of the time."""
        level: Sequence[bytes] = self.leaves
        while len(level) > 1:
            level = hash_level(level)
        nodes = [*self._nodes, *level]
        root = nodes.pop() if nodes else EMPTY_ROOT
        while nodes:
            root = hash_node(nodes.pop(), root)
        return root
