"""The private temporary directory of one launch: 0700, its own, removed when the record is closed.

What a command leaves there is hostile: removal follows no link, works on descriptors, takes any depth and
width, and is bounded in time, since it must not be able to keep nono busy.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_SECONDS = 10.0
_NAMES = 4_096
"""How many names of a directory are held at once."""


_PREFIX = b"nono-"
_RANDOM_BYTES = 10


def create(announce: Callable[[bytes], None] = lambda _: None) -> bytes:
    """Make an empty directory under ``$TMPDIR`` or ``/tmp`` and return its canonical path.

    Args:
        announce: told the path before anything is there, so that whoever remembers it misses none.

    Raises:
        OSError: it cannot be made.
    """
    base = os.environb.get(b"TMPDIR", b"")
    if not base.startswith(b"/") or not os.path.isdir(base):
        base = b"/tmp"  # only the parent; the directory itself is new, private and unguessable
    path = os.path.join(os.path.realpath(base), _PREFIX + os.urandom(_RANDOM_BYTES).hex().encode())
    announce(path)
    os.mkdir(path, 0o700)
    if stat.S_IMODE(os.lstat(path).st_mode) != 0o700:  # a umask can take from the owner, too
        directory, name = os.path.split(path)
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.close(_open_directory(parent, name))
        finally:
            os.close(parent)
    return path


def is_one(path: bytes) -> bool:
    """Return whether a path that was remembered still is such a directory: this user's alone, no link."""
    directory, name = os.path.split(path)
    if not name.startswith(_PREFIX) or len(name) != len(_PREFIX) + 2 * _RANDOM_BYTES:
        return False
    try:
        status = os.lstat(path)
        in_place = os.path.realpath(directory, strict=True) == directory
    except OSError:
        return False
    private = stat.S_ISDIR(status.st_mode) and stat.S_IMODE(status.st_mode) == 0o700
    return in_place and private and status.st_uid == os.geteuid()


def remove(path: bytes) -> bool:
    """Remove the directory with everything in it; return whether nothing is left."""
    with contextlib.suppress(OSError):
        os.rmdir(path)  # most are empty, and this takes no descriptor
        return True
    deadline = time.monotonic() + _SECONDS
    directory, name = os.path.split(path)
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            top = _open_directory(parent, name)
            try:
                _empty(top, top, deadline)
            finally:
                os.close(top)
            os.rmdir(name, dir_fd=parent)
        finally:
            os.close(parent)
    except OSError:
        return False
    return True


def _empty(directory: int, top: int, deadline: float) -> None:
    """Remove everything in ``directory``.

    A directory in it that is not empty is moved up to ``top`` and emptied from there, so that no depth
    needs more than a few descriptors, and none is too deep.

    Raises:
        OSError: something cannot be removed, or time is up.
    """
    while names := _some_names(directory):
        for name in names:
            if time.monotonic() > deadline:
                raise TimeoutError
            try:
                os.unlink(name, dir_fd=directory)
            except IsADirectoryError:
                _remove_directory(directory, name, top, deadline)


def _remove_directory(directory: int, name: bytes, top: int, deadline: float) -> None:
    descriptor = _open_directory(directory, name)  # also gives back its mode, without which it stays here
    try:
        if directory == top:
            _empty(descriptor, top, deadline)
    finally:
        os.close(descriptor)
    try:
        os.rmdir(name, dir_fd=directory)
    except OSError as error:
        if error.errno != errno.ENOTEMPTY or directory == top:
            raise
        os.rename(name, os.urandom(16).hex().encode(), src_dir_fd=directory, dst_dir_fd=top)


def _open_directory(parent: int, name: bytes) -> int:
    """Open a directory whose mode the command may have taken away."""
    handle = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent)
    try:
        os.chmod(b"/proc/self/fd/%d" % handle, 0o700)
        return os.open(b".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=handle)
    finally:
        os.close(handle)


def _some_names(directory: int) -> list[bytes]:
    with os.scandir(directory) as listing:
        return [os.fsencode(entry.name) for entry in itertools.islice(listing, _NAMES)]
