"""``nono audit``: what it prints, what it exits with, and that a ledger never speaks to the terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from attest import schema
from attest.keys import SigningKey
from attest.printable_text import is_printable, printable
from runtime import cli
from runtime.cli import launch_text
from store.reading import LedgerReader
from tests.store.recorded_launches import (
    INTENT,
    KEY,
    NOT_STARTED,
    OUTCOME,
    SHA,
    START,
    changed,
    drafts,
    open_ledger,
    session_id,
)

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[2]
LEFT, RIGHT = "\u2039", "\u203a"


class Home:
    """A user's directories, and the command run with them."""

    def __init__(self, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.state = path / "state" / "nono"
        self.ledger = self.state / "ledgers" / f"{KEY.public.fingerprint()}.db"
        self._capfd = capfd

    def write(self, *sessions: int, path: Path | None = None, **parts: Any) -> Path:
        with open_ledger(path or self.ledger, self.state) as ledger:
            for number in sessions:
                ledger.append(drafts(session_id(number), **parts))
        return path or self.ledger

    def run(self, *arguments: str) -> tuple[int, str, str]:
        status = cli.main(list(arguments))
        captured = self._capfd.readouterr()
        return status, captured.out, captured.err

    def json(self, *arguments: str) -> Any:
        status, out, err = self.run(*arguments, "--json")
        assert (status, err) == (0, "")
        assert out.isascii()
        assert out[:-1].isprintable()
        return json.loads(out)

    def shown(self, *arguments: str) -> dict[str, list[str]]:
        """Return the lines of ``audit show``, by name."""
        status, out, err = self.run("audit", "show", *arguments)
        assert (status, err) == (0, "")
        found: dict[str, list[str]] = {}
        name = ""
        width = out.index(session_id(0)[:8])
        for line in out.splitlines():
            name = line[:width].strip() or name
            found.setdefault(name, []).append(line[width:])
        return found


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Home:
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    return Home(tmp_path, capfd)


# --- list -------------------------------------------------------------------------------------------


def test_list_has_aligned_columns_newest_first(home: Home) -> None:
    home.write(1)
    home.write(2, start=None, outcome=NOT_STARTED)
    home.write(3, outcome=changed(OUTCOME, exit=0, duration_us=63_000_000))
    status, out, err = home.run("audit", "list")
    lines = out.splitlines()
    assert (status, err, len(lines)) == (0, "", 4)
    assert lines[0].split() == ["SESSION", "TIME", "(UTC)", "STATE", "RESULT", "DURATION", "COMMAND"]
    assert [line[:16] for line in lines[1:]] == [session_id(number)[:16] for number in (3, 2, 1)]
    column = lines[0].index("COMMAND")
    assert {line[column:] for line in lines[1:]} == {"echo 'hello world'"}
    assert "complete  exit 0                           1 min 3 s" in lines[1]
    assert "complete  not started: executable.missing  -        " in lines[2]


def test_list_says_what_it_leaves_out(home: Home) -> None:
    home.write(1, 2, 3)
    status, out, err = home.run("audit", "list", "--limit", "2")
    assert (status, len(out.splitlines())) == (0, 3)
    assert err == "nono: older launches are not listed\nnono: hint: --recent 20 lists more, --recent 0 all\n"
    assert len(home.run("audit", "list", "--limit", "0")[1].splitlines()) == 4


def test_list_as_json(home: Home) -> None:
    home.write(1, intent=changed(INTENT, labels={"run": "7"}))
    home.write(2, outcome=changed(OUTCOME, exit=4))
    document = home.json("audit", "list")
    assert document["ledger"]["path"] == str(home.ledger)
    assert (document["ledger"]["size"], document["ledger"]["consistent"]) == (9, True)
    assert [launch["session"] for launch in document["launches"]] == [session_id(2), session_id(1)]
    assert [launch["exit"] for launch in document["launches"]] == [4, 0]
    assert document["launches"][1]["labels"] == {"run": "7"}
    assert document["launches"][1]["attestation"] == 4


def test_a_ledger_without_launches(home: Home) -> None:
    home.write()
    status, out, err = home.run("audit", "list")
    assert (status, out) == (0, "")
    assert err == f"nono: no launches in {home.ledger}\n"
    assert home.json("audit", "list")["launches"] == []
    status, out, err = home.run("audit", "show", "last")
    assert (status, out, err) == (1, "", f"nono: no launches in {home.ledger}\n")


def test_a_negative_limit_is_refused(home: Home) -> None:
    home.write(1)
    status, out, err = home.run("audit", "list", "--limit", "-1")
    assert (status, out) == (2, "")
    assert err.startswith("nono: --recent is a number of launches\nnono: hint: ")


def test_an_edited_ledger_is_listed_with_a_warning(home: Home) -> None:
    home.write(1, 2)
    body = home.ledger.read_bytes()
    assert body.count(b"hello world") == 2
    home.ledger.write_bytes(body.replace(b"hello world", b"jello world", 1))
    status, out, err = home.run("audit", "list")
    assert (status, len(out.splitlines())) == (0, 3)
    assert "jello" in out
    assert "do not lead to its own head" in err
    assert f"nono: hint: nono-verify {home.ledger}" in err


# --- show -------------------------------------------------------------------------------------------


def test_show_says_who_what_when_where_and_inside_what(home: Home) -> None:
    hook = {"path": "/etc/hook", "required": True, "sha256": SHA, "timeout_seconds": 30}
    intent = changed(
        INTENT,
        bypass_protection=["/root/.ssh"],
        command=["make", "-C", "a b"],
        hooks={"before": hook},
        labels={"run": "7"},
        profile=[{"name": "ci-strict", "sha256": SHA}],
    )
    image = changed(START["executable"], path="/bin/sh", sha256="ef" * 32)
    outcome = changed(
        OUTCOME,
        outputs=[
            {"path": "/work/a.whl", "sha256": SHA, "size": 12_345},
            {"path": "/work/b", "unhashed": "missing"},
        ],
    )
    del outcome["exit"]
    outcome.update(signal=9, core_dumped=False)
    home.write(1, intent=intent, start=changed(START, interpreters=[image]), outcome=outcome, decisions=1)
    shown = home.shown("last")
    assert shown["session"] == [session_id(1)]
    assert shown["state"] == ["complete"]
    assert shown["command"] == ["make -C 'a b'"]
    assert shown["who"] == ["uid 1000, gid 1000, groups 1000, 27"]
    assert shown["host"] == ["builder, kernel 6.18.0, Landlock ABI 7"]
    assert shown["profile"] == [f"ci-strict  sha256 {SHA}"]
    assert shown["hook"] == [f"before: /etc/hook  sha256 {SHA}  required, at most 30 s"]
    assert shown["bypass"] == ["protection lifted: /root/.ssh"]
    assert shown["label"] == ["run=7"]
    assert shown["executable"] == [f"/usr/bin/echo  sha256 {'cd' * 32}  35,208 bytes, held by lease"]
    assert shown["interpreter"] == [f"/bin/sh  sha256 {'ef' * 32}  35,208 bytes, held by lease"]
    assert shown["granted"][:2] == ["network blocked", "readwrite directory /work (user)"]
    assert shown["decision"] == ["denied file /etc/shadow by kernel: outside the grants"]
    assert shown["outcome"] == ["signal 9 (SIGKILL)"]
    assert shown["output"] == [f"/work/a.whl  sha256 {SHA}  12,345 bytes", "/work/b  not hashed: missing"]
    assert shown["entries"] == [
        "launch.intent 1, launch.start 2, decision 3, launch.outcome 4, launch.attestation 5"
    ]
    assert shown["check with"] == [f"nono-verify {home.ledger}"]


def test_show_names_what_was_required_and_not_enforced(home: Home) -> None:
    enforcement = changed(START["enforcement"])
    enforcement["achieved"]["filter"] = False
    enforcement["waived"] = ["lease"]
    home.write(1, start=changed(START, enforcement=enforcement))
    shown = home.shown("last")
    assert shown["NOT enforced"] == ["filter"]
    assert shown["waived"] == ["lease"]


def test_show_of_a_launch_that_never_started(home: Home) -> None:
    home.write(1, start=None, outcome=NOT_STARTED)
    shown = home.shown("last")
    assert shown["outcome"] == ["not started: no such command [executable.missing]"]
    assert "executable" not in shown


def test_show_as_json_is_the_record_itself(home: Home) -> None:
    big = changed(INTENT, command=["tool", *["x" * 1_000] * 100])
    home.write(1, intent=big, decisions=1)
    document = home.json("audit", "show", "last")
    assert [item["entry"]["kind"] for item in document["entries"]] == [
        "launch.intent", "launch.start", "decision", "launch.outcome", "launch.attestation",
    ]  # fmt: skip
    for item in document["entries"]:
        schema.check_entry(item["entry"])
        assert item["fault"] is None
    reference = document["entries"][0]["entry"]["data"]["command"]["blob"]
    assert document["blobs"][reference["sha256"]] == big["command"]
    assert document["launch"]["session"] == session_id(1)
    assert document["launch"] == home.json("audit", "list")["launches"][0]
    assert document["launch"]["origin"] == document["ledger"]["origin"]


@pytest.mark.parametrize("change", ["DELETE FROM blob", "UPDATE blob SET salt = zeroblob(32)"])
def test_a_blob_that_is_erased_or_replaced_is_withheld(home: Home, change: str) -> None:
    home.write(1, intent=changed(INTENT, command=["tool", *["x" * 1_000] * 100]))
    database = sqlite3.connect(home.ledger)
    triggers = database.execute(
        "SELECT name, sql FROM sqlite_schema WHERE name LIKE 'blob_%' ORDER BY rowid"
    ).fetchall()
    assert len(triggers) == 2
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {name}")
    database.execute(change)
    for _, sql in triggers:
        database.execute(sql)
    database.commit()
    database.close()
    assert home.shown("last")["command"] == [launch_text.WITHHELD]
    assert list(home.json("audit", "show", "last")["blobs"].values()) == [None]


def test_a_session_is_found_by_the_beginning_of_its_id(home: Home) -> None:
    home.write(1, 0x1F, 2)
    assert home.shown(session_id(1))["session"] == [session_id(1)]
    assert home.shown(session_id(0x1F)[:12].upper())["session"] == [session_id(0x1F)]
    status, out, err = home.run("audit", "show", "0000000000")
    assert (status, out) == (1, "")
    assert err.startswith(
        "nono: several launches whose session id begins with 0000000000\nnono: hint: one of: "
    )
    assert all(session_id(number) in err for number in (1, 0x1F, 2))


@pytest.mark.parametrize(
    ("session", "says"),
    [
        ("ffff", "nono: no launch whose session id begins with ffff"),
        ("000", "nono: not a session id: 000"),
        ("latest", "nono: not a session id: latest"),
        ("%", "nono: not a session id: %"),
        ("\x1b[2J", "nono: not a session id: \\x1b[2J"),
        ("0" * 4_000, "nono: no launch whose session id begins with 000"),
    ],
)
def test_a_session_that_is_none_is_refused_in_words(home: Home, session: str, says: str) -> None:
    home.write(1)
    status, out, err = home.run("audit", "show", session)
    assert (status, out) == (2 if "not a session id" in says else 1, "")
    assert err.startswith(says)
    assert "nono: hint: " in err


# --- hostile content --------------------------------------------------------------------------------

HOSTILE = "\x1b]0;owned\x07\r\n\x9b31m\u202egnp.exe\u2028state        complete\x00\u034f\u3164\u2800\ufe0f"


def hostile_parts() -> dict[str, Any]:
    return {
        "intent": changed(
            INTENT,
            bypass_protection=[HOSTILE],
            command=[HOSTILE, {"base64": "/xs="}, {"parts": ["--t=", {"redacted": "flag"}]}],
            grants=[{**INTENT["grants"][0], "asked": HOSTILE}],
            host=changed(INTENT["host"], name=HOSTILE, kernel=HOSTILE),
            hooks={"after": {"path": HOSTILE, "required": False, "sha256": SHA, "timeout_seconds": 1}},
            labels={"k": HOSTILE},
            profile=[{"name": HOSTILE, "sha256": SHA}],
            supervisor=changed(INTENT["supervisor"], version=HOSTILE),
        ),
        "start": changed(
            START,
            directory=HOSTILE,
            environment=[HOSTILE],
            executable=changed(START["executable"], path=HOSTILE),
            interpreters=[changed(START["executable"], path={"base64": "/xs="})],
        ),
        "outcome": changed(
            NOT_STARTED,
            not_started={"code": "a.b", "message": HOSTILE},
            outputs=[{"path": HOSTILE, "unhashed": "missing"}],
        ),
    }


@pytest.mark.parametrize(
    "arguments", [["list"], ["show", "last"], ["list", "--json"], ["show", "last", "--json"]]
)
def test_nothing_of_a_ledger_reaches_a_terminal_raw(home: Home, arguments: list[str]) -> None:
    home.write(1, **hostile_parts())
    status, out, err = home.run("audit", *arguments)
    assert (status, err) == (0, "")
    assert "owned" in out
    assert is_printable(out.replace("\n", ""))
    if "show" in arguments and "--json" not in arguments:
        # A value stays on its line: no line of it passes for one of ours.
        assert sum(line.startswith("state ") for line in out.splitlines()) == 1
        assert f"{LEFT}redacted: flag{RIGHT}" in out


def test_where_a_recorded_path_ends_can_be_seen(home: Home) -> None:
    """One that ends in a blank is another than the one without it, and a blank inside is no column."""
    file = START["capabilities"]["files"][0]
    start = changed(
        START,
        directory="/srv/a ",
        executable=changed(START["executable"], path="/srv/a  b"),
        capabilities={**START["capabilities"], "files": [{**file, "path": "/srv/a "}]},
    )
    outcome = changed(OUTCOME, outputs=[{"path": "/srv/out ", "unhashed": "missing"}])
    asked = [{**INTENT["grants"][0], "asked": "../a "}]
    home.write(1, intent=changed(INTENT, grants=asked), start=start, outcome=outcome)
    shown = home.shown("last")
    assert shown["directory"] == ["'/srv/a '"]
    assert shown["executable"][0].startswith("$'/srv/a\\x20\\x20b'  sha256 ")
    assert shown["output"] == ["'/srv/out '  not hashed: missing"]
    assert any(" '/srv/a ' (" in line for line in shown["granted"])
    assert any(" '../a ' (" in line for line in shown["asked for"])


COMMANDS = ("::error::x", "##[error]x", "a##vso[task.setvariable variable=x]y", "###[x")


@pytest.mark.parametrize("arguments", [["list"], ["list", "--all"], ["show", "last"], ["stats"], ["tail"]])
def test_no_line_is_a_command_to_the_runner_of_a_pipeline(home: Home, arguments: list[str]) -> None:
    """It reads all that its steps write, and a line of a table can begin with what somebody chose."""
    for number, text in enumerate(COMMANDS, 1):
        file = {**START["capabilities"]["files"][0], "path": text}
        home.write(
            number,
            intent=changed(
                INTENT,
                command=[text],
                host=changed(INTENT["host"], name=text),
                labels={"a": "b", "::error::x": "y", "z": text},
                bypass_protection=[text],
            ),
            start=changed(
                START,
                directory=text,
                environment=[text],
                executable=changed(START["executable"], path=text),
                capabilities={**START["capabilities"], "files": [file]},
            ),
            outcome=changed(OUTCOME, outputs=[{"path": text, "unhashed": "missing"}]),
        )
        _, out, _ = home.run("audit", *arguments)
        assert re.search(r"error|vso|x\]|\[x", out)  # it is there, and harmless
        assert not re.search(r"##\[|##vso\[|^\s*::", out, re.MULTILINE)


def test_entries_that_are_not_of_their_schema_are_named_and_not_interpreted(home: Home) -> None:
    lie: dict[str, Any] = {"exit": 0, "verdict": "all is well\x1b[2J"}
    home.write(1, outcome=lie, checked=False)
    shown = home.shown("last")
    assert "outcome" not in shown
    assert shown["unreadable"] == ["entry 3 (launch.outcome): not of its schema at data"]
    document = home.json("audit", "show", "last")
    assert document["entries"][2]["fault"] == "not of its schema at data"
    assert document["entries"][2]["entry"]["data"] == lie


def test_what_is_endless_is_cut_and_said_to_be(home: Home) -> None:
    home.write(1, intent=changed(INTENT, command=["x" * 50_000] * 20), decisions=launch_text.MAX_ROWS + 7)
    status, out, err = home.run("audit", "show", "last")
    assert (status, err) == (0, "")
    assert len(out) < 200_000
    assert "more characters)" in out
    assert "and 7 more; --json has all" in out


def test_an_output_that_has_not_the_characters_gets_escapes(home: Home) -> None:
    home.write(1, intent=changed(INTENT, command=["ünï", {"redacted": "flag"}]))
    result = subprocess.run(
        [sys.executable, "-c", "import sys; from runtime.cli import main; sys.exit(main())", "audit", "list"],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert b"'\\xfcn\\xef' \\u2039redacted: flag\\u203a" in result.stdout


def test_lines_fit_a_terminal_and_go_whole_into_a_pipe(home: Home) -> None:
    home.write(1, intent=changed(INTENT, command=["tool", "x" * 300]))
    assert "x" * 300 in home.run("audit", "list")[1]
    parent, child = pty.openpty()
    try:
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import sys; from runtime.cli import main; sys.exit(main())",
                "audit",
                "list",
            ],
            cwd=ROOT,
            env={**os.environ, "COLUMNS": "120"},
            stdout=child,
            check=True,
        )
        lines = os.read(parent, 65_536).decode().splitlines()
    finally:
        os.close(parent)
        os.close(child)
    assert len(lines) == 2
    assert len(lines[1]) == 120
    assert lines[1].endswith("x…")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünï ✓", "plain ünï ✓"),
        ("\x1b[0m", "\\x1b[0m"),
        ("a\tb\nc\r\x7f\x85", "a\\x09b\\x0ac\\x0d\\x7f\\x85"),
        ("\u202e\u2066\u200b\u2028\ufeff", "\\u202e\\u2066\\u200b\\u2028\\ufeff"),
        ("\U000e0041", "\\U000e0041"),
        ("\udcff", "\\xff"),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


