"""Why a file that is there cannot be executed (execve(2)): its mode, its mount, or who is to load it.

The kernel has one word, EACCES, for a file without execute permission, for a mount with ``noexec``, and for
what the sandbox does not grant: the file, the interpreter of its ``#!`` line, or the loader that an ELF file
names. ENOENT of a file that is there says that the last of them is missing; that is no refusal.
"""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from runtime.capability.capabilities import Access
from runtime.kernel import shebang
from runtime.kernel.path_names import shown

if TYPE_CHECKING:
    from runtime.capability.capabilities import CapabilitySet

NOT_GRANTED = "not-granted"
OWN_PERMISSIONS = "own-permissions"
NOEXEC_MOUNT = "noexec-mount"
MISSING_LOADER = "missing-loader"

# System V ABI, "Object Files": the identification and what of both headers is asked for here.
_ELF = b"\x7fELF"
_WIDE = 2
_INTERPRETER = 3
_MOST_HEADERS = 64
_MOST_NAME = 4_096
_MOST_STEPS = 5


class Obstacle(NamedTuple):
    """What stands in the way.

    Attributes:
        cause: ``not-granted``, ``own-permissions``, ``noexec-mount`` or ``missing-loader``.
        path: the file that it is about: the one that was to be executed, or who was to load it.
        reason: in words, about ``path``.
    """

    cause: str
    path: bytes
    reason: str


def find(path: bytes, capabilities: CapabilitySet) -> Obstacle | None:
    """Return the first obstacle to executing the absolute ``path``, None when none is seen.

    Args:
        path: of a regular file.
        capabilities: what was enforced.
    """
    of = ""
    for _ in range(_MOST_STEPS):
        try:
            status = os.stat(path)
        except FileNotFoundError:
            return Obstacle(MISSING_LOADER, path, f"is not there{of}") if of else None
        except OSError:
            return None
        if not stat.S_ISREG(status.st_mode):
            return None
        if (obstacle := _of_file(path, status, capabilities, of)) is not None:
            return obstacle
        loader = _loader(path)
        if loader is None or not loader.startswith(b"/"):
            return None
        path, of = loader, f", and {shown(path)} is loaded by it"
    return None


def _of_file(path: bytes, status: os.stat_result, capabilities: CapabilitySet, of: str) -> Obstacle | None:
    mode = f"{stat.S_IMODE(status.st_mode):04o}"
    if not status.st_mode & 0o111:
        return Obstacle(OWN_PERMISSIONS, path, f"has no execute permission (mode {mode}){of}")
    try:
        if os.statvfs(path).f_flag & os.ST_NOEXEC:
            return Obstacle(NOEXEC_MOUNT, path, f"is on a file system that is mounted with noexec{of}")
    except OSError:
        return None
    if not os.access(path, os.X_OK, effective_ids=True):
        return Obstacle(
            OWN_PERMISSIONS,
            path,
            f"may not be executed by this user (mode {mode}, owner {status.st_uid}){of}",
        )
    if not capabilities.covers(os.path.realpath(path), Access.READ):
        return Obstacle(NOT_GRANTED, path, f"is not granted for executing{of}")
    return None


def _loader(path: bytes) -> bytes | None:
    """Return who loads the file: the interpreter of its ``#!`` line, or that of an ELF file."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:
        return None
    try:
        header = os.pread(descriptor, shebang.HEADER_BYTES, 0)
        if header.startswith(_ELF):
            return _elf_interpreter(descriptor, header)
        interpretation = shebang.interpreter(header)
        return None if interpretation is None else interpretation[0]
    except (OSError, struct.error, IndexError, OverflowError):  # of a file that says what it is not
        return None
    finally:
        os.close(descriptor)


def _elf_interpreter(descriptor: int, header: bytes) -> bytes | None:
    wide, order = header[4] == _WIDE, "<" if header[5] == 1 else ">"
    if wide:
        (table,) = struct.unpack_from(f"{order}Q", header, 32)
        size, count = struct.unpack_from(f"{order}HH", header, 54)
    else:
        (table,) = struct.unpack_from(f"{order}I", header, 28)
        size, count = struct.unpack_from(f"{order}HH", header, 42)
    for number in range(min(count, _MOST_HEADERS)):
        entry = os.pread(descriptor, size, table + number * size)
        (kind,) = struct.unpack_from(f"{order}I", entry, 0)
        if kind != _INTERPRETER:
            continue
        if wide:
            (offset,) = struct.unpack_from(f"{order}Q", entry, 8)
            (length,) = struct.unpack_from(f"{order}Q", entry, 32)
        else:
            (offset,) = struct.unpack_from(f"{order}I", entry, 4)
            (length,) = struct.unpack_from(f"{order}I", entry, 16)
        return os.pread(descriptor, min(length, _MOST_NAME), offset).partition(b"\0")[0]
    return None
