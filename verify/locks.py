"""Whether some process has an SQLite database in WAL mode open, asked without leaving a trace.

Every connection in WAL mode holds a shared lock on one byte of the ``-shm`` file for as long as it is
open (``UNIX_SHM_DMS`` in SQLite's os_unix.c: the byte after the eight lock slots, at offset 128).
Asking the kernel who would stand in the way of a lock there takes no lock and writes nothing, so it
works in a read-only folder and for a file of another user.
"""

from __future__ import annotations

import os
import struct
import sys

_FIRST_LOCK, _LOCK_BYTES = 120, 9
# struct flock of 64-bit Linux: l_type, l_whence, l_start, l_len, l_pid.
_FLOCK = struct.Struct("hhqqi4x")


def has_live_connection(shm: bytes) -> bool | None:
    """Return whether a process has the database open to which the ``-shm`` file at ``shm`` belongs.

    Only Linux can say so, and only of processes that see the same file system; elsewhere the answer is
    None. A missing file means that there is none.

    Raises:
        OSError: the file is there and cannot be read.
    """
    if not sys.platform.startswith("linux") or struct.calcsize("P") != 8:
        return None
    import fcntl  # noqa: PLC0415  # there is no such module on Windows

    try:
        descriptor = os.open(shm, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except FileNotFoundError:
        return False
    try:
        # F_OFD_GETLK rather than F_GETLK: the latter does not see the locks of this very process.
        wanted = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, _FIRST_LOCK, _LOCK_BYTES, 0)
        answer = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, wanted)
    finally:
        os.close(descriptor)
    return bool(_FLOCK.unpack(answer)[0] != fcntl.F_UNLCK)