# --- snapshot ---------------------------------------------------------------------------------------


def judged(ledger: Path) -> tuple[int, dict[str, Any]]:
    """Return what the verifier says of a ledger, without where the file is."""
    public = ledger.parent / "key.pub"
    public.write_bytes(KEY.public.pem())
    result = subprocess.run(
        [sys.executable, "-m", "verify", str(ledger), "-k", str(public), "--format", "json"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    document = json.loads(result.stdout)
    return result.returncode, {
        name: document[name] for name in ("verdict", "exit", "origin", "size", "root", "findings")
    }


def test_a_snapshot_is_judged_like_its_ledger(home: Home) -> None:
    home.write(1, 2, 3, intent=changed(INTENT, command=["tool", *["x" * 1_000] * 100]))
    copy = home.path / "evidence.db"
    # One launch is being written meanwhile.
    with open_ledger(home.ledger, home.state) as ledger:
        ledger.append(drafts(session_id(4))[:2])
        status, out, err = home.run("audit", "snapshot", str(copy))
    assert (status, err) == (0, "")
    assert out == f"15 entries of {home.ledger}\ncheck it with: nono-verify {copy}\n"
    assert judged(copy) == judged(home.ledger)
    assert copy.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in home.path.iterdir() if path.name.startswith("evidence")) == [
        "evidence.db"
    ]
    for table in ("entry", "tile", "head", "checkpoint", "blob"):
        assert rows(copy, table) == rows(home.ledger, table)
    assert rows(copy, "sqlite_schema", "sql") == rows(home.ledger, "sqlite_schema", "sql")


def rows(path: Path, table: str, columns: str = "*") -> list[Any]:
    database = sqlite3.connect(path)
    try:
        return database.execute(
            f"SELECT {columns} FROM {table} ORDER BY rowid"
            if table not in {"tile", "blob"}
            else f"SELECT * FROM {table}"
        ).fetchall()
    finally:
        database.close()


def test_a_snapshot_of_an_edited_ledger_is_no_better(home: Home) -> None:
    home.write(1)
    home.ledger.write_bytes(home.ledger.read_bytes().replace(b"hello world", b"jello world"))
    copy = home.path / "evidence.db"
    assert home.run("audit", "snapshot", str(copy))[0] == 0
    assert judged(copy)[0] == 1
    assert judged(copy) == judged(home.ledger)


@pytest.mark.parametrize("make", [Path.touch, Path.mkdir, lambda path: path.symlink_to("/nowhere")])
def test_a_snapshot_never_overwrites(home: Home, make: Callable[[Path], None]) -> None:
    home.write(1)
    copy = home.path / "evidence.db"
    make(copy)
    before = copy.lstat()
    status, out, err = home.run("audit", "snapshot", str(copy))
    assert (status, out) == (1, "")
    assert err.startswith(f"nono: {copy} exists already\nnono: hint: ")
    assert (copy.lstat().st_ino, copy.lstat().st_size, copy.lstat().st_mtime_ns) == (
        before.st_ino, before.st_size, before.st_mtime_ns,
    )  # fmt: skip


def test_a_snapshot_that_cannot_be_written_leaves_nothing(home: Home) -> None:
    home.write(1)
    status, _, err = home.run("audit", "snapshot", str(home.path / "missing" / "evidence.db"))
    assert status == 1
    assert "cannot write a snapshot" in err
    assert not (home.path / "missing").exists()


def test_a_snapshot_s_name_is_a_name_whatever_it_looks_like(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.write(1)
    monkeypatch.chdir(home.path)
    for name in ("file:x.db?mode=memory", ":memory:", "-x.db", os.fsdecode(b"\xff.db")):
        status, _, err = home.run("audit", "snapshot", "--", name)
        assert (status, err) == (0, "")
        with LedgerReader(os.fsencode(home.path / name)) as reader:
            assert reader.head().size == 5


# --- which ledger -----------------------------------------------------------------------------------


def test_without_any_ledger_the_hint_says_how_to_get_one(home: Home) -> None:
    for arguments in (
        ["audit", "list"],
        ["audit", "show", "last"],
        ["audit", "snapshot", "x"],
        ["audit", "tail"],
        ["ledger", "info"],
    ):
        status, out, err = home.run(*arguments)
        assert (status, out) == (1, "")
        assert err.startswith(f"nono: no ledger in {home.ledger.parent} yet\nnono: hint: ")


def test_of_several_ledgers_the_host_key_s_is_meant(home: Home) -> None:
    home.write(1)
    other = SigningKey(b"\x09" * 32)
    path = home.ledger.parent / f"{other.public.fingerprint()}.db"
    with open_ledger(path, home.state, other) as ledger:
        ledger.append(drafts(session_id(2)))
    status, out, err = home.run("audit", "list")
    assert (status, out) == (1, "")
    assert err.startswith("nono: 2 ledgers in the state directory, none of the host key\nnono: hint: ")
    assert str(path) in err
    assert str(home.ledger) in err
    keys = home.path / "config" / "nono" / "keys"
    keys.mkdir(parents=True)
    (keys / "default.pub").write_bytes(other.public.pem())
    assert home.shown("last")["session"] == [session_id(2)]
    assert home.shown("last", "--ledger", str(home.ledger))["session"] == [session_id(1)]


def test_a_ledger_in_the_making_is_not_one(home: Home) -> None:
    home.write(1)
    (home.ledger.parent / ".half.db").write_bytes(b"")
    (home.ledger.parent / "notes.txt").write_bytes(b"")
    assert home.shown("last")["session"] == [session_id(1)]


@pytest.mark.parametrize(
    "arguments", [["audit"], ["audit", "frobnicate"], ["audit", "show"], ["ledger", "--nope"]]
)
def test_a_wrong_command_line_exits_2(home: Home, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        home.run(*arguments)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit"],
        ["audit", "list"],
        ["audit", "show"],
        ["audit", "snapshot"],
        ["audit", "tail"],
        ["ledger"],
        ["ledger", "info"],
        ["ledger", "path"],
    ],
)
def test_every_help_has_an_example(
    home: Home, arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        home.run(*arguments, "--help")
    assert caught.value.code == 0
    out = capfd.readouterr().out
    assert "example" in out
    assert f"nono {' '.join(arguments)}" in out


def test_the_launch_and_help_do_not_import_the_index() -> None:
    script = (
        "import sys, runtime.cli.audit, runtime.cli.ledger, runtime.cli.run;"
        "print(sorted({'sqlalchemy', 'alembic', 'jsonschema_rs'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "[]\n"
