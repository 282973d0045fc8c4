"""Directories of this user alone: whoever could write to one could replace what lies in it."""

from __future__ import annotations

import contextlib
import os


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
