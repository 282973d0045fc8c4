"""Attacks on a question: its file changes while it stands, others stand beside it, who asks is gone."""

from __future__ import annotations

import os
import shlex
import signal
from typing import TYPE_CHECKING

import pexpect
import pytest

from runtime.broker.decisions import MAX_SUBJECT_BYTES
from tests.system.conftest import NONO, wait_for
from tests.system.test_elevation import HASTY, NOW, SHOWN, Terminal, decisions
from tests.system.test_terminal import CTRL_Z, PROMPT, hang_up, terminals

if TYPE_CHECKING:
    from tests.system.conftest import Site
    from tests.system.test_terminal import Terminals

__all__ = ["terminals"]  # the fixture

ASKS = "nono: the command asks to read"


def test_a_link_that_is_turned_while_the_question_stands(site: Site) -> None:
    """What was asked about is given, whatever the name means by then."""
    shown, other = site.base / "shown", site.base / "other"
    shown.write_text("shown\n")
    other.write_text("other\n")
    link = site.project / "link"
    link.symlink_to(shown)
    turning = f"(while [ ! -e go ]; do sleep 0.02; done; ln -sfn {other} link)"
    script = f"cd {site.project}; {turning} & cat link; cat link; exit 0"
    terminal = Terminal(site, "--allow", str(site.project), "--", "/bin/sh", "-c", script)
    assert terminal.asked(None) == ("read", str(shown))
    (site.project / "go").touch()
    wait_for(lambda: link.readlink() == other, "the link leads to the other one")
    terminal.child.sendline("y")
    assert terminal.asked("n") == ("read", str(other))
    assert terminal.ended().stdout == b"shown\n"
    assert [verdict for verdict, _, _ in decisions(site.record())] == ["granted", "denied"]


def test_a_directory_that_is_exchanged_while_the_question_stands(site: Site) -> None:
    """A file is made where it was asked for, wherever that directory has gone; and nowhere else."""
    moved = site.base / "moved"
    (site.base / "place").mkdir()
    terminal = Terminal(
        site, "--", "/bin/sh", "-c", f"echo made > {site.base}/place/file; exit 0", program=HASTY
    )
    assert terminal.asked(None) == ("make", f"{site.base}/place/file")
    (site.base / "place").rename(moved)
    (site.base / "place").mkdir()
    terminal.child.sendline("y")
    assert terminal.ended().status == 0
    assert (moved / "file").read_text() == "made\n"
    assert os.listdir(site.base / "place") == []


@pytest.mark.parametrize(
    "name", ["\x1b]52;c;eQ==\x07", "y\ny\n", "\x9b2J\x85\u2028\u202e", "\x1b[A\x1b[2K" * 10]
)
def test_a_hostile_name_of_a_directory(site: Site, name: str) -> None:
    """Deep in a path as long as one can be that is asked about: it shows as text, and the answer counts."""
    deep = site.base / name
    while len(os.fsencode(deep)) < MAX_SUBJECT_BYTES - 150:
        deep /= "x" * 100
    deep.mkdir(parents=True)
    deep /= "x" * (MAX_SUBJECT_BYTES - len("read /") - len(os.fsencode(deep)))
    deep.write_text("hostile")
    terminal = Terminal(site, "--", "/bin/cat", str(deep), program=HASTY)
    terminal.child.expect(NOW)
    shown = terminal.child.before or ""
    assert not {character for character in shown if not character.isprintable()} - {"\r", "\n"}
    assert shown.count("\n") == 3
    terminal.child.sendline("y")
    assert terminal.ended().stdout == b"hostile"
    assert decisions(site.record()) == [("granted", "person", b"read " + os.fsencode(deep))]


def test_an_answer_is_for_one_question_alone(site: Site) -> None:
    """Of two that stand at once the second comes after the first, and has nothing of its answers."""
    first, second = site.file("first", "one\n"), site.file("second", "two\n")
    script = f"cat {first} & cat {second} & wait; exit 0"
    terminal = Terminal(site, "--", "/bin/sh", "-c", script)
    _, asked = terminal.asked(None)
    terminal.child.send("y\ny\nyes\n")
    terminal.child.expect(SHOWN)
    other = terminal.child.match.group(2)
    assert {asked, other} == {str(first), str(second)}
    terminal.child.expect(NOW)
    assert terminal.child.expect([r"\S", pexpect.TIMEOUT], timeout=1) == 1
    terminal.child.sendline("")
    terminal.ended()
    said = {subject: verdict for verdict, _, subject in decisions(site.record())}
    assert said == {b"read " + os.fsencode(asked): "granted", b"read " + os.fsencode(other): "denied"}


