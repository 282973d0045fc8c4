"""What this host remembers of the heads that it signed: one small file for each origin (design 2).

The file is overwritten in place after each commit, without fsync: to lag behind the ledger is safe, to
lead is not. A ledger that is shorter than what is remembered, or that is another at that size, is an
old or a false copy, and is never extended.

Writers commit one after another but remember in any order, so a file lock guards the file, and a smaller
size never replaces a larger: otherwise a slow writer would make the memory forget what a fast one wrote,
and its shorter text would leave the tail of the longer.

A ledger that was sealed (:mod:`store.rolling`) is remembered as such, in a last line, for ever. That line is
written while the ledger's own write lock is held and read by whoever appends while it holds it, so nothing is
appended to a sealed ledger, whoever had it open.
"""

from __future__ import annotations

import fcntl
import os
import time
from typing import NamedTuple

from attest import checkpoint, origin
from attest.errors import MalformedError
from store.errors import LedgerError
from store.private_directories import make_private

_MAX_BYTES = 512
_SEALED = b"sealed\n"
_LOCK_TRIES = 500
_LOCK_PAUSE_SECONDS = 0.002


class RememberedHead(NamedTuple):
    """The size of a ledger (entries) and the root over them (32 bytes), as last signed here, and its seal."""

    size: int
    root: bytes
    sealed: bool = False


class HeadMemory:
    """The remembered head of one ledger.

    Args:
        directory: where the files of all origins lie; made (0700) when it is missing.
        ledger_origin: the ledger's origin.
    """

    def __init__(self, directory: bytes, ledger_origin: str) -> None:
        self._directory = directory
        self._origin = ledger_origin
        self.path = os.path.join(directory, origin.split(ledger_origin)[1].encode() + b".head")
        self._descriptor: int | None = None
        self._written = b""

    def read(self) -> RememberedHead | None:
        """Return what is remembered, or None when nothing is.

        Raises:
            LedgerError: the file is not what this class writes, or cannot be made, read or written: a state
                directory that cannot be written is found here, before anything is signed.
        """
        try:
            descriptor = self._ready()
            _lock(descriptor)
            try:
                data = os.pread(descriptor, _MAX_BYTES, 0)
            finally:
                fcntl.flock(descriptor, fcntl.LOCK_UN)
        except OSError as error:
            raise self.unusable(error) from None
        return self._parse(data)

    def write(self, size: int, root: bytes) -> None:
        """Remember a head that was signed and is durable, unless a larger one is remembered already.

        Raises:
            OSError: it could not be written; the ledger itself is not touched by that.
            LedgerError: the file is not what this class writes; it is left as it is.
        """
        text = checkpoint.Checkpoint(self._origin, size, root).text().encode()
        descriptor = self._ready()
        _lock(descriptor)
        try:
            data = os.pread(descriptor, _MAX_BYTES, 0)
            present = None if data == self._written else self._parse(data)
            if present is None or (present.size < size and not present.sealed):
                # Sizes only grow, so the text never gets shorter and one write replaces it all.
                os.pwrite(descriptor, text, 0)
                self._written = text
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)

    def seal(self, size: int, root: bytes) -> None:
        """Remember, durably, that the ledger ends with this head; the ledger's write lock must be held.

        Raises:
            OSError: it could not be written.
            LedgerError: the file is not what this class writes; it is left as it is.
        """
        descriptor = self._ready()
        _lock(descriptor)
        try:
            self._parse(os.pread(descriptor, _MAX_BYTES, 0))
            text = checkpoint.Checkpoint(self._origin, size, root).text().encode() + _SEALED
            os.pwrite(descriptor, text, 0)
            os.fsync(descriptor)
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)

    def is_sealed(self) -> bool:
        """Return whether the ledger was sealed: one read, for whoever holds the ledger's write lock.

        Raises:
            OSError: the file cannot be read.
        """
        return os.pread(self._ready(), _MAX_BYTES, 0).endswith(_SEALED)

    def unusable(self, error: OSError) -> LedgerError:
        """Return the error that says why the head cannot be remembered."""
        return LedgerError(
            f"the ledger's head cannot be remembered: {os.fsdecode(self.path)}: {error.strerror}",
            code="ledger.memory",
            hint="make nono's state directory writable; it is where an old copy put back is noticed",
        )

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _ready(self) -> int:
        # What was removed is made anew: another process would not find what goes into an unlinked file.
        if self._descriptor is not None and os.fstat(self._descriptor).st_nlink == 0:
            self.close()
        if self._descriptor is None:
            self._descriptor = self._open()
        return self._descriptor

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            make_private(self._directory)
            return os.open(self.path, flags, 0o600)

    def _parse(self, data: bytes) -> RememberedHead | None:
        # A file that was made and never reached the disk says nothing; one that is cut off says too much.
        if not data.strip(b"\0"):
            return None
        sealed = data.endswith(_SEALED)
        try:
            head = checkpoint.parse_text(data.removesuffix(_SEALED).decode("ascii"))
        except (MalformedError, UnicodeDecodeError):
            raise self._illegible("not the form that nono writes") from None
        if head.origin != self._origin:
            raise self._illegible("it names another ledger")
        return RememberedHead(head.size, head.root, sealed)

    def _illegible(self, why: str) -> LedgerError:
        return LedgerError(
            f"what is remembered of this ledger cannot be read: {os.fsdecode(self.path)}: {why}",
            code="ledger.memory",
            hint="check the ledger with nono-verify; if it holds and is not an old copy, remove that file",
        )


def _lock(descriptor: int) -> None:
    """Take the file lock; it is held for microseconds, and whoever holds it longer must not stop a launch.

    Raises:
        OSError: it cannot be had.
    """
    for _ in range(_LOCK_TRIES):
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return
    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
