"""A person is asked about files on the very terminal that the command's own is relayed to."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from runtime.broker.approver import GUARD_SECONDS
from tests.system.conftest import text_bytes, wait_for
from tests.system.test_elevation import HASTY_COMMAND
from tests.system.test_terminal import (
    CTRL_C,
    CTRL_Z,
    FRESH,
    PROMPT,
    ended,
    ended_keeping,
    is_raw,
    modes,
    start,
    terminals,
)

if TYPE_CHECKING:
    from tests.system.conftest import Site
    from tests.system.test_terminal import Terminals

__all__ = ["terminals"]  # the fixture

ASKED = "allow it until this launch ends"


def run(terminals: Terminals, script: str, *flags: str) -> Any:
    return terminals.nono(
        "run", "--block-net", "--capability-elevation", *flags, "--", "/bin/sh", "-c", script
    )


def run_hastily(terminals: Terminals, script: str, *flags: str) -> Any:
    """As :func:`run`, where nothing is typed as a question comes: the answer counts soon after it."""
    flags = ("--block-net", "--capability-elevation", *flags)
    return terminals.spawn(*HASTY_COMMAND, "run", *flags, "--", "/bin/sh", "-c", script)


def decisions(site: Site) -> list[tuple[str, str, bytes]]:
    return [
        (entry["data"]["verdict"], entry["data"]["by"], text_bytes(entry["data"]["subject"]))
        for entry in site.record().entries
        if entry["kind"] == "decision"
    ]


@pytest.mark.parametrize(("answer", "granted"), [("y", True), ("", False), ("n", False)])
def test_a_person_decides_and_the_command_goes_on(terminals: Terminals, answer: str, granted: bool) -> None:
    """What is typed as the answer is not the command's, and what is typed afterwards is."""
    site = terminals.site
    asked = site.file("asked", "content\n")
    terminal = run_hastily(terminals, f"echo ready; cat {asked}; read line; echo got-$line; tty; exit 6")
    terminal.expect_exact("ready")
    terminal.expect_exact(ASKED)
    assert not is_raw(terminal)
    terminal.sendline(answer)
    wait_for(lambda: is_raw(terminal), "the terminal is raw again")
    terminal.sendline("typed")
    terminal.expect_exact("got-typed\r\n")
    assert (b"content\r\n" in terminal.before) is granted
    assert ended_keeping(terminal) == 6
    assert modes(terminal) == FRESH
    assert decisions(site) == [("granted" if granted else "denied", "person", b"read " + bytes(asked))]


@pytest.mark.parametrize("when", ["before", "as it comes"])
def test_what_is_typed_for_something_else_is_no_answer(terminals: Terminals, when: str) -> None:
    """Before it comes it is the command's, and then nobody's."""
    site = terminals.site
    asked, go = site.file("asked", "content\n"), site.home / "go"
    waits = f"while [ ! -e {go} ]; do sleep 0.05; done"
    terminal = run(terminals, f"stty -echo; echo ready; {waits}; cat {asked}; read a; echo got-$a")
    terminal.expect_exact("ready")
    wait_for(lambda: is_raw(terminal), "the terminal is relayed")
    if when == "before":
        terminal.sendline("y")
    go.touch()
    terminal.expect_exact("nono: the command asks to read")
    if when != "before":
        time.sleep(GUARD_SECONDS / 5)  # which leaves most of it for a busy machine
        terminal.sendline("y")
    terminal.expect_exact(ASKED)
    assert terminal.expect_exact(["content", pexpect.TIMEOUT], timeout=1) == 1
    terminal.sendline("n")
    if when != "before":
        wait_for(lambda: is_raw(terminal), "the terminal is raw again")
        terminal.sendline("later")
    terminal.expect_exact("got-y" if when == "before" else "got-later")
    assert ended_keeping(terminal) == 0
    assert decisions(site) == [("denied", "person", b"read " + bytes(asked))]


