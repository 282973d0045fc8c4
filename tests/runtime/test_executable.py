"""What runs is what was hashed: against real files, real writers and the kernel's own exec."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import mmap
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runtime.capability import running_images
from runtime.capability.capabilities import USER, Access, CapabilitySet, FileGrant, Network
from runtime.capability.executable import (
    Held,
    check_image,
    hold,
    inside_write_grant,
    resolve,
    writable_script,
)
from runtime.errors import CommandNotFoundError, ExecutableError, LaunchError
from runtime.kernel import binfmt_misc, shebang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOBODY = 65534
ROOT = os.getuid() == 0
PATH = b"/usr/bin:/bin"
CAT = os.path.realpath(b"/bin/cat")

# Prints its arguments, each ended by a NUL; as an interpreter it is itself a script.
SHOW = b'#!/bin/sh\nfor a in "$@"; do printf "%s\\000" "$a"; done\n'


def write(path: Path, content: bytes, mode: int = 0o755) -> bytes:
    path.write_bytes(content)
    path.chmod(mode)
    return os.fsencode(path)


def copy_of(program: bytes, path: Path) -> bytes:
    shutil.copyfile(program, os.fsencode(path))
    path.chmod(0o755)
    return os.fsencode(path)


class Bench:
    """Holds commands in one directory and lets go of all of them at the end."""

    def __init__(self, directory: Path) -> None:
        self.directory = os.fsencode(directory)
        self.held: list[Held] = []

    def hold(self, command: bytes, *arguments: bytes, path: bytes = PATH) -> Held:
        resolved = resolve(command, path, self.directory)
        held = hold(resolved, [command, *arguments], path_variable=path, directory=self.directory)
        self.held.append(held)
        return held

    def spawn(
        self, held: Held, path: bytes = PATH, *, stdin: int | None = None, stdout: int | None = None
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            held.argv,
            executable=f"/proc/self/fd/{held.descriptor}",
            pass_fds=(held.descriptor,),
            cwd=self.directory,
            env={b"PATH": path},
            stdin=stdin,
            stdout=stdout,
        )

    def output(self, held: Held, path: bytes = PATH) -> bytes:
        process = self.spawn(held, path, stdout=subprocess.PIPE)
        return process.communicate(timeout=20)[0]


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    before = len(os.listdir("/proc/self/fd"))
    yield bench
    for held in bench.held:
        held.release()
    assert len(os.listdir("/proc/self/fd")) == before


def missing(reason: str) -> NoReturn:
    """Skip for a named reason; on the build server, where nothing may be missing, fail."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"must work here: {reason}")
    pytest.skip(reason)


def as_nobody(probe: Callable[[], str]) -> str:
    """Run a probe as an ordinary user, in a fork when this process is root."""
    if not ROOT:
        return probe()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            result = probe()
        except BaseException as error:  # noqa: BLE001  # whatever it is goes to the parent
            result = f"{type(error).__name__}: {error}"
        os.write(writer, result.encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        result = stream.read().decode()
    os.waitpid(pid, 0)
    return result


# --- resolving -------------------------------------------------------------------------------------


def layout(directory: Path) -> None:
    report = b'#!/bin/sh\nprintf %s "$0"\n'
    for name in ("first", "second", "refused", "folder"):
        (directory / name).mkdir()
    write(directory / "first" / "one", report)
    write(directory / "second" / "one", report)
    write(directory / "second" / "two", report)
    write(directory / "refused" / "two", report, 0o644)
    write(directory / "refused" / "three", report, 0o644)
    (directory / "folder" / "two").mkdir()
    (directory / "folder" / "dangling").symlink_to("nowhere")
    (directory / "folder" / "loop").symlink_to("loop")
    write(directory / "first" / "loop", report)
    write(directory / "here", report)


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("one", "{d}/first:{d}/second"),
        ("one", "{d}/second:{d}/first"),
        ("one", "second:first"),
        ("two", "{d}/refused:{d}/second"),
        ("two", "{d}/folder:{d}/missing:{d}/here:{d}/second"),
        ("two", "{d}/refused:{d}/folder"),
        ("three", "{d}/refused"),
        ("dangling", "{d}/folder"),
        ("nothing", "{d}/first:{d}/second"),
        ("here", ""),
        ("here", "{d}/first:"),
        ("here", "{d}/first::{d}/second"),
        ("here", "{d}/first"),
        ("./here", "{d}/first"),
        ("first/one", ""),
        ("first", "{d}"),
        ("./refused/three", "{d}"),
        ("{d}/second/two", ""),
        ("here/x", ""),
        ("loop", "{d}/folder:{d}/first"),
        (".", "{d}"),
        ("one", "{d}/" + "x" * 300 + ":{d}/first"),
    ],
)
def test_it_finds_what_execvp_finds(tmp_path: Path, command: str, path: str) -> None:
    layout(tmp_path)
    command, path = (text.replace("{d}", str(tmp_path)) for text in (command, path))
    env = subprocess.run(
        ["/usr/bin/env", "-i", f"PATH={path}", command], cwd=tmp_path, capture_output=True, check=False
    )
    try:
        found, status = resolve(command.encode(), path.encode(), os.fsencode(tmp_path)), 0
    except LaunchError as error:
        found, status = b"", error.exit_status
    assert (found, status) == (env.stdout, env.returncode)


