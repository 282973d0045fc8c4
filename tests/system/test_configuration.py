"""Defaults of the user's, capability manifests and dry runs, from outside."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema  # type: ignore[import-untyped]  # published without type information
import pytest
from referencing import Registry, Resource

from attest import canonical, schema
from attest.entry import KINDS
from tests.system.conftest import NONO, ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Argument, Site

SCHEMAS = ROOT / "runtime" / "schemas"


@contextlib.contextmanager
def configured(site: Site, content: str) -> Iterator[Path]:
    """Write the user's configuration, and take it away again: a launch leaves no such file."""
    site.config.mkdir(parents=True, exist_ok=True)
    path = site.config / "config.toml"
    path.write_text(content, encoding="utf-8")
    path.chmod(0o600)
    yield path
    path.unlink()


def dry_run(site: Site, *arguments: Argument, **options: Any) -> dict[str, Any]:
    """Return what a dry run says, which must be of its published form."""
    ended = site.run("--dry-run", "--json", *arguments, **options)
    assert ended.status == 0, ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    known = [schema.load(name) for name in (schema.COMMON, *KINDS)]
    registry: Any = Registry().with_resources((each["$id"], Resource.from_contents(each)) for each in known)
    form = json.loads((SCHEMAS / "dry-run.schema.json").read_text())
    jsonschema.Draft202012Validator(form, registry=registry).validate(document)
    return document


def manifest_of(site: Site, document: dict[str, Any], name: str = "manifest.json") -> Path:
    path = site.base / name
    path.write_text(json.dumps(document["manifest"], indent=2), encoding="utf-8")
    return path


# --- the user's defaults --------------------------------------------------------------------------


def test_defaults_hold_where_no_flag_says_otherwise(site: Site) -> None:
    (site.home / "evidence").mkdir()
    content = (
        '[launch]\nprofile = "ci-strict"\nallow_cwd = true\nsilent = true\nledger = "~/evidence/own.db"\n'
        'labels = { team = "a", run = "1" }\n'
    )
    site.file("data", "here")
    with configured(site, content):
        # ci-strict lets few variables through, and closes the network.
        ended = site.run("--label", "run=2", "--", "/bin/cat", "data")
        assert (ended.status, ended.stdout, ended.stderr) == (0, b"here", "")
        (record,) = site.records(site.home / "evidence" / "own.db")
        assert record.intent["labels"] == {"run": "2", "team": "a"}
        assert record.intent["network"] == {"mode": "blocked"}
        assert [file["name"] for file in record.intent["profile"]] == ["ci-strict"]
        assert record.intent["configuration"] == {"user": hashlib.sha256(content.encode()).hexdigest()}
        # Flags win, and -v speaks again.
        loud = site.run("-v", "-p", "default", "--no-allow-cwd", "--", "/bin/cat", str(site.project / "data"))
        assert loud.status == 1
        assert "nono: recorded launch" in loud.stderr
        # What looks at the ledger looks at the configured one.
        listed = json.loads(site.nono("audit", "list", "--json").stdout)
        assert len(listed["launches"]) == 2
        # --no-audit leaves out what is for the record alone.
        assert site.run("--no-audit", "--", "/bin/true").status == 0
        refused = site.run("--", "/no/such/program")
        assert (refused.status, refused.stderr) == (127, "")
    assert site.verify(site.home / "evidence" / "own.db").status == 0


def test_a_default_that_is_false_is_shown_as_one_that_is_said(site: Site) -> None:
    with configured(site, "[launch]\nblock_net = false\n"):
        assert json.loads(site.nono("config", "show", "--json").stdout)["user"]["launch"] == {
            "block_net": False
        }
        lines = site.nono("config", "show").stdout.decode().splitlines()
        assert [line.split() for line in lines[2:]] == [["block_net", "user", "false"]]


def test_a_closed_network_is_opened_by_a_flag_alone(site: Site) -> None:
    probe = "import socket\ntry: socket.socket(); print('open')\nexcept PermissionError: print('closed')\n"
    with configured(site, "[launch]\nblock_net = true\n"):
        assert site.python(probe).stdout == b"closed\n"
        assert site.python(probe, "--no-block-net").stdout == b"open\n"
        assert site.python(probe, "--allow-connect-port", "443").stdout == b"open\n"
        assert site.records()[-1].intent["network"]["mode"] == "ports"
    assert site.python(probe).stdout == b"open\n"


