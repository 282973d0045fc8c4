"""``nono why`` on the command line: answers, exit codes, the published form, and suggestions that hold."""

from __future__ import annotations

import json
import os
import shlex
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # published without type information
import pytest

from attest import canonical
from runtime import cli
from runtime.explanation.why import Reason

if TYPE_CHECKING:
    from collections.abc import Callable

    Ask = Callable[..., tuple[int, dict[str, Any]]]

SCHEMA = json.loads((Path(cli.__file__).parents[1] / "schemas" / "why.schema.json").read_bytes())


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project that one is in, and a home with a key and a file that nothing protects."""
    home, here = tmp_path / "home", Path(os.path.realpath(tmp_path)) / "project"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh/id_ed25519").write_text("secret")
    (home / "notes").write_text("mine")
    (here / "src").mkdir(parents=True)
    (here / "src/main.py").write_text("print()")
    monkeypatch.setenv("HOME", str(home))
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    for variable in ("NONO_CAP_FILE", "NONO_SESSION_ID"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(here)
    return here


@pytest.fixture
def ask(capfd: pytest.CaptureFixture[str]) -> Ask:
    """Ask ``nono why --json``; what it says is held to the schema and to the exit code."""

    def asked(*arguments: object) -> tuple[int, dict[str, Any]]:
        status = cli.main(["why", "--json", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert err == ""
        document: dict[str, Any] = json.loads(out)
        jsonschema.validate(document, SCHEMA)
        assert {"allowed": 0, "denied": 1, "unknown": 2}[document["status"]] == status
        assert out.isascii()
        return status, document

    return asked


def words(document: dict[str, Any]) -> list[str]:
    """Return what a suggestion adds, as words of a command line."""
    return [os.fsdecode(canonical.text_bytes(word)) for word in document["suggestion"]["add"]]


QUESTIONS: list[tuple[list[str], str, str | None]] = [
    (["--path", "/usr/bin/env", "--op", "execute"], "granted_path", None),
    (["--path", "src/main.py"], "path_not_granted", "--read-file {here}/src/main.py"),
    (["--path", "src/main.py", "--op", "execute"], "path_not_granted", None),  # its mode would deny it
    (["--path", "src", "--op", "read"], "path_not_granted", "--read {here}/src"),
    (["--path", "src", "--op", "execute"], "passing_through", None),
    (["--path", "src/main.py", "--op", "write", "--read", "."], "insufficient_access",
        "--write-file {here}/src/main.py"),
    (["--path", "src/new.py", "--op", "write", "--read", "."], "insufficient_access", "--write {here}/src"),
    (["--path", "src/x/y/new.py", "--op", "readwrite"], "path_not_granted", "--allow {here}/src"),
    (["--path", "src/new.py", "--op", "write", "--allow", "."], "granted_path", None),
    # Its grant of the system is for reading; a user's takes its place, so it must not lose that.
    (["--path", "/dev/urandom", "--op", "write"], "insufficient_access", "--allow-file /dev/urandom"),
    (["--path", "~/notes"], "path_not_granted", "--read-file {home}/notes"),
    (["--path", "~", "--op", "read"], "path_not_granted", None),
    (["--path", "~/.ssh/id_ed25519"], "protected_path",
        "--bypass-protection {home}/.ssh/id_ed25519 --read-file {home}/.ssh/id_ed25519"),
    (["--path", "~/.ssh", "--op", "readwrite"], "protected_path",
        "--bypass-protection {home}/.ssh --allow {home}/.ssh"),
    (["--path", "~/.ssh/id_ed25519", "--bypass-protection", "~/.ssh"], "path_not_granted",
        "--read-file {home}/.ssh/id_ed25519"),
    (["--path", "~/.aws/credentials"], "protected_path", None),  # nothing is there to be granted
    (["--path", "{state}/nono/ledgers/x.db"], "never_grantable", None),
    (["--path", "{config}/nono/config.toml", "--op", "write"], "never_grantable", None),
    (["--path", "/proc/sys/kernel/hostname", "--op", "write"], "never_grantable", None),
    (["--path", "/proc/1/environ"], "process_dependent", None),
    (["--path", "src/main.py/x"], "path_unresolvable", None),
    (["--path", "x", "--allow", "~"], "launch_refused", None),
    (["--path", "x", "--profile", "nothing-like-it"], "launch_refused", None),
    (["--path", "x", "--workdir", "/nonexistent"], "launch_refused", None),
    (["--path", "x", "--bypass-protection", "src"], "launch_refused", None),
    (["--host", "example.org", "--port", "443"], "network_open", None),
    (["--host", "example.org", "--port", "443", "--block-net"], "network_blocked",
        "--allow-connect-port 443"),
    (["--host", "::1", "--port", "443", "--allow-connect-port", "80"], "port_not_granted",
        "--allow-connect-port 443"),
    (["--host", "::1", "--port", "443", "--open-port", "443"], "port_granted", None),
    (["--host", "example.org", "--port", "443", "-p", "ci-strict"], "network_blocked", None),
    (["--listen", "8080"], "network_open", None),
    (["--listen", "8080", "--block-net"], "network_blocked", "--listen-port 8080"),
    (["--listen", "8080", "--open-port", "8080"], "port_granted", None),
    (["--listen", "8080", "--allow-connect-port", "1"], "port_not_granted", "--listen-port 8080"),
    (["--path", "x", "--self"], "not_sandboxed", None),
    (["--unix-socket", "new"], "socket_not_granted", "--allow-unix-socket {here}/new"),
    (["--unix-socket", "new", "--allow-unix-socket-dir", "."], "socket_granted", None),
    (["--unix-socket", "src/main.py", "--allow-unix-socket-subtree", "."], "no_socket", None),
    (["--unix-socket", "{home}/.ssh/agent"], "protected_path",
     "--bypass-protection {home}/.ssh --allow-unix-socket {home}/.ssh/agent"),
    (["--unix-socket", "no/such"], "socket_not_granted", None),
    (["--unix-socket", "{state}/nono/x"], "never_grantable", None),
    (["--unix-socket", "/proc/self/cwd/x"], "process_dependent", None),
    (["--unix-socket-bind", "new"], "socket_not_granted", "--allow-unix-socket-bind {here}/new"),
    (["--unix-socket-bind", "new", "--allow-unix-socket-dir", "."], "insufficient_access",
     "--allow-unix-socket-bind {here}/new"),
    (["--unix-socket-bind", "new", "--allow-unix-socket-dir-bind", "."], "socket_granted", None),
    (["--unix-socket-bind", "src/main.py", "--allow-unix-socket-subtree-bind", "."], "name_taken", None),
    (["--unix-socket-bind", "src/", "--allow-unix-socket-subtree-bind", "."], "path_unresolvable", None),
    (["--unix-socket-bind", "/"], "path_unresolvable", None),
    (["--unix-socket-bind", "no/such/x", "--allow-unix-socket-subtree-bind", "."], "path_unresolvable", None),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "reason", "suggested"), QUESTIONS, ids=str)
def test_an_answer_and_what_would_change_it(
    ask: Ask,
    project: Path,
    tmp_path: Path,
    *,
    arguments: list[str],
    reason: str,
    suggested: str | None,
) -> None:
    places = {name: tmp_path / name for name in ("home", "state", "config")}
    line = [word.format(here=project, **places) for word in arguments]
    _, document = ask(*line)
    assert document["reason"] == reason
    if suggested is None:
        assert document["suggestion"] is None
        return
    added = words(document)
    assert added == suggested.format(here=project, **places).split()
    # What it adds and leaves out makes the same question an allowed one.
    kept = [word for word in line if word not in document["suggestion"]["remove"]]
    assert ask(*kept, *added)[0] == 0
    assert document["suggestion"]["remove"] == (["--block-net"] if reason == "network_blocked" else [])


def test_every_reason_is_in_the_schema_and_most_are_asked_for_here() -> None:
    assert SCHEMA["properties"]["reason"]["enum"] == [str(reason) for reason in Reason]
    assert len({reason for _, reason, _ in QUESTIONS}) >= 14


def test_who_says_so_is_named(ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "base.json").write_text('{"filesystem": {"read": ["$WORKDIR"]}}')
    profile = tmp_path / "mine.json"
    profile.write_text(
        json.dumps(
            {"extends": "./base.json", "network": {"block": True}, "groups": {"include": ["python_runtime"]}}
        )
    )
    _, document = ask("--path", "src/main.py", "-p", profile, "--write", "src", "--op", "readwrite")
    found = [(grant["source"], grant["said_by"]) for grant in document["matching_capabilities"]]
    assert found == [("user", ["command line"]), ("profile", ["base"])]
    _, document = ask("--path", "/usr/bin/env")
    assert document["matching_capabilities"][0]["said_by"] == ["default"]
    _, document = ask("--host", "x", "--port", "1", "-p", profile, "--block-net")
    assert document["network"] == {"mode": "blocked", "said_by": ["--block-net", "mine"]}


def test_a_path_that_no_address_has_room_for_is_noted(ask: Ask) -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as made:
        top = os.path.realpath(made)
        for length, notes in ((107, 0), (108, 1)):
            name = f"{top}/" + "x" * (length - len(top) - 1)
            for flag in ("--unix-socket", "--unix-socket-bind"):
                _, document = ask(flag, name, "--allow-unix-socket-dir-bind", top)
                assert document["reason"] == "socket_granted"
                said = [note for note in document["notes"] if "an address takes 107 bytes" in note]
                assert len(said) == notes


def test_bytes_that_are_no_text_stay_what_they_are(ask: Ask, project: Path) -> None:
    name = "caf\udce9\x1b[2J"
    (project / name).write_text("x")
    status, document = ask("--path", name)
    assert (status, document["question"]["path"]) == (1, {"base64": "Y2Fm6RtbMko="})
    assert ask("--path", name, *words(document))[0] == 0


def test_lines_are_an_answer_then_the_rule_then_what_to_do(
    capfd: pytest.CaptureFixture[str], project: Path
) -> None:
    assert cli.main(["why", "--path", "src/main.py", "--op", "write", "--read", "."]) == 1
    file = f"{project}/src/main.py"
    assert capfd.readouterr().out.splitlines() == [
        "denied: write to src/main.py: it is granted for reading alone",
        f"grant    read {project}/ (user, as .)",
        f"flag     --write-file {file}",
    ]
    (project / "\x1b]0;x\x07").write_text("")
    assert cli.main(["why", "--path", "\x1b]0;x\x07"]) == 1
    out = capfd.readouterr().out
    assert "\x1b" not in out
    assert "\x07" not in out
    flag = next(line for line in out.splitlines() if line.startswith("flag"))
    assert "\\x1b" in shlex.split(flag)[-1]


def test_a_profile_s_missing_paths_are_noted_and_not_written_elsewhere(
    ask: Ask,
) -> None:
    _, document = ask("--path", "src", "--read", "missing")
    assert any("--read missing does not exist" in note for note in document["notes"])


@pytest.mark.parametrize("state", ["", "/etc/passwd", "/dev/zero"])
def test_a_variable_alone_makes_no_sandbox(ask: Ask, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    monkeypatch.setenv("NONO_CAP_FILE", state)
    assert ask("--self", "--path", "/usr")[1]["reason"] == "not_sandboxed"


def test_nothing_is_made_by_asking(ask: Ask, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    ask("--path", "src", "--op", "write")
    ask("--listen", "80", "--block-net")
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(
    "line",
    [
        (),
        ("--path", ""),
        ("--path", "x", "--host", "y"),
        ("--path", "x", "--port", "1"),
        ("--path", "x", "--op", "delete"),
        ("--path", "~root/x"),
        ("--host", "x"),
        ("--host", "", "--port", "1"),
        ("--host", "a b", "--port", "1"),
        ("--host", "x" * 256, "--port", "1"),
        ("--host", "\x1b[2J", "--port", "1"),
        ("--host", "x", "--port", "0"),
        ("--host", "x", "--port", "65536"),
        ("--host", "x", "--port", "\u0661"),
        ("--host", "x", "--port", "9" * 5_000),
        ("--host", "x", "--port", "1", "--op", "read"),
        ("--listen", "-1"),
        ("--listen", "1", "--port", "2"),
        ("--path", "x", "--self", "--read", "."),
        ("--path", "x", "--self", "--block-net"),
        ("--path", "x", "--allow-connect-port", "http"),
        ("--path", "x", "--allow", ""),
        ("--path", "x", "--", "true"),
    ],
    ids=str,
)
def test_a_question_that_cannot_be_meant(capfd: pytest.CaptureFixture[str], line: tuple[str, ...]) -> None:
    try:
        status: object = cli.main(["why", *line])
    except SystemExit as stop:
        status = stop.code
    out, err = capfd.readouterr()
    assert (status, out) == (2, "")
    assert err.startswith("nono: ")
    assert "\x1b" not in err
    assert "Traceback" not in err


def test_the_schema_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["why", "--schema"]) == 0
    printed = json.loads(capfd.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(printed)
    assert printed == SCHEMA