def test_without_a_path_the_system_directories_are_searched(tmp_path: Path) -> None:
    assert resolve(b"cat", None, b"/") in {b"/bin/cat", b"/usr/bin/cat"}


@pytest.mark.parametrize("command", [b"", b"a\0b", b"/bin/\0cat"])
def test_no_name_is_not_found(command: bytes) -> None:
    with pytest.raises(CommandNotFoundError):
        resolve(command, PATH, b"/")


def test_a_missing_command_has_a_hint() -> None:
    with pytest.raises(CommandNotFoundError) as caught:
        resolve(b"no-such-command\x1b[2J", PATH, b"/")
    assert caught.value.hint
    assert "\x1b" not in str(caught.value)


# --- the #! line -------------------------------------------------------------------------------------


def kernel_arguments(script: bytes) -> list[bytes] | int:
    """Return what the interpreter got when the kernel executed the script, or the errno."""
    try:
        done = subprocess.run([script, b"x"], capture_output=True, timeout=20, check=False)
    except OSError as error:
        return error.errno or 0
    assert done.returncode == 0, done.stderr
    return done.stdout.split(b"\0")[:-1]


PIECES = st.lists(
    st.one_of(
        st.sampled_from([b" ", b"\t", b"\n", b"\0", b"\r", b"@", b"@", b"-a", b"b c", b"#!", b"=", b"\xff"]),
        st.binary(min_size=1, max_size=3),
        st.builds(lambda byte, n: byte * n, st.sampled_from([b" ", b"y", b"\t"]), st.integers(200, 260)),
    ),
    max_size=8,
)


@given(PIECES, st.sampled_from([b"#!", b"#!@ ", b"#! \t@", b"#", b""]))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_line_is_read_as_the_kernel_reads_it(
    tmp_path: Path, pieces: list[bytes], beginning: bytes
) -> None:
    show = write(tmp_path / "show", SHOW)
    script = write(tmp_path / "script", b"".join([beginning, *pieces]).replace(b"@", show))
    read = shebang.interpreter((tmp_path / "script").read_bytes()[:256])
    by_kernel = kernel_arguments(script)
    if read is None:
        assert by_kernel == errno.ENOEXEC
    elif read[0] == show:
        assert by_kernel == [*read[1], script, b"x"]
    else:
        assert by_kernel in {errno.ENOENT, errno.EACCES, errno.ENOTDIR, errno.ENAMETOOLONG}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"#!/bin/sh\n", (b"/bin/sh", ())),
        (b"#! /bin/sh -e -x \n", (b"/bin/sh", (b"-e -x",))),
        (b"#!/bin/sh\r\n", (b"/bin/sh\r", ())),
        (b"#!/bin/sh", (b"/bin/sh", ())),
        (b"#!/bin/sh ", (b"/bin/sh", (b"",))),  # the kernel does pass an empty argument here
        (b"#!\n", None),
        (b"#! \t \n/bin/sh", None),
        (b"# !/bin/sh\n", None),
        (b"#!/" + b"a" * 252 + b"\n", (b"/" + b"a" * 252, ())),
        (b"#!/" + b"a" * 300 + b"\n", None),
        (b"#!/a " + b"b" * 300 + b"\n", (b"/a", (b"b" * 250,))),
    ],
)
def test_lines_worth_naming(line: bytes, expected: object) -> None:
    assert shebang.interpreter(line[:256]) == expected


