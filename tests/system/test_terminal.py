"""The command's own terminal: what it is, what the user's becomes meanwhile, and how that is given back.

Each test holds the other side of the user's terminal, and types.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import shutil
import signal
import sys
import termios
import time
from typing import TYPE_CHECKING, Any

import pexpect
import pytest

from tests.system.conftest import IS_ROOT, NONO, PYTHON, TIMEOUT_SECONDS, is_alive, missing, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.system.conftest import Argument, Site

PROMPT = "PROMPT> "
CTRL_C, CTRL_D, CTRL_Z, CTRL_BACKSLASH = "\x03", "\x04", "\x1a", "\x1c"
TIOCGPTN = 0x80045430  # asm-generic/ioctls.h
FOR_EVER = "while :; do sleep 0.02; done"


def path_of(terminal: Any) -> str:
    """Return the path of the user's terminal."""
    number = fcntl.ioctl(terminal.child_fd, TIOCGPTN, b"\0" * 4)
    return f"/dev/pts/{int.from_bytes(number, sys.byteorder)}"


def modes(terminal: Any) -> list[Any]:
    """Return the modes of the user's terminal, speeds left out."""
    found = termios.tcgetattr(terminal.child_fd)
    return [*found[:4], found[6]]


def is_raw(terminal: Any) -> bool:
    return not modes(terminal)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)


