"""Signals, terminals, and what a command inherits from nono besides its grants."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pexpect
import pytest

from runtime.processes.supervision import FORWARDED_ALONE
from tests.system.conftest import NONO, PYTHON, TIMEOUT_SECONDS, wait_for

if TYPE_CHECKING:
    from tests.system.conftest import Site

# Counts what it gets, says so in a file, and ends a moment after it has as many as it is to get.
COUNTER = """\
import os, signal, sys, time
got = []
wanted = int(sys.argv[1])
for name in ("INT", "TERM", "HUP", "QUIT", "USR1", "USR2"):
    number = signal.Signals["SIG" + name]
    signal.signal(number, lambda number, frame: got.append(number))
open("ready", "w").close()
while len(got) < wanted:
    time.sleep(0.01)
time.sleep(0.5)
with open("got", "w") as file:
    print(*got, end="", file=file)
print(*got, flush=True)
sys.exit(40 + len(got))
"""


def counter(site: Site, wanted: int = 1) -> list[str]:
    return [
        "run", "--allow", str(site.project), *site.python_grants(),
        "--", PYTHON, "-I", "-c", COUNTER, str(wanted),
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2"])
def test_a_signal_to_nono_reaches_the_command_once(site: Site, name: str) -> None:
    number = signal.Signals[f"SIG{name}"]
    launch = site.start(*counter(site))
    wait_for((site.project / "ready").exists, "the command is ready")
    launch.process.send_signal(number)
    ended = launch.wait()
    assert ended.stdout.split() == [str(int(number)).encode()]
    assert ended.status == 41
    assert site.record().outcome["exit"] == 41


def test_a_command_that_a_signal_ends_gives_its_number(site: Site) -> None:
    launch = site.start("run", "--allow", site.project, "--", "/bin/sh", "-c", "touch ready; sleep 60")
    wait_for((site.project / "ready").exists, "the command is ready")
    launch.process.send_signal(signal.SIGTERM)
    ended = launch.wait()
    assert ended.status == 143
    assert site.record().outcome["signal"] == signal.SIGTERM
    assert site.record().kinds[-1] == "launch.attestation"


def test_different_signals_all_arrive(site: Site) -> None:
    launch = site.start(*counter(site, 3))
    wait_for((site.project / "ready").exists, "the command is ready")
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        launch.process.send_signal(number)
    ended = launch.wait()
    assert sorted(map(int, ended.stdout.split())) == [1, 2, 15]


def test_a_signal_to_the_whole_group_without_a_terminal_arrives_once(site: Site) -> None:
    """Without a terminal the command has a group of its own, so kill(-group) reaches nono alone."""
    launch = site.start(*counter(site), program=("setsid", NONO))
    wait_for((site.project / "ready").exists, "the command is ready")
    os.killpg(launch.pid, signal.SIGINT)
    ended = launch.wait()
    assert ended.stdout.split() == [b"2"]


def test_signals_after_the_command_do_not_end_the_record(site: Site) -> None:
    after = site.script(
        "after", f"touch {site.base}/waiting; until [ -e {site.base}/go ]; do sleep 0.02; done"
    )
    profile = site.profile(session_hooks={"after": {"script": str(after)}})
    launch = site.start("run", "-p", profile, "--", "/bin/sh", "-c", "exit 9")
    wait_for((site.base / "waiting").exists, "the after-hook runs")
    for number in FORWARDED_ALONE:
        launch.process.send_signal(number)
    (site.base / "go").touch()
    assert launch.wait().status == 9
    assert site.record().kinds[-1] == "launch.attestation"


def test_stop_and_continue_do_not_end_a_launch(site: Site) -> None:
    launch = site.start(
        "run",
        "--allow",
        site.project,
        "--",
        "/bin/sh",
        "-c",
        "echo $$ > pid.new; mv pid.new pid; until [ -e go ]; do sleep 0.02; done; exit 8",
    )
    wait_for((site.project / "pid").exists, "the command runs")
    pid = int((site.project / "pid").read_text())
    os.kill(pid, signal.SIGSTOP)
    (site.project / "go").touch()
    time.sleep(0.5)  # for what must not happen
    assert launch.process.poll() is None
    os.kill(pid, signal.SIGCONT)
    assert launch.wait().status == 8


# --- a terminal ----------------------------------------------------------------------------------


def spawn(site: Site, *arguments: str) -> pexpect.spawn:
    return pexpect.spawn(
        str(NONO),
        list(arguments),
        env=site.environment,
        cwd=str(site.project),
        timeout=TIMEOUT_SECONDS,
        encoding="utf-8",
        use_poll=True,
    )


def ended_with(child: pexpect.spawn) -> int:
    child.expect(pexpect.EOF)
    child.wait()  # else closing would end it, where it takes its time to be gone
    child.close()
    assert child.exitstatus is not None
    return int(child.exitstatus)


@pytest.mark.parametrize(("key", "number"), [("c", signal.SIGINT), ("\\", signal.SIGQUIT)])
def test_a_key_at_the_terminal_reaches_the_command_once(site: Site, key: str, number: signal.Signals) -> None:
    child = spawn(site, *counter(site))
    wait_for((site.project / "ready").exists, "the command is ready")
    child.sendcontrol(key)
    child.expect(rf"(?<![0-9 ]){int(number)}\r\n")
    assert ended_with(child) == 41
    assert site.record().outcome["exit"] == 41


def test_closing_the_terminal_reaches_the_command_once(site: Site) -> None:
    """The kernel tells nono, the session's leader, and nono sees it by itself, too."""
    terminal, end = os.openpty()
    launch = site.start(*counter(site), stdin=end, stdout=end, preexec=lambda: os.login_tty(end))
    os.close(end)
    wait_for((site.project / "ready").exists, "the command is ready")
    os.close(terminal)
    ended = launch.wait()
    assert (site.project / "got").read_text() == "1"
    assert site.record().kinds[-1] == "launch.attestation"
    assert ended.status == site.record().outcome["exit"]


