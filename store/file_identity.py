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

_libc = ctypes.CDLL(None, use_errno=True)
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
_LINKS, _INODE, _MAJOR, _MINOR = slice(16, 20), slice(32, 40), slice(136, 140), slice(140, 144)


def identity_at(path: bytes) -> Identity:
    """Return which file lies at ``path``; a symbolic link is what it is.

    Raises:
        OSError: there is none, or it cannot be looked at.
    """
    return _identity(_ask(_AT_FDCWD, path, _AT_SYMLINK_NOFOLLOW))


def identity_of(descriptor: int) -> Identity:
    """Return which file ``descriptor`` stands for.

    Raises:
        OSError: it is not open.
    """
    return _identity(_ask(descriptor, b"", _AT_EMPTY_PATH))


def links_of(descriptor: int) -> int:
    """Return how many names the file has that ``descriptor`` stands for; none when it was removed.

    Raises:
        OSError: it is not open.
    """
    return int.from_bytes(_ask(descriptor, b"", _AT_EMPTY_PATH)[_LINKS], sys.byteorder)


def _identity(status: bytes) -> Identity:
    major, minor, inode = (int.from_bytes(status[place], sys.byteorder) for place in (_MAJOR, _MINOR, _INODE))
    return os.makedev(major, minor), inode


def _ask(directory: int, path: bytes, flags: int) -> bytes:
    status = ctypes.create_string_buffer(_SIZE)
    if _statx(_NR_STATX, directory, path, flags, _ASKED, status) < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), os.fsdecode(path))
    return status.raw