@pytest.mark.parametrize("levels", range(1, 8))
def test_as_many_levels_as_the_kernel_follows(tmp_path: Path, bench: Bench, levels: int) -> None:
    interpreter = b"/bin/sh"
    for level in range(levels):
        body = SHOW.split(b"\n", 1)[1] if level == 0 else b""
        argument = b"" if level == 0 else b" %d" % level
        interpreter = write(tmp_path / f"s{level}", b"#!" + interpreter + argument + b"\n" + body)
    by_kernel = kernel_arguments(interpreter)
    if isinstance(by_kernel, int):
        assert by_kernel == errno.ELOOP
        with pytest.raises(ExecutableError, match="too many levels"):
            bench.hold(interpreter, b"x")
    else:
        held = bench.hold(interpreter, b"x")
        assert bench.output(held).split(b"\0")[:-1] == by_kernel
        assert [image.held for image in held.images] == ["by-path"] * levels + [held.executed.held]


@pytest.mark.parametrize(
    ("line", "chain"),
    [
        (b"#!/usr/bin/env show", ["script", "env", "show", "sh"]),
        (b"#!/usr/bin/env -S show a  b", ["script", "env", "show", "sh"]),
        (b"#!/usr/bin/env -Sshow a", ["script", "env", "show", "sh"]),
        (b"#!/usr/bin/env ./bin/show", ["script", "env", "show", "sh"]),
        # More than a search: env itself is what runs, and what is recorded.
        (b"#!/usr/bin/env -S show 'a  b'", ["script", "env"]),
        (b"#!/usr/bin/env -S -u HOME show", ["script", "env"]),
        (b"#!/usr/bin/env -S A=b show", ["script", "env"]),
        (b"#!show_here", ["script", "show_here", "sh"]),
    ],
)
def test_env_is_followed_to_what_it_runs(tmp_path: Path, bench: Bench, line: bytes, chain: list[str]) -> None:
    (tmp_path / "bin").mkdir()
    write(tmp_path / "bin" / "show", SHOW)
    write(tmp_path / "show_here", SHOW)
    write(tmp_path / "script", line + b"\n")
    path = os.fsencode(tmp_path / "bin") + b":" + PATH
    by_kernel = subprocess.run(
        ["./script", "x y"], cwd=tmp_path, env={b"PATH": path}, capture_output=True, check=True
    ).stdout
    held = bench.hold(b"./script", b"x y", path=path)
    assert bench.output(held, path) == by_kernel
    real = {"env": "/usr/bin/env", "sh": "/bin/sh"}
    assert [image.path for image in held.images] == [
        os.fsencode(os.path.realpath(real.get(name, tmp_path / ("bin/show" if name == "show" else name))))
        for name in chain
    ]


def test_what_env_cannot_find_is_127(tmp_path: Path, bench: Bench) -> None:
    write(tmp_path / "script", b"#!/usr/bin/env no-such-python -u\n")
    with pytest.raises(CommandNotFoundError) as caught:
        bench.hold(b"./script")
    assert "no-such-python" in str(caught.value)
    assert "env -S" in (caught.value.hint or "")


def test_a_missing_interpreter_is_126(tmp_path: Path, bench: Bench) -> None:
    write(tmp_path / "script", b"#!/no/such/interpreter\n")
    with pytest.raises(ExecutableError, match="/no/such/interpreter"):
        bench.hold(b"./script")


