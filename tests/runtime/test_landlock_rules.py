"""Rulesets: every right of the ABI is handled, grants give back only theirs, on this and on older kernels."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import socket
from typing import TYPE_CHECKING

import pytest

from runtime.capability.capabilities import USER, Access, FileGrant, Network
from runtime.capability.grants import OpenGrant
from runtime.errors import EnforcementError
from runtime.kernel import syscalls
from runtime.sandbox import landlock_rules

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

# As linux/landlock.h has them.
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_CHAR, MAKE_BLOCK, REFER, TRUNCATE, IOCTL_DEV, RESOLVE_UNIX = (1 << n for n in (6, 11, 13, 14, 15, 16))
FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV
RUNNING = syscalls.landlock_abi()


def in_child(function: Callable[[], object]) -> int:
    """Run in a forked child; return 0, or the errno that it met."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            function()
            code = 0
        except OSError as error:
            code = error.errno or 255
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def opened(path: Path, access: Access) -> OpenGrant:
    name = os.fsencode(path)
    grant = FileGrant(name, name, access, directory=path.is_dir(), source=USER)
    return OpenGrant(grant, os.open(name, os.O_PATH | os.O_CLOEXEC))


def restrict(ruleset: int) -> None:
    syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
    syscalls.landlock_restrict_self(ruleset)


@pytest.mark.parametrize(
    ("abi", "rights"),
    [(1, 0x1FFF), (2, 0x3FFF), (3, 0x7FFF), (4, 0x7FFF), (5, 0xFFFF), (6, 0xFFFF), (7, 0xFFFF), (9, 0x1FFFF)],
)
def test_every_right_of_an_abi_is_handled(abi: int, rights: int) -> None:
    assert landlock_rules.handled_rights(abi) == rights


def test_the_running_kernel_knows_no_right_that_is_not_handled(tmp_path: Path) -> None:
    """A ruleset with one more right is refused; else this program is older than its kernel."""

    class Attributes(ctypes.Structure):
        _fields_ = (("fs", ctypes.c_uint64),)

    libc = ctypes.CDLL(None, use_errno=True)
    for bit in range(landlock_rules.handled_rights(RUNNING).bit_length(), 64):
        attributes = Attributes(1 << bit)
        assert libc.syscall(444, ctypes.byref(attributes), ctypes.c_size_t(8), 0) == -1


@pytest.mark.parametrize("access", list(Access))
@pytest.mark.parametrize("directory", [False, True])
@pytest.mark.parametrize("path", [b"/", b"/dev", b"/dev/tty", b"/home/x", b"/devices"])
def test_some_rights_are_never_given(access: Access, directory: bool, path: bytes) -> None:
    rights = landlock_rules.granted_rights(path, access, directory=directory)
    assert not rights & (MAKE_CHAR | MAKE_BLOCK | RESOLVE_UNIX)
    if not directory:
        assert not rights & ~FILE_RIGHTS
    if not access.covers(Access.WRITE):
        assert rights == EXECUTE | READ_FILE | (READ_DIR if directory else 0)
    if not access.covers(Access.READ):
        assert not rights & (EXECUTE | READ_FILE | READ_DIR)


@pytest.mark.parametrize(
    ("path", "directory", "access", "given"),
    [
        (b"/dev/tty", False, Access.READWRITE, True),
        (b"/dev/tty", False, Access.READ, False),
        (b"/dev/dri", True, Access.READWRITE, True),
        (b"/dev/dri", True, Access.READ, False),
        (b"/home/x", True, Access.READWRITE, False),
        (b"/devices", True, Access.READWRITE, False),
        (b"/", True, Access.READWRITE, False),
    ],
)
def test_ioctl_on_devices(path: bytes, directory: bool, access: Access, given: bool) -> None:
    assert bool(landlock_rules.granted_rights(path, access, directory=directory) & IOCTL_DEV) is given


@pytest.mark.parametrize("abi", range(1, RUNNING + 1))
def test_an_older_abi_still_makes_a_ruleset(tmp_path: Path, abi: int) -> None:
    """What a kernel of that ABI would enforce, with its rights alone: reading always, truncating from 3."""
    place = tmp_path / "granted"
    place.mkdir()
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    ruleset = landlock_rules.build([opened(place, Access.READWRITE)], Network.BLOCKED, abi=abi)
    try:

        def read() -> None:
            restrict(ruleset)
            os.open(secret, os.O_RDONLY)

        def truncate() -> None:
            restrict(ruleset)
            os.truncate(secret, 1)

        def make() -> None:
            restrict(ruleset)
            os.open(place / "made", os.O_CREAT | os.O_RDWR | os.O_TRUNC)

        def kill() -> None:
            restrict(ruleset)
            os.kill(os.getppid(), 0)

        assert in_child(read) == errno.EACCES
        assert in_child(truncate) == (errno.EACCES if abi >= 3 else 0)
        assert in_child(make) == 0
        assert in_child(kill) == (errno.EPERM if abi >= 6 else 0)
    finally:
        os.close(ruleset)


@pytest.mark.parametrize("abi", range(1, RUNNING + 1))
def test_ports_of_an_older_abi(abi: int) -> None:
    """Connecting is judged by port from ABI 4; binding is never given back."""
    with socket.socket() as one, socket.socket() as other:
        for server in (one, other):
            server.bind(("127.0.0.1", 0))
            server.listen()
        granted, refused = (server.getsockname()[1] for server in (one, other))
        if abi < landlock_rules.ABI_NETWORK:
            with pytest.raises(EnforcementError, match=f"cannot allow the port {granted}"):
                landlock_rules.build([], Network.PORTS, abi=abi, connect=[granted])
            return
        ruleset = landlock_rules.build([], Network.PORTS, abi=abi, connect=[granted])

        def to(port: int) -> int:
            def probe() -> None:
                with socket.socket() as client:
                    restrict(ruleset)
                    client.connect(("127.0.0.1", port))

            return in_child(probe)

        def bind() -> None:
            restrict(ruleset)
            socket.socket().bind(("127.0.0.1", granted))

        assert (to(granted), to(refused), in_child(bind)) == (0, errno.EACCES, errno.EACCES)
        os.close(ruleset)


