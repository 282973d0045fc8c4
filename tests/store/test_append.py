"""What is appended is there, under a signed head, as independent judges see it."""

from __future__ import annotations

import os
import sqlite3
import time
from typing import TYPE_CHECKING

import pymerkle
import pytest

from attest import blob, canonical, checkpoint, entry
from attest.errors import MalformedError
from attest.keys import SigningKey
from store import Draft, Ledger, LedgerError
from store.reading import LedgerReader
from tests.store.place import INTENT, Place, drafts
from verify import Pin, verify

if TYPE_CHECKING:
    from pathlib import Path


def _pymerkle_root(bodies: list[bytes]) -> bytes:
    judge = pymerkle.InmemoryTree(algorithm="sha256")
    for body in bodies:
        judge.append_entry(body)
    root: bytes = judge.get_root()
    return root


def _stored_root(place: Place) -> bytes:
    return checkpoint.parse_text(place.head().rpartition("\n\n")[0] + "\n").root


def test_a_founded_ledger_is_its_genesis_under_a_signed_head(place: Place) -> None:
    place.found().close()
    (genesis,) = place.check()
    assert entry.parse(genesis).kind == entry.GENESIS
    assert _stored_root(place) == _pymerkle_root([genesis])
    assert sorted(os.listdir(place.directory)) == ["ledger.db", "state"]
    assert os.stat(place.path).st_mode & 0o777 == 0o600
    header = (place.directory / "ledger.db").read_bytes()[:100]
    assert header[18:20] == b"\x02\x02"  # WAL
    assert header[68:72] == b"NONO"


def test_every_size_has_the_root_that_pymerkle_gives(place: Place) -> None:
    with place.found() as ledger:
        for _ in range(40):
            ledger.append(drafts())
            assert _stored_root(place) == _pymerkle_root(place.bodies())
    place.check()


def test_what_append_returns_is_what_the_file_holds(place: Place) -> None:
    with place.found() as ledger:
        one = ledger.append(drafts())
        three = ledger.append(drafts(3))
    bodies = place.check()
    appended = [*one, *three]
    assert [each.index for each in appended] == [1, 2, 3, 4]
    assert [each.entry.encode() for each in appended] == bodies[1:]


def test_a_reopened_ledger_goes_on(place: Place) -> None:
    place.found(3).close()
    for _ in range(5):
        with place.open() as ledger:
            ledger.append(drafts(2))
    assert len(place.check()) == 14