def test_a_script_that_names_itself_is_126(tmp_path: Path, bench: Bench) -> None:
    write(tmp_path / "script", b"#!" + os.fsencode(tmp_path / "script") + b"\n")
    with pytest.raises(ExecutableError, match="too many levels"):
        bench.hold(b"./script")


def test_env_that_leads_back_to_the_script_ends(tmp_path: Path, bench: Bench) -> None:
    write(tmp_path / "script", b"#!/usr/bin/env script\n")
    with pytest.raises(ExecutableError, match="too many levels"):
        bench.hold(b"./script", path=os.fsencode(tmp_path))


# --- binfmt_misc -------------------------------------------------------------------------------------


def registry(directory: Path, **entries: bytes) -> list[binfmt_misc.Format]:
    (directory / "status").write_bytes(b"enabled\n")
    (directory / "register").write_bytes(b"")
    for name, text in entries.items():
        (directory / name).write_bytes(text)
    return list(binfmt_misc.registered_formats(os.fsencode(directory)))


def test_registered_formats_are_read_as_the_kernel_writes_them(tmp_path: Path) -> None:
    masked, extension = registry(
        tmp_path,
        a_masked=b"enabled\ninterpreter /usr/bin/q\nflags: OCF\noffset 1\nmagic 454c\nmask fff0\n",
        b_off=b"disabled\ninterpreter /usr/bin/q\nflags: \noffset 0\nmagic 00\n",
        c_extension=b"enabled\ninterpreter /usr/bin/w\nflags: \nextension .exe\n",
    )
    assert (masked.interpreter, masked.flags) == (b"/usr/bin/q", b"OCF")
    assert masked.matches(b"x", b"?EO")
    assert not masked.matches(b"x", b"EL")
    assert extension.matches(b"/a/b.exe", b"")
    assert not extension.matches(b"/a/exe", b"")


def test_an_entry_that_is_not_understood_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExecutableError, match="odd"):
        registry(tmp_path, odd=b"enabled\ninterpreter /x\nflags: \noffset 0\nmagic zz\n")


def test_no_formats_when_switched_off(tmp_path: Path) -> None:
    registry(tmp_path, a=b"enabled\ninterpreter /x\nflags: \nextension .x\n")
    (tmp_path / "status").write_bytes(b"disabled\n")
    assert list(binfmt_misc.registered_formats(os.fsencode(tmp_path))) == []


