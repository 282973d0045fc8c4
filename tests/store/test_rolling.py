"""Rolling: a ledger is sealed, and the next one names the head that it continues."""

from __future__ import annotations

import base64
import multiprocessing
import os
from typing import TYPE_CHECKING

import pytest

from attest import canonical, entry, schema
from attest.errors import MalformedError
from attest.keys import SigningKey
from store import Ledger, LedgerError
from store.errors import SealedLedgerError
from store.founding import Unlinked
from store.head_memory import HeadMemory, RememberedHead, Successor
from store.locations import all_ledgers, open_default_ledger
from store.overview import default_ledgers_of, is_sealed, overview
from store.reading import LedgerReader
from store.rolling import roll, successor_in, unfinished_roll
from tests.store.place import Place, drafts
from verify import pins, verify

if TYPE_CHECKING:
    from pathlib import Path

    from attest import checkpoint


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


def test_where_no_successor_can_be_founded_nothing_is_sealed(place: Place) -> None:
    place.found(1).close()
    (place.directory / "file").write_text("")
    before = sorted(os.listdir(place.directory))
    assert _refused(place, successor="file/next.db") == "ledger.create"
    with place.open() as ledger:
        ledger.append(drafts())
    assert sorted(os.listdir(place.directory)) == before
    assert b"sealed" not in place.memory.read_bytes()