def test_the_command_can_read_from_the_terminal(site: Site) -> None:
    child = spawn(site, "run", "--", "/bin/sh", "-c", "read line; echo got $line; tty; exit 3")
    child.sendline("hello")
    child.expect("got hello")
    child.expect("/dev/pts/[0-9]+")
    assert ended_with(child) == 3


def test_a_stop_at_the_terminal_and_fg(site: Site) -> None:
    """Ctrl-Z stops nono and the command; the shell goes on; fg goes on with both."""
    # Without a fork: a shell that is stopped between vfork and exec waits for its child, and does not stop.
    script = ": > ready; while [ ! -e go ]; do :; done; echo command done; exit 4"
    shell = pexpect.spawn(
        "/bin/bash",
        ["--norc", "--noprofile", "-i"],
        env={**site.environment, "PS1": "prompt> "},
        cwd=str(site.project),
        timeout=TIMEOUT_SECONDS,
        encoding="utf-8",
        use_poll=True,
    )
    shell.expect("prompt> ")
    shell.sendline(f"{NONO} run --allow {site.project} -- /bin/sh -c '{script}'")
    wait_for((site.project / "ready").exists, "the command runs")
    shell.sendcontrol("z")
    shell.expect("Stopped")
    shell.expect("prompt> ")
    shell.sendline("echo shell $((40 + 2))")
    shell.expect("shell 42")
    shell.sendline("fg")
    shell.expect("run --allow")  # the shell says what goes on
    (site.project / "go").touch()
    shell.expect("command done")
    shell.expect("prompt> ")  # what is typed before it is nono's to hand on, to a command that has ended
    shell.sendline("echo status $?")
    shell.expect("status 4")
    shell.sendline("exit")
    shell.expect(pexpect.EOF)
    shell.wait()
    shell.close()
    assert site.record().outcome["exit"] == 4


def may_lift() -> bool:
    """Return whether a process started from here has CAP_SYS_RESOURCE."""
    with open("/proc/self/status", encoding="ascii") as file:
        (held,) = (int(line.split()[1], 16) for line in file if line.startswith("CapEff:"))
    return bool(held >> 24 & 1)


# --- what is inherited ---------------------------------------------------------------------------


def signals_of(program: list[str], site: Site, **options: object) -> str:
    """Return what the kernel says of the signals of a program that changes none of them: grep."""
    done = subprocess.run(
        [*program, "/bin/grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"],
        env=site.environment,
        cwd=site.project,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=True,
        **options,  # type: ignore[call-overload]  # preexec_fn
    )
    return str(done.stdout)