def test_a_registered_format_runs_its_interpreter(
    tmp_path: Path, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = write(tmp_path / "show", SHOW)
    program = write(tmp_path / "program", b"MAGIC")
    folder = tmp_path / "registry"
    folder.mkdir()
    plain = b"enabled\ninterpreter " + show + b"\nflags: %b\noffset 0\nmagic 4d41474943\n"
    with monkeypatch.context() as patch:
        formats = registry(folder, magic=plain % b"")
        patch.setattr(binfmt_misc, "registered_formats", lambda: iter(formats))
        held = bench.hold(program, b"x")
    assert bench.output(held).split(b"\0")[:-1] == [program, b"x"]
    assert [image.held for image in held.images[:2]] == ["by-path", "by-path"]
    with monkeypatch.context() as patch:
        refused = registry(folder, magic=plain % b"F")
        patch.setattr(binfmt_misc, "registered_formats", lambda: iter(refused))
        with pytest.raises(ExecutableError, match="binfmt_misc") as caught:
            bench.hold(program, b"x")
    assert show.decode() in (caught.value.hint or "")


# A user namespace has a registry of its own (Linux 6.7), so nothing outside is touched.
IN_A_NAMESPACE = """
set -e
mount -t binfmt_misc none /proc/sys/fs/binfmt_misc
printf %s ":magic:M:1:AGIC::$1/show:" > /proc/sys/fs/binfmt_misc/register
printf %s ":name:E::odd::$1/show:" > /proc/sys/fs/binfmt_misc/register
for program in "$1/program" "$1/program.odd"; do
    "$program" x
    "$2" -c '
import sys
from runtime.capability.executable import hold
held = hold(sys.argv[1].encode(), [b"typed", b"x"], path_variable=None, directory=b"/")
sys.stdout.write("".join(a.decode() + chr(0) for a in held.argv[2:]))
' "$program"
done
"""


def test_the_kernel_agrees_on_registered_formats(tmp_path: Path) -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    mounts = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc"
    if subprocess.run([*unshare, "sh", "-c", mounts], capture_output=True, check=False).returncode:
        missing("a user namespace with a binfmt_misc of its own")
    write(tmp_path / "show", SHOW)
    write(tmp_path / "program", b"MAGIC")
    write(tmp_path / "program.odd", b"anything")
    done = subprocess.run(
        [*unshare, "sh", "-c", IN_A_NAMESPACE, "sh", str(tmp_path), sys.executable],
        cwd=os.path.dirname(os.path.dirname(os.path.dirname(__file__))),
        capture_output=True,
        check=False,
    )
    expected = "".join(f"{tmp_path}/{name}\0x\0" * 2 for name in ("program", "program.odd"))
    assert (done.stdout, done.stderr) == (expected.encode(), b"")


# --- what cannot be held -----------------------------------------------------------------------------


def test_a_fifo_is_refused_at_once(tmp_path: Path, bench: Bench) -> None:
    os.mkfifo(tmp_path / "fifo", 0o755)
    started = time.monotonic()
    with pytest.raises(ExecutableError):
        bench.hold(b"./fifo")
    with pytest.raises(ExecutableError):
        hold(b"./fifo", [b"fifo"], path_variable=PATH, directory=bench.directory)
    assert time.monotonic() - started < 5


@pytest.mark.parametrize(
    ("name", "status"),
    [("folder", 126), ("plain", 126), ("/dev/null", 126), ("gone", 127), ("plain/x", 126), ("loop", 126)],
)
def test_what_is_no_program(tmp_path: Path, bench: Bench, name: str, status: int) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "loop").symlink_to("loop")
    write(tmp_path / "plain", b"#!/bin/sh\n", 0o644)
    path = os.fsencode(name if name.startswith("/") else f"./{name}")
    with pytest.raises(LaunchError) as by_resolve:
        resolve(path, PATH, bench.directory)
    with pytest.raises(LaunchError) as by_hold:
        hold(path, [path], path_variable=PATH, directory=bench.directory)
    assert by_resolve.value.exit_status == by_hold.value.exit_status == status


@pytest.mark.parametrize("content", [b"", b"echo without a #! line\n", b"#!\n", b"\x7fEL"])
def test_what_the_kernel_calls_enoexec(tmp_path: Path, bench: Bench, content: bytes) -> None:
    path = write(tmp_path / "text", content)
    assert kernel_arguments(path) == errno.ENOEXEC
    with pytest.raises(ExecutableError) as caught:
        bench.hold(b"./text")
    assert caught.value.hint


def test_what_cannot_be_read_cannot_be_hashed(tmp_path: Path) -> None:
    directory = os.path.join(b"/tmp", b"nono-test-" + os.urandom(8).hex().encode())
    os.mkdir(directory, 0o755)
    try:
        path = os.path.join(directory, b"secret")
        shutil.copyfile(CAT, path)
        os.chmod(path, 0o111)

        def probe() -> str:
            subprocess.run([path, "/dev/null"], check=True)  # it does execute
            hold(path, [path], path_variable=PATH, directory=b"/").release()
            return "held"

        if not ROOT:
            with pytest.raises(ExecutableError, match="cannot be read, so it cannot be hashed"):
                probe()
        else:
            assert "ExecutableError: cannot be read, so it cannot be hashed" in as_nobody(probe)
    finally:
        shutil.rmtree(directory)


