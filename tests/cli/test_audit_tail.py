"""``nono audit tail``: the newest entries, those that come, and how it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attest import schema, tree
from runtime import cli
from tests.store.recorded_launches import INTENT, NOT_STARTED, changed, drafts, open_ledger, session_id

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
COMMAND = [
    sys.executable,
    "-c",
    "import sys; from runtime.cli import main; sys.exit(main())",
    "audit",
    "tail",
]


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    write(path, 1, decisions=1)
    return path


def write(path: Path, *numbers: int, **parts: Any) -> None:
    with open_ledger(path, path.parent / "state") as opened:
        for number in numbers:
            opened.append(drafts(session_id(number), **parts))


def tail(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    status = cli.main(["audit", "tail", *arguments])
    captured = capfd.readouterr()
    return status, captured.out.splitlines(), captured.err


@contextlib.contextmanager
def following(ledger: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [*COMMAND, "-f", "--ledger", str(ledger), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def line(child: subprocess.Popen[str]) -> str:
    assert child.stdout is not None
    return child.stdout.readline()


def test_the_newest_entries_in_words(ledger: Path, capfd: pytest.CaptureFixture[str]) -> None:
    write(ledger, 2, start=None, outcome=NOT_STARTED)
    status, lines, err = tail(capfd, "--ledger", str(ledger), "-n", "100")
    assert (status, err, len(lines)) == (0, "", 9)
    words = [text.split(maxsplit=4) for text in lines]
    assert [parts[3] for parts in words] == [
        "ledger.genesis", "launch.intent", "launch.start", "decision", "launch.outcome", "launch.attestation",
        "launch.intent", "launch.outcome", "launch.attestation",
    ]  # fmt: skip
    assert [parts[2] for parts in words] == ["-", *[session_id(1)[:16]] * 5, *[session_id(2)[:16]] * 3]
    assert [parts[4] for parts in words[1:5]] == [
        "echo 'hello world'",
        "/usr/bin/echo  pid 4243",
        "denied file /etc/shadow by kernel: outside the grants",
        "exit 0",
    ]
    assert words[7][4] == "not started: no such command [executable.missing]"


@pytest.mark.parametrize(("arguments", "count"), [([], 6), (["-n", "2"], 2), (["-n", "0"], 0)])
def test_how_many(ledger: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], count: int) -> None:
    status, lines, err = tail(capfd, "--ledger", str(ledger), *arguments)
    assert (status, err, len(lines)) == (0, "", count)
    if count == 2:
        assert [text.split()[3] for text in lines] == ["launch.outcome", "launch.attestation"]


@pytest.mark.parametrize("entries", ["-1", "1000001"])
def test_a_number_that_is_none_is_refused(
    ledger: Path, capfd: pytest.CaptureFixture[str], entries: str
) -> None:
    status, lines, err = tail(capfd, "--ledger", str(ledger), "-n", entries)
    assert (status, lines) == (2, [])
    assert err == "nono: --entries is a number of entries\nnono: hint: 0 to 1,000,000\n"


def test_json_is_the_record_itself(ledger: Path, capfd: pytest.CaptureFixture[str]) -> None:
    status, lines, _ = tail(capfd, "--ledger", str(ledger), "--json")
    assert status == 0
    documents = [json.loads(text) for text in lines]
    assert [document["index"] for document in documents] == list(range(6))
    database = sqlite3.connect(ledger)
    bodies = [body.encode() for (body,) in database.execute("SELECT body FROM entry ORDER BY idx")]
    database.close()
    for document, body in zip(documents, bodies, strict=True):
        schema.check_entry(document["entry"])
        assert document["entry"] == json.loads(body)
        assert document["leaf_sha256"] == tree.hash_leaf(body).hex()
        assert document["fault"] is None


def test_a_command_beside_its_entry_is_shown(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "ledger.db"
    write(path, 1, intent=changed(INTENT, command=["tool", *["x" * 1_000] * 100]))
    _, lines, _ = tail(capfd, "--ledger", str(path))
    assert "launch.intent       tool xxxxx" in lines[1]
    assert len(lines[1]) < 70_000


def test_nothing_reaches_a_terminal_raw(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    hostile = "\x1b]0;owned\x07\r\n\x9b31m\u202egnp.exe"
    path = tmp_path / "ledger.db"
    write(path, 1, intent=changed(INTENT, command=[hostile]))
    write(path, 2, outcome={"exit": hostile}, checked=False)
    for arguments in ([], ["--json"]):
        _, lines, _ = tail(capfd, "--ledger", str(path), *arguments)
        assert len(lines) == 9
        assert all(text.isprintable() for text in lines)
        assert "owned" in lines[1]
    assert json.loads(lines[7])["fault"] == "not of its schema at data/exit"


def test_entries_are_printed_as_they_come(ledger: Path) -> None:
    with following(ledger, "-n", "1") as child:
        assert "launch.attestation" in line(child)
        made = drafts(session_id(2))
        with open_ledger(ledger, ledger.parent / "state") as opened:
            for draft in made:
                opened.append([draft])
                began = time.monotonic()
                shown = line(child)
                assert time.monotonic() - began < 5
                assert shown.split()[2:4] == [session_id(2)[:16], draft.kind]


def test_json_lines_as_they_come(ledger: Path) -> None:
    with following(ledger, "-n", "1", "--json") as child:
        assert json.loads(line(child))["index"] == 5  # now it follows
        write(ledger, 2)
        assert [json.loads(line(child))["index"] for _ in range(4)] == [6, 7, 8, 9]


def test_an_interrupt_ends_it_without_a_word(ledger: Path) -> None:
    with following(ledger) as child:
        for _ in range(6):
            assert line(child)
        child.send_signal(signal.SIGINT)
        out, err = child.communicate(timeout=10)
    assert (child.returncode, out, err) == (130, "", "")


def test_it_ends_when_nobody_reads_on_though_nothing_comes(ledger: Path) -> None:
    with following(ledger) as child:
        assert child.stdout is not None
        for _ in range(6):
            assert line(child)
        child.stdout.close()
        assert child.wait(timeout=10) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""
        child.stdout = None


@pytest.mark.parametrize("change", ["replaced", "removed", "cut"])
def test_another_ledger_in_its_place_is_an_error(ledger: Path, tmp_path: Path, change: str) -> None:
    shorter = tmp_path / "shorter.db"
    with contextlib.closing(sqlite3.connect(ledger)) as database:
        (note,) = database.execute("SELECT note FROM head").fetchone()
    with following(ledger) as child:
        for _ in range(6):
            assert line(child)
        if change == "replaced":
            write(shorter, 9)
            os.replace(shorter, ledger)
        elif change == "removed":
            ledger.unlink()
        else:
            with contextlib.closing(sqlite3.connect(ledger, isolation_level=None)) as database:
                for (name,) in database.execute(
                    "SELECT name FROM sqlite_schema WHERE type = 'trigger'"
                ).fetchall():
                    database.execute(f"DROP TRIGGER {name}")
                database.execute("UPDATE head SET note = ?", (note.replace("\n6\n", "\n3\n"),))
        out, err = child.communicate(timeout=10)
    assert (child.returncode, out) == (1, "")
    assert err.startswith(f"nono: {ledger} is not the ledger that it was: replaced, removed or cut\n")


def test_following_keeps_no_writer_waiting(ledger: Path) -> None:
    with following(ledger, "-n", "0"):
        time.sleep(0.5)
        began = time.monotonic()
        write(ledger, *range(2, 12))
        with contextlib.closing(sqlite3.connect(ledger)) as database:
            # The whole write-ahead log can be put into the file and be emptied: no reader holds it.
            assert database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0] == 0
        assert time.monotonic() - began < 10