def test_the_command_has_the_signals_that_nono_was_started_with(site: Site) -> None:
    def odd() -> None:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGTERM})
        for number in (signal.SIGHUP, signal.SIGUSR2, signal.SIGCHLD):
            signal.signal(number, signal.SIG_IGN)

    nono = [str(NONO), "run", "--silent", "--"]
    plain, changed = signals_of([], site), signals_of([], site, preexec_fn=odd)
    assert plain != changed
    assert "0000000000000000" in plain
    assert signals_of(nono, site) == plain
    assert signals_of(nono, site, preexec_fn=odd) == changed


def test_nohup_is_kept(site: Site) -> None:
    launch = site.start(
        "run", "--allow", site.project, "--", "/bin/sh", "-c",
        "touch ready; until [ -e go ]; do sleep 0.02; done",
        program=("nohup", NONO),
    )  # fmt: skip
    wait_for((site.project / "ready").exists, "the command runs")
    launch.process.send_signal(signal.SIGHUP)
    time.sleep(0.3)
    assert launch.process.poll() is None
    (site.project / "go").touch()
    assert launch.wait().status == 0


def test_sigpipe_ends_the_command_as_it_would_outside(site: Site) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    launch = site.start("run", "--", "/bin/sh", "-c", "while :; do echo x; done", stdout=writer)
    os.close(writer)
    assert launch.wait().status == 128 + signal.SIGPIPE


def test_a_file_size_limit_ends_the_command_and_not_its_record(site: Site) -> None:
    """RLIMIT_FSIZE is inherited from the caller: nono's own record must not break on it."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    ended = site.run(
        "--allow", site.project, "--allow-command", "dd",
        "--", "/usr/bin/dd", "if=/dev/zero", "of=big", "bs=2M", "count=1",
        preexec=limit,
    )  # fmt: skip
    assert ended.status in (1, 128 + signal.SIGXFSZ)
    assert (site.project / "big").stat().st_size <= 4096
    assert site.record().kinds[-1] == "launch.attestation"


@pytest.mark.parametrize("kibibytes", [64, 1024, 6000, 6144, 65536])
def test_where_the_outcome_could_not_be_written_nothing_runs(site: Site, kibibytes: int) -> None:
    """A hard limit binds nono, too, and others can make the ledger longer while the command waits."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (kibibytes << 10, kibibytes << 10))

    assert site.run("--", "/bin/true").status == 0
    ended = site.shell("touch ran", "--allow", site.project, preexec=limit)
    if kibibytes > 6000 or may_lift():
        assert ended.status == 0, ended.stderr
        assert site.record().kinds[-1] == "launch.attestation"
    else:
        assert ended.status == 125
        assert "within the limit on file sizes" in ended.stderr
        assert not (site.project / "ran").exists()
        assert len(site.records()) == 1


def test_closed_standard_streams_are_not_filled_with_anything_of_ours(site: Site) -> None:
    def close() -> None:
        for number in range(3):
            os.close(number)

    launch = site.start(
        "run", "--allow", site.project, "--", "/bin/sh", "-c", "ls -l /proc/$$/fd > out", preexec=close
    )
    assert launch.wait().status == 0
    listed = (site.project / "out").read_text()
    assert ".db" not in listed
    assert "pem" not in listed
    numbers = {int(line.split()[-3]) for line in listed.splitlines()[1:]}
    assert numbers <= {0, 1, 2, 10, 11}  # 10 and 11: where the shell keeps what it redirects


def test_other_descriptors_do_not_reach_the_command(site: Site) -> None:
    secret = site.file("secret", "secret")
    descriptors = [os.open(secret, os.O_RDONLY) for _ in range(20)]
    try:
        ended = site.run("--", "/bin/ls", "/proc/self/fd", pass_fds=descriptors)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    assert ended.stdout.split() == [b"0", b"1", b"2", b"3"]


@pytest.mark.parametrize("stream", [0, 1, 2])
@pytest.mark.parametrize("what", ["ledger", "key"])
def test_the_ledger_or_the_key_as_a_standard_stream_is_refused(site: Site, stream: int, what: str) -> None:
    site.run("--", "/bin/true")
    path = site.ledger() if what == "ledger" else site.config / "keys" / "default.pem"
    before = path.read_bytes()
    descriptor = os.open(path, os.O_RDWR if stream else os.O_RDONLY)

    def put() -> None:
        os.dup2(descriptor, stream)

    try:
        ended = site.run("--", "/bin/cat", preexec=put, pass_fds=(descriptor,))
    finally:
        os.close(descriptor)
    assert ended.status == 125
    assert path.read_bytes() == before
    assert site.records()[0].outcome["exit"] == 0


