"""A terminal of the command's own, and the way from there to the user's.

Where all three standard streams are one terminal, the command gets a pseudo-terminal instead of it. What it
writes there is handed on to the user's terminal, and what is typed is handed on to it, by the process that
launched (:mod:`runtime.processes.supervision`): so the command holds no descriptor of the user's terminal,
cannot put anything into its input, change its modes or leave them changed, and is in another session. Escape
sequences that it writes do reach the user's terminal, as they must.

**Modes.** While the command is in the foreground the user's terminal is raw: the pseudo-terminal echoes,
edits lines and makes signals of keys. It is given back on every way out: at the end, before anything is
said there; when the command stops; by the monitor when this process is killed
(:meth:`PseudoTerminal.give_back_for`).

**Job control.** The monitor leads the session of the pseudo-terminal and the command a group in it, so that
the command can be stopped by a key (a group whose parents are all in other sessions cannot). When it has
been, this process's whole job is, after the terminal was given back; when that goes on, the command does.
Meanwhile a process that was forked for it waits for the command's end, and then continues this one: how the
command ended is recorded whether or not somebody comes back to it. In the background nothing is read, and
nothing is written either where the terminal is set to stop who does (``stty tostop``).

**Bounds.** One piece is held in each direction; while it cannot be handed on nothing more is read. No call
here waits, but :meth:`PseudoTerminal.hand_on` where it is told to.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import marshal
import mmap
import os
import select
import signal
import termios
import time
from typing import TYPE_CHECKING, Any

from runtime.kernel import syscalls
from runtime.processes.stopped_command import GO_ON, WATCH

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from runtime.kernel.syscalls import SignalInfo

# asm-generic/ioctls.h
_TIOCGDEV = 0x80045432
_TIOCSIG = 0x40045436
_WINDOW_SIZE_BYTES = 8

_PIECE_BYTES = 65_536
# As much as the kernel holds of what was written to a pseudo-terminal (tty_buffer.c), and more.
_MOST_LEFT_BYTES = 1 << 20
_MOST_ECHOED = 8  # of one byte: a tab
_LOOK_MS = 200
_WAKE_SECONDS = 0.05
_STREAMS = (0, 1, 2)
_OWN = frozenset({signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU})

_IFLAG, _OFLAG, _CFLAG, _LFLAG, _CC = 0, 1, 2, 3, 6
_FLAGS = (_IFLAG, _OFLAG, _LFLAG)


# What has a terminal show text again, whatever a command has set of it, as far as that can be (xterm's
# control sequences, console_codes(4)).
_SHOW_AGAIN = (
    b"\x18\x1b\\"  # ends a sequence, or a string, that was begun and would take what follows for its own
    b"\x1b[?2026l\x1b[4i"  # shows what is written at once, and on the screen rather than a printer
    b"\x1b[!p\x1b[?7h\x1b[0m\x0f"  # DECSTR: colours, scrolled region, cursor; long lines wrap; text
    b"\x1b]R\x1b\\\x1b]104\x1b\\\x1b]110\x1b\\\x1b]111\x1b\\"  # the palette, of a console as well
)


def is_one_terminal() -> bool:
    """Return whether all three standard streams are the same terminal."""
    try:
        return len({fcntl.ioctl(number, _TIOCGDEV, b"\0" * 4) for number in _STREAMS}) == 1
    except OSError:  # one is none
        return False


class PseudoTerminal:
    """The command's terminal, relayed.

    Raises:
        OSError: there can be none, or the user's own cannot be opened anew.

    Attributes:
        has_shown: whether the command has written there, and more than may be the echo of what was typed.
        stops: how often this process's job was stopped, or was to be.
        command_end: descriptor of the command's side; it stays open here, so that its end is not one of the
            command's to make.
    """

    def __init__(self) -> None:
        self._descriptors: list[int] = []
        self._changed = -1
        self._typed = self._written = b""
        self._is_raw = self._is_gone = self._is_told = self.has_shown = False
        self._typed_bytes = self._shown_bytes = 0
        self._is_in_front = _is_in_front()
        self._is_held = False
        self.stops = 0
        self._poll: select.poll | None = None
        self._until: dict[int, int] = {}
        # What the monitor must know when this process is gone: whether the terminal is raw, and what it was.
        self._shared = mmap.mmap(-1, mmap.PAGESIZE)
        try:
            self._open()
            self._saved = termios.tcgetattr(0)
            if self._is_in_front:  # else the modes are those that a shell edits its lines in
                termios.tcsetattr(self.command_end, termios.TCSANOW, self._saved)
        except termios.error as error:
            self.close()
            raise OSError(*error.args) from None
        except BaseException:
            self.close()
            raise
        self._take_size()
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, _OWN)
        self._changed = syscalls.signalfd(frozenset({signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP}))

    def _open(self) -> None:
        self._own, self.command_end = os.openpty()
        self._descriptors += [self._own, self.command_end]
        os.set_blocking(self._own, False)  # its name says what is false
        # Descriptions of its own: O_NONBLOCK of the others would be everybody's who has them.
        flags = os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        self._source = os.open(b"/proc/self/fd/0", os.O_RDONLY | flags)
        self._descriptors.append(self._source)
        self._sink = os.open(b"/proc/self/fd/1", os.O_WRONLY | flags)
        self._descriptors.append(self._sink)

    # --- the command's side -------------------------------------------------------------------------

    def lead(self) -> None:
        """As the monitor, begin a session that this is the terminal of.

        Raises:
            OSError: the kernel does not let it.
        """
        os.setsid()
        fcntl.ioctl(self.command_end, termios.TIOCSCTTY, 0)

    def become_streams(self) -> None:
        """As the child, be in the foreground of it, and have it for all three streams."""
        os.setpgid(0, 0)
        for number in _STREAMS:
            os.dup2(self.command_end, number)
        os.tcsetpgrp(0, os.getpgrp())

    def give_back_for(self) -> None:
        """As the monitor of a launcher that is gone, give the user's terminal back if that did not."""
        if not self._shared[0]:
            return
        saved = marshal.loads(self._shared[1:])  # noqa: S302  # this program alone has written it
        with contextlib.suppress(termios.error, OSError):
            found, raw = termios.tcgetattr(0), _raw_of(saved)
            if all(found[each] == raw[each] for each in _FLAGS):  # what others have changed since is theirs
                termios.tcsetattr(0, termios.TCSANOW, saved)

    # --- the user's terminal ------------------------------------------------------------------------

    def begin(self, command: int, monitor: int) -> None:
        """Take the user's terminal, if this is in its foreground; the command is about to run.

        Args:
            command: pidfd of the command.
            monitor: the end of a pipe whose other end the monitor has.
        """
        # Of the pipe only its end counts: what the monitor says meanwhile is no reason to go on.
        self._until = {command: select.POLLIN, monitor: 0}
        self._look()
        self._take_size()

    def _look(self) -> None:
        """See whether this is in the foreground, and take the terminal if it is."""
        self._is_in_front = _is_in_front()
        if self._is_gone or self._is_held:
            return
        if not self._is_in_front:
            self._set_raw(is_raw=False)  # whoever is there has it now
            return
        with contextlib.suppress(termios.error):
            if not self._is_raw:
                self._saved = termios.tcgetattr(0)
                self._set_raw(is_raw=True)
            termios.tcsetattr(0, termios.TCSANOW, _raw_of(self._saved))

    def _set_raw(self, *, is_raw: bool) -> None:
        self._is_raw = is_raw
        if is_raw:
            saved = marshal.dumps(self._saved)
            self._shared[1 : 1 + len(saved)] = saved
        self._shared[0] = is_raw

    def _take_size(self) -> None:
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(0, termios.TIOCGWINSZ, b"\0" * _WINDOW_SIZE_BYTES)
            fcntl.ioctl(self._own, termios.TIOCSWINSZ, size)

    def give_back(self) -> None:
        """Give the user's terminal back as it was; again does nothing."""
        if self._is_raw:
            # Not before it has shown what was written (TCSADRAIN): one that does not would be waited for.
            with contextlib.suppress(termios.error, OSError):
                if _is_in_front():
                    termios.tcsetattr(0, termios.TCSANOW, self._saved)
            self._set_raw(is_raw=False)

    def hold(self) -> bytes:
        """Hand nothing on, and give the terminal back, while somebody is asked on it.

        Returns:
            What is to be written there first, so that the question is seen.
        """
        self._is_held = True
        self.give_back()
        return _SHOW_AGAIN

    def resume(self) -> None:
        """Go on, and have a command that fills the screen draw it again."""
        self._is_held = False
        self._look()
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._own, termios.TIOCSWINSZ, b"\1\0" * 2 + b"\0" * 4)
        self._take_size()
        if self._poll is not None:
            self.register(self._poll)

    def leave_to_launcher(self) -> None:
        """Have the monitor leave the terminal alone: it sees this process hang up, which is still there."""
        self._shared[0] = False

    def suspend(self, number: int) -> bytes:
        """Stop this process's job, as the command has been stopped, until somebody continues it.

        Args:
            number: the signal that stopped the command.

        Returns:
            What the monitor is to be answered. Where nobody could continue it (an orphaned process group)
            this job is not stopped by a terminal's signal, and neither is the command; it is by SIGSTOP.
        """
        return GO_ON if self._stop_job(number) or number != signal.SIGSTOP else WATCH

    def _stop_job(self, number: int, *, also_in_front: bool = True) -> bool:
        """Stop until somebody continues this; return whether it was stopped, which it cannot always be.

        Args:
            number: the signal that does it.
            also_in_front: whether to stop where the job has got the terminal meanwhile; without, it goes on.
        """
        self.stops += 1
        self.give_back()
        syscalls.read_signals(self._changed)
        by_key = number if number in {signal.SIGTTIN, signal.SIGTTOU} else signal.SIGTSTP
        waker = self._fork_waker()
        try:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {by_key})
            # Looked at once more, since a waker takes a while to fork: who was brought to the front meanwhile
            # would be stopped there, and its user would have to do so again.
            goes_on = not also_in_front and _is_in_front()
            if not goes_on:
                os.kill(0, by_key)  # and whoever else is of the job: what called this, say
            signal.pthread_sigmask(signal.SIG_BLOCK, {by_key})
        finally:
            if waker:
                os.kill(waker, signal.SIGKILL)
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(waker, 0)
        came = syscalls.read_signals(self._changed)
        was_stopped = goes_on or any(info.signal == signal.SIGCONT for info in came)
        self._look()
        self._take_size()
        return was_stopped

    def _fork_waker(self) -> int:
        """Fork who continues this process when the command ends; return its pid, 0 where there is none."""
        launcher = os.getpid()
        try:
            pid = os.fork()
        except OSError:  # then the record waits for whoever continues the job
            return 0
        if pid:
            return pid
        try:
            os.setpgid(0, 0)
            syscalls.close_all_but(set(self._until))
            poll = select.poll()
            for descriptor, events in self._until.items():
                poll.register(descriptor, events)
            poll.poll()
            # Again and again: the first may come before the stop. The launcher ends this one.
            while os.getppid() == launcher:
                os.kill(launcher, signal.SIGCONT)
                time.sleep(_WAKE_SECONDS)
        finally:
            os._exit(0)

    # --- the relay ----------------------------------------------------------------------------------

    def pause_ms(self) -> int | None:
        """Return within which time to look again, in milliseconds; None when something tells of it."""
        return None if self._is_in_front or self._is_gone else _LOOK_MS

    def register(self, poll: select.poll) -> None:
        """Have ``poll`` wait for what is to be done next, and for nothing else."""
        if self._is_gone:
            for descriptor in (self._own, self._source, self._sink, self._changed):
                with contextlib.suppress(KeyError):
                    poll.unregister(descriptor)
            return
        self._poll = poll
        poll.register(self._changed, select.POLLIN)
        if self._is_held:
            for descriptor in (self._own, self._source, self._sink):
                poll.register(descriptor, 0)
            return
        own = (0 if self._written else select.POLLIN) | (select.POLLOUT if self._typed else 0)
        poll.register(self._own, own)
        poll.register(self._sink, select.POLLOUT if self._written and self._may_write() else 0)
        reads = self._is_in_front and not self._typed
        poll.register(self._source, select.POLLIN if reads else 0)

    def serve(self, ready: Mapping[int, int], poll: select.poll) -> None:
        """Do what ``ready``, the events by their descriptors, allows; signals have been handed on before."""
        if self._is_gone:
            self._hang_up()
            self.register(poll)
            return
        if not self._is_in_front:
            self._look()
        if self._changed in ready:
            self._heed([info.signal for info in syscalls.read_signals(self._changed)])
        if (ready.get(self._source, 0) | ready.get(self._sink, 0)) & (select.POLLHUP | select.POLLERR):
            self._lose()
        if not self._is_held:
            self._relay(ready)
        self.register(poll)

    def _relay(self, ready: Mapping[int, int]) -> None:
        if ready.get(self._own, 0) & select.POLLIN:
            self._read()
        elif ready.get(self._sink, 0) & select.POLLOUT:
            self._write()
        elif self._written and not self._may_write():
            self._await_front()
        if ready.get(self._own, 0) & select.POLLOUT:
            self._type()
        elif ready.get(self._source, 0) & select.POLLIN:
            self._take_typed()

    def _heed(self, signals: Sequence[int]) -> None:
        if signal.SIGTSTP in signals:  # the terminal is not raw, or it is from somebody else than a key
            self.press(signal.SIGTSTP)
        if signal.SIGCONT in signals:
            self._look()
        if signals:
            self._take_size()

    def press(self, number: int) -> bool:
        """Have the key that means a signal pressed on the command's terminal; return whether there is one."""
        try:
            fcntl.ioctl(self._own, _TIOCSIG, number)
        except OSError:  # none means that signal, or the terminal is gone
            return False
        return True

    def tells_again(self, info: SignalInfo) -> bool:
        """Return whether a signal says that the user's terminal is gone, and one before it said so.

        The kernel tells some processes, and this one tells itself when it sees it: the first of them counts.
        """
        if info.signal != signal.SIGHUP or (info.code != syscalls.SI_KERNEL and info.pid != os.getpid()):
            return False
        again, self._is_told = self._is_told, True
        return again

    def _may_write(self) -> bool:
        if self._is_in_front:
            return True
        try:
            return not termios.tcgetattr(0)[_LFLAG] & termios.TOSTOP
        except termios.error:
            return True

    def _await_front(self) -> None:
        """Stop, as the terminal is set to do with who writes in the background."""
        if not self._stop_job(signal.SIGTTOU, also_in_front=False):
            self._written = b""  # the kernel would not take it either, of who cannot be stopped

    def _read(self, most: int = _PIECE_BYTES) -> int:
        """Take one piece from the command, hand on what fits of it, and return its size."""
        try:
            self._written = os.read(self._own, most)
        except OSError:  # nothing is there
            return 0
        size = len(self._written)
        self._shown_bytes += size
        # What is typed comes back as well, and the command has no part in that.
        self.has_shown = self.has_shown or self._shown_bytes > self._typed_bytes * _MOST_ECHOED
        self._write()
        return size

    def _write(self) -> None:
        if self._is_gone:
            self._written = b""
        elif self._written and self._may_write():
            try:
                self._written = self._written[os.write(self._sink, self._written) :]
            except BlockingIOError:
                return
            except OSError:
                self._lose()

    def _take_typed(self) -> None:
        try:
            self._typed = os.read(self._source, _PIECE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno == errno.EIO and not _is_in_front():
                self._look()  # it has just been put into the background
            else:
                self._lose()
            return
        self._typed_bytes += len(self._typed)
        if self._typed:
            self._type()
        else:
            self._lose()

    def _type(self) -> None:
        if self._typed and not self._is_gone:
            with contextlib.suppress(BlockingIOError):
                self._typed = self._typed[os.write(self._own, self._typed) :]

    def _lose(self) -> None:
        """Do what follows when the user's terminal is gone: the command is told, and loses its own."""
        if not self._is_gone:
            self._is_gone = True
            self._set_raw(is_raw=False)
            self._typed = self._written = b""
            # As if the kernel had: it tells the foreground, but not a job in the background. It is handed on,
            # unless the kernel's was.
            os.kill(os.getpid(), signal.SIGHUP)

    def _hang_up(self) -> None:
        """End the command's terminal, once it was told."""
        if self._own in self._descriptors:
            self._descriptors.remove(self._own)
            os.close(self._own)

    def hand_on(self, interrupted: int | None = None) -> None:
        """Hand on what the command has left, once it and all that it started is gone.

        Args:
            interrupted: a descriptor that is readable when there is no time for a slow terminal; with None
                nothing is waited for at all.
        """
        with contextlib.nullcontext() if interrupted is None else self._as_written():
            left = _MOST_LEFT_BYTES  # what could not be ended may write for ever
            while not self._is_gone:
                if self._written:
                    self._write()
                else:
                    left -= (size := self._read())
                    if not size or left <= 0:
                        return
                if self._written and not self._wait(interrupted):
                    return

    @contextlib.contextmanager
    def _as_written(self) -> Iterator[None]:
        """Have the terminal, which was given back, show the rest as it was written; keys are the user's."""
        if not self._written or self._is_gone or not _is_in_front():
            yield
            return
        try:
            saved = termios.tcgetattr(0)
            bare = [*saved]
            bare[_OFLAG] &= ~termios.OPOST
            termios.tcsetattr(0, termios.TCSANOW, bare)
        except termios.error:
            yield
            return
        try:
            yield
        finally:
            with contextlib.suppress(termios.error):
                if _is_in_front():
                    termios.tcsetattr(0, termios.TCSANOW, saved)

    def _wait(self, interrupted: int | None) -> bool:
        """Wait until the terminal takes more; return False where that is not to be waited for."""
        if interrupted is None:
            return False
        if not self._may_write():
            self._await_front()
        poll = select.poll()
        poll.register(interrupted, select.POLLIN)
        poll.register(self._sink, select.POLLOUT)
        return interrupted not in dict(poll.poll())

    def close(self) -> None:
        """Give the terminal back, and up what is left; again does nothing."""
        if self._changed >= 0:
            self.give_back()
            os.close(self._changed)
            self._changed = -1
            signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
        while self._descriptors:
            os.close(self._descriptors.pop())


def _raw_of(attributes: list[Any]) -> list[Any]:
    """Return the attributes of a terminal that changes nothing of what is typed and written."""
    raw = [*attributes[:_CC], list(attributes[_CC])]
    raw[_IFLAG] &= ~(
        termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR | termios.IGNCR
        | termios.ICRNL | termios.IXON
    )  # fmt: skip
    raw[_OFLAG] &= ~termios.OPOST
    raw[_CFLAG] = raw[_CFLAG] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    raw[_LFLAG] &= ~(termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN)
    raw[_CC][termios.VMIN], raw[_CC][termios.VTIME] = 1, 0
    return raw


def _is_in_front() -> bool:
    """Return whether this process may have the terminal; always, where that controls no jobs of its own."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # not the terminal that controls it
        return True
