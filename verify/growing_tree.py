"""An RFC 6962 tree that grows leaf by leaf, 256 leaves hashed at a time.

It gives what :class:`attest.tree.Edge` gives. That one is written for an append, where each leaf must
be folded in at once; here a leaf costs a list's append and its share of one tight loop.
"""

from __future__ import annotations

from hashlib import sha256

from attest.tree import TILE_HEIGHT, TILE_WIDTH, Edge, hash_node


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


def perfect_root(hashes: list[bytes]) -> bytes:
    """Return the root of the perfect subtree over 256 hashes."""
    level = hashes
    while len(level) > 1:
        level = [sha256(b"\x01" + level[at] + level[at + 1]).digest() for at in range(0, len(level), 2)]
    return level[0]