def test_limits_of_the_caller_are_the_commands(site: Site) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (99, 99))
        os.umask(0o027)
        os.nice(3)

    ended = site.shell("ulimit -n; umask; nice", preexec=limit)
    assert ended.stdout.split() == [b"99", b"0027", str(min(os.nice(0) + 3, 19)).encode()]


NAMES = {"CPU": "Max cpu time", "FSIZE": "Max file size", "NOFILE": "Max open files"}


def limits_of(pid: int) -> dict[str, tuple[str, str]]:
    """Return the soft and the hard limits of a process."""
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        lines = {line[:25].strip(): line[25:].split() for line in file}
    return {name: (lines[title][0], lines[title][1]) for name, title in NAMES.items()}


def test_the_limits_of_the_caller_are_not_those_of_who_keeps_the_record(site: Site) -> None:
    """Reaping what a command makes into orphans costs the monitor its time, as much as the command likes."""
    asked = {"CPU": (1000, 2000), "FSIZE": (1 << 26, 1 << 27), "NOFILE": (99, 999)}
    hook = site.hook("after", f"cat /proc/self/limits > {site.base}/of-hook")
    profile = site.profile(session_hooks={"after": {"script": str(hook)}})

    def limit() -> None:
        for name, (soft, hard) in asked.items():
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (soft, hard))

    script = "echo $$; read line; exit 0"
    reader, writer = os.pipe()
    launch = site.start("run", "-p", profile, "--", "/bin/sh", "-c", script, stdin=reader, preexec=limit)
    os.close(reader)
    assert launch.process.stdout is not None
    command = int(launch.process.stdout.readline())
    callers = {name: (str(soft), str(hard)) for name, (soft, hard) in asked.items()}
    assert limits_of(command) == callers
    for pid in (launch.pid, launch.monitor()):
        assert all(soft == hard for soft, hard in limits_of(pid).values())
    os.close(writer)
    assert launch.wait().status == 0
    assert f"{asked['CPU'][0]} " in (site.base / "of-hook").read_text()
    assert f"{asked['NOFILE'][0]} " in (site.base / "of-hook").read_text()


def test_standard_streams_that_are_files_can_be_opened_again(site: Site) -> None:
    outside = site.base / "streams"
    outside.mkdir()
    (outside / "in").write_text("line\n")
    with open(outside / "in", "rb") as source, open(outside / "out", "wb") as target:
        ended = site.run(
            "--",
            "/bin/sh",
            "-c",
            "cat /dev/stdin > /dev/stdout",
            stdin=source.fileno(),
            stdout=target,
        )
    assert ended.status == 0
    assert (outside / "out").read_text() == "line\n"
    record = site.record()
    assert record.files()[os.fsencode(outside / "in")]["access"] == "read"
    assert record.files()[os.fsencode(outside / "out")]["access"] == "write"


def test_a_stream_that_is_read_only_cannot_be_written_through_proc(site: Site) -> None:
    source = site.base / "in"
    source.write_text("line\n")
    with open(source, "rb") as stream:
        ended = site.run("--", "/bin/sh", "-c", "echo changed > /proc/self/fd/0", stdin=stream.fileno())
    assert ended.status != 0
    assert source.read_text() == "line\n"


def test_the_command_starts_in_a_session_of_its_own_without_a_terminal(site: Site) -> None:
    ended = site.python("import os; print(os.getpgrp() == os.getsid(0) == os.getpid())")
    assert ended.stdout == b"True\n"


def test_nothing_of_nono_shows_in_what_the_command_sees_of_itself(site: Site) -> None:
    ended = site.run("--", "/bin/cat", "/proc/self/cmdline", "/proc/self/environ", "/proc/self/comm")
    assert ended.status == 0
    words = ended.stdout.split(b"\0")
    assert words[:4] == [b"/bin/cat", b"/proc/self/cmdline", b"/proc/self/environ", b"/proc/self/comm"]
    assert words[-1] == b"cat\n"
    names = {word.partition(b"=")[0].decode() for word in words[4:-1]}
    assert names == {
        *site.environment, "GIT_CONFIG_GLOBAL", "NONO_CAP_FILE", "NONO_SESSION_ID", "TMP", "TEMP",
        "TMPPREFIX",
    }  # fmt: skip


def test_the_processes_of_a_launch_are_gone_when_nono_is(site: Site) -> None:
    launch = site.start("run", "--", "/bin/true")
    launch.wait()
    assert site.processes() == []
