"""The host's configuration, from outside: what it forbids does not happen, whichever way it is tried.

Each test has an ``/etc`` of its own, a copy in a mount namespace: nothing but the file system says where the
file lies, and no variable moves it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import IS_ROOT, NONO, PYTHON, Ended, missing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.system.conftest import Argument, Site

pytestmark = pytest.mark.skipif(not IS_ROOT, reason="only root has a configuration of the host's")

_ENTER = 'mount --bind "$0" /etc && exec "$@"'
_CONNECTS = (
    "import socket\n"
    "try: socket.socket(); print('open')\n"
    "except PermissionError: print('closed')\n"
)  # fmt: skip


class Host:
    """A host: its ``/etc``, and one user's site on it."""

    def __init__(self, site: Site, etc: Path) -> None:
        self.site = site
        self.etc = etc
        self.directory = etc / "nono"
        self.file = self.directory / "config.toml"

    def says(self, policy: str) -> Host:
        """Put the configuration into its place."""
        self.directory.mkdir(exist_ok=True, mode=0o755)
        self.file.write_text(f"[policy]\n{policy}\n", encoding="utf-8")
        self.file.chmod(0o644)
        return self

    def profile(self, **parts: Any) -> str:
        """Write a profile of root's, and return its path on the host."""
        path = self.directory / "company.json"
        self.directory.mkdir(exist_ok=True, mode=0o755)
        path.write_text(json.dumps(parts), encoding="utf-8")
        path.chmod(0o644)
        return "/etc/nono/company.json"

    @property
    def program(self) -> tuple[Argument, ...]:
        return self.entering(NONO)

    def entering(self, *program: Argument) -> tuple[Argument, ...]:
        """Return the words that start a program on the host."""
        return ("unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, self.etc, *program)

    def run(self, *arguments: Argument, **options: Any) -> Ended:
        """Run ``nono run`` on the host."""
        return self.site.run(*arguments, program=self.program, **options)

    def code(self, *arguments: Argument, **options: Any) -> str:
        """Run ``nono run`` on the host and return why nothing was launched, empty when it was."""
        ended, status = self.site.status(*arguments, program=self.program, **options)
        if "not_started" not in status:
            assert status["exit_status"] == ended.status
            return ""
        assert ended.status == 125
        assert b"ran" not in ended.stdout
        return str(status["not_started"]["code"])


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of /etc, without a configuration of nono's."""
    etc = tmp_path_factory.mktemp("host") / "etc"
    subprocess.run(["cp", "-a", "/etc", etc], check=True)
    shutil.rmtree(etc / "nono", ignore_errors=True)
    probe = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _ENTER, str(etc), "true"]
    if subprocess.run(probe, check=False, capture_output=True).returncode != 0:
        missing("root may mount in a namespace of its own")
    return etc


@pytest.fixture
def host(site: Site, copied: Path) -> Iterator[Host]:
    found = Host(site, copied)
    yield found
    if found.directory.is_symlink() or found.directory.is_file():
        found.directory.unlink()
    else:
        shutil.rmtree(found.directory, ignore_errors=True)


ECHO = ("--", "/bin/echo", "ran")


def test_without_a_file_nothing_changes(host: Host) -> None:
    assert host.code("--no-audit", *ECHO) == ""
    host.directory.mkdir(mode=0o755)
    assert host.code("--no-audit", *ECHO) == ""
    assert host.site.run(*ECHO).status == 0
    assert "configuration" not in host.site.record().intent


def test_what_is_forbidden_and_what_is_fixed(host: Host) -> None:
    site = host.site
    key, other = site.key("fixed"), site.key("other")
    ledger = site.base / "fixed.db"
    script = site.script("script", "echo ran")
    (site.home / ".ssh").mkdir()
    forbidden: tuple[tuple[tuple[Argument, ...], str], ...] = (
        (("--no-audit", *ECHO), "system.audit"),
        (("--bypass-protection", "~/.ssh", *ECHO), "system.bypass"),
        (("--allow", site.project, "--allow-writable-script", "--", script), "system.script"),
        (("--audit-sign-key", other, *ECHO), "system.key"),
        (("--ledger", site.base / "other.db", *ECHO), "system.ledger"),
    )
    for flags, _ in forbidden:
        assert host.code(*flags) == "", flags
    site.verdict = None  # the tests' own keys are not all trusted by what is looked at in the end
    host.says(
        "require_audit = true\nforbid_bypass = true\nforbid_writable_script = true\n"
        f'key = "{key}"\nledger = "{ledger}"'
    )
    for flags, code in forbidden:
        assert host.code(*flags) == code, flags
    assert host.code(*ECHO) == ""
    assert host.code("--ledger", ledger, "--audit-sign-key", f"file://{key}", *ECHO) == ""
    digest = hashlib.sha256(host.file.read_bytes()).hexdigest()
    records = site.records(ledger)
    assert [record.intent["configuration"] for record in records] == [{"system": digest}] * 2
    policy = site.base / "policy.toml"
    for asked, status in ((digest, 0), ("0" * 64, 3)):
        policy.write_text(f"version = 1\n[every]\nsystem_configurations = ['{asked}']\n")
        assert site.verify(ledger, "--policy", policy).status == status


