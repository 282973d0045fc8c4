"""``nono audit list``: what its flags mean, which values they refuse, and several ledgers at once."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from attest.errors import NonoError
from attest.keys import SigningKey
from runtime import cli
from runtime.cli import search_terms
from tests.store.recorded_launches import (
    INTENT,
    KEY,
    NOT_STARTED,
    OUTCOME,
    START,
    changed,
    drafts,
    open_ledger,
    session_id,
)

ROOT = Path(__file__).parents[2]
NOW = datetime(2026, 3, 4, 5, 6, 7, 89, tzinfo=UTC)


class Home:
    """A user's directories with a ledger, and the command run with them."""

    def __init__(self, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.state = path / "state" / "nono"
        self.ledger = self.state / "ledgers" / f"{KEY.public.fingerprint()}.db"
        self._capfd = capfd

    def write(self, number: int, *, path: Path | None = None, key: SigningKey = KEY, **parts: Any) -> Path:
        with open_ledger(path or self.ledger, self.state, key) as ledger:
            ledger.append(drafts(session_id(number), **parts))
        return path or self.ledger

    def run(self, *arguments: str) -> tuple[int, str, str]:
        status = cli.main(["audit", "list", *arguments])
        captured = self._capfd.readouterr()
        return status, captured.out, captured.err

    def json(self, *arguments: str) -> Any:
        status, out, err = self.run(*arguments, "--json")
        assert (status, err) == (0, "")
        return json.loads(out)

    def found(self, *arguments: str) -> list[int]:
        """Return the numbers of the launches that are listed."""
        return [int(launch["session"][:12], 16) for launch in self.json(*arguments)["launches"]]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Home:
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    monkeypatch.delenv("NONO_INDEX", raising=False)
    return Home(tmp_path, capfd)


@pytest.fixture
def three(home: Home) -> Home:
    """A home with three launches that have little in common."""
    capabilities = changed(START["capabilities"])
    capabilities["files"][0]["path"] = str(home.path / "project" / "src")
    image = changed(START["executable"], path="/opt/tool", sha256="12" * 32)
    home.write(
        1,
        intent=changed(INTENT, command=["git", "push", "a b"], labels={"run": "7"}),
        start=changed(START, capabilities=capabilities, executable=image),
    )
    home.write(2, start=None, outcome=NOT_STARTED)
    home.write(3, outcome=changed(OUTCOME, exit=4), decisions=1, intent=changed(INTENT, labels={"run": "8"}))
    home.write(4, outcome=None, closing=None)
    return home


# --- what the flags find ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "numbers"),
    [
        ([], [4, 3, 2, 1]),
        (["--command", "git push"], [1]),
        (["--command", "push 'a b'"], [1]),
        (["--command", "Git"], []),
        (["--exe", "tool"], [1]),
        (["--exe", "/opt/../opt/tool"], [1]),
        (["--exe", "opt/tool"], []),
        (["--exe", "echo"], [4, 3]),
        (["--exe-sha256", "12" * 32], [1]),
        (["--exe-sha256", "CDCD"], [4, 3]),
        (["--session", session_id(3)], [3]),
        (["--session", session_id(3)[:12].upper()], [3]),
        (["--label", "run"], [3, 1]),
        (["--label", "run=7"], [1]),
        (["--label", "run=7", "--label", "run=8"], []),
        (["--label", "run="], []),
        (["--exit", "0"], [1]),
        (["--exit", "4"], [3]),
        (["--denied"], [3, 2]),
        (["--lost"], [4]),
        (["--denied", "--exit", "4", "--label", "run"], [3]),
        (["--recent", "2"], [4, 3]),
        (["--limit", "2", "--denied"], [3, 2]),
        (["--today"], [4, 3, 2, 1]),
        (["--since", "1h"], [4, 3, 2, 1]),
        (["--until", "1h"], []),
        (["--since", "2001-01-01", "--until", "2001-12-31T00:00:00+02:00"], []),
    ],
)
def test_each_flag(three: Home, arguments: list[str], numbers: list[int]) -> None:
    assert three.found(*arguments) == numbers


