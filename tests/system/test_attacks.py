"""A hostile command against the installed nono: against its record, its monitor, and what is outside.

Each attack is shown to work where there is no nono, or no sandbox, before it is shown to fail.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from runtime.kernel import syscalls
from runtime.processes.supervision import Supervision
from tests.system.conftest import IS_ROOT, NONO, PYTHON, TIMEOUT_SECONDS, is_alive, missing, wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.system.conftest import Site

SECONDS = 10.0
"""What a launch whose command ends at once may take, however hostile it is."""


def state_of(pid: int) -> bytes:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read().rpartition(b")")[2].split()[0]


@contextlib.contextmanager
def at_once() -> Iterator[None]:
    began = time.monotonic()
    yield
    assert time.monotonic() - began < SECONDS


# --- an end that nobody sees -------------------------------------------------------------------------

PTRACE = """\
import ctypes, os, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
def ptrace(request, pid=0):
    if libc.ptrace(ctypes.c_long(request), ctypes.c_int(pid), None, None) < 0:
        raise OSError(ctypes.get_errno(), "ptrace")
def survive():
    if os.fork() == 0:
        os.setsid()
        print(os.getpid(), flush=True)
        time.sleep(600)
"""

# A thread that makes the parent its tracer stays as a zombie until that parent waits for it, and until then
# its process has not ended for anybody.
ZOMBIE_THREAD = (
    PTRACE
    + """\
survive()
thread = threading.Thread(target=ptrace, args=(0,))
thread.start()
thread.join()
time.sleep(0.1)
os._exit(7)
"""
)

# Whoever traces a process has its status first, and need never take it.
STRANGE_TRACER = (
    PTRACE
    + """\
command = os.getpid()
reader, writer = os.pipe()
if os.fork() == 0:
    os.setsid()
    ptrace(0x4206, command)
    print(os.getpid(), flush=True)
    os.write(writer, b"x")
    time.sleep(600)
os.read(reader, 1)
os._exit(7)
"""
)


UNSEEN = pytest.mark.parametrize("attack", [ZOMBIE_THREAD, STRANGE_TRACER], ids=["zombie thread", "tracer"])


@UNSEEN
def test_outside_a_parent_that_waits_for_its_child_waits_in_vain(attack: str) -> None:
    with subprocess.Popen([PYTHON, "-I", "-c", attack], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        survivor = int(process.stdout.readline())
        try:
            wait_for(lambda: state_of(process.pid) == b"Z", "the command's end")
            time.sleep(0.3)
            assert process.poll() is None
        finally:
            os.kill(survivor, signal.SIGKILL)
            with contextlib.suppress(ChildProcessError):
                os.waitpid(-1, 0x40000000)  # __WALL: the thread as well


@UNSEEN
def test_a_command_that_ends_unseen_is_recorded_and_leaves_nothing(site: Site, attack: str) -> None:
    with at_once():
        ended = site.python(attack)
    assert ended.status == 7, ended.stderr
    assert not is_alive(int(ended.stdout))
    assert site.record().outcome["exit"] == 7
    assert site.record().outcome["counts"]["survivors"] == 1
    assert site.record().outcome["counts"]["survivors_left"] == 0


@UNSEEN
def test_when_nono_dies_it_dies_as_well(site: Site, attack: str) -> None:
    site.tidy, site.verdict = False, 3
    attack = attack.replace("os._exit(7)", "time.sleep(600)")
    launch = site.start("run", *site.python_grants(), "--", PYTHON, "-I", "-c", attack)
    assert launch.process.stdout is not None
    survivor = int(launch.process.stdout.readline())
    time.sleep(0.3)
    launch.process.kill()
    wait_for(lambda: not is_alive(survivor), "the end of what was left")
    launch.wait()


# --- faster than whoever kills ----------------------------------------------------------------------

# As many processes as it likes, each of which forks the next and ends, or lives for a moment: none of them
# is there any more when whoever listed it comes to kill it.
HYDRA = """\
import os, signal, time
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
end = time.monotonic() + 25
for _ in range(60):
    if os.fork() == 0:
        os.setsid()
        while time.monotonic() < end:
            try:
                if os.fork():
                    os._exit(0)
            except OSError:
                pass
        os._exit(0)
