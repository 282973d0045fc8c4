"""``--trace-exec`` and ``--exec-allow``: every exec of a launch is seen, and no other image runs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from runtime.broker import exec_tracing
from runtime.capability import exec_rules
from tests.system.conftest import IS_ROOT, NONO, PYTHON, is_alive, missing, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.system.conftest import Ended, Record, Site

TRUE, LS, SH, CAT = (os.path.realpath(f"/bin/{name}") for name in ("true", "ls", "sh", "cat"))
KILLED = 128 + signal.SIGKILL


def sha256(path: str | Path) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def loader() -> str:
    """Return the dynamic loader of the system's own programs."""
    with open(TRUE, "rb") as file:
        data = file.read()
    at = data.find(b"/lib")
    return os.path.realpath(os.fsdecode(data[at : data.index(b"\0", at)]))


def decided(record: Record) -> list[dict[str, Any]]:
    """Return what was decided about execs."""
    found = [entry["data"] for entry in record.entries if entry["kind"] == "decision"]
    assert {each["what"] for each in found} <= {"exec"}
    return found


def python(site: Site, script: str, *flags: object) -> Ended:
    """Run a Python script that may write in the project, with these flags."""
    return site.python(script, "--allow", site.project, *map(str, flags))


@pytest.fixture
def compiled(site: Site) -> Callable[[str, str], Path]:
    """Compile C without a library: what it does it does in its first instructions."""

    def compile_c(name: str, source: str) -> Path:
        text = site.base / f"{name}.c"
        text.write_text(source, encoding="utf-8")
        program = site.project / name
        cc = shutil.which("cc") or missing("there is no C compiler")
        done = subprocess.run([cc, "-O1", "-o", program, text], capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return program

    return compile_c


# --- what is recorded -----------------------------------------------------------------------------


def test_every_image_is_recorded_with_its_digest_and_who_executed_it(site: Site) -> None:
    script = "/bin/ls >/dev/null; /bin/sh -c '/bin/true; /bin/true'; /bin/true; exit 3"
    ended = site.shell(script, "--trace-exec")
    assert ended.status == 3, ended.stderr
    record = site.record()
    assert record.intent["execs"] == {"tracing": "trace"}
    assert record.start["execs"] == {"tracing": "trace"}
    of_shell = {"path": SH, "sha256": sha256(SH)}
    assert [
        (each["subject"], each["exec"]["sha256"], each["exec"]["parent"]) for each in decided(record)
    ] == [
        (LS, sha256(LS), of_shell),
        (SH, sha256(SH), of_shell),
        (TRUE, sha256(TRUE), of_shell),
    ]
    assert {each["verdict"] for each in decided(record)} == {"granted"}
    counts = record.outcome["counts"]
    assert (counts["execs"], counts["execs_refused"], counts["execs_untold"]) == (5, 0, 0)
    assert (counts["decisions"], counts["decisions_dropped"]) == (3, 0)


def test_without_it_the_start_says_so_and_nothing_is_traced(site: Site) -> None:
    ended = site.shell("/bin/ls >/dev/null; grep TracerPid /proc/self/status")
    assert ended.stdout.split() == [b"TracerPid:", b"0"]
    record = site.record()
    assert record.start["execs"] == {"tracing": "none"}
    assert "execs" not in record.intent
    assert "execs" not in record.outcome["counts"]


def test_a_wider_record_is_said_of_in_the_verdict_and_shown(site: Site) -> None:
    site.tidy = False  # to look at a ledger leaves SQLite's files beside it
    assert site.shell("/bin/ls /", "--trace-exec", "--read", site.project).status != 0
    assert site.shell("/bin/true; exit 0", "--exec-allow", "/bin/true").status == 0
    text = site.verify().stdout.decode()
    assert "in 2 launches every exec was seen" in text
    shown = site.nono("audit", "show", "last").stdout.decode()
    assert "every exec seen, and only some programs allowed" in shown
    assert f"allowed {TRUE}" in shown
    assert f"granted exec {TRUE} sha256 {sha256(TRUE)[:16]}… by {SH}" in shown


def test_what_is_executed_is_in_the_ledger_within_seconds_however_long_it_runs(site: Site) -> None:
    """A nono that is killed takes with it what it had not written: never much, and the verdict says so."""
    site.tidy, site.verdict = False, 3
    for number in range(4):
        shutil.copy(TRUE, site.project / f"program-{number}")
    script = "for n in 0 1 2 3; do ./program-$n; sleep 1.5; done; : > done; exec sleep 600"
    launch = site.start("run", "--trace-exec", "--allow", site.project, "--", "/bin/sh", "-c", script)
    wait_for((site.project / "done").exists, "all have run", 60)
    began = time.monotonic()
    wanted = {str(site.project / f"program-{number}") for number in range(4)}
    wait_for(lambda: wanted <= {each["subject"] for each in decided(site.record())}, "all are recorded")
    assert time.monotonic() - began < 5
    launch.kill()
    verdict = site.verify().stdout.decode()
    assert "in 1 launch the supervisor was lost meanwhile" in verdict
    assert site.run("--", "/bin/true").status == 0
    verdict = site.verify().stdout.decode()
    assert "1 lost, 0 unfinished" in verdict
    assert "in 1 launch the supervisor was lost meanwhile" in verdict


def test_who_keeps_the_ledger_from_others_holds_up_no_signal_and_loses_no_exec(site: Site) -> None:
    """What was executed meanwhile waits for its turn; nono, and with it whoever wants to end it, does not."""
    script = (
        'trap "cp told heard; exec sleep 2" TERM; echo > told; until [ -e go ]; do sleep 0.1; done;'
        " /bin/true; while :; do sleep 0.1; done"
    )
    launch = site.start("run", "--trace-exec", "--allow", site.project, "--", "/bin/sh", "-c", script)
    wait_for((site.project / "told").exists, "it runs")
    (ledger,) = (site.state / "ledgers").glob("[!.]*.db")
    with contextlib.closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (site.project / "go").touch()
        time.sleep(2)  # twice as long as what was executed waits to be written
        launch.process.send_signal(signal.SIGTERM)
        began = time.monotonic()
        wait_for((site.project / "heard").exists, "the signal arrives", 60)
        assert time.monotonic() - began < 5
        other.execute("ROLLBACK")
    assert launch.wait().status == 0
    record = site.record()
    assert TRUE in {each["subject"] for each in decided(record)}
    assert record.outcome["counts"]["decisions_dropped"] == 0


def test_what_is_executed_while_the_ledger_is_busy_for_long_is_written_later(site: Site) -> None:
    """It was given up for good when SQLite's patience ended, which this test has end soon."""
    waits = "until [ -e {} ]; do sleep 0.1; done"
    script = f"echo > told; {waits.format('go')}; /bin/true; {waits.format('on')}"
    soon = (
        "import sys\n"
        "from store import ledger_file\n"
        "from runtime.cli import main\n"
        "ledger_file.BUSY_SECONDS = 0.5\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ("run", "--trace-exec", "--allow", site.project, "--", "/bin/sh", "-c", script)
    launch = site.start(*arguments, program=(NONO.parent / "python", "-I", "-c", soon))
    wait_for((site.project / "told").exists, "it runs")
    (ledger,) = (site.state / "ledgers").glob("[!.]*.db")
    with contextlib.closing(sqlite3.connect(ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        (site.project / "go").touch()
        time.sleep(4)
        other.execute("ROLLBACK")
    (site.project / "on").touch()
    assert launch.wait().status == 0
    record = site.record()
    assert TRUE in {each["subject"] for each in decided(record)}
    assert record.outcome["counts"]["decisions_dropped"] == 0


def test_execs_beyond_the_record_are_counted(site: Site) -> None:
    script = f"""
import os, shutil, subprocess
for number in range({exec_tracing.MAX_TOLD} + 20):
    shutil.copyfile({TRUE!r}, "true")
    with open("true", "ab") as file:
        file.write(b"%d" % number)
    os.chmod("true", 0o755)
    subprocess.run(["./true"], check=True)
"""
    ended = python(site, script, "--trace-exec")
    assert ended.status == 0, ended.stderr
    record = site.record()
    entries, counts = decided(record), record.outcome["counts"]
    told = len(entries)
    assert 200 < told <= exec_tracing.MAX_TOLD
    assert len({each["exec"]["sha256"] for each in entries}) == told
    assert counts["execs"] == exec_tracing.MAX_TOLD + 20
    assert counts["execs_untold"] == counts["decisions_dropped"] == counts["execs"] - told
    assert "more programs ran than it names" in site.verify().stdout.decode()


def test_a_program_that_changes_in_place_has_another_digest_each_time(site: Site) -> None:
    """Within one tick of the clock, of the same size, in the same file, by a mapping: no digest is stale."""
    script = f"""
import mmap, os, shutil, subprocess, hashlib
shutil.copyfile({TRUE!r}, "tool")
with open("tool", "ab") as file:
    file.write(b"0")
os.chmod("tool", 0o755)
times = set()
for number in range(60):
    with open("tool", "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[-1:] = bytes([number])
    subprocess.run(["./tool"], check=True)
    times.add(os.stat("tool").st_ctime_ns)
    print(hashlib.sha256(open("tool", "rb").read()).hexdigest())
"""
    ended = python(site, script, "--trace-exec")
    assert ended.status == 0, ended.stderr
    entries = decided(site.record())
    assert [each["exec"]["sha256"] for each in entries] == ended.stdout.decode().split()


def test_the_status_and_the_plan_have_what_the_record_has(site: Site) -> None:
    _, status = site.status("--exec-allow", TRUE, "--", "/bin/sh", "-c", "/bin/true; /bin/ls; exit 0")
    assert (status["execs"], status["execs_refused"], status["execs_untold"]) == (2, 1, 0)
    planned = site.run("--dry-run", "--json", "--exec-allow", TRUE, "--", "/bin/true")
    plan = json.loads(planned.stdout)
    rule = {"asked": TRUE, "path": TRUE, "sha256": sha256(TRUE)}
    assert plan["record"]["start"]["execs"] == {"allow": [rule], "tracing": "allow"}
    assert plan["record"]["intent"]["execs"] == {"allow": [TRUE], "tracing": "allow"}
    refused = site.run("--dry-run", "--exec-allow", "/no/such/program", "--", "/bin/true")
    assert refused.status == 125
    said = site.run("-v", "--exec-allow", TRUE, "--", "/bin/true").stderr
    assert "every one is seen, and limited to programs" in said
    assert f"program    {TRUE}" in said


def test_a_program_of_python_asks_for_it_too(site: Site) -> None:
    script = f"""
import json, threading
from runtime import launch
threading.Thread(target=threading.Event().wait, daemon=True).start()
done = launch(["/bin/sh", "-c", "/bin/true; /bin/ls; exit 4"], exec_allow=[{TRUE!r}])
print(json.dumps([done.exit, dict(done.execs)]))
"""
    ended = site.start("-I", "-c", script, program=(sys.executable,)).wait()
    counts = {"execs": 2, "execs_refused": 1, "execs_untold": 0}
    assert json.loads(ended.stdout) == [4, counts], ended.stderr
    assert [each["verdict"] for each in decided(site.record())] == ["granted", "denied"]


# --- what is refused --------------------------------------------------------------------------------

FIRST_INSTRUCTION = """
static void say(const char *text, long size) {
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "a"(1), "D"(1), "S"(text), "d"(size)
                     : "rcx", "r11", "memory");
}
__attribute__((constructor)) static void early(void) { say("ran\\n", 4); }
int main(void) { return 0; }
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="its assembly is of x86-64")
def test_what_is_refused_does_not_run_one_instruction(
    site: Site, compiled: Callable[[str, str], Path]
) -> None:
    program = compiled("tool", FIRST_INSTRUCTION)
    seen = site.shell("./tool; echo $?", "--read", site.project, "--trace-exec")
    assert seen.stdout == b"ran\n0\n"
    refused = site.shell("./tool; echo $?", "--read", site.project, "--exec-allow", "/bin/true")
    assert refused.stdout.decode().split() == [str(KILLED)]
    (entry,) = decided(site.record())
    assert (entry["verdict"], entry["subject"]) == ("denied", str(program))
    assert entry["exec"]["sha256"] == sha256(program)
    assert site.record().outcome["counts"]["execs_refused"] == 1


@pytest.mark.parametrize(
    "rule",
    [lambda: TRUE, lambda: sha256(TRUE), lambda: "sha256:" + sha256(TRUE), lambda: os.path.dirname(TRUE)],
)
def test_a_program_is_allowed_by_path_digest_and_directory(site: Site, rule: Callable[[], str]) -> None:
    ended = site.shell("/bin/true && echo ran", "--exec-allow", rule())
    assert ended.stdout == b"ran\n"
    start = site.record().start["execs"]
    assert start["tracing"] == "allow"
    assert [each["asked"] for each in start["allow"]] == site.record().intent["execs"]["allow"] == [rule()]


def test_the_command_itself_is_allowed_and_may_execute_itself_again(site: Site) -> None:
    ended = site.shell("/bin/sh -c 'echo again'; exec /bin/ls", "--exec-allow", sha256(TRUE))
    assert ended.stdout == b"again\n"
    assert ended.status == KILLED  # the process that executed another image was the command
    assert [(each["verdict"], each["subject"]) for each in decided(site.record())] == [
        ("granted", SH),
        ("denied", LS),
    ]
    assert "1 program that it started was refused" in ended.stderr


def test_a_program_by_its_path_is_the_file_as_it_was(site: Site) -> None:
    """Whoever replaces it, the command as well, has another program; and a copy is the same one."""
    script = f"""
import os, shutil, subprocess
print(subprocess.run(["./tool"]).returncode)
shutil.copyfile({TRUE!r}, "copy"), os.chmod("copy", 0o755)
print(subprocess.run(["./copy"]).returncode)
os.unlink("tool"), shutil.copyfile({LS!r}, "tool"), os.chmod("tool", 0o755)
print(subprocess.run(["./tool"]).returncode)
"""
    shutil.copyfile(TRUE, site.project / "tool")
    (site.project / "tool").chmod(0o755)
    ended = python(site, script, "--exec-allow", site.project / "tool")
    assert ended.stdout.split() == [b"0", b"0", b"-9"], ended.stderr


@pytest.mark.parametrize(
    "rules", [(), ("--exec-allow", "/usr"), ("--exec-allow", "/usr", "--exec-allow", "TRUE")]
)
def test_a_copy_in_memory_is_seen_and_refused(site: Site, rules: tuple[str, ...]) -> None:
    script = f"""
import os
memory = os.memfd_create("tool", 0)
with open({TRUE!r}, "rb") as file:
    os.write(memory, file.read())
pid = os.fork()
if pid == 0:
    os.execve(memory, ["true"], {{}})
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    flags = [sha256(TRUE) if each == "TRUE" else each for each in rules] or ["--trace-exec"]
    ended = python(site, script, *flags)
    assert ended.stdout.split() == [b"-9" if rules else b"0"], ended.stderr
    (entry,) = decided(site.record())
    assert entry["subject"] == "/memfd:tool (deleted)"
    assert entry["exec"]["sha256"] == sha256(TRUE)
    assert entry["verdict"] == ("denied" if rules else "granted")
    assert "no path leads to it" in entry["reason"]


def test_what_a_mapping_changes_in_memory_is_another_image(site: Site) -> None:
    """A page that was read before is written without any time that changes: no digest of it may be kept."""
    script = f"""
import mmap, os, subprocess, sys, time
name = sys.argv[1] + "/tool"
allowed, other = (open(path, "rb").read() for path in ({LS!r}, {CAT!r}))
assert len(other) <= len(allowed)
with open(name, "wb") as file:
    file.write(allowed)
os.chmod(name, 0o755)
time.sleep(2.5)  # until a time of change would be believed
before = os.stat(name).st_ctime_ns
codes = [subprocess.run([name, "--version"], stdout=subprocess.DEVNULL).returncode]
with open(name, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
    for at in range(0, len(mapped), 4096):
        mapped[at]
    mapped[: len(other)] = other
codes.append(subprocess.run([name, "--version"], stdout=subprocess.DEVNULL).returncode)
print(codes, os.stat(name).st_ctime_ns == before)
"""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:  # a file system of memory, as few are
        outside = subprocess.run(
            [sys.executable, "-c", script, directory], capture_output=True, text=True, check=True
        )
        assert outside.stdout == "[0, 0] True\n"
        os.unlink(f"{directory}/tool")
        ended = site.python(
            f"import sys; sys.argv[1:] = [{directory!r}]\n{script}", "--allow", directory, "--exec-allow", LS
        )
    assert ended.stdout == b"[0, -9] True\n", ended.stderr
    granted, denied = decided(site.record())
    assert (granted["verdict"], granted["exec"]["sha256"]) == ("granted", sha256(LS))
    assert denied["verdict"] == "denied"
    assert denied["exec"]["sha256"] != sha256(LS)


def test_a_file_that_was_removed_is_seen_and_refused(site: Site) -> None:
    script = f"""
import os, shutil
shutil.copyfile({TRUE!r}, "tool"), os.chmod("tool", 0o755)
held = os.open("tool", os.O_RDONLY)
os.unlink("tool")
for name in ("", "tool (deleted)"):
    if name:
        shutil.copyfile({TRUE!r}, name), os.chmod(name, 0o755)
        held = os.open(name, os.O_RDONLY)
    pid = os.fork()
    if pid == 0:
        os.execve(held, ["true"], {{}})
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    # The second has that name, and a path leads to it.
    assert python(site, script, "--exec-allow", TRUE).stdout.split() == [b"-9", b"0"]
    removed, named = decided(site.record())
    assert removed["subject"] == named["subject"] == f"{site.project}/tool (deleted)"
    assert (removed["verdict"], named["verdict"]) == ("denied", "granted")


def test_a_loader_is_seen_and_refused_wherever_it_lies(site: Site) -> None:
    script = f"{loader()} /bin/echo loaded; cp {loader()} mine; chmod +x mine; ./mine /bin/echo loaded"
    flags = ("--allow", site.project, "--workdir", site.project)
    traced = site.shell(script, *flags, "--trace-exec")
    assert traced.stdout == b"loaded\nloaded\n", traced.stderr
    reasons = {each["subject"]: each["reason"] for each in decided(site.record())}
    assert "it is a loader" in reasons[loader()]
    assert "it is a loader" in reasons[f"{site.project}/mine"]
    digest = sha256(loader())
    refused = site.shell(
        script, *flags, "--exec-allow", "/usr", "--exec-allow", digest, "--exec-allow", "/bin"
    )
    assert refused.stdout == b""
    reasons = {
        each["subject"]: each["reason"] for each in decided(site.record()) if each["verdict"] == "denied"
    }
    assert set(reasons.values()) == {"it is a loader, which would run any file"}
    assert set(reasons) == {loader(), f"{site.project}/mine"}


def test_an_image_that_cannot_be_read_is_recorded_without_a_digest_and_refused(site: Site) -> None:
    shutil.copyfile(TRUE, site.project / "tool")
    (site.project / "tool").chmod(0o111)
    flags = ("--read", site.project, "--workdir", site.project)
    assert site.shell("./tool; echo $?", *flags, "--trace-exec").stdout == b"0\n"
    (entry,) = decided(site.record())
    assert entry["exec"].get("sha256") == (sha256(TRUE) if IS_ROOT else None)
    refused = site.shell("./tool; echo $?", *flags, "--exec-allow", site.project)
    assert refused.stdout == (b"0\n" if IS_ROOT else b"137\n")  # root reads it
    (site.project / "tool").chmod(0o755)


def test_an_image_that_is_too_large_is_recorded_without_a_digest_and_refused(site: Site) -> None:
    """To hash it would keep the launch waiting; it takes no room on a disk."""
    shutil.copyfile(TRUE, site.project / "tool")
    (site.project / "tool").chmod(0o755)
    os.truncate(site.project / "tool", exec_rules.MAX_HASHED_BYTES + 1)
    flags = ("--read", site.project, "--workdir", site.project)
    assert site.shell("./tool; echo $?", *flags, "--trace-exec").stdout == b"0\n"
    (entry,) = decided(site.record())
    assert "sha256" not in entry["exec"]
    assert "it has more than" in entry["reason"]
    assert site.shell("./tool; echo $?", *flags, "--exec-allow", site.project).stdout == b"137\n"
    named = site.shell("true", *flags, "--exec-allow", "tool")
    assert named.status == 125
    assert "it has more than" in named.stderr


def test_of_scripts_the_interpreter_is_what_runs(site: Site) -> None:
    site.script("inner", 'echo "inner $0"')
    site.file("outer", "#!./inner\n", 0o755)
    flags = ("--read", site.project, "--workdir", site.project)
    assert site.shell("./outer", *flags, "--trace-exec").stdout.startswith(b"inner ")
    (entry,) = decided(site.record())
    assert entry["subject"] == SH
    site.file("ls", f"#!{LS}\n", 0o755)
    ended = site.shell("./outer; ./ls; echo $?", *flags, "--exec-allow", TRUE)
    assert ended.stdout.decode().splitlines()[0].startswith("inner")
    assert ended.stdout.decode().splitlines()[1:] == [str(KILLED)]


def test_its_own_link_in_proc_and_a_descriptor_are_the_file_behind_them(site: Site) -> None:
    script = f"""
import os, sys
for path in ("/proc/self/exe", os.open({TRUE!r}, os.O_RDONLY)):
    pid = os.fork()
    if pid == 0:
        os.execve(path, ["python", "-I", "-c", ""], {{}})
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    assert python(site, script, "--exec-allow", TRUE).stdout.split() == [b"0", b"0"]
    assert [each["subject"] for each in decided(site.record())] == [PYTHON, TRUE]


I386 = (
    b"\x7fELF\x01\x01\x01" + bytes(9) + b"\x02\x00\x03\x00\x01\x00\x00\x00"
    + (0x08048054).to_bytes(4, "little") + (52).to_bytes(4, "little") + bytes(8)
    + b"\x34\x00\x20\x00\x01\x00\x28\x00\x00\x00\x00\x00"
    + b"\x01\x00\x00\x00" + bytes(4) + (0x08048000).to_bytes(4, "little") * 2
    + (96).to_bytes(4, "little") * 2
    + b"\x05\x00\x00\x00\x00\x10\x00\x00"
    + b"\xb8\x01\x00\x00\x00\xbb\x07\x00\x00\x00\xcd\x80"  # exit(7)
)  # fmt: skip
"""A program for i386, a header, a segment and three instructions."""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="i386 is what x86-64 runs besides")
def test_a_program_for_another_machine_is_an_image_like_any_other(site: Site) -> None:
    program = site.file("i386", I386, 0o755)
    try:
        outside = subprocess.run([program], check=False).returncode
    except OSError as error:
        missing(f"this kernel runs no i386 programs: {error.strerror}")
    assert outside == 7
    flags = ("--read", site.project, "--workdir", site.project)
    ended = site.shell("./i386; echo $?", *flags, "--trace-exec")
    assert ended.stdout.split() == [
        str(128 + signal.SIGSYS).encode()
    ]  # its first call; the filter's own answer
    (entry,) = decided(site.record())
    assert (entry["subject"], entry["exec"]["sha256"]) == (str(program), sha256(program))
    assert site.shell("./i386; echo $?", *flags, "--exec-allow", TRUE).stdout == b"137\n"


def test_the_executing_thread_need_not_be_the_first(site: Site) -> None:
    script = f"""
import os, sys, threading, time
def execute(path):
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    for _ in range(4):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    threading.Thread(target=os.execv, args=(path, [path, "-c", "exit 5"])).start()
    time.sleep(60)
print(execute({SH!r}), execute({LS!r}))
"""
    assert python(site, script, "--exec-allow", SH).stdout.split() == [b"5", b"-9"]
    assert [(each["verdict"], each["subject"]) for each in decided(site.record())] == [
        ("granted", SH),
        ("denied", LS),
    ]


# --- rules that cannot be meant ---------------------------------------------------------------------


def test_rules_that_hold_nothing_are_refused(site: Site) -> None:
    script = site.script("script", "true")
    os.mkfifo(site.project / "fifo")
    cases: list[tuple[str | Path, str]] = [
        (loader(), "it is a loader"),
        (script, "it is a script"),
        (site.project / "nothing", "No such file"),
        (site.project / "fifo", "no regular file"),
        (site.file("text", "text"), "no program"),
        (site.project, "may write to"),
        (site.base, "may write to"),
        ("/", "may write to"),
        (site.temporary, "may write to"),
        ("", "neither a digest nor a path"),
    ]
    for rule, why in cases:
        ended = site.shell("touch ran", "--allow", site.project, "--exec-allow", rule)
        assert ended.status == 125, rule
        assert why in ended.stderr, ended.stderr
        assert not (site.project / "ran").exists()


def test_a_profile_asks_for_it_and_flags_add_to_it(site: Site) -> None:
    profile = site.profile(execs={"allow": [TRUE, "$WORKDIR/tools"]})
    (site.project / "tools").mkdir()
    shutil.copyfile(CAT, site.project / "tools/mine")
    (site.project / "tools/mine").chmod(0o755)
    script = "/bin/true && echo true; tools/mine /dev/null && echo mine; /bin/ls && echo ls"
    flags = ("-p", profile, "--read", site.project, "--workdir", site.project)
    assert site.shell(script, *flags).stdout.split() == [b"true", b"mine"]
    assert b"ls" in site.shell(script, *flags, "--exec-allow", LS).stdout.split()
    assert site.record().intent["execs"]["allow"] == [TRUE, f"{site.project}/tools", LS]
    assert site.shell("/bin/ls", "-p", site.profile(execs={"trace": True})).status != 127
    assert site.record().start["execs"] == {"tracing": "trace"}


# --- nothing gets away, and nothing else is different -----------------------------------------------

UNTRACED = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) {
    long pid = syscall(SYS_clone, 0x00800000 | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0) { execl("/bin/ls", "ls", "/dev/null", (char *)0); _exit(9); }
    if (pid < 0) printf("clone: %s\n", strerror(errno)); else waitpid(pid, 0, 0);
    fflush(stdout);
    pid = fork();
    if (pid == 0) { _exit(ptrace(PTRACE_TRACEME, 0, 0, 0) ? errno : 0); }
    int status; waitpid(pid, &status, 0);
    printf("traceme: %s\n", strerror(WEXITSTATUS(status)));
    pid = fork();
    if (pid == 0) { pause(); _exit(0); }
    printf("seize: %s\n", ptrace(PTRACE_SEIZE, pid, 0, 0) ? strerror(errno) : "Success");
    kill(pid, SIGKILL); waitpid(pid, 0, 0);
    return 0;
}
"""


def test_no_process_is_made_that_is_not_traced_and_none_traces(
    site: Site, compiled: Callable[[str, str], Path]
) -> None:
    compiled("untraced", UNTRACED)
    flags = ("--read", site.project, "--workdir", site.project)
    usual = site.shell("./untraced", *flags).stdout.decode().splitlines()
    assert usual == ["/dev/null", "traceme: Success", "seize: Success"]
    traced = site.shell("./untraced", *flags, "--exec-allow", site.project).stdout.decode().splitlines()
    assert traced == [f"{what}: Operation not permitted" for what in ("clone", "traceme", "seize")]


def test_every_way_to_make_a_process_is_followed(site: Site, compiled: Callable[[str, str], Path]) -> None:
    compiled(
        "ways",
        r"""
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
extern char **environ;
static char *arguments[] = {"true", 0};
static void *spawns(void *path) {
    pid_t pid;
    posix_spawn(&pid, path, 0, 0, arguments, environ);
    waitpid(pid, 0, 0);
    return 0;
}
static int runs(void *path) { execv(path, arguments); _exit(9); }
static char stack[65536];
int main(void) {
    pid_t pid = vfork();
    if (pid == 0) { execv("./a", arguments); _exit(9); }
    waitpid(pid, 0, 0);
    pid = fork();
    if (pid == 0) {
        if (fork() == 0) { setsid(); if (fork() == 0) runs("./b"); _exit(0); }
        wait(0);
        _exit(0);
    }
    waitpid(pid, 0, 0);
    spawns("./c");
    pthread_t thread;
    pthread_create(&thread, 0, spawns, "./d");
    pthread_join(thread, 0);
    pid = clone(runs, stack + sizeof stack, CLONE_FS | CLONE_FILES, "./f");
    waitpid(pid, 0, __WALL);
    pid = clone(runs, stack + sizeof stack, CLONE_PARENT | SIGCHLD, "./e");
    while (kill(pid, 0) == 0) usleep(1000); /* another process waits for it */
    return 0;
}
""",
    )
    for name in "abcdef":
        shutil.copyfile(TRUE, site.project / name)
        (site.project / name).chmod(0o755)
    flags = ("--read", site.project, "--workdir", site.project, "--trace-exec")
    ended = site.run(*flags, "--", "./ways")
    assert ended.status == 0, ended.stderr
    seen = {each["subject"]: each["exec"]["parent"]["path"] for each in decided(site.record())}
    assert seen == {f"{site.project}/{name}": f"{site.project}/ways" for name in "abcdef"}


def test_signals_and_stops_are_what_they_are_without(site: Site) -> None:
    script = """
import os, signal, time
got = []
signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
pid = os.fork()
if pid == 0:
    time.sleep(60)
os.setpgid(pid, pid)  # a job, as shells make them: the first group of a session is not stopped by SIGTSTP
def state():
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]
for stop in (signal.SIGSTOP, signal.SIGTSTP):
    os.kill(pid, stop)
    status = os.waitpid(pid, os.WUNTRACED)[1]
    print(os.WIFSTOPPED(status), os.WSTOPSIG(status) == stop, state() in "Tt")
    time.sleep(0.05)
    print(state() in "Tt")
    os.kill(pid, signal.SIGCONT)
    print(os.WIFCONTINUED(os.waitpid(pid, os.WCONTINUED)[1]))
os.kill(pid, signal.SIGTRAP)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
os.kill(os.getpid(), signal.SIGUSR1)
print(got)
"""
    usual, traced = (python(site, script, *flags) for flags in ((), ("--trace-exec",)))
    assert usual.stdout.decode().split() == [*["True"] * 10, "-5", "[1]"], usual.stderr
    assert traced.stdout == usual.stdout


def test_a_signal_to_nono_reaches_what_is_traced(site: Site) -> None:
    launch = site.start(
        "run", "--trace-exec", "--", "/bin/sh", "-c", "trap 'exit 42' TERM; echo; while :; do /bin/true; done"
    )
    assert launch.process.stdout is not None
    assert launch.process.stdout.read(1) == b"\n"
    launch.process.send_signal(signal.SIGTERM)
    assert launch.wait().status == 42


def test_what_is_killed_at_any_time_holds_nothing_up(site: Site) -> None:
    """Between fork, its first stop, exec and its end: each delay is another window."""
    script = f"""
import os, signal
ended = 0
for number in range(300):
    pid = os.fork()
    if pid == 0:
        os.execv({LS!r}, ["ls", "/dev/null"])
    for _ in range(number * 7):
        pass
    os.kill(pid, signal.SIGKILL)
    ended += os.waitpid(pid, 0)[0] == pid
os.write(2, b"%d" % ended)
"""
    for flag in (("--trace-exec",), ("--exec-allow", TRUE)):
        ended = python(site, script, *flag)
        assert ended.status == 0
        assert "300" in ended.stderr
        counts = site.record().outcome["counts"]
        assert counts["execs"] >= counts["execs_refused"]


def test_a_crowd_of_execs_ends_with_its_command(site: Site) -> None:
    script = (
        "i=0; while [ $i -lt 40 ]; do (while :; do /bin/true; : > ran-$i; done) & i=$((i+1)); done;"
        " set --; while [ $# -lt 40 ]; do sleep 0.5; set -- ran-*; done; exit 6"
    )
    ended = site.shell(script, "--trace-exec", "--allow", site.project)
    assert ended.status == 6, ended.stderr
    record = site.record()
    assert record.outcome["counts"]["execs"] > 40
    assert record.outcome["counts"]["survivors"] >= 40
    assert record.outcome["counts"]["survivors_left"] == 0


def test_what_is_left_is_counted_by_processes_each_once(site: Site) -> None:
    script = """
import os, threading, time
ready, done = os.pipe()
for _ in range(3):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(done, b"x")
            time.sleep(600)
        for _ in range(4):
            threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        os.write(done, b"x")
        time.sleep(600)
got = 0
while got < 6:
    got += len(os.read(ready, 6))
os._exit(0)
"""
    for flags in ((), ("--trace-exec",)):
        assert python(site, script, *flags).status == 0
        assert site.record().outcome["counts"]["survivors"] == 6, flags


def test_what_is_left_stopped_or_about_to_execute_is_ended_too(site: Site) -> None:
    script = """
import os, signal, time
for number in range(4):
    pid = os.fork()
    if pid == 0:
        os.setsid()
        if number % 2:
            os.kill(os.getpid(), signal.SIGSTOP)
        while True:
            if os.fork() == 0:
                os.execv("/bin/true", ["true"])
            os.wait()
    if number % 2:
        os.waitpid(pid, os.WUNTRACED)
time.sleep(0.2)
os._exit(0)
"""
    for flags in (("--trace-exec",), ("--exec-allow", LS)):
        assert python(site, script, *flags).status == 0
        counts = site.record().outcome["counts"]
        assert counts["survivors"] >= 4
        assert counts["survivors_left"] == 0


def test_threads_that_come_and_go_leave_nothing_with_the_tracer(site: Site) -> None:
    """Thousands of them; what executes in between is still said to be executed by who did it."""
    script = f"""
import os, subprocess, threading
for number in range(3000):
    thread = threading.Thread(target=int)
    thread.start()
    if number % 500 == 0:
        subprocess.run([{TRUE!r}], check=True)
    thread.join()
"""
    ended = python(site, script, "--trace-exec")
    assert ended.status == 0, ended.stderr
    (entry,) = decided(site.record())
    assert (entry["subject"], entry["exec"]["parent"]["path"]) == (TRUE, PYTHON)


def test_nono_wrap_inside_of_a_traced_launch_is_seen_like_any_other(site: Site) -> None:
    inner = site.base / "inner"
    inner.mkdir()
    places = " ".join(f"XDG_{name}_HOME={inner}" for name in ("STATE", "CONFIG", "CACHE"))
    environment = os.path.dirname(os.path.dirname(NONO))
    ended = site.shell(
        f"{places} {NONO} wrap -- {TRUE} && echo done",
        "--trace-exec", "--allow", inner, "--read", environment, *site.python_grants(),
    )  # fmt: skip
    assert ended.stdout == b"done\n", ended.stderr
    seen = [(each["subject"], each["exec"]["parent"]["path"]) for each in decided(site.record())]
    assert (seen[0], seen[-1]) == ((PYTHON, SH), (TRUE, PYTHON))  # between them what looks for libseccomp


def test_when_the_tracer_dies_all_that_it_traced_dies(site: Site) -> None:
    script = "setsid /bin/sleep 600 & echo $!; /bin/sleep 600"
    launch = site.start("run", "--trace-exec", "--", "/bin/sh", "-c", script)
    assert launch.process.stdout is not None
    daemon = int(launch.process.stdout.readline())
    assert is_alive(daemon)
    wait_for(lambda: Path(f"/proc/{daemon}/comm").read_text() == "sleep\n", "the daemon")
    os.kill(launch.monitor(), signal.SIGKILL)
    ended = launch.wait()
    assert ended.status == KILLED
    wait_for(lambda: not is_alive(daemon), "the daemon is gone")
    assert site.record().outcome["signal"] == signal.SIGKILL


def test_a_time_out_ends_what_is_traced(site: Site) -> None:
    times = ("--timeout", "3s", "--timeout-grace", "200ms")  # after which the trap is set on any machine
    ended = site.shell("trap '' TERM; while :; do /bin/true; done", "--trace-exec", *times)
    assert ended.status == KILLED
    assert site.record().outcome["ended_by"] == "time-out"


def test_calls_are_mediated_for_what_is_traced(site: Site) -> None:
    script = """
import socket, subprocess, sys
server = socket.socket()
server.bind(("127.0.0.1", 30471))
server.listen()
code = "import socket; socket.create_connection(('127.0.0.1', 30471)).send(b'through')"
client = subprocess.Popen([sys.executable, "-I", "-c", code])
connection, _ = server.accept()
print(connection.recv(10).decode(), client.wait())
"""
    ended = python(site, script, "--trace-exec", "--open-port", "30471")
    assert ended.stdout.split() == [b"through", b"0"], ended.stderr
    assert PYTHON in {each["subject"] for each in decided(site.record())}


def test_a_launch_within_says_who_traces_it(site: Site) -> None:
    inner = site.base / "inner"
    inner.mkdir()
    places = " ".join(f"XDG_{name}_HOME={inner}" for name in ("STATE", "CONFIG", "CACHE"))
    environment = os.path.dirname(os.path.dirname(NONO))
    ended = site.shell(
        f"{places} {NONO} run -- /bin/echo inside",
        "--trace-exec", "--allow", inner, "--read", environment, *site.python_grants(),
    )  # fmt: skip
    assert ended.status == 125
    assert "cannot be traced" in ended.stderr or "is traced by" in ended.stderr