def test_a_path_is_made_absolute_and_found_with_what_lies_beneath_it(
    three: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(three.path)
    for path in ("project", "./project/src", "project/x/..", str(three.path / "project" / "src")):
        assert three.found("--path", path) == [1]
    assert three.found("--path", "project/src/deeper") == []
    assert three.found("--path", "proj") == []
    assert three.found("--path", "/work") == [4, 3]


def test_a_path_that_is_not_utf_8_can_be_searched(home: Home) -> None:
    capabilities = changed(START["capabilities"])
    capabilities["files"][0]["path"] = {"base64": "L2QvLf8="}
    home.write(1, start=changed(START, capabilities=capabilities))
    assert home.found("--path", os.fsdecode(b"/d/-\xff")) == [1]
    assert home.found("--path", "/d") == [1]
    assert home.found("--path", os.fsdecode(b"/d/-\xfe")) == []


def test_a_span_is_of_the_times_that_are_listed(three: Home) -> None:
    times = {int(item["session"][:12], 16): item["time"] for item in three.json()["launches"]}
    assert three.found("--since", times[2]) == [4, 3, 2]
    assert three.found("--until", times[2]) == [1]
    assert three.found("--since", times[2], "--until", times[4]) == [3, 2]
    today = times[1][:10]
    assert three.found("--since", today, "--until", today) == [4, 3, 2, 1]


def test_what_finds_nothing_says_so(three: Home) -> None:
    status, out, err = three.run("--command", "nothing like it")
    assert (status, out, err) == (0, "", f"nono: no such launches in {three.ledger}\n")
    assert three.json("--exit", "99")["launches"] == []


# --- what they refuse -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--since", "yesterday"], "--since cannot be yesterday"),
        (["--since", ""], "--since cannot be empty"),
        (["--since", "2026-02-30"], "--since cannot be 2026-02-30"),
        (["--since", "2026-01-01T00:00:00"], "--since cannot be 2026-01-01T00:00:00"),
        (["--since", "2026-01-01 00:00"], "--since cannot be 2026-01-01 00:00"),
        (["--since", "٣d"], "--since cannot be ٣d"),
        (["--until", "3 d"], "--until cannot be 3 d"),
        (["--until", "999999999w"], "--until cannot be 999999999w"),
        (["--until", "9999-12-31"], "--until cannot be 9999-12-31"),
        (["--until", "\x1b[2J"], "--until cannot be \\x1b[2J"),
        (["--since", "1h", "--until", "2h"], "no time lies between --since and --until"),
        (["--today", "--since", "1h"], "--today is a span of its own"),
        (["--exit", "256"], "--exit cannot be 256"),
        (["--exit", "-1"], "--exit cannot be -1"),
        (["--exit", "٣"], "--exit cannot be ٣"),
        (["--exit", "0x1"], "--exit cannot be 0x1"),
        (["--session", "012"], "--session cannot be 012"),
        (["--session", "0" * 33], f"--session cannot be {'0' * 33}"),
        (["--session", "last"], "--session cannot be last"),
        (["--exe-sha256", "xyz0"], "--exe-sha256 cannot be xyz0"),
        (["--exe-sha256", "0" * 65], "--exe-sha256 cannot be 0"),
        (["--exe", ""], "--exe cannot be empty"),
        (["--path", ""], "--path cannot be empty"),
        (["--command", ""], "--command cannot be empty"),
        (["--command", "x" * 5_000], "--command cannot be xxx"),
        (["--label", "=7"], "--label cannot be =7"),
        (["--recent", "-1"], "--recent is a number of launches"),
        (["--all", "--ledger", "x.db"], "--all and --ledger name different ledgers"),
    ],
)
def test_a_value_that_cannot_be_meant_is_refused_by_the_name_of_its_flag(
    home: Home, arguments: list[str], says: str
) -> None:
    home.write(1)
    flag, *rest = arguments
    status, out, err = home.run(*([f"{flag}={rest[0]}", *rest[1:]] if flag == "--exit" else arguments))
    assert (status, out) == (2, "")
    assert err.startswith(f"nono: {says}")
    assert "\nnono: hint: " in err
    assert len(err) < 500
    # Before anything is made or read.
    assert not (home.path / "cache").exists()


@pytest.mark.parametrize(
    ("text", "end", "means"),
    [
        ("2026-01-31", False, datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31", True, datetime(2026, 2, 1, tzinfo=UTC)),
        ("2026-01-31T12:00:00Z", True, datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31t12:00:00z", False, datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 12:00:00.5+02:00", False, datetime(2026, 1, 31, 10, 0, 0, 500_000, tzinfo=UTC)),
        ("2026-01-31T12:00:00.123456Z", False, datetime(2026, 1, 31, 12, 0, 0, 123_456, tzinfo=UTC)),
        ("90s", False, NOW - timedelta(seconds=90)),
        ("15m", False, NOW - timedelta(minutes=15)),
        ("2h", True, NOW - timedelta(hours=2)),
        ("3d", False, NOW - timedelta(days=3)),
        ("1w", False, NOW - timedelta(days=7)),
    ],
)
def test_times(text: str, end: bool, means: datetime) -> None:
    found = search_terms.moment("--since", text, NOW, end=end)
    assert datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=found) == means


