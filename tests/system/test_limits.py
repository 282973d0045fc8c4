"""Limits of a launch: each bites inside, and the same probe passes without it; where one cannot hold, 125.

What needs a control group is started where one can be made: in a scope that systemd has delegated, where that
is the first process, else as it is. Where none can be made the refusal is what is tested.
"""

from __future__ import annotations

import functools
import json
import os
import resource
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.system.conftest import IS_ROOT, NONO, PYTHON, Site, is_alive, missing, wait_for

if TYPE_CHECKING:
    from tests.system.conftest import Argument, Ended

MIB = 1 << 20
GROUPS = ("memory_bytes", "processes", "cpu_seconds")
FLAGS = {"memory_bytes": "--memory=64M", "processes": "--max-processes=8", "cpu_seconds": "--cpu-time=1"}

HOG = "x = bytearray({} << 20); print('has it')"
OWN_GROUPS = "cat /proc/self/cgroup"


def program() -> tuple[Argument, ...]:
    """Return how nono is started, so that it is alone in a group that was given to it."""
    if not os.path.isdir("/run/systemd/system"):
        return (NONO,)
    whose = () if IS_ROOT else ("--user",)
    scope = ("systemd-run", *whose, "--scope", "--quiet", "-p", "Delegate=yes", "--")
    tried = subprocess.run([*scope, "true"], capture_output=True, check=False)
    return (*scope, NONO) if tried.returncode == 0 else (NONO,)


@functools.cache
def started() -> tuple[Argument, ...]:
    return program()


@pytest.fixture(scope="session")
def held(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bool]:
    """Return which limits nono says that it can hold, in where the tests start it."""
    home = tmp_path_factory.mktemp("doctor")
    environment = {**os.environ, **{f"XDG_{name}_HOME": str(home) for name in ("CACHE", "CONFIG", "STATE")}}
    done = subprocess.run([*started(), "doctor", "--json"], env=environment, capture_output=True, check=False)
    limits = json.loads(done.stdout)["limits"]
    for name, each in limits.items():
        assert each["enforced"] is (each["hint"] is None), name
    return {name: each["enforced"] for name, each in limits.items()}


class Limited:
    """A site, and which limits can be held at it."""

    def __init__(self, site: Site, held: dict[str, bool]) -> None:
        self.site = site
        self.held = held

    def can(self, *names: str) -> bool:
        """Return whether these can be held; where one cannot, see that it is refused, and how."""
        for name in names:
            if not self.held[name]:
                ended, status = self.site.status(FLAGS[name], "--", "/bin/true", program=started())
                assert ended.status == 125
                assert status["not_started"]["code"] == "limit.unenforceable"
                assert "hint: " in ended.stderr
                assert self.site.record().outcome["not_started"]["code"] == "limit.unenforceable"
                return False
        return True

    def run(self, *arguments: Argument, **options: Any) -> tuple[Ended, dict[str, Any]]:
        return self.site.status(*arguments, program=started(), **options)

    def shell(self, script: str, *flags: Argument) -> tuple[Ended, dict[str, Any]]:
        return self.run(*flags, "--", "/bin/sh", "-c", script)

    def python(self, script: str, *flags: Argument) -> tuple[Ended, dict[str, Any]]:
        return self.run(*self.site.python_grants(), *flags, "--", PYTHON, "-I", "-c", script)


@pytest.fixture
def limited(site: Site, held: dict[str, bool]) -> Limited:
    return Limited(site, held)


def own_directory(controller: str) -> str | None:
    """Return the directory of this process's group of version 1, found without nono."""
    with open("/proc/self/cgroup", encoding="ascii") as file:
        for line in file:
            _, controllers, path = line.strip().split(":", 2)
            if controller in controllers.split(","):
                return f"/sys/fs/cgroup/{controller}{path}"
    return None


