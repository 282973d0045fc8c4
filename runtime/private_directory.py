"""The private temporary directory of one launch: 0700, its own, removed when the record is closed.

What a command leaves there is hostile: removal follows no link, works on descriptors, and is bounded
in time and depth, since it must not be able to keep nono busy.
"""

from __future__ import annotations

import os
import time

_MAX_DEPTH = 256
_SECONDS = 10.0


def create() -> bytes:
    """Make an empty directory under ``$TMPDIR`` or ``/tmp`` and return its canonical path.

    Raises:
        OSError: it cannot be made.
    """
    base = os.environb.get(b"TMPDIR", b"")
    if not base.startswith(b"/") or not os.path.isdir(base):
        base = b"/tmp"  # only the parent; the directory itself is new, private and unguessable
    path = os.path.join(os.path.realpath(base), b"nono-" + os.urandom(10).hex().encode())
    os.mkdir(path, 0o700)
    return path


def remove(path: bytes) -> bool:
    """Remove the directory with everything in it; return whether nothing is left."""
    deadline = time.monotonic() + _SECONDS
    try:
        parent = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return _remove_tree(parent, os.path.basename(path), deadline, 0)
    finally:
        os.close(parent)


def _remove_tree(parent: int, name: bytes, deadline: float, depth: int) -> bool:
    if depth > _MAX_DEPTH or time.monotonic() > deadline:
        return False
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        try:
            descriptor = os.open(name, flags, dir_fd=parent)
        except PermissionError:  # the command took its own directory's mode away
            os.chmod(name, 0o700, dir_fd=parent, follow_symlinks=False)
            descriptor = os.open(name, flags, dir_fd=parent)
    except OSError:
        return False
    try:
        os.fchmod(descriptor, 0o700)
        for entry in os.listdir(descriptor):
            raw = os.fsencode(entry)
            try:
                os.unlink(raw, dir_fd=descriptor)
            except IsADirectoryError:
                if not _remove_tree(descriptor, raw, deadline, depth + 1):
                    return False
        os.rmdir(name, dir_fd=parent)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
