"""The Merkle tree of RFC 6962 / RFC 9162, and its right edge.

Leaf ``SHA-256(0x00 ‖ entry)``, node ``SHA-256(0x01 ‖ left ‖ right)``, empty tree ``SHA-256("")``
(RFC 9162, section 2.1.1). All hashes here are 32 raw bytes.

The *edge* of a tree (its compact range) is the list of the roots of the maximal perfect subtrees
from left to right, one for each bit that is set in the size. It is all that an append needs.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from attest.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
"""Tiles have the height and the width of C2SP tlog-tiles."""

EMPTY_ROOT = hashlib.sha256(b"").digest()


def hash_leaf(entry: bytes) -> bytes:
    """Return the leaf hash of an entry's canonical bytes."""
    return hashlib.sha256(b"\x00" + entry).digest()


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two nodes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a perfect subtree over ``hashes``.

    Raises:
        ProofError: their number is no power of two.
    """
    level = list(hashes)
    if not level or len(level) & (len(level) - 1):
        raise ProofError(f"a perfect subtree cannot have {len(level)} leaves")
    sha256 = hashlib.sha256
    while len(level) > 1:  # as hash_node has it, without a call for each: a proof hashes some 500 nodes here
        level = [sha256(b"\x01" + level[i] + level[i + 1]).digest() for i in range(0, len(level), 2)]
    return level[0]


class Edge:
    """The right edge of a tree that grows by appending.

    Attributes:
        size: number of leaves.
        nodes: the roots of the maximal perfect subtrees, left (largest) to right.
    """

    __slots__ = ("nodes", "size")

    def __init__(self, size: int = 0, nodes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.nodes = list(nodes)
        if size < 0 or len(self.nodes) != size.bit_count():
            raise ProofError(f"an edge of {len(self.nodes)} nodes for {size} leaves")

    @classmethod
    def decode(cls, size: int, data: bytes) -> Edge:
        """Read an edge from its nodes' concatenation.

        Raises:
            ProofError: the length is not that of an edge of ``size`` leaves.
        """
        if len(data) != HASH_BYTES * max(size, 0).bit_count():
            raise ProofError(f"an edge of {len(data)} bytes for {size} leaves")
        return cls(size, (data[i : i + HASH_BYTES] for i in range(0, len(data), HASH_BYTES)))

    def encode(self) -> bytes:
        """Return the nodes, concatenated."""
        return b"".join(self.nodes)

    def copy(self) -> Edge:
        """Return an edge that grows by itself."""
        return Edge(self.size, self.nodes)

    def append(self, leaf: bytes) -> None:
        """Add one leaf hash at the right."""
        node, size = leaf, self.size
        while size & 1:
            node = hash_node(self.nodes.pop(), node)
            size >>= 1
        self.nodes.append(node)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of the whole tree."""
        if not self.nodes:
            return EMPTY_ROOT
        root = self.nodes[-1]
        for node in reversed(self.nodes[:-1]):
            root = hash_node(node, root)
        return root


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes, in constant memory."""
    edge = Edge()
    for leaf in leaves:
        edge.append(leaf)
    return edge.root()


def edge_nodes(size: int) -> list[tuple[int, int]]:
    """Return where the nodes of the edge of ``size`` leaves stand: ``(height, index)``, left to right."""
    return [
        (height, (size >> height) - 1) for height in reversed(range(size.bit_length())) if size >> height & 1
    ]