def paths_of(text: bytes) -> list[str]:
    """Return the directories of nono's groups in what /proc/self/cgroup said."""
    found = []
    for line in text.decode().splitlines():
        _, controllers, path = line.split(":", 2)
        if "/nono-" in path:
            roots = (
                [f"/sys/fs/cgroup/{controllers}"]
                if controllers
                else ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            )
            found += [root + path for root in roots]
    return found


def own_groups() -> set[str]:
    """Return the groups of nono's that nothing is in, anywhere."""
    found = set()
    for directory, _, _ in os.walk("/sys/fs/cgroup"):
        if os.path.basename(directory).startswith("nono-") and not _words(directory + "/cgroup.procs"):
            found.add(directory)
    return found


def _words(path: str) -> list[str]:
    try:
        with open(path, encoding="ascii") as file:
            return file.read().split()
    except OSError:
        return []


def test_where_a_group_can_be_made_every_limit_can_be_held(held: dict[str, bool]) -> None:
    """The refusals that the other tests accept are not nono's choice."""
    assert held["file_size_bytes"]
    assert held["open_files"]
    for controller, limit in {"memory": "memory_bytes", "pids": "processes"}.items():
        directory = own_directory(controller)
        if directory is None:
            continue
        probe = f"{directory}/probe-{os.getpid()}"
        try:
            os.mkdir(probe)
        except OSError:
            assert not held[limit]
        else:
            os.rmdir(probe)
            assert held[limit]
    if IS_ROOT and len(started()) > 1:  # a scope of systemd's
        assert all(held.values())


# --- memory --------------------------------------------------------------------------------------


def test_memory_is_used_up_and_that_is_told_apart(limited: Limited) -> None:
    hog = HOG.format(256)
    ended, status = limited.python(hog)
    assert (ended.status, ended.stdout) == (0, b"has it\n")
    assert "ended_by" not in status
    assert "limits" not in status
    assert limited.site.record().start["limits"] == {}
    if not limited.can("memory_bytes"):
        return
    ended, status = limited.python(hog, "--memory", "64M")
    assert (ended.status, ended.stdout) == (128 + signal.SIGKILL, b"")
    assert (status["signal"], status["ended_by"]) == (signal.SIGKILL, "memory")
    assert status["limits"] == {"memory_bytes": 64 * MIB}
    assert "nono: the command was ended: it had used up its 64 MiB of memory (--memory)" in ended.lines
    record = limited.site.record()
    assert record.start["limits"] == {"memory_bytes": 64 * MIB}
    assert record.outcome["ended_by"] == "memory"
    shown = limited.site.nono("audit", "show", record.session).stdout.decode()
    assert "64 MiB of memory" in shown
    assert "signal 9 (SIGKILL), ended by memory" in shown
    ended, status = limited.python(HOG.format(16), "--memory", "128M")
    assert (ended.status, ended.stdout) == (0, b"has it\n")
    assert "ended_by" not in status


def test_a_plain_kill_is_no_want_of_memory(limited: Limited) -> None:
    if not limited.can("memory_bytes", "cpu_seconds"):
        return
    ended, status = limited.shell("kill -KILL $$", "--memory", "64M", "--cpu-time", "60")
    assert (ended.status, status["signal"]) == (137, 9)
    assert "ended_by" not in status
    assert "ended_by" not in limited.site.record().outcome
    assert "ended" not in ended.stderr


def test_when_a_process_deep_inside_has_used_up_the_memory_all_of_it_is_ended(limited: Limited) -> None:
    if not limited.can("memory_bytes"):
        return
    began = time.monotonic()
    script = f'(sleep 600 & "{PYTHON}" -I -c "{HOG.format(256)}"; sleep 600) & wait'
    ended, status = limited.shell(script, *limited.site.python_grants(), "--memory", "64M")
    assert time.monotonic() - began < 60
    assert (ended.status, status["ended_by"]) == (137, "memory")


