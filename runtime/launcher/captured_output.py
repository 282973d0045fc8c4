"""What a command writes, taken in by the process that launched it: kept up to a limit, told as it comes.

A thread of its own reads both pipes. So whoever is told takes as long as they like: the command waits when
its pipe is full, as it would for any reader, and time-outs, the end of the command and its record wait for
nobody. What goes beyond the limit is read and counted, but not kept: a flood costs time and no memory.
"""

from __future__ import annotations

import os
import select
import threading
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

DEFAULT_LIMIT = 8 << 20
"""How many bytes are kept of each stream, unless something else is asked."""

_PIECE_BYTES = 65_536


class Taken(NamedTuple):
    """What a command wrote to one stream.

    Attributes:
        kept: the first bytes of it.
        dropped: how many more there were.
    """

    kept: bytes
    dropped: int


class _Stream:
    def __init__(self, limit: int, tell: Callable[[bytes], object] | None) -> None:
        self.source, self.command_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.source, False)  # its name says what is false
        self.kept = bytearray()
        self.dropped = 0
        self._limit = limit
        self._tell = tell

    def read(self, *, telling: bool) -> bool | None:
        """Take one piece; return False at the end, None when nothing is there."""
        try:
            piece = os.read(self.source, _PIECE_BYTES)
        except BlockingIOError:
            return None
        if not piece:
            return False
        room = max(0, self._limit - len(self.kept))
        self.kept += piece[:room]
        self.dropped += max(0, len(piece) - room)
        if telling and self._tell is not None:
            self._tell(piece)
        return True


class CapturedOutput:
    """Both output streams of one command.

    Args:
        limit: how many bytes are kept of each.
        on_stdout: is told what comes on standard output, piece by piece, in the reading thread.
        on_stderr: likewise for standard error.
        failed: called when one of these raises; they are told nothing more then.

    Raises:
        OSError: there are no descriptors left.

    Attributes:
        command_ends: the command's standard output and standard error.
        error: what one of the two has raised, None if they have not.
    """

    def __init__(
        self,
        limit: int,
        *,
        on_stdout: Callable[[bytes], object] | None,
        on_stderr: Callable[[bytes], object] | None,
        failed: Callable[[], None],
    ) -> None:
        self._streams: list[_Stream] = []
        self._failed = failed
        self.error: BaseException | None = None
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread: threading.Thread | None = None
        try:
            for tell in (on_stdout, on_stderr):
                self._streams.append(_Stream(limit, tell))
        except BaseException:
            self.close()
            raise
        self.command_ends = self._streams[0].command_end, self._streams[1].command_end

    def start(self) -> None:
        """Read from now on.

        Raises:
            RuntimeError: there can be no thread.
        """
        thread = threading.Thread(target=self._read_all, name="nono-output")
        thread.start()
        self._thread = thread

    def finish(self) -> tuple[Taken, Taken]:
        """Take what is left, once the command and all that it started is gone; wait until all of it was told.

        Who has the command's end still, and writes, is not waited for.
        """
        self._close_command_ends()
        if self._thread is not None:
            os.eventfd_write(self._stop, 1)
            self._thread.join()
        out, err = (Taken(bytes(stream.kept), stream.dropped) for stream in self._streams)
        return out, err

    def close(self) -> None:
        """Close everything that is open; again does nothing."""
        self._close_command_ends()
        for stream in self._streams:
            if stream.source >= 0:
                os.close(stream.source)
                stream.source = -1
        if self._stop >= 0:
            os.close(self._stop)
            self._stop = -1

    def _close_command_ends(self) -> None:
        for stream in self._streams:
            if stream.command_end >= 0:
                os.close(stream.command_end)
                stream.command_end = -1

    def _read_all(self) -> None:
        poll = select.poll()
        poll.register(self._stop, select.POLLIN)
        left = {stream.source: stream for stream in self._streams}
        for source in left:
            poll.register(source, select.POLLIN)
        stopping = False
        while left:
            ready = {descriptor for descriptor, _ in poll.poll(0 if stopping else None)}
            stopping = stopping or self._stop in ready
            found = False
            for source in ready & left.keys():
                taken = self._take(left[source])
                found = found or taken is not None
                if taken is False:
                    poll.unregister(source)
                    del left[source]
            if stopping and not found:
                return

    def _take(self, stream: _Stream) -> bool | None:
        try:
            return stream.read(telling=self.error is None)
        except BaseException as error:  # noqa: BLE001  # what the caller's function raises, whoever waits gets
            self.error = error
            self._failed()
            return True
