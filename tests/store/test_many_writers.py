"""Several writers on one ledger: all that they append is there, and none of them is taken for an attacker."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from store import LedgerError
from tests.store.place import Place, drafts

if TYPE_CHECKING:
    from pathlib import Path


def test_two_objects_alternate(place: Place) -> None:
    with place.found() as one, place.open() as other:
        indices = [ledger.append(drafts())[0].index for _ in range(20) for ledger in (one, other)]
    assert indices == list(range(1, 41))
    assert len(place.check()) == 41


def test_two_processes_alternate(place: Place) -> None:
    place.found().close()
    writers = [place.start("open", "talk") for _ in range(2)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        assert os.fsencode(writer.stdout.readline().rstrip("\n")) == place.path
    said = []
    for _ in range(15):
        for writer in writers:
            assert writer.stdin is not None
            assert writer.stdout is not None
            writer.stdin.write("\n")
            writer.stdin.flush()
            said.append(writer.stdout.readline().partition(":")[0])
    for writer in writers:
        assert writer.communicate(timeout=30) == ("done\n", "")
    assert said == [str(index) for index in range(1, 31)]
    assert len(place.check()) == 31


def test_sixteen_processes_append_twenty_each(place: Place) -> None:
    place.found().close()
    writers = [place.start("open", "20") for _ in range(16)]
    acknowledged: list[int] = []
    for writer in writers:
        out, err = writer.communicate(timeout=120)
        assert (err, writer.returncode) == ("", 0)
        lines = out.split()
        assert (lines[0], lines[-1]) == ("ready", "done")
        mine = [int(line.partition(":")[0]) for line in lines[2:-1]]
        assert mine == sorted(mine)
        acknowledged += mine
    assert sorted(acknowledged) == list(range(1, 321))
    assert len(place.check()) == 321
    # Whoever was last, the largest size is remembered.
    assert place.memory.read_text().split("\n")[1] == "321"


def test_a_reader_in_the_same_process_does_not_lose_what_is_acknowledged(place: Place) -> None:
    """Opening the ledger again must not drop this process's locks on it (see store.ledger_file)."""
    with place.found() as ledger:
        ledger.append(drafts())
        place.open().close()
        _another_process_opens_and_closes(place)
        ledger.append(drafts())
        _another_process_opens_and_closes(place)
    assert len(place.check()) == 3


@pytest.mark.parametrize("suffix", [b"", b"-wal"])
def test_nothing_is_acknowledged_that_nobody_would_find(place: Place, suffix: bytes) -> None:
    with place.found(1) as ledger:
        ledger.append(drafts())
        os.rename(place.path + suffix, place.path + b".moved")
        with pytest.raises(LedgerError) as caught:
            ledger.append(drafts())
        assert caught.value.code == "ledger.replaced"
        os.rename(place.path + b".moved", place.path + suffix)
        ledger.append(drafts())
    assert len(place.check()) == 4


def test_a_log_lost_to_a_careless_process_is_noticed(place: Place) -> None:
    """What the locks guard against, done on purpose: open and close the file in the writer's own process."""
    with place.found() as ledger:
        ledger.append(drafts())
        with open(place.path, "rb"):
            pass
        _another_process_opens_and_closes(place)
        assert not os.path.exists(place.path + b"-wal")
        with pytest.raises(LedgerError) as caught:
            ledger.append(drafts())
        assert caught.value.code == "ledger.replaced"


def _another_process_opens_and_closes(place: Place) -> None:
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT 1 FROM head'); c.close()"
    subprocess.run([sys.executable, "-c", code, os.fsdecode(place.path)], check=True)


def test_eight_processes_found_one_default_ledger(tmp_path: Path) -> None:
    place = Place(tmp_path)
    writers = [place.start("default", "5") for _ in range(8)]
    paths = set()
    for writer in writers:
        out, err = writer.communicate(timeout=120)
        assert (err, writer.returncode) == ("", 0)
        paths.add(out.split()[1])
    assert len(paths) == 1
    found = Place(tmp_path / "state" / "ledgers", place.key, f"{place.key.public.fingerprint()}.db")
    assert os.fsdecode(found.path) == paths.pop()
    assert len(found.check()) == 41
    assert os.listdir(found.directory) == [found.name]


def test_a_ledger_that_is_open_under_two_names_gets_no_second_history(place: Place) -> None:
    """SQLite keeps a log for each name, so one writer does not see what the other has signed."""
    place.found(2).close()
    second = Place(place.directory, place.key, "second.db")
    os.link(place.path, second.path)
    writers = [each.start("open", "talk") for each in (place, second)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        assert writer.stdout.readline().startswith(os.fsdecode(place.directory))

    def ask(writer: subprocess.Popen[str]) -> str:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
        return writer.stdout.readline()

    try:
        assert ask(writers[0]).startswith("3:")
        assert ask(writers[1]) == "refused:ledger.tampered\n"
        assert ask(writers[0]).startswith("4:")
    finally:
        for writer in writers:
            writer.communicate(timeout=30)
    os.unlink(second.path)
    assert len(place.check()) == 5