@pytest.mark.parametrize("size", [255, 256, 257, 511, 512, 513, 768])
def test_tiles_appear_when_they_are_full(place: Place, size: int) -> None:
    with place.found(size - 3) as ledger:
        ledger.append(drafts(1))
        ledger.append(drafts(1))
    bodies = place.check()
    assert len(bodies) == size
    assert _stored_root(place) == _pymerkle_root(bodies)
    assert place.select("SELECT count(*) FROM tile") == [(size // 256,)]
    with place.open() as ledger:  # and the opening check agrees with them
        ledger.append(drafts(1))
    place.check()


def test_a_tile_of_tiles_appears_at_65536(place: Place) -> None:
    short = [Draft(entry.DECISION, None, 0, {}) for _ in range(65_533)]
    with place.found() as ledger:
        ledger.append(short)
        ledger.append(short[:1])
        assert place.select("SELECT count(*) FROM tile WHERE level = 1") == [(0,)]
        ledger.append(short[:1])
        assert place.select("SELECT count(*) FROM tile WHERE level = 1") == [(1,)]
        ledger.append(short[:1])
    with place.open() as ledger:
        ledger.append(short[:300])
    assert len(place.check()) == 65_837


def test_a_process_that_lags_by_many_tiles_catches_up(place: Place) -> None:
    with place.found(10) as slow:
        with place.open() as fast:
            fast.append(drafts(700))
        slow.append(drafts())
    assert len(place.check()) == 712


def test_what_does_not_fit_lies_beside_the_entry(place: Place) -> None:
    command: list[canonical.Json] = [f"argument {number}" for number in range(20_000)]
    with place.found() as ledger:
        (large,) = ledger.append(drafts(command=command))
    place.check()
    reference = large.entry.data["command"]
    assert blob.is_reference(reference)
    assert large.entry.data["host"] == INTENT["host"]
    ((digest, salt, data),) = place.select("SELECT sha256, salt, data FROM blob")
    beside = blob.Blob(salt, data)
    assert beside.digest() == digest
    assert beside.value(reference) == command
    with LedgerReader(place.path) as reader:
        assert reader.value(reader.entry(1).data["command"]) == command


def _command_of(size: int) -> list[canonical.Json]:
    """Return a command whose canonical form has so many bytes."""
    return ["x" * (size - 4)]


def test_the_largest_that_lies_beside_an_entry_verifies(place: Place) -> None:
    with place.found() as ledger:
        ledger.append(drafts(command=_command_of(blob.MAX_BYTES)))
    place.check()
    ((size,),) = place.select("SELECT length(data) FROM blob")
    assert size == blob.MAX_BYTES
    pin = Pin(place.key.public)
    assert [finding.code for finding in verify(place.path, pins=[pin]).findings] == ["launch.unfinished"]


def test_what_the_verifier_would_not_read_is_not_written(place: Place) -> None:
    with place.found(1) as ledger:
        before = place.head()
        with pytest.raises(MalformedError) as caught:
            ledger.append(drafts(command=_command_of(blob.MAX_BYTES + 1)))
        assert caught.value.code == "entry.too_large"
        assert caught.value.hint
        assert (place.head(), place.select("SELECT count(*) FROM blob")) == (before, [(0,)])
        ledger.append(drafts())
    assert len(place.check()) == 3


def test_what_does_not_fit_anywhere_leaves_no_trace(place: Place) -> None:
    with place.found(1) as ledger:
        before = place.head()
        labels: dict[str, canonical.Json] = {"run": "x" * 70_000}
        with pytest.raises(MalformedError) as caught:
            ledger.append([*drafts(), *drafts(labels=labels, command=["x" * 70_000])])
        assert caught.value.code == "entry.too_large"
        assert place.head() == before
        assert place.select("SELECT count(*) FROM blob") == [(0,)]
        ledger.append(drafts())
    assert len(place.check()) == 3


def test_what_is_no_json_leaves_no_trace(place: Place) -> None:
    with place.found() as ledger:
        with pytest.raises(MalformedError):
            ledger.append([*drafts(), Draft(entry.DECISION, None, 0, {"x": 2**53})])
        ledger.append(drafts())
    assert len(place.check()) == 2


@pytest.mark.parametrize("kind", [entry.GENESIS, entry.KEY])
def test_the_ledgers_own_entries_are_not_appended_like_others(place: Place, kind: str) -> None:
    with place.found() as ledger, pytest.raises(LedgerError, match="not appended like another"):
        ledger.append([Draft(kind, None, 0, {})])
    assert len(place.check()) == 1


def test_nothing_is_not_appended(place: Place) -> None:
    with place.found() as ledger, pytest.raises(LedgerError, match="nothing to append"):
        ledger.append([])


def test_time_never_goes_backwards(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    readings = [now, now + 5_000_000_000, now + 1_000_000_000, now - 86_400_000_000_000, now + 9_000_000_000]
    clock = iter(readings)
    monkeypatch.setattr("time.time_ns", lambda: next(clock))
    with place.found() as ledger:  # takes the first
        ledger.append(drafts(1))
        ledger.append(drafts(1))
    with place.open() as ledger:  # and not from memory alone
        ledger.append(drafts(1))
        ledger.append(drafts(1))
    times = [entry.parse(body).time for body in place.check()]
    assert times[1] == times[2] == times[3]
    assert times[0] < times[1] < times[4]


def test_another_process_sees_the_time_of_the_last_entry(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.found() as slow, place.open() as fast:
        later = time.time_ns() + 3_600_000_000_000
        with monkeypatch.context() as patch:
            patch.setattr("time.time_ns", lambda: later)
            (ahead,) = fast.append(drafts())
        (behind,) = slow.append(drafts())
    assert behind.entry.time == ahead.entry.time


# --- founding ---------------------------------------------------------------------------------


def test_founding_never_writes_over_anything(place: Place) -> None:
    place.found(2).close()
    before = (place.directory / "ledger.db").read_bytes()
    with pytest.raises(LedgerError) as caught:
        place.found()
    assert caught.value.code == "ledger.exists"
    assert (place.directory / "ledger.db").read_bytes() == before
    assert sorted(os.listdir(place.directory)) == ["ledger.db", "state"]


def test_founding_makes_its_directory_and_says_when_it_cannot(tmp_path: Path) -> None:
    deep = Place(tmp_path / "a" / "b")
    deep.found().close()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").write_text("")
    with pytest.raises(LedgerError) as caught:
        Place(tmp_path / "file").found()
    assert caught.value.code == "ledger.create"


def test_a_file_name_of_any_bytes_and_of_any_length(tmp_path: Path) -> None:
    for name in (b"\xff\xfe?&#%41.db", b"x" * 240):
        path = os.path.join(os.fsencode(tmp_path), name)
        key = SigningKey.generate()
        state = os.fsencode(tmp_path / "state")
        with Ledger.create(path, key, name="host", tool_version="0", state=state) as ledger:
            ledger.append(drafts())
        with Ledger.open(path, key, state=state) as ledger:
            ledger.append(drafts())
        with LedgerReader(path) as reader:
            assert reader.head().size == 3
            reader.snapshot(path[:100] + b".copy")
        with LedgerReader(path[:100] + b".copy") as reader:
            assert reader.head().size == 3


def test_two_ledgers_never_share_an_origin(tmp_path: Path) -> None:
    key = SigningKey.generate()
    origins = set()
    for number in range(5):
        with Place(tmp_path, key, f"{number}.db").found() as ledger:
            origins.add(ledger.origin)
    assert len(origins) == 5


# --- our own connection refuses what the triggers forbid ----------------------------------------


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE entry SET body = 'x' WHERE idx = 1",
        "DELETE FROM entry WHERE idx = 1",
        "INSERT OR REPLACE INTO entry VALUES (1, 'x')",
        "UPDATE tile SET root = x'00'",
        "DELETE FROM tile",
        "INSERT OR REPLACE INTO tile VALUES (0, 0, x'00', x'00')",
        "DELETE FROM head",
        "INSERT OR REPLACE INTO head VALUES (0, 'x', x'00')",
        "INSERT OR REPLACE INTO checkpoint VALUES (300, 'x')",
        "UPDATE checkpoint SET note = 'x'",
        "DELETE FROM checkpoint",
        "UPDATE blob SET data = x'00'",
        "DELETE FROM blob",
        "INSERT OR REPLACE INTO blob SELECT sha256, salt, x'00' FROM blob",
    ],
)
def test_the_seat_belt_holds(place: Place, statement: str) -> None:
    with place.found(297) as ledger:
        ledger.append(drafts(command=["x" * 70_000]))
        assert ledger.hand_over(SigningKey.generate(), "test").index == 299
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            ledger._db.execute(statement)
