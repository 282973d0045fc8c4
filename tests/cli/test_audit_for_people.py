"""``nono audit`` on a terminal: colour, how long ago, trees and pages; and ``nono audit stats`` anywhere."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from array import array
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from attest.instant import format_instant
from runtime import cli
from runtime.cli import audit_stats
from runtime.cli.ago import ago
from runtime.cli.grants_tree import grants_tree
from store.index import LaunchRecord
from tests.runtime.published_schema import validator
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
COMMAND = (
    "import sys; sys.path.insert(0, sys.argv[1]); from runtime import cli; sys.exit(cli.main(sys.argv[2:]))"
)
HOSTILE = "\x1b]0;owned\x07\x1b[31m\u202egnp.exe\n\u2028\x9b1A\u034f\u3164\u2800\ufe0f"
RAW = re.compile(
    r"\x1b(?!\[(?:0|1|31|33)m)|[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f\u202a-\u202e\u2028]"
    "|[\u034f\u3164\u2800\ufe0f]"
)


class Home:
    """A user's directories with a ledger, and the command run with them, by a pipe or by a terminal."""

    def __init__(self, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.state = path / "state" / "nono"
        self.ledger = self.state / "ledgers" / f"{KEY.public.fingerprint()}.db"
        self._capfd = capfd

    def write(self, number: int, **parts: Any) -> None:
        with open_ledger(self.ledger, self.state) as ledger:
            ledger.append(drafts(session_id(number), **parts))

    def run(self, *arguments: str) -> tuple[int, str, str]:
        status = cli.main(["audit", *arguments])
        captured = self._capfd.readouterr()
        return status, captured.out, captured.err

    def json(self, *arguments: str) -> Any:
        status, out, err = self.run(*arguments, "--json")
        assert (status, err) == (0, "")
        assert out[:-1].isascii()
        return json.loads(out)

    def seen(self, *arguments: str, rows: int = 50, columns: int = 120, **environment: Any) -> str:
        """Return what a terminal gets."""
        parent, child = pty.openpty()
        size = {"COLUMNS": str(columns), "LINES": str(rows), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
        words = [sys.executable, "-c", COMMAND, str(ROOT), "audit", *arguments]
        inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "PAGER"}}
        env = {**inherited, "PAGER": "cat", **size, **environment}
        process = subprocess.Popen(words, stdin=child, stdout=child, stderr=subprocess.PIPE, env=env)
        os.close(child)
        pieces = []
        while True:
            try:
                piece = os.read(parent, 65_536)
            except OSError:  # EIO: nobody has the other end any more
                break
            if not piece:
                break
            pieces.append(piece)
        os.close(parent)
        _, err = process.communicate()
        assert (process.returncode, err) == (0, b"")
        return b"".join(pieces).decode().replace("\r\n", "\n")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Home:
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    monkeypatch.delenv("NONO_INDEX", raising=False)
    return Home(tmp_path, capfd)


@pytest.fixture
def four(home: Home) -> Home:
    """A home with launches that ended well, badly, not at all, and never began."""
    home.write(1)
    home.write(2, start=None, outcome=NOT_STARTED)
    home.write(3, outcome=changed(OUTCOME, exit=4), decisions=1, intent=changed(INTENT, command=["make"]))
    home.write(4, outcome=None, closing=None)
    return home


# --- list -------------------------------------------------------------------------------------------


def test_a_terminal_gets_colour_and_how_long_ago(four: Home) -> None:
    heading, *lines = four.seen("list").splitlines()
    assert heading.startswith("\x1b[1mSESSION")
    assert "WHEN" in heading
    assert "TIME (UTC)" not in heading
    assert [line.partition("m")[0] for line in lines if line.startswith("\x1b")] == [
        "\x1b[33",
        "\x1b[31",
        "\x1b[31",
    ]
    assert all(re.search(r"  (just now|\d+ (seconds|minutes?) ago)  ", line) for line in lines)
    assert not RAW.search("\n".join(lines))


def test_instants_on_a_terminal_for_whoever_asks(four: Home) -> None:
    heading, *lines = four.seen("list", "--utc").splitlines()
    assert "TIME (UTC)" in heading
    assert all(re.search(r"  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  ", line) for line in lines)


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_where_none_is_wanted(four: Home, environment: dict[str, Any]) -> None:
    assert "\x1b" not in four.seen("list", **environment)


