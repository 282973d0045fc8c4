"""``nono profile``: what it prints, exits with and writes, and that nothing hostile comes through."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # published without type information
import pytest

from attest import entry as entries
from attest import schema
from attest.canonical import text as canonical_text
from attest.instant import format_instant
from runtime import cli
from runtime.capability.capabilities import ports
from runtime.capability.tool_groups import GROUPS
from runtime.policy.jsonc import without_comments
from runtime.policy.profile import read_profile
from store import Draft
from tests.store.recorded_launches import DENIED, KEY, changed, drafts, open_ledger, session_id

if TYPE_CHECKING:
    from pathlib import Path


class Home:
    """A user's directories, and the command run with them."""

    def __init__(self, path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.path = path
        self.state = path / "state" / "nono"
        self.config = path / "config" / "nono"
        self.profiles = self.config / "profiles"
        self.ledger = self.state / "ledgers" / f"{KEY.public.fingerprint()}.db"
        self._capfd = capfd

    def run(self, *arguments: str) -> tuple[object, str, str]:
        try:
            status: object = cli.main(["profile", *arguments])
        except SystemExit as stop:
            status = stop.code
        captured = self._capfd.readouterr()
        for line in (captured.out + captured.err).splitlines():
            assert line.isprintable()
        return status, captured.out, captured.err

    def json(self, *arguments: str, status: int = 0) -> Any:
        found, out, err = self.run(*arguments, "--json")
        assert (found, err) == (status, "")
        assert out.isascii()
        return json.loads(out)

    def write(self, name: str, text: str | bytes | None = None, **parts: Any) -> Path:
        self.profiles.mkdir(parents=True, exist_ok=True)
        path = self.profiles / name
        content = json.dumps(parts) if text is None else text
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        path.chmod(0o600)
        return path

    def refusals(self, *decisions: dict[str, Any], session: int = 1) -> None:
        """Record a launch with these decisions."""
        made = drafts(session_id(session), decisions=len(decisions))
        given = iter(decisions)
        with open_ledger(self.ledger, self.state) as ledger:
            ledger.append(
                [
                    Draft(draft.kind, draft.session, draft.seq, next(given))
                    if draft.kind == entries.DECISION
                    else draft
                    for draft in made
                ]
            )
        for decision in decisions:  # of their schema, else the command would leave them out
            entry = entries.Entry(entries.DECISION, session_id(session), 1, format_instant(1 << 60), decision)
            schema.check_entry(entry.document())

    def read(self, name: str) -> Any:
        return read_profile(os.fsencode(name), os.fsencode(self.config))


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Home:
    for variable in ("CACHE", "CONFIG", "STATE"):
        monkeypatch.setenv(f"XDG_{variable}_HOME", str(tmp_path / variable.lower()))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return Home(tmp_path, capfd)


# --- list ----------------------------------------------------------------------------------------


def test_list_has_the_built_in_ones_and_says_where_ones_own_go(home: Home) -> None:
    status, out, err = home.run("list")
    assert (status, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[:2] for line in lines[:2]] == [["agent", "built-in"], ["ci-strict", "built-in"]]
    assert lines[-1] == f"yours go into {home.profiles}: nono profile init NAME"
    assert not home.config.exists()


def test_list_shows_the_users_before_the_built_in_one_and_what_cannot_be_used(home: Home) -> None:
    home.write("python-dev.jsonc", extends="python-dev", description="mine")
    home.write("broken.json", "{")
    home.write("shadow.json", extends="python-dev")
    home.write("codex.json")
    found = {row["name"]: row for row in home.json("list", status=1)["profiles"]}
    assert found["python-dev"]["path"] == str(home.profiles / "python-dev.jsonc")
    assert found["python-dev"]["shadows_built_in"] is True
    assert found["python-dev"]["description"] == "mine"
    assert found["shadow"]["error"] is None
    assert "not JSON" in found["broken"]["error"]
    assert "called like a built-in one" in found["codex"]["error"]
    assert found["rust-dev"] == {
        **found["rust-dev"], "built_in": True, "shadows_built_in": False, "error": None,
    }  # fmt: skip
    status, out, _ = home.run("list")
    assert status == 1
    assert "CANNOT BE USED: profile broken at line 1" in out


# --- show and diff -------------------------------------------------------------------------------


def test_show_names_the_file_behind_each_line(home: Home) -> None:
    home.write(
        "mine.jsonc",
        extends=["claude-code", "rust-dev"],
        filesystem={"read": ["/srv/data", "$WORKDIR"]},
        network={"block": True},
        groups={"exclude": ["java_runtime"]},
        environment={"allow": ["MY_*"], "set_vars": {"GOFLAGS": "hunter2"}},
        session_hooks={"before": {"script": "/opt/hook", "required": True}},
    )
    status, out, err = home.run("show", "mine")
    assert (status, err) == (0, "")
    assert "hunter2" not in out
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert lines[0] == "profile mine"
    assert [line.split()[-4 if "made" not in line else 2] for line in lines[1:5]] == [
        "agent", "claude-code", "rust-dev", "mine",
    ]  # fmt: skip
    for expected in [
        "network blocked (mine)",
        "grant readwrite '$WORKDIR' (agent, rust-dev)",
        "read /srv/data (mine)",
        "claude_code: settings, memory and credentials of Claude Code (claude-code)",
        "readwrite ~/.claude.json",
        "left out java_runtime (mine)",
        "MY_* (mine)",
        "set GOFLAGS (mine)",
        "hook before: /opt/hook, at most 30 s, required (mine)",
    ]:
        assert expected in lines, expected
    assert not [line for line in lines if line.startswith("java_runtime:")]


def test_show_as_json_has_what_is_recorded(home: Home) -> None:
    home.write("mine.jsonc", extends="python-dev", environment={"set_vars": {"A": "hunter2"}, "deny": ["B*"]})
    document = home.json("show", "mine")
    assert "hunter2" not in json.dumps(document)
    chain = home.read("mine").chain
    assert [(file["name"], file["sha256"]) for file in document["chain"]] == [
        (file.name.decode(), file.sha256) for file in chain
    ]
    assert [file["built_in"] for file in document["chain"]] == [True, False]
    assert document["filesystem"] == [
        {"access": "readwrite", "path": "$WORKDIR", "said_by": ["python-dev"], "type": "directory"}
    ]
    assert {"name": "python_caches", "said_by": ["python-dev"]} in document["groups"]
    assert {"name": "devices", "said_by": ["default"]} in document["groups"]
    assert document["environment"] == {
        "allow": None,
        "deny": [{"pattern": "B*", "said_by": ["mine"]}],
        "set_vars": [{"name": "A", "said_by": ["mine"]}],
    }


def test_two_files_of_one_name_are_told_apart_by_their_paths(home: Home) -> None:
    home.write("codex.jsonc", extends="codex", filesystem={"read": ["/a"]})
    document = home.json("show", "codex")
    assert document["filesystem"][-1]["said_by"] == [str(home.profiles / "codex.jsonc")]


def test_diff_is_of_what_profiles_come_to(home: Home) -> None:
    home.write("mine.jsonc", extends="python-dev", filesystem={"allow": ["$WORKDIR"]})
    assert home.json("diff", "mine", "python-dev") == {"same": True, "only_first": [], "only_second": []}
    assert home.run("diff", "mine", "python-dev")[:2] == (0, "mine and python-dev come to the same\n")
    home.write("a.json", environment={"set_vars": {"V": "one"}})
    home.write("b.json", environment={"set_vars": {"V": "two"}}, network={"block": True})
    found = home.json("diff", "a", "b")
    assert found["same"] is False
    assert [(fact["section"], fact["text"]) for fact in found["only_first"]] == [
        ("network", "open, unless the command line blocks it"),
        ("set", "V"),
    ]
    assert [fact["section"] for fact in found["only_second"]] == ["network", "set"]
    status, out, _ = home.run("diff", "python-dev", "node-dev")
    assert status == 0
    assert {line[0] for line in out.splitlines()} == {"-", "+"}


def test_hostile_profiles_do_not_reach_the_terminal(home: Home) -> None:
    path = home.path / "here" / "\x1b[2J.json"
    path.write_text(
        json.dumps({"filesystem": {"read": ["/\x1b]0;x\x07", "/\u202e"]}, "session_hooks": {}}),
        encoding="utf-8",
    )
    for command in (["show"], ["validate"], ["diff", "default"]):
        assert home.run(*command, str(path))[0] == 0
    assert home.json("show", str(path))["name"] == "\x1b[2J"


# --- validate ------------------------------------------------------------------------------------


def test_validate_judges_each_file(home: Home) -> None:
    good = home.write("good.json", extends="ci-strict")
    bad = home.write("bad.json", extends="none")
    assert home.run("validate", str(good))[:2] == (0, f"{good}: valid\n")
    status, out, err = home.run("validate", str(good), str(bad), "python-dev")
    assert (status, out) == (1, f"{good}: valid\n{bad}: not valid\npython-dev: valid\n")
    assert "no profile is called none, which" in err
    rows = home.json("validate", str(good), str(bad), status=1)["profiles"]
    assert [row["valid"] for row in rows] == [True, False]
    assert rows[0]["chain"] == ["ci-strict", "good"]
    assert rows[1]["error"]["code"] == "profile.missing"


def test_a_name_that_is_not_utf_8(home: Home) -> None:
    name = os.fsdecode(os.fsencode(home.path / "here") + b"/\xff.json")
    with open(name, "w", encoding="ascii") as file:
        file.write("{}")
    assert home.json("validate", name)["profiles"][0]["valid"] is True
    assert home.json("show", name)["name"] == {"base64": "/w=="}
    assert home.run("show", name)[0] == 0


@pytest.mark.parametrize("line", [("show", ""), ("validate", ""), ("diff", "", "x"), ("init", ""), ("show",)])
def test_what_names_nothing_is_usage(home: Home, line: tuple[str, ...]) -> None:
    status, out, err = home.run(*line)
    assert (status, out) == (2, "")
    assert err.startswith("nono: ")


def test_what_is_not_there_is_one(home: Home) -> None:
    for line in (
        ["show", "none"],
        ["diff", "none", "codex"],
        ["groups", "none"],
        ["init", "m", "--extends", "none"],
    ):
        status, out, err = home.run(*line)
        assert (status, out) == (1, "")
        assert "is called none" in err
    assert home.run("groups", "rust-caches")[2].endswith("hint: did you mean rust_caches?\n")


# --- groups and schema ---------------------------------------------------------------------------


def test_groups(home: Home) -> None:
    found = {group["name"]: group for group in home.json("groups")["groups"]}
    assert set(found) == set(GROUPS)
    assert found["deny_credentials"]["required"] is True
    assert "~/.ssh" in found["deny_credentials"]["denies"]
    assert found["system_paths"]["default"] is True
    assert {"access": "readwrite", "path": "~/.cargo/registry"} in found["rust_caches"]["grants"]
    assert home.json("groups", "rust_caches")["groups"] == [found["rust_caches"]]
    status, out, _ = home.run("groups", "rust_caches", "deny_credentials")
    assert status == 0
    assert "  readwrite ~/.cargo/registry" in out.splitlines()
    assert "  denied    ~/.ssh" in out.splitlines()


def test_the_schema_is_the_published_one(home: Home) -> None:
    status, out, _ = home.run("schema")
    assert status == 0
    document = json.loads(out)
    jsonschema.Draft202012Validator.check_schema(document)
    for name in ("python-dev", "claude-code", "ci-strict"):
        shipped = home.read(name).chain[-1].path
        with open(shipped, encoding="utf-8") as file:
            jsonschema.validate(json.loads(without_comments(file.read())), document)


# --- init ----------------------------------------------------------------------------------------


def test_init_writes_a_profile_that_can_be_used(home: Home) -> None:
    status, out, err = home.run("init", "mine")
    path = home.profiles / "mine.jsonc"
    assert (status, err) == (0, "")
    assert out == f"wrote {path}\nuse it with: nono run -p mine -- COMMAND\n"
    assert path.stat().st_mode & 0o777 == 0o600
    assert home.profiles.stat().st_mode & 0o777 == 0o700
    found = home.read("mine")
    assert (found.filesystem, found.chain[-1].extends) == ((), ())
    assert os.listdir(home.profiles) == ["mine.jsonc"]


def test_init_extends_in_the_order_that_was_given(home: Home) -> None:
    other = home.path / "here" / "other.json"
    other.write_text("{}")
    line = ["init", "mine", "--extends", "claude-code", "--extends", str(other), "--extends", "rust-dev"]
    assert home.run(*line)[0] == 0
    assert home.read("mine").chain[-1].extends == (b"claude-code", os.fsencode(other), b"rust-dev")


def test_init_replaces_only_when_told_to(home: Home) -> None:
    path = home.write("mine.jsonc", "{} // precious")
    status, _, err = home.run("init", "mine")
    assert (status, err) == (
        1, f"nono: there is a profile mine already: {path}\nnono: hint: --force replaces it\n",
    )  # fmt: skip
    assert path.read_text() == "{} // precious"
    assert home.run("init", "mine", "--force")[0] == 0
    assert "precious" not in path.read_text()
    other = home.write("other.json", "{}")
    status, _, err = home.run("init", "other", "--force")
    assert status == 1
    assert "two of one name cannot be" in err
    assert other.read_text() == "{}"


@pytest.mark.parametrize("name", ["python-dev", "default", "agent"])
def test_init_shadows_no_built_in_profile(home: Home, name: str) -> None:
    for more in ([], ["--force"], ["--extends", name]):
        status, _, err = home.run("init", name, *more)
        assert status == 1
        assert f"{name} is a built-in profile" in err
    assert not home.profiles.exists()


@pytest.mark.parametrize(
    "name", ["../up", "a/b", ".hidden", "a b", "x.json", "x.jsonc", "-x\n", "x" * 65, "\u0430"]
)
def test_what_cannot_be_the_name_of_a_profile(home: Home, name: str) -> None:
    status, _, err = home.run("init", "--", name)
    assert status == 2
    assert "not the name of a profile" in err
    assert not home.profiles.exists()


def test_a_relative_path_to_extend_would_be_another_one(home: Home) -> None:
    (home.path / "here" / "base.json").write_text("{}")
    status, _, err = home.run("init", "mine", "--extends", "./base.json")
    assert status == 2
    assert "write the full path" in err


def test_flags_for_a_session_want_one(home: Home) -> None:
    assert home.run("init", "mine", "--ledger", "x.db")[0] == 2


def test_init_where_nothing_can_be_written(home: Home) -> None:
    home.config.parent.mkdir()
    home.config.write_text("a file")
    status, _, err = home.run("init", "mine")
    assert status == 1
    assert "cannot write" in err
    assert home.config.read_text() == "a file"


# --- from a session ------------------------------------------------------------------------------


def denied(subject: str | bytes, reason: str = "outside the grants", **changes: Any) -> dict[str, Any]:
    value = canonical_text(subject if isinstance(subject, bytes) else subject.encode())
    return changed(DENIED, subject=value, reason=reason, **changes)


def test_what_a_launch_was_refused_becomes_grants_for_reading(home: Home) -> None:
    data = home.path / "data"
    data.mkdir()
    file = home.path / "home" / "notes.txt"
    file.write_text("x")
    home.refusals(
        denied(str(data), "opened for reading"),
        denied(str(file)),
        denied(str(file), "again"),
        denied(str(home.path / "other"), verdict="granted"),
        denied("example.org", what="network"),
    )
    status, out, err = home.run("init", "fixed", "--from-session", "last", "--extends", "python-dev")
    assert (status, err) == (0, "")
    assert "2 grants, 1 refusal left as comments" in out
    found = home.read("fixed")
    asked = [(str(g.access), g.path, g.directory) for g in found.chain[-1].filesystem]
    assert asked == [("read", os.fsencode(data), True), ("read", b"~/notes.txt", False)]
    text = (home.profiles / "fixed.jsonc").read_text()
    assert "// opened for reading" in text
    assert '// "example.org": no port that could be granted' in text


def test_refused_sockets_and_ports_become_grants(home: Home) -> None:
    made = home.path / "made.sock"
    (home.path / "home" / ".ssh").mkdir()
    sockets = [
        f"connect {home.path}/a.sock",
        f"bind {made}",
        f"connect {home.path}/home/.ssh/agent",
        "connect @x",
    ]
    addresses = ["connect 10.0.0.1:443", "connect [::1]:443", "listen 0.0.0.0:80", "listen 127.0.0.1:8080"]
    addresses += [
        "listen [::1]:0",
        "connect 10.0.0.1:70000",
        "connect 1.1.1.1:443\n",
        "bind another kind of socket",
    ]
    home.refusals(
        *(denied(subject, f"reason\n{subject}", what="unix-socket") for subject in sockets),
        *(denied(subject, what="network") for subject in addresses),
    )
    status, out, err = home.run("init", "fixed", "--from-session", "last")
    assert (status, err) == (0, "")
    assert "5 grants, 6 refusals left as comments" in out
    found = home.read("fixed")
    assert [(str(each.reach), each.path, each.bind) for each in found.unix_sockets] == [
        ("socket", os.fsencode(home.path / "a.sock"), False), ("socket", os.fsencode(made), True),
    ]  # fmt: skip
    assert found.ports == ports((443, 8080), (80,), (8080,))


def test_what_a_person_decided_becomes_the_narrowest_grants(home: Home) -> None:
    """A person's yes is a grant, a person's no is none; without an answer it is asked for as before."""
    data, at = home.path / "data", home.path
    data.mkdir()
    for name in ("read", "written", "both", "refused", "late", "made", "mode"):
        (at / name).write_text("x")
    yes = {"verdict": "granted", "by": "person"}
    home.refusals(
        denied(f"read {at}/read", "allowed on the terminal", **yes),
        denied(f"write {at}/written", **yes),
        denied(f"read and write {at}/both", **yes),
        denied(f"read {data}", **yes),
        denied(f"make {at}/made", **yes),
        denied(f"make and read {data}/gone\nagain", **yes),
        denied(f"read {at}/refused", "refused on the terminal", by="person"),
        denied(f"read {at}/late", "nobody answered", by="time-out"),
        denied(f"chmod {at}/mode", by="policy"),
        denied(f"chmod {data}", by="policy"),
        denied(f"make {at}/no/place", **yes),
        denied(f"fly {at}/read", **yes),
    )
    status, out, err = home.run("init", "fixed", "--from-session", "last")
    assert (status, err) == (0, "")
    assert "9 grants, 2 refusals left as comments" in out
    here = os.fsencode(at)
    asked = {(str(g.access), g.path, g.directory) for g in home.read("fixed").filesystem}
    assert asked == {
        ("read", here + b"/read", False), ("write", here + b"/written", False),
        ("readwrite", here + b"/both", False), ("read", os.fsencode(data), True),
        ("write", here + b"/made", False), ("readwrite", os.fsencode(data), True),
        ("read", here + b"/late", False), ("write", here + b"/mode", False),
        ("write", os.fsencode(data), True),
    }  # fmt: skip
    text = (home.profiles / "fixed.jsonc").read_text()
    assert f'// "{at}/refused": a person refused it; refused on the terminal' in text
    assert f'// "{at}/no": no such file or directory' in text
    assert "to make $'gone\\x0aagain'" in text


def test_what_is_protected_or_gone_stays_a_comment(home: Home) -> None:
    ssh = home.path / "home" / ".ssh"
    ssh.mkdir()
    (ssh / "id").write_text("secret")
    (home.path / "link").symlink_to(ssh)
    home.refusals(
        denied(str(ssh / "id")),
        denied(str(home.path / "link" / "id")),
        denied(str(ssh)),
        denied(str(home.path / "home")),
        denied(str(home.state)),
        denied(str(home.path / "gone")),
        denied("relative/path"),
        denied("/"),
        denied("/dev"),
        denied(b"/tmp/\xff"),
        denied("/a\0b"),
    )
    status, out, _ = home.run("init", "fixed", "--from-session", "last")
    assert status == 0
    assert "0 grants, 11 refusals left as comments" in out
    assert home.read("fixed").filesystem == ()
    text = (home.profiles / "fixed.jsonc").read_text()
    for why in ("is protected", "no such file", "not an absolute path", "no command may reach", "not UTF-8"):
        assert why in text


HOSTILE = [
    '/usr/x\n      "/root", //',
    '/usr/" , "/root',
    '/usr/*/ , "/root" /*',
    '/usr/\u2028"/root",',
    "/usr/\u202e",
    "/usr/\\u0022,",
    "/usr/\x1b[2J",
    "$WORKDIR/../../root",
    "~/.ssh",
    "/usr/../root/../usr/./share",
]


def test_a_hostile_ledger_adds_no_line_to_the_profile(home: Home) -> None:
    """What is recorded was chosen by the command: neither path nor reason leaves its place."""
    reasons = ['x\n    "/root",', "*/ }", '\u2028"/root"', "\x1b[2J", '", "/root'] * 2
    home.refusals(*(denied(path, reason) for path, reason in zip(HOSTILE, reasons, strict=True)))
    assert home.run("init", "fixed", "--from-session", session_id(1)[:12])[0] == 0
    text = (home.profiles / "fixed.jsonc").read_text()
    assert text.isascii()
    assert {path for _, path, *_ in home.read("fixed").filesystem} == {b"/usr/share"}
    assert len(text.splitlines()) == len(text.split("\n")) - 1


def test_a_path_with_every_odd_character_is_granted_as_it_is(home: Home) -> None:
    odd = home.path / 'a"b\\c\nd *,\u00e9\u202e $'
    odd.write_text("x")
    home.refusals(denied(str(odd)))
    assert home.run("init", "fixed", "--from-session", "last")[0] == 0
    assert [g.path for g in home.read("fixed").filesystem] == [os.fsencode(odd)]


def test_without_a_refusal_nothing_is_written(home: Home) -> None:
    home.refusals(denied("/x", verdict="granted"))
    status, _, err = home.run("init", "fixed", "--from-session", "last")
    assert status == 1
    assert "no refused file, socket or port is recorded of the launch" in err
    assert not home.profiles.exists()


def test_a_session_that_is_not_there(home: Home) -> None:
    assert "no ledger in" in home.run("init", "fixed", "--from-session", "last")[2]
    home.refusals(denied("/x"))
    assert home.run("init", "fixed", "--from-session", "ffff")[0] == 1
    assert home.run("init", "fixed", "--from-session", "x")[0] == 2


def test_an_edited_ledger_makes_no_profile(home: Home) -> None:
    import sqlite3

    home.refusals(denied("/etc/hostname"))
    database = sqlite3.connect(home.ledger)
    triggers = database.execute(
        "SELECT name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY rowid"
    ).fetchall()
    for name, _ in triggers:
        database.execute(f"DROP TRIGGER {name}")
    database.execute("UPDATE entry SET body = replace(body, '/etc/hostname', '/etc/fstab')")
    for _, sql in triggers:
        database.execute(sql)
    database.commit()
    database.close()
    status, _, err = home.run("init", "fixed", "--from-session", "last")
    assert status == 1
    assert "changed or damaged" in err
    assert not home.profiles.exists()


def test_more_refusals_than_a_profile_takes(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.cli.profile_wishes.MAX_PATHS", 2)
    for number in range(3):
        (home.path / f"f{number}").write_text("x")
    home.refusals(*(denied(str(home.path / f"f{number}")) for number in range(3)))
    assert home.run("init", "fixed", "--from-session", "last")[0] == 0
    assert len(home.read("fixed").filesystem) == 2
    assert "one path too many" in (home.profiles / "fixed.jsonc").read_text()


# --- the hint ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("program", "profile"), [("claude", "claude-code"), ("codex", "codex"), ("opencode",) * 2]
)
def test_what_a_built_in_profile_is_made_for_is_told(
    home: Home, capfd: pytest.CaptureFixture[str], program: str, profile: str
) -> None:
    for typed in (program, f"/opt/{program}"):
        for flags, told in (([], True), (["-p", profile], False), (["--silent"], False)):
            cli.main(["run", *flags, "--dry-run", "--", typed])
            err = capfd.readouterr().err
            assert (f"nono run -p {profile}" in err) is told, (flags, err)
    cli.main(["run", "--dry-run", "--", "true"])
    assert "profile" not in capfd.readouterr().err


def test_the_command_says_where_its_help_is(home: Home) -> None:
    status, _, err = home.run("init", "--bogus", "x")
    assert (status, err.splitlines()[-1]) == (2, "nono: hint: nono profile init --help")
