"""Who is asked whether a command may open a file that no grant covers, and how: the terminal.

An :class:`Approver` is asked one question at a time and is never waited for: it has descriptors to be polled
and a time after which no answer is a refusal. The only one so far asks on the terminal of nono's own session
(:class:`TerminalApprover`). It must be a terminal that the command has not: one that can write to it could
show what it likes around the question, and one that reads from it could take the answer away. So the command
has either a terminal of its own, whose relay (:mod:`runtime.pseudo_terminal`) is held back while somebody is
asked; or a session of its own, without any terminal. The launch is refused where one of its standard streams
is the terminal all the same, or where a grant reaches the terminal's file.

What is shown is escaped, and of a bounded length; what was typed before the question is thrown away.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import struct
import termios
import time
from typing import TYPE_CHECKING, Protocol

from attest.named_tuples import NamedTuple
from runtime.capabilities import Access
from runtime.errors import EnforcementError
from runtime.path_names import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.capabilities import CapabilitySet
    from runtime.pseudo_terminal import PseudoTerminal

PERSON = "person"
POLICY = "policy"
TIME_OUT = "time-out"

ANSWER_SECONDS = 60.0
"""How long a person has; no answer is a refusal."""

_TIOCGDEV = 0x80045432  # asm-generic/ioctls.h: which device a terminal is, also of /dev/tty
_TERMINAL = b"/dev/tty"
_SECONDS_TO_WRITE = 2.0
_LONGEST_ANSWER = 64
_YES = (b"y", b"yes")


class Question(NamedTuple):
    """What is asked.

    Attributes:
        path: of the file, canonical.
        access: what it is to be opened for.
        made: whether it is not there yet, and would be made.
    """

    path: bytes
    access: Access
    made: bool

    @property
    def verb(self) -> str:
        """What is to be done with it, in words."""
        if self.made:
            return "make and read" if self.access is Access.READWRITE else "make"
        return {Access.READ: "read", Access.WRITE: "write"}.get(self.access, "read and write")


class Answer(NamedTuple):
    """What was decided.

    Attributes:
        granted: whether the file may be opened.
        by: ``person``, ``policy`` or ``time-out``.
        reason: why, in one line of text.
    """

    granted: bool
    by: str
    reason: str


class Approver(Protocol):
    """Who is asked; one question at a time."""

    def ask(self, question: Question) -> None:
        """Put a question, when there is none."""

    def register(self, poll: select.poll) -> None:
        """Register what an answer comes by."""

    def pause_ms(self) -> int | None:
        """Return how long there is left to answer, in milliseconds; None when nothing is asked."""

    def answer(self, ready: Mapping[int, int]) -> Answer | None:
        """Return what was decided, when it was.

        Args:
            ready: what is to be had by which descriptor.
        """

    def close(self) -> None:
        """Withdraw what is asked, and ask no more."""


class TerminalApprover:
    """Asks on the terminal of this process's session.

    Args:
        capabilities: what the command may do without being asked about.
        streams: the descriptors that become its standard streams.
        relay: what hands on between its own terminal and this one, None where it has none.
        seconds: how long a person has.

    Raises:
        EnforcementError: there is no such terminal, or the command has it as well.
    """

    def __init__(
        self,
        capabilities: CapabilitySet,
        *,
        streams: Sequence[int] = (0, 1, 2),
        relay: PseudoTerminal | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._seconds = seconds
        self._relay = relay
        self._deadline: float | None = None
        self._typed = b""
        self._shown = False
        self._poll: select.poll | None = None
        if relay is None and any(os.isatty(number) for number in streams):
            raise _error(
                "the command shares the terminal: it could answer for you",
                "leave all three of its streams to the terminal, without --no-pty; or redirect all three",
            )
        try:
            self._terminal = os.open(_TERMINAL, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            raise _error("there is no terminal to ask on", "run nono from a terminal") from None
        try:
            self._require_unshared(capabilities)
        except BaseException:
            os.close(self._terminal)
            raise

    def _require_unshared(self, capabilities: CapabilitySet) -> None:
        (number,) = struct.unpack("=I", fcntl.ioctl(self._terminal, _TIOCGDEV, bytes(4)))
        for path in _places(number):
            if any(capabilities.covers(path, access) for access in (Access.READ, Access.WRITE)):
                raise _error(
                    f"a grant reaches the terminal, {shown(path)}: the command could answer for you",
                    "grant less of /dev",
                )

    def ask(self, question: Question) -> None:
        """Put a question on the terminal; one that cannot be put is answered at once."""
        self._typed, self._deadline = b"", time.monotonic() + self._seconds
        text = (
            f"\nnono: the command asks to {question.verb} {shown(question.path)}\n"
            f"nono: allow it until this launch ends? [y/N, {self._seconds:.0f} s] "
        )
        self._shown = False
        with contextlib.suppress(OSError, termios.error):
            if self._is_in_the_foreground():
                if self._relay is not None:
                    self._relay.hold()
                termios.tcflush(self._terminal, termios.TCIFLUSH)
                self._shown = self._write(text.encode())
        if self._poll is not None:
            self._poll.register(self._terminal, select.POLLIN)

    def _write(self, data: bytes) -> bool:
        """Write a question; return whether all of it got there. What the command wrote before may fill it."""
        room = select.poll()
        room.register(self._terminal, select.POLLOUT)
        until = time.monotonic() + _SECONDS_TO_WRITE
        while data and (left := until - time.monotonic()) > 0 and room.poll(left * 1_000):
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._terminal, data) :]
        return not data

    def register(self, poll: select.poll) -> None:
        """Remember where to register the terminal, which is only read while a question is open."""
        self._poll = poll

    def _is_in_the_foreground(self) -> bool:
        """Return whether the terminal is this process's to use: who reads from it otherwise is stopped."""
        return os.tcgetpgrp(self._terminal) == os.getpgrp()

    def pause_ms(self) -> int | None:
        """Return how long there is left to answer."""
        if self._deadline is None:
            return None
        return max(0, int((self._deadline - time.monotonic()) * 1_000) + 1) if self._shown else 0

    def answer(self, ready: Mapping[int, int]) -> Answer | None:
        """Return what was typed, or that nothing was."""
        if self._deadline is None:
            return None
        decided: Answer | None = None
        if not self._shown:
            reason = "the terminal could not be written to, or nono is in its background"
            decided = Answer(granted=False, by=POLICY, reason=reason)
        elif self._terminal in ready:
            decided = self._read()
        if decided is None and time.monotonic() >= self._deadline:
            self._say("no answer\n")
            decided = Answer(
                granted=False, by=TIME_OUT, reason=f"nobody answered within {self._seconds:.0f} seconds"
            )
        if decided is not None:
            self._deadline = None
            if self._poll is not None:
                self._poll.unregister(self._terminal)
            if self._relay is not None:
                self._relay.resume()
        return decided

    def _read(self) -> Answer | None:
        try:
            if not self._is_in_the_foreground():
                return None
            piece = os.read(self._terminal, _LONGEST_ANSWER)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EINTR:
                return None
            piece = b""
        self._typed += piece
        line, end, _ = self._typed.partition(b"\n")
        if piece and not end and len(self._typed) <= _LONGEST_ANSWER:
            return None  # a terminal that is not reading lines
        if end and line.strip().lower() in _YES:
            return Answer(granted=True, by=PERSON, reason="allowed on the terminal until the launch ends")
        return Answer(granted=False, by=PERSON, reason="refused on the terminal")

    def _say(self, text: str) -> None:
        with contextlib.suppress(OSError):
            os.write(self._terminal, text.encode())

    def close(self) -> None:
        """Withdraw what is asked."""
        if self._deadline is not None and self._shown:
            self._say("the launch has ended\n")
        self._deadline = None
        os.close(self._terminal)


def _places(number: int) -> tuple[bytes, ...]:
    """Return where the file of a terminal can be, by its device number (admin-guide/devices.txt)."""
    major, minor = os.major(number), os.minor(number)
    places = [b"/dev/char/%d:%d" % (major, minor)]
    if 136 <= major <= 143:
        places.append(b"/dev/pts/%d" % ((major - 136) * 256 + minor))
    elif major == 4:
        places.append(b"/dev/tty%d" % minor if minor < 64 else b"/dev/ttyS%d" % (minor - 64))
    elif major == 5 and minor == 1:
        places.append(b"/dev/console")
    return tuple(places)


def _error(why: str, hint: str) -> EnforcementError:
    return EnforcementError(
        f"nobody can be asked about files: {why}",
        code="elevation.terminal",
        hint=f"{hint}; or leave out --capability-elevation",
    )
