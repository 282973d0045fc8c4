"""``--capability-elevation``, from the command line and the terminal to the verdict."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
from typing import TYPE_CHECKING

import pexpect
import pytest

from runtime.broker.approver import GUARD_SECONDS
from runtime.broker.elevation import MAX_QUESTIONS, MAX_RECORDED
from tests.system.conftest import IS_ROOT, NONO, PYTHON, Ended, text_bytes, wait_for
from tests.system.test_terminal import hang_up
from tests.system.test_wsl import on_wsl

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Record, Site

SHOWN = r"nono: the command asks to ([a-z ]+) ([^\r]+)\r\n"
NOW = r"nono: allow it until this launch ends\? \[y/N, [0-9]+ s\] "
# For a test that is not about what is typed as a question comes: its answer counts soon after the question.
HASTY_COMMAND = (
    os.path.join(os.path.dirname(NONO), "python"),
    "-I",
    "-c",
    "import sys\n"
    "from runtime.broker import approver\n"
    "from runtime.cli import main\n"
    "approver.GUARD_SECONDS = 0.1\n"
    "sys.exit(main(sys.argv[1:]))\n",
)
HASTY = shlex.join(["exec", *HASTY_COMMAND])
ASKED = SHOWN + r"nono: y and Enter allow it, [^\r]+\r\n[^\n]*\r" + NOW


class Terminal:
    """nono at a terminal, with its standard streams elsewhere."""

    def __init__(
        self,
        site: Site,
        *arguments: str,
        program: str = f"exec {NONO}",
        streams: str = "",
        asks: bool = True,
    ) -> None:
        self._site = site
        self.out, self._err = site.base / "out", site.base / "err"
        streams = streams or f"</dev/null >{self.out} 2>{self._err}"
        # A terminal that nobody has open has ended, to who sits at it.
        flags = ["--capability-elevation"] if asks else []
        line = f"exec 9<>/dev/tty; {program} run {shlex.join([*flags, *arguments])} {streams}"
        self.child: pexpect.spawn[str] = pexpect.spawn(
            "/bin/sh",
            ["-c", line],
            env=site.environment,
            cwd=str(site.project),
            timeout=60,
            encoding="utf-8",
            use_poll=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # else as the tests have it
        )

    def asked(self, answer: str | None) -> tuple[str, str]:
        """Wait for a question, answer it, and return what it was about."""
        if self.child.expect([ASKED, pexpect.EOF]):
            raise AssertionError(f"nobody was asked: {self.ended()}")
        match = self.child.match
        if answer is not None:
            self.child.sendline(answer)
        return match.group(1), match.group(2)

    def ended(self) -> Ended:
        """Answer nothing more, and return how it ended."""
        self.child.expect(pexpect.EOF)
        self.child.wait()  # else closing would end it, where it takes its time to be gone
        self.child.close()
        code, number = self.child.exitstatus, self.child.signalstatus
        status = code if code is not None else -(number or 0)
        stdout, stderr = (path.read_bytes() if path.exists() else b"" for path in (self.out, self._err))
        return Ended(status, stdout, stderr.decode())


@contextlib.contextmanager
def held(terminal: Terminal) -> Iterator[None]:
    """Keep nono from going on meanwhile."""
    os.kill(terminal.child.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(terminal.child.pid, signal.SIGCONT)


def decisions(record: Record) -> list[tuple[str, str, bytes]]:
    return [
        (entry["data"]["verdict"], entry["data"]["by"], text_bytes(entry["data"]["subject"]))
        for entry in record.entries
        if entry["kind"] == "decision"
    ]


def test_what_a_person_allows_is_given_and_recorded(site: Site) -> None:
    first, second = site.file("first", "one\n"), site.file("second", "two\n")
    made = site.base / "made"
    script = f"cat {first}; cat {first}; cat {second}; echo three > {made} && cat {made}; exit 7"
    terminal = Terminal(site, "--block-net", "--", "/bin/sh", "-c", script, program=HASTY)
    assert terminal.asked("y") == ("read", str(first))
    assert terminal.asked("") == ("read", str(second))
    assert terminal.asked("yes") == ("make", str(made))
    assert terminal.asked("Y") == ("read", str(made))
    ended = terminal.ended()
    assert (ended.status, ended.stdout) == (7, b"one\none\nthree\n"), ended.stderr
    record = site.record()
    assert record.intent["capability_elevation"] is True
    assert [kind for kind in record.kinds if kind in ("launch.start", "decision", "launch.outcome")] == [
        "launch.start", *["decision"] * 4, "launch.outcome",
    ]  # fmt: skip
    assert sorted(decisions(record)) == sorted(
        [
            ("granted", "person", b"read " + os.fsencode(first)),
            ("denied", "person", b"read " + os.fsencode(second)),
            ("granted", "person", b"make " + os.fsencode(made)),
            ("granted", "person", b"read " + os.fsencode(made)),
        ]
    )
    assert record.outcome["counts"]["decisions"] == 4
    assert record.outcome["counts"]["decisions_dropped"] == 0
    assert site.verify().status == 0
    assert "refused on the terminal" in ended.stderr


def test_without_it_nobody_is_asked(site: Site) -> None:
    first = site.file("first", "one\n")
    ended = site.shell(f"cat {first}")
    assert (ended.status, ended.stdout) == (1, b"")
    assert "capability_elevation" not in site.record().intent


def test_a_grant_is_durable_before_it_is_given(site: Site) -> None:
    first = site.file("first", "one\n")
    terminal = Terminal(site, "--", "/bin/sh", "-c", f"cat {first}; kill -STOP $$", program=HASTY)
    terminal.asked("y")
    wait_for(lambda: terminal.out.read_bytes() == b"one\n", "the file was given")
    entries = [entry["data"] for entry in site.entries() if entry["kind"] == "decision"]
    assert [entry["verdict"] for entry in entries] == ["granted"]
    os.kill(terminal.child.pid, signal.SIGTERM)
    os.kill(terminal.child.pid, signal.SIGKILL)  # and it was all that nono could have said of it
    terminal.child.close()
    site.tidy, site.verdict = False, None
    assert decisions(site.record())[0][0] == "granted"


def test_what_is_protected_is_never_offered(site: Site) -> None:
    secret = site.home / ".ssh" / "id_ed25519"
    secret.parent.mkdir()
    secret.write_text("secret")
    assert site.run("--", "/bin/true").status == 0  # makes key and ledger
    key, ledger = site.config / "keys" / "default.pem", site.ledger()
    linked = site.project / "linked"
    linked.symlink_to(secret)
    code = f"{sys.base_prefix}/lib/nono-elevated.py"
    places = [secret, linked, key, ledger, site.state]
    script = "; ".join(
        [*(f"cat {place}" for place in places), f"echo >> {ledger}", f"echo > {code}", "exit 0"]
    )
    terminal = Terminal(site, "--block-net", "--", "/bin/sh", "-c", script)
    ended = terminal.ended()
    assert (ended.status, ended.stdout) == (0, b""), ended.stderr
    assert "asks to" not in (terminal.child.before or "")
    said = decisions(site.record())
    assert {verdict for verdict, _, _ in said} == {"denied"}
    assert {by for _, by, _ in said} == {"policy"}
    assert {b"read " + os.fsencode(secret), b"read " + os.fsencode(key), b"read " + os.fsencode(ledger)} <= {
        subject for _, _, subject in said
    }
    assert not os.path.exists(code)


def test_a_hostile_name_shows_nothing_of_its_own(site: Site) -> None:
    name = "\x1b[2J\r\nnono: the command asks to read harmless\x07\x9b31m\u202egnp.\ttail'\\"
    hostile = site.project / name
    hostile.write_text("hostile")
    terminal = Terminal(site, "--", "/bin/cat", str(hostile), program=HASTY)
    terminal.child.expect(r"\[y/N, [0-9]+ s\] ")
    shown = terminal.child.before or ""
    assert not set(shown) - {"\r", "\n"} & {chr(code) for code in (*range(32), *range(127, 160), 0x202E)}
    assert shown.count("\n") == 3
    assert "harmless" in shown
    assert r"\x1b[2J\x0d\x0anono: the command asks" in shown
    terminal.child.sendline("y")
    assert terminal.ended().stdout == b"hostile"


def test_what_was_typed_before_a_question_is_no_answer(site: Site) -> None:
    first, go = site.file("first", "one\n"), site.home / "go"
    script = f"echo ready; while [ ! -e {go} ]; do sleep 0.05; done; cat {first}"
    terminal = Terminal(site, "--", "/bin/sh", "-c", script)
    wait_for(lambda: terminal.out.exists() and terminal.out.read_bytes() == b"ready\n", "the command runs")
    terminal.child.send("y\ny\ny\n")
    go.touch()
    terminal.asked("n")
    assert terminal.ended().stdout == b"ready\n"
    assert decisions(site.record()) == [("denied", "person", b"read " + os.fsencode(first))]


@pytest.mark.parametrize("delay", [0.0, 0.3, 0.7])
def test_what_is_typed_as_a_question_comes_is_no_answer(site: Site, delay: float) -> None:
    """Whoever types while the command asks has not read what it asks for."""
    first = site.file("first", "one\n")
    terminal = Terminal(site, "--", "/bin/cat", str(first))
    terminal.child.expect(SHOWN)
    with held(terminal):  # on a busy machine it could ask for the answer before this has typed
        time.sleep(delay)
        terminal.child.send("y\n")
    terminal.child.expect(NOW)
    assert terminal.child.expect([r"\S", pexpect.TIMEOUT], timeout=1) == 1
    terminal.child.send("n\n")
    assert terminal.ended().status == 1
    assert decisions(site.record()) == [("denied", "person", b"read " + os.fsencode(first))]


def test_a_line_that_was_begun_as_a_question_comes_is_no_part_of_the_answer(site: Site) -> None:
    first = site.file("first", "one\n")
    terminal = Terminal(site, "--", "/bin/cat", str(first))
    terminal.child.expect(SHOWN)
    with held(terminal):
        terminal.child.send("y")
    terminal.child.expect(NOW)
    terminal.child.send("\n")
    assert terminal.ended().status == 1
    assert decisions(site.record()) == [("denied", "person", b"read " + os.fsencode(first))]


def test_whoever_goes_on_typing_is_asked_when_that_is_over(site: Site) -> None:
    first = site.file("first", "one\n")
    terminal = Terminal(site, "--", "/bin/cat", str(first))
    terminal.child.expect(SHOWN)
    for _ in range(60):  # for three times as long; each comes in time on a busy machine, too
        terminal.child.send("y\n")
        time.sleep(GUARD_SECONDS / 20)
    assert terminal.child.expect([NOW, pexpect.TIMEOUT], timeout=0) == 1
    terminal.child.expect(NOW)
    terminal.child.send("y\n")
    ended = terminal.ended()
    assert (ended.status, ended.stdout) == (0, b"one\n")
    assert decisions(site.record()) == [("granted", "person", b"read " + os.fsencode(first))]


def test_launches_take_turns_at_a_terminal(site: Site) -> None:
    """Else an answer would be for whichever read it first."""
    first, second = site.file("first", "one\n"), site.file("second", "two\n")
    flags = shlex.join(["run", "--capability-elevation", "--", "/bin/cat"])
    other = f"{NONO} {flags} {second} </dev/null >{site.base}/other 2>&1"
    program = f"({other}) & trap wait EXIT; {NONO}"
    terminal = Terminal(site, "--", "/bin/cat", str(first), program=program)
    asked = {}
    for answer in ("y", "n"):
        _, path = terminal.asked(None)
        asked[path] = answer
        # The other one waits, however long this one takes.
        assert terminal.child.expect([r"\S", pexpect.TIMEOUT], timeout=1.5) == 1
        terminal.child.sendline(answer)
    terminal.ended()
    said = {subject: verdict for each in site.records() for verdict, _, subject in decisions(each)}
    verdicts = {"y": "granted", "n": "denied"}
    assert said == {b"read " + os.fsencode(path): verdicts[answer] for path, answer in asked.items()}
    assert asked.keys() == {str(first), str(second)}


@pytest.mark.parametrize("answer", ["n", "", "yess", "ja", "y y", "\x04"])
def test_everything_but_yes_is_a_refusal(site: Site, answer: str) -> None:
    terminal = Terminal(site, "--", "/bin/cat", str(site.file("first", "one\n")), program=HASTY)
    terminal.asked(None)
    terminal.child.send(answer if answer == "\x04" else answer + "\n")
    assert terminal.ended().status == 1
    assert [verdict for verdict, _, _ in decisions(site.record())] == ["denied"]


def test_no_answer_is_a_refusal(site: Site) -> None:
    patched = (
        "from runtime.broker import approver\n"
        "approver.TerminalApprover.__init__.__kwdefaults__['seconds'] = 0.5\n"
        "from runtime.cli import main\n"
        "import sys\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    program = shlex.join(["exec", os.path.join(os.path.dirname(NONO), "python"), "-I", "-c", patched])
    first = site.file("first", "one\n")
    terminal = Terminal(site, "--", "/bin/cat", str(first), program=program)
    terminal.asked(None)
    assert terminal.ended().status == 1
    assert decisions(site.record()) == [("denied", "time-out", b"read " + os.fsencode(first))]


def test_a_terminal_that_is_closed_answers_nothing(site: Site) -> None:
    """The terminal's end is a hang-up for nono, which hands it on: the command ends, with what it asked."""
    terminal = Terminal(site, "--", "/bin/cat", str(site.file("first", "one\n")), program=HASTY)
    terminal.asked(None)
    hang_up(terminal.child)
    wait_for(lambda: site.record().kinds[-1] == "launch.attestation", "the record is closed")
    assert site.record().outcome.get("exit") != 0
    assert "granted" not in [verdict for verdict, _, _ in decisions(site.record())]