def test_what_has_no_path_any_more(tmp_path: Path, bench: Bench) -> None:
    descriptor = os.open(copy_of(CAT, tmp_path / "cat"), os.O_RDONLY)
    try:
        (tmp_path / "cat").unlink()
        with pytest.raises(ExecutableError, match="no path leads to it"):
            bench.hold(b"/proc/self/fd/%d" % descriptor)
    finally:
        os.close(descriptor)


def test_set_uid_is_noticed(tmp_path: Path, bench: Bench) -> None:
    program = copy_of(CAT, tmp_path / "cat")
    assert not bench.hold(program).executed.privileged
    os.chmod(program, 0o4755)
    assert bench.hold(program).executed.privileged


def test_errors_leave_nothing_open(tmp_path: Path, bench: Bench) -> None:
    script = write(tmp_path / "script", b"#!/no/such\n")
    with pytest.raises(ExecutableError):
        bench.hold(script)
    # A lease that was left behind would block this.
    os.close(os.open(script, os.O_WRONLY | os.O_NONBLOCK))


# --- holding it still --------------------------------------------------------------------------------


def test_the_record_of_a_program(tmp_path: Path, bench: Bench) -> None:
    program = copy_of(CAT, tmp_path / "cat")
    (tmp_path / "link").symlink_to("cat")
    held = bench.hold(b"./link", b"a")
    (image,) = held.hash_all()
    content = (tmp_path / "cat").read_bytes()
    assert image.document() == {
        "held": "lease",
        "path": os.fsdecode(os.path.realpath(program)),
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }
    assert held.argv == (b"./link", b"a")


def test_root_owned_programs_are_stat_only_for_others() -> None:
    def probe() -> str:
        held = hold(CAT, [b"cat"], path_variable=PATH, directory=b"/")
        (image,) = held.hash_all()
        held.release()
        return image.held

    assert as_nobody(probe) == "stat-only"
    if ROOT:
        assert probe() == "lease"


def test_a_writer_is_refused(tmp_path: Path, bench: Bench) -> None:
    program = copy_of(CAT, tmp_path / "cat")
    writer = os.open(program, os.O_RDWR)
    try:
        with pytest.raises(ExecutableError, match="open for writing") as caught:
            bench.hold(program)
        assert caught.value.hint
    finally:
        os.close(writer)
    assert bench.hold(program).executed.leased


def test_a_shared_mapping_is_a_writer(tmp_path: Path, bench: Bench) -> None:
    program = copy_of(CAT, tmp_path / "cat")
    writer = os.open(program, os.O_RDWR)
    mapping = mmap.mmap(writer, mmap.PAGESIZE, mmap.MAP_SHARED)
    os.close(writer)
    mapping[200] ^= 0xFF
    before = os.stat(program)
    content = (tmp_path / "cat").read_bytes()
    mapping[200] ^= 0xFF
    # The trap: other bytes under the very same stat. That is why comparing stat is not enough.
    assert os.stat(program) == before
    assert (tmp_path / "cat").read_bytes() != content
    with pytest.raises(ExecutableError, match="open for writing"):
        bench.hold(program)
    mapping.close()


def test_a_script_that_is_being_written_is_refused(tmp_path: Path, bench: Bench) -> None:
    script = write(tmp_path / "script", b"#!/bin/sh\n")
    with open(script, "ab"), pytest.raises(ExecutableError, match="open for writing"):
        bench.hold(script)


WRITER = "import os, sys; os.close(os.open(sys.argv[1], os.O_WRONLY)); print('in', flush=True)"