print(flush=True)
"""


def test_a_hydra_is_killed_at_once_and_leaves_nothing(site: Site) -> None:
    with at_once():
        ended = site.python(HYDRA)
    assert ended.status == 0, ended.stderr
    assert site.processes() == []
    assert site.record().outcome["counts"]["survivors"] > 0
    assert site.record().outcome["counts"]["survivors_left"] == 0


def test_a_hydra_dies_with_nono_even_when_its_whole_process_group_is_killed(site: Site) -> None:
    site.tidy, site.verdict = False, 3
    script = HYDRA + "time.sleep(600)"
    launch = site.start(
        "run", *site.python_grants(), "--", PYTHON, "-I", "-c", script, preexec=lambda: os.setpgid(0, 0)
    )
    assert launch.process.stdout is not None
    launch.process.stdout.readline()
    os.killpg(launch.pid, signal.SIGKILL)
    launch.kill()
    wait_for(lambda: not site.processes(), "the end of what was left", 15)  # it would go on for 25


def test_the_signals_of_the_last_resort_reach_nobody_else(site: Site) -> None:
    """kill(-1) it is; another launch, and what no launch started, must not notice."""
    other = site.start("run", "--", "/bin/sh", "-c", "echo up; exec sleep 600")
    assert other.process.stdout is not None
    assert other.process.stdout.readline() == b"up\n"
    bystander = subprocess.Popen(["/bin/sleep", "600"])
    try:
        monitor = other.monitor()
        assert site.shell("sleep 600 & sleep 600 &").status == 0
        assert site.record().outcome["counts"]["survivors"] == 2
        assert bystander.poll() is None
        assert other.process.poll() is None
        assert is_alive(monitor)
    finally:
        bystander.kill()
        bystander.wait()
    other.process.send_signal(signal.SIGTERM)
    assert other.wait().status == 128 + signal.SIGTERM


# --- what the kernel sends for a command ---------------------------------------------------------------

# The kernel hangs up on a process group when that becomes an orphan while a process in it is stopped. What
# keeps it from being one is a process whose parent is in another group of the same session; the last of
# these ends. The stopped one must not be one of these itself, so its parent leaves the session.
HANGS_UP = """\
import os, signal, sys
group = int(sys.argv[1])
if os.getpgrp() == group:
    os.setpgid(0, 0)
told, tell = os.pipe()
keeper = os.fork()
if keeper == 0:
    stopped = os.fork()
    if stopped == 0:
        os.setpgid(0, group)
        os.kill(os.getpid(), signal.SIGSTOP)
        os._exit(0)
    if os.WIFSTOPPED(os.waitpid(stopped, os.WUNTRACED)[1]):
        os.setsid()
        os.write(tell, b"x")
        signal.pause()
    os._exit(1)
os.close(tell)
if os.read(told, 1) != b"x":
    sys.exit(3)
last = os.fork()
if last == 0:
    os.setpgid(0, group)
    os._exit(0)
