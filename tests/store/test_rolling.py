"""Rolling: a ledger is sealed, and the next one names the head that it continues."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from attest import canonical, entry, schema
from attest.errors import MalformedError
from attest.keys import SigningKey
from store import Ledger, LedgerError
from store.errors import SealedLedgerError
from store.head_memory import HeadMemory
from store.locations import all_ledgers, open_default_ledger
from store.overview import default_ledgers_of, is_sealed, overview
from store.reading import LedgerReader
from store.rolling import roll, successor_in
from tests.store.place import Place, drafts
from verify import pins, verify

if TYPE_CHECKING:
    from pathlib import Path


def _roll(place: Place, successor: str = "next.db", *, name: str | None = None) -> Ledger:
    return roll(
        place.path,
        place.key,
        successor=os.fsencode(place.directory / successor),
        name=name,
        tool_version="0.1.0",
        state=place.state,
    )


def _refused(place: Place, **options: str) -> str:
    with pytest.raises(LedgerError) as caught:
        _roll(place, **options)
    return caught.value.code


def test_the_next_ledger_names_the_head_of_the_sealed_one(place: Place) -> None:
    with place.found(3) as ledger:
        origin = ledger.origin
    with LedgerReader(place.path) as reader:
        head = reader.head()
    with _roll(place) as following:
        assert following.origin != origin
        assert following.origin.rpartition("/")[0] == "host"
        assert following.append(drafts())[0].index == 1
    body = Place(place.directory, place.key, "next.db").bodies()[0]
    document = canonical.decode_object(body)
    schema.check_entry(document)
    assert entry.parse(body).data["previous"] == {"origin": origin, "root": head.root.hex(), "size": 4}
    for path in (place.path, os.fsencode(place.directory / "next.db")):
        said = verify(path, pins=[pins.Pin(place.key.public)])
        # The intents of this test are launches without an end.
        assert {finding.code for finding in said.findings} == {"launch.unfinished"}


def test_nothing_is_appended_to_a_sealed_ledger(place: Place) -> None:
    with place.found(1) as long_open, place.open() as other:
        other.append(drafts())
        long_open.append(drafts())
        before = place.head()
        with _roll(place) as following:
            head = following
        for ledger in (long_open, other):
            for _ in range(2):
                with pytest.raises(SealedLedgerError) as caught:
                    ledger.append(drafts())
                assert (caught.value.code, caught.value.head.size) == ("ledger.sealed", 4)
            with pytest.raises(SealedLedgerError):
                ledger.hand_over(SigningKey.generate(), "test")
            with pytest.raises(SealedLedgerError):
                ledger.seal()
        with pytest.raises(SealedLedgerError):
            place.open()
    assert place.head() == before
    assert head.path == os.fsencode(place.directory / "next.db")


def test_a_seal_stays_whoever_remembers_a_head_afterwards(place: Place) -> None:
    with place.found(1) as ledger:
        head = ledger.seal()
        memory = HeadMemory(os.path.join(place.state, b"heads"), ledger.origin)
    memory.write(head.size + 5, bytes(32))
    remembered = memory.read()
    assert remembered is not None
    assert (remembered.size, remembered.sealed) == (head.size, True)
    memory.close()
    assert is_sealed(head.origin, state=place.state)


def test_a_ledger_that_is_no_longer_what_was_signed_is_not_sealed(place: Place) -> None:
    place.found(3).close()
    place.cut(2)
    assert _refused(place) == "ledger.tampered"
    assert not (place.directory / "next.db").exists()
    assert not place.memory.read_bytes().endswith(b"sealed\n")


def test_what_cannot_be_founded_seals_nothing(place: Place) -> None:
    place.found(1).close()
    (place.directory / "taken.db").write_text("")
    assert _refused(place, successor="taken.db") == "ledger.exists"
    with pytest.raises(MalformedError):
        _roll(place, name="Not A Name")
    with place.open() as ledger:
        ledger.append(drafts())


def test_a_roll_that_was_killed_between_seal_and_successor_is_taken_up(place: Place) -> None:
    with place.found(1) as ledger:
        head = ledger.seal()
    with _roll(place) as following:
        origin = following.origin
    assert overview(os.fsencode(place.directory / "next.db"), state=place.state).previous == head
    assert successor_in(os.fsencode(place.directory), head.origin) == os.fsencode(place.directory / "next.db")
    assert _refused(place, successor="another.db") == "ledger.rolled"
    assert origin != head.origin


def test_a_default_ledger_that_was_sealed_is_continued_by_the_next_launch(place: Place) -> None:
    """Killed between seal and successor: whoever founds the next one links it."""

    def open_default(key: SigningKey) -> Ledger:
        return open_default_ledger(key, state=place.state, name="host", tool_version="0.1.0")

    with open_default(place.key) as first:
        first.append(drafts())
        head = first.seal()
    with open_default(place.key) as second:
        assert second.path != first.path
        second.append(drafts())
    assert overview(second.path, state=place.state).previous == head
    with open_default(place.key) as again:
        assert again.path == second.path
    assert [seen.path for seen in default_ledgers_of(place.key.public, state=place.state)] == [second.path]
    # Another key's ledger continues nothing, and is left alone.
    with open_default(SigningKey.generate()) as other:
        assert overview(other.path, state=place.state).previous is None
    with open_default(place.key) as third:
        third.seal()
    with open_default(place.key) as fourth:
        pass
    previous = overview(fourth.path, state=place.state).previous
    assert previous is not None
    assert previous.origin == second.origin


def test_a_rolled_chain_with_a_handover_in_it_verifies(place: Place) -> None:
    successor = SigningKey.generate()

    def default(key: SigningKey) -> Ledger:
        return open_default_ledger(key, state=place.state, name="host", tool_version="0.1.0")

    with default(place.key) as ledger:
        ledger.append(drafts())
        ledger.hand_over(successor, "yearly")
        ledger.append(drafts())
        ledger.seal()
    with default(successor) as ledger:
        ledger.append(drafts())
        last = ledger.seal()
    with default(successor) as ledger:
        ledger.append(drafts())
        assert overview(ledger.path, state=place.state).previous == last
    chain = all_ledgers(place.state)
    assert len(chain) == 3
    for path in chain:
        said = verify(path, pins=[pins.Pin(place.key.public), pins.Pin(successor.public)])
        assert {finding.code for finding in said.findings} == {"launch.unfinished"}


def test_what_is_remembered_of_a_seal_is_read_back_whole(tmp_path: Path) -> None:
    memory = HeadMemory(os.fsencode(tmp_path), "host/" + "0" * 32)
    for size in (1, 999_999):
        memory.write(size, bytes(32))
        assert not memory.is_sealed()
    memory.seal(1_000_000, bytes(31) + b"\1")
    assert memory.is_sealed()
    assert memory.read() == (1_000_000, bytes(31) + b"\1", True)
    for damage in (b"sealed\n", b"sealed", b"x\nsealed\n"):
        file = tmp_path / os.fsdecode(os.path.basename(memory.path))
        file.write_bytes(damage)
        with pytest.raises(LedgerError, match="cannot be read"):
            memory.read()
    memory.close()
