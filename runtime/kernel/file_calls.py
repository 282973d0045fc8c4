"""System calls on files, and on as whom a thread uses them, that only mediation makes.

Beside :mod:`runtime.kernel.syscalls`, which every launch loads: these are looked up when a launch needs them,
before the fork. All of them are about the calling *thread*, also where the C library's own function is about
all threads of a process.
"""

from __future__ import annotations

import ctypes
import os
import sys

_libc = ctypes.CDLL(None, use_errno=True)

PROC_SUPER_MAGIC = 0x9FA0
"""What a file on procfs is on (linux/magic.h)."""

UNCHANGED = 2 * (bytes(8) + (0x3FFFFFFE).to_bytes(8, sys.byteorder))
"""Two times that change none: UTIME_OMIT (utimensat(2))."""

_AT_FDCWD = -100
_TIMES_BYTES = 32  # two struct timespec of two 64-bit numbers each
# asm/unistd_64.h and asm-generic/unistd.h: setgroups, setfsuid, setfsgid.
_SETGROUPS, _SETFSUID, _SETFSGID = {"x86_64": (116, 122, 123), "aarch64": (159, 151, 152)}.get(
    os.uname().machine, (-1, -1, -1)
)
_NOBODY = 0xFFFFFFFF  # no user or group has this number: setfsuid(2) only says which one it is

_Status = ctypes.c_long * 64  # struct statfs begins with f_type, a long, and is shorter than this

_fstatfs = _libc["fstatfs"]
_fstatfs.argtypes = (ctypes.c_int, ctypes.c_void_p)
_fstatfs.restype = ctypes.c_int

_utimensat = _libc["utimensat"]
_utimensat.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_int)
_utimensat.restype = ctypes.c_int

_with_list = _libc["syscall"]
_with_list.argtypes = (ctypes.c_long, ctypes.c_size_t, ctypes.c_void_p)
_with_list.restype = ctypes.c_long

_with_number = _libc["syscall"]
_with_number.argtypes = (ctypes.c_long, ctypes.c_uint)
_with_number.restype = ctypes.c_long


def _checked(result: int, name: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def filesystem_type(descriptor: int) -> int:
    """Return the magic number of the file system that an open file is on (fstatfs(2)).

    Raises:
        OSError: the kernel refused.
    """
    status = _Status()
    _checked(int(_fstatfs(descriptor, status)), "fstatfs")
    return status[0] & 0xFFFFFFFF


def set_times(path: bytes, times: bytes | None) -> None:
    """Set access and modification time as utimensat(2) does; links are followed.

    Args:
        path: of the file.
        times: two ``struct timespec`` as the kernel has them, None for now.

    Raises:
        OSError: the kernel refused.
        ValueError: not 32 bytes.
    """
    if times is not None and len(times) != _TIMES_BYTES:
        raise ValueError(f"two struct timespec have {_TIMES_BYTES} bytes, not {len(times)}")
    _checked(int(_utimensat(_AT_FDCWD, path, times, 0)), "utimensat")


def set_times_errno(path: bytes, times: bytes) -> int:
    """Return the errno of :func:`set_times`, 0 when it succeeds."""
    return 0 if int(_utimensat(_AT_FDCWD, path, times, 0)) == 0 else ctypes.get_errno()


def set_groups(groups: tuple[int, ...]) -> None:
    """Set the supplementary groups of this thread (setgroups(2)).

    Raises:
        OSError: EPERM without CAP_SETGID.
    """
    _checked(int(_with_list(_SETGROUPS, len(groups), (ctypes.c_uint * len(groups))(*groups))), "setgroups")


def set_file_user(user: int) -> None:
    """Set as which user this thread uses files (setfsuid(2)), which says nothing of success itself.

    Raises:
        OSError: EPERM: it may not be that one.
    """
    _set_file_identity(_SETFSUID, user)


def set_file_group(group: int) -> None:
    """Set as which group this thread uses files (setfsgid(2)).

    Raises:
        OSError: EPERM: it may not be that one.
    """
    _set_file_identity(_SETFSGID, group)


def _set_file_identity(call: int, wanted: int) -> None:
    _with_number(call, wanted)
    if int(_with_number(call, _NOBODY)) & 0xFFFFFFFF != wanted:
        raise PermissionError(1, os.strerror(1))