def test_who_supervises_is_the_hosts_to_say(host: Host) -> None:
    """Of flags and of profiles alike, and beside a manifest; a direct launch, which cannot, is refused."""
    site = host.site
    asking = site.profile(security={"capability_elevation": True})
    mode = ("--read", site.project, "--", "/bin/chmod", "600", site.file("file"))
    assert host.run(*mode).status == 0
    assert host.code("--capability-elevation", *ECHO, preexec=os.setsid) == "elevation.terminal"
    assert host.code("-p", asking, *ECHO, preexec=os.setsid) == "elevation.terminal"
    for name in ("protect_metadata", "trace_exec"):
        host.says(f"{name} = true")
        direct = site.nono("wrap", *ECHO, program=host.program)
        assert direct.status == 125
        who = f"policy.{name} of the host's configuration, /etc/nono/config.toml,"
        assert f"{who} is for supervised launches alone" in direct.stderr
    host.says("forbid_elevation = true\nprotect_metadata = true\ntrace_exec = true")
    assert host.code("--capability-elevation", *ECHO) == "system.elevation"
    assert host.code("-p", asking, *ECHO) == "system.elevation"
    ended = host.run(*mode)
    assert ended.status == 1
    record = site.records()[-1]
    assert record.start["enforcement"]["achieved"]["metadata"] is True
    assert record.start["execs"] == {"tracing": "trace"}
    planned = site.run("--dry-run", "--json", "--block-net", *ECHO)
    manifest = site.file("manifest.json", json.dumps(json.loads(planned.stdout)["manifest"]))
    assert host.code("--config", manifest, *ECHO) == ""
    assert site.records()[-1].start["enforcement"]["achieved"]["metadata"] is True
    host.says('protect_metadata = true\nminimum_profile = "ci-strict"\ngrants = "profile-only"')
    assert host.code(*ECHO) == ""
    assert host.code("--protect-metadata", *ECHO) == ""


def test_the_users_defaults_give_way(host: Host) -> None:
    site = host.site
    ledger = site.base / "fixed.db"
    host.says(f'key = "{site.key("fixed")}"\nledger = "{ledger}"\nminimum_profile = "ci-strict"')
    site.config.mkdir(parents=True, exist_ok=True)
    own = site.config / "config.toml"
    own.write_text('[launch]\nledger = "/tmp/elsewhere.db"\nkey = "env://NOWHERE"\nlabels = {by = "me"}\n')
    try:
        assert host.code(*ECHO) == ""
        (record,) = site.records(ledger)
        assert record.intent["labels"] == {"by": "me"}
        assert sorted(record.intent["configuration"]) == ["system", "user"]
        own.write_text('[launch]\nprofile = "python-dev"\n')
        assert host.code(*ECHO) == "system.profile"
        own.write_text('[redaction]\nunsafe_remove = { flags = ["--auth"] }\n')
        assert host.code(*ECHO) == ""
        host.says("forbid_unsafe_redaction = true")
        assert host.code(*ECHO) == "system.redaction"
        # Another directory is the user's right, and holds no less.
        assert host.code(*ECHO, env={"XDG_CONFIG_HOME": str(site.base / "away")}) == ""
    finally:
        own.unlink()
        shutil.rmtree(site.base / "away", ignore_errors=True)
    site.verdict = None


def test_the_minimum_profile_is_applied_and_its_network_stays_closed(host: Host) -> None:
    site = host.site
    probe = (*site.python_grants(), "--", PYTHON, "-I", "-c", _CONNECTS)
    assert host.run(*probe).stdout == b"open\n"
    host.says('minimum_profile = "ci-strict"')
    assert host.run(*probe).stdout == b"closed\n"
    assert [file["name"] for file in site.records()[-1].intent["profile"]] == ["ci-strict"]
    assert host.run("--no-block-net", *probe).stdout == b"closed\n"
    assert host.code("--allow-connect-port", "443", *ECHO) == "usage.network"
    mine = site.profile(extends="ci-strict", network={"block": False}, filesystem={"read": ["/opt"]})
    assert host.run("-p", mine, *probe).stdout == b"closed\n"