def _heed_keys() -> None:
    """Undo what a shell does to what it starts in the background, the tests perhaps."""
    for number in (signal.SIGINT, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


class Terminals:
    """Terminals that a test holds the other side of."""

    program = str(NONO)

    def __init__(self, site: Site) -> None:
        self.site = site
        self.held: list[Any] = []

    def spawn(self, program: str, *arguments: Argument, **options: Any) -> Any:
        """Start a program on a terminal of its own."""
        terminal = pexpect.spawn(
            program,
            [os.fsdecode(argument) for argument in arguments],
            env={**self.site.environment, "PS1": PROMPT, "TERM": "dumb"},
            cwd=str(self.site.project),
            timeout=TIMEOUT_SECONDS,
            use_poll=True,  # whoever runs the tests may have many files open
            preexec_fn=_heed_keys,
            **options,
        )
        self.held.append(terminal)
        return terminal

    def run(self, script: str, *flags: Argument, **options: Any) -> Any:
        """Start a shell script in the sandbox, which may write to the project."""
        allow = ("--allow", self.site.project)
        return self.nono("run", *allow, *flags, "--", "/bin/sh", "-c", script, **options)

    def nono(self, *arguments: Argument, **options: Any) -> Any:
        """Start nono."""
        return self.spawn(self.program, *arguments, **options)

    def shell(self) -> Any:
        """Start a shell with job control, as users have one."""
        bash = shutil.which("bash")
        if bash is None:
            missing("there is no bash")
        terminal = self.spawn(bash, "--norc", "--noprofile", "--noediting", "-i")
        terminal.expect_exact(PROMPT)
        return terminal

    def close(self) -> None:
        for terminal in self.held:
            with contextlib.suppress(OSError, pexpect.ExceptionPexpect):
                terminal.close(force=True)


@pytest.fixture
def terminals(site: Site) -> Iterator[Terminals]:
    held = Terminals(site)
    yield held
    held.close()


def ended(terminal: Any) -> tuple[bytes, int]:
    """Wait until what runs on it ends; return what it wrote to there, and its exit code."""
    terminal.expect(pexpect.EOF)
    said = terminal.before
    terminal.wait()  # else closing would end it, where it takes its time to be gone
    terminal.close()
    return said, terminal.exitstatus


def hang_up(terminal: Any) -> None:
    """Close the other side of the terminal, and nothing else.

    What pexpect's own ``close`` does besides is another test: it sends signals of its own a moment later, and
    is at odds with whoever needs longer than that to end.
    """
    terminal.ptyproc.fileobj.close()


def test_a_group_of_the_caller_with_a_stopped_process_is_not_hung_up_on(terminals: Terminals) -> None:
    """The end of the command must not be what makes an orphan of the caller's process group."""
    script = (
        "sleep 600 & stopped=$!; kill -STOP $stopped;"
        ' "$0" run --no-pty -- /bin/true; echo "came to $?"; kill -KILL $stopped'
    )
    caller = terminals.spawn("/bin/sh", "-c", script, NONO)
    caller.expect_exact("came to 0")
    assert ended(caller)[1] == 0


def is_recorded(site: Site) -> bool:
    """Return whether the only launch has its attestation."""
    return any(
        "launch.attestation" in record.kinds for path in site.ledgers() for record in site.records(path)
    )


def command_pid(site: Site) -> int:
    """Return the pid that a script has written."""
    path = site.project / "pid"
    wait_for(lambda: path.exists() and path.read_text().endswith("\n"), "the pid of the command")
    return int(path.read_text())


# --- what it is ----------------------------------------------------------------------------------


def test_the_command_has_a_terminal_of_its_own(terminals: Terminals) -> None:
    terminal = terminals.run(
        "tty; stty size; test -t 0 && test -t 1 && test -t 2 && echo all; echo there > /dev/tty;"
        " echo $(tty) > own; readlink /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2; exit 3",
        dimensions=(33, 77),
    )
    users = path_of(terminal)
    said, status = ended(terminal)
    assert status == 3
    own = (terminals.site.project / "own").read_text().strip()
    assert re.fullmatch(r"/dev/pts/[0-9]+", own)
    assert own != users
    lines = said.decode().splitlines()
    assert [own, "33 77", "all", "there", own, own, own] == [
        line for line in lines if not line.startswith("nono: ") and line
    ]
    granted = terminals.site.record().files()
    assert own.encode() in granted
    assert users.encode() not in granted


def test_the_users_terminal_cannot_be_opened(terminals: Terminals) -> None:
    """And it can be where it is shared: the same script, which writes there."""
    script = '(echo reached > "$1") 2>/dev/null || echo refused'
    for flags, expected in ((("--no-pty",), b"reached"), ((), b"refused")):
        terminal = terminals.spawn(
            "/bin/sh", "-c", 'nono="$1"; shift; exec "$nono" run "$@" "$(tty)"', "sh", NONO,
            *flags, "--", "/bin/sh", "-c", script, "sh",
        )  # fmt: skip
        said, status = ended(terminal)
        assert status == 0
        assert expected in said.splitlines()


def test_it_is_shared_when_asked(terminals: Terminals) -> None:
    terminal = terminals.run("tty", "--no-pty")
    users = path_of(terminal)
    said, status = ended(terminal)
    assert (status, users.encode() in said.splitlines()) == (0, True)


@pytest.mark.parametrize("redirection", ["2>err", "</dev/null", ">out"])
def test_it_is_shared_where_a_stream_is_something_else(terminals: Terminals, redirection: str) -> None:
    script = f'exec "$0" run --allow . -- /bin/sh -c "test -t 0 || test -t 1" {redirection}'
    terminal = terminals.spawn("/bin/sh", "-c", script, NONO)
    users = path_of(terminal).encode()
    _, status = ended(terminal)
    assert status == 0
    granted = [path for path in terminals.site.record().files() if path.startswith(b"/dev/pts/")]
    assert granted == [users]


def test_all_that_is_written_comes_and_before_what_nono_says(terminals: Terminals) -> None:
    terminal = terminals.run("seq 1 60000; echo last")
    said, status = ended(terminal)
    assert status == 0
    lines = said.decode().splitlines()
    numbers = [line for line in lines if line.isdigit()]
    assert numbers == [str(number) for number in range(1, 60_001)]
    assert lines.index("last") < next(i for i, line in enumerate(lines) if "recorded launch" in line)


def test_what_is_written_comes_as_it_is(terminals: Terminals) -> None:
    """Bytes of every value, from a command that has made its terminal raw."""
    data = os.urandom(300_000)
    terminals.site.file("data", data)
    terminal = terminals.run("stty raw; printf begin:; cat data; printf :end")
    terminal.expect_exact("begin:")
    terminal.expect_exact(":end")
    assert terminal.before == data
    assert ended(terminal)[1] == 0


def test_what_is_left_when_it_has_ended_comes_as_it_is(terminals: Terminals) -> None:
    """Though the terminal, which has shown nothing until then, is the user's again."""
    site = terminals.site
    data = bytes(range(256)) * 8_000
    site.file("data", data)
    terminal = terminals.run("stty raw; printf begin:; exec cat data", "--timeout", "3s")
    wait_for(lambda: is_recorded(site), "the end of the record")
    terminal.expect_exact("begin:")
    terminal.expect_exact("nono: the command was ended")
    assert len(terminal.before) > 4_096
    assert terminal.before == data[: len(terminal.before)]
    assert ended_keeping(terminal) == 143
    assert modes(terminal) == FRESH


def test_it_is_shared_where_it_cannot_be_opened_anew(terminals: Terminals) -> None:
    """As after su(1): it is another user's, here nobody's; root opens it all the same."""
    script = f'chmod 0 "$(tty)"; exec {NONO} run -- /bin/sh -c tty'
    terminal = terminals.spawn("/bin/sh", "-c", script)
    users = path_of(terminal)
    said, status = ended(terminal)
    assert status == 0
    shares = b"the command shares the terminal: none can be made for it: permission denied" in said
    assert shares is not IS_ROOT
    assert (users.encode() in said.splitlines()) is shares


def test_all_that_is_typed_comes(terminals: Terminals) -> None:
    """More than anything on the way holds at once, to a command that takes its time."""
    terminal = terminals.run(
        "stty -echo; echo ready; sleep 0.3; while read -r line; do echo $line; done > lines; echo ok"
    )
    terminal.expect_exact("ready")
    typed = [f"line-{number}" + "x" * 60 for number in range(3_000)]
    for start in range(0, len(typed), 100):
        terminal.send("\n".join(typed[start : start + 100]) + "\n")
    terminal.send(CTRL_D)
    terminal.expect_exact("ok")
    assert ended(terminal)[1] == 0
    assert (terminals.site.project / "lines").read_text().split() == typed


def test_keys_are_signals_of_the_command(terminals: Terminals) -> None:
    for key, number in ((CTRL_C, signal.SIGINT), (CTRL_BACKSLASH, signal.SIGQUIT)):
        terminal = terminals.run(f"echo ready; {FOR_EVER}")
        terminal.expect_exact("ready")
        terminal.send(key)
        assert ended(terminal)[1] == 128 + number
        assert terminals.site.record().outcome["signal"] == number


def test_a_raw_command_gets_keys_as_they_are(terminals: Terminals) -> None:
    terminal = terminals.run("stty raw -echo; echo ready; head -c 3 > keys; stty sane; exit 5")
    terminal.expect_exact("ready")
    terminal.send(CTRL_C + CTRL_Z + CTRL_D)
    assert ended(terminal)[1] == 5
    assert (terminals.site.project / "keys").read_bytes() == b"\x03\x1a\x04"


# --- sizes ---------------------------------------------------------------------------------------


def test_the_size_follows(terminals: Terminals) -> None:
    terminal = terminals.run(
        f"trap 'stty size' WINCH; stty size; echo ready; {FOR_EVER}", dimensions=(24, 80)
    )
    terminal.expect_exact("24 80")
    terminal.expect_exact("ready")
    for rows, columns in ((40, 100), (1, 1), (0, 0), (65535, 65535)):
        terminal.setwinsize(rows, columns)
        terminal.expect_exact(f"{rows} {columns}\r\n")
    terminal.send(CTRL_C)
    assert ended(terminal)[1] == 130


# --- given back on every way out -----------------------------------------------------------------


def _kill_command(terminal: Any, site: Site) -> None:
    os.kill(command_pid(site), signal.SIGKILL)


def _kill_monitor(terminal: Any, site: Site) -> None:
    (monitor,) = _children(terminal.pid)
    os.kill(monitor, signal.SIGKILL)


def _kill_nono(terminal: Any, site: Site) -> None:
    site.tidy = False
    os.kill(terminal.pid, signal.SIGKILL)


def _terminate_nono(terminal: Any, site: Site) -> None:
    os.kill(terminal.pid, signal.SIGTERM)


def _type_ctrl_c(terminal: Any, site: Site) -> None:
    terminal.send(CTRL_C)


def _let_it_exit(terminal: Any, site: Site) -> None:
    (site.project / "go").touch()


WAYS: dict[str, tuple[Callable[[Any, Any], None], tuple[int, ...]]] = {
    "exit": (_let_it_exit, (7,)),
    "key": (_type_ctrl_c, (130,)),
    "command killed": (_kill_command, (137,)),
    # The end of the session's leader is a hang-up, which may reach the command before nono's own signal.
    "monitor killed": (_kill_monitor, (129, 137)),
    "nono terminated": (_terminate_nono, (143,)),
    "nono killed": (_kill_nono, ()),
}


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as file:
        return [int(child) for child in file.read().split()]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", ["cooked", "raw"])
def test_the_terminal_is_given_back(terminals: Terminals, way: str, mode: str) -> None:
    """Whatever the command did to its own terminal; the user's is raw before, so that is seen."""
    out, status = WAYS[way]
    prepare = "stty raw -echo isig; printf '\\033[?1049h';" if mode == "raw" else ""
    terminal = terminals.run(
        f"{prepare} echo $$ > pid; echo ready; while [ ! -e go ]; do sleep 0.02; done; exit 7"
    )
    terminal.expect_exact("ready")
    wait_for(lambda: is_raw(terminal), "the terminal is raw")
    out(terminal, terminals.site)
    if not status:
        wait_for(lambda: not terminals.site.processes(), "all of it is gone")
        terminals.site.verdict = 3  # a launch that was not finished
    else:
        assert ended_keeping(terminal) in status
    assert not is_raw(terminal)
    assert modes(terminal) == FRESH


def ended_keeping(terminal: Any) -> int:
    """Wait until what runs there has ended, and keep the terminal."""
    terminal.expect(pexpect.EOF)
    terminal.wait()
    return int(terminal.exitstatus)


def _fresh_modes() -> list[Any]:
    leader, follower = pty.openpty()
    try:
        found = termios.tcgetattr(follower)
        return [*found[:4], found[6]]
    finally:
        os.close(leader)
        os.close(follower)


FRESH = _fresh_modes()


def test_it_was_never_taken_where_nothing_ran(terminals: Terminals) -> None:
    for command, status in (("/no/such/file", 127), ("/etc/passwd", 126)):
        terminal = terminals.spawn(str(NONO), "run", "--", command)
        assert ended_keeping(terminal) == status
        assert modes(terminal) == FRESH


TRACED = pytest.mark.parametrize("traced", [(), ("--trace-exec",)], ids=["", "traced"])
"""Who traces the command sees its stops in another way."""


# --- job control ---------------------------------------------------------------------------------


@pytest.fixture
def job(terminals: Terminals) -> Any:
    return terminals.shell()


def start(job: Any, script: str, *flags: str, behind: str = "") -> None:
    flags = ("-s", "--allow", ".", *flags)
    job.sendline(f"{NONO} run {' '.join(flags)} -- /bin/sh -c '{script}' {behind}")


def is_past_its_fork(terminal: Any) -> None:
    """Wait until the ``cat`` of a shell runs.

    A shell whose child is stopped between vfork and exec waits for that, and does not stop.
    """
    terminal.sendline("there")
    terminal.expect_exact("there\r\nthere\r\n")


def exit_code(job: Any) -> int:
    job.sendline('echo "code=$?"')
    job.expect(r"code=([0-9]+)\r\n")
    code = int(job.match.group(1))
    job.expect_exact(PROMPT)
    return code


@TRACED
def test_a_key_stops_the_job_and_it_goes_on_in_front(
    job: Any, terminals: Terminals, traced: tuple[str, ...]
) -> None:
    before = modes(job)
    start(job, "echo ready; cat; exit 5", *traced)
    job.expect_exact("ready\r\n")
    for number in range(3):
        job.sendline(f"hello-{number}")
        job.expect_exact(f"hello-{number}\r\nhello-{number}\r\n")
        job.send(CTRL_Z)
        job.expect_exact("Stopped")
        job.expect_exact(PROMPT)
        assert modes(job) == before
        job.sendline("fg")
        job.expect_exact("run -s")
        wait_for(lambda: is_raw(job), "the terminal is raw again")
    job.sendline("last")
    job.expect_exact("last\r\nlast\r\n")
    job.send(CTRL_D)
    job.expect_exact(PROMPT)
    assert exit_code(job) == 5
    assert modes(job) == before
    assert terminals.site.record().outcome["exit"] == 5


@TRACED
@pytest.mark.parametrize("number", ["TSTP", "STOP", "TTIN"])
def test_a_command_that_stops_itself_stops_the_job(job: Any, number: str, traced: tuple[str, ...]) -> None:
    start(job, f"echo ready; kill -{number} $$; echo again; exit 6", *traced)
    job.expect_exact("ready\r\n")
    job.expect_exact("Stopped")
    job.expect_exact(PROMPT)
    job.sendline("fg")
    job.expect_exact("again\r\n")
    job.expect_exact(PROMPT)
    assert exit_code(job) == 6


def test_a_job_that_is_sent_a_stop_stops(job: Any) -> None:
    start(job, "echo ready; cat; exit 6")
    job.expect_exact("ready\r\n")
    is_past_its_fork(job)
    (nono,) = _children(job.pid)
    os.kill(nono, signal.SIGTSTP)
    job.expect_exact("Stopped")
    job.expect_exact(PROMPT)
    assert not is_raw(job)
    job.sendline("fg")
    job.expect_exact("run -s")
    wait_for(lambda: is_raw(job), "the terminal is raw again")
    job.sendline("hello")
    job.expect_exact("hello\r\nhello\r\n")
    job.send(CTRL_D)
    job.expect_exact(PROMPT)
    assert exit_code(job) == 6


def test_it_goes_on_in_the_background(job: Any, terminals: Terminals) -> None:
    start(job, "echo ready; read line; kill -TSTP $$; echo in-the-background; echo > there; exit 7")
    job.expect_exact("ready\r\n")
    job.sendline("go")
    job.expect_exact("Stopped")
    job.expect_exact(PROMPT)
    job.sendline("bg")
    job.expect_exact("in-the-background\r")
    wait_for((terminals.site.project / "there").exists, "the command's end")
    job.sendline("wait %1; echo code=$?")
    job.expect_exact("code=7\r\n")
    job.expect_exact(PROMPT)
    assert not is_raw(job)


def test_what_begins_in_the_background_has_no_keys_until_it_is_in_front(
    job: Any, terminals: Terminals
) -> None:
    start(job, "echo ready; read line; echo got-$line; exit 8", behind="&")
    either = ["ready\r", PROMPT]  # the shell's prompt and what it started, in whichever order they come
    either.pop(job.expect_exact(either))
    job.expect_exact(either)
    assert not is_raw(job)
    job.sendline("echo for-the-shell")
    job.expect_exact("for-the-shell\r\nfor-the-shell\r\n")
    job.expect_exact(PROMPT)
    job.sendline("fg")
    job.expect_exact("run -s")
    wait_for(lambda: is_raw(job), "the terminal is raw")
    job.sendline("typed")
    job.expect_exact("got-typed\r\n")
    job.expect_exact(PROMPT)
    assert exit_code(job) == 8


def test_a_terminal_that_stops_who_writes_in_the_background_stops_it(job: Any) -> None:
    job.sendline("stty tostop")
    job.expect_exact(PROMPT)
    start(job, "sleep 0.2; echo written; exit 9", behind="&")
    job.expect_exact(PROMPT)
    job.sendline('while [ -z "$(jobs -s)" ]; do sleep 0.02; done; echo it-is""-stopped')
    job.expect_exact("it-is-stopped\r\n")
    job.expect_exact(PROMPT)
    assert b"written\r\n" not in job.before
    job.sendline("fg")
    job.expect_exact("written\r\n")
    job.expect_exact(PROMPT)
    assert exit_code(job) == 9


def test_how_a_stopped_command_ended_is_recorded_before_anybody_comes_back(
    job: Any, terminals: Terminals
) -> None:
    """The job is stopped, and what it launched is killed."""
    site = terminals.site
    start(job, "echo $$ > pid; echo ready; exec sleep 600")
    pid = command_pid(site)
    job.expect_exact("ready\r\n")
    job.send(CTRL_Z)
    job.expect_exact("Stopped")
    job.expect_exact(PROMPT)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: is_recorded(site), "the end of the record")
    assert site.record().outcome["signal"] == signal.SIGKILL
    job.sendline("wait %1; echo code=$?")
    job.expect_exact("code=137\r\n")


