"""A terminal that is shared with the user's shell: nothing can be typed into it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import termios
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.sandbox.conftest import Box

NR_IOCTL = 16
TIOCSTI, TIOCLINUX, TIOCSETD, TIOCSCTTY = 0x5412, 0x541C, 0x5423, 0x540E
LEGACY_TIOCSTI = "/proc/sys/dev/tty/legacy_tiocsti"


@contextlib.contextmanager
def terminal() -> Iterator[int]:
    leader, follower = pty.openpty()
    try:
        yield follower
    finally:
        os.close(leader)
        os.close(follower)


@pytest.fixture
def typing_allowed(must_have: Callable[[str], None]) -> Iterator[None]:
    """Let the kernel allow TIOCSTI to everybody while the test runs, as it did before Linux 6.2.

    The switch is the whole machine's, so tests that run beside this one wait for each other.
    """
    with open(LEGACY_TIOCSTI, encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = lock.read()
        if before.strip() == "1":
            yield
            return
        try:
            _switch("1")
        except OSError:
            must_have("this user cannot switch TIOCSTI on")
        yield
        _switch(before)


def _switch(value: str) -> None:
    with open(LEGACY_TIOCSTI, "w", encoding="utf-8") as switch:
        switch.write(value)


@pytest.mark.parametrize(
    "wide", [0, 1 << 32, 0xFFFF << 32], ids=["exact", "one-bit-above", "many-bits-above"]
)
@pytest.mark.usefixtures("typing_allowed")
def test_typing_into_the_terminal(box: Box, raw_call: Callable[..., int], wide: int) -> None:
    with terminal() as follower:

        def probe() -> int:
            os.setsid()
            fcntl.ioctl(follower, TIOCSCTTY, 0)
            return raw_call(NR_IOCTL, follower, wide | TIOCSTI, b"x")

        # setsid fails for a group's leader, so once removed from the bench's own group
        def in_a_session_of_its_own() -> object:
            child = os.fork()
            if child == 0:
                try:
                    probe()
                    os._exit(0)
                except OSError as error:
                    os._exit(error.errno or 255)
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            if code:
                raise OSError(code, os.strerror(code))
            return code

        box.assert_closed(in_a_session_of_its_own, errno.EPERM)


@pytest.mark.parametrize("wide", [0, 1 << 32], ids=["exact", "one-bit-above"])
def test_changing_the_line_discipline(box: Box, raw_call: Callable[..., int], wide: int) -> None:
    discipline = (0).to_bytes(4, "little")  # N_TTY, which is what it has
    with terminal() as follower:
        box.assert_closed(lambda: raw_call(NR_IOCTL, follower, wide | TIOCSETD, discipline), errno.EPERM)


@pytest.mark.parametrize("wide", [0, 1 << 32], ids=["exact", "one-bit-above"])
def test_pasting_into_a_console(box: Box, raw_call: Callable[..., int], wide: int) -> None:
    with terminal() as follower:
        # A pseudo-terminal is no console: ENOTTY is the kernel's own answer.
        box.assert_closed(
            lambda: raw_call(NR_IOCTL, follower, wide | TIOCLINUX, b"\x02"),
            errno.EPERM,
            outside_errno=errno.ENOTTY,
        )


def test_ordinary_terminal_calls_stay(box: Box) -> None:
    with terminal() as follower:

        def probe() -> list[int]:
            attributes = termios.tcgetattr(follower)
            termios.tcsetattr(follower, termios.TCSANOW, attributes)
            return [attributes[3], *termios.tcgetwinsize(follower)]

        box.assert_open(probe)
