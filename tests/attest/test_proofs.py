"""Merkle proofs: against the definition of RFC 9162, other implementations, and liars."""

from __future__ import annotations

import hashlib
import sys
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree
from tlog_scales.tlog import (
    ConsistencyProof,
    ConsistencyProofInvalid,
    InclusionProof,
    InclusionProofInvalid,
)

from attest import proof, tree
from attest.checkpoint import Checkpoint
from attest.errors import ProofError

if TYPE_CHECKING:
    from collections.abc import Callable

VECTORS = Path(__file__).parents[1] / "vectors" / "attest"
MAX_LEAVES = 300
LEAVES = [tree.hash_leaf(b"entry %d" % number) for number in range(MAX_LEAVES)]

sizes = st.integers(1, MAX_LEAVES)
hashes = st.binary(min_size=32, max_size=32)


def mth(leaves: list[bytes]) -> bytes:
    """Return MTH of leaf hashes, as section 2.1.1 defines it."""
    if len(leaves) == 1:
        return leaves[0]
    k = max(1 << bit for bit in range(len(leaves).bit_length()) if 1 << bit < len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


ROOTS = [tree.EMPTY_ROOT, *(mth(LEAVES[:size]) for size in range(1, MAX_LEAVES + 1))]


@cache
def nodes(height: int, index: int) -> bytes:
    """Return a node of the tree over all leaves; it has to be a whole one."""
    assert (index + 1) << height <= MAX_LEAVES
    return mth(LEAVES[index << height : (index + 1) << height])


def head(size: int, root: bytes | None = None) -> Checkpoint:
    return Checkpoint("log", size, ROOTS[size] if root is None else root)


def included(leaf: bytes, index: int, signed: Checkpoint, path: list[bytes]) -> bool:
    return holds(lambda: proof.check_inclusion(leaf, index, signed, path), ProofError)


def continued(old: Checkpoint, new: Checkpoint, path: list[bytes]) -> bool:
    return holds(lambda: proof.check_consistency(old, new, path), ProofError)


def holds(check: Callable[[], None], refusal: type[Exception]) -> bool:
    try:
        check()
    except refusal:
        return False
    return True


# --- what is published ----------------------------------------------------------------------------


def hexes(path: Path) -> list[bytes]:
    return [bytes.fromhex(line) for line in path.read_text(encoding="ascii").split()]


@pytest.mark.parametrize("vector", sorted((VECTORS / "inclusion").iterdir()), ids=lambda path: path.name)
def test_published_inclusion(vector: Path) -> None:
    index, size = map(int, vector.name.split("-of-"))
    (leaf,), (root,) = hexes(vector / "leaf.hex"), hexes(vector / "root.hex")
    proof.check_inclusion(leaf, index, head(size, root), hexes(vector / "proof.hex"))


@pytest.mark.parametrize("vector", sorted((VECTORS / "consistency").iterdir()), ids=lambda path: path.name)
def test_published_consistency(vector: Path) -> None:
    old, new = map(int, vector.name.split("-to-"))
    (old_root,), (root,) = hexes(vector / "old-root.hex"), hexes(vector / "root.hex")
    proof.check_consistency(head(old, old_root), head(new, root), hexes(vector / "proof.hex"))


# --- the definition, and every small size ---------------------------------------------------------


def path_of(m: int, leaves: list[bytes]) -> list[bytes]:
    """Return PATH(m, D[n]) as section 2.1.3.1 defines it."""
    if len(leaves) == 1:
        return []
    k = max(1 << bit for bit in range(9) if 1 << bit < len(leaves))
    if m < k:
        return [*path_of(m, leaves[:k]), mth(leaves[k:])]
    return [*path_of(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], known: bool) -> list[bytes]:
    """Return SUBPROOF(m, D[n], b) as section 2.1.4.1 defines it."""
    if m == len(leaves):
        return [] if known else [mth(leaves)]
    k = max(1 << bit for bit in range(9) if 1 << bit < len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], known), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], known=False), mth(leaves[:k])]