os.waitpid(last, 0)
os.kill(keeper, signal.SIGKILL)
"""
CALLER = """trap ': > hung-up' HUP; "$@" $$; exit $?"""


def test_a_command_cannot_have_the_kernel_hang_up_on_the_caller(site: Site) -> None:
    def call(*launch: object) -> tuple[int, bool]:
        mark = site.project / "hung-up"
        mark.unlink(missing_ok=True)
        done = subprocess.run(
            ["/bin/sh", "-c", CALLER, "caller", *map(str, launch), PYTHON, "-I", "-c", HANGS_UP],
            env=site.environment,
            cwd=site.project,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,
            # Ignored, as under nohup, it could not be trapped.
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
            check=False,
            timeout=60,
        )
        return done.returncode, mark.exists()

    assert call() == (0, True)
    assert call(NONO, "run", *site.python_grants(), "--") == (3, False)


# --- a record that cannot be finished ------------------------------------------------------------------


def hidden(site: Site) -> list[str]:
    """Return what the record, its memory and its key lie in, the innermost first."""
    places = [site.ledger(), site.state / "ledgers", site.state / "heads", site.state, site.state.parent]
    places += [site.config / "keys", site.config, site.config.parent, site.cache]
    return [str(place) for place in places]


def test_modes_that_the_command_takes_away_do_not_take_its_record(site: Site) -> None:
    """``chmod`` is no write to Landlock: whatever the user may change, the command may change, too."""
    assert site.run("--", "/bin/true").status == 0
    places = hidden(site)

    def give_back() -> None:
        for place in reversed(places):
            os.chmod(place, 0o700)
        os.chmod(places[0], 0o600)

    attack = " && ".join(f"chmod 000 {place}" for place in places)
    subprocess.run(["/bin/sh", "-c", attack], check=True)
    try:
        if not IS_ROOT:
            with pytest.raises(PermissionError):
                os.lstat(places[0])
    finally:
        give_back()
    try:
        ended = site.shell(f"{attack} && echo hidden")
    finally:
        give_back()
    assert ended.stdout == b"hidden\n"
    assert ended.status == 0, ended.stderr
    assert site.record().kinds == ["launch.intent", "launch.start", "launch.outcome", "launch.attestation"]
    site.tidy = False  # SQLite cannot remove its side files from a directory that it cannot search
    assert site.run("--", "/bin/true").status == 0


@pytest.mark.skipif(not IS_ROOT, reason="only root can give a file away")
def test_a_ledger_that_the_command_gives_away_is_finished_and_never_used_again(site: Site) -> None:
    assert site.run("--", "/bin/true").status == 0
    ledger = site.ledger()
    for attack, word in (
        (f"chown 65534 {ledger}", "belongs to another user"),
        (f"chmod 666 {ledger}", "others"),
    ):
        ended = site.shell(attack)
        assert ended.status == 0, ended.stderr
        assert site.record().outcome["exit"] == 0
        again = site.run("--", "/bin/true")
        assert again.status == 125
        assert word in again.stderr
        os.chown(ledger, 0, 0)
        os.chmod(ledger, 0o600)


def test_when_memory_runs_out_the_command_goes_before_nono(site: Site) -> None:
    """The kernel ends the largest process first, and a command can keep its memory where none has it."""
    with subprocess.Popen(["/bin/sh", "-c", "echo up; read line"], stdin=-1, stdout=-1) as bare:
        assert bare.stdout is not None
        bare.stdout.readline()
        assert oom_score(bare.pid) < oom_score(os.getpid())  # without nono the larger one goes first
        bare.kill()
    launch = site.start("run", "--", "/bin/sh", "-c", "echo $$; exec sleep 600")
    assert launch.process.stdout is not None
    command = int(launch.process.stdout.readline())
    assert oom_score(command) > oom_score(launch.pid)
    assert oom_score(command) > oom_score(launch.monitor())
    # In a small cgroup a thousandth of it is less than what nono itself has, so the steps are wide.
    steps = [score_adjustment(pid) for pid in (launch.pid, launch.monitor(), command)]
    assert steps[1] - steps[0] >= 400
    assert steps[2] - steps[1] >= 500 or steps[2] == 1000
    launch.process.send_signal(signal.SIGTERM)
    assert launch.wait().status == 128 + signal.SIGTERM
    assert site.shell("echo -1000 > /proc/self/oom_score_adj").status != 0


def test_a_hook_is_ended_for_want_of_memory_when_it_would_be_without_nono(site: Site) -> None:
    hook = site.hook("hook", f"cat /proc/self/oom_score_adj >> {site.base}/scores")
    profile = site.profile(session_hooks={"before": {"script": str(hook)}, "after": {"script": str(hook)}})
    assert site.run("-p", profile, "--", "/bin/true").status == 0
    assert (site.base / "scores").read_text().split() == [str(score_adjustment(os.getpid()))] * 2


@pytest.fixture
def small_memory(site: Site) -> Iterator[tuple[Path, Path]]:
    """A memory cgroup of 48 MiB, and a tmpfs whose pages stay in it when who wrote them is gone."""
    if not IS_ROOT:
        pytest.skip("only root can make a memory cgroup")
    top = Path("/sys/fs/cgroup")
    version_1 = (top / "memory" / "cgroup.procs").exists()
    group = (top / "memory" if version_1 else top) / f"nono-test-{site.mark}"
    memory = site.base / "memory"
    memory.mkdir()
    with contextlib.ExitStack() as undo:
        try:
            group.mkdir()
            undo.callback(group.rmdir)
            limit = group / ("memory.limit_in_bytes" if version_1 else "memory.max")
            limit.write_text(str(48 << 20))
            subprocess.run(["mount", "-t", "tmpfs", "tmpfs", memory], check=True, capture_output=True)
            undo.callback(lambda: subprocess.run(["umount", "-l", memory], check=True))
        except (OSError, subprocess.CalledProcessError) as error:
            missing(f"there is no memory cgroup to be had: {error}")
        yield group / "cgroup.procs", memory


def test_a_command_that_uses_up_the_memory_of_a_cgroup_cannot_suppress_its_outcome(
    site: Site, small_memory: tuple[Path, Path]
) -> None:
    """When all that it started is gone, what it wrote is still there, and only nono and its monitor are."""
    group, memory = small_memory
    fill = "for n in 1 2 3 4 5 6 7 8; do cat /dev/zero > full-$n; done"
    hook = site.hook("after", "exit 0")
    profile = site.profile(session_hooks={"after": {"script": str(hook)}})
    assert site.run("--", "/bin/true").status == 0
    for _ in range(3):
        ended = site.run(
            *("-p", profile, "--allow", memory, "--workdir", memory, "--output", "/etc/passwd"),
            *("--", "/bin/sh", "-c", fill),
            preexec=lambda: group.write_text(str(os.getpid())) and None,
        )
        assert ended.status in (1, 128 + signal.SIGKILL), ended.stderr
        assert site.record().kinds[-3:] == ["launch.outcome", "hook.result", "launch.attestation"]
        for full in memory.iterdir():
            full.unlink()
    site.verdict = None  # the reader of the output may have been ended as well


def score_adjustment(pid: int) -> int:
    with open(f"/proc/{pid}/oom_score_adj", encoding="ascii") as file:
        return int(file.read())


def oom_score(pid: int) -> int:
    with open(f"/proc/{pid}/oom_score", encoding="ascii") as file:
        return int(file.read())


# --- a terminal that keeps nono from going on ------------------------------------------------------------

# What an interactive shell does: the job gets a process group of its own, in the foreground.
JOB = """\
import os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
pid = os.fork()
if pid == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTTOU})
    os.execv(sys.argv[1], sys.argv[1:])
