"""``nono shell``: which shell it is, that it is one to work in, and that it is recorded like any command."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import IS_ROOT, missing, wait_for
from tests.system.test_terminal import CTRL_C, CTRL_D, CTRL_Z, ended, terminals

if TYPE_CHECKING:
    from tests.system.conftest import Argument, Ended, Site
    from tests.system.test_terminal import Terminals

__all__ = ["terminals"]  # the fixture

OWN = pwd.getpwuid(os.getuid()).pw_shell


def shell_of(_: Site, name: str = "bash") -> str:
    found = shutil.which(name, path="/usr/bin:/bin")
    if found is None:
        missing(f"there is no {name} in /usr/bin")
    return found


def piped(site: Site, script: str, *flags: Argument, shell: str | None = None) -> Ended:
    """Give a shell its commands through a pipe."""
    env = {} if shell is None else {"SHELL": shell}
    return site.nono("shell", *flags, stdin=script.encode(), env=env)


def _argv(site: Site) -> list[bytes]:
    command: Any = site.record().intent["command"]
    return [str(each).encode() for each in command]


def test_it_reads_its_commands_where_there_is_no_terminal(site: Site) -> None:
    ended = piped(site, "echo out; cat $HOME/.ssh/id 2>/dev/null || echo refused; exit 5", shell="/bin/sh")
    assert (ended.status, ended.stdout) == (5, b"out\nrefused\n")
    record = site.record()
    assert record.outcome["exit"] == 5
    assert record.kinds[-1] == "launch.attestation"


def test_which_shell_it_is(site: Site) -> None:
    bash, dash = shell_of(site), shell_of(site, "dash")
    for named in (bash, dash):
        assert piped(site, "exit 3", shell=named).status == 3
        assert _argv(site)[0] == named.encode()
    assert piped(site, "exit 4", "--shell", dash, shell=bash).status == 4
    assert _argv(site)[0] == dash.encode()
    assert piped(site, "exit 4", "--shell", "dash", shell=bash).status == 4
    assert _argv(site)[0] == b"dash"


@pytest.mark.parametrize("named", ["/bin/true", "bash", "/no/such/shell", "", "\x1b[2J/x"])
def test_what_the_environment_names_has_to_be_a_shell(site: Site, named: str) -> None:
    """By the word of the user database, or of the host."""
    ended = piped(site, "exit 6", shell=named)
    assert ended.status == 6
    login = OWN if OWN in ("/bin/bash", "/bin/sh", "/bin/zsh", "/usr/bin/zsh", "/usr/bin/bash") else "/bin/sh"
    assert _argv(site)[0] == login.encode()
    told = f"which is neither yours nor one of /etc/shells, so {login} is launched"
    assert (told in ended.stderr) is bool(named)
    assert "\x1b" not in ended.stderr
    assert piped(site, "exit 6", "-s", shell=named).stderr == ""


@pytest.mark.skipif(IS_ROOT, reason="of a user that may not log in")
def test_who_may_not_log_in_has_a_shell_all_the_same(site: Site) -> None:
    assert piped(site, "exit 6").status == 6
    assert _argv(site)[0] == (b"/bin/sh" if "nologin" in OWN or "false" in OWN else OWN.encode())


def test_what_is_behind_the_dashes_is_the_shells(site: Site) -> None:
    ended = site.nono("shell", "--", "-c", 'echo "$0-$1"; exit 7', "zero", "one", env={"SHELL": "/bin/sh"})
    assert (ended.status, ended.stdout) == (7, b"zero-one\n")


def test_a_command_is_not_one_of_its_arguments(site: Site) -> None:
    ended = site.nono("shell", "make", "test")
    assert ended.status == 125
    assert "nono run -- COMMAND" in ended.stderr
    assert site.nono("shell", "--shell", "").status == 125
    assert site.nono("shell", "--shell", "/no/such/shell").status == 127


def test_a_user_works_in_it(terminals: Terminals) -> None:
    """Jobs are stopped and continued in it, and the start-up files are neither read nor missed."""
    site = terminals.site
    (site.home / ".bashrc").write_text("echo read-at-start\n")
    site.environment["SHELL"] = shell_of(site)
    terminal = terminals.nono("shell", "--allow", ".")
    terminal.sendline("PS1='INSIDE> '")
    terminal.expect_exact("INSIDE> ")
    before = terminal.before
    terminal.expect_exact("INSIDE> ")
    assert b"read-at-start" not in before
    assert b"Permission denied" not in before
    terminal.sendline("cat")
    terminal.sendline("hello")
    terminal.expect_exact("hello\r\nhello\r\n")
    terminal.send(CTRL_Z)
    terminal.expect_exact("Stopped")
    terminal.expect_exact("INSIDE> ")
    terminal.sendline("fg")
    terminal.sendline("again")
    terminal.expect_exact("again\r\nagain\r\n")
    terminal.send(CTRL_C)
    terminal.expect_exact("INSIDE> ")
    terminal.sendline("echo made > file; cat < ~/.bashrc; sleep 600 & exit 9")
    said, status = ended(terminal)
    assert status == 9
    assert b"Permission denied" in said
    assert b"run it again" not in said  # a user's work is nothing to be done again
    assert (site.project / "file").read_text() == "made\n"
    record = site.record()
    assert record.outcome["exit"] == 9
    assert record.outcome["counts"]["survivors"] == 1
    assert _argv(site)[1:] == [b"--rcfile", b"/dev/null"]


def test_start_files_are_read_when_protection_is_lifted(site: Site) -> None:
    (site.home / ".bashrc").write_text("echo read-at-start\n")
    flags = ("--bypass-protection", site.home / ".bashrc", "--read-file", site.home / ".bashrc")
    site.nono("shell", *flags, stdin=b"exit\n", env={"SHELL": shell_of(site)})
    assert len(_argv(site)) == 1


def test_an_end_of_input_ends_it(terminals: Terminals) -> None:
    terminals.site.environment["SHELL"] = "/bin/sh"
    terminal = terminals.nono("shell")
    terminal.sendline("echo $((40 + 2))")
    terminal.expect_exact("42\r\n")
    terminal.send(CTRL_D)
    assert ended(terminal)[1] == 0


def test_a_shell_that_heeds_no_term_is_ended_when_its_time_is_over(terminals: Terminals) -> None:
    """As every interactive one."""
    site = terminals.site
    site.environment["SHELL"] = shell_of(site)
    terminal = terminals.nono("shell", "--timeout", "1s", "--timeout-grace", "500ms")
    said, status = ended(terminal)
    assert status == 128 + signal.SIGKILL
    assert b"it had run for 1 s (--timeout)" in said
    assert site.record().outcome["ended_by"] == "time-out"


def test_its_suspend_stops_the_job_around_it(terminals: Terminals) -> None:
    site = terminals.site
    site.environment["SHELL"] = shell_of(site)
    job = terminals.shell()
    job.sendline(f"{terminals.program} shell -s")
    job.sendline("PS1='INSIDE> '")
    job.expect_exact("INSIDE> ")
    job.expect_exact("INSIDE> ")
    job.sendline("suspend")
    job.expect_exact("Stopped")
    job.sendline("echo out''side")
    job.expect_exact("outside\r\n")
    job.sendline("fg")
    job.sendline("echo in''side; exit 4")
    job.expect_exact("inside\r\n")
    job.sendline('echo "code=$?"')
    job.expect_exact("code=4\r\n")


def test_a_dry_run_of_it(site: Site) -> None:
    ended = site.nono("shell", "--dry-run", env={"SHELL": "/bin/sh"})
    assert ended.status == 0
    assert re.search(rb"file +/\S*sh ", ended.stdout)
    wait_for(lambda: not site.processes(), "nothing runs")
