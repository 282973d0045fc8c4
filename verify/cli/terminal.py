"""What the command does on a terminal alone: a line that says how far it is, and a verdict in colour.

Neither is for pipes and files: what is written there does not depend on where it is read.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import TextIO

AFTER_SECONDS = 1.0
"""How long a verification takes before it says how far it is."""

EVERY_SECONDS = 0.2
"""How often it says so."""

_COLOURS = {0: 32, 1: 31, 2: 33, 3: 33}  # ECMA-48, 8.3.117: green, red, yellow


def is_terminal(stream: TextIO | None, environment: Mapping[str, str]) -> bool:
    """Return whether a stream is a terminal that can go back to the beginning of a line."""
    try:
        return stream is not None and stream.isatty() and environment.get("TERM") != "dumb"
    except ValueError:  # it is closed
        return False


def in_colour(text: str, status: int, stream: TextIO | None, environment: Mapping[str, str]) -> str:
    """Return a verdict's text with its first words, up to the colon, in the colour of its exit code.

    Only for a terminal, and not where ``NO_COLOR`` is set to anything (no-color.org); nor on Windows, whose
    terminals do not all take the sequences.
    """
    if not is_terminal(stream, environment) or environment.get("NO_COLOR") or sys.platform == "win32":
        return text
    words, colon, rest = text.partition(":")
    return f"\x1b[1;{_COLOURS[status]}m{words}{colon}\x1b[0m{rest}"


class Progress:
    """A line on a terminal that says how far a verification is; a context, which takes it away again.

    Args:
        stream: where it is written if that is a terminal; standard error.
        clock: seconds that only go forward.
    """

    def __init__(self, stream: TextIO | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream if is_terminal(stream, os.environ) else None
        self._clock = clock
        self._began = clock()
        self._next = self._began + AFTER_SECONDS
        self._shown = 0

    def __call__(self, done: int, total: int) -> None:
        """Say that so many of the entries were taken in."""
        now = self._clock()
        if self._stream is None or now < self._next:
            return
        self._next = now + EVERY_SECONDS
        rate = done / (now - self._began)
        self._write(f"{done:,} of {total:,} entries, {rate:,.0f} a second")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._shown:
            self._write("")

    def _write(self, line: str) -> None:
        assert self._stream is not None
        blank = " " * (self._shown - len(line))
        try:
            self._stream.write(f"\r{line}{blank}" if line else f"\r{blank}\r")
            self._stream.flush()
        except (OSError, ValueError):  # the terminal went away, and nobody misses the line
            self._stream = None
        self._shown = len(line) if self._stream is not None else 0