def test_a_flood_of_questions_is_asked_in_part_and_counted(site: Site) -> None:
    place = site.project / "many"
    place.mkdir()
    for number in range(1_000):
        (place / str(number)).touch()
    script = (
        "import os, sys\n"
        "refused = 0\n"
        "for _ in range(5):\n"
        "    for number in range(1000):\n"
        "        try: os.open(f'{sys.argv[1]}/{number}', os.O_RDONLY)\n"
        "        except PermissionError: refused += 1\n"
        "print(refused)\n"
    )
    terminal = Terminal(
        site,
        "--block-net",
        *site.python_grants(),
        "--",
        PYTHON,
        "-I",
        "-c",
        script,
        str(place),
        program=HASTY,
    )
    for _ in range(MAX_QUESTIONS):
        terminal.asked("n")
    ended = terminal.ended()
    assert (ended.status, ended.stdout) == (0, b"5000\n"), ended.stderr
    record = site.record()
    said = decisions(record)
    assert len(said) == MAX_RECORDED
    assert [by for _, by, _ in said].count("person") == MAX_QUESTIONS
    assert record.outcome["counts"]["decisions_dropped"] == 5_000 - MAX_RECORDED
    assert site.verify().status == 0


def test_a_path_too_long_to_be_recorded_is_not_offered(site: Site) -> None:
    deep = site.project
    for _ in range(5):
        deep /= "x" * 200
        deep.mkdir()
    (deep / "file").write_text("deep")
    terminal = Terminal(site, "--", "/bin/cat", str(deep / "file"))
    assert terminal.ended().status == 1
    record = site.record()
    assert decisions(record) == []
    assert record.outcome["counts"]["decisions_dropped"] == 1


