"""Files that are there whole or not at all: what the verifier keeps for its next run, or for others.

Each is made under another name beside its own, ``FILE.….new``, and then takes that. What is interrupted on
the way, by an error or by a signal that asks the process to end, leaves nothing behind.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, BinaryIO

from verify.ending_signals import EndingSignals

if TYPE_CHECKING:
    from collections.abc import Iterator

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def replace(path: str, data: bytes) -> None:
    """Write ``data`` in the place of ``path``, synced.

    Its mode is 0644 at most, whatever the umask: whoever could write to it could change what others believe.

    Raises:
        OSError: it cannot be written, or something other than a regular file is there (a device, a pipe, a
            link such as /dev/stdout), which a file in its place would take from others; what was there is
            still there.
    """
    _require_replaceable(path)
    with _temporary(path, 0o644) as (file, signals):
        file.write(data)
        _finish(file)
        signals.hold()
        os.replace(file.name, path)


@contextlib.contextmanager
def new(path: str, *, overwrite: bool = False) -> Iterator[BinaryIO]:
    """Give a file for its owner alone (0600) that has its name, durably, once everything is written.

    When the context is left by an error, nothing is left behind.

    Args:
        path: the name, which nothing else may have.
        overwrite: take the place of a regular file that has it.

    Raises:
        FileExistsError: it is there, and is not to be overwritten.
        OSError: it cannot be written, or something other than a regular file is there.
    """
    if overwrite:
        _require_replaceable(path)
    elif os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "it exists already")
    with _temporary(path, 0o600) as (file, signals):
        yield file
        _finish(file)
        signals.hold()
        if overwrite:
            os.replace(file.name, path)
        else:
            _name(file.name, path)


@contextlib.contextmanager
def new_directory(path: str) -> Iterator[str]:
    """Give a directory for its owner alone (0700) that has its name once the context is left.

    When it is left by an error, nothing is left behind. The files in it are the caller's to sync.

    Args:
        path: the name, which nothing else may have.

    Raises:
        FileExistsError: it is there.
        OSError: it cannot be made.
    """
    if os.path.lexists(path):
        raise FileExistsError(errno.EEXIST, "it exists already")
    temporary = _beside(path.rstrip(os.sep))
    with EndingSignals() as signals:
        try:
            try:
                os.mkdir(temporary, 0o700)
                yield temporary
                signals.hold()
                os.rename(temporary, path)  # over nothing but an empty directory that came meanwhile
            finally:
                signals.hold()  # see below
        finally:
            _remove(temporary)


def _remove(directory: str) -> None:
    import shutil  # noqa: PLC0415  # it loads every compression that Python has, and most write no directory

    shutil.rmtree(directory, ignore_errors=True)


@contextlib.contextmanager
def _temporary(path: str, mode: int) -> Iterator[tuple[BinaryIO, EndingSignals]]:
    """Give a new file beside ``path``, which is taken away at the end if it has not got another name."""
    temporary = _beside(path)
    with EndingSignals() as signals:
        try:
            try:
                with open(temporary, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                    yield file, signals
            finally:
                signals.hold()  # an own block: a signal right before this still comes to the one beneath
        finally:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)


def _beside(path: str) -> str:
    return f"{path}.{os.urandom(8).hex()}.new"


def _finish(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())
    file.close()  # nothing that is open gets another name everywhere


def _name(temporary: str, path: str) -> None:
    """Give a file its name, if nothing has it yet."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        # A file system without hard links: the name is taken first, by an empty file.
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        os.replace(temporary, path)


def _require_replaceable(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISREG(os.lstat(path).st_mode):
            raise OSError(errno.EINVAL, "it is there, and no regular file")
