"""Directories and files of this user alone: whoever could write there could replace what nono relies on."""

from __future__ import annotations

import contextlib
import errno
import os

NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
"""What the system says of a place where this user may write nothing."""


def make_private(path: bytes) -> None:
    """Make the directory at ``path`` and each missing one above it, all with mode 0700.

    ``os.makedirs`` gives its mode to the last one only. What exists is left as it is.

    Raises:
        OSError: one cannot be made, or what is there is no directory.
    """
    missing = []
    at = path
    while at and not os.path.isdir(at):
        missing.append(at)
        at = os.path.dirname(at)
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):  # what is no directory shows one level down
            os.mkdir(directory, 0o700)
            os.chmod(directory, 0o700)  # whatever the umask takes from its owner


def open_private(path: bytes) -> int:
    """Open a file for reading and writing, made (0600) if it is missing, with its directories; no link.

    Raises:
        OSError: it cannot be opened or made.
    """
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    try:
        return os.open(path, flags, 0o600)
    except FileNotFoundError:
        make_private(os.path.dirname(path))
        return os.open(path, flags, 0o600)
