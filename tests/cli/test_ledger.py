"""``nono ledger``: the path for scripts, and what a ledger says of itself."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from attest.keys import SigningKey
from runtime import cli
from store.reading import LedgerReader
from tests.store.recorded_launches import KEY, drafts, open_ledger, session_id


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """nono's state directory."""
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    return tmp_path / "state" / "nono"


@pytest.fixture
def ledger(state: Path) -> Path:
    """A ledger of two launches, the only one there is."""
    path = state / "ledgers" / f"{KEY.public.fingerprint()}.db"
    with open_ledger(path, state) as opened:
        opened.append(drafts(session_id(1)))
        opened.append(drafts(session_id(2)))
    return path


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = cli.main(["ledger", *arguments])
    captured = capfd.readouterr()
    return status, captured.out, captured.err


def info(capfd: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    status, out, err = run(capfd, "info", *arguments, "--json")
    assert (status, err) == (0, "")
    document: dict[str, Any] = json.loads(out)
    return document


def test_the_path_is_printed_as_it_is(ledger: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "path") == (0, f"{ledger}\n", "")


def test_a_path_that_is_not_utf_8_is_printed_as_it_is(
    state: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    name = os.fsencode(tmp_path) + b"/\xff\n.db"
    open_ledger(Path(os.fsdecode(name)), state).close()
    assert cli.main(["ledger", "path", "--ledger", os.fsdecode(name)]) == 0
    assert capfdbinary.readouterr().out == name + b"\n"


def test_the_path_of_a_ledger_that_is_missing_is_an_error(
    state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    missing = tmp_path / "x.db"
    assert run(capfd, "path", "--ledger", str(missing)) == (1, "", f"nono: no ledger at {missing}\n")


def test_info(ledger: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with LedgerReader(os.fsencode(ledger)) as reader:
        head, first, last = reader.head(), reader.entry(0), reader.entry(8)
    assert info(capfd) == {
        "path": str(ledger),
        "origin": head.origin,
        "format": 1,
        "size": 9,
        "root": head.root.hex(),
        "key": KEY.public.fingerprint(),
        "launches": 2,
        "first": first.time,
        "last": last.time,
        "bytes": ledger.stat().st_size,
        "memory": {"state": "same", "size": 9},
        "consistent": True,
        "skipped": 0,
        "previous": None,
        "sealed": False,
        "next": None,
    }
    status, out, err = run(capfd, "info")
    assert (status, err) == (0, "")
    lines = dict(line.split("  ", 1) for line in out.splitlines())
    assert lines["origin"].strip() == head.origin
    assert "9 entries, 2 launches" in lines["size"]
    assert lines["memory"].strip() == "same (9 entries)"
    assert lines["check with"].strip() == f"nono-verify {ledger}"


def test_the_key_is_the_one_in_force(ledger: Path, state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    successors = [SigningKey(bytes([number]) * 32) for number in (6, 7)]
    with open_ledger(ledger, state) as opened:
        for successor in successors:
            opened.hand_over(successor, "routine")
            opened.append(drafts(session_id(3)))
    assert info(capfd)["key"] == successors[1].public.fingerprint()


def test_the_memory_tells_an_older_copy_put_back(
    ledger: Path, state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(ledger, copy)
    with open_ledger(ledger, state) as opened:
        opened.append(drafts(session_id(3)))
    os.replace(copy, ledger)
    assert info(capfd)["memory"] == {"state": "ahead", "size": 13}


def test_the_memory_tells_another_history_of_the_same_length(
    ledger: Path, state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(ledger, copy)
    for path, directory, number in ((ledger, state, 3), (copy, tmp_path / "elsewhere", 4)):
        with open_ledger(path, directory) as opened:
            opened.append(drafts(session_id(number)))
    os.replace(copy, ledger)
    assert info(capfd)["memory"] == {"state": "different", "size": 13}


def test_a_memory_that_lags_is_told_as_such(
    ledger: Path, state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with open_ledger(ledger, tmp_path / "elsewhere") as opened:
        opened.append(drafts(session_id(3)))
    assert info(capfd)["memory"] == {"state": "lags", "size": 9}


def test_looking_makes_no_memory(ledger: Path, state: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(state / "heads")
    assert info(capfd)["memory"] == {"state": "none", "size": None}
    assert not (state / "heads").exists()


def test_a_memory_that_nobody_can_read_is_told_as_such(
    ledger: Path, state: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (memory,) = (state / "heads").iterdir()
    memory.write_bytes(b"gibberish")
    assert info(capfd)["memory"] == {"state": "unreadable", "size": None}
    assert memory.read_bytes() == b"gibberish"


def test_a_damaged_ledger_is_described_as_such(ledger: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ledger.write_bytes(ledger.read_bytes().replace(b"hello world", b"jello world", 1))
    assert info(capfd)["consistent"] is False
    status, out, _ = run(capfd, "info")
    assert status == 0
    assert "do not lead to its own head" in out


@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\xa5" * 4_080, b"hello"])
def test_what_is_not_a_ledger_is_refused_and_left_as_it_is(
    state: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "x.db"
    path.write_bytes(content)
    status, out, err = run(capfd, "info", "--ledger", str(path))
    assert (status, out) == (1, "")
    assert err.startswith("nono: ")
    assert "Traceback" not in err
    assert path.read_bytes() == content
    assert sorted(item.name for item in tmp_path.iterdir() if item.name.startswith("x.db")) == ["x.db"]