def test_what_is_refused_to_the_rest_does_not_continue_a_stopped_job(job: Any, terminals: Terminals) -> None:
    """What the monitor says of it waits."""
    site = terminals.site
    site.file("script.py", """if True:
        import os, signal, socket, time
        if os.fork():
            os.kill(os.getpid(), signal.SIGSTOP)
            os._exit(3)
        time.sleep(0.3)
        for port in range(5101, 5120):
            listening = socket.socket()
            try:
                listening.bind(("127.0.0.1", port)); listening.listen()
            except OSError:
                pass
        open("tried", "w").close()
        time.sleep(600)
    """)  # fmt: skip
    flags = " ".join((*site.python_grants(), "--listen-port", "5100", "--allow", "."))
    job.sendline(f"{NONO} run -s {flags} -- {PYTHON} -I script.py")
    job.expect_exact("Stopped")
    (nono,) = _children(job.pid)
    wait_for((site.project / "tried").exists, "what is refused")
    time.sleep(0.5)  # for what must not happen
    assert _state(nono) == "T"
    job.sendline("fg")
    job.expect_exact("run -s")
    job.expect_exact(PROMPT)
    assert exit_code(job) == 3
    assert len([kind for kind in site.record().kinds if kind == "decision"]) > 0


def test_a_time_out_ends_what_is_stopped(job: Any, terminals: Terminals) -> None:
    site = terminals.site
    start(job, "echo ready; kill -STOP $$", "--timeout", "2s", "--timeout-grace", "1s")
    job.expect_exact("Stopped")
    wait_for(lambda: is_recorded(site), "the end of the record")
    assert site.record().outcome["ended_by"] == "time-out"
    job.expect_exact(PROMPT)


