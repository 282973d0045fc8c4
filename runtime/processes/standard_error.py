"""What a command writes to standard error, seen without changing what it writes to.

* A regular file is read back afterwards, from where it ended when the launch began (:class:`FileView`).
* A pipe, or a stream socket, can only be seen on its way. :class:`Relay` gives the command another pipe and
  hands on what comes through it. That is not quite the same for command and reader
  (docs/adr/0020-a-footer-that-does-not-guess.md), so it is done only when it was asked for.
* A terminal, and what standard output writes to as well, are left alone: the command would see that its
  standard error is no terminal, and the order of its two outputs would change.

Imported before the fork, and only where one of the two is wanted.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import stat
import sys
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import _socket
    from collections.abc import Mapping

MOST_BYTES = 65_536
"""As much of the end as is kept."""

_NUMBER = 2
_PIECE_BYTES = 65_536
_OWN_NAME = b"/proc/self/fd/2"
_READER_IS_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL
# bits/socket.h; the module that has them is imported only where there is a socket
_SOCK_STREAM = 1
_DONT_WAIT = 0x40


class FileView:
    """Standard error where it is a regular file.

    Made before the launch; :meth:`tail` is asked after it.
    """

    def __init__(self) -> None:
        self._begin = _end_of_file()

    def tail(self) -> bytes | None:
        """Return the end of what was written since, None when it cannot be read."""
        try:
            # Its own description: that of the descriptor may be for writing alone, and has an offset.
            descriptor = os.open(_OWN_NAME, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError:
            return None
        try:
            end = _end_of_file()
            begin = max(self._begin, end - MOST_BYTES)
            return os.pread(descriptor, end - begin, begin) if end > begin else b""
        except OSError:
            return None
        finally:
            os.close(descriptor)


def _end_of_file() -> int:
    if fcntl.fcntl(_NUMBER, fcntl.F_GETFL) & os.O_APPEND:
        return os.fstat(_NUMBER).st_size
    return os.lseek(_NUMBER, 0, os.SEEK_CUR)


def why_not_relayed() -> str | None:
    """Return why standard error is not to be relayed, None when it can be."""
    mode = os.fstat(_NUMBER).st_mode
    if os.isatty(_NUMBER):
        return "is a terminal"
    if os.path.sameopenfile(1, _NUMBER):
        return "is where standard output goes"
    if stat.S_ISFIFO(mode) or (stat.S_ISSOCK(mode) and _is_stream_socket()):
        return None
    return "is neither a pipe nor a stream"


def _is_stream_socket() -> bool:
    socket = _standard_error_socket()
    try:
        return socket.type == _SOCK_STREAM
    finally:
        socket.close()


class Relay:
    """A pipe for the command, and the way from there to nono's own standard error.

    What comes is handed on in order, none of it is lost while there is a reader, and no more than one piece
    is held: while the reader does not read, nothing is read from the command, which then waits as it would
    without. When the reader is gone the command's pipe is closed, so that it has its SIGPIPE.

    Raises:
        OSError: there can be none.

    Attributes:
        command_end: the command's standard error.
    """

    def __init__(self) -> None:
        self._tail = bytearray()
        self._pending = b""
        self._sink = _Sink()
        self._source, self.command_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self._source, False)  # its name says what is false
        with contextlib.suppress(OSError):  # as large as the other, as far as this user may
            fcntl.fcntl(self._source, fcntl.F_SETPIPE_SZ, fcntl.fcntl(_NUMBER, fcntl.F_GETPIPE_SZ))

    def close_command_end(self) -> None:
        """Leave the command's end to the command, once it is made."""
        os.close(self.command_end)
        self.command_end = -1

    def tail(self) -> bytes:
        """Return the end of what was written."""
        return bytes(self._tail[-MOST_BYTES:])

    def register(self, poll: select.poll) -> None:
        """Have ``poll`` wait for what is to be done next, and for nothing else."""
        if self._source < 0:
            return
        if self._pending:
            poll.register(self._sink.descriptor, select.POLLOUT)
            with contextlib.suppress(KeyError):
                poll.unregister(self._source)
        else:
            poll.register(self._sink.descriptor, 0)  # that the reader is gone is told all the same
            poll.register(self._source, select.POLLIN)

    def serve(self, ready: Mapping[int, int], poll: select.poll) -> None:
        """Do what ``ready``, the events by their descriptors, allows."""
        if self._source < 0:
            return
        source = self._source
        if ready.get(self._sink.descriptor, 0) & _READER_IS_GONE:
            self._end()
        elif self._pending:
            if ready.get(self._sink.descriptor, 0) & select.POLLOUT:
                self._write()
        elif source in ready:
            self._read()
        if self._source < 0:
            for descriptor in (source, self._sink.descriptor):
                with contextlib.suppress(KeyError):
                    poll.unregister(descriptor)
        else:
            self.register(poll)

    def _read(self, most: int = _PIECE_BYTES) -> int:
        """Take one piece from the command, hand on what the reader takes of it, and return its size."""
        try:
            piece = os.read(self._source, most)
        except BlockingIOError:
            return 0
        if not piece:
            self._end()
            return 0
        self._tail += piece
        del self._tail[:-MOST_BYTES]
        self._pending = piece
        self._write()
        return len(piece)

    def _write(self) -> None:
        try:
            self._pending = self._pending[self._sink.write(self._pending) :]
        except BlockingIOError:
            return
        except OSError:  # its reader is gone
            self._end()

    def _end(self) -> None:
        self._pending = b""
        if self._source >= 0:
            os.close(self._source)
            self._source = -1

    def hand_on(self, interrupted: int | None = None) -> None:
        """Hand on what the command has left, once it and all that it started is gone.

        Args:
            interrupted: a descriptor that is readable when there is no time for a slow reader; with None
                nothing is waited for at all.
        """
        # No more than was there: what could not be ended may write for ever.
        left = self._readable()
        while self._source >= 0 and (self._pending or left):
            if self._pending:
                self._write()
            else:
                size = self._read(min(left, _PIECE_BYTES))
                left = left - size if size else 0
            if self._pending and not self._wait(interrupted):
                return

    def _readable(self) -> int:
        if self._source < 0:
            return 0
        count = bytearray(4)
        fcntl.ioctl(self._source, termios.FIONREAD, count)
        return int.from_bytes(count, sys.byteorder)

    def _wait(self, interrupted: int | None) -> bool:
        """Wait until the reader takes more; return False where that is not to be waited for."""
        if interrupted is None:
            return False
        poll = select.poll()
        poll.register(interrupted, select.POLLIN)
        poll.register(self._sink.descriptor, select.POLLOUT)
        return interrupted not in dict(poll.poll())

    def close(self) -> None:
        """Give up what is left of it; again does nothing."""
        self._end()
        if self.command_end >= 0:
            self.close_command_end()
        self._sink.close()