def test_a_faulty_file_refuses_and_is_named_by_check_and_doctor(site: Site) -> None:
    with configured(site, "[launch]\nblock-net = true\n") as path:
        ended, status = site.status("--", "/bin/true")
        assert (ended.status, status["not_started"]["code"]) == (125, "configuration.invalid")
        assert "did you mean block_net?" in ended.stderr
        checked = site.nono("config", "check")
        assert checked.status == 1
        assert checked.stdout.decode().splitlines()[0] == f"{path}: not valid"
        shown = site.nono("config", "show")
        assert (shown.status, shown.stdout) == (1, b"")
        doctor = json.loads(site.nono("doctor", "--json").stdout)
        assert doctor["able"] is False
        assert "unknown key" in doctor["configuration"]["user"]["error"]
        path.write_text("[launch]\nsilent = true\n", encoding="utf-8")
        assert site.nono("config", "check").status == 0
        assert site.nono("config", "check", path).status == 0
    missing = site.nono("config", "check", site.base / "none.toml")
    assert missing.status == 1
    assert "name a file that is there" in missing.stderr


@pytest.mark.parametrize("name", ["user", "system", "capabilities", "dry-run"])
def test_each_form_is_printed(bare_site: Site, name: str) -> None:
    file = {"user": "configuration", "system": "system-configuration"}.get(name, name)
    printed = bare_site.nono("config", "schema", name).stdout
    assert printed == (SCHEMAS / f"{file}.schema.json").read_bytes()
    assert json.loads(printed)["$id"].endswith(f":{file}")


# --- manifests ------------------------------------------------------------------------------------


def test_a_manifest_of_a_dry_run_is_what_is_enforced(site: Site) -> None:
    site.file("granted/file", "inside")
    site.file("other/file", "outside")
    read = ("--read", site.project / "granted")
    script = "cd $0 && cat granted/file; cat $0/other/file 2>/dev/null; echo x > $0/granted/new"
    command = ("--", "/bin/sh", "-c", script, site.project)
    manifest = manifest_of(site, dry_run(site, *read, "--block-net", *command))
    ended = site.run("--config", manifest, *command)
    assert ended.stdout == b"inside"
    assert not (site.project / "granted" / "new").exists()
    record = site.record()
    digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
    assert record.intent["manifest"] == {"path": str(manifest), "sha256": digest}
    assert record.intent["profile"] == []
    assert record.intent["network"] == {"mode": "blocked"}
    asked = json.loads(manifest.read_text())["files"]
    assert [grant["asked"] for grant in record.intent["grants"]] == [grant["path"] for grant in asked]
    assert {grant["source"] for grant in record.intent["grants"]} == {"user"}
    # Granted is that, and what the launch itself needs.
    own = [grant for grant in record.files().values() if grant["source"] == "system"]
    assert [grant["path"] for grant in own if grant["type"] == "directory"] == [own[-1]["path"]]
    assert len(record.files()) == len(asked) + len(own)
    # A set that was asked for once is asked for again to the byte.
    again = manifest_of(site, dry_run(site, "--config", manifest, *command), "again.json")
    once_more = dry_run(site, "--config", again, *command)
    assert manifest_of(site, once_more, "third.json").read_bytes() == again.read_bytes()
    assert dict(once_more["manifest"]["network"]) == {"mode": "blocked"}


def test_no_default_is_added_to_a_manifest(site: Site) -> None:
    manifest = site.base / "manifest.json"
    grants = [
        {"access": "read", "asked": path, "path": os.path.realpath(path), "source": "system", "type": kind}
        for path, kind in (("/usr", "directory"), ("/etc/ld.so.cache", "file"))
    ]
    manifest.write_text(json.dumps({"files": grants, "network": {"mode": "all"}}))
    probe = ("--", "/bin/sh", "-c", "cat /etc/passwd || echo no; echo x > /dev/null || echo none")
    with configured(site, '[launch]\nallow_cwd = true\nblock_net = true\nprofile = "python-dev"\n'):
        ended = site.run("-c", manifest, *probe)
    assert ended.stdout == b"no\nnone\n"
    assert site.record().intent["network"] == {"mode": "all"}
    assert site.run("--", *probe[1:]).stdout.startswith(b"root:")


