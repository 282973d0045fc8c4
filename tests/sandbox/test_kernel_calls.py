"""The static filter: all of its tables, namespaces, and calls of tomorrow.

What the calls are good for is in the table of :mod:`tests.escapes.ways_kernel`, as are other architectures.
"""

from __future__ import annotations

import errno
import os
import platform
import signal
from typing import TYPE_CHECKING

import pytest

from runtime.capability.capabilities import Network
from runtime.sandbox import seccomp_rules

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sandbox.conftest import Box

EPERM, ENOSYS = errno.EPERM, errno.ENOSYS

pytestmark = pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86-64")


def test_nothing_that_is_never_allowed_gets_through(box: Box, raw_call: Callable[..., int]) -> None:
    """Every name of the tables, whatever the kernel would have said: inside, the filter answers."""
    absent = (*seccomp_rules._ABSENT, *seccomp_rules._SYSV)
    names = (*seccomp_rules._NEVER, *absent)
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

    expected = dict.fromkeys(seccomp_rules._NEVER, EPERM) | dict.fromkeys(absent, ENOSYS)
    assert box.inside(probe).value == expected
    assert box.inside(probe, Network.ALL).value == expected


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
