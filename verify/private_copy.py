"""A private copy of a ledger file and of the log beside it, to be read where nobody changes it."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile

LEDGER = b"ledger.db"
"""What the file is called in the directory of its copy."""


class NoDirectoryError(Exception):
    """There is no directory to be had where copies go; the cause says why."""


class NoSpaceError(Exception):
    """It is larger than what is free where copies go."""


def make(path: bytes, size: int) -> tempfile.TemporaryDirectory[bytes]:
    """Return a directory for its owner alone (0700) with a copy of a file and of its ``-wal``.

    Args:
        path: the file.
        size: what the two have together, in bytes.

    Raises:
        NoDirectoryError: there is nowhere to put it.
        NoSpaceError: there is no room for that much.
        OSError: it cannot be copied.
    """
    try:
        directory = tempfile.TemporaryDirectory(prefix=b"nono-verify-", ignore_cleanup_errors=True)
    except OSError as error:
        raise NoDirectoryError(str(error.strerror)) from error
    with contextlib.ExitStack() as stack:
        stack.callback(directory.cleanup)
        if size > shutil.disk_usage(directory.name).free:
            raise NoSpaceError
        for suffix in (b"", b"-wal"):
            _copy(path + suffix, os.path.join(directory.name, LEDGER + suffix))
        stack.pop_all()
    return directory


def _copy(source: bytes, target: bytes) -> None:
    """Copy a regular file, its holes left out: a sparse giant must not fill the disk."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    with open(source, "rb", opener=lambda path, _: os.open(path, flags)) as file, open(target, "xb") as out:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            end = size
            if hasattr(os, "SEEK_DATA"):
                try:
                    at = file.seek(at, os.SEEK_DATA)
                    end = file.seek(at, os.SEEK_HOLE)
                except OSError as error:
                    if error.errno == errno.ENXIO:  # nothing but a hole is left
                        break
                    raise
            file.seek(at)
            out.seek(at)
            while at < end:
                data = file.read(min(1 << 20, end - at))
                if not data:
                    return
                out.write(data)
                at += len(data)
        out.truncate(size)