def test_today_begins_at_midnight_in_utc(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")
    home.write(1)
    assert home.found("--today") == [1]
    with pytest.raises(NonoError):
        search_terms.moment("--since", "today", NOW)


# --- several ledgers ------------------------------------------------------------------------------------


def test_all_lists_every_ledger_in_the_order_of_time(home: Home) -> None:
    other = SigningKey(b"\x09" * 32)
    second = home.ledger.parent / "other.db"
    for number in (1, 3, 5):
        home.write(number)
        home.write(number + 1, path=second, key=other)
    assert home.found("--all") == [6, 5, 4, 3, 2, 1]
    assert home.found("--all", "--recent", "3") == [6, 5, 4]
    document = home.json("--all")
    assert {ledger["path"] for ledger in document["ledgers"]} == {str(home.ledger), str(second)}
    origins = {ledger["path"]: ledger["origin"] for ledger in document["ledgers"]}
    assert [launch["origin"] for launch in document["launches"][:2]] == [
        origins[str(second)],
        origins[str(home.ledger)],
    ]
    status, out, err = home.run("--all", "--recent", "4")
    lines = out.splitlines()
    assert (status, len(lines)) == (0, 5)
    assert lines[0].split()[:2] == ["LEDGER", "SESSION"]
    assert lines[1].startswith(f"builder/{origins[str(second)].partition('/')[2][:8]}  ")
    assert "older launches are not listed" in err


def test_a_ledger_that_is_damaged_hides_no_other(home: Home) -> None:
    home.write(1)
    (home.ledger.parent / "broken.db").write_text("hello")
    status, out, err = home.run("--all")
    assert (status, len(out.splitlines())) == (1, 2)
    assert "broken.db" in err


def test_all_of_none(home: Home) -> None:
    status, out, err = home.run("--all")
    assert (status, out) == (1, "")
    assert err == "nono: no ledger yet\nnono: hint: launch something with nono run\n"


# --- which index ----------------------------------------------------------------------------------------


def test_the_index_is_the_one_that_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    home.write(1)
    named, other = home.path / "named.db", home.path / "variable.db"
    assert home.found("--index", f"sqlite:///{named}") == [1]
    assert named.is_file()
    monkeypatch.setenv("NONO_INDEX", f"sqlite:///{other}")
    assert home.found() == [1]
    assert other.is_file()
    assert not (home.path / "cache").exists()
    monkeypatch.setenv("NONO_INDEX", "")
    assert home.found() == [1]
    assert (home.path / "cache" / "nono" / "index.db").is_file()


@pytest.mark.parametrize("url", ["nonsense", "nosuch://x/y", "postgresql+nosuch://user:hunter2@host/db"])
def test_an_index_that_cannot_be_used_is_an_error(home: Home, url: str) -> None:
    home.write(1)
    status, out, err = home.run("--index", url)
    assert (status, out) == (1, "")
    assert err.startswith("nono: ")
    assert "\nnono: hint: " in err
    assert "hunter2" not in err


# --- progress -------------------------------------------------------------------------------------------

SLOW = """
import sys
sys.path.insert(0, sys.argv[1])
from runtime.cli import main, terminal
from store.index import catching_up
terminal._QUIET_SECONDS = float(sys.argv[2])
catching_up.BATCH = 3
sys.exit(main(["audit", "list"]))
"""


@pytest.mark.parametrize(("quiet", "told"), [("0", True), ("60", False)])
def test_progress_is_shown_on_a_terminal_only_and_only_when_it_takes_long(
    home: Home, quiet: str, told: bool
) -> None:
    home.write(1)
    home.write(2)
    arguments = [sys.executable, "-c", SLOW, str(ROOT), quiet]
    parent, child = pty.openpty()
    try:
        done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=child, check=True)
        os.write(child, b"end")
        shown = ""
        while not shown.endswith("end"):  # a terminal gives what it has got so far
            shown += os.read(parent, 65_536).decode()
    finally:
        os.close(parent)
        os.close(child)
    assert len(done.stdout.splitlines()) == 3
    if told:
        first, *_, last = shown.split("\r")[1:]
        assert first == "nono: indexing: 0 of 9"
        assert last == "end"
        assert shown.split("\r")[-2].strip() == ""  # and nothing of it is left
    else:
        assert shown == "end"
    (home.path / "cache" / "nono" / "index.db").unlink()
    piped = subprocess.run(arguments, capture_output=True, check=True)
    assert piped.stderr == b""


def test_no_text_of_a_launch_is_a_command_to_a_runner_in_json(home: Home) -> None:
    """What a pipeline's step writes is read by its runner, which takes such words for its own."""
    command = ["##vso[task.setvariable variable=x]y", "##[error]z", "###[z"]
    home.write(1, intent=changed(INTENT, command=command))
    _, out, _ = home.run("--json")
    assert "##[" not in out
    assert "##vso[" not in out
    (launch,) = json.loads(out)["launches"]
    assert all(word in launch["command"] for word in command)