# --- where nobody can be asked -----------------------------------------------------------------------


def refused(site: Site, ended: Ended, code: str, *said: str) -> None:
    assert ended.status == 125, ended.stderr
    assert all(text in ended.stderr for text in said), ended.stderr
    assert site.record().outcome["not_started"]["code"] == code


def test_without_a_terminal(site: Site) -> None:
    ended = site.run("--capability-elevation", "--", "/bin/true", preexec=os.setsid)
    refused(site, ended, "elevation.terminal", "there is no terminal to ask on", "run nono from a terminal")


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_where_the_command_has_the_terminal(site: Site, stream: int) -> None:
    streams = [f"<{os.devnull}", f">{site.base}/out", f"2>{site.base}/err"]
    streams[stream] = ""
    terminal = Terminal(site, "--", "/bin/true", streams=" ".join(streams) or " ")
    terminal.child.expect(pexpect.EOF)
    terminal.child.close()
    assert terminal.child.exitstatus == 125
    said = terminal.child.before or ""
    if stream != 2:
        said = (site.base / "err").read_text()
    assert "the command shares the terminal: it could answer for you" in said
    assert site.record().outcome["not_started"]["code"] == "elevation.terminal"


def test_where_a_grant_reaches_the_terminal(site: Site) -> None:
    found = f"exec 8<>/dev/pts/$(ps -o tty= -p $$ | tr -dc 0-9); exec {NONO}"
    terminal = Terminal(site, "--read-file", "/proc/self/fd/8", "--", "/bin/true", program=found)
    ended = terminal.ended()
    refused(site, ended, "elevation.terminal", "a grant reaches the terminal", "grant less of /dev")