class _Sink:
    """nono's own standard error, written to without ever waiting.

    Raises:
        OSError: it cannot be opened once more.

    Attributes:
        descriptor: to wait for.
    """

    def __init__(self) -> None:
        self._socket: _socket.socket | None = None
        if stat.S_ISSOCK(os.fstat(_NUMBER).st_mode):
            self._socket = _standard_error_socket()
            self.descriptor = self._socket.fileno()
        else:
            # A description of its own: O_NONBLOCK of the other would be everybody's who has it.
            self.descriptor = os.open(_OWN_NAME, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)

    def write(self, data: bytes) -> int:
        """Write what fits and return how much that was.

        Raises:
            BlockingIOError: nothing does.
            OSError: nobody reads any more.
        """
        if self._socket is not None:
            return self._socket.send(data, _DONT_WAIT)
        return os.write(self.descriptor, data)

    def close(self) -> None:
        """Close it; again does nothing."""
        if self._socket is not None:
            self._socket.close()
        elif self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1


def _standard_error_socket() -> _socket.socket:
    import _socket  # noqa: PLC0415  # standard error is seldom a socket

    before = _socket.getdefaulttimeout()
    _socket.setdefaulttimeout(None)  # with one, Python would change the very stream
    try:
        return _socket.socket(fileno=fcntl.fcntl(_NUMBER, fcntl.F_DUPFD_CLOEXEC, 3))
    finally:
        _socket.setdefaulttimeout(before)
