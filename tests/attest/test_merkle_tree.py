"""The tree against pymerkle, the definition of RFC 9162 and published roots."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymerkle import InmemoryTree

from attest import tree
from attest.errors import ProofError
from attest.tree import Edge

# The reference inputs and roots of Certificate Transparency (transparency-dev/merkle, testonly).
CT_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
CT_ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def mth(entries: list[bytes]) -> bytes:
    """Return MTH(D[n]) as RFC 9162, section 2.1.1, defines it: recursively, over the entries."""
    n = len(entries)
    if n == 0:
        return hashlib.sha256(b"").digest()
    if n == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    k = max(1 << bit for bit in range(n.bit_length()) if 1 << bit < n)
    return hashlib.sha256(b"\x01" + mth(entries[:k]) + mth(entries[k:])).digest()


def entries_of(size: int) -> list[bytes]:
    return [b"entry %d" % number for number in range(size)]


@pytest.mark.parametrize("size", range(len(CT_ROOTS)))
def test_published_roots(size: int) -> None:
    assert tree.root(map(tree.hash_leaf, CT_LEAVES[:size])).hex() == CT_ROOTS[size]
    assert mth(CT_LEAVES[:size]).hex() == CT_ROOTS[size]


def test_every_size_up_to_300_has_the_root_of_pymerkle() -> None:
    judge = InmemoryTree(algorithm="sha256")
    edge = Edge()
    assert edge.root() == judge.get_root()
    for entry in entries_of(300):
        judge.append_entry(entry)
        edge.append(tree.hash_leaf(entry))
        assert (edge.size, edge.root()) == (judge.get_size(), judge.get_root())


@settings(max_examples=100)
@given(st.lists(st.binary(max_size=70), max_size=70))
def test_the_root_is_that_of_the_definition(entries: list[bytes]) -> None:
    assert tree.root([tree.hash_leaf(entry) for entry in entries]) == mth(entries)


@pytest.mark.parametrize("size", [*range(70), 255, 256, 257, 1000])
def test_the_edge_is_the_maximal_perfect_subtrees(size: int) -> None:
    entries = entries_of(size)
    edge = Edge()
    for entry in entries:
        edge.append(tree.hash_leaf(entry))
    covered, expected = 0, []
    for height, index in tree.edge_nodes(size):
        assert index << height == covered, "no gap and no overlap, from left to right"
        covered += 1 << height
        expected.append(mth(entries[index << height : covered]))
    assert covered == size
    assert edge.nodes == expected


@given(st.integers(0, 2**53))
def test_edge_nodes_tile_every_size(size: int) -> None:
    covered, last = 0, 54
    for height, index in tree.edge_nodes(size):
        assert height < last
        assert index << height == covered
        covered, last = covered + (1 << height), height
    assert covered == size


@given(st.integers(0, 300), st.integers(0, 60))
def test_an_edge_that_was_stored_grows_like_one_that_was_not(size: int, more: int) -> None:
    leaves = [tree.hash_leaf(entry) for entry in entries_of(size + more)]
    edge = Edge()
    for leaf in leaves[:size]:
        edge.append(leaf)
    again = Edge.decode(size, edge.encode())
    copied = edge.copy()
    for leaf in leaves[size:]:
        again.append(leaf)
        copied.append(leaf)
    assert again.root() == copied.root() == tree.root(leaves)
    assert edge.size == size
    assert edge.root() == tree.root(leaves[:size]), "a copy grows by itself"


@pytest.mark.parametrize("exponent", range(9))
def test_a_perfect_root_is_the_root(exponent: int) -> None:
    leaves = [tree.hash_leaf(entry) for entry in entries_of(1 << exponent)]
    assert tree.perfect_root(leaves) == mth(entries_of(1 << exponent))
    assert len(leaves) == 1 << exponent, "the caller's list is not consumed"


@pytest.mark.parametrize("count", [0, 3, 5, 6, 7, 255, 257])
def test_no_perfect_root_over_another_number(count: int) -> None:
    with pytest.raises(ProofError) as caught:
        tree.perfect_root([bytes(32)] * count)
    assert caught.value.code == "proof.invalid"


@pytest.mark.parametrize(
    ("size", "length"),
    [(0, 32), (1, 0), (1, 31), (1, 33), (1, 64), (3, 32), (3, 96), (4, 64), (-1, 0), (-1, 32)],
)
def test_an_edge_of_another_length_is_refused(size: int, length: int) -> None:
    with pytest.raises(ProofError):
        Edge.decode(size, bytes(length))


@pytest.mark.parametrize(("size", "nodes"), [(-1, 1), (0, 1), (2, 2), (3, 1)])
def test_an_edge_has_a_node_for_each_bit(size: int, nodes: int) -> None:
    with pytest.raises(ProofError):
        Edge(size, [bytes(32)] * nodes)


def test_a_leaf_is_never_a_node() -> None:
    left, right = tree.hash_leaf(b"l"), tree.hash_leaf(b"r")
    assert tree.hash_leaf(left + right) != tree.hash_node(left, right)
    assert tree.root([tree.hash_leaf(left + right)]) != tree.root([left, right])