def test_the_command_has_no_terminal(site: Site) -> None:
    """Neither the one that is asked on, nor a way to take it."""
    script = (
        "import fcntl, glob, os, termios\n"
        "for path in ['/dev/tty', '/dev/console', *(f'/dev/pts/{n}' for n in range(64))]:\n"
        "    try: os.open(path, os.O_RDWR)\n"
        "    except OSError: continue\n"
        "    print('opened', path)\n"
        "print(os.getsid(0) == os.getpid(), flush=True)\n"
    )
    terminal = Terminal(site, "--block-net", *site.python_grants(), "--", PYTHON, "-I", "-c", script)
    ended = terminal.ended()
    assert (ended.status, ended.stdout) == (0, b"True\n"), ended.stderr
    assert decisions(site.record()) == []


def test_within_another_launch(site: Site) -> None:
    """A launch around it without a terminal of its own; that one's filter lets nobody else listen."""
    venv = os.path.dirname(os.path.dirname(NONO))
    inner = f"exec {NONO} run --no-audit --capability-elevation -- /bin/true </dev/null 2>$TMPDIR/e >&2"
    script = (
        "export HOME=$TMPDIR; unset XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME;"
        f" ({inner}); status=$?; cat $TMPDIR/e; exit $status"
    )
    flags = ("--read", venv, "--allow-file", "/dev/null", *site.python_grants(), "--protect-metadata")
    child: pexpect.spawn[str] = pexpect.spawn(
        str(NONO), ["run", *flags, "--", "/bin/sh", "-c", script],
        env=site.environment, cwd=str(site.project), timeout=60, encoding="utf-8", use_poll=True,
    )  # fmt: skip
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 125, child.before
    session = site.records()[-1].session
    assert "cannot run inside of another" in (child.before or "")
    assert f"launch {session} around it" in (child.before or "").replace("\r\n", "")


