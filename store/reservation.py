"""Space that a ledger will still need: reserved before a command runs that might fill the disk.

``fallocate(2)`` with KEEP_SIZE allocates blocks beyond the end of the write-ahead log, where the next
frames will be written, without changing what any reader sees.
"""

from __future__ import annotations

import ctypes
import errno
import os

CLOSING_BYTES = 1 << 20
"""What the closing entries of one launch are given: outcome, hook result, attestation, with room."""

_KEEP_SIZE = 1
_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)


def reserve(path: bytes, size: int) -> bool:
    """Allocate ``size`` bytes beyond the end of the file at ``path``.

    Returns:
        False where the file system cannot allocate beforehand.

    Raises:
        OSError: no such space, or the file cannot be opened.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        error = errno.EINTR
        while error == errno.EINTR:
            if _fallocate(descriptor, _KEEP_SIZE, os.fstat(descriptor).st_size, size) == 0:
                return True
            error = ctypes.get_errno()
        if error in (errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        raise OSError(error, os.strerror(error))
    finally:
        os.close(descriptor)