def _state(pid: int) -> str:
    with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()[0]


def test_where_nobody_could_continue_it_a_key_does_not_stop_it(terminals: Terminals) -> None:
    """nono leads its session here, as in a container."""
    terminal = terminals.run("echo ready; cat; exit 4")
    terminal.expect_exact("ready\r\n")
    is_past_its_fork(terminal)
    terminal.send(CTRL_Z)
    terminal.sendline("hello")
    terminal.expect_exact("hello\r\nhello\r\n")
    terminal.send(CTRL_D)
    assert ended(terminal)[1] == 4


def test_nono_that_was_stopped_without_notice_takes_the_terminal_again(
    job: Any, terminals: Terminals
) -> None:
    start(job, "echo $$ > pid; echo ready; cat; exit 6")
    job.expect_exact("ready\r\n")
    wait_for(lambda: is_raw(job), "the terminal is raw")
    (nono,) = _children(job.pid)
    os.kill(nono, signal.SIGSTOP)
    job.expect_exact("Stopped")
    job.expect_exact(PROMPT)
    job.sendline("fg")
    job.expect_exact("run -s")
    wait_for(lambda: is_raw(job), "the terminal is raw again")
    job.sendline("hello")
    job.expect_exact("hello\r\nhello\r\n")
    job.send(CTRL_D)
    job.expect_exact(PROMPT)
    assert exit_code(job) == 6