@pytest.mark.skipif(not IS_ROOT, reason="only root binds a file over /proc/version")
def test_under_wsl(site: Site) -> None:
    ended = on_wsl(site, NONO, "run", "--capability-elevation", "--", "/bin/true")
    assert ended.status == 125
    assert "files cannot be asked for under WSL" in ended.stderr


def test_beside_a_manifest(site: Site) -> None:
    config = site.file("manifest.json", '{"files": [], "network": {"mode": "blocked"}}')
    ended = site.run("--capability-elevation", "--config", config, "--", "/bin/true")
    assert ended.status == 125
    assert "--capability-elevation would add to it" in ended.stderr


def test_a_dry_run_tries_it(site: Site) -> None:
    ended = site.run("--capability-elevation", "--dry-run", "--", "/bin/true")
    assert ended.status == 0, ended.stderr


def test_a_monitor_that_is_lost_ends_the_command(site: Site) -> None:
    terminal = Terminal(site, "--", "/bin/cat", str(site.file("first", "one\n")), program=HASTY)
    terminal.asked(None)
    (monitor,) = children(terminal.child.pid)
    os.kill(monitor, signal.SIGKILL)
    ended = terminal.ended()
    # Its call fails when the listener is gone, and it is killed: it may end by the one before the other.
    assert ended.status in (1, 128 + signal.SIGKILL)
    assert ended.stdout == b""
    assert site.verify().status == 0


def children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