@pytest.mark.parametrize("size", range(1, 35))
def test_every_leaf_of_every_small_tree(size: int) -> None:
    for index in range(size):
        path = proof.prove_inclusion(index, size, nodes)
        assert path == path_of(index, LEAVES[:size])
        proof.check_inclusion(LEAVES[index], index, head(size), path)
        for other in range(-1, size + 2):
            assert included(LEAVES[index], other, head(size), path) is (other == index)


@pytest.mark.parametrize("new", range(35))
def test_every_small_tree_continues_every_smaller_one(new: int) -> None:
    for old in range(new + 1):
        path = proof.prove_consistency(old, new, nodes)
        assert path == ([] if old in (0, new) else subproof(old, LEAVES[:new], known=True))
        proof.check_consistency(head(old), head(new), path)


@pytest.mark.parametrize("size", [*range(1, 70), MAX_LEAVES])
def test_the_way_up_from_a_leaf_leads_to_the_root_of_what_ends_with_it(size: int) -> None:
    for index in range(size):
        path = proof.prove_inclusion(index, size, nodes)
        assert proof.earlier_root(LEAVES[index], index, head(size), path) == ROOTS[index + 1]


def test_what_is_no_proof_has_no_earlier_root() -> None:
    path = proof.prove_inclusion(4, 9, nodes)
    for leaf, index, hashed in ((LEAVES[4], 5, path), (LEAVES[5], 4, path), (LEAVES[4], 4, path[:-1])):
        with pytest.raises(ProofError):
            proof.earlier_root(leaf, index, head(9), hashed)


# --- other implementations ------------------------------------------------------------------------


def merkle_tree(size: int) -> InmemoryTree:
    judge = InmemoryTree(algorithm="sha256")
    for number in range(size):
        judge.append_entry(b"entry %d" % number)
    return judge


PYMERKLE = merkle_tree(MAX_LEAVES)


