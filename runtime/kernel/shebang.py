"""The ``#!`` line, read as Linux reads it (``load_script`` in ``fs/binfmt_script.c``), and ``env`` in it."""

from __future__ import annotations

import os

# BINPRM_BUF_SIZE: all that the kernel looks at to decide how a file is executed.
HEADER_BYTES = 256

_BLANKS = b" \t"


def interpreter(header: bytes) -> tuple[bytes, tuple[bytes, ...]] | None:
    """Read a ``#!`` line as Linux does (``load_script`` in ``fs/binfmt_script.c``).

    Args:
        header: the first 256 bytes of the file, fewer if it is shorter.

    Returns:
        The interpreter and its one optional argument (no or one element), or None where the kernel
        says ENOEXEC: no ``#!``, no interpreter, or an interpreter whose name is cut at 256 bytes.
    """
    if not header.startswith(b"#!"):
        return None
    # The kernel's buffer is zeroed beyond the end of the file and searched as a C string.
    buffer = header[:HEADER_BYTES].ljust(HEADER_BYTES, b"\0")
    newline = buffer.find(b"\n")
    nul = buffer.find(b"\0")
    if newline < 0 or 0 <= nul < newline:
        # No end of line in sight: the name must be known to be whole, the argument may be cut. The
        # last byte is overwritten with the terminator, so it is lost.
        start = _skip_blanks(buffer, 2, HEADER_BYTES)
        if start == HEADER_BYTES or _terminator(buffer, start, HEADER_BYTES) == HEADER_BYTES:
            return None
        end = HEADER_BYTES - 1
    else:
        end = newline
    while buffer[end - 1] in _BLANKS:
        end -= 1
    start = _skip_blanks(buffer, 2, end)
    if start >= end:
        return None
    separator = _terminator(buffer, start, end)
    name = buffer[start:separator]
    if separator == end or buffer[separator] == 0:
        return name, ()
    argument = buffer[_skip_blanks(buffer, separator, end) : end]
    return name, (argument.partition(b"\0")[0],)


def _skip_blanks(buffer: bytes, start: int, end: int) -> int:
    while start < end and buffer[start] in _BLANKS:
        start += 1
    return start


def _terminator(buffer: bytes, start: int, end: int) -> int:
    """Return the index of the first blank or NUL in ``buffer[start:end]``, or ``end``."""
    while start < end and buffer[start] not in b" \t\0":
        start += 1
    return start


def env_program(interpreter_path: bytes, arguments: tuple[bytes, ...]) -> list[bytes] | None:
    """Return what ``env`` would execute, or None when it does more than to search for a program.

    ``env X`` and the plain ``env -S X a b`` are understood. With an option, an assignment or a quote
    in it, ``env`` itself is the image that runs, is held and is recorded.
    """
    if os.path.basename(interpreter_path) != b"env" or not arguments:
        return None
    argument = arguments[0]
    words = [argument]
    if argument.startswith(b"-S"):
        if any(special in argument for special in (b"\\", b"'", b'"', b"$", b"#")):
            return None
        words = argument[2:].split()
    if not words or not words[0] or words[0].startswith(b"-") or b"=" in words[0]:
        return None
    return words