def test_ctrl_c_while_somebody_thinks_reaches_the_command(site: Site) -> None:
    terminal = Terminal(site, "--", "/bin/cat", str(site.file("first", "one\n")), program=HASTY)
    terminal.asked(None)
    terminal.child.sendcontrol("c")
    assert terminal.ended().status == 128 + signal.SIGINT
    assert decisions(site.record()) == []


def test_from_python(site: Site) -> None:
    first = site.file("first", "one\n")
    script = shlex.quote(
        "import sys\nfrom runtime import launch\n"
        "print(launch(['/bin/cat', sys.argv[1]], capability_elevation=True).exit)\n"
    )
    python = os.path.join(os.path.dirname(NONO), "python")
    out = site.base / "out"
    child: pexpect.spawn[str] = pexpect.spawn(
        "/bin/sh", ["-c", f"exec 9<>/dev/tty; exec {python} -I -c {script} {first} </dev/null >{out} 2>&1"],
        env=site.environment, cwd=str(site.project), timeout=60, encoding="utf-8", use_poll=True,
    )  # fmt: skip
    assert child.expect([ASKED, pexpect.EOF]) == 0, out.read_text()
    child.sendline("y")
    child.expect(pexpect.EOF)
    child.close()
    assert out.read_text() == "one\n0\n"


def test_a_profile_asks_for_it(site: Site) -> None:
    first = site.file("first", "one\n")
    profile = site.profile(security={"capability_elevation": True, "protect_metadata": True})
    terminal = Terminal(
        site, "-p", str(profile), "--", "/bin/sh", "-c", f"cat {first}; chmod 600 {first}; exit 0", asks=False
    )
    assert terminal.asked("y") == ("read", str(first))
    assert terminal.ended().stdout == b"one\n"
    record = site.record()
    assert record.intent["capability_elevation"] is True
    assert record.start["enforcement"]["achieved"]["metadata"] is True
    assert [verdict for verdict, _, _ in decisions(record)] == ["granted", "denied"]
    shown = site.nono("profile", "show", str(profile)).stdout.decode()
    assert "a person is asked about files that no grant covers" in shown
    plain = site.base / "plain.json"
    plain.write_text("{}")
    differing = site.nono("profile", "diff", str(plain), str(profile))
    assert "metadata of files changes only where the grants allow writing" in differing.stdout.decode()
    site.tidy = False  # the index


def test_why_says_that_a_person_is_asked(site: Site) -> None:
    first, made = site.file("first", "one\n"), site.project / "made"
    profile = site.profile(security={"capability_elevation": True})
    note = b"note     a person is asked when it is opened"
    for path, more, asked in (
        (first, (), True),
        (first, ("--op", "write"), True),
        (made, ("--op", "write"), True),
        (made, (), False),
        (first, ("--op", "execute"), False),
        (site.project, (), True),
        (site.project, ("--op", "write"), False),
        ("/dev/ptmx", (), False),
        (site.state / "nono", (), False),
    ):
        said = site.nono("why", "-p", profile, "--path", path, *more)
        assert said.status == 1, said.stdout
        assert (note in said.stdout) is asked, (path, more, said.stdout)
        assert note not in site.nono("why", "--path", path, *more).stdout
    own = ("--read", sys.prefix, *site.python_grants())
    terminal = Terminal(site, *own, "--", str(NONO), "why", "--self", "--path", str(made), "--op", "write",
                        program=HASTY)  # fmt: skip
    while not terminal.child.expect([NOW, pexpect.EOF]):  # it looks at what is protected, and asks to
        terminal.child.sendline("n")
    assert note in terminal.out.read_bytes()


def test_metadata_and_elevation_together(site: Site) -> None:
    first = site.file("first", "one\n")
    script = f"cat {first}; chmod 600 {first}; exec 3>>{first}; cat /proc/self/fd/3 >/dev/null; exit 0"
    terminal = Terminal(site, "--protect-metadata", "--", "/bin/sh", "-c", script, program=HASTY)
    assert terminal.asked("y") == ("read", str(first))
    assert terminal.asked("y") == ("write", str(first))
    assert terminal.ended().status == 0
    said = decisions(site.record())
    assert ("denied", "policy", b"chmod " + os.fsencode(first)) in said
    assert first.stat().st_mode & 0o777 == 0o644