def test_a_ledger_that_grows_while_its_successor_is_made_is_continued_where_it_ends(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.found(1).close()
    seal = Ledger.seal

    def later(ledger: Ledger, *, unsafe_while_running: bool = False) -> checkpoint.Checkpoint:
        with place.open() as other:
            other.append(drafts(2))
        return seal(ledger, unsafe_while_running=unsafe_while_running)

    monkeypatch.setattr(Ledger, "seal", later)
    with _roll(place) as following:
        pass
    with LedgerReader(place.path) as reader:
        assert reader.head().size == 4
        assert overview(following.path, state=place.state).previous == reader.head()
    assert not [name for name in os.listdir(place.directory) if name.startswith(".nono-")]


@pytest.mark.parametrize(
    ("first", "second"),
    [("one/next.db", "two/next.db"), ("next", "another"), ("one/next", "next.db")],
)
def test_a_sealed_ledger_has_one_successor_wherever_it_is(place: Place, first: str, second: str) -> None:
    place.found(1).close()
    _roll(place, first).close()
    with pytest.raises(LedgerError) as caught:
        _roll(place, second)
    assert (caught.value.code, caught.value.hint) == ("ledger.rolled", None)
    assert f"{place.directory / first} continues it" in str(caught.value)
    assert not (place.directory / second).exists()
    (place.directory / first).rename(place.directory / "moved")
    with pytest.raises(LedgerError) as caught:
        _roll(place, second)
    assert caught.value.code == "ledger.rolled"
    assert caught.value.hint == f"{place.directory / first} is not there any more: put it back"
    (place.directory / "moved").rename(place.directory / "moved.db")
    with pytest.raises(LedgerError) as caught:
        _roll(place, second)
    assert (caught.value.code, caught.value.hint) == ("ledger.rolled", None)
    assert f"{place.directory / 'moved.db'} continues it" in str(caught.value)
    with pytest.raises(SealedLedgerError) as sealed:
        place.open()
    assert sealed.value.hint == f"name the ledger that continues it: --ledger '{place.directory / first}'"
    assert unfinished_roll(place.path, state=place.state) is None


def _roll_to(place: Place, successor: str, results: multiprocessing.Queue[str]) -> None:
    try:
        with _roll(place, successor):
            results.put("rolled")
    except LedgerError as error:
        results.put(error.code)


def test_of_many_who_roll_it_at_once_one_does(place: Place) -> None:
    place.found(1).close()
    context = multiprocessing.get_context("fork")
    results: multiprocessing.Queue[str] = context.Queue()
    rolling = [
        context.Process(target=_roll_to, args=(place, f"{number}/next", results)) for number in range(6)
    ]
    for each in rolling:
        each.start()
    codes = sorted(results.get(timeout=60) for _ in rolling)
    for each in rolling:
        each.join(60)
    assert codes == ["ledger.rolled"] * 5 + ["rolled"]
    assert len(list(place.directory.glob("*/next"))) == 1


class _Killed(BaseException):
    """What nothing catches, as nothing catches a kill."""


def test_killed_before_the_successor_has_its_name_another_takes_its_place(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.found(1).close()

    def killed(_: Unlinked) -> None:
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(Unlinked, "link", killed)
        with pytest.raises(_Killed):
            _roll(place, "a-long-name-of-a-directory/next")
    assert not place.memory.read_bytes().endswith(b"founded\n")
    with pytest.raises(SealedLedgerError) as caught:
        place.open()
    assert f"nono ledger roll --ledger '{os.fsdecode(place.path)}' --to FILE" in str(caught.value.hint)
    seen = unfinished_roll(place.path, state=place.state)
    assert seen is not None
    with _roll(place, "next") as following:
        pass
    assert overview(following.path, state=place.state).previous == seen.head
    assert unfinished_roll(place.path, state=place.state) is None
    assert _refused(place, successor="third") == "ledger.rolled"


def test_killed_after_the_successor_has_its_name_it_is_found_there(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.found(1).close()
    link = Unlinked.link

    def killed(unlinked: Unlinked) -> None:
        link(unlinked)
        raise _Killed

    with monkeypatch.context() as patched:
        patched.setattr(Unlinked, "link", killed)
        with pytest.raises(_Killed):
            _roll(place, "one/next")
    assert unfinished_roll(place.path, state=place.state) is None
    assert _refused(place, successor="two/next") == "ledger.rolled"
    # Something else at that place was never a successor.
    (place.directory / "one" / "next").unlink()
    (place.directory / "one" / "next").write_text("another file")
    _roll(place, "two/next").close()
    assert _refused(place, successor="three/next") == "ledger.rolled"


def test_a_launch_founds_no_second_successor_of_a_ledger_that_is_continued_elsewhere(place: Place) -> None:
    def open_default() -> Ledger:
        return open_default_ledger(place.key, state=place.state, name="host", tool_version="0.1.0")

    with open_default() as first:
        path = first.path
    elsewhere = os.fsencode(place.directory / "elsewhere")
    roll(
        path, place.key, successor=elsewhere, name=None, tool_version="0.1.0", state=place.state
    ).close()  # fmt: skip
    with open_default() as second:
        assert second.path not in {path, elsewhere}
    assert overview(second.path, state=place.state).previous is None


def test_a_seal_of_an_earlier_version_is_read_and_its_successor_found_beside_it(place: Place) -> None:
    with place.found(1) as ledger:
        head = ledger.seal()
    Ledger.create(
        os.fsencode(place.directory / "next.db"), place.key, name="host", tool_version="0", state=place.state,
        previous=head,
    ).close()  # fmt: skip
    with pytest.raises(SealedLedgerError):
        place.open()
    assert _refused(place, successor="third/a.db") == "ledger.rolled"


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
    assert memory.read() == RememberedHead(1_000_000, bytes(31) + b"\1", sealed=True)
    for damage in (b"sealed\n", b"sealed", b"x\nsealed\n"):
        file = tmp_path / os.fsdecode(os.path.basename(memory.path))
        file.write_bytes(damage)
        with pytest.raises(LedgerError, match="cannot be read"):
            memory.read()
    memory.close()


def test_what_is_remembered_of_a_successor_is_read_back_whole(tmp_path: Path) -> None:
    origin, longest = "n" * 100 + "/" + "1" * 32, b"/" + b"\xff" * 4_094
    memory = HeadMemory(os.fsencode(tmp_path), origin)
    memory.write(2**53 - 1, bytes(32))
    memory.seal(2**53 - 1, bytes(32))
    for successor in (
        Successor(origin, longest, founded=False),
        Successor("a/" + "2" * 32, b"/b", founded=False),
        Successor("a/" + "2" * 32, b"/b", founded=True),
    ):
        with memory.held():
            memory.remember_successor(successor)
        assert memory.read() == RememberedHead(2**53 - 1, bytes(32), sealed=True, successor=successor)
        assert memory.is_sealed()
    before = memory.read()
    with memory.held(), pytest.raises(LedgerError):
        memory.remember_successor(Successor("a/" + "3" * 32, b"/c", founded=False))
    memory.write(2**53 - 1, bytes(31) + b"\1")
    memory.seal(5, bytes(32))
    assert memory.read() == before
    memory.close()


SUCCESSOR = b"successor a/" + b"2" * 32 + b" L2I=\n"


@pytest.mark.parametrize(
    "behind",
    [
        b"sealed\n",
        b"founded\n",
        SUCCESSOR[:-1],
        SUCCESSOR + b"founded",
        SUCCESSOR + b"founded\n" * 2,
        SUCCESSOR * 2,
        SUCCESSOR.replace(b" L2I=", b"  L2I="),
        SUCCESSOR.replace(b"L2I=", b"L2I"),
        SUCCESSOR.replace(b"L2I=", base64.b64encode(b"relative")),
        SUCCESSOR.replace(b"L2I=", base64.b64encode(b"/a\0b")),
        SUCCESSOR.replace(b"L2I=", base64.b64encode(b"/" * 4_096)),
        SUCCESSOR.replace(b"2222", b"22"),
        SUCCESSOR.replace(b"a/", b"A/"),
        SUCCESSOR.replace(b"successor ", b"Successor "),
        SUCCESSOR.replace(b"successor ", b""),
        b"x" * 10_000,
        b"\xff\n",
    ],
)
def test_what_is_no_successor_refuses_the_ledger_and_stays(place: Place, behind: bytes) -> None:
    with place.found(1) as ledger:
        ledger.seal()
    with open(place.memory, "ab") as file:
        file.write(behind)
    before = place.memory.read_bytes()
    with pytest.raises(LedgerError) as caught:
        place.open()
    assert caught.value.code == "ledger.memory"
    assert _refused(place) == "ledger.memory"
    assert place.memory.read_bytes() == before
    assert not (place.directory / "next.db").exists()