def test_ways_around_the_minimum_profile(host: Host) -> None:
    site = host.site
    company = host.profile(network={"block": True}, environment={"deny": ["SITE_*"]})
    host.says(f'minimum_profile = "{company}"')
    profiles = site.config / "profiles"
    profiles.mkdir(parents=True, exist_ok=True)
    manifest = site.base / "manifest.json"
    manifest.write_text('{"files": [], "network": {"mode": "all"}}')
    named = profiles / "company.json"
    copy = site.base / "company.json"
    for path in (named, copy):
        path.write_text("{}")
        path.chmod(0o600)
    setting = site.profile(extends=company, environment={"set_vars": {"SITE_MARK": "x"}})
    try:
        for flags, code in (
            (("-p", "company"), "system.profile"),  # a name of the user's
            (("-p", copy), "system.profile"),
            (("-p", "default"), "system.profile"),
            (("-p", "ci-strict"), "system.profile"),
            (("-p", setting), "system.profile"),
            (("--config", manifest), "system.manifest"),
            (("-p", company), ""),
        ):
            assert host.code(*flags, *ECHO) == code, flags
    finally:
        named.unlink()
    # What is asked instead of launched is held to it as well.
    for profile, status in ((["-p", "default"], 2), (["-p", company], 0), ([], 0)):
        assert site.nono("why", "--path", "/usr", *profile, program=host.program).status == status
    # It is the host's, wherever the user says that home and configuration are.
    away = site.base / "away"
    moved = {"XDG_CONFIG_HOME": str(away), "HOME": str(away), "NONO_CONFIG": str(away), "ETC": str(away)}
    assert host.code("--no-audit", "-p", "default", *ECHO, env=moved) == "system.profile"
    inside = host.run(
        *site.python_grants(), "--", PYTHON, "-I", "-c", "import os; print('SITE_MARK' in os.environ)"
    )
    assert inside.stdout == b"False\n"
    shutil.rmtree(away, ignore_errors=True)


def test_nothing_beyond_the_profile(host: Host) -> None:
    site = host.site
    company = host.profile(filesystem={"read": [sys.base_prefix]})
    host.says(f'minimum_profile = "{company}"\ngrants = "profile-only"')
    for flags, code in (
        (("--read", site.project), "system.grants"),
        (("--allow-file", "/dev/null"), "system.grants"),
        (("--allow-cwd",), "system.grants"),
        (("--bypass-protection", "~/.ssh"), "system.grants"),
        (("--allow-sysv-ipc",), "system.grants"),
        (("--block-net",), ""),
        (("--allow-connect-port", "443"), ""),
        (("--label", "a=b"), ""),
    ):
        assert host.code(*flags, *ECHO) == code, flags
    narrower = site.profile(extends=company, network={"block": True})
    assert host.code("-p", narrower, *ECHO) == ""
    for more in ({"filesystem": {"read": [str(site.project)]}}, {"ipc": {"sysv": True}}):
        assert host.code("-p", site.profile(extends=company, **more), *ECHO) == "system.grants"


def test_a_launch_inside_of_a_launch_cannot_read_it_and_is_refused(host: Host) -> None:
    """It is no way out: what cannot be read is not taken for absent."""
    host.says("forbid_bypass = true")
    prefix = os.path.dirname(os.path.dirname(NONO))
    grants = ("--read", sys.base_prefix, "--read", prefix, "--allow", host.site.base / "tmp")
    inner = (NONO, "run", "--no-audit", "--", "/bin/echo", "inner")
    ended = host.run(*grants, "--", *inner)
    assert (ended.status, ended.stdout) == (125, b"")
    assert "cannot read the configuration /etc/nono" in ended.stderr
    ended = host.run(*grants, "--read", "/etc/nono", "--", *inner)
    assert (ended.status, ended.stdout) == (0, b"inner\n"), ended.stderr
    bypassing = (*inner[:3], "--bypass-protection", "~/.ssh", *inner[3:])
    ended = host.run(*grants, "--read", "/etc/nono", "--", *bypassing)
    assert (ended.status, ended.stdout) == (125, b"")
    assert "no protection is to be bypassed" in ended.stderr


def test_from_python_it_holds_as_well(host: Host) -> None:
    host.says("require_audit = true")
    code = (
        "from runtime import LaunchError, launch\n"
        "try: launch(['/bin/echo', 'ran'], audit=False)\n"
        "except LaunchError as error: print(error.code)\n"
    )
    ended = host.site.start("-I", "-c", code, program=host.entering(sys.executable)).wait()
    assert ended.stdout == b"system.audit\n", ended.stderr


