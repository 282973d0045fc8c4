"""The installed commands in the hands of somebody new: help, wrong command lines, streams that take nothing.

A traceback is never the answer, and a failure of a stream is never taken for the command's own exit code or
for tampering.
"""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from attest import __version__
from tests.system.conftest import NONO, VERIFY

if TYPE_CHECKING:
    from pathlib import Path

    from tests.system.conftest import Site

COMMANDS = ("run", "audit", "ledger", "keygen", "doctor")


def shell(site: Site, script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Run a shell script outside, in which ``nono`` and ``nono-verify`` are functions."""
    functions = f'nono() {{ "{NONO}" "$@"; }}\nnono_verify() {{ "{VERIFY}" "$@"; }}\n'
    done = subprocess.run(
        ["/bin/bash", "-c", functions + script, "bash", *arguments],
        env=site.environment,
        cwd=site.project,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done


# --- help ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_the_help_names_every_command(site: Site, flag: str) -> None:
    ended = site.nono(flag)
    assert (ended.status, ended.stderr) == (0, "")
    listed = [line.split()[0] for line in ended.stdout.decode().splitlines() if line.startswith("    ")]
    assert [name for name in listed if name in COMMANDS] == list(COMMANDS)


def test_the_version_is_that_of_the_package(site: Site) -> None:
    ended = site.nono("--version")
    assert (ended.status, ended.stdout, ended.stderr) == (0, f"nono {__version__}\n".encode(), "")


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_with_examples(site: Site, command: str) -> None:
    ended = site.nono(command, "--help")
    assert (ended.status, ended.stderr) == (0, "")
    assert f"usage: nono {command} " in ended.stdout.decode()
    assert "example" in ended.stdout.decode()


@pytest.mark.parametrize(
    "arguments",
    [(), ("help",), ("",), ("--nonsense",), ("--", "run"), ("--", "run", "--", "true"), ("ru\n",)],
)
def test_without_a_command_that_exists_the_help_is_named(site: Site, arguments: tuple[str, ...]) -> None:
    ended = site.nono(*arguments)
    assert (ended.status, ended.stdout) == (2, b"")
    assert ended.lines[0].startswith("nono: ")
    assert ended.lines[-1] == "nono: hint: nono --help"
    assert len(ended.lines) == 2


# --- streams ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        "nono --help",
        "nono run --help",
        "nono audit list",
        "nono audit show last",
        "nono ledger path",
        "nono ledger info",
        "nono doctor",
        "nono keygen --out key.pem",
        "nono audit snapshot copy.db",
    ],
)
def test_a_full_device_is_an_error_in_one_line(site: Site, command: str) -> None:
    site.tidy = False
    assert site.run("--", "/bin/true").status == 0
    failure = 125 if command.startswith("nono run") else 1
    done = shell(site, f"{command} > /dev/full")
    assert (done.returncode, done.stderr) == (
        failure,
        "nono: cannot write to standard output: No space left on device\n",
    )
    # Where the reader went away, nothing is said; where there never was one, nothing is wrong.
    done = shell(site, f"rm -f key.* copy.db; exec 3> >(exec true); wait $!; {command} >&3")
    assert (done.returncode, done.stderr) == (failure, "")
    done = shell(site, f"rm -f key.* copy.db; {command} >&- 2>/dev/null")
    assert done.returncode == 0


def test_a_dry_run_that_cannot_be_written_fails(site: Site) -> None:
    done = shell(site, "nono run --dry-run -- true > /dev/full")
    assert done.returncode == 125
    assert done.stderr.splitlines()[-1] == "nono: cannot write to standard output: No space left on device"


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_change_the_exit_code(site: Site, closed: str) -> None:
    for code in (0, 3):
        assert shell(site, f"nono run -- sh -c 'exit {code}' {closed}").returncode == code
        assert site.record().outcome["exit"] == code


@pytest.mark.parametrize(
    ("redirection", "status", "said"),
    [
        (">/dev/full", 2, "not checked: the verdict cannot be written: No space left on device\n"),
        (">&3", 2, ""),
        (">&-", 0, ""),
        (">&- 2>&-", 0, ""),
    ],
)
def test_a_verdict_that_nobody_can_read_is_neither_verified_nor_tampering(
    site: Site, redirection: str, status: int, said: str
) -> None:
    assert site.run("--", "/bin/true").status == 0
    for form in ("", "--format json"):
        script = f'exec 3> >(exec true); wait $!; nono_verify "$1" {form} {redirection}'
        done = shell(site, script, site.ledger())
        assert (done.returncode, done.stderr) == (status, said)


@pytest.mark.parametrize("arguments", ["--help", "--version", "trust --help", "trust list"])
def test_the_verifiers_help_on_a_full_device(site: Site, arguments: str) -> None:
    site.key()
    done = shell(site, f"nono_verify {arguments} > /dev/full")
    assert (done.returncode, done.stderr) == (
        2,
        "not checked: the verdict cannot be written: No space left on device\n",
    )


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_a_usage_error_that_nobody_reads_still_exits_as_one(site: Site, redirection: str) -> None:
    assert shell(site, f"nono_verify {redirection}").returncode == 2
    assert shell(site, f"nono_verify trust remove nosuch {redirection}").returncode == 2
    assert shell(site, f"nono --nonsense {redirection}").returncode == 2
    assert shell(site, f"nono run --nonsense {redirection}").returncode == 125
