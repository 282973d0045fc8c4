"""What stands in the tree in the place of entries that are left out (RFC 9162, section 2.1)."""

from __future__ import annotations

from typing import TypeAlias

from attest import tree

Subtree: TypeAlias = tuple[int, int, bytes]
"""The index of the first leaf, the height, and the root (32 bytes) of a perfect subtree."""


class Gap:
    """The entries between two that are carried, as the largest perfect subtrees at their places."""

    def __init__(self) -> None:
        self._nodes: list[Subtree] = []

    def add(self, index: int, leaf: bytes) -> None:
        """Leave out the leaf at an index, the next one of this gap."""
        node = (index, 0, leaf)
        while self._nodes:
            first, height, root = self._nodes[-1]
            if height != node[1] or first % (2 << height):
                break
            self._nodes.pop()
            node = (first, height + 1, tree.hash_node(root, node[2]))
        self._nodes.append(node)

    def close(self) -> list[Subtree]:
        """Return the subtrees of the gap, and begin another one."""
        nodes, self._nodes = self._nodes, []
        return nodes