def test_the_command_cannot_write_it(host: Host) -> None:
    host.says("forbid_bypass = true")
    for flags in (("--write", "/etc/nono"), ("--allow", "/etc"), ("--write-file", "/etc/nono/config.toml")):
        assert host.code(*flags, *ECHO) in {"grant.untouchable", "grant.protected"}, flags
    host.file.unlink()
    host.directory.rmdir()
    assert host.code("--allow", "/etc", *ECHO) in {"grant.untouchable", "grant.protected"}


def test_what_cannot_be_trusted_or_meant_refuses_every_launch(host: Host) -> None:
    def symlinked() -> None:
        host.file.rename(host.etc / "moved.toml")
        host.file.symlink_to("/etc/moved.toml")

    def linked_directory() -> None:
        host.directory.rename(host.etc / "moved")
        host.directory.symlink_to("/etc/moved")

    def fifo() -> None:
        host.file.unlink()
        os.mkfifo(host.file, 0o600)

    for spoil, what in (
        (lambda: host.file.write_text("[policy]\nrequire_audti = true\n"), "unknown key"),
        (lambda: host.file.write_bytes(b"\0"), "not TOML"),
        (lambda: host.file.chmod(0o666), "can be written by others"),
        (lambda: host.directory.chmod(0o777), "can be written by others"),
        (lambda: os.chown(host.file, 12345, -1), "not to root"),
        (symlinked, "it is a symbolic link"),
        (linked_directory, "it is a symbolic link"),
        (fifo, "not a regular file"),
    ):
        host.says("require_audit = true")
        spoil()
        ended = host.run(*ECHO)
        assert (ended.status, ended.stdout) == (125, b"")
        assert what in ended.stderr
        assert host.site.ledgers() == []
        if host.directory.is_symlink():
            host.directory.unlink()
            (host.etc / "moved").rename(host.directory)
        host.directory.chmod(0o755)
        for path in (host.file, host.etc / "moved.toml"):
            path.unlink(missing_ok=True)


def test_config_and_doctor_say_what_is_in_force(host: Host) -> None:
    site = host.site
    host.says(f'minimum_profile = "{host.profile(network={"block": True})}"\nrequire_audit = true')
    digest = hashlib.sha256(host.file.read_bytes()).hexdigest()
    shown = json.loads(site.nono("config", "show", "--json", program=host.program).stdout)
    assert shown["system"] == {
        "path": "/etc/nono/config.toml",
        "policy": {"minimum_profile": "/etc/nono/company.json", "require_audit": True},
        "sha256": digest,
    }
    text = site.nono("config", "show", program=host.program).stdout.decode()
    assert "minimum_profile  system  /etc/nono/company.json\n" in text
    checked = site.nono("config", "check", program=host.program)
    assert (checked.status, checked.lines) == (0, [])
    doctor = json.loads(site.nono("doctor", "--json", program=host.program).stdout)
    assert doctor["configuration"]["system"] == {
        "error": None,
        "path": "/etc/nono/config.toml",
        "sha256": digest,
    }
    assert doctor["able"] is True
    (host.directory / "company.json").chmod(0o666)
    checked = site.nono("config", "check", program=host.program)
    assert checked.status == 1
    assert (
        "/etc/nono/company.json is of the system configuration and can be written by others" in checked.stderr
    )
    assert host.code(*ECHO) == "configuration.untrusted"
    host.says("require_audti = true")
    doctor = json.loads((ended := site.nono("doctor", "--json", program=host.program)).stdout)
    assert (ended.status, doctor["able"]) == (1, False)
    assert "did you mean require_audit?" in host.run(*ECHO).stderr
    assert "unknown key" in doctor["configuration"]["system"]["error"]
    spare = site.base / "spare.toml"
    for content, status in (("[policy]\nrequire_audit = true\n", 0), ("[launch]\n", 1)):
        spare.write_text(content)
        assert site.nono("config", "check", "--system", spare).status == status


def test_a_command_that_is_blocked_stays_so_under_a_name_that_is_allowed(host: Host) -> None:
    """A link's own name can be allowed, which is advice elsewhere; here what it leads to counts as well."""
    site = host.site
    other, echo = site.base / "other", os.path.realpath("/bin/echo")
    other.symlink_to(echo)
    blocking = {"commands": {"block": [os.path.basename(echo)]}}
    asked: tuple[Argument, ...] = ("--allow-command", "other", "--", other, "ran")
    assert host.code("-p", site.profile(**blocking), *asked) == ""
    host.says(f'minimum_profile = "{host.profile(**blocking)}"')
    assert host.code("--", other, "ran") == "system.profile"
    assert host.code(*asked) == "system.profile"
    assert host.code("--allow-command", os.path.basename(echo), *ECHO) == "system.profile"
    assert host.code("--", "/bin/true") == ""