@pytest.mark.parametrize("fence_first", [False, True])
def test_confining_signals_takes_no_right_to_files_away(tmp_path: Path, fence_first: bool) -> None:
    """A domain that handles no files denies linking and renaming between directories all the same."""
    for name in ("one", "two", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "file").touch()
    grants = [opened(tmp_path / name, Access.READWRITE) for name in ("one", "two")]
    ruleset = landlock_rules.build(grants, Network.ALL, abi=RUNNING)

    def confined(function: Callable[[], object]) -> int:
        def probe() -> None:
            syscalls.prctl(syscalls.PR_SET_NO_NEW_PRIVS, 1)
            if fence_first:
                landlock_rules.confine_signals(RUNNING)
            restrict(ruleset)
            if not fence_first:
                landlock_rules.confine_signals(RUNNING)
            function()

        return in_child(probe)

    def kill() -> None:
        os.kill(os.getppid(), 0)

    one, two = tmp_path / "one" / "file", tmp_path / "two" / "file"
    assert confined(kill) == errno.EPERM
    assert confined(lambda: os.link(one, two.with_name("linked"))) == 0
    assert confined(lambda: os.rename(one, two)) == 0
    assert confined(lambda: os.rename(two, tmp_path / "outside" / "file")) in (errno.EACCES, errno.EXDEV)
    os.close(ruleset)


def test_the_ruleset_closes_on_exec() -> None:
    ruleset = landlock_rules.build([], Network.ALL, abi=RUNNING)
    assert fcntl.fcntl(ruleset, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    os.close(ruleset)


def test_the_very_object_that_was_judged_is_granted(tmp_path: Path) -> None:
    """Another directory put in its place after it was opened is not."""
    judged = tmp_path / "project"
    judged.mkdir()
    (judged / "file").write_text("judged")
    grant = opened(judged, Access.READ)
    judged.rename(tmp_path / "moved")
    judged.mkdir()
    (judged / "file").write_text("put there later")
    ruleset = landlock_rules.build([grant], Network.ALL, abi=RUNNING)

    def read(path: Path) -> int:
        def probe() -> None:
            restrict(ruleset)
            os.open(path, os.O_RDONLY)

        return in_child(probe)

    assert read(judged / "file") == errno.EACCES
    assert read(tmp_path / "moved" / "file") == 0
    os.close(ruleset)


def test_an_executable_outside_the_grants_runs_by_its_descriptor(tmp_path: Path) -> None:
    program = tmp_path / "true"
    with open("/bin/true", "rb") as source:
        program.write_bytes(source.read())
    program.chmod(0o755)
    usr = opened(tmp_path.__class__("/usr"), Access.READ)
    etc = opened(tmp_path.__class__("/etc"), Access.READ)
    descriptor = os.open(program, os.O_PATH | os.O_CLOEXEC)
    for executables, expected in (((), errno.EACCES), ((descriptor,), 0)):
        ruleset = landlock_rules.build([usr, etc], Network.ALL, abi=RUNNING, executables=executables)

        def run(ruleset: int = ruleset) -> None:
            restrict(ruleset)
            os.execve(descriptor, ["true"], {})

        assert in_child(run) == expected
        os.close(ruleset)


def test_a_stale_errno_is_not_taken_for_a_failure() -> None:
    ctypes.set_errno(errno.EIO)
    assert syscalls.landlock_abi() == RUNNING
    ctypes.set_errno(errno.EIO)
    os.close(landlock_rules.build([], Network.ALL, abi=RUNNING))


def test_a_rule_that_the_kernel_refuses_names_the_path_and_leaves_nothing_open(tmp_path: Path) -> None:
    grant = opened(tmp_path, Access.READ)
    os.close(grant.descriptor)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(EnforcementError, match=f"cannot allow {tmp_path}") as caught:
        landlock_rules.build([grant], Network.ALL, abi=RUNNING)
    assert repr(caught.value)
    assert os.listdir("/proc/self/fd") == before


def test_a_kernel_release_that_does_not_parse_is_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    """The package calls int() on it while it reports another error."""
    import platform

    monkeypatch.setattr(platform, "release", lambda: "6.1+next_x")
    with pytest.raises(OSError, match="landlock_restrict_self") as caught:
        syscalls.landlock_restrict_self(-1)
    assert caught.value.errno in (errno.EBADF, errno.EPERM)


def test_an_unprivileged_process_needs_no_new_privs_first() -> None:
    ruleset = landlock_rules.build([], Network.ALL, abi=RUNNING)

    def probe() -> None:
        if os.geteuid() == 0:
            os.setresuid(65534, 65534, 65534)
        syscalls.landlock_restrict_self(ruleset)

    assert in_child(probe) == errno.EPERM
    os.close(ruleset)


def test_sixteen_layers_are_the_limit() -> None:
    ruleset = landlock_rules.build([], Network.ALL, abi=RUNNING)

    def layers(count: int) -> Callable[[], None]:
        def probe() -> None:
            for _ in range(count):
                restrict(ruleset)

        return probe

    assert in_child(layers(16)) == 0
    assert in_child(layers(17)) == errno.E2BIG
    os.close(ruleset)