def test_a_later_writer_is_seen_and_waits(tmp_path: Path, bench: Bench) -> None:
    assert signal.getsignal(signal.SIGIO) is signal.SIG_DFL  # it would kill us
    program = copy_of(CAT, tmp_path / "cat")
    held = bench.hold(program)
    held.hash_all()
    process = bench.spawn(held, stdin=subprocess.PIPE)
    assert check_image(process.pid, held) is None
    process.communicate(timeout=20)

    sleeper = bench.hold(b"sleep", b"60")
    running = bench.spawn(sleeper)
    assert check_image(running.pid, sleeper) is None
    running.kill()
    running.wait()

    writer = subprocess.Popen([sys.executable, "-I", "-c", WRITER, program], stdout=subprocess.PIPE)
    deadline = time.monotonic() + 20
    while fcntl.fcntl(held.descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    reason = check_image(os.getpid(), held)
    assert reason is not None
    assert "opened for writing" in reason
    assert writer.poll() is None
    bench.held.remove(held)
    held.release()
    assert writer.communicate(timeout=20)[0] == b"in\n"


def test_a_forked_monitor_sees_the_lease(tmp_path: Path, bench: Bench) -> None:
    script = write(tmp_path / "script", b"#!/bin/cat\nx")
    held = bench.hold(script)
    pid = os.fork()
    if pid == 0:
        os._exit(fcntl.fcntl(held.images[0].descriptor, fcntl.F_GETLEASE) == fcntl.F_RDLCK)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


def test_release_frees_the_file_although_a_fork_still_has_it(tmp_path: Path) -> None:
    program = copy_of(CAT, tmp_path / "cat")
    held = hold(program, [b"cat"], path_variable=PATH, directory=b"/")
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writer)
        os.read(reader, 1)
        os._exit(0)
    os.close(reader)
    try:
        with pytest.raises(BlockingIOError):
            os.open(program, os.O_WRONLY | os.O_NONBLOCK)
        held.release()
        os.close(os.open(program, os.O_WRONLY | os.O_NONBLOCK))
    finally:
        os.close(writer)
        os.waitpid(pid, 0)


def test_leases_end_before_the_command_does(tmp_path: Path, bench: Bench) -> None:
    script = write(tmp_path / "script", b"#!/bin/sh\nread x\n")
    held = bench.hold(script)
    process = bench.spawn(held, stdin=subprocess.PIPE)
    with pytest.raises(BlockingIOError):
        os.open(script, os.O_WRONLY | os.O_NONBLOCK)
    # That attempt has broken the lease, and giving it up twice, or after it is gone, is no error.
    assert check_image(process.pid, held) is not None
    held.end_leases()
    held.end_leases()
    assert process.poll() is None
    os.close(os.open(script, os.O_WRONLY | os.O_NONBLOCK))
    process.communicate(timeout=20)


