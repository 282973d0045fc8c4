"""Handovers: which keys a ledger is under, and what it takes to meet a pin."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from attest import entry, tree
from attest.keys import SigningKey
from attest.note import Verifier
from verify.epochs import Epochs

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.verify.conftest import Bench, Book

KEY, SUCCESSOR, STRANGER = (SigningKey(bytes([number]) * 32) for number in (1, 2, 3))


@pytest.fixture
def turned(new_book: Callable[..., Book]) -> Book:
    """Return a launch, a handover at entry 5, a launch under the new key."""
    book = new_book()
    book.launch()
    assert book.hand_over(SUCCESSOR) == 5
    book.launch()
    return book


def test_both_keys_verify_a_ledger_that_was_handed_over(bench: Bench, turned: Book) -> None:
    path = bench.write(turned)
    by_genesis, by_head = bench.verify(path), bench.verify(path, key="successor.pub")
    assert by_genesis.status == by_head.status == 0
    assert by_genesis.document["pins"][0]["met"] == "genesis"
    assert by_head.document["pins"][0]["met"] == "head"
    assert by_genesis.document["epochs"] == [
        {"fingerprint": KEY.public.fingerprint(), "first": 0},
        {"fingerprint": SUCCESSOR.public.fingerprint(), "first": 6},
    ]
    assert "only the pinned key vouches" not in by_genesis.text
    assert "the first 6 entries were written under earlier keys: only the pinned key vouches" in by_head.text
    assert bench.verify(path, key="stranger.pub").codes == ["key.not_pinned"]


def test_only_pins_that_are_met_are_called_met(bench: Bench, new_book: Callable[..., Book]) -> None:
    """A verifier key of another ledger of the same key is not, though its key is the right one."""
    book, other = new_book(), new_book(name="other")
    for name, origin in (("this", book.origin), ("other", other.origin)):
        with open(bench.path(f"{name}.vkey"), "w", encoding="utf-8") as file:
            file.write(Verifier(origin, KEY.public).vkey())
    names = ["other.vkey", "key.pub", "this.vkey", "stranger.pub"]
    asked = [part for name in names for part in ("-k", bench.path(name))]
    said = bench.verify(bench.write(book), *asked, key=None)
    assert [pin["met"] for pin in said.document["pins"]] == [None, "genesis", "genesis", None]


def test_a_ledger_that_ends_in_its_handover(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    book.hand_over(SUCCESSOR)
    path = bench.write(book)
    assert bench.verify(path).status == bench.verify(path, key="successor.pub").status == 0


def test_handover_after_handover(bench: Bench, turned: Book) -> None:
    third = SigningKey(b"\x04" * 32)
    turned.hand_over(third)
    turned.hand_over(STRANGER)
    path = bench.write(turned)
    assert bench.verify(path).status == 0
    assert bench.verify(path, key="stranger.pub").status == 0
    # A key in the middle has neither founded the ledger nor signed its head.
    assert bench.verify(path, key="successor.pub").codes == ["key.not_pinned"]


def test_a_launch_that_spans_a_handover(bench: Bench, new_book: Callable[..., Book], shapes: Any) -> None:
    book = new_book()
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    book.add(entry.START, session, shapes.START)
    book.hand_over(SUCCESSOR)
    book.add(entry.OUTCOME, session, shapes.OUTCOME)
    book.attest(session)
    assert bench.verify(bench.write(book)).status == 0
    book = new_book()
    session = book.new_session()
    book.add(entry.INTENT, session, shapes.INTENT)
    book.hand_over(SUCCESSOR)
    book.add(entry.OUTCOME, session, shapes.REFUSED)
    book.attest(session, KEY)
    assert bench.verify(bench.write(book)).codes == ["launch.signature"]


def test_a_strangers_ledger_that_ends_in_a_handover_to_the_pinned_key(
    bench: Bench, new_book: Callable[..., Book]
) -> None:
    """The stranger can name the pinned key, but cannot sign with it."""
    book = new_book(STRANGER)
    book.launch()
    index = book.hand_over(KEY)
    for signers in ([STRANGER], [STRANGER, STRANGER], [STRANGER, SUCCESSOR]):
        said = bench.verify(bench.write(book, head=book.note(index + 1, signers)))
        assert (said.status, "head.signature" in said.codes) == (1, True)
    book.keys[-1] = (index + 1, [STRANGER, STRANGER])
    said = bench.verify(bench.write(book))
    assert said.status == 1
    assert "checkpoint.signature" in said.codes
    book.kept.clear()
    assert {"checkpoint.missing", "head.signature"} <= set(bench.verify(bench.write(book)).codes)


def test_a_stranger_who_goes_on_under_a_key_of_their_own(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book(STRANGER)
    book.hand_over(KEY)
    book.keys[-1] = (book.keys[-1][0], [STRANGER, STRANGER])
    book.hand_over(SUCCESSOR)
    book.keys[-1] = (book.keys[-1][0], [STRANGER, SUCCESSOR])
    assert bench.verify(bench.write(book)).status == 1


@pytest.mark.parametrize("signers", [[SUCCESSOR, KEY], [KEY], [SUCCESSOR], [KEY, KEY], [KEY, SUCCESSOR, KEY]])
def test_the_kept_checkpoint_has_both_signatures_in_that_order(
    bench: Bench, turned: Book, signers: list[SigningKey]
) -> None:
    note = turned.note(6, signers)
    path = bench.alter(bench.write(turned), ("UPDATE checkpoint SET note = ?", (note,)))
    said = bench.verify(path)
    assert (said.status, said.codes) == (1, ["checkpoint.signature"])


def test_a_handover_without_its_checkpoint(bench: Bench, turned: Book) -> None:
    said = bench.verify(bench.alter(bench.write(turned), "DELETE FROM checkpoint"))
    assert (said.status, said.codes) == (1, ["checkpoint.missing"])
    assert said.document["findings"][0]["index"] == 5


@pytest.mark.parametrize("size", [5, 7, 10])
def test_a_kept_checkpoint_moved_to_another_size(bench: Bench, turned: Book, size: int) -> None:
    path = bench.alter(bench.write(turned), f"UPDATE checkpoint SET size = {size}")
    said = bench.verify(path)
    assert said.status == 1
    assert "checkpoint.missing" in said.codes


def test_a_kept_checkpoint_of_another_root(bench: Bench, turned: Book) -> None:
    other = turned.bodies[3]
    turned.bodies[3] = other.replace(b'"exit":0', b'"exit":1')
    note = turned.note(6)
    turned.bodies[3] = other
    path = bench.alter(bench.write(turned), ("UPDATE checkpoint SET note = ?", (note,)))
    assert bench.verify(path).codes == ["checkpoint.root"]


def test_a_kept_checkpoint_of_another_ledger(
    bench: Bench, turned: Book, new_book: Callable[..., Book]
) -> None:
    other = new_book(name="other")
    other.launch()
    other.hand_over(SUCCESSOR)
    path = bench.alter(bench.write(turned), ("UPDATE checkpoint SET note = ?", (other.note(6),)))
    assert bench.verify(path).codes == ["checkpoint.origin"]


def test_the_old_key_signs_on(bench: Bench, turned: Book) -> None:
    said = bench.verify(bench.write(turned, head=turned.note(len(turned.bodies), [KEY])))
    assert (said.status, said.codes) == (1, ["head.signature"])


def test_no_key_twice(bench: Bench, turned: Book) -> None:
    turned.hand_over(KEY)
    said = bench.verify(bench.write(turned))
    assert (said.status, said.codes) == (1, ["key.repeated"])


def test_a_handover_to_the_key_in_force(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    book.hand_over(KEY)
    assert bench.verify(bench.write(book)).codes == ["key.repeated"]


def test_a_handover_to_a_key_that_anyone_can_sign_for(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    spki = bytes.fromhex("302a300506032b6570032100") + bytes(32)
    book.add(entry.KEY, None, {"public_key": base64.b64encode(spki).decode(), "reason": "x"})
    assert "key.form" in bench.verify(bench.write(book)).codes


def test_anchored_sizes_are_kept_and_only_they(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    book.launch()
    book.kept.append(3)
    assert bench.verify(bench.write(book)).codes == ["checkpoint.surplus"]
    evidence = {"evidence": "AAAA", "type": "rfc3161"}
    book.add(entry.ANCHOR, None, {"covers": {"size": 3}, **evidence})
    said = bench.verify(bench.write(book))
    assert said.status == 0
    assert "anchors.unread" in [caveat["code"] for caveat in said.document["not_excluded"]]
    book.add(entry.ANCHOR, None, {"covers": {"size": 4}, **evidence})
    assert bench.verify(bench.write(book)).codes == ["checkpoint.missing"]
    book.kept.append(4)
    assert bench.verify(bench.write(book)).status == 0


def test_an_anchor_covers_what_stands_above_it(bench: Bench, new_book: Callable[..., Book]) -> None:
    book = new_book()
    evidence = {"evidence": "AAAA", "type": "identity"}
    book.launch()
    attested = tree.hash_leaf(book.bodies[4]).hex()
    assert book.add(entry.ANCHOR, None, {"covers": {"leaf": attested}, **evidence}) == 5
    assert bench.verify(bench.write(book)).status == 0
    book.launch()
    for covers in (
        {"leaf": "0" * 64},
        {"leaf": tree.hash_leaf(book.bodies[3]).hex()},
        {"size": len(book.bodies) + 1},
        {"size": 1_000},
    ):
        book.add(entry.ANCHOR, None, {"covers": covers, **evidence})
        assert bench.verify(bench.write(book)).codes == ["anchor.covers"]
        del book.bodies[-1]
    after = book.bodies.pop(9)
    assert json.loads(after)["kind"] == entry.ATTESTATION
    book.add(entry.ANCHOR, None, {"covers": {"leaf": tree.hash_leaf(after).hex()}, **evidence})
    book.bodies.append(after)
    assert "anchor.covers" in bench.verify(bench.write(book)).codes


def test_which_key_is_in_force_where() -> None:
    epochs = Epochs(KEY.public)
    assert epochs.hand_over(5, SUCCESSOR.public)
    assert epochs.hand_over(6, STRANGER.public)
    assert not epochs.hand_over(9, KEY.public)
    assert [epochs.key_at(index) for index in (0, 5, 6, 7, 9, 10)] == [
        KEY.public, KEY.public, SUCCESSOR.public, STRANGER.public, STRANGER.public, KEY.public,
    ]  # fmt: skip
    assert epochs.signers(5) == [KEY.public]
    assert epochs.signers(6) == [KEY.public, SUCCESSOR.public]
    assert epochs.signers(7) == [SUCCESSOR.public, STRANGER.public]
    assert epochs.signers(8) == [STRANGER.public]
    assert epochs.signers(10) == [STRANGER.public, KEY.public]
