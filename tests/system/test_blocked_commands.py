"""Commands refused by name: recorded, said to be advice, allowed by a flag, got around by any shell."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.system.conftest import Site


def test_a_blocked_command_is_refused_recorded_and_allowed_by_name(site: Site) -> None:
    kept = site.file("kept")
    ended, status = site.status("--allow", site.project, "--", "rm", "kept")
    assert ended.status == 125
    assert status["not_started"]["code"] == "command.blocked"
    assert "nono: the command rm is blocked: it removes or overwrites what is granted" in ended.stderr
    assert "advice at start-up, by name, which any shell gets around" in ended.stderr
    assert "--allow-command rm" in ended.stderr
    assert kept.exists()
    record = site.record()
    assert record.kinds == ["launch.intent", "launch.outcome", "launch.attestation"]
    assert record.outcome["not_started"]["code"] == "command.blocked"
    assert "commands" not in record.intent
    ended = site.run("--allow", site.project, "--allow-command", "rm", "--", "rm", "kept")
    assert (ended.status, kept.exists()) == (0, False)
    assert site.record().intent["commands"] == {"allow": ["rm"], "block": []}


def test_it_is_advice_and_no_more(site: Site) -> None:
    """What is blocked runs from a shell, under another name by a copy, and as a child of anything."""
    kept = site.file("kept")
    assert site.shell("rm kept", "--allow", site.project).status == 0
    assert not kept.exists()
    site.file("copy", Path("/bin/rm").read_bytes(), 0o755)
    kept.touch()
    ended = site.run("--allow", site.project, "--", "./copy", "kept")
    assert (ended.status, kept.exists()) == (0, False)


def test_the_file_behind_a_link_counts_and_no_hook_runs_for_a_name_that_is_blocked(site: Site) -> None:
    hook = site.hook("hook", f"touch {site.base}/ran")
    profile = site.profile(session_hooks={"before": {"script": str(hook)}})
    assert site.run("-p", profile, "--", "/usr/bin/sudo", "true").status == 125
    assert not (site.base / "ran").exists()
    assert "launch.start" not in site.record().kinds
    os.symlink("/bin/rm", site.project / "clean")
    ended = site.run("--read", site.project, "--", "./clean", "--version")
    assert ended.status == 125
    assert "the command rm is blocked" in ended.stderr
    for name in ("clean", "rm"):
        ended = site.run("--read", site.project, "--allow-command", name, "--", "./clean", "--version")
        assert ended.status == 0, ended.stderr


def test_profiles_and_flags_are_united_and_allow_beats_block(site: Site) -> None:
    profile = site.profile(commands={"allow": ["rm"], "block": ["true", "false"]})
    assert site.run("-p", profile, "--", "rm", "--version").status == 0
    ended = site.run("-p", profile, "--block-command", "ls", "--", "true")
    assert ended.status == 125
    assert "the command true is blocked: you or the profile block it" in ended.stderr
    assert site.record().intent["commands"] == {"allow": ["rm"], "block": ["false", "ls", "true"]}
    shown = site.nono("audit", "show", "last").stdout.decode()
    said = [line.split() for line in shown.splitlines()]
    first = said.index(["commands", "allow", "rm"])
    assert said[first + 1 : first + 4] == [["block", "false"], ["block", "ls"], ["block", "true"]]
    assert site.run("-p", profile, "--allow-command", "true", "--", "true").status == 0
    assert site.run("-p", profile, "--block-command", "rm", "--", "rm", "--version").status == 0
    shown = site.nono("profile", "show", profile, "--json").stdout.decode()
    assert json.loads(shown)["commands"]["allow"] == [{"name": "rm", "said_by": ["profile"]}]


@pytest.mark.parametrize("name", ["/bin/rm", "", "a/b", ".."])
def test_what_is_no_name_is_refused_before_anything_is_recorded(site: Site, name: str) -> None:
    ended, status = site.status("--block-command", name, "--", "/bin/true")
    assert ended.status == 125
    assert status["not_started"]["code"] == "usage.command_name"
    assert site.ledgers() == []


def test_a_dry_run_says_it_too(site: Site) -> None:
    ended = site.run("--dry-run", "--", "shutdown", "-h", "now")
    assert (ended.status, ended.stdout) == (125, b"")
    assert "the command shutdown is blocked: it is for stopping the machine" in ended.stderr
    assert site.ledgers() == []


def test_from_python(site: Site) -> None:
    code = """
from runtime import launch
from runtime.errors import LaunchError
try:
    launch(["rm", "--version"])
except LaunchError as error:
    print(error.code, flush=True)
print(launch(["rm", "--version"], allow_commands=["rm"], block_commands=["ls"]).exit)
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        env=site.environment,
        cwd=site.project,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stdout.split()[0], done.stdout.split()[-1]) == ("command.blocked", "0")
    assert site.record().intent["commands"] == {"allow": ["rm"], "block": ["ls"]}