# --- attacked ------------------------------------------------------------------------------------


def test_a_flood_to_a_terminal_that_shows_nothing_does_not_keep_the_record_open(terminals: Terminals) -> None:
    """Nothing is read on the other side, so nono cannot say anything there either until something is."""
    site = terminals.site
    terminal = terminals.run("echo ready; exec yes", "--timeout", "1s", "--timeout-grace", "1s")
    wait_for(lambda: is_recorded(site), "the end of the record")
    assert site.record().outcome["ended_by"] == "time-out"
    assert is_alive(terminal.pid)
    assert not is_raw(terminal)
    os.kill(terminal.pid, signal.SIGINT)
    said, status = ended(terminal)
    assert status == 143
    assert b"recorded launch" in said


def test_a_command_that_closes_its_terminal_goes_on_without(terminals: Terminals) -> None:
    terminal = terminals.run("exec < /dev/null > /dev/null 2>&1; sleep 0.5; echo back > /dev/tty; exit 3")
    terminal.expect_exact("back\r\n")
    assert ended(terminal)[1] == 3


def test_what_keeps_it_open_is_ended_with_the_command(terminals: Terminals) -> None:
    script = (
        "(setsid sh -c 'trap \"\" HUP TERM; while :; do echo flood; done' &)\n"
        "(trap '' HUP TERM; exec setsid sleep 600) & sleep 0.3; exit 3"
    )
    terminal = terminals.run(script)
    assert ended(terminal)[1] == 3
    assert terminals.site.record().outcome["counts"]["survivors_left"] == 0
    assert terminals.site.processes() == []


