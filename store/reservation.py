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

_LOG_BYTES = 1_000 * 4_096
"""How far SQLite lets the log grow, whoever writes, before it begins to write at the front again."""

_KEEP_SIZE = 1
_RLIMIT_FSIZE = 1
_libc = ctypes.CDLL(None, use_errno=True)
_fallocate = _libc.fallocate
_fallocate.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
_getrlimit = _libc.getrlimit
_getrlimit.argtypes = (ctypes.c_int, ctypes.c_void_p)


def reserve(path: bytes, size: int) -> bool:
    """Allocate ``size`` bytes beyond the end of the file at ``path``.

    Returns:
        False where the file system cannot allocate beforehand.

    Raises:
        OSError: no such space, the file cannot be opened, or EFBIG: this process may not write there.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        end = os.fstat(descriptor).st_size
        if max(end, _LOG_BYTES) + size > _largest_file():
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
        error = errno.EINTR
        while error == errno.EINTR:
            if _fallocate(descriptor, _KEEP_SIZE, end, size) == 0:
                return True
            error = ctypes.get_errno()
        if error in (errno.EOPNOTSUPP, errno.ENOSYS):
            return False
        raise OSError(error, os.strerror(error))
    finally:
        os.close(descriptor)


def _largest_file() -> int:
    """Return how large a file this process may write: RLIMIT_FSIZE, which is nothing to fallocate(2)."""
    limit = (ctypes.c_uint64 * 2)()
    if _getrlimit(_RLIMIT_FSIZE, limit):
        raise OSError(ctypes.get_errno(), "getrlimit")
    return limit[0]