def test_a_command_that_outlives_what_it_ran_ended_by_itself(limited: Limited) -> None:
    """Where the kernel ends one process alone; of version 2 it ends all of the group."""
    if not limited.can("memory_bytes"):
        return
    script = f'"{PYTHON}" -I -c "{HOG.format(256)}"; exit 7'
    ended, status = limited.shell(script, *limited.site.python_grants(), "--memory", "64M")
    if ended.status == 7:
        assert "ended_by" not in status
        assert "ended_by" not in limited.site.record().outcome
        who, it = "a process of the command", "the launch"
    else:
        assert (ended.status, status["ended_by"]) == (137, "memory")
        who, it = "the command", "it"
    assert f"nono: {who} was ended: {it} had used up its 64 MiB of memory (--memory)" in ended.lines


HOGS = {
    "memfd": "import os; d = os.memfd_create('x'); os.posix_fallocate(d, 0, 256 << 20); print('has it')",
    "shared": "import mmap; m = mmap.mmap(-1, 256 << 20)\n"
    "for at in range(0, len(m), 4096):\n    m[at] = 1\nprint('has it')",
    "many processes": "import os, time\nfor _ in range(32):\n    if os.fork() == 0:\n"
    "        x = bytearray(8 << 20); time.sleep(60)\ntime.sleep(2); print('has it')",
}


@pytest.mark.parametrize("hog", HOGS.values(), ids=HOGS)
def test_memory_counts_however_it_is_held(limited: Limited, hog: str) -> None:
    if not limited.can("memory_bytes"):
        return
    ended, status = limited.python(hog, "--memory", "64M")
    assert b"has it" not in ended.stdout
    assert status["ended_by"] == "memory"


def test_a_command_that_does_not_even_fit_has_an_outcome(limited: Limited) -> None:
    if not limited.can("memory_bytes"):
        return
    ended, status = limited.run("--memory", "1K", "--", "/bin/true")
    assert (ended.status, status["ended_by"]) == (137, "memory")
    assert limited.site.record().outcome["executed_image"] in ("unchecked", "same")


@pytest.mark.skipif(own_directory("memory") is None, reason="a group of version 1 to put nono into")
def test_memory_that_ran_out_around_it_is_told_from_its_own(limited: Limited) -> None:
    """The kernel counts either as the group's; the text says whose limit it was."""
    if not IS_ROOT or not limited.can("memory_bytes"):
        return
    around = f"{own_directory('memory')}/around-{os.getpid()}"
    os.mkdir(around)
    try:
        for name in ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"):
            if os.path.exists(f"{around}/{name}"):
                with open(f"{around}/{name}", "w", encoding="ascii") as file:
                    file.write(str(128 * MIB))

        def enter() -> None:
            with open(f"{around}/cgroup.procs", "w", encoding="ascii") as file:
                file.write("0")

        hog = ("--", PYTHON, "-I", "-c", HOG.format(512))
        ended, status = limited.site.status(
            "--memory", "1G", *limited.site.python_grants(), *hog, preexec=enter
        )
        assert (ended.status, status["ended_by"]) == (137, "memory")
        said = "nono: the command was ended: memory ran out around it, not its own 1 GiB of memory"
        assert said in ended.lines
    finally:
        wait_for(lambda: not _words(f"{around}/cgroup.procs"), "nothing is in the group around")
        os.rmdir(around)


# --- processes -----------------------------------------------------------------------------------

