"""Who is asked whether a command may open a file that no grant covers, and how: the terminal.

An :class:`Approver` is asked one question at a time and is never waited for: it has descriptors to be polled
and a time after which no answer is a refusal. The only one so far asks on the terminal of nono's own session
(:class:`TerminalApprover`). It must be a terminal that the command has not: one that can write to it could
show what it likes around the question, and one that reads from it could take the answer away. So the command
has either a terminal of its own, whose relay (:mod:`runtime.processes.pseudo_terminal`) is held back while
somebody is asked; or a session of its own, without any terminal. The launch is refused where one of its
standard streams is the terminal all the same, or where a grant reaches the terminal's file.

What is shown is escaped, and of a bounded length. The command chooses when a question comes, so **keys that
were typed for something else are no answer**: what is asked is shown first, and only when nothing has been
typed for a while after it (``GUARD_SECONDS``) does the line come that asks for an answer. All that came until
then is thrown away. So it is where the question comes back after the job was stopped, and the launches that
ask on one terminal take turns at it.
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

import attest.printable_text  # noqa: F401  # what shown() needs for some names: nothing is imported later
from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import Access
from runtime.errors import EnforcementError
from runtime.kernel.path_names import shown
from store.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from runtime.capability.capabilities import CapabilitySet

PERSON = "person"
POLICY = "policy"
TIME_OUT = "time-out"

ANSWER_SECONDS = 60.0
"""How long a person has; no answer is a refusal."""
GUARD_SECONDS = 1.0
"""For how long nothing must have been typed before an answer counts: longer than it takes to see a question
and to keep one's hands still."""

_TIOCGDEV = 0x80045432  # asm-generic/ioctls.h: which device a terminal is, also of /dev/tty
_TERMINAL = b"/dev/tty"
_SECONDS_TO_WRITE = 2.0
_TURN_SECONDS = 0.1  # between two looks whether another launch has been answered
_NOT_ASKED = "the terminal could not be written to, or nono is in its background"
_GONE = "the terminal that was asked on is gone"
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


class Relay(Protocol):
    """What hands on between a terminal of the command's own and the one that is asked on.

    Attributes:
        stops: how often the job of both was stopped, or was to be.
    """

    stops: int

    def hold(self) -> bytes:
        """Hand nothing on while somebody is asked; return what is to be written before the question."""

    def resume(self) -> None:
        """Go on."""


