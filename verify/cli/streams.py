"""Standard output and error of the command: what cannot be written must not pass for a verdict."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

NOT_CHECKED = 2
"""The exit code of everything that kept the verifier from checking."""


def write(text: str) -> None:
    """Write to standard output; where the caller closed it, nobody wants to read it.

    Raises:
        SystemExit: it cannot be written. What nobody could read cannot be taken for "verified", and a full
            disk is no tampering either.
    """
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except OSError as error:
        _give_up(error)


def write_bytes(data: bytes) -> None:
    """Write bytes to standard output as they are, for programs; see :func:`write`.

    Raises:
        SystemExit: they cannot be written.
    """
    if sys.stdout is None:
        return
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:  # somebody put a stream of text in its place
        write(data.decode("utf-8"))
        return
    try:
        binary.write(data)
        binary.flush()
    except OSError as error:
        _give_up(error)


def _give_up(error: OSError) -> NoReturn:
    # Python flushes once more at its end, and would then report the same again in its own words.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if not isinstance(error, BrokenPipeError):
        complain(f"not checked: standard output cannot be written: {error.strerror}\n")
    raise SystemExit(NOT_CHECKED) from None


def complain(text: str) -> None:
    """Write to standard error, if it can be written; the exit code says the same."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(text)
        sys.stderr.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