SPAWN = """\
import os, sys, threading, time
made = 1
try:
    for _ in range(40):
        if os.fork() == 0:
            time.sleep(600)
        made += 1
except OSError as error:
    print(error.errno, end=" ")
print(made)
"""
THREADS = """\
import threading, time
made = 1
try:
    for _ in range(40):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        made += 1
except RuntimeError:
    print("refused", end=" ")
import os
print(made, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize(
    ("script", "refused"), [(SPAWN, b"11 8\n"), (THREADS, b"refused 8\n")], ids=["processes", "threads"]
)
def test_processes_and_threads_are_counted_together(limited: Limited, script: str, refused: bytes) -> None:
    ended, _ = limited.python(script)
    assert ended.stdout == b"41\n"
    if not limited.can("processes"):
        return
    ended, status = limited.python(script, "--max-processes", "8")
    assert ended.stdout == refused
    assert status["limits"] == {"processes": 8}
    assert "ended_by" not in status
    assert "it has 8 processes and threads (--max-processes)" in ended.stderr


def test_a_fork_bomb_is_held_and_nothing_of_it_is_left(limited: Limited) -> None:
    if not limited.can("processes"):
        return
    bomb = "f() { f & f; }; f 2>/dev/null & sleep 0.3; exit 7"
    ended, status = limited.shell(bomb, "--max-processes", "32")
    # Whoever cannot fork for the sleep fails as a shell does, with 2; either way it is over.
    assert ended.status in (2, 7)
    assert status["survivors"] <= 32


def test_what_others_of_the_same_user_run_does_not_count(limited: Limited) -> None:
    """As RLIMIT_NPROC would; and as root that holds nothing at all."""
    if not limited.can("processes"):
        return
    sleepers = [subprocess.Popen(["sleep", "600"]) for _ in range(4)]
    try:
        ended, _ = limited.shell("/bin/true & wait; echo ran", "--max-processes", "2")
    finally:
        for sleeper in sleepers:
            sleeper.kill()
            sleeper.wait()
    assert ended.stdout == b"ran\n"


# --- CPU time ------------------------------------------------------------------------------------


def test_cpu_time_is_that_of_all_together_however_short_each_lives(limited: Limited) -> None:
    if not limited.can("cpu_seconds"):
        return
    lane = "while :; do timeout 0.1 sh -c 'while :; do :; done'; done"
    ended, status = limited.shell(f"({lane}) & ({lane}) & wait", "--cpu-time", "1")
    assert (ended.status, status["signal"], status["ended_by"]) == (137, 9, "cpu-time")
    assert status["limits"] == {"cpu_seconds": 1}
    assert "nono: the command was ended: it had used up its 1 s of CPU time (--cpu-time)" in ended.lines
    assert limited.site.record().outcome["ended_by"] == "cpu-time"


def test_time_that_is_slept_is_not_used(limited: Limited) -> None:
    if not limited.can("cpu_seconds"):
        return
    ended, status = limited.shell("sleep 1.2; echo awake", "--cpu-time", "1s")
    assert (ended.status, ended.stdout) == (0, b"awake\n")
    assert "ended_by" not in status


# --- of each process -----------------------------------------------------------------------------

FILE_SIZE = """\
import os, resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path = os.environ["TMPDIR"] + "/x"
try:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print("raised", end=" ")
except (OSError, ValueError):
    pass
with open(path, "wb", buffering=0) as file:
    try:
        while file.tell() < 3 << 20:
            file.write(bytes(1 << 18))
    except OSError as error:
        print(error.errno, end=" ")
print(os.path.getsize(path))
"""
OPEN_FILES = """\
import os, resource
try:
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))
except (OSError, ValueError):
    print("kept", end=" ")
try:
    for _ in range(100):
        last = os.open("/dev/null", os.O_RDONLY)
    print("opened")
except OSError as error:
    print(error.errno, last)
