"""The static filter: calls that no launched command needs, foreign architectures, and calls of tomorrow."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest

from runtime import seccomp_rules
from runtime.capabilities import Network

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.conftest import Box

EPERM, ENOSYS = errno.EPERM, errno.ENOSYS
NOWHERE = 1  # no address: EFAULT

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64")

# Calls to which the kernel, outside, gives an answer of its own to anybody: (name, number, arguments, errno).
ANSWERED = [
    ("setns", 308, (-1, 0), errno.EBADF),
    ("mount", 165, (NOWHERE, NOWHERE, NOWHERE, 0, 0), errno.EFAULT),
    ("umount2", 166, (NOWHERE, 1 << 30), errno.EINVAL),
    ("open_tree", 428, (-1, NOWHERE, 1 << 30), errno.EINVAL),
    ("fsconfig", 431, (-1, 0, 0, 0, 0), errno.EINVAL),
    ("mount_setattr", 442, (-1, NOWHERE, 1 << 30, 0, 0), errno.EINVAL),
    ("add_key", 248, (NOWHERE, 0, 0, 0, 0), errno.EFAULT),
    ("request_key", 249, (NOWHERE, 0, 0, 0), errno.EFAULT),
    ("keyctl", 250, (9999, 0, 0, 0, 0), errno.EOPNOTSUPP),
    ("bpf", 321, (0, NOWHERE, 4), errno.EFAULT),
    ("perf_event_open", 298, (NOWHERE, 0, -1, -1, 0), errno.EFAULT),
    ("name_to_handle_at", 303, (-1, NOWHERE, NOWHERE, NOWHERE, 1 << 30), errno.EINVAL),
    ("sysfs", 139, (99, 0, 0), errno.EINVAL),
]
# Calls that only root gets an answer to.
ANSWERED_TO_ROOT = [
    ("syslog", 103, (99, 0, 0), errno.EINVAL),
    ("move_mount", 429, (-1, NOWHERE, -1, NOWHERE, 1 << 30), errno.EINVAL),
    ("pivot_root", 155, (NOWHERE, NOWHERE), errno.EFAULT),
    ("chroot", 161, (NOWHERE,), errno.EFAULT),
    ("fsopen", 430, (NOWHERE, 0), errno.EFAULT),
    ("fspick", 433, (-1, NOWHERE, 1 << 30), errno.EINVAL),
    ("fsmount", 432, (-1, 1 << 30, 0), errno.EINVAL),
    ("kexec_load", 246, (0, 99, 0, 1 << 30), errno.EINVAL),
    ("init_module", 175, (NOWHERE, 16, NOWHERE), errno.ENOEXEC),
    ("finit_module", 313, (-1, NOWHERE, 1 << 30), errno.EINVAL),
    ("open_by_handle_at", 304, (-1, NOWHERE, 0), errno.EFAULT),
    ("swapon", 167, (NOWHERE, 1 << 30), errno.EINVAL),
    ("swapoff", 168, (NOWHERE,), errno.EFAULT),
    ("reboot", 169, (1, 2, 3, 0), errno.EINVAL),
    ("sethostname", 170, (NOWHERE, -1), errno.EINVAL),
    ("setdomainname", 171, (NOWHERE, -1), errno.EINVAL),
    ("settimeofday", 164, (NOWHERE, 0), errno.EFAULT),
    ("clock_settime", 227, (0, NOWHERE), errno.EFAULT),
    ("clock_adjtime", 305, (0, NOWHERE), errno.EFAULT),
    ("adjtimex", 159, (NOWHERE,), errno.EFAULT),
    ("acct", 163, (NOWHERE,), errno.EFAULT),
    ("iopl", 172, (99,), errno.EINVAL),
    ("ioperm", 173, (-1, -1, 1), errno.EINVAL),
]


Row = tuple[str, int, tuple[int, ...], int]


@pytest.mark.parametrize("row", ANSWERED, ids=[row[0] for row in ANSWERED])
def test_calls_that_nobody_needs(box: Box, raw_call: Callable[..., int], row: Row) -> None:
    assert_answered_only_outside(box, raw_call, row)


@pytest.mark.parametrize("row", ANSWERED_TO_ROOT, ids=[row[0] for row in ANSWERED_TO_ROOT])
def test_calls_that_only_root_has(root_box: Box, raw_call: Callable[..., int], row: Row) -> None:
    assert_answered_only_outside(root_box, raw_call, row)


def assert_answered_only_outside(box: Box, raw_call: Callable[..., int], row: Row) -> None:
    _, number, arguments, answer = row
    if box.outside(lambda: raw_call(number, *arguments)).errno == ENOSYS:
        answer = ENOSYS  # this kernel was built without it
    box.assert_closed(lambda: raw_call(number, *arguments), EPERM, outside_errno=answer)


def test_nothing_that_is_never_allowed_gets_through(box: Box, raw_call: Callable[..., int]) -> None:
    """Every name of the tables, whatever the kernel would have said: inside, the filter answers."""
    names = (*seccomp_rules._NEVER, *seccomp_rules._ABSENT)
    numbers = {name: number for name in names if (number := seccomp_rules.number(name)) is not None}
    assert len(numbers) == len(names)

    def probe() -> dict[str, int]:
        answers = {}
        for name, number in numbers.items():
            try:
                raw_call(number, -1, -1, -1, -1, -1)
                answers[name] = 0
            except OSError as error:
                answers[name] = error.errno or 0
        return answers

    expected = dict.fromkeys(seccomp_rules._NEVER, EPERM) | dict.fromkeys(seccomp_rules._ABSENT, ENOSYS)
    assert box.inside(probe).value == expected
    assert box.inside(probe, Network.ALL).value == expected


def test_a_mount_in_a_namespace_of_ones_own(root_box: Box, raw_call: Callable[..., int]) -> None:
    """The real thing, not only an errno: what a root child could do to what paths mean."""
    target = root_box.path("granted")

    def probe() -> int:
        raw_call(272, 0x00020000)  # unshare(CLONE_NEWNS)
        raw_call(165, b"none", b"/", None, 1 << 18 | 1 << 14, None)  # MS_PRIVATE | MS_REC
        return raw_call(165, b"tmpfs", target, b"tmpfs", 0, None)

    root_box.assert_closed(probe, EPERM)


def test_handling_page_faults(box: Box, raw_call: Callable[..., int]) -> None:
    user_mode_only = 1
    box.assert_closed(lambda: raw_call(323, user_mode_only), EPERM)


def test_watching_whole_file_systems(box: Box, raw_call: Callable[..., int]) -> None:
    report_file_handles = 0x200
    box.assert_closed(lambda: raw_call(300, report_file_handles, 0), EPERM)


def test_a_keyring_that_outlives_the_launch(box: Box, raw_call: Callable[..., int]) -> None:
    user_keyring = -4
    box.assert_closed(lambda: raw_call(248, b"user", b"nono-test", b"x", 1, user_keyring), EPERM)


def test_loading_a_bpf_program(root_box: Box, raw_call: Callable[..., int]) -> None:
    array_map = b"".join(n.to_bytes(4, "little") for n in (2, 4, 4, 1)) + bytes(112)
    root_box.assert_closed(lambda: raw_call(321, 0, array_map, 128), EPERM)


def test_counting_events_of_the_processor(root_box: Box, raw_call: Callable[..., int]) -> None:
    attributes = (1).to_bytes(4, "little") + (112).to_bytes(4, "little") + bytes(104)  # a software event
    root_box.assert_closed(lambda: raw_call(298, attributes, 0, -1, -1, 0), EPERM)


def test_opening_a_file_by_its_handle(root_box: Box, raw_call: Callable[..., int]) -> None:
    """The way out of a container that needs no path at all."""
    handle = ctypes.create_string_buffer((120).to_bytes(4, "little") + bytes(132))
    mount = ctypes.create_string_buffer(4)
    path = root_box.path("outside/file")
    raw_call(303, -100, path, ctypes.addressof(handle), ctypes.addressof(mount), 0)
    anywhere = os.open(root_box.path("granted"), os.O_RDONLY)
    try:
        root_box.assert_closed(lambda: raw_call(304, anywhere, ctypes.addressof(handle), os.O_RDONLY), EPERM)
    finally:
        os.close(anywhere)


NAMESPACES = {
    "mount": 0x00020000,
    "cgroup": 0x02000000,
    "uts": 0x04000000,
    "ipc": 0x08000000,
    "user": 0x10000000,
    "pid": 0x20000000,
    "net": 0x40000000,
    "time": 0x00000080,
}


@pytest.mark.parametrize("wide", [0, 1 << 32], ids=["exact", "with-a-dirty-upper-half"])
@pytest.mark.parametrize("name", NAMESPACES)
def test_unsharing_namespaces(root_box: Box, raw_call: Callable[..., int], name: str, wide: int) -> None:
    outside = root_box.outside(lambda: raw_call(272, NAMESPACES[name]))
    if outside.errno == errno.EINVAL:
        pytest.skip(f"this kernel was built without {name} namespaces")
    probe = lambda: raw_call(272, NAMESPACES[name] | wide)  # noqa: E731  # used once
    if wide:  # unshare(2) takes a long and refuses bits that it does not know
        assert root_box.inside(probe).errno in (EPERM, errno.EINVAL)
    else:
        root_box.assert_closed(probe, EPERM)


def test_a_user_namespace_needs_no_root(box: Box, raw_call: Callable[..., int]) -> None:
    box.assert_closed(lambda: raw_call(272, NAMESPACES["user"]), EPERM)


def clone_and_exit(raw_call: Callable[..., int], number: int, *arguments: int | bytes) -> None:
    pid = raw_call(number, *arguments)
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def test_cloning_into_a_user_namespace(box: Box, raw_call: Callable[..., int]) -> None:
    flags = NAMESPACES["user"] | signal.SIGCHLD
    box.assert_closed(lambda: clone_and_exit(raw_call, 56, flags, 0, 0, 0, 0), EPERM)


@pytest.mark.parametrize("name", [name for name in NAMESPACES if name != "time"])
def test_cloning_into_namespaces(root_box: Box, raw_call: Callable[..., int], name: str) -> None:
    flags = NAMESPACES[name] | signal.SIGCHLD
    root_box.assert_closed(lambda: clone_and_exit(raw_call, 56, flags, 0, 0, 0, 0), EPERM)


def test_clone3_is_absent_and_everything_falls_back(box: Box, raw_call: Callable[..., int]) -> None:
    arguments = (0).to_bytes(8, "little") + bytes(24) + int(signal.SIGCHLD).to_bytes(8, "little") + bytes(24)
    box.assert_closed(lambda: clone_and_exit(raw_call, 435, arguments, 64), ENOSYS)

    import threading

    def probe() -> list[int]:
        done: list[int] = []
        thread = threading.Thread(target=lambda: done.append(1))
        thread.start()
        thread.join()
        child = os.fork()
        if child == 0:
            os._exit(7)
        return [*done, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])]

    box.assert_open(probe)


def test_io_uring_is_absent(box: Box, raw_call: Callable[..., int], must_have: Callable[[str], None]) -> None:
    parameters = bytes(120)
    if box.outside(lambda: raw_call(425, 4, parameters)).errno in (ENOSYS, EPERM):
        must_have("io_uring is switched off here")
    box.assert_closed(lambda: raw_call(425, 4, parameters), ENOSYS)
    assert box.inside(lambda: raw_call(426, -1, 0, 0, 0, 0, 0)).errno == ENOSYS
    assert box.inside(lambda: raw_call(427, -1, 0, 0, 0)).errno == ENOSYS


def test_calls_that_are_newer_than_the_filter(box: Box, raw_call: Callable[..., int]) -> None:
    """They do not exist here yet, so only the filter can be shown: it refuses before the kernel looks."""
    newest = seccomp_rules.NEWEST_KNOWN_CALL

    def probe() -> list[int]:
        answered = []
        for number in (*range(newest + 1, newest + 40), 1000, 0x3FFFFFFF):
            try:
                raw_call(number, 0, 0)
                answered.append(number)
            except OSError as error:
                if error.errno != ENOSYS:
                    answered.append(number)
        return answered

    assert box.inside(probe).value == []


def test_x32_calls_end_the_process(box: Box, raw_call: Callable[..., int]) -> None:
    number = 0x40000000 | 39  # getpid
    assert box.outside(lambda: raw_call(number)).signal is None
    assert box.inside(lambda: raw_call(number)).signal == signal.SIGSYS
    # An x32 number beyond the newest known call must not be taken for one of tomorrow's.
    assert box.inside(lambda: raw_call(0x40000000 | 600)).signal == signal.SIGSYS


@pytest.fixture(scope="session")
def i386_getpid() -> Iterator[Callable[[], int]]:
    source = 'int call(int n){int r;__asm__ volatile("int $0x80":"=a"(r):"a"(n):"memory");return r;}'
    with tempfile.TemporaryDirectory(prefix="nono-i386-") as directory:
        library = os.path.join(directory, "call.so")
        command = ["cc", "-shared", "-fPIC", "-o", library, "-x", "c", "-"]
        subprocess.run(command, input=source.encode(), check=True)
        function = ctypes.CDLL(library).call
        yield lambda: int(function(20))


def test_i386_calls_end_the_process(
    box: Box, i386_getpid: Callable[[], int], must_have: Callable[[str], None]
) -> None:
    outside = box.outside(i386_getpid)
    if outside.signal == signal.SIGSEGV or outside.value == -ENOSYS:
        must_have("this kernel runs no i386 code")
    assert outside.worked
    assert box.inside(i386_getpid).signal == signal.SIGSYS


def test_memfd_stays(box: Box) -> None:
    def probe() -> int:
        return os.write(os.memfd_create("x"), b"hello")

    box.assert_open(probe)


def test_posix_message_queues_are_absent(box: Box, raw_call: Callable[..., int]) -> None:
    """They have names of their own, which a command could make and remove unseen by Landlock."""
    name = b"nono-" + os.urandom(8).hex().encode()
    opened = os.O_RDWR | os.O_NONBLOCK

    def remove() -> int:
        return raw_call(241, name)

    assert box.outside(lambda: raw_call(240, name, opened | os.O_CREAT, 0o600, None)).worked
    try:
        box.assert_closed(lambda: raw_call(240, name, opened, 0, None), ENOSYS)
        assert box.inside(remove).errno == ENOSYS
    finally:
        assert box.outside(remove).worked