def test_another_file_under_the_same_name_changes_nothing(tmp_path: Path, bench: Bench) -> None:
    program = copy_of(CAT, tmp_path / "cat")
    held = bench.hold(program)
    os.link(program, tmp_path / "kept")  # the file itself stays what it was, but for its ctime
    write(tmp_path / "evil", b"#!/bin/sh\necho evil\n")
    os.rename(tmp_path / "evil", program)
    with pytest.raises(ExecutableError, match="changed while it was read"):
        held.hash_all()
    process = bench.spawn(held, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert os.stat(f"/proc/{process.pid}/exe").st_ino == held.executed.ino  # never the evil one
    reason = check_image(process.pid, held)
    assert reason is not None
    assert "changed after it was opened" in reason
    process.communicate(timeout=20)


def test_another_image_is_seen(tmp_path: Path, bench: Bench) -> None:
    held = bench.hold(copy_of(CAT, tmp_path / "cat"))
    other = bench.hold(copy_of(CAT, tmp_path / "other"))
    process = bench.spawn(other, stdin=subprocess.PIPE)
    assert check_image(process.pid, other) is None
    reason = check_image(process.pid, held)
    assert reason is not None
    assert "the running image is not" in reason
    process.communicate(timeout=20)
    assert "cannot be looked at" in (check_image(process.pid, held) or "")


@pytest.mark.parametrize("by", ["rename", "symlink", "removal"])
def test_a_script_that_was_replaced_is_seen(tmp_path: Path, bench: Bench, by: str) -> None:
    write(tmp_path / "real", b"#!/bin/cat\nx")
    (tmp_path / "script").symlink_to("real")
    held = bench.hold(b"./script")
    process = bench.spawn(held, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.communicate(timeout=20)
    with subprocess.Popen([CAT], stdin=subprocess.PIPE) as running:
        # cat itself is the interpreter, so any cat that runs is the right image.
        assert check_image(running.pid, held) is None
        write(tmp_path / "evil", b"#!/bin/cat\nevil")
        if by == "rename":
            os.rename(tmp_path / "evil", tmp_path / "real")
        else:
            (tmp_path / "script").unlink()
        if by == "symlink":
            (tmp_path / "script").symlink_to("evil")
        assert check_image(running.pid, held) is not None


# --- write grants, and the kernel --------------------------------------------------------------------


def grants(*paths: bytes, access: Access = Access.READWRITE, directory: bool = True) -> CapabilitySet:
    return CapabilitySet(
        tuple(FileGrant(path, path, access, directory, USER) for path in paths), Network.BLOCKED
    )


def test_inside_a_write_grant() -> None:
    assert inside_write_grant(grants(b"/a/b"), b"/a/b/c")
    assert inside_write_grant(grants(b"/a/b", access=Access.WRITE, directory=False), b"/a/b")
    assert not inside_write_grant(grants(b"/a/b", directory=False), b"/a/b/c")
    assert not inside_write_grant(grants(b"/a/b"), b"/a/bc")
    assert not inside_write_grant(grants(b"/a/b", access=Access.READ), b"/a/b/c")


def test_a_script_that_the_child_could_rewrite(tmp_path: Path, bench: Bench) -> None:
    root = tmp_path.resolve()
    for name in ("safe", "granted", "linked"):
        (root / name).mkdir()
    script = write(root / "safe" / "script", b"#!/bin/cat\n")
    (root / "linked" / "script").symlink_to(root / "safe" / "script")
    (root / "granted" / "deep").mkdir()
    (root / "through").symlink_to(root / "linked")
    capabilities = grants(os.fsencode(root / "granted"), os.fsencode(root / "linked"))
    assert writable_script(bench.hold(script), capabilities) is None
    # The script itself cannot be written, but the link through which it is opened can.
    found = writable_script(bench.hold(os.fsencode(root / "through" / "script")), capabilities)
    assert found is not None
    assert found[1].path == os.fsencode(root / "linked")
    inside = write(root / "granted" / "deep" / "script", b"#!/bin/cat\n")
    assert writable_script(bench.hold(inside), capabilities)
    program = copy_of(CAT, root / "granted" / "cat")
    assert writable_script(bench.hold(program), capabilities) is None  # held, not opened again


def test_the_kernel_protects_what_runs(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path)
    answer = running_images.protected(directory)
    program = copy_of(CAT, tmp_path / "cat")
    with subprocess.Popen([program], stdin=subprocess.PIPE):
        try:
            os.close(os.open(program, os.O_WRONLY))
            refused = False
        except OSError as error:
            refused = error.errno == errno.ETXTBSY
    assert answer is refused
    assert sorted(os.listdir(tmp_path)) == ["cat", "running-images"]


def test_the_answer_is_remembered_for_this_boot(tmp_path: Path) -> None:
    directory = os.fsencode(tmp_path)
    answer = running_images.protected(directory)
    assert answer is not None
    memory = tmp_path / "running-images"
    assert memory.stat().st_mode & 0o777 == 0o600
    boot, word = memory.read_bytes().split()
    memory.write_bytes(boot + (b" no\n" if word == b"yes" else b" yes\n"))
    assert running_images.protected(directory) is not answer
    for stale in (b"00000000-0000-0000-0000-000000000000 no\n", b"", b"\xff" * 500, boot + b" maybe\n"):
        memory.write_bytes(stale)
        assert running_images.protected(directory) is answer
    memory.unlink()
    (tmp_path / "elsewhere").write_bytes(boot + b" no\n")
    memory.symlink_to("elsewhere")
    assert running_images.protected(directory) is answer


def test_no_answer_where_it_cannot_be_tried(tmp_path: Path) -> None:
    assert running_images.protected(os.fsencode(tmp_path / "missing")) is None
