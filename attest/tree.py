"""The Merkle tree of RFC 6962 / RFC 9162, and its right edge.

Leaf ``SHA-256(0x00 ‖ entry)``, node ``SHA-256(0x01 ‖ left ‖ right)``, empty tree ``SHA-256("")``
(RFC 9162, section 2.1.1). All hashes here are 32 raw bytes.

The *edge* of a tree (its compact range) is the list of the roots of the maximal perfect subtrees
from left to right, one for each bit that is set in the size. It is all that an append needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import hashing
from attest.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_BYTES = 32
TILE_HEIGHT = 8
TILE_WIDTH = 1 << TILE_HEIGHT
"""Tiles have the height and the width of C2SP tlog-tiles."""

EMPTY_ROOT = hashing.digest(b"")

# Copying a hash that has its prefix in it takes two thirds of the time that making a new one takes.
_LEAF, _NODE = hashing.running(b"\x00"), hashing.running(b"\x01")
_finish = hashing.finish


def hash_leaf(entry: bytes) -> bytes:
    """Return the leaf hash of an entry's canonical bytes."""
    leaf = _LEAF.copy()
    leaf.update(entry)
    return _finish(leaf)


def hash_node(left: bytes, right: bytes) -> bytes:
    """Return the hash of the node above two nodes."""
    node = _NODE.copy()
    node.update(left + right)
    return _finish(node)


def hash_level(hashes: Sequence[bytes]) -> list[bytes]:
    """Return the level above a level of nodes; a last one that has no partner goes up as it is."""
    copy, above = _NODE.copy, []
    for at in range(0, len(hashes) - 1, 2):  # hash_node, without a call for each
        node = copy()
        node.update(hashes[at] + hashes[at + 1])
        above.append(_finish(node))
    if len(hashes) & 1:
        above.append(hashes[-1])
    return above


def perfect_root(hashes: Sequence[bytes]) -> bytes:
    """Return the root of a perfect subtree over ``hashes``.

    Raises:
        ProofError: their number is no power of two.
    """
    level = hashes
    if not level or len(level) & (len(level) - 1):
        raise ProofError(f"a perfect subtree cannot have {len(level)} leaves")
    while len(level) > 1:
        level = hash_level(level)
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
