"""Which file a path or a descriptor names, without asking for its times.

Since Linux 6.13 whoever asks for a file's times has the next write note a new one, to the nanosecond
(multigrain timestamps), and what is noted is metadata that a sync waits for: a commit between two looks at
its log took 45 us longer than one of 160. stat(2) always asks for them. statx(2) need not.
"""

from __future__ import annotations

import ctypes
import os
import sys

Identity = tuple[int, int]
"""Device and inode, as ``st_dev`` and ``st_ino`` say them."""

_libc = ctypes.CDLL(None)
_statx = _libc["syscall"]  # older C libraries have no wrapper for it
_statx.argtypes = (
    ctypes.c_long,
    ctypes.c_int,
    ctypes.c_char_p,
    ctypes.c_int,
    ctypes.c_uint,
    ctypes.c_void_p,
)
_statx.restype = ctypes.c_long
_NR_STATX = {"x86_64": 332, "aarch64": 291, "riscv64": 291}.get(os.uname().machine, -1)
_AT_FDCWD = -100
_AT_SYMLINK_NOFOLLOW = 0x100
_AT_EMPTY_PATH = 0x1000
# STATX_NLINK and STATX_INO; the device comes with any (statx(2), struct statx).
_ASKED = 0x4 | 0x100
_SIZE = 256
# stx_nlink, stx_ino, stx_dev_major, stx_dev_minor
_PLACES = slice(16, 20), slice(32, 40), slice(136, 140), slice(140, 144)


def identity_at(path: bytes) -> Identity:
    """Return which file lies at ``path``; a symbolic link is what it is.

    Raises:
        OSError: there is none, or it cannot be looked at.
    """
    identity, _ = _ask(_AT_FDCWD, path, _AT_SYMLINK_NOFOLLOW)
    return identity


def identity_of(descriptor: int) -> Identity:
    """Return which file ``descriptor`` stands for.

    Raises:
        OSError: it is not open.
    """
    identity, _ = _ask(descriptor, b"", _AT_EMPTY_PATH)
    return identity


def links_of(descriptor: int) -> int:
    """Return how many names the file has that ``descriptor`` stands for; none when it was removed.

    Raises:
        OSError: it is not open.
    """
    _, links = _ask(descriptor, b"", _AT_EMPTY_PATH)
    return links


def _ask(directory: int, path: bytes, flags: int) -> tuple[Identity, int]:
    """Return which file it is, and how many names it has."""
    asked = ctypes.create_string_buffer(_SIZE)
    if _statx(_NR_STATX, directory, path, flags, _ASKED, asked) < 0:
        # There is none, or a kernel before Linux 4.11 or a filter does not know the call; and a filter may
        # say any error (EPERM in containers, whatever a service is given). The older calls know, or say why
        # not; the next write then waits longer.
        status = os.fstat(directory) if flags & _AT_EMPTY_PATH else os.lstat(path)
        return (status.st_dev, status.st_ino), status.st_nlink
    answer = asked.raw
    links, inode, major, minor = (int.from_bytes(answer[place], sys.byteorder) for place in _PLACES)
    return (os.makedev(major, minor), inode), links