@settings(max_examples=200, deadline=None)
@given(sizes, st.data())
def test_inclusion_as_pymerkle_has_it(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    theirs = PYMERKLE.prove_inclusion(index + 1, size)
    # Theirs begins with the leaf itself.
    assert theirs.path == [LEAVES[index], *proof.prove_inclusion(index, size, nodes)]
    proof.check_inclusion(LEAVES[index], index, head(size, PYMERKLE.get_root(size)), theirs.path[1:])


@settings(max_examples=200, deadline=None)
@given(sizes, st.data())
def test_consistency_leads_to_the_roots_of_pymerkle(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    states = head(old, PYMERKLE.get_root(old)), head(size, PYMERKLE.get_root(size))
    proof.check_consistency(*states, proof.prove_consistency(old, size, nodes))


@settings(max_examples=300, deadline=None)
@given(sizes, st.data())
def test_inclusion_as_tlog_scales_judges_it(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = changed_path(data, proof.prove_inclusion(index, size, nodes))
    said_index, said_size = data.draw(st.integers(0, MAX_LEAVES)), data.draw(sizes)
    for at, of in ((index, size), (said_index, size), (index, said_size)):
        root = ROOTS[size]
        judge = InclusionProof(at, of, path)
        theirs = holds(partial(judge.check, LEAVES[index], root), InclusionProofInvalid)
        assert included(LEAVES[index], at, head(of, root), path) is theirs


@settings(max_examples=300, deadline=None)
@given(sizes, st.data())
def test_consistency_as_tlog_scales_judges_it(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    path = changed_path(data, proof.prove_consistency(old, size, nodes))
    said_old, said_new = data.draw(sizes), data.draw(sizes)
    for before, after in ((old, size), (said_old, size), (old, said_new)):
        roots = ROOTS[old], ROOTS[size]
        judge = ConsistencyProof(before, after, path)
        theirs = holds(partial(judge.check, *roots), ConsistencyProofInvalid)
        assert continued(head(before, roots[0]), head(after, roots[1]), path) is theirs


def changed_path(data: st.DataObject, path: list[bytes]) -> list[bytes]:
    """Return a path as it was, or with something dropped, doubled, replaced or exchanged."""
    way = data.draw(st.sampled_from(["as it was", "drop", "insert", "replace", "exchange"]))
    changed = list(path)
    if way == "insert":
        changed.insert(data.draw(st.integers(0, len(path))), data.draw(st.sampled_from([*path, *LEAVES[:4]])))
    elif path and way == "drop":
        del changed[data.draw(st.integers(0, len(path) - 1))]
    elif path and way == "replace":
        changed[data.draw(st.integers(0, len(path) - 1))] = data.draw(hashes)
    elif len(path) > 1 and way == "exchange":
        at = data.draw(st.integers(0, len(path) - 2))
        changed[at], changed[at + 1] = changed[at + 1], changed[at]
    return changed


@pytest.mark.skipif(sys.version_info < (3, 12), reason="aics-tlog is for Python 3.12 and newer")
@settings(max_examples=200, deadline=None)
@given(sizes, st.data())
def test_proofs_as_aics_tlog_makes_and_judges_them(size: int, data: st.DataObject) -> None:
    import aics_tlog

    judge = aics_tlog.MerkleTree([b"entry %d" % number for number in range(size)])
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(0, size))
    path = proof.prove_inclusion(index, size, nodes)
    assert path == judge.inclusion_proof(index)
    assert proof.prove_consistency(old, size, nodes) == judge.consistency_proof(old, size)
    changed = changed_path(data, path)
    said = data.draw(st.integers(0, size - 1))
    root = judge.root()
    theirs = aics_tlog.verify_inclusion(LEAVES[index], said, size, changed, root)
    assert included(LEAVES[index], said, head(size, root), changed) is theirs


# --- what is rejected -----------------------------------------------------------------------------


@settings(deadline=None)
@given(sizes, st.data())
def test_a_false_index_is_rejected(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = proof.prove_inclusion(index, size, nodes)
    false = data.draw(st.integers(-5, 2 * size + 5).filter(lambda other: other != index))
    assert not included(LEAVES[index], false, head(size), path)


def way_up(index: int, size: int) -> list[bool]:
    """Return on which side the sibling stands at each step from a leaf to the root, by the definition."""
    if size == 1:
        return []
    k = max(1 << bit for bit in range(size.bit_length()) if 1 << bit < size)
    return [*way_up(index, k), False] if index < k else [*way_up(index - k, size - k), True]


@settings(deadline=None)
@given(sizes, sizes, st.data())
@example(3, 4, None)
def test_a_false_size_is_rejected_unless_the_way_up_is_the_same(
    size: int, false: int, data: st.DataObject | None
) -> None:
    """The path does not bind the size: whoever checks has to know it together with the root."""
    index = 0 if data is None else data.draw(st.integers(0, size - 1))
    assume(false != size)
    path = proof.prove_inclusion(index, size, nodes)
    same = index < false and way_up(index, size) == way_up(index, false)
    assert included(LEAVES[index], index, head(false, ROOTS[size]), path) is same
    # With the root that belongs to the false size, as a signed checkpoint has it, nothing is left open.
    assert not included(LEAVES[index], index, head(false), path)


@settings(deadline=None)
@given(sizes, st.data())
def test_another_leaf_or_root_is_rejected(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path, other = proof.prove_inclusion(index, size, nodes), data.draw(hashes)
    assert not included(other, index, head(size), path)
    assert not included(LEAVES[index], index, head(size, other), path)


@settings(deadline=None)
@given(sizes, st.data())
def test_a_surplus_or_a_missing_hash_is_rejected(size: int, data: st.DataObject) -> None:
    index, surplus = data.draw(st.integers(0, size - 1)), data.draw(hashes)
    path = proof.prove_inclusion(index, size, nodes)
    for at in range(len(path) + 1):
        assert not included(LEAVES[index], index, head(size), [*path[:at], surplus, *path[at:]])
    for at in range(len(path)):
        assert not included(LEAVES[index], index, head(size), path[:at] + path[at + 1 :])


@settings(deadline=None)
@given(sizes, st.data())
def test_every_bit_of_a_path_counts(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    path = proof.prove_inclusion(index, size, nodes)
    assume(path)
    at, bit = data.draw(st.integers(0, len(path) - 1)), data.draw(st.integers(0, 255))
    path[at] = (int.from_bytes(path[at], "big") ^ 1 << bit).to_bytes(32, "big")
    assert not included(LEAVES[index], index, head(size), path)


@settings(deadline=None)
@given(sizes, st.data())
def test_a_consistency_proof_of_something_else_is_rejected(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    path, other = proof.prove_consistency(old, size, nodes), data.draw(hashes)
    assert not continued(head(old, other), head(size), path)
    if old not in (0, size):  # to an empty tree there is nothing to prove
        assert not continued(head(old), head(size, other), path)
    for at in range(len(path) + 1):
        assert not continued(head(old), head(size), [*path[:at], other, *path[at:]])
    for at in range(len(path)):
        assert not continued(head(old), head(size), path[:at] + path[at + 1 :])
        assert not continued(head(old), head(size), [*path[:at], other, *path[at + 1 :]])
    if old != size:
        assert not continued(head(size), head(old), path), "a tree does not shrink"


@settings(deadline=None)
@given(sizes, st.data())
def test_a_false_size_in_a_consistency_proof_is_rejected_with_its_root(
    size: int, data: st.DataObject
) -> None:
    old, false = data.draw(st.integers(1, size)), data.draw(sizes)
    path = proof.prove_consistency(old, size, nodes)
    if false != size:
        assert not continued(head(old), head(false), path) or not path
    if false != old:
        assert not continued(head(false), head(size), path) or (false == size and not path)


@settings(deadline=None)
@given(sizes, st.data())
def test_a_tree_that_was_rewritten_is_not_continued(size: int, data: st.DataObject) -> None:
    """Whatever a log that rewrote a leaf sends as a proof made from its new tree, the old root refuses it."""
    old = data.draw(st.integers(1, size))
    at = data.draw(st.integers(0, old - 1))
    rewritten = [*LEAVES[:at], data.draw(hashes), *LEAVES[at + 1 :]]

    def forged(height: int, index: int) -> bytes:
        return mth(rewritten[index << height : (index + 1) << height])

    path = proof.prove_consistency(old, size, forged)
    proof.check_consistency(head(old, mth(rewritten[:old])), head(size, mth(rewritten[:size])), path)
    assert not continued(head(old), head(size, mth(rewritten[:size])), path)


def test_checkpoints_of_two_logs_are_not_compared() -> None:
    with pytest.raises(ProofError, match="two logs"):
        proof.check_consistency(head(1), Checkpoint("other", 1, head(1).root), [])


def test_the_empty_tree() -> None:
    proof.check_consistency(head(0), head(0), [])
    proof.check_consistency(head(0), head(9), [])
    assert not continued(head(0, bytes(32)), head(9), [])
    assert not continued(head(0, bytes(32)), head(0, bytes(32)), [])
    assert not continued(head(0), head(0, bytes(32)), [])
    assert not continued(head(0), head(9), [bytes(32)])
    assert not included(tree.EMPTY_ROOT, 0, head(0), [])


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_hash_has_32_bytes(length: int) -> None:
    path = proof.prove_inclusion(2, 5, nodes)
    wrong = bytes(length)
    assert not included(wrong, 2, head(5), path)
    assert not included(LEAVES[2], 2, head(5, wrong), path)
    assert not included(LEAVES[2], 2, head(5), [wrong, *path[1:]])
    assert not continued(head(3, wrong), head(5), proof.prove_consistency(3, 5, nodes))
    assert not continued(head(3), head(5), [wrong])


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3), (4, 3)])
def test_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        proof.prove_inclusion(index, size, nodes)


@pytest.mark.parametrize(("old", "new"), [(-1, 3), (4, 3), (1, 0)])
def test_no_proof_that_a_tree_shrinks(old: int, new: int) -> None:
    with pytest.raises(ProofError):
        proof.prove_consistency(old, new, nodes)


def test_a_path_of_the_largest_tree_is_made_of_53_nodes() -> None:
    asked: list[tuple[int, int]] = []

    def count(height: int, index: int) -> bytes:
        asked.append((height, index))
        return bytes(32)

    assert len(proof.prove_inclusion(0, 2**53 - 1, count)) == 53
    assert len(asked) <= 2 * 53
    assert all((index + 1) << height <= 2**53 - 1 for height, index in asked), "no node beyond the tree"