class TerminalApprover:
    """Asks on the terminal of this process's session.

    Args:
        capabilities: what the command may do without being asked about.
        state: nono's state directory, where launches take turns at a terminal.
        streams: the descriptors that become its standard streams.
        relay: what hands on between its own terminal and this one, None where it has none.
        seconds: how long a person has.

    Raises:
        EnforcementError: there is no such terminal, or the command has it as well.
    """

    def __init__(
        self,
        capabilities: CapabilitySet,
        state: bytes,
        *,
        streams: Sequence[int] = (0, 1, 2),
        relay: Relay | None = None,
        seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._seconds = seconds
        self._relay = relay
        self._question: Question | None = None
        self._deadline = self._next = 0.0
        self._stops = 0
        self._typed = b""
        self._obstacle = ""
        self._is_asked = False
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
            (number,) = struct.unpack("=I", fcntl.ioctl(self._terminal, _TIOCGDEV, bytes(4)))
            self._require_unshared(capabilities, number)
        except BaseException:
            os.close(self._terminal)
            raise
        self._turn = Turn(os.path.join(state, b"turns"), b"terminal-%d" % number)

    @staticmethod
    def _require_unshared(capabilities: CapabilitySet, number: int) -> None:
        for path in _places(number):
            if any(capabilities.covers(path, access) for access in (Access.READ, Access.WRITE)):
                raise _error(
                    f"a grant reaches the terminal, {shown(path)}: the command could answer for you",
                    "grant less of /dev",
                )

    def ask(self, question: Question) -> None:
        """Put a question on the terminal; one that cannot be put is answered at once."""
        self._question, self._obstacle, self._is_asked = question, "", False
        self._deadline = time.monotonic() + GUARD_SECONDS + self._seconds
        if self._is_in_the_foreground():
            self._show()
        else:
            self._obstacle = _NOT_ASKED

    def _show(self) -> None:
        """Show what is asked, when it is this launch's turn; what was typed until then is no answer."""
        assert self._question is not None
        self._typed = b""
        text = (
            f"\nnono: the command asks to {self._question.verb} {shown(self._question.path)}\n"
            "nono: y and Enter allow it, all else refuses it; what is typed before the next line is ignored\n"
        )
        try:
            if not self._turn.try_to_take():
                self._next = time.monotonic() + _TURN_SECONDS
                return
        except OSError as error:
            self._obstacle = f"no turn at the terminal: {os.strerror(error.errno or 0).lower()}"
            return
        try:
            first = b""
            if self._relay is not None:
                first = self._relay.hold()
                self._stops = self._relay.stops
            termios.tcflush(self._terminal, termios.TCIFLUSH)
            self._write(first + text.encode())
        except (OSError, termios.error):
            self._obstacle = _NOT_ASKED
        self._next = time.monotonic() + GUARD_SECONDS

    def _ask_now(self) -> None:
        """Ask for the answer, if nothing has been typed since what is asked was shown."""
        typed = select.poll()
        typed.register(self._terminal, select.POLLIN)
        try:
            was_typed = bool(typed.poll(0))
            termios.tcflush(self._terminal, termios.TCIFLUSH)
            if was_typed:
                self._next = time.monotonic() + GUARD_SECONDS
                return
            # Over what was typed meanwhile, and is shown there.
            self._write(f"\rnono: allow it until this launch ends? [y/N, {self._seconds:.0f} s] ".encode())
        except (OSError, termios.error):
            self._obstacle = _NOT_ASKED
            return
        self._is_asked = True
        self._deadline = time.monotonic() + self._seconds
        if self._poll is not None:
            self._poll.register(self._terminal, select.POLLIN)

    def _write(self, data: bytes) -> None:
        """Write all of it; what the command wrote before may fill the terminal.

        Raises:
            OSError: the terminal takes no more.
        """
        room = select.poll()
        room.register(self._terminal, select.POLLOUT)
        until = time.monotonic() + _SECONDS_TO_WRITE
        while data:
            left = until - time.monotonic()
            if left <= 0 or not room.poll(left * 1_000):
                raise TimeoutError
            with contextlib.suppress(BlockingIOError):
                data = data[os.write(self._terminal, data) :]

    def register(self, poll: select.poll) -> None:
        """Remember where to register the terminal, which is only read while an answer counts."""
        self._poll = poll

    def _stop_reading(self) -> None:
        self._is_asked = False
        if self._poll is not None:
            with contextlib.suppress(KeyError):
                self._poll.unregister(self._terminal)

    def _is_in_the_foreground(self) -> bool:
        """Return whether the terminal is this process's to use: who reads from it otherwise is stopped."""
        try:
            return os.tcgetpgrp(self._terminal) == os.getpgrp()
        except OSError:  # it has been hung up
            return False

    def _was_away(self) -> bool:
        """Return whether the job was stopped since what is asked was shown."""
        return self._relay is not None and self._relay.stops != self._stops

    def pause_ms(self) -> int | None:
        """Return for how long there is nothing to do unless something is typed, in milliseconds."""
        if self._question is None:
            return None
        if self._obstacle or (self._is_asked and self._was_away()):
            return 0
        until = self._deadline if self._is_asked else min(self._next, self._deadline)
        return max(0, int((until - time.monotonic()) * 1_000) + 1)

    def answer(self, ready: Mapping[int, int]) -> Answer | None:
        """Return what was typed, or that nothing was."""
        if self._question is None:
            return None
        decided = self._decided(ready)
        if decided is not None:
            self._withdraw()
            if self._relay is not None:
                self._relay.resume()
        return decided

    def _decided(self, ready: Mapping[int, int]) -> Answer | None:
        decided: Answer | None = None
        if self._is_asked:
            if self._was_away():
                self._stop_reading()  # who comes back to the job is asked anew
                self._go_on()
            elif self._terminal in ready:
                decided = self._read(ready[self._terminal])
        elif not self._obstacle and time.monotonic() >= self._next:
            self._go_on()
        if self._obstacle:
            return Answer(granted=False, by=POLICY, reason=self._obstacle)
        if decided is not None or time.monotonic() < self._deadline:
            return decided
        if self._is_asked:
            reason = f"nobody answered within {self._seconds:.0f} seconds"
            self._say("no answer\n")
        else:
            reason = f"the terminal was in use for {self._seconds:.0f} seconds, and nobody could be asked"
        return Answer(granted=False, by=TIME_OUT, reason=reason)

    def _go_on(self) -> None:
        """Do what was waited for."""
        if not self._is_in_the_foreground():
            self._next = time.monotonic() + GUARD_SECONDS  # what is typed there is not for this
        elif not self._turn.is_held or self._was_away():
            self._show()
        else:
            self._ask_now()

    def _read(self, events: int) -> Answer | None:
        if events & (select.POLLHUP | select.POLLERR):
            return Answer(granted=False, by=POLICY, reason=_GONE)
        if not self._is_in_the_foreground():
            return None
        try:
            piece = os.read(self._terminal, _LONGEST_ANSWER)
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno == errno.EINTR:
                return None
            return Answer(granted=False, by=POLICY, reason=_GONE)
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

    def _withdraw(self) -> None:
        self._question = None
        self._stop_reading()
        self._turn.give_up()

    def close(self) -> None:
        """Withdraw what is asked."""
        if self._question is not None and self._is_asked:
            self._say("the launch has ended\n")
        self._withdraw()
        self._turn.close()
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