@TRACED
def test_a_command_that_stops_and_goes_on_without_end_ends(
    terminals: Terminals, job: Any, traced: tuple[str, ...]
) -> None:
    """It stops the job once, and cannot fill the way to a nono that is stopped."""
    site = terminals.site
    script = f"echo ready; (while :; do kill -STOP $$; kill -CONT $$; done) & {FOR_EVER}"
    start(job, script, "--timeout", "2s", "--timeout-grace", "200ms", *traced)
    job.expect_exact("Stopped")
    wait_for(lambda: is_recorded(site), "the end of the record")
    assert site.record().outcome["ended_by"] == "time-out"


@pytest.mark.parametrize("stubborn", [False, True])
def test_a_terminal_that_vanishes_takes_the_command_along(terminals: Terminals, stubborn: bool) -> None:
    """Or, where it does not heed that, its terminal: what it reads has an end."""
    site = terminals.site
    trap = "trap '' HUP; " if stubborn else ""
    terminal = terminals.run(f"{trap}echo ready; cat; echo $? > there; exit 4")
    terminal.expect_exact("ready\r\n")
    hang_up(terminal)
    wait_for(lambda: is_recorded(site), "the end of the record")
    outcome = site.record().outcome
    if stubborn:
        assert outcome["exit"] == 4
    else:
        assert outcome["signal"] == signal.SIGHUP
    wait_for(lambda: not site.processes(), "all of it is gone")


def test_inside_of_a_launch_the_outer_ones_is_shared_and_that_is_said(terminals: Terminals) -> None:
    site = terminals.site
    reads = [flag for path in (NONO.parents[1], *site.python_grants()[1:]) for flag in ("--read", str(path))]
    inner = f"{NONO} run --no-audit -- /bin/sh -c 'test -t 0 && echo inside; exit 3'"
    script = "export HOME=$TMPDIR; unset XDG_STATE_HOME XDG_CONFIG_HOME XDG_CACHE_HOME; " + inner
    terminal = terminals.run(script, *reads)
    said, status = ended(terminal)
    assert status == 3, said
    assert b"inside" in said.splitlines()
    assert b"the command shares the terminal" in said
