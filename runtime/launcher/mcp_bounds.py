"""How much a client of ``nono mcp`` can ask for at once: calls that run, calls that wait, and one line.

The package reads as fast as the client writes, and begins a task for each request. So the calls that run are
counted here, and further ones wait in the order in which they came; those that wait are held in memory with
what their commands are to read, so beyond a number of them, and of bytes, a call is refused at once. A line
that is longer than any call can be is not read to its end.
"""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
from typing import TYPE_CHECKING

import anyio

from attest.errors import NonoError
from runtime.errors import LaunchError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

MOST_INPUT = 16 << 20
"""Characters that a command can be given to read."""
MOST_WAITING = 256
"""Calls that wait, beside those that run."""
MOST_WAITING_INPUT = 4 * MOST_INPUT
"""Bytes that their commands are to read, together."""
MOST_LINE = 7 * MOST_INPUT
"""Characters of a line: JSON has six for one where it escapes all but ASCII, and there is a command, too."""

_FIRST_FREE = 3


class Turns:
    """The calls of one server: some run, some wait.

    Args:
        at_once: how many run at once.
    """

    def __init__(self, at_once: int) -> None:
        self._at_once = at_once
        # Whoever waits is let in in the order in which it came.
        self._running = anyio.CapacityLimiter(at_once)
        self._waiting = 0
        self._held = 0

    @contextlib.asynccontextmanager
    async def turn(self, held: int) -> AsyncIterator[None]:
        """Wait for a turn, and have it.

        Args:
            held: how many bytes are kept in memory for the call meanwhile.

        Raises:
            NonoError: too much waits already; ``usage.busy``.
        """
        must_wait = self._waiting or self._running.borrowed_tokens >= self._at_once
        if must_wait and (self._waiting == MOST_WAITING or self._held + held > MOST_WAITING_INPUT):
            raise NonoError(
                f"{self._at_once} calls run, and {self._waiting} wait already",
                code="usage.busy",
                hint="ask again when some have been answered",
            )
        self._waiting += 1
        self._held += held
        try:
            await self._running.acquire()
        finally:
            self._waiting -= 1
            self._held -= held
        try:
            yield
        finally:
            self._running.release()


class Lines(io.TextIOWrapper):
    """What the client writes, line by line, none of them without end."""

    def readline(self, _: int = -1, /) -> str:  # type: ignore[override]  # as in TextIOWrapper itself
        """Return the next line; nothing at the end.

        Raises:
            LaunchError: it is too long; ``mcp.line``.
        """
        line = super().readline(MOST_LINE + 1)
        if len(line) > MOST_LINE:
            raise LaunchError(
                f"the client has sent a line of more than {MOST_LINE:,} characters", code="mcp.line"
            )
        return line


def take_standard_input() -> Lines:
    """Return what comes in over standard input, which is an empty one for everything else from now on."""
    private = fcntl.fcntl(0, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE)
    empty = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    os.dup2(empty, 0)
    os.close(empty)
    # Never closed: the thread that reads there waits for the client, perhaps for ever.
    return Lines(open(private, "rb", closefd=False), encoding="utf-8", errors="replace")  # see above