def test_a_pipe_gets_neither(four: Home) -> None:
    _, out, _ = four.run("list")
    assert "\x1b" not in out
    assert "TIME (UTC)" in out
    assert " ago" not in out


@pytest.mark.parametrize("command", ["list", "show", "stats"])
def test_nothing_of_a_ledger_reaches_a_terminal_as_it_is(home: Home, command: str) -> None:
    capabilities = {"files": [{**START["capabilities"]["files"][0], "path": f"/{HOSTILE}/{HOSTILE}"}]}
    home.write(
        1,
        intent=changed(INTENT, command=[HOSTILE, HOSTILE], labels={"x": HOSTILE}),
        start=changed(
            START,
            capabilities={**START["capabilities"], **capabilities},
            directory=HOSTILE,
            environment=[HOSTILE],
        ),
        outcome=changed(OUTCOME, exit=3),
    )
    seen = home.seen(command, *(["last"] if command == "show" else []))
    assert "\\x1b" in seen
    assert not RAW.search(seen)
    paged = home.seen(command, *(["last"] if command == "show" else []), rows=2, PAGER="sed s/^/|/")
    assert not RAW.search(paged)
    assert all(line.startswith("|") for line in paged.splitlines())


# --- pages ------------------------------------------------------------------------------------------


def test_a_long_list_goes_through_the_pager(four: Home) -> None:
    paged = four.seen("list", rows=4, PAGER="sed s/^/page:/")
    assert len(paged.splitlines()) == 5
    assert all(line.startswith("page:") for line in paged.splitlines())
    assert "\x1b[1mSESSION" in paged


@pytest.mark.parametrize(
    ("arguments", "rows", "pager"),
    [
        (("list", "--no-pager"), 4, "sed s/^/page:/"),
        (("list",), 50, "sed s/^/page:/"),
        (("list",), 4, "cat"),
        (("list",), 4, ""),
        (("list",), 4, "/no/such/pager"),
        (("list",), 4, "'unclosed"),
    ],
)
def test_no_pager_where_none_is_wanted_or_there(
    four: Home, arguments: tuple[str, ...], rows: int, pager: str
) -> None:
    seen = four.seen(*arguments, rows=rows, PAGER=pager)
    assert "page:" not in seen
    assert len(seen.splitlines()) == 5


def test_whoever_has_seen_enough_closes_the_pager(home: Home) -> None:
    for number in range(1, 30):
        home.write(number, intent=changed(INTENT, command=["x" * 9_000]))
    assert home.seen("list", rows=4, columns=20_000, PAGER="head -n 1").count("\n") == 1


# --- show -------------------------------------------------------------------------------------------


def test_grants_are_a_tree_on_a_terminal_and_lines_in_a_pipe(home: Home) -> None:
    grant = START["capabilities"]["files"][0]
    files = [
        {**grant, "path": path, "access": access}
        for path, access in (
            ("/home/a/project", "readwrite"), ("/home/a/project/vendor/x", "read"), ("/usr", "read"),
            ("/home/b", "read"),
        )
    ]  # fmt: skip
    home.write(1, start=changed(START, capabilities={**START["capabilities"], "files": files}))
    _, piped, _ = home.run("show", "last")
    assert "read directory /home/a/project/vendor/x (user)" in piped
    seen = home.seen("show", "last")
    drawn = [
        line.split(None, 1)[1] if line.startswith("granted") else line.lstrip() for line in seen.splitlines()
    ]
    at = drawn.index("/home")
    assert [line.strip() for line in seen.splitlines()[at : at + 5]] == [
        "/home",
        "├─ a/project  readwrite directory (user)",
        "│  └─ vendor/x  read directory (user)",
        "└─ b  read directory (user)",
        "/usr  read directory (user)",
    ]
    assert re.search(r"asked at +\S+Z \((just now|\d+ (second|minute)s? ago)\)", seen)
    ascii_only = home.seen("show", "last", PYTHONIOENCODING="ascii")
    assert "read directory /home/a/project/vendor/x (user)" in ascii_only


