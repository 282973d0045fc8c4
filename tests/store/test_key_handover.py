"""A ledger belongs to one key and to those that it hands over to."""

from __future__ import annotations

from itertools import pairwise

import pytest

from attest import checkpoint, entry
from attest.keys import SigningKey
from store import LedgerError, TamperedLedgerError
from tests.store.place import Place, drafts


@pytest.fixture
def successor() -> SigningKey:
    return SigningKey.generate()


def test_the_head_over_a_handover_carries_both_signatures_and_is_kept(
    place: Place, successor: SigningKey
) -> None:
    with place.found(3) as ledger:
        turn = ledger.hand_over(successor, "yearly")
        assert (turn.index, turn.entry.kind, turn.entry.data["reason"]) == (4, entry.KEY, "yearly")
        assert place.select("SELECT size, note FROM checkpoint") == [(5, place.head())]
        place.check(place.key, successor)
        ledger.append(drafts())
        place.check(successor)
        assert place.select("SELECT size FROM checkpoint") == [(5,)]


def test_the_new_key_opens_it_and_the_old_one_does_not(place: Place, successor: SigningKey) -> None:
    with place.found() as ledger:
        ledger.hand_over(successor, "test")
    for after in range(2):
        with pytest.raises(LedgerError) as caught:
            place.open()
        assert caught.value.code == "ledger.other_key"
        with place.open(successor) as ledger:
            ledger.append(drafts())
        assert len(place.check(successor)) == 3 + after


def test_handovers_follow_one_another(place: Place) -> None:
    keys = [place.key, *(SigningKey.generate() for _ in range(3))]
    for old, new in pairwise(keys):
        with place.found() if old is place.key else place.open(old) as ledger:
            ledger.append(drafts(2))
            ledger.hand_over(new, "test")
    with place.open(keys[-1]) as ledger:
        ledger.append(drafts())
    place.check(keys[-1])
    bodies = place.bodies()
    for (size, note), pair in zip(
        place.select("SELECT size, note FROM checkpoint ORDER BY size"),
        pairwise(keys),
        strict=True,
    ):
        origin = entry.parse(bodies[0]).data["origin"]
        assert isinstance(origin, str)
        head = checkpoint.open_signed(note.encode(), origin, [key.public for key in pair])
        assert head.size == size
        assert entry.parse(bodies[size - 1]).kind == entry.KEY


def test_a_writer_with_the_old_key_learns_of_the_handover_and_calls_it_no_tampering(
    place: Place, successor: SigningKey
) -> None:
    with place.found(1) as old:
        with place.open() as other:
            other.hand_over(successor, "test")
        before = place.head()
        for _ in range(2):
            with pytest.raises(LedgerError) as caught:
                old.append(drafts())
            assert caught.value.code == "ledger.other_key"
        with place.open(successor) as new:
            new.append(drafts())
        with pytest.raises(LedgerError) as caught:
            old.append(drafts())
        assert caught.value.code == "ledger.other_key"
    assert before != place.head()
    place.check(successor)


def test_a_ledger_is_not_handed_over_to_its_own_key(place: Place) -> None:
    with place.found() as ledger, pytest.raises(LedgerError) as caught:
        ledger.hand_over(place.key, "test")
    assert caught.value.code == "ledger.same_key"
    place.check()


def test_a_stranger_cannot_hand_over_to_itself(place: Place) -> None:
    """A handover that only the stranger signed, with everything else in order."""
    with place.found(1) as ledger:
        origin = ledger.origin
    stranger = SigningKey.generate()
    forged = Place(place.directory, stranger, "forged.db")
    with forged.found(1) as ledger:
        ledger.hand_over(SigningKey.generate(), "test")
    (body,) = forged.bodies()[2:]
    note = checkpoint.Checkpoint(origin, 3, bytes(32)).sign([stranger, stranger])
    with place.attack() as connection:
        connection.execute("INSERT INTO entry VALUES (2, ?)", (body.decode(),))
        connection.execute("INSERT INTO checkpoint VALUES (3, ?)", (note,))
    before = place.head()
    for key in (place.key, stranger):
        with pytest.raises(TamperedLedgerError, match="checkpoint kept at 3"):
            place.open(key)
    assert place.head() == before


def test_a_handover_that_was_taken_out_does_not_bring_the_old_key_back(
    place: Place, successor: SigningKey
) -> None:
    with place.found(1) as ledger:
        ledger.hand_over(successor, "test")
        ledger.append(drafts())
    with place.attack() as connection:
        connection.execute("DELETE FROM checkpoint")
    with pytest.raises(TamperedLedgerError):
        place.open()
    with pytest.raises(LedgerError):
        place.open(successor)


def test_the_checkpoints_of_two_handovers_are_not_exchanged(place: Place, successor: SigningKey) -> None:
    """Both were signed by the same two keys, so only their sizes tell them apart."""
    with place.found(1) as ledger:
        ledger.hand_over(successor, "there")
        ledger.hand_over(place.key, "and back")
        ledger.hand_over(successor, "and there")
        ledger.append(drafts())
    with place.open(successor):
        pass
    with place.attack() as connection:
        connection.execute(
            "UPDATE checkpoint SET note = (SELECT note FROM checkpoint WHERE size = 3) WHERE size = 5"
        )
    with pytest.raises(TamperedLedgerError, match="another size"):
        place.open(successor)
