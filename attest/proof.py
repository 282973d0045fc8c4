"""Proofs of inclusion and of consistency (RFC 9162, sections 2.1.3 and 2.1.4).

A proof is a list of 32-byte hashes, the one nearest to the leaves first. Checking is strict: an index
beyond the size, a size that shrinks, a surplus or a missing hash is an error like a wrong root.

What a proof binds: for a given size, leaf and index; each leaf has one path, so another leaf, another
index or another hash never leads to the root. What it does **not** bind is the size: where two trees have
the same way up from a leaf (leaf 0 of 3 and of 4), the algorithm of the RFC takes one size for the other.
So whoever checks gives size and root together, as the :class:`~attest.checkpoint.Checkpoint` of a note
whose signature was verified. There is no function here that takes a size from anywhere else.

The functions that make a proof ask for *nodes*, the roots of perfect subtrees, by height and index, so
they read a logarithmic number of them wherever they are stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest.errors import ProofError
from attest.tree import EMPTY_ROOT, HASH_BYTES, hash_node

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attest.checkpoint import Checkpoint

    Nodes = Callable[[int, int], bytes]
    """``nodes(height, index)``: the root of the perfect subtree of ``2**height`` leaves at ``index``."""


# --- making ---------------------------------------------------------------------------------------


def prove_inclusion(index: int, size: int, nodes: Nodes) -> list[bytes]:
    """Return the proof that the leaf at ``index`` is in the tree of ``size`` leaves (section 2.1.3.1).

    Raises:
        ProofError: there is no such leaf in it.
    """
    _require_leaf(index, size)
    start, end = 0, size
    path: list[bytes] = []
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            path.append(_subtree_root(middle, end, nodes))
            end = middle
        else:
            path.append(_subtree_root(start, middle, nodes))
            start = middle
    path.reverse()
    return path


def prove_consistency(old: int, new: int, nodes: Nodes) -> list[bytes]:
    """Return the proof that the tree of ``new`` leaves continues the one of ``old`` (section 2.1.4.1).

    It is empty for equal sizes, and for an empty old tree, which every tree continues.

    Raises:
        ProofError: the old tree is larger.
    """
    _require_growth(old, new)
    if old in (0, new):
        return []
    start, end = 0, new
    path: list[bytes] = []
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(_subtree_root(middle, end, nodes))
            end = middle
        else:
            path.append(_subtree_root(start, middle, nodes))
            start = middle
    if start:  # else the old tree is a node of the new one, and who checks has its root already
        path.append(_subtree_root(start, end, nodes))
    path.reverse()
    return path


def _subtree_root(start: int, end: int, nodes: Nodes) -> bytes:
    """Return the root over the leaves from ``start`` to ``end`` (exclusive), ``start`` being aligned."""
    count = end - start
    if count & (count - 1) == 0:
        height = count.bit_length() - 1
        return nodes(height, start >> height)
    middle = start + _split(count)
    return hash_node(_subtree_root(start, middle, nodes), _subtree_root(middle, end, nodes))


def _split(count: int) -> int:
    """Return the largest power of two below ``count``."""
    return 1 << (count - 1).bit_length() - 1


# --- checking -------------------------------------------------------------------------------------


def check_inclusion(leaf: bytes, index: int, head: Checkpoint, proof: Sequence[bytes]) -> None:
    """Check that ``leaf`` stands at ``index`` of the tree that ``head`` describes (section 2.1.3.2).

    Args:
        leaf: the leaf hash, computed from the entry itself (:func:`attest.tree.hash_leaf`).
        index: where it is said to stand, from 0.
        head: size and root; its signature was verified, see the module.
        proof: the hashes, nearest to the leaf first.

    Raises:
        ProofError: it does not stand there, or this is no proof of it.
    """
    _require_leaf(index, head.size)
    _require_hashes([leaf, head.root, *proof])
    first, last = index, head.size - 1
    result = leaf
    for sibling in proof:
        if last == 0:
            raise _surplus()
        if first & 1 or first == last:
            result = hash_node(sibling, result)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            result = hash_node(result, sibling)
        first, last = first >> 1, last >> 1
    if last:
        raise _missing()
    if result != head.root:
        raise ProofError("the proof leads to another root")


def earlier_root(leaf: bytes, index: int, head: Checkpoint, proof: Sequence[bytes]) -> bytes:
    """Return the root over the first ``index + 1`` leaves, to which a proof of inclusion leads as well.

    What stands to the left of the way up is all that the smaller tree has; the rest came later.

    Args:
        leaf: the leaf hash.
        index: where it stands.
        head: size and root; its signature was verified, see the module.
        proof: the hashes, which :func:`check_inclusion` accepted.

    Raises:
        ProofError: it accepts them not.
    """
    check_inclusion(leaf, index, head, proof)
    first, last = index, head.size - 1
    result = leaf
    for sibling in proof:
        if first & 1 or first == last:
            result = hash_node(sibling, result)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        first, last = first >> 1, last >> 1
    return result


def check_consistency(old: Checkpoint, new: Checkpoint, proof: Sequence[bytes]) -> None:
    """Check that the tree of ``new`` continues that of ``old`` (section 2.1.4.2).

    Args:
        old: size and root before; its signature was verified, see the module.
        new: size and root after; likewise.
        proof: the hashes, as :func:`prove_consistency` orders them.

    Raises:
        ProofError: it does not, they are of two logs, or this is no proof of it.
    """
    if old.origin != new.origin:
        raise ProofError("checkpoints of two logs")
    _require_growth(old.size, new.size)
    _require_hashes([old.root, new.root, *proof])
    for head in (old, new):
        if head.size == 0 and head.root != EMPTY_ROOT:
            raise ProofError("an empty tree with a root of its own")
    if old.size in (0, new.size):
        if proof:
            raise ProofError("a proof where there is nothing to prove")
        if old.size and old.root != new.root:
            raise ProofError("another root at the same size")
        return
    old_root, new_root = _consistent_roots(old, new.size, proof)
    if old_root != old.root:
        raise ProofError("the proof leads to another old root")
    if new_root != new.root:
        raise ProofError("the proof leads to another new root")


def _consistent_roots(old: Checkpoint, new_size: int, proof: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Return the old and the new root to which a proof leads."""
    # A perfect old tree is itself the first node of the path.
    path = [old.root, *proof] if old.size & (old.size - 1) == 0 else list(proof)
    if not path:
        raise _missing()
    first, last = old.size - 1, new_size - 1
    while first & 1:
        first, last = first >> 1, last >> 1
    old_root = new_root = path[0]
    for sibling in path[1:]:
        if last == 0:
            raise _surplus()
        if first & 1 or first == last:
            old_root, new_root = hash_node(sibling, old_root), hash_node(sibling, new_root)
            while not first & 1 and first:
                first, last = first >> 1, last >> 1
        else:
            new_root = hash_node(new_root, sibling)
        first, last = first >> 1, last >> 1
    if last:
        raise _missing()
    return old_root, new_root


# --- both -----------------------------------------------------------------------------------------


def _require_leaf(index: int, size: int) -> None:
    if not 0 <= index < size:
        raise ProofError(f"no leaf {index} in a tree of {size}")


def _require_growth(old: int, new: int) -> None:
    if not 0 <= old <= new:
        raise ProofError(f"a tree of {new} leaves cannot continue one of {old}")


def _require_hashes(hashes: Sequence[bytes]) -> None:
    if any(len(value) != HASH_BYTES for value in hashes):
        raise ProofError(f"a hash that has not {HASH_BYTES} bytes")


def _surplus() -> ProofError:
    return ProofError("the proof has more hashes than the tree has levels")


def _missing() -> ProofError:
    return ProofError("the proof has fewer hashes than the tree has levels")