"""


def test_a_file_grows_no_further(limited: Limited) -> None:
    ended, _ = limited.python(FILE_SIZE)
    assert ended.stdout.split()[-1] == b"%d" % (3 << 20)
    ended, status = limited.python(FILE_SIZE, "--max-file-size", "1M")
    assert ended.stdout == b"27 1048576\n"
    assert status["limits"] == {"file_size_bytes": MIB}
    assert limited.site.record().start["limits"] == {"file_size_bytes": MIB}


def test_no_more_files_are_opened(limited: Limited) -> None:
    ended, _ = limited.python(OPEN_FILES)
    assert ended.stdout == b"opened\n"
    ended, status = limited.python(OPEN_FILES, "--nofile", "32")
    assert ended.stdout == b"kept 24 31\n"
    assert status["limits"] == {"open_files": 32}


def test_a_limit_of_the_caller_that_is_lower_holds(limited: Limited) -> None:
    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))

    ended = limited.site.shell("ulimit -n; ulimit -Hn", "--nofile", "512", preexec=lower)
    assert ended.stdout == b"256\n256\n"
    ended = limited.site.shell("ulimit -n; ulimit -Hn", "--nofile", "48", preexec=lower)
    assert ended.stdout == b"48\n48\n"


def test_all_limits_at_once_let_an_ordinary_command_run(limited: Limited) -> None:
    flags = ["--max-file-size", "10M", "--nofile", "64"]
    limits = {"file_size_bytes": 10 * MIB, "open_files": 64}
    if limited.can(*GROUPS):
        flags += ["--memory", "1G", "--max-processes", "64", "--cpu-time", "10m"]
        limits |= {"cpu_seconds": 600, "memory_bytes": 1 << 30, "processes": 64}
    ended, status = limited.shell("echo ran | cat", *flags)
    assert (ended.status, ended.stdout) == (0, b"ran\n")
    assert status["limits"] == limits
    assert limited.site.record().start["limits"] == limits


# --- the groups ----------------------------------------------------------------------------------


def test_the_groups_are_gone_afterwards(limited: Limited) -> None:
    if not limited.can(*GROUPS):
        return
    flags = [*FLAGS.values()]
    ended, _ = limited.shell(OWN_GROUPS, *flags)
    made = paths_of(ended.stdout)
    assert made
    assert not any(map(os.path.exists, made))
    # Likewise after one that fails when they have been made: its output would not fit into the record.
    image = limited.site.file("no-program", b"\x7fELF", 0o755)
    before = own_groups()
    ended, status = limited.run(*flags, "--read", limited.site.project, "--", image)
    assert status["not_started"]["code"] == "executable.exec", ended.stderr
    assert own_groups() <= before


ESCAPE = """\
import os
seen = tried = 0
with open("/proc/self/cgroup") as file:
    lines = [line.strip().split(":", 2) for line in file]
for _, controllers, path in lines:
    for root in ("/sys/fs/cgroup/" + (controllers or "unified"), "/sys/fs/cgroup"):
        group = root + path
        if "/nono-" not in path or not os.path.isdir(group):
            continue
        seen += 1
        for directory in (group, os.path.dirname(group)):
            for name in os.listdir(directory):
                for text in ("0", str(os.getpid()), "max", "-1"):
                    tried += 1
                    try:
                        with open(directory + "/" + name, "w") as file:
                            file.write(text)
                        print("wrote", directory, name)
                    except OSError:
                        pass
        for attempt in (lambda: os.mkdir(group + "/inner"), lambda: os.rmdir(group)):
            try:
                attempt()
                print("changed", group)
            except OSError:
                pass
print(bool(seen), bool(tried))
"""


def test_a_command_can_neither_leave_its_group_nor_change_it(limited: Limited) -> None:
    if not limited.can(*GROUPS):
        return
    ended, _ = limited.python(ESCAPE, *FLAGS.values(), "--read", "/sys/fs/cgroup")
    assert ended.stdout == b"True True\n"
    for flag in ("--allow", "--write"):
        ended, status = limited.run("--memory", "64M", flag, "/sys/fs/cgroup", "--", "/bin/true")
        assert (ended.status, status["not_started"]["code"]) == (125, "grant.untouchable")


@pytest.mark.skipif(not IS_ROOT, reason="root mounts file systems")
def test_a_second_mount_of_the_groups_is_not_granted_for_writing(limited: Limited) -> None:
    """Landlock knows files, not places: a group's files are the same wherever its tree is mounted."""
    site = limited.site
    place = site.project / "groups"
    place.mkdir()
    mount = f'mount -t cgroup -o pids none "{place}" 2>/dev/null || mount -t cgroup2 none "{place}"'
    unshared = ("unshare", "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")
    listed = subprocess.run([*unshared, "ls", place], capture_output=True, text=True, check=False)
    assert "cgroup.procs" in listed.stdout, listed.stderr
    for granted in (place, site.project):
        ended, status = site.status(
            "--nofile", "64", "--write", granted, "--", "/bin/true", program=(*unshared, NONO)
        )
        assert (ended.status, status["not_started"]["code"]) == (125, "grant.untouchable")
    ended = site.run("--read", place, "--", "/bin/ls", place, program=(*unshared, NONO))
    assert b"cgroup.procs" in ended.stdout