def test_who_asked_is_gone_when_the_answer_comes(site: Site) -> None:
    """Nobody gets anything; that it was allowed is recorded, and holds for who asks next."""
    first, go = site.file("first", "one\n"), site.home / "go"
    script = (
        f"cat {first} & asking=$!; while [ ! -e {go}-on ]; do sleep 0.02; done; kill -9 $asking; wait;"
        f" echo killed; while [ ! -e {go} ]; do sleep 0.02; done; cat {first}; exit 0"
    )
    terminal = Terminal(site, "--", "/bin/sh", "-c", script, program=HASTY)
    terminal.asked(None)
    (site.home / "go-on").touch()
    wait_for(lambda: terminal.out.read_bytes() == b"killed\n", "who asked was killed")
    terminal.child.sendline("y")
    wait_for(lambda: "granted" in [each for each, _, _ in decisions(site.record())], "the answer is recorded")
    go.touch()
    assert terminal.ended().stdout == b"killed\none\n"
    assert len(decisions(site.record())) == 1


def test_the_command_has_ended_when_the_answer_comes(site: Site) -> None:
    first = site.file("first", "one\n")
    flags = ("--timeout", "8s", "--timeout-grace", "1s")
    terminal = Terminal(site, *flags, "--", "/bin/cat", str(first), program=HASTY)
    terminal.asked(None)
    terminal.child.expect_exact("the launch has ended")
    ended = terminal.ended()
    assert (ended.status, ended.stdout) == (143, b""), ended.stderr
    assert decisions(site.record()) == []


@pytest.mark.parametrize("when", [SHOWN, NOW])
def test_a_terminal_that_is_hung_up_answers_nothing(terminals: Terminals, when: str) -> None:
    """Of a command with a terminal of its own: before an answer counts, and then."""
    site = terminals.site
    first = site.file("first", "one\n")
    terminal = terminals.nono("run", "--capability-elevation", "--", "/bin/cat", first)
    terminal.expect(when)
    hang_up(terminal)
    wait_for(lambda: site.record().kinds[-1] == "launch.attestation", "the record is closed")
    assert site.record().outcome.get("exit") != 0
    assert "granted" not in [verdict for verdict, _, _ in decisions(site.record())]


def test_nobody_is_asked_by_a_job_in_the_background(terminals: Terminals) -> None:
    """What is typed there is somebody else's."""
    site = terminals.site
    first = site.file("first", "one\n")
    words = shlex.join([str(NONO), "run", "--capability-elevation", "--", "/bin/cat", str(first)])
    job = terminals.shell()
    job.sendline(f"{words} </dev/null >{site.base}/out 2>&1 &")
    job.sendline("y")
    job.sendline("wait; echo wa''ited")
    job.expect_exact("waited")
    assert ASKS.encode() not in job.before
    assert [(verdict, by) for verdict, by, _ in decisions(site.record())] == [("denied", "policy")]
    assert (site.base / "out").read_bytes().count(b"one\n") == 0


@pytest.mark.parametrize("when", [SHOWN, NOW])
def test_a_job_that_was_sent_to_the_background_is_answered_in_front_alone(
    terminals: Terminals, when: str
) -> None:
    site = terminals.site
    first = site.file("first", "one\n")
    # A shell stops; cat, which waits for the answer, does when it has that.
    script = f"cat {first}; exit 0"
    words = shlex.join([str(NONO), "run", "--capability-elevation", "--", "/bin/sh", "-c", script])
    job = terminals.shell()
    job.sendline(words)
    job.expect(when)
    job.send(CTRL_Z)
    job.expect_exact("Stopped")
    job.expect_exact(PROMPT)
    job.sendline("bg")
    job.expect_exact(PROMPT)
    job.sendline("y")
    job.expect_exact("not found")
    assert job.expect_exact([ASKS, pexpect.TIMEOUT], timeout=2) == 1
    job.sendline("fg")
    job.expect(NOW)
    job.sendline("n")
    job.expect_exact(PROMPT)
    assert [(verdict, by) for verdict, by, _ in decisions(site.record())] == [("denied", "person")]


def test_a_launch_that_is_killed_at_its_turn_leaves_it_to_the_next(site: Site) -> None:
    first, second = site.file("first", "one\n"), site.file("second", "two\n")
    flags = shlex.join(["run", "--capability-elevation", "--", "/bin/cat"])
    killed = f"{NONO} {flags} {first} </dev/null >/dev/null 2>&1 & echo $! >{site.base}/pid"
    waits = f"while ! grep -q 1 {site.home}/go; do sleep 0.05; done"
    program = f"{killed}; {waits}; {NONO}"
    (site.home / "go").touch()
    terminal = Terminal(site, "--", "/bin/cat", str(second), program=program)
    assert terminal.asked(None) == ("read", str(first))
    (site.home / "go").write_text("1")
    assert terminal.child.expect([SHOWN, pexpect.TIMEOUT], timeout=3) == 1
    os.kill(int((site.base / "pid").read_text()), signal.SIGKILL)
    site.tidy, site.verdict = False, None
    assert terminal.asked("y") == ("read", str(second))
    assert terminal.ended().stdout == b"two\n"
