"""The files that a verification is given beside a ledger: regular ones, opened without waiting for anybody.

A pipe that nobody writes to would be waited for without an end, a terminal asks somebody, and opening some
devices does something. None of them is what a key, a policy or a table is kept in, so they are refused by
what they are, before they are opened.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import BinaryIO

from verify.errors import NotCheckedError


def open_file(path: str, kind: str = "", code: str = NotCheckedError.default_code) -> BinaryIO:
    """Open a regular file for reading.

    Args:
        path: where it is; links are followed.
        kind: what it should be, for people: a policy, a key.
        code: that of the error.

    Raises:
        NotCheckedError: it cannot be opened, or is no regular file.
    """
    called = f"the {kind} {path}" if kind else path
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_CLOEXEC", "O_BINARY", "O_NOCTTY"):
        flags |= getattr(os, name, 0)
    try:
        _require_regular(called, os.stat(path), code)  # some devices mind being opened
        with contextlib.ExitStack() as undo:
            descriptor = os.open(path, flags)
            undo.callback(os.close, descriptor)
            _require_regular(called, os.fstat(descriptor), code)
            undo.pop_all()
    except OSError as error:
        raise NotCheckedError(f"cannot read {called}: {error.strerror}", code=code) from None
    except ValueError:
        raise NotCheckedError(f"a path with a NUL character names no {kind or 'file'}", code=code) from None
    return open(descriptor, "rb")


def read_file(path: str, limit: int, kind: str = "", code: str = NotCheckedError.default_code) -> bytes:
    """Return what a regular file holds, or its first ``limit + 1`` bytes; else as :func:`open_file`."""
    with open_file(path, kind, code) as file:
        try:
            return file.read(limit + 1)
        except OSError as error:
            called = f"the {kind} {path}" if kind else path
            raise NotCheckedError(f"cannot read {called}: {error.strerror}", code=code) from None


def _require_regular(called: str, status: os.stat_result, code: str) -> None:
    if stat.S_ISDIR(status.st_mode):
        raise NotCheckedError(f"{called} is a directory", code=code)
    if not stat.S_ISREG(status.st_mode):
        raise NotCheckedError(f"{called} is not a regular file", code=code)