def family(limited: Limited, *flags: Argument) -> tuple[Any, list[str], list[int]]:
    """Start a launch with a command that sleeps; return it, its groups, and its processes' pids."""
    site = limited.site
    script = f"{OWN_GROUPS} > seen; sleep 600 & echo $$ $! > pids.new; mv pids.new pids; wait"
    launch = site.start(
        "run", "--allow", site.project, *flags, "--", "/bin/sh", "-c", script, program=(NONO,)
    )
    wait_for((site.project / "pids").exists, "the command runs")
    pids = [int(pid) for pid in (site.project / "pids").read_text().split()]
    return launch, paths_of((site.project / "seen").read_bytes()), pids


@pytest.mark.skipif(len(program()) > 1, reason="the scope's own process is systemd-run's to start")
def test_whoever_is_killed_the_groups_go(limited: Limited) -> None:
    if not limited.can(*GROUPS):
        return
    site = limited.site
    site.tidy, site.verdict = False, None
    # nono alone: the monitor ends the command and removes the groups.
    launch, made, pids = family(limited, *FLAGS.values())
    there = [path for path in made if os.path.exists(path)]
    assert there
    launch.kill()
    wait_for(lambda: not any(map(os.path.exists, there)), "the monitor has removed the groups")
    assert not any(map(is_alive, pids))
    # The monitor alone: nono does both, and says so.
    for name in ("pids", "seen"):
        (site.project / name).unlink()
    launch, made, pids = family(limited, *FLAGS.values())
    there = [path for path in made if os.path.exists(path)]
    os.kill(launch.monitor(), signal.SIGKILL)
    assert launch.wait().status == 137
    assert not any(map(os.path.exists, there))
    assert site.record().outcome["counts"]["survivors_left"] == 0
    # Both: the next launch removes what is left, once nothing is in it.
    for name in ("pids", "seen"):
        (site.project / name).unlink()
    launch, made, pids = family(limited, *FLAGS.values())
    there = [path for path in made if os.path.exists(path)]
    monitor = launch.monitor()
    os.kill(launch.pid, signal.SIGSTOP)
    os.kill(monitor, signal.SIGKILL)
    launch.kill()
    limited.shell("true", *FLAGS.values())
    assert all(map(os.path.exists, there))  # they are not empty
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not any(map(is_alive, pids)), "the command is gone")
    wait_for(lambda: _cleared(limited, there), "the next launch has removed them")


def _cleared(limited: Limited, there: list[str]) -> bool:
    limited.shell("true", *FLAGS.values())
    return not any(map(os.path.exists, there))


def test_launches_at_once_do_not_take_each_others_groups_away(limited: Limited) -> None:
    if not limited.can("memory_bytes"):
        return
    site = limited.site
    running = [site.start("run", "--memory", "64M", "--", "/bin/true", program=started()) for _ in range(12)]
    assert [launch.wait().status for launch in running] == [0] * 12


# --- where it cannot be held ---------------------------------------------------------------------


