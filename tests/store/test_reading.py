"""Looking at a ledger, and taking a snapshot of it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from attest import entry
from store import LedgerError
from store.reading import LedgerReader
from tests.store.place import Place, drafts

if TYPE_CHECKING:
    from pathlib import Path

    from attest.canonical import Json


def test_entries_are_read_while_a_writer_is_at_work(place: Place) -> None:
    with place.found(3) as ledger, LedgerReader(place.path) as reader:
        assert [index for index, _, _ in reader.entries()] == [0, 1, 2, 3]
        ledger.append(drafts())
        assert reader.head().size == 5
        assert [index for index, _, _ in reader.entries(3)] == [3, 4]
        assert reader.entry(4).kind == entry.INTENT
        for index in (5, -1):
            with pytest.raises(LedgerError) as caught:
                reader.entry(index)
            assert caught.value.code == "ledger.no_entry"


def test_what_lies_beyond_the_head_is_not_shown(place: Place) -> None:
    place.found(3).close()
    with place.attack() as connection:
        connection.execute("INSERT INTO entry SELECT 4, body FROM entry WHERE idx = 3")
    with LedgerReader(place.path) as reader:
        assert len(list(reader.entries())) == 4


def test_reading_writes_nothing(place: Place) -> None:
    place.found(3).close()
    before = (place.directory / place.name).read_bytes()
    with LedgerReader(place.path) as reader:
        list(reader.entries())
        with pytest.raises(Exception, match="readonly"):
            reader._db.execute("INSERT INTO entry VALUES (4, 'x')")
    assert (place.directory / place.name).read_bytes() == before


@pytest.mark.parametrize("body", ["x", "{}", '{"v":1}'])
def test_an_entry_that_cannot_be_read_is_an_error(place: Place, body: str) -> None:
    place.found(3).close()
    with place.attack() as connection:
        connection.execute("UPDATE entry SET body = ? WHERE idx = 2", (body,))
    with LedgerReader(place.path) as reader, pytest.raises(LedgerError) as caught:
        list(reader.entries())
    assert caught.value.code == "ledger.unreadable"


@pytest.mark.parametrize("statement", ["UPDATE head SET note = 'x'", "DELETE FROM head"])
def test_a_head_that_cannot_be_read_is_an_error(place: Place, statement: str) -> None:
    place.found(3).close()
    with place.attack() as connection:
        connection.execute(statement)
    with LedgerReader(place.path) as reader, pytest.raises(LedgerError) as caught:
        reader.head()
    assert caught.value.code == "ledger.unreadable"


def test_a_blob_is_withheld_or_the_one_that_was_named(place: Place) -> None:
    with place.found() as ledger:
        (large,) = ledger.append(drafts(command=["x" * 70_000]))
    reference = large.entry.data["command"]
    with LedgerReader(place.path) as reader:
        assert reader.value(reference) == ["x" * 70_000]
        assert reader.value("plain") == "plain"
        odd: list[Json] = [None, {}, {"sha256": "zz"}, {"sha256": 5, "size": 1}]
        for each in odd:
            with pytest.raises(LedgerError):
                reader.value({"blob": each})
    with place.attack() as connection:
        connection.execute("UPDATE blob SET data = x'5b5d'")
    with LedgerReader(place.path) as reader, pytest.raises(LedgerError):
        reader.value(reference)
    with place.attack() as connection:
        connection.execute("DELETE FROM blob")
    with LedgerReader(place.path) as reader:
        assert reader.value(reference) is None


def test_a_snapshot_is_the_ledger_private_and_whole(place: Place, tmp_path: Path) -> None:
    taken = Place(tmp_path, place.key, "snapshot.db")
    with place.found(300) as ledger:
        ledger.append(drafts(command=["x" * 70_000]))
        with LedgerReader(place.path) as reader:
            reader.snapshot(taken.path)
        assert taken.check() == place.check()
        assert taken.head() == place.head()
        ledger.append(drafts())
    assert len(taken.check()) == 302
    assert os.stat(taken.path).st_mode & 0o777 == 0o600
    assert taken.select("SELECT count(*) FROM blob") == [(1,)]
    with LedgerReader(taken.path) as reader:
        assert reader.head().size == 302


def test_a_snapshot_writes_over_nothing_and_leaves_nothing_behind(place: Place, tmp_path: Path) -> None:
    place.found(3).close()
    (tmp_path / "there").write_text("precious")
    with LedgerReader(place.path) as reader:
        with pytest.raises(LedgerError) as caught:
            reader.snapshot(os.fsencode(tmp_path / "there"))
        assert caught.value.code == "snapshot.exists"
        with pytest.raises(LedgerError) as caught:
            reader.snapshot(os.fsencode(tmp_path / "missing" / "x"))
        assert caught.value.code == "snapshot.failed"
        with pytest.raises(LedgerError) as caught:
            reader.snapshot(b"/dev/full")
    assert (tmp_path / "there").read_text() == "precious"


def test_closing_space_is_reserved_without_being_seen(place: Place) -> None:
    with place.found(1) as ledger:
        log = place.directory / (place.name + "-wal")
        before = log.stat()
        if not ledger.reserve_closing_space(1):
            pytest.skip("this file system cannot allocate beforehand")
        after = log.stat()
        assert after.st_size == before.st_size
        assert (after.st_blocks - before.st_blocks) * 512 >= 1 << 20
        ledger.reserve_closing_space(7)  # seven launches write behind one and the same end
        assert (log.stat().st_blocks - before.st_blocks) * 512 >= 7 << 20
        ledger.append(drafts())
    assert len(place.check()) == 3


def test_a_log_that_is_missing_cannot_be_reserved_in(place: Place) -> None:
    with place.found(1) as ledger:
        os.unlink(place.path + b"-wal")
        with pytest.raises(LedgerError) as caught:
            ledger.reserve_closing_space(1)
        assert caught.value.code == "ledger.full"
