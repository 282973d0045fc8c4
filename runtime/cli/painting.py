"""Colour and paging, for terminals alone: a pipe or a file gets the same text wherever it is read.

Lines are made printable first and painted then, so no sequence that reaches a terminal comes from a ledger.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
from typing import TYPE_CHECKING

from runtime.cli.terminal import encodable, write_lines

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence

HEADING, BAD, OPEN = "heading", "bad", "open"
"""What a line can be: the first of a table, about something that failed, about something without an end."""

_SEQUENCES = {HEADING: "\x1b[1m", BAD: "\x1b[31m", OPEN: "\x1b[33m"}  # ECMA-48, 8.3.117
_PLAIN = "\x1b[0m"


def add_pager_argument(parser: argparse.ArgumentParser) -> None:
    """Add the flag of what can be long."""
    parser.add_argument(
        "--no-pager", action="store_true", help="never show a long text page by page (PAGER, or less)"
    )


def is_terminal() -> bool:
    """Return whether standard output is a terminal that understands more than text."""
    return sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM", "dumb") != "dumb"


def draws() -> bool:
    """Return whether the encoding of standard output has what trees and bars are drawn with."""
    encoding = getattr(sys.stdout, "encoding", None) or "ascii"
    with contextlib.suppress(UnicodeEncodeError, LookupError):
        return bool("├└─│█▌".encode(encoding))
    return False


def write_pages(lines: Sequence[str], kinds: Mapping[int, str], *, pager: bool) -> None:
    """Write lines to standard output; on a terminal in colour, and page by page when they are many.

    Args:
        lines: of any text.
        kinds: what some of them are, by their place.
        pager: whether they may be shown page by page.

    Raises:
        OutputError: they cannot be written.
    """
    if not is_terminal():
        write_lines(lines)
        return

    def paint(at: int, line: str) -> str:
        sequence = _SEQUENCES.get(kinds.get(at, ""))
        # no-color.org
        return line if sequence is None or os.environ.get("NO_COLOR") else f"{sequence}{line}{_PLAIN}"

    if pager and len(lines) >= shutil.get_terminal_size().lines:
        text = "".join(f"{paint(at, encodable(line))}\n" for at, line in enumerate(lines))
        if _paged(text.encode(sys.stdout.encoding or "utf-8")):
            return
    write_lines(lines, paint)


def _paged(text: bytes) -> bool:
    """Show a text in the user's pager; return False when there is none that can be started."""
    import subprocess  # noqa: PLC0415  # on terminals alone

    words = _pager()
    if not words:
        return False
    # Without these less shows colours as text, and wants a key for what fits on one screen.
    environment = {"LESS": "FRX", "LESSSECURE": "1", **os.environ}
    try:
        # Whoever has seen enough closes the pager before the end, which run() takes for no error.
        subprocess.run(words, input=text, env=environment, check=False)
    except (OSError, ValueError):
        return False
    return True


def _pager() -> list[str]:
    """Return the words of the pager, ``PAGER``'s or less; nothing when there is to be none."""
    asked = os.environ.get("PAGER")
    if asked is None:
        return ["less"] if shutil.which("less") is not None else []
    with contextlib.suppress(ValueError):
        words = shlex.split(asked)
        return [] if words == ["cat"] else words
    return []
