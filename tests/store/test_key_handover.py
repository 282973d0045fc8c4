"""A ledger belongs to one key and to those that it hands over to."""

from __future__ import annotations

import base64
import os
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import pytest

from attest import checkpoint, entry, tree
from attest.errors import MalformedError
from attest.keys import SigningKey
from store import Ledger, LedgerError, TamperedLedgerError
from store.key_history import KeyHistory
from store.open_sessions import OpenSessions, Supervisor
from tests.store.place import Place, drafts
from verify import pins, verify

if TYPE_CHECKING:
    from attest.canonical import Json


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


def test_a_kept_checkpoint_of_another_size_is_none_of_a_handover(place: Place, successor: SigningKey) -> None:
    """Both keys signed it, so only its size tells it from the one that should stand there."""
    with place.found(1) as ledger:
        turn = ledger.hand_over(successor, "there")
        genesis = entry.parse(place.bodies()[0])
        exchanged = checkpoint.Checkpoint(ledger.origin, 3 + 2, bytes(32)).sign([place.key, successor])
        (kept,) = place.select("SELECT note FROM checkpoint")
    with pytest.raises(MalformedError, match="another size"):
        KeyHistory(genesis).follow(3, exchanged.encode(), turn.entry)
    KeyHistory(genesis).follow(3, kept[0].encode(), turn.entry)


def test_a_key_comes_into_force_once(place: Place, successor: SigningKey) -> None:
    """The verifier holds a second time against the ledger, so the writer never makes one."""
    with place.found(1) as ledger:
        ledger.hand_over(successor, "there")
        with pytest.raises(LedgerError) as caught:
            ledger.hand_over(place.key, "and back")
        assert caught.value.code == "ledger.former_key"
    with place.open(successor) as ledger:
        with pytest.raises(LedgerError) as caught:
            ledger.hand_over(place.key, "and back")
        assert caught.value.code == "ledger.former_key"
        ledger.append(drafts())
    assert verdict(place, place.key).met == "genesis"


# --- what the verifier says --------------------------------------------------------------------------


class Said(NamedTuple):
    """The verifier's exit code without the launches' own findings, how the pin is met, and all it says."""

    tampered: bool
    met: str | None
    codes: set[str]
    not_excluded: str


def verdict(place: Place, *keys: SigningKey) -> Said:
    said = verify(place.path, pins=[pins.Pin(key.public) for key in keys])
    codes = {finding.code for finding in said.findings}
    # Intents alone are launches that did not end; nothing else may be found.
    return Said(
        said.exit == 1,
        next((pin.met for pin in said.pins if pin.met), None),
        codes - {"launch.unfinished"},
        "\n".join(caveat.message for caveat in said.not_excluded),
    )


@pytest.fixture
def chain(place: Place) -> list[SigningKey]:
    """A ledger that five keys had, one after another, with entries under each."""
    keys = [place.key, *(SigningKey.generate() for _ in range(4))]
    place.found().close()
    for old, new in pairwise(keys):
        with place.open(old) as ledger:
            ledger.append(drafts(2))
            ledger.hand_over(new, "routine")
    with place.open(keys[-1]) as ledger:
        ledger.append(drafts(2))
    return keys


def test_five_keys_verify_under_the_first_and_under_the_last(place: Place, chain: list[SigningKey]) -> None:
    first, last = verdict(place, chain[0]), verdict(place, chain[-1])
    assert (first.tampered, first.met, first.codes) == (False, "genesis", set())
    assert (last.tampered, last.met, last.codes) == (False, "head", set())
    # 1 genesis, and four times two launches and a handover, were signed by others.
    assert (
        "the first 13 entries were written under earlier keys: only the pinned key vouches"
        in last.not_excluded
    )
    assert "earlier keys" not in first.not_excluded


def test_a_key_between_the_first_and_the_last_meets_no_pin(place: Place, chain: list[SigningKey]) -> None:
    for key in chain[1:-1]:
        said = verdict(place, key)
        assert (said.tampered, said.met, said.codes) == (False, None, {"key.not_pinned"})


