"""Declared outputs: hashed after the command ended, within bounds that the command cannot stretch.

Opened NOFOLLOW and NONBLOCK, regular files only, a fixed number of bytes and seconds: whatever stands
at the path, the record goes on and says ``unhashed`` and why.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING

from attest import canonical
from runtime.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.canonical import Json

MAX_OUTPUTS = 64
MAX_PATH_BYTES = 8_192
"""All declared paths together: intent, outcome and attestation each hold them."""

_MAX_BYTES = 8 << 30
_SECONDS = 60.0
_READ_BYTES = 1 << 20
# A symbolic link, and a socket or a FIFO that nobody reads.
_NOT_REGULAR = frozenset({errno.ELOOP, errno.ENXIO})


def declare(paths: Sequence[bytes], workdir: bytes) -> tuple[bytes, ...]:
    """Return the declared outputs as absolute paths.

    Raises:
        UsageError: too many, too long, or no path at all.
    """
    declared = tuple(os.path.normpath(os.path.join(workdir, path)) for path in paths)
    if any(not path or b"\0" in path for path in paths):
        raise UsageError("an output needs a path", code="usage.output")
    if len(declared) > MAX_OUTPUTS or sum(map(len, declared)) > MAX_PATH_BYTES:
        raise UsageError(
            f"at most {MAX_OUTPUTS} outputs of {MAX_PATH_BYTES} bytes of paths can be declared",
            code="usage.output",
        )
    return declared


def hash_outputs(paths: Sequence[bytes]) -> list[Json]:
    """Return what the outcome says about each declared output, in their order."""
    deadline = time.monotonic() + _SECONDS
    return [{"path": canonical.text(path), **_hash(path, deadline)} for path in paths]


def _hash(path: bytes, deadline: float) -> dict[str, Json]:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except FileNotFoundError:
        return {"unhashed": "missing"}
    except OSError as error:
        return {"unhashed": "not-regular" if error.errno in _NOT_REGULAR else "unreadable"}
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return {"unhashed": "not-regular"}
        return _hash_open(descriptor, status, deadline)
    except OSError:
        return {"unhashed": "unreadable"}
    finally:
        os.close(descriptor)


def _hash_open(descriptor: int, status: os.stat_result, deadline: float) -> dict[str, Json]:
    digest, size = hashlib.sha256(), 0
    while data := os.read(descriptor, _READ_BYTES):
        digest.update(data)
        size += len(data)
        if size > _MAX_BYTES:
            return {"unhashed": "too-large"}
        if time.monotonic() > deadline:
            return {"unhashed": "too-slow"}
    after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns) or size != after.st_size:
        return {"unhashed": "changed"}
    return {"sha256": digest.hexdigest(), "size": size}