def test_what_is_protected_and_what_nono_stands_on_is_in_no_manifest(site: Site) -> None:
    (site.home / ".ssh").mkdir()
    (site.home / ".ssh" / "id").write_text("secret")
    assert site.run("--", "/bin/true").status == 0  # makes ledger, key and state
    manifest = site.base / "here" / "manifest.json"
    manifest.parent.mkdir()
    for path, kind, access, code in (
        (site.home / ".ssh", "directory", "read", "grant.protected"),
        (site.home / ".ssh" / "id", "file", "read", "grant.protected"),
        (site.home, "directory", "read", "grant.protected"),
        (Path("/"), "directory", "read", "grant.untouchable"),
        (site.ledger(), "file", "read", "grant.untouchable"),
        (site.config / "keys" / "default.pem", "file", "read", "grant.untouchable"),
        (site.state, "directory", "write", "grant.untouchable"),
        (manifest, "file", "write", "grant.untouchable"),
        (manifest.parent, "directory", "readwrite", "grant.untouchable"),
        (site.project, "file", "read", "grant.kind"),
    ):
        # As if the user had asked, whoever is said to have.
        grant = {"access": access, "asked": "x", "path": str(path), "source": "system", "type": kind}
        manifest.write_text(json.dumps({"files": [grant], "network": {"mode": "blocked"}}))
        _, status = site.status("--config", manifest, "--", "/bin/true")
        assert status["not_started"]["code"] == code, path
    # What is lifted is lifted as for a flag.
    grant = {
        "access": "read",
        "asked": "x",
        "path": str(site.home / ".ssh"),
        "source": "user",
        "type": "directory",
    }
    usr = {"access": "read", "asked": "x", "path": "/usr", "source": "user", "type": "directory"}
    manifest.write_text(json.dumps({"files": [grant, usr], "network": {"mode": "blocked"}}))
    lifted = ("--config", manifest, "--bypass-protection", "~/.ssh")
    assert site.run(*lifted, "--", "/bin/cat", site.home / ".ssh" / "id").stdout == b"secret"
    assert site.records()[-1].intent["bypass_protection"] == ["~/.ssh"]


def test_a_path_that_leads_elsewhere_by_now_is_refused(site: Site) -> None:
    (site.project / "real").mkdir()
    (site.project / "link").symlink_to("real")
    manifest = site.base / "manifest.json"
    grant = {
        "access": "read",
        "asked": "link",
        "path": str(site.project / "link"),
        "source": "user",
        "type": "directory",
    }
    manifest.write_text(json.dumps({"files": [grant], "network": {"mode": "all"}}))
    ended, status = site.status("--config", manifest, "--", "/bin/true")
    assert status["not_started"]["code"] == "manifest.moved"
    assert str(site.project / "real") in ended.stderr


def test_a_manifest_stands_alone(site: Site) -> None:
    manifest = site.base / "manifest.json"
    manifest.write_text('{"files": [], "network": {"mode": "all"}}')
    for flags in (
        ("--read", "/usr"),
        ("--allow-cwd",),
        ("--block-net",),
        ("--open-port", "80"),
        ("-p", "default"),
    ):
        _, status = site.status("--config", manifest, *flags, "--", "/bin/true")
        assert status["not_started"]["code"] == "usage.manifest", flags
    for hostile in (site.base, Path("/dev/zero"), site.base / "missing"):
        _, status = site.status("--config", hostile, "--", "/bin/true")
        assert status["not_started"]["code"] == "manifest.unreadable"
    _, status = site.status("--config", "", "--", "/bin/true")
    assert status["not_started"]["code"] == "usage.invalid"
    assert site.run("--json", "--", "/bin/true").status == 125


def test_from_python_a_manifest_is_a_parameter(site: Site) -> None:
    manifest = site.base / "manifest.json"
    grants = [{"access": "read", "asked": "/usr", "path": "/usr", "source": "user", "type": "directory"}]
    manifest.write_text(json.dumps({"files": grants, "network": {"mode": "blocked"}}))
    code = (
        "from runtime import launch\n"
        f"print(launch(['/bin/cat', '/etc/passwd'], config={str(manifest)!r}, audit=False).exit)\n"
    )
    ended = site.start("-I", "-c", code, program=(sys.executable,)).wait()
    assert ended.stdout == b"1\n", ended.stderr


# --- dry runs -------------------------------------------------------------------------------------


def snapshot(site: Site) -> dict[str, tuple[int, ...]]:
    """Return all that a file system says of each file of the site, but when it was last read."""
    found: dict[str, tuple[int, ...]] = {}
    for path in (site.base, *site.base.rglob("*")):
        status = path.lstat()
        found[str(path)] = (
            status.st_ino, status.st_mode, status.st_uid, status.st_nlink, status.st_size, status.st_mtime_ns,
            status.st_ctime_ns,
        )  # fmt: skip
    return found


