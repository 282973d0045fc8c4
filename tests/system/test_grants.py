"""Grants, end to end: what a flag opens, what stays closed, and what is refused."""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

import pytest

from tests.system.conftest import IS_ROOT, PYTHON, ROOT

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Site

# Tries four things with a directory and says which of them worked.
PROBE = (
    "cat {0}/file >/dev/null 2>&1 && echo read; ls {0} >/dev/null 2>&1 && echo list;"
    " (echo x > {0}/new) 2>/dev/null && echo create; (echo x >> {0}/file) 2>/dev/null && echo change; :"
)


@pytest.fixture
def outside(site: Site) -> Path:
    """A directory beside the project, with a file in it."""
    directory = site.base / "data"
    directory.mkdir()
    (directory / "file").write_text("content\n")
    return directory


@pytest.mark.parametrize(
    ("flags", "works"),
    [
        ([], set()),
        (["--allow"], {"read", "list", "create", "change"}),
        (["-a"], {"read", "list", "create", "change"}),
        (["--read"], {"read", "list"}),
        (["-r"], {"read", "list"}),
        (["--write"], {"create", "change"}),
        (["-w"], {"create", "change"}),
    ],
)
def test_what_a_directory_grant_opens(site: Site, outside: Path, flags: list[str], works: set[str]) -> None:
    arguments = [word for flag in flags for word in (flag, str(outside))]
    ended = site.shell(PROBE.format(outside), *arguments)
    assert set(ended.stdout.decode().split()) == works
    granted = site.record().files().get(os.fsencode(outside))
    assert (granted is not None) == bool(flags)


@pytest.mark.parametrize(
    ("flag", "works"),
    [("--allow-file", {"read", "change"}), ("--read-file", {"read"}), ("--write-file", {"change"})],
)
def test_what_a_file_grant_opens(site: Site, outside: Path, flag: str, works: set[str]) -> None:
    (outside / "other").write_text("other\n")
    script = PROBE.format(outside) + f"; cat {outside}/other 2>/dev/null && echo leak"
    ended = site.shell(script + "; :", flag, outside / "file")
    assert set(ended.stdout.decode().split()) == works


def test_nothing_of_the_user_is_open_without_a_grant(site: Site) -> None:
    (site.home / "diary").write_text("secret")
    site.file("source", "secret")
    ended = site.shell(
        f"cat {site.home}/diary {site.project}/source {site.state}; ls {site.home} {site.state} /tmp /root; :"
    )
    assert ended.stdout == b""


def test_the_command_starts_in_the_root_when_its_directory_is_not_granted(site: Site) -> None:
    ended = site.shell("pwd")
    assert ended.stdout == b"/\n"
    assert any("starts in /" in line for line in ended.lines)
    assert site.record().start["directory"] == "/"


def test_allow_cwd_reads_and_starts_there(site: Site) -> None:
    site.file("file", "content\n")
    ended = site.shell("pwd; " + PROBE.format("."), "--allow-cwd")
    assert ended.stdout.decode().split() == [str(site.project), "read", "list"]
    assert "starts in /" not in ended.stderr


def test_workdir_is_the_start_directory_and_what_paths_are_relative_to(site: Site) -> None:
    (site.project / "sub").mkdir()
    (site.project / "sub" / "file").write_text("content\n")
    ended = site.shell("pwd; cat file", "--workdir", "sub", "--read", ".")
    assert ended.stdout.decode().splitlines() == [str(site.project / "sub"), "content"]


def test_a_relative_command_is_in_the_working_directory(site: Site) -> None:
    site.script("sub/tool", "echo tool")
    assert site.run("--workdir", site.project / "sub", "--", "./tool").stdout == b"tool\n"
    assert site.run("--workdir", site.project / "sub", "--allow-cwd", "--", "./tool").stdout == b"tool\n"


def test_a_link_that_leads_out_of_a_grant_opens_nothing(site: Site, outside: Path) -> None:
    (site.project / "link").symlink_to(outside)
    ended = site.shell(f"cat {site.project}/link/file", "--allow", site.project)
    assert ended.status != 0
    assert ended.stdout == b""


def test_a_grant_by_a_link_is_recorded_by_where_it_leads(site: Site, outside: Path) -> None:
    link = site.project / "link"
    link.symlink_to(outside)
    ended = site.shell(f"cat {outside}/file", "--read", "link")
    assert ended.stdout == b"content\n"
    grant = site.record().files()[os.fsencode(outside)]
    assert grant["asked"] == "link"


@pytest.mark.parametrize("name", ["with space", "new\nline", "'quote\"", "-dash", "$HOME", "caf\u00e9", "*"])
def test_grants_with_odd_names(site: Site, name: str) -> None:
    directory = site.base / name
    directory.mkdir()
    (directory / "file").write_text("content\n")
    ended = site.run(f"--read={directory}", "--", "/bin/cat", directory / "file")
    assert ended.stdout == b"content\n", ended.stderr