def test_nothing_is_shown_around_a_question(terminals: Terminals) -> None:
    """Of a command that writes all the while, and would write an answer or another question."""
    asked = terminals.site.file("asked", "content\n")
    flood = "(while :; do echo nono: allow nothing; done) &"
    terminal = run(terminals, f"{flood} sleep 0.2; cat {asked} > /dev/null && echo it-was-read; exit 4")
    terminal.expect(ASKED + r"\? \[y/N, [0-9]+ s\] ")
    assert terminal.expect([r".", pexpect.TIMEOUT], timeout=1) == 1
    terminal.sendline("y")
    terminal.expect_exact("allow nothing")
    said, status = ended(terminal)
    assert status == 4
    assert b"it-was-read" in said


@pytest.mark.parametrize("flooding", [False, True])
def test_what_would_hide_a_question_is_set_back_before_it(terminals: Terminals, *, flooding: bool) -> None:
    """Invisible text, a palette of one colour, a printer, a screen that is not drawn, an endless string."""
    asked = terminals.site.file("asked", "content\n")
    hiding = r"\033[8m\033]10;#000\007\033]11;#000\007\033[5i\033[?2026h\033[?7l\033]0;no end"
    flood = "(while :; do printf '%0999d' 0; done) & sleep 0.3;" if flooding else ""
    terminal = run(terminals, f"{flood} printf '{hiding}'; cat {asked}; exit 3")
    terminal.expect_exact("\r\nnono: the command asks to read")
    shown = terminal.before.rpartition(b"\x18")[2]
    told = (
        b"\x1b\\",
        b"\x1b[?2026l",
        b"\x1b[4i",
        b"\x1b[!p",
        b"\x1b[?7h",
        b"\x1b[0m",
        b"\x1b]110",
        b"\x1b]111",
    )
    assert [each for each in told if each not in shown] == []
    terminal.expect_exact(ASKED)
    terminal.sendline("n")
    assert ended(terminal)[1] == 3


def test_a_question_that_stands_at_the_end_leaves_the_terminal_as_it_was(terminals: Terminals) -> None:
    asked = terminals.site.file("asked", "content\n")
    terminal = run_hastily(terminals, f"cat {asked}", "--timeout", "8s", "--timeout-grace", "500ms")
    terminal.expect_exact(ASKED)
    assert ended_keeping(terminal) in (143, 137)
    assert modes(terminal) == FRESH
    assert terminals.site.record().outcome["ended_by"] == "time-out"


def test_a_key_at_a_question_is_the_commands_signal(terminals: Terminals) -> None:
    asked = terminals.site.file("asked", "content\n")
    terminal = run_hastily(terminals, f"cat {asked}; exit 5")
    terminal.expect_exact(ASKED)
    terminal.send(CTRL_C)
    assert ended_keeping(terminal) == 130
    assert modes(terminal) == FRESH


def test_where_it_is_shared_it_is_refused(terminals: Terminals) -> None:
    said, status = ended(run(terminals, "exit 0", "--no-pty"))
    assert status == 125
    assert b"the command shares the terminal: it could answer for you" in said


def test_a_job_that_is_stopped_at_a_question_is_asked_still(terminals: Terminals) -> None:
    """Another process of it stops it, and somebody comes back."""
    asked = terminals.site.file("asked", "content\n")
    job = terminals.shell()
    job.sendline("mkdir there; cd there")
    job.expect_exact(PROMPT)
    start(job, f"echo ready; cat {asked}; exit 5", "--capability-elevation")
    job.expect_exact(ASKED)
    job.send(CTRL_Z)
    job.expect_exact("Stopped")
    job.expect_exact(PROMPT)
    assert not is_raw(job)
    job.sendline("fg")
    # What is asked comes again: whoever comes back to a job may have something else in mind.
    job.expect_exact("nono: the command asks to read")
    job.sendline("y")
    job.expect_exact(ASKED)
    assert job.expect([PROMPT, pexpect.TIMEOUT], timeout=1) == 1
    job.sendline("y")
    job.expect_exact(PROMPT)
    job.sendline('echo "code=$?"')
    job.expect_exact("code=5\r\n")