def test_inside_a_launch_what_needs_a_group_is_refused_and_the_rest_holds(limited: Limited) -> None:
    code = [os.path.dirname(os.path.dirname(pytest.__file__)), sys.prefix, sys.base_prefix]
    reads = [word for path in code for word in ("--read", path)]
    for flag in FLAGS.values():
        ended, status = limited.run(*reads, "--", NONO, "run", "--no-audit", flag, "--", "/bin/true")
        assert ended.status == 125
        assert f"give the limit to the launch around this one, session {status['session']}" in ended.stderr
    inner = ["--no-audit", "--nofile", "32", "--max-file-size", "1M", "--", "/bin/sh", "-c", "ulimit -n"]
    ended, _ = limited.run(*reads, "--nofile", "128", "--", NONO, "run", *inner)
    assert (ended.status, ended.stdout) == (0, b"32\n"), ended.stderr
    if limited.can("memory_bytes"):
        hog = ["--", PYTHON, "-I", "-c", HOG.format(512)]
        ended, status = limited.run(
            *reads, "--memory", "256M", "--", NONO, "run", "--no-audit", "--read", sys.base_prefix, *hog
        )
        # The outer limit holds for all of it; whether the inner nono was ended too, or had said 137 of what
        # it ran by then, is told apart.
        assert ended.status == 137
        assert ("ended_by" in status) == ("signal" in status)
        assert "had used up its 256 MiB of memory (--memory)" in ended.stderr


MOUNTED = "s/^[^ ]* [^ ]* [^ ]* [^ ]* \\([^ ]*\\) .* - cgroup2\\? .*/\\1/p"


@pytest.mark.skipif(not IS_ROOT, reason="root makes mount namespaces")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            f"for m in $(sed -n '{MOUNTED}' /proc/self/mountinfo); do mount -o remount,bind,ro $m; done",
            "read-only file system",
        ),
        ("mount -t tmpfs none /sys/fs/cgroup", "no file system of cgroups can be seen"),
    ],
    ids=["read-only", "hidden"],
)
def test_where_no_group_can_be_made_a_launch_is_refused(limited: Limited, change: str, said: str) -> None:
    unshared = ("unshare", "--mount", "sh", "-c", f'{change}; exec "$@"', "sh", NONO)
    if subprocess.run([*unshared[:-1], "true"], capture_output=True, check=False).returncode:
        missing("a mount namespace for root")
    for flag in FLAGS.values():
        ended, status = limited.site.status(flag, "--", "/bin/true", program=unshared)
        assert ended.status == 125
        assert status["not_started"]["code"] == "limit.unenforceable"
        assert said in status["not_started"]["message"]
        assert "hint: " in ended.stderr
    ended = limited.site.shell("ulimit -n", "--nofile", "32", program=unshared)
    assert (ended.status, ended.stdout) == (0, b"32\n")


@pytest.mark.skipif(IS_ROOT, reason="of an ordinary user")
def test_an_ordinary_user_is_told_how_to_get_a_group(limited: Limited) -> None:
    ended, status = limited.site.status("--memory", "64M", "--", "/bin/true")
    if limited.held["memory_bytes"] and started() == (NONO,):
        assert ended.status == 0  # the group was delegated already
        return
    assert (ended.status, status["not_started"]["code"]) == (125, "limit.unenforceable")
    assert "systemd-run --user --scope -p Delegate=yes" in ended.stderr


# --- where else they are said --------------------------------------------------------------------


def test_a_dry_run_says_and_tries_them_and_its_manifest_holds_a_launch_to_them(limited: Limited) -> None:
    site = limited.site
    flags = ["--nofile", "32"]
    limits = {"open_files": 32}
    if limited.can("memory_bytes"):
        flags += ["--memory", "256M"]
        limits["memory_bytes"] = 256 * MIB
    flags += ["--read", str(site.project)]
    ended = site.run("--dry-run", "--json", *flags, "--", "/bin/sh", program=started())
    document = json.loads(ended.stdout)
    assert document["record"]["start"]["limits"] == limits
    assert document["manifest"]["limits"] == limits
    said = site.run("--dry-run", *flags, "--", "/bin/sh", program=started()).stdout.decode()
    assert "limit      32 open files in each process" in said
    manifest = site.base / "manifest.json"
    document["manifest"]["files"] += document["capabilities"]["files"]
    manifest.write_text(json.dumps(document["manifest"]))
    ended, status = limited.shell("ulimit -n", "--config", manifest)
    assert (ended.status, ended.stdout) == (0, b"32\n"), ended.stderr
    assert status["limits"] == limits
    ended, _ = limited.shell("ulimit -n", "--config", manifest, "--nofile", "16")
    assert ended.stdout == b"16\n"
    ended, _ = limited.shell("ulimit -n", "--config", manifest, "--nofile", "64")
    assert ended.stdout == b"32\n"
    assert "nono: the manifest's limit is lower, and holds: 32 open files in each process" in ended.lines