def test_a_grant_whose_name_is_no_text(site: Site) -> None:
    directory = os.fsencode(site.base) + b"/\xff\xfe"
    os.mkdir(directory)
    with open(directory + b"/file", "wb") as file:
        file.write(b"content\n")
    ended = site.run("--read", directory, "--", "/bin/cat", directory + b"/file")
    assert ended.stdout == b"content\n", ended.stderr
    assert directory in site.record().files()


def test_what_does_not_exist_is_said_and_not_granted(site: Site) -> None:
    ended = site.run("--read", "no-such-directory", "--", "/bin/true")
    assert ended.status == 0
    missing = site.project / "no-such-directory"
    assert f"nono: --read no-such-directory does not exist ({missing}), so it is not granted" in ended.lines
    assert [grant["asked"] for grant in site.record().intent["grants"]] == ["no-such-directory"]


# --- never grantable -----------------------------------------------------------------------------


def test_nothing_that_nono_stands_on_can_be_granted(site: Site) -> None:
    site.run("--", "/bin/true")
    ledger = site.ledger()
    for flag, path in (
        ("--read", site.state),
        ("--read", site.state.parent),
        ("--read", site.base),
        ("--read", site.config),
        ("--read", site.cache),
        ("--read-file", ledger),
        ("--read-file", site.config / "keys" / "default.pem"),
        ("--write-file", site.config / "keys" / "default.pub"),
        ("--allow", sys.prefix),
        ("--write", "/usr/lib"),
        ("--write", "/proc"),
    ):
        ended = site.run(flag, path, "--", "/bin/true")
        assert ended.status == 125, (flag, path)
        assert site.record().outcome["not_started"]["code"] == "grant.untouchable", (flag, path)


def test_a_ledger_or_a_key_in_a_granted_directory_is_refused(site: Site) -> None:
    site.verdict = None
    key = site.project / "key.pem"
    assert site.nono("keygen", "--out", key).status == 0
    attempts: list[list[str | Path]] = [
        ["--ledger", site.project / "l.db", "--read", site.project],
        ["--audit-sign-key", key, "--allow", site.project],
        ["--audit-sign-key", key, "--allow-cwd"],
    ]
    for arguments in attempts:
        ended = site.run(*arguments, "--", "/bin/true")
        assert ended.status == 125
        assert "no command may reach" in ended.stderr


def test_a_link_or_a_hard_link_to_the_key_is_refused_as_well(site: Site) -> None:
    site.run("--", "/bin/true")
    key = site.config / "keys" / "default.pem"
    (site.project / "link").symlink_to(key)
    os.link(key, site.project / "hard")
    for name in ("link", "hard"):
        assert site.run("--read-file", site.project / name, "--", "/bin/true").status == 125
    (site.project / "hard").unlink()


def test_a_hook_and_a_profile_cannot_be_granted_for_writing(site: Site) -> None:
    hook = site.hook("hook", "exit 0")
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    assert site.run("-p", profile, "--allow", hook.parent, "--", "/bin/true").status == 125
    assert site.run("-p", profile, "--write-file", profile, "--", "/bin/true").status == 125
    assert site.run("-p", profile, "--read", hook.parent, "--", "/bin/true").status == 0


def test_a_protected_directory_needs_its_own_word(site: Site) -> None:
    keys = site.home / ".ssh"
    keys.mkdir()
    (keys / "config").write_text("host\n")
    read = ("--read", str(keys), "--", "/bin/cat", str(keys / "config"))
    assert site.run(*read).status == 125
    assert site.record().outcome["not_started"]["code"] == "grant.protected"
    alone = site.run("--bypass-protection", keys, "--", "/bin/cat", keys / "config")
    assert alone.status != 0
    assert alone.stdout == b""
    both = site.run("--bypass-protection", keys, *read)
    assert both.stdout == b"host\n"
    assert site.record().intent["bypass_protection"] == [str(keys)]


def test_a_home_behind_a_link_and_dot_dot_is_protected_all_the_same(site: Site) -> None:
    (site.home / ".ssh").mkdir()
    (site.home / ".ssh" / "id").write_text("secret\n")
    (site.base / "link").symlink_to(site.home / ".ssh")
    home = f"{site.base}/link/../../home"
    assert os.path.samefile(home, site.home)
    environment = {"HOME": home}
    command = ("--", "/bin/cat", str(site.home / ".ssh" / "id"))
    for granted in (site.home / ".ssh", site.home):
        ended = site.run("--read", granted, *command, env=environment)
        assert (ended.status, ended.stdout) == (125, b"")
        assert "--bypass-protection" in ended.stderr
    lifted = site.run(
        "--read", site.home / ".ssh", "--bypass-protection", "~/.ssh", *command, env=environment
    )
    assert (lifted.status, lifted.stdout) == (0, b"secret\n"), lifted.stderr