status = os.waitpid(pid, os.WUNTRACED)[1]
if os.WIFSTOPPED(status):
    os.kill(pid, signal.SIGKILL)
    print("JOB stopped by", os.WSTOPSIG(status))
else:
    print("JOB exited with", os.waitstatus_to_exitcode(status))
"""

TAKES_THE_FOREGROUND = """\
import os, signal, termios
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTTOU})
os.setpgid(0, 0)
os.tcsetpgrp(0, os.getpid())
mode = termios.tcgetattr(0)
mode[3] |= termios.TOSTOP
termios.tcsetattr(0, termios.TCSANOW, mode)
"""
HALTS_THE_OUTPUT = "import termios\ntermios.tcflow(0, termios.TCOOFF)\n"


@pytest.mark.parametrize("attack", [TAKES_THE_FOREGROUND, HALTS_THE_OUTPUT], ids=["foreground", "output"])
def test_a_command_cannot_stop_nono_with_the_terminal(site: Site, attack: str) -> None:
    command = site.file("attack.py", attack)

    def job(*arguments: str) -> pexpect.spawn:
        return pexpect.spawn(
            PYTHON, ["-I", "-c", JOB, *arguments],
            env=site.environment, cwd=site.project, encoding="utf-8", use_poll=True,
        )  # fmt: skip

    outside = job("/bin/sh", "-c", f"{PYTHON} -I {command}; echo a shell goes on >&2")
    stops = attack == TAKES_THE_FOREGROUND  # the other one waits in vain
    said = outside.expect(
        [f"JOB stopped by {signal.SIGTTOU:d}", "JOB exited", pexpect.TIMEOUT],
        timeout=TIMEOUT_SECONDS if stops else 2,
    )
    assert said == (0 if stops else 2)
    outside.close(force=True)

    inside = job(
        str(NONO), "run", "--read", str(site.project), *site.python_grants(), "--", PYTHON, str(command)
    )
    inside.expect("recorded launch", timeout=TIMEOUT_SECONDS)
    inside.expect("JOB exited with 0", timeout=TIMEOUT_SECONDS)
    inside.close()
    assert site.record().outcome["exit"] == 0


def test_output_that_nobody_reads_does_not_hold_up_the_record(site: Site) -> None:
    """The command fills nono's standard error, and the after-hook gives nono something to say there."""
    hook = site.script("hook.sh", "exit 1")
    profile = site.profile(session_hooks={"after": {"script": str(hook)}})
    reader, writer = os.pipe()
    launch = subprocess.Popen(
        [NONO, "run", "-p", profile, *site.python_grants(), "--", PYTHON, "-I", "-c", FILLS_STANDARD_ERROR],
        env=site.environment,
        cwd=site.project,
        stdin=subprocess.DEVNULL,
        stderr=writer,
    )
    os.close(writer)
    wait_for(lambda: site.ledgers() and site.records() and len(site.record().kinds) == 5, "the whole record")
    assert site.record().kinds[-2:] == ["hook.result", "launch.attestation"]
    assert launch.poll() is None  # what it has to say, it still says to whoever reads
    with open(reader, "rb") as file:
        said = file.read()
    assert launch.wait() == 0
    assert b"the after-hook failed" in said
    assert b"recorded launch" in said


