"""The portable proof: its vectors, its one form, and what of it is authenticated."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from attest import note, tlog_proof, tree
from attest.checkpoint import Checkpoint
from attest.errors import MalformedError, NonoError, SignatureError
from attest.keys import SigningKey
from attest.note import Verifier
from attest.tlog_proof import TlogProof

VECTORS = Path(__file__).parents[1] / "vectors" / "attest" / "tlog-proof"
KEY, OTHER = SigningKey(bytes(32)), SigningKey(bytes(range(32)))
ORIGIN = "host/" + "0" * 32
ENTRY = b'{"a":1}'
SIBLING = tree.hash_leaf(b"sibling")
HEAD = Checkpoint(ORIGIN, 2, tree.hash_node(tree.hash_leaf(ENTRY), SIBLING))
NOTE = HEAD.sign([KEY]).encode()
PROOF = TlogProof(0, (SIBLING,), NOTE)


def vectors(*, fail: bool) -> list[Path]:
    found = sorted(path for path in VECTORS.iterdir() if path.name.endswith("_fail") is fail)
    assert found
    return found


def known(vector: Path) -> Verifier:
    return Verifier.from_vkey((vector / "vkey.txt").read_text(encoding="utf-8").removesuffix("\n"))


@pytest.mark.parametrize("vector", vectors(fail=False), ids=lambda path: path.name)
def test_vector(vector: Path) -> None:
    data, verifier = (vector / "proof.txt").read_bytes(), known(vector)
    read = tlog_proof.parse(data)
    assert read.encode() == data
    signed = tlog_proof.verify(read, (vector / "entry.bin").read_bytes(), [verifier])
    assert tlog_proof.open_checkpoint(read, [verifier]) == (signed, (verifier,))
    assert signed == read.unsigned_checkpoint()
    assert signed.origin == verifier.name


@pytest.mark.parametrize("vector", vectors(fail=True), ids=lambda path: path.name)
def test_vector_is_refused(vector: Path) -> None:
    with pytest.raises(NonoError) as caught:
        tlog_proof.verify(
            tlog_proof.parse((vector / "proof.txt").read_bytes()),
            (vector / "entry.bin").read_bytes(),
            [known(vector)],
        )
    assert caught.value.code == (vector / "expected.txt").read_text(encoding="ascii").strip()


def test_every_changed_bit_of_a_proof_is_refused() -> None:
    """Without extra data every bit of a proof is either form, path or signed."""
    data = PROOF.encode()
    assert tlog_proof.verify(tlog_proof.parse(data), ENTRY, [Verifier(ORIGIN, KEY.public)]) == HEAD
    for at in range(8 * len(data)):
        changed = bytearray(data)
        changed[at >> 3] ^= 1 << (at & 7)
        with pytest.raises(NonoError):
            tlog_proof.verify(tlog_proof.parse(bytes(changed)), ENTRY, [Verifier(ORIGIN, KEY.public)])


@settings(max_examples=300)
@given(st.data())
def test_every_change_of_a_proof_is_refused(data: st.DataObject) -> None:
    changed = bytearray(PROOF.encode())
    at = data.draw(st.integers(0, len(changed)))
    changed[at : at + data.draw(st.integers(0, 2))] = data.draw(
        st.one_of(st.binary(max_size=3), st.sampled_from([b"\n", b" ", b"=", b"0", b"\n\n", b"index 0\n"]))
    )
    if changed != PROOF.encode():
        with pytest.raises(NonoError):
            tlog_proof.verify(tlog_proof.parse(bytes(changed)), ENTRY, [Verifier(ORIGIN, KEY.public)])


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_no_second_form_of_a_proof(rest: bytes) -> None:
    for data in (rest, tlog_proof.HEADER + rest, tlog_proof.HEADER + b"index 0\n" + rest + b"\n" + NOTE):
        try:
            read = tlog_proof.parse(data)
        except MalformedError:
            continue
        assert read.encode() == data


@given(
    st.integers(0, 2**53 - 2),
    st.lists(st.binary(min_size=32, max_size=32), max_size=53),
    st.binary(max_size=100),
)
def test_a_proof_is_read_as_it_was_written(index: int, hashes: list[bytes], extra: bytes) -> None:
    made = TlogProof(index, tuple(hashes), NOTE, extra)
    assert tlog_proof.parse(made.encode()) == made


@pytest.mark.parametrize(
    "made",
    [
        TlogProof(-1, (), NOTE),
        TlogProof(2**53 - 1, (), NOTE),
        TlogProof(0, (bytes(31),), NOTE),
        TlogProof(0, (bytes(32),) * 54, NOTE),
        TlogProof(0, (), NOTE, bytes(65_537)),
        TlogProof(0, (), NOTE[:-1]),
        TlogProof(0, (), b""),
        TlogProof(0, (), HEAD.text().encode()),
    ],
)
def test_what_could_not_be_read_back_is_not_written(made: TlogProof) -> None:
    with pytest.raises(MalformedError):
        made.encode()


def test_the_largest_proof_is_read_and_no_larger_one() -> None:
    lines = "".join(f"\u2014 k{i} {base64.b64encode(bytes(8192)).decode()}\n" for i in range(63))
    signed = NOTE + lines.encode()
    largest = TlogProof(0, (SIBLING,) * 53, signed, bytes(65_536))
    assert tlog_proof.parse(largest.encode()) == largest
    with pytest.raises(MalformedError):
        tlog_proof.parse(PROOF.encode() + b"x" * tlog_proof.MAX_BYTES)


def test_extra_data_is_not_authenticated() -> None:
    changed = TlogProof(0, (SIBLING,), NOTE, b"anything")
    assert tlog_proof.verify(changed, ENTRY, [Verifier(ORIGIN, KEY.public)]) == HEAD


def test_a_false_size_needs_a_false_signature() -> None:
    """Leaf 0 of 3 and of 4 have one way up: only that size and root are signed together tells them apart."""
    leaves = [tree.hash_leaf(bytes([number])) for number in range(3)]
    path = (leaves[1], leaves[2])
    truth = Checkpoint(ORIGIN, 3, tree.root(leaves))
    verifier = Verifier(ORIGIN, KEY.public)
    assert tlog_proof.verify(TlogProof(0, path, truth.sign([KEY]).encode()), b"\0", [verifier]).size == 3
    false = truth.sign([KEY]).replace("\n3\n", "\n4\n").encode()
    assert TlogProof(0, path, false).unsigned_checkpoint().size == 4
    with pytest.raises(SignatureError):
        tlog_proof.verify(TlogProof(0, path, false), b"\0", [verifier])


def test_at_a_handover_either_key_will_do_and_both_are_named() -> None:
    ours, theirs = Verifier(ORIGIN, KEY.public), Verifier(ORIGIN, OTHER.public)
    both = TlogProof(0, (SIBLING,), HEAD.sign([KEY, OTHER]).encode())
    assert tlog_proof.open_checkpoint(both, [ours])[1] == (ours,)
    assert tlog_proof.open_checkpoint(both, [theirs])[1] == (theirs,)
    assert tlog_proof.open_checkpoint(both, [theirs, ours])[1] == (ours, theirs)


def test_a_key_that_is_trusted_for_another_log_does_not_count() -> None:
    other = "other/" + "1" * 32
    signed = note.sign(HEAD.text(), [(ORIGIN, KEY), (other, OTHER)]).encode()
    with pytest.raises(SignatureError) as caught:
        tlog_proof.verify(TlogProof(0, (SIBLING,), signed), ENTRY, [Verifier(other, OTHER.public)])
    assert caught.value.code == "signature.origin"
    held = tlog_proof.open_checkpoint(
        TlogProof(0, (SIBLING,), signed), [Verifier(other, OTHER.public), Verifier(ORIGIN, KEY.public)]
    )[1]
    assert held == (Verifier(ORIGIN, KEY.public),)


def test_without_a_trusted_key_nothing_is_proved() -> None:
    with pytest.raises(SignatureError) as caught:
        tlog_proof.verify(PROOF, ENTRY, [])
    assert caught.value.code == "signature.unknown_key"
