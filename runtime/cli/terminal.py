"""Writing for people: what comes from a ledger never reaches a terminal raw.

A terminal obeys control characters, and bidirectional and invisible ones make a line read as another.
All of them are written as escapes; so is what the output's encoding does not have, and what the runner of a
pipeline would take for a command.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
from typing import TYPE_CHECKING

from attest.printable_text import printable
from runtime.errors import OutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import BinaryIO

_GAP = "  "
_QUIET_SECONDS = 1.0
_PIECE_BYTES = 1 << 16


class Progress:
    """How far work is: a line on standard error, if that is a terminal and it takes more than a second.

    Args:
        what: what is being done.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self._begun = time.monotonic()
        self._width = 0

    def __call__(self, done: int, total: int) -> None:
        """Say that ``done`` of ``total`` is done."""
        if time.monotonic() - self._begun >= _QUIET_SECONDS and os.isatty(2):
            text = f"nono: {self._what}: {done:,} of {total:,}"
            self._width = max(self._width, len(text))
            self._write(f"\r{text.ljust(self._width)}")

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._width:
            self._write("\r" + " " * self._width + "\r")

    @staticmethod
    def _write(text: str) -> None:
        with contextlib.suppress(OSError):  # a terminal that is gone wants no progress
            os.write(2, text.encode())


def number(count: int, one: str, many: str) -> str:
    """Return a count and its noun."""
    return f"{count} {one if count == 1 else many}"


def shorten(text: str, limit: int) -> str:
    """Return at most ``limit`` characters of ``text``; what is cut off is named by its length."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}\N{HORIZONTAL ELLIPSIS} ({len(text) - limit} more characters)"


def encodable(line: str) -> str:
    """Return a line made printable, with escapes for what standard output's encoding does not have.

    Nor is any of it a command to the runner of a pipeline, whatever a ledger says.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    line = printable(line)
    if "::" in line or "##" in line:
        from attest.runner_commands import line_without  # noqa: PLC0415  # few lines have such signs

        line = line_without(line)
    return line.encode(encoding, "backslashreplace").decode(encoding)


def write_lines(lines: Iterable[str], paint: Callable[[int, str], str] | None = None) -> None:
    """Write lines to standard output, each made printable, whatever its encoding.

    Where the caller closed standard output nobody wants to read it, and nothing is written.

    Args:
        lines: of any text.
        paint: given the place and the printable text of each, returns what is written; for terminals.

    Raises:
        OutputError: it cannot be written.
    """
    if sys.stdout is None:
        return
    try:
        for at, line in enumerate(lines):
            shown = encodable(line)
            sys.stdout.write((shown if paint is None else paint(at, shown)) + "\n")
    except OSError as error:
        raise _given_up(error) from None
    flush()


def write_bytes(line: bytes) -> None:
    """Write a line to standard output as it is: for scripts, not for people.

    Raises:
        OutputError: it cannot be written.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.buffer.write(line + b"\n")
    except OSError as error:
        raise _given_up(error) from None
    flush()


def write_stream(source: BinaryIO) -> None:
    """Write the rest of a file to standard output as it is.

    Raises:
        OutputError: it cannot be written.
    """
    if sys.stdout is None:
        return
    try:
        while piece := source.read(_PIECE_BYTES):
            sys.stdout.buffer.write(piece)
    except OSError as error:
        raise _given_up(error) from None
    flush()


def flush() -> None:
    """See that what was written has arrived.

    Raises:
        OutputError: it has not.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        raise _given_up(error) from None


def _given_up(error: OSError) -> OutputError:
    # Python flushes once more at its end, and would then report the same again in its own words.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if isinstance(error, BrokenPipeError):
        return OutputError("")
    return OutputError(f"cannot write to standard output: {error.strerror}")


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return rows as lines whose columns are aligned; the last one is as wide as it is."""
    safe = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    return [
        _GAP.join([*(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)), row[-1]])
        for row in safe
    ]