FILLS_STANDARD_ERROR = """\
import os
os.set_blocking(2, False)
try:
    while True:
        os.write(2, b"x" * 4096)
except BlockingIOError:
    os.set_blocking(2, True)
"""


def test_a_key_that_is_hit_when_the_command_is_gone_already_is_no_fault(site: Site) -> None:
    """The interrupt that ends the command reaches nono as well, and the monitor may be the faster of them."""
    gone = subprocess.Popen(["/bin/true"])
    supervision = Supervision.__new__(Supervision)
    supervision.pid = gone.pid
    supervision._terminal = None
    supervision._pidfd = os.pidfd_open(gone.pid)
    try:
        gone.wait()
        with pytest.raises(ProcessLookupError):
            os.getpgid(gone.pid)
        supervision._forward([syscalls.SignalInfo(signal.SIGINT, syscalls.SI_KERNEL, 0)])
        supervision._forward([syscalls.SignalInfo(signal.SIGTERM, 0, os.getpid())])
    finally:
        os.close(supervision._pidfd)


# --- code that runs outside ------------------------------------------------------------------------------


def test_what_nono_will_import_next_time_cannot_be_written(site: Site) -> None:
    """Compiled modules lie elsewhere when the user says so, and nono reads them there at its next start."""
    compiled = site.base / "compiled"
    compiled.mkdir()
    env = {"PYTHONPYCACHEPREFIX": str(compiled)}
    assert site.run("--", "/bin/true", env=env).status == 0
    (module, *_) = compiled.rglob("session.*.pyc")
    for flag, place in (("--allow", compiled), ("--write", compiled), ("--write-file", module)):
        ended = site.run(flag, place, "--", "/bin/true", env=env)
        assert ended.status == 125, ended.stderr
        assert "what nono itself runs or obeys" in ended.stderr
    assert site.run("--read", compiled, "--", "/bin/true", env=env).status == 0


@pytest.mark.parametrize("variable", ["LD_AUDIT", "OPENSSL_CONF", "OPENSSL_MODULES"])
def test_what_the_loader_and_openssl_will_load_next_time_cannot_be_written(site: Site, variable: str) -> None:
    place = site.base / "loaded"
    place.mkdir()
    ended = site.run("--allow", place, "--", "/bin/true", env={variable: str(place / "x")})
    assert ended.status == 125
    assert "what nono itself runs or obeys" in ended.stderr
    assert site.run("--allow", place, "--", "/bin/true").status == 0


@pytest.mark.parametrize(
    ("variable", "value", "place"),
    [
        ("LD_LIBRARY_PATH", ":/nowhere", "."),
        ("LD_LIBRARY_PATH", "/nowhere:", "."),
        ("LD_LIBRARY_PATH", "lib", "lib"),
        ("LD_LIBRARY_PATH", "/nowhere;{}/lib", "lib"),
        ("LD_LIBRARY_PATH", "{}/a b", "a b"),
        ("LD_LIBRARY_PATH", "{}/$LIB", "lib"),
        ("LD_LIBRARY_PATH", "${{LIB}}/below", "lib"),
        ("LD_LIBRARY_PATH", "/nowhere:${{ORIGIN}}/../../../../../../../../../..{}/lib", "lib"),
        ("LD_PRELOAD", "{}/lib/$PLATFORM/x.so", "lib/haswell"),
        ("LD_PRELOAD", "./lib/x.so", "lib"),
        ("LD_AUDIT", "lib/x.so", "lib"),
        ("GCONV_PATH", "/nowhere:lib", "lib"),
        ("OPENSSL_CONF", "lib/openssl.cnf", "lib"),
        ("OPENSSL_MODULES", "{}/lib:", "lib:"),
        ("PYTHONUSERBASE", "lib", "lib"),
    ],
)
def test_nor_where_they_look_in_the_current_directory_or_by_any_way_to_list_it(
    site: Site, variable: str, value: str, place: str
) -> None:
    (site.project / place).mkdir(parents=True, exist_ok=True)
    named = {variable: value.format(site.project)}
    ended = site.run("--allow", site.project / place, "--", "/bin/true", env=named)
    assert ended.status == 125
    assert "what nono itself runs or obeys" in ended.stderr
    if variable != "PYTHONUSERBASE":
        assert f" out of {variable}" in ended.stderr
        empty = ", where an empty entry stands for it"
        assert (empty in ended.stderr) == (place == ".")
    assert site.run("--allow", site.project / place, "--", "/bin/true").status == 0