def test_whoever_has_a_former_key_alone_rewrites_nothing(place: Place, chain: list[SigningKey]) -> None:
    """The old keys are not needed to go on, and of no use to whoever stole them."""
    for former in chain[:-1]:
        with pytest.raises(LedgerError) as caught:
            place.open(former)
        assert caught.value.code == "ledger.other_key"
    leaves = [tree.hash_leaf(body) for body in place.bodies()]
    edge = tree.Edge()
    for leaf in leaves:
        edge.append(leaf)
    (origin,) = {entry.parse(place.bodies()[0]).data["origin"]}
    forged = checkpoint.Checkpoint(str(origin), len(leaves), edge.root()).sign([chain[-2]])
    with place.attack() as connection:
        connection.execute("UPDATE head SET note = ?", (forged,))
    assert verdict(place, chain[0]).tampered


def test_a_strangers_ledger_that_hands_over_to_the_pinned_key_is_not_taken_for_its(place: Place) -> None:
    """The hijack: everything but the pinned key's own signature is there, in each way to go without it."""
    victim = SigningKey.generate()
    with place.found(2) as ledger:
        origin = ledger.origin
    bodies = place.bodies()
    data: dict[str, Json] = {
        "public_key": base64.b64encode(victim.public.spki()).decode(),
        "reason": "routine",
    }
    turn = entry.Entry(entry.KEY, None, 0, entry.parse(bodies[-1]).time, data).encode()
    edge = tree.Edge()
    for body in [*bodies, turn]:
        edge.append(tree.hash_leaf(body))
    head = checkpoint.Checkpoint(origin, len(bodies) + 1, edge.root())
    with place.attack() as connection:
        connection.execute("INSERT INTO entry VALUES (?, ?)", (len(bodies), turn.decode()))
    ways = ([place.key], [place.key, place.key], [place.key, SigningKey.generate()])
    for number, signers in enumerate(ways):
        note = head.sign(signers)
        with place.attack() as connection:
            connection.execute("UPDATE head SET note = ?, edge = ?", (note, edge.encode()))
            connection.execute("DELETE FROM checkpoint")
            if number:
                connection.execute("INSERT INTO checkpoint VALUES (?, ?)", (len(bodies) + 1, note))
        for key in (victim, place.key):
            said = verdict(place, key)
            assert said.tampered
            assert said.met is None
        with pytest.raises(LedgerError):
            place.open(victim)


# --- launches that run ------------------------------------------------------------------------------


def _mark(place: Place, ledger: Ledger) -> OpenSessions:
    sessions = OpenSessions(place.state, ledger.origin)
    sessions.enter("0" * 31 + "1", ledger.size, Supervisor("boot", "1", 2, 3))
    return sessions


def test_nothing_is_handed_over_or_sealed_while_a_launch_runs(place: Place, successor: SigningKey) -> None:
    with place.found(1) as ledger:
        sessions = _mark(place, ledger)
        before = place.head()
        for refused in (lambda: ledger.hand_over(successor, "test"), ledger.seal, ledger.require_idle):
            with pytest.raises(LedgerError, match="0000001") as caught:
                refused()
            assert caught.value.code == "ledger.running"
        assert place.head() == before
        ledger.append(drafts())  # the launch itself goes on
        sessions.leave(closed=True)
        ledger.hand_over(successor, "test")
    place.check(place.key, successor)


def test_a_launch_whose_supervisor_is_dead_does_not_stand_in_the_way(
    place: Place, successor: SigningKey
) -> None:
    with place.found(1) as ledger:
        child = os.fork()
        if child == 0:
            _mark(place, ledger)
            os._exit(0)
        os.waitpid(child, 0)
        assert os.listdir(place.directory / "state" / "running" / ledger.origin.rpartition("/")[2])
        ledger.hand_over(successor, "test")


def test_a_handover_in_spite_of_launches_that_run_has_a_name_that_says_so(
    place: Place, successor: SigningKey
) -> None:
    with place.found(1) as ledger:
        _mark(place, ledger)
        ledger.hand_over(successor, "test", unsafe_while_running=True)
    place.check(place.key, successor)