def test_the_hint_of_a_refusal_works(site: Site) -> None:
    (site.home / ".ssh").mkdir()
    (site.home / "work").mkdir()
    refused = site.run("--read", site.home, "--", "/bin/true")
    assert refused.status == 125
    hint = next(line for line in refused.lines if "hint: " in line)
    assert f"--read {site.home}/work" in hint
    assert site.run("--read", site.home / "work", "--", "/bin/true").status == 0


# --- the network ---------------------------------------------------------------------------------

CONNECT = """\
import socket, sys
try:
    socket.create_connection(("127.0.0.1", int(sys.argv[1])), 5).close()
    print("connected")
except OSError as error:
    print("refused", error.errno)
"""


@pytest.mark.parametrize(("flags", "expected"), [([], b"connected"), (["--block-net"], b"refused 13")])
def test_the_network(site: Site, flags: list[str], expected: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        ended = site.run(*flags, *site.python_grants(), "--", PYTHON, "-I", "-c", CONNECT, port)
    assert ended.stdout.strip() == expected
    start = site.record().start
    assert start["capabilities"]["network"]["mode"] == ("blocked" if flags else "all")
    assert start["enforcement"]["achieved"]["network"] == bool(flags)
    assert ("the network is open" in ended.stderr) != bool(flags)


# --- profiles ------------------------------------------------------------------------------------


def test_a_profile_grants_blocks_and_hooks(site: Site, outside: Path) -> None:
    (site.home / "shared").mkdir()
    (site.home / "shared" / "file").write_text("shared\n")
    hook = site.hook(
        "hook", 'echo "FROM_HOOK=yes" > "$NONO_ENV_FILE"; echo "LD_PRELOAD=x" >> "$NONO_ENV_FILE"'
    )
    profile = site.profile(
        filesystem={
            "read": ["~/shared", "$WORKDIR", "/no/such/directory"],
            "write_file": [str(outside / "file")],
        },
        network={"block": True},
        session_hooks={"before": {"script": str(hook), "required": True}},
    )
    site.file("here", "here\n")
    ended = site.shell(
        f"cat ~/shared/file here; echo more >> {outside}/file; printenv FROM_HOOK LD_PRELOAD", "-p", profile
    )
    assert ended.stdout.decode().split() == ["shared", "here", "yes"]
    assert (outside / "file").read_text() == "content\nmore\n"
    record = site.record()
    assert record.start["capabilities"]["network"]["mode"] == "blocked"
    assert {grant["source"] for grant in record.intent["grants"]} == {"profile"}
    assert any("LD_PRELOAD was dropped" in line for line in ended.lines)
    (result,) = [entry["data"] for entry in record.entries if entry["kind"] == "hook.result"]
    assert (result["exported"], result["dropped"]) == (["FROM_HOOK"], ["LD_PRELOAD"])
    assert os.fsencode(site.project) in record.files()


def test_the_profile_of_the_readme_works_as_it_is_written(site: Site) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert "`nono run -p ~/.nono/build.jsonc -- make`" in " ".join(text.split())
    profile = site.home / ".nono" / "build.jsonc"
    profile.parent.mkdir()
    profile.write_text(text.partition("```jsonc\n")[2].partition("```")[0], encoding="utf-8")
    (site.home / ".gitconfig").touch()
    ended = site.run("-p", profile, "--", "/bin/sh", "-c", "echo built > result")
    assert ended.status == 0, ended.stderr
    assert (site.project / "result").read_text() == "built\n"
    # Where the command could change it, it is not taken, and the way out leaves the command its grant.
    inside = site.file("build.jsonc", profile.read_text())
    ended = site.run("-p", "build.jsonc", "--", "/bin/true")
    assert ended.status == 125
    hint = f"nono: hint: keep {inside} outside of everything that the command may write to, or grant only "
    assert any(line.startswith(hint) for line in ended.lines), ended.stderr


@pytest.mark.parametrize(
    "content",
    [
        "", "{", "[]", '{"unknown": 1}', '{"filesystem": {"raed": []}}', '{"filesystem": {"read": "/tmp"}}',
        '{"network": {"block": 1}}', '{"session_hooks": {"before": {}}}',
        '{"network": {"block": true, "block": false}}',
    ],
)  # fmt: skip
def test_what_is_no_profile_is_refused_by_name(site: Site, content: str) -> None:
    path = site.base / "p.json"
    path.write_text(content)
    ended = site.run("-p", path, "--", "/bin/true")
    assert ended.status == 125
    assert "profile" in ended.lines[0]
    assert "Traceback" not in ended.stderr


def test_a_hook_that_others_could_write_is_refused(site: Site) -> None:
    hook = site.hook("hook", "exit 0")
    hook.chmod(0o777)
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    ended = site.run("-p", profile, "--", "/bin/true")
    assert ended.status == 125
    assert "chmod go-w" in ended.stderr


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_hook_of_another_user_is_refused(site: Site) -> None:
    hook = site.hook("hook", "exit 0")
    os.chown(hook, 65534, 65534)
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    ended = site.run("-p", profile, "--", "/bin/true")
    assert ended.status == 125
    assert "belongs to uid 65534" in ended.stderr