@pytest.mark.parametrize(
    ("grants", "lines"),
    [
        ([], []),
        ([(b"/", "x")], ["/  x"]),
        ([(b"/a", "x"), (b"/a", "y")], ["/a  x, y"]),
        ([(b"/a/b/c", "x"), (b"/a/b/d", "y")], ["/a/b", "├─ c  x", "└─ d  y"]),
        ([(b"/a", "x"), (b"/a/b", "y"), (b"/c", "z")], ["/a  x", "└─ b  y", "/c  z"]),
        ([(b"/a//b/", "x")], ["/a/b  x"]),
        ([(b"/a/b ", "x"), (b"/a/b", "y")], ["/a", "├─ b  y", "└─ 'b '  x"]),
        ([(b"/a\xff/b", "x")], ["/$'a\\xff/b'  x"]),
    ],
)
def test_trees(grants: list[tuple[bytes, str]], lines: list[str]) -> None:
    assert grants_tree(grants) == lines


def test_a_tree_as_deep_as_paths_go() -> None:
    deep = [b"/".join([b"", *([b"d"] * count)]) for count in range(1, 2_049)]
    lines = grants_tree((path, "x") for path in deep)
    assert len(lines) == len(deep)
    assert grants_tree([(b"/x" * 20_000, "y")])[0].endswith("x  y")


NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("before", "words"),
    [
        (timedelta(0), "just now"), (timedelta(seconds=9), "just now"),
        (timedelta(seconds=10), "10 seconds ago"),
        (timedelta(seconds=60), "1 minute ago"), (timedelta(minutes=59, seconds=59), "59 minutes ago"),
        (timedelta(hours=1), "1 hour ago"), (timedelta(hours=47), "1 day ago"),
        (timedelta(days=29), "29 days ago"),
        (timedelta(days=30), "1 month ago"), (timedelta(days=800), "2 years ago"),
        (timedelta(seconds=-5), "2026-03-04 05:06:12"),
    ],
)  # fmt: skip
def test_how_long_ago(before: timedelta, words: str) -> None:
    assert ago(format_instant(int((NOW - before).timestamp()) * 10**9), NOW) == words


def test_what_is_no_instant_stays_what_it_is() -> None:
    assert ago("yesterday", NOW) == "yesterday"


# --- stats ------------------------------------------------------------------------------------------


def test_stats_in_words(four: Home) -> None:
    status, out, err = four.run("stats")
    assert (status, err) == (0, "")
    words = {line.split("  ")[0]: line.split(None, 1)[1] for line in out.splitlines()[:6]}
    assert words["launches"] == "4"
    assert words["states"] == "3 complete, 0 running, 1 unfinished, 0 lost"
    assert words["results"] == "1 exit 0, 1 exit 4, 1 not started: executable.missing"
    assert words["denied"] == "1 decision in 1 launch"
    assert words["durations"] == "median 1.5 ms, 90 % within 1.5 ms, longest 1.5 ms, together 3.0 ms"
    assert re.search(r"^echo +3 +1$", out, re.MULTILINE)
    assert re.search(r"^make +1 +1$", out, re.MULTILINE)
    assert re.search(r"^\d{4}-\d\d-\d\d \d\d:00 +4 +2 +█{20}▌{20}$", out, re.MULTILINE)


def test_where_the_name_of_a_program_ends_can_be_seen(home: Home) -> None:
    for number, name in enumerate(("/srv/a", "/srv/a ", "/srv/a  b"), 1):
        home.write(number, intent=changed(INTENT, command=[name]))
    _, out, _ = home.run("stats")
    for name in ("/srv/a", "'/srv/a '", r"$'/srv/a\x20\x20b'"):
        assert re.search(rf"^{re.escape(name)} +1 +0$", out, re.MULTILINE), out


def test_stats_are_of_the_launches_that_are_asked_for(four: Home) -> None:
    document = four.json("stats", "--command", "make")
    assert (document["launches"], document["exits"]) == (1, {"4": 1})
    status, out, err = four.run("stats", "--command", "nothing")
    assert (status, out) == (0, "")
    assert err == f"nono: no such launches in {four.ledger}\n"


def test_the_name_of_a_ledger_begins_no_line_of_its_own(home: Home) -> None:
    status, _, said = home.run("stats", "--ledger", "x\nnono: verified")
    assert status == 1
    assert len(said.splitlines()) == 1
    assert "x\\x0anono: verified" in said


def test_stats_of_a_ledger_without_launches(home: Home) -> None:
    with open_ledger(home.ledger, home.state):
        pass
    assert home.run("stats")[2] == f"nono: no launches in {home.ledger}\n"
    document = home.json("stats")
    validator("audit-stats").validate(document)
    assert (document["launches"], document["first"], document["duration_us"]) == (0, None, None)