def test_a_dry_run_changes_nothing_at_all(site: Site) -> None:
    """Neither on a machine that nono never ran on, nor beside what it keeps there."""
    hook = site.hook("hook", f"touch {site.base}/hooked")
    profile = site.profile(extends="python-dev", session_hooks={"before": {"script": str(hook)}})
    command = site.script("command", "touch ran")
    ways: tuple[tuple[Argument, ...], ...] = (
        ("--", "/bin/true"),
        ("--json", "--block-net", "--", "/bin/true"),
        ("--json", "-p", profile, "--allow-writable-script", "--output", "x", "--", command),
        ("--open-port", "3000", "--label", "a=b", "--", "/bin/true"),
        ("--no-audit", "--json", "--", "/bin/true"),
        ("--ledger", site.base / "new.db", "--", "/bin/true"),
        ("--allow", "/", "--", "/bin/true"),
        ("--", "no-such-command"),
    )
    for some in (ways, ways[:3]):
        before = snapshot(site)
        for flags in some:
            site.run("--dry-run", *flags)
            assert snapshot(site) == before, flags
        assert site.run("--", "/bin/true").status == 0
    assert site.processes() == []


def test_a_dry_run_says_what_the_record_will_say(site: Site) -> None:
    profile = site.profile(extends="ci-strict", filesystem={"read": [str(site.project)]})
    flags = ("-p", profile, "--label", "run=7", "--output", "made", "--read", "/opt")
    secret = "Authorization: Bearer ghp_abcdefghijklmnopqrstuvwxyz0123456789"
    command = ("--", "/bin/echo", "-H", secret)
    foreseen = dry_run(site, *flags, *command)
    assert "ghp_" not in json.dumps(foreseen)
    site.verdict = 3  # the declared output is not made
    assert site.run(*flags, *command).status == 0
    record = site.record()
    intent, start = foreseen["record"]["intent"], foreseen["record"]["start"]
    assert {**intent, "supervisor": None} == {**record.intent, "supervisor": None}
    # What a launch makes for itself, temporary directory and state file, has a name that nobody knows before.
    made = (f"{site.temporary}/nono-", f"{site.state}/capabilities/")
    files = [grant for grant in record.start["capabilities"]["files"] if not grant["path"].startswith(made)]
    assert len(files) == len(record.files()) - 2
    assert start["capabilities"] == {**record.start["capabilities"], "files": files}
    for same in ("directory", "enforcement", "environment", "executable", "interpreters", "limits"):
        assert start[same] == record.start[same], same
    assert set(record.start) - set(start) == {"pid"}
    assert foreseen["enforcement"] == start["enforcement"]
    document = foreseen["capabilities"]
    assert foreseen["capabilities_sha256"] == hashlib.sha256(canonical.encode(document)).hexdigest()
    assert foreseen["record"]["ledger"] is None
    named = dry_run(site, "--ledger", "own.db", "--", "/bin/true")
    assert named["record"]["ledger"] == str(site.project / "own.db")
    assert dry_run(site, "--no-audit", "--", "/bin/true")["record"] is None


def test_a_dry_run_in_words(site: Site) -> None:
    with configured(site, "[launch]\nblock_net = true\n") as path:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        said = site.run("--dry-run", "-p", "ci-strict", "--", "/bin/echo", "--token", "abc").stdout.decode()
    lines = dict(line.split(None, 1) for line in said.splitlines() if line[:1].isalpha() and " " in line)
    assert lines["required"].split(", ")[:2] == ["capabilities", "exec-stop"]
    assert "network" in lines["required"]
    assert lines["enforced"].endswith("(tried just now)")
    assert lines["command"] == "/bin/echo --token \u2039redacted: flag\u203a (as it would be recorded)"
    assert lines["record"].startswith("in the key's own ledger: intent, start, outcome, statement")
    assert lines["profile"].startswith("ci-strict (sha256 ")
    assert lines["config"] == f"the user's (sha256 {digest})"


def test_a_dry_run_refuses_what_a_launch_refuses(site: Site) -> None:
    script = site.script("script", "true")
    for flags, code in (
        (("--allow", site.project, "--", script), "executable.writable"),
        (("--allow", "/", "--", "/bin/true"), "grant.untouchable"),
        (("--", "no-such-command"), "executable.missing"),
    ):
        ended, status = site.status("--dry-run", "--json", *flags)
        assert (status["dry_run"], status["not_started"]["code"]) == (True, code)
        assert ended.stdout == b""
    # Inside of a launch: what would be refused there is.
    inner = f"{NONO} run --dry-run --no-audit --open-port 3000 -- /bin/true"
    prefix = os.path.dirname(os.path.dirname(NONO))
    ended = site.shell(inner, *site.python_grants(), "--read", prefix)
    assert ended.status == 125
    assert "cannot run inside of another" in ended.stderr