@pytest.mark.parametrize("value", ["", "x.so", ":", " "])
def test_what_is_preloaded_by_its_name_alone_closes_no_directory(site: Site, value: str) -> None:
    named = {"LD_PRELOAD": value, "LD_LIBRARY_PATH": "", "OPENSSL_CONF": "", "PYTHONPATH": ""}
    assert site.run("--allow", site.project, "--", "/bin/true", env=named).status == 0


def test_a_script_that_runs_can_be_saved_meanwhile(site: Site) -> None:
    """Its lease ends when it runs: whoever saves it must not wait until the command ends."""
    script = site.script("script.sh", "echo up; sleep 600")
    launch = site.start("run", "--read", site.project, "--", script)
    assert launch.process.stdout is not None
    assert launch.process.stdout.readline() == b"up\n"
    with at_once(), open(script, "a", encoding="utf-8") as file:
        file.write("# saved\n")
    launch.process.send_signal(signal.SIGTERM)
    assert launch.wait().status == 128 + signal.SIGTERM


# --- what fails already ------------------------------------------------------------------------------------

# A descriptor that becomes readable sends whatever signal its owner asked for to whatever process.
SIGNAL_BY_DESCRIPTOR = """\
import fcntl, os, socket, sys, time
F_SETSIG = 10
reader, writer = socket.socketpair()
for pid in map(int, sys.argv[1:]):
    fcntl.fcntl(reader, fcntl.F_SETOWN, pid)
    fcntl.fcntl(reader, F_SETSIG, 9)
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    writer.send(b"x")
    time.sleep(0.1)
print("sent")
"""


def test_a_descriptors_signals_do_not_leave_the_sandbox(site: Site) -> None:
    with subprocess.Popen(["/bin/sleep", "600"]) as victim:
        subprocess.run([PYTHON, "-I", "-c", SIGNAL_BY_DESCRIPTOR, str(victim.pid)], check=True)
        assert victim.wait() == -signal.SIGKILL
    with subprocess.Popen(["/bin/sleep", "600"]) as victim:
        script = SIGNAL_BY_DESCRIPTOR.replace(
            "sys.argv[1:]", f"({victim.pid}, os.getppid(), {os.getpid()}, *OUTER)"
        ).replace(
            "F_SETSIG = 10", "F_SETSIG = 10\nOUTER = open('/proc/%d/stat' % os.getppid()).read().split()[3:4]"
        )
        ended = site.python(script)
        assert ended.stdout == b"sent\n"
        assert ended.status == 0, ended.stderr
        assert victim.poll() is None
        victim.kill()


@pytest.mark.skipif(not IS_ROOT, reason="only root can become another user")
def test_a_root_command_that_becomes_another_user_does_not_reach_that_users_processes(site: Site) -> None:
    with subprocess.Popen(["/bin/sleep", "600"], user=12345) as victim:
        kill = f"import os; os.setuid(12345); os.kill({victim.pid}, 0); print('reached')"
        assert (
            subprocess.run([PYTHON, "-I", "-c", kill], capture_output=True, check=True).stdout == b"reached\n"
        )
        ended = site.python(kill)
        assert b"reached" not in ended.stdout
        assert "PermissionError" in ended.stderr
        victim.kill()


def test_a_command_that_replaces_its_output_and_its_directories_is_recorded(site: Site) -> None:
    """FIFO, link, directory, and a link in the place of a directory: none is waited for, none followed."""
    site.verdict = 3  # declared, and without a digest
    attack = (
        "mkfifo fifo; ln -s /etc/passwd link; mkdir directory; mkfifo other; ln -s other dangling; : > file"
    )
    names = ["fifo", "link", "directory", "dangling", "file", "missing"]
    with at_once():
        ended = site.shell(
            f"cd {site.project} && {attack}", "--allow", site.project, *(f"--output={name}" for name in names)
        )
    assert ended.status == 0, ended.stderr
    said = [output.get("unhashed") for output in site.record().outcome["outputs"]]
    assert said == ["not-regular", "not-regular", "not-regular", "not-regular", None, "missing"]