@pytest.mark.parametrize(
    "command", [("list",), ("list", "--all"), ("show", "last"), ("show", session_id(3)), ("stats",)]
)
def test_what_programs_get_is_of_its_published_schema(four: Home, command: tuple[str, ...]) -> None:
    document = four.json(*command)
    validator(f"audit-{command[0]}").validate(document)
    assert document["schema"] == f"urn:nono-attest:schema:v1:audit-{command[0]}"
    for member in list(document):
        less = {name: value for name, value in document.items() if name != member}
        assert not validator(f"audit-{command[0]}").is_valid(less)
    assert not validator(f"audit-{command[0]}").is_valid({**document, "more": 1})


@pytest.mark.parametrize("name", ["list", "show", "stats"])
def test_the_schemas_are_printed(home: Home, name: str) -> None:
    status, out, err = home.run("schema", name)
    assert (status, err) == (0, "")
    assert json.loads(out) == validator(f"audit-{name}").schema


def record(time: datetime | str, **members: Any) -> LaunchRecord:
    instant = time if isinstance(time, str) else format_instant(int(time.timestamp()) * 10**9)
    fields: dict[str, Any] = dict.fromkeys(LaunchRecord.__annotations__)
    fields |= {"state": "complete", "time": instant, "program": "make"}
    return LaunchRecord(**{**fields, "denied": 0, "labels": {}, **members})


@pytest.mark.parametrize(
    ("step", "number", "unit", "bars"),
    [
        (timedelta(minutes=1), 1, "hour", 1), (timedelta(hours=1), 49, "hour", 49),
        (timedelta(hours=7), 10, "day", 3), (timedelta(days=1), 61, "day", 61),
        (timedelta(days=9), 10, "week", 13), (timedelta(days=40), 20, "month", 25),
        (timedelta(days=300), 10, "year", 8), (timedelta(days=9_000), 30, "year", 62),
    ],
)  # fmt: skip
def test_the_chart_has_the_unit_that_suits_it(step: timedelta, number: int, unit: str, bars: int) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    stats = audit_stats.Stats().add_all(
        record(begin + step * count, exit=count % 2) for count in range(number)
    )
    found, drawn = audit_stats.chart(stats)
    assert (found, len(drawn)) == (unit, bars)
    if len(drawn) < 62:
        assert sum(all_of_it for _, all_of_it, _ in drawn) == number
        assert sum(failed for _, _, failed in drawn) == number // 2
    begins = [moment for moment, _, _ in drawn]
    assert begins == sorted(set(begins))


def test_the_oldest_times_that_there_can_be() -> None:
    first = datetime(1000, 1, 1, tzinfo=UTC)
    times = [record("1000-01-01T00:00:00.000000Z"), record("no time"), record(first)]
    stats = audit_stats.Stats().add_all(times)
    assert stats.launches == 3
    assert audit_stats.chart(stats)[0] == "hour"
    both = audit_stats.Stats().add_all([*times, record("9999-12-31T23:59:59.999999Z")])
    assert len(audit_stats.chart(both)[1]) == 62


def test_what_counts_as_failed() -> None:
    for members, good in (
        ({"exit": 0}, True), ({"exit": 1}, False), ({"signal": 9}, False), ({"not_started": "x.y"}, False),
        ({"state": "lost"}, False), ({"state": "running"}, True), ({"state": "unfinished"}, True),
    ):  # fmt: skip
        assert audit_stats.succeeded(record(NOW, **members)) is good


def test_quantiles() -> None:
    stats = audit_stats.Stats().add_all(record(NOW, duration_us=count) for count in range(1, 102))
    assert audit_stats.quantiles(stats.durations) == {"median": 51, "p90": 91, "longest": 101, "total": 5151}


@pytest.mark.parametrize("count", [*range(1, 24), 100, 1_001])
def test_so_many_of_a_hundred_are_within_a_quantile(count: int) -> None:
    """Of two launches the shorter one is not what 90 % are within."""
    found = audit_stats.quantiles(array("q", range(1, count + 1)))
    assert found is not None
    for name, percent in (("median", 50), ("p90", 90)):
        assert found[name] * 100 >= count * percent
        assert (found[name] - 1) * 100 < count * percent


def test_more_programs_than_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_stats, "_MOST_NAMES", 3)
    stats = audit_stats.Stats().add_all(record(NOW, program=f"p{count}", exit=0) for count in range(9))
    assert audit_stats.busiest(stats)[0] == ("(others)", 6, 0)
    assert len(stats.programs) == 4
