"""Files that are there whole or not at all: what the verifier keeps for its next run, or for others."""

from __future__ import annotations

import contextlib
import errno
import os
import stat


def replace(path: str, data: bytes) -> None:
    """Write ``data`` in the place of ``path``, synced.

    Its mode is 0644 at most, whatever the umask: whoever could write to it could change what others believe.

    Raises:
        OSError: it cannot be written, or something other than a regular file is there (a device, a pipe, a
            link such as /dev/stdout), which a file in its place would take from others; what was there is
            still there.
    """
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EINVAL, "it is there, and no regular file")
    temporary = f"{path}.{os.urandom(8).hex()}.new"
    try:
        with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, 0o644)) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
