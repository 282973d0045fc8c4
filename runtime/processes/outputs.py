"""Declared outputs: hashed after the command ended, within bounds that the command cannot stretch.

Opened NOFOLLOW and NONBLOCK, regular files only, a fixed number of bytes and seconds: whatever stands
at the path, the record goes on and says ``unhashed`` and why.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import os
import select
import signal
import stat
import time
from typing import TYPE_CHECKING, NoReturn

from attest import canonical, hashing
from runtime.kernel import out_of_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attest.canonical import Json

_MAX_BYTES = 8 << 30
_SECONDS = 60.0
_END_SECONDS = 1.0
_END_PAUSE = 0.001
_READ_BYTES = 1 << 20
# A symbolic link, and a socket or a FIFO that nobody reads.
_NOT_REGULAR = frozenset({errno.ELOOP, errno.ENXIO})


def places(paths: Sequence[bytes]) -> tuple[bytes, ...]:
    """Return where the declared outputs lie, links followed: to be asked before the command can set any."""
    return tuple(
        os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path)) for path in paths
    )


def hash_outputs(
    paths: Sequence[bytes],
    expected: Sequence[bytes],
    *,
    begin: Callable[[int], Callable[[], None]] | None = None,
) -> list[Json]:
    """Return what the outcome says about each declared output, in their order.

    Args:
        paths: the declared outputs.
        expected: what :func:`places` said of them; a file elsewhere, to which the command's own links
            lead, is none of its outputs.
        begin: starts the reading process, which runs :func:`report` with the descriptor that this gets, and
            returns what ends it; None forks it from here.

    A process of its own reads them: whatever stands at a path (a file on a server that does not answer,
    a trace that never ends, the ledger itself, whose locks a close in this process would drop) can
    neither stall nor harm the one that keeps the record.

    Raises:
        OSError: there can be no such process; :func:`unhashed` is what to say then.
    """
    if not paths:
        return []
    reader, writer = os.pipe()
    try:
        try:
            end = _fork(expected, writer) if begin is None else begin(writer)
        finally:
            os.close(writer)
        try:
            found, in_time = _collect(reader, len(paths))
        finally:
            end()
    finally:
        os.close(reader)
    # When it ended before its time was over, somebody ended it: the kernel, for want of memory.
    found += [{"unhashed": "unreadable" if in_time else "too-slow"}] * (len(paths) - len(found))
    return [{"path": canonical.text(path), **said} for path, said in zip(paths, found, strict=True)]


def unhashed(paths: Sequence[bytes]) -> list[Json]:
    """Return what the outcome says of the declared outputs when nothing can read them."""
    return [{"path": canonical.text(path), "unhashed": "unreadable"} for path in paths]


def _fork(expected: Sequence[bytes], writer: int) -> Callable[[], None]:
    pid = os.fork()
    if pid == 0:
        report(expected, writer)
    return functools.partial(_end, pid)


def report(expected: Sequence[bytes], writer: int) -> NoReturn:
    """Be the reading process: one line of JSON for each path."""
    try:
        out_of_memory.stand_before_nono()
        for path in expected:
            os.write(writer, json.dumps(_hash(path)).encode() + b"\n")
    finally:
        os._exit(0)


def _collect(reader: int, count: int) -> tuple[list[dict[str, Json]], bool]:
    """Return what the reading process says in time, and whether that was not over yet."""
    deadline = time.monotonic() + _SECONDS
    poll = select.poll()
    poll.register(reader, select.POLLIN)
    said, in_time = b"", True
    while said.count(b"\n") < count:
        left = deadline - time.monotonic()
        if left <= 0 or not poll.poll(left * 1_000):
            in_time = False
            break
        piece = os.read(reader, _READ_BYTES)
        if not piece:
            break
        said += piece
    return [json.loads(line) for line in said.split(b"\n")[:-1]], in_time


def _end(pid: int) -> None:
    """Kill the reading process; one that hangs in the kernel is left to it."""
    deadline = time.monotonic() + _END_SECONDS
    # A host that ignores SIGCHLD has no children to wait for: the kernel has done it.
    with contextlib.suppress(ChildProcessError, ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
        while not os.waitpid(pid, os.WNOHANG)[0] and time.monotonic() < deadline:
            time.sleep(_END_PAUSE)


def _hash(path: bytes) -> dict[str, Json]:
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
        if os.readlink(b"/proc/self/fd/%d" % descriptor) != path:
            return {"unhashed": "changed"}
        return _hash_open(descriptor, status)
    except OSError:
        return {"unhashed": "unreadable"}
    finally:
        os.close(descriptor)


def _hash_open(descriptor: int, status: os.stat_result) -> dict[str, Json]:
    digest, size = hashing.running(), 0
    if status.st_size > _MAX_BYTES:  # known before a byte of it is read
        return {"unhashed": "too-large"}
    while data := os.read(descriptor, _READ_BYTES):
        digest.update(data)
        size += len(data)
        if size > _MAX_BYTES:
            return {"unhashed": "too-large"}
    after = os.fstat(descriptor)
    if (after.st_size, after.st_mtime_ns) != (status.st_size, status.st_mtime_ns) or size != after.st_size:
        return {"unhashed": "changed"}
    return {"sha256": hashing.finish(digest).hex(), "size": size}