def test_the_lowest_of_profile_and_flags_holds_and_a_flag_takes_the_place_of_a_default(site: Site) -> None:
    site.config.mkdir(parents=True, exist_ok=True)
    (site.config / "config.toml").write_text('[launch]\nlimits = { nofile = 40, max_file_size = "2M" }\n')
    count = "ulimit -n"
    assert site.shell(count).stdout == b"40\n"
    assert site.shell(count, "--nofile", "60").stdout == b"60\n"
    base = site.base / "base.json"
    base.write_text(json.dumps({"limits": {"nofile": 50, "max_file_size": "1M"}}))
    profile = site.profile(extends=str(base), limits={"nofile": 55})
    assert site.shell(count, "-p", profile).stdout == b"40\n"
    ended = site.shell(count, "-p", profile, "--nofile", "60")
    assert ended.stdout == b"50\n"
    assert "nono: the profile's limit is lower, and holds: 50 open files in each process" in ended.lines
    assert site.record().start["limits"] == {"file_size_bytes": MIB, "open_files": 50}
    shown = site.nono("profile", "show", profile).stdout.decode()
    assert "50 open files in each process" in shown
    assert "files of 1 MiB" in shown
    (site.config / "config.toml").unlink()


def test_from_python(site: Site) -> None:
    code = (
        "from runtime import launch\n"
        "result = launch(['/bin/sh', '-c', 'ulimit -n'], nofile=32, max_file_size='1M')\n"
        "print(dict(result.limits), result.ended_by)\n"
        "for wrong in (\n"
        "    {'memory': 0}, {'memory': '5x'}, {'nofile': '32'}, {'cpu_time': 1.5}, {'max_processes': True}\n"
        "):\n"
        "    try:\n"
        "        launch(['/bin/true'], **wrong)\n"
        "    except Exception as error:\n"
        "        print(error.code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code], env=site.environment, cwd=site.project, capture_output=True,
        check=False,
    )  # fmt: skip
    assert done.stdout.decode().splitlines() == [
        "32",
        "{'file_size_bytes': 1048576, 'open_files': 32} None",
        *["usage.limit"] * 5,
    ], done.stderr


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--memory", ""), ("--memory", "0"), ("--memory", "-1"), ("--memory", "1.5G"), ("--memory", "64m"),
        ("--memory", "64MB"), ("--memory", "9" * 40), ("--memory", "٣"), ("--max-processes", "0"),
        ("--max-processes", "4194305"), ("--max-processes", "1K"), ("--cpu-time", "0"), ("--cpu-time", "1.5"),
        ("--cpu-time", "10000d"), ("--cpu-time", "inf"), ("--max-file-size", "1E"), ("--nofile", "3"),
        ("--nofile", "2000000000"), ("--nofile", "\x1b[2J"),
    ],
)  # fmt: skip
def test_what_is_no_limit(site: Site, flag: str, value: str) -> None:
    ended, status = site.status(f"{flag}={value}", "--", "/bin/true")
    assert (ended.status, status["not_started"]["code"]) == (125, "usage.limit")
    assert ended.stderr.startswith(f"nono: {flag}: ")
    assert "hint: " in ended.stderr
    assert "\x1b" not in ended.stderr
