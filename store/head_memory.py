"""What this host remembers of the heads that it signed: one small file for each origin (design 2).

The file is overwritten in place after each commit, without fsync: to lag behind the ledger is safe, to
lead is not. A ledger that is shorter than what is remembered, or that is another at that size, is an
old or a false copy, and is never extended.

Writers commit one after another but remember in any order, so a file lock guards the file, and a smaller
size never replaces a larger: otherwise a slow writer would make the memory forget what a fast one wrote,
and its shorter text would leave the tail of the longer.

A ledger that was sealed (:mod:`store.rolling`) is remembered as such, in a line behind the head, for ever.
That line is written while the ledger's own write lock is held and read by whoever appends while it holds it,
so nothing is appended to a sealed ledger, whoever had it open. Behind it stands which ledger continues it::

    host/0123456789abcdef0123456789abcdef       the head that was signed last
    42
    JcnTmNoGlrsV7NaTfKWROhVB6uOTFzzbAJ3vQ3Qd3jE=
    sealed                                      nothing more is appended
    successor host/fedcba… L3RtcC9uZXh0LmRi     its origin and its path, in base64: about to be founded there
    founded                                     it was

Lines are only added, each durable before what follows from it, but that a successor that was never founded
gives way to another. A file may end after any of them from the third on.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import os
import time
from typing import TYPE_CHECKING

from attest import canonical, checkpoint, origin
from attest.errors import MalformedError
from attest.named_tuples import NamedTuple
from store import file_identity
from store.errors import LedgerError
from store.private_directories import open_private

if TYPE_CHECKING:
    from collections.abc import Iterator

_MAX_BYTES = 8_192  # head and seal are at most 202 bytes; the longest path that the kernel takes is 4,095
_MAX_PATH_BYTES = 4_095
_SEALED = b"sealed\n"
_SUCCESSOR = b"successor "
_FOUNDED = b"founded\n"
_LOCK_TRIES = 500
_LOCK_PAUSE_SECONDS = 0.002


class Successor(NamedTuple):
    """The ledger that continues a sealed one.

    Attributes:
        origin: its origin.
        path: where it was founded, absolute.
        founded: whether it was; if not, whoever was about to may have been killed before or after.
    """

    origin: str
    path: bytes
    founded: bool

    def lines(self) -> bytes:
        """Return the lines that remember it."""
        line = b"%s%s %s\n" % (_SUCCESSOR, self.origin.encode(), base64.b64encode(self.path))
        return line + _FOUNDED if self.founded else line


class RememberedHead(NamedTuple):
    """What is remembered of one ledger.

    Attributes:
        size: the number of its entries, as last signed here.
        root: the root over them, 32 bytes.
        sealed: whether it was sealed here.
        successor: what continues it, None when that is not known.
    """

    size: int
    root: bytes
    sealed: bool = False
    successor: Successor | None = None


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
            present = self._parse(os.pread(descriptor, _MAX_BYTES, 0))
            if present is not None and present.sealed:  # what continues it is not forgotten
                return
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
        return b"\n" + _SEALED in os.pread(self._ready(), _MAX_BYTES, 0)

    def is_ahead_of(self, size: int) -> bool:
        """Return whether more entries are remembered than ``size``; what cannot be read remembers none."""
        try:
            data = os.pread(self._ready(), _MAX_BYTES, 0)
            present = None if data == self._written else self._parse(data)
        except (OSError, LedgerError):
            return False
        return present is not None and present.size > size

    @contextlib.contextmanager
    def held(self) -> Iterator[RememberedHead | None]:
        """Hold the file's lock, and yield what is remembered: only one founds what continues a sealed ledger.

        Raises:
            LedgerError: as :meth:`read`.
        """
        try:
            descriptor = self._ready()
            _lock(descriptor)
        except OSError as error:
            raise self.unusable(error) from None
        try:
            yield self._parse(os.pread(descriptor, _MAX_BYTES, 0))
        finally:
            if self._descriptor == descriptor:  # else it was removed meanwhile, and is closed
                fcntl.flock(descriptor, fcntl.LOCK_UN)

    def remember_successor(self, successor: Successor) -> None:
        """Remember, durably, which ledger continues this sealed one; within :meth:`held`.

        One that is remembered as founded is never replaced.

        Raises:
            LedgerError: it cannot be written, or the ledger is not sealed; or its successor was founded.
        """
        try:
            descriptor = self._ready()
            data = os.pread(descriptor, _MAX_BYTES, 0)
            present = self._parse(data)
            if present is None or not present.sealed or (present.successor and present.successor.founded):
                raise self._illegible("it names no ledger that was sealed and waits for its successor")
            kept = data.index(b"\n" + _SEALED) + 1 + len(_SEALED)
            lines = successor.lines()
            if data[kept:] and not lines.startswith(data[kept:]):  # it was never founded
                os.ftruncate(descriptor, kept)
            os.pwrite(descriptor, lines, kept)
            os.fsync(descriptor)
        except OSError as error:
            raise self.unusable(error) from None

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
        if self._descriptor is not None and file_identity.links_of(self._descriptor) == 0:
            self.close()
        if self._descriptor is None:
            self._descriptor = open_private(self.path)
        return self._descriptor

    def _parse(self, data: bytes) -> RememberedHead | None:
        # A file that was made and never reached the disk says nothing; one that is cut off says too much.
        if not data.strip(b"\0"):
            return None
        text, seal, behind = data.partition(b"\n" + _SEALED)
        sealed = bool(seal)
        try:
            head = checkpoint.parse_text((text + b"\n" if sealed else text).decode("ascii"))
            successor = _parse_successor(behind) if behind else None
        except (MalformedError, UnicodeDecodeError):
            raise self._illegible("not the form that nono writes") from None
        if head.origin != self._origin:
            raise self._illegible("it names another ledger")
        return RememberedHead(head.size, head.root, sealed, successor)

    def _illegible(self, why: str) -> LedgerError:
        return LedgerError(
            f"what is remembered of this ledger cannot be read: {os.fsdecode(self.path)}: {why}",
            code="ledger.memory",
            hint="check the ledger with nono-verify; if it holds and is not an old copy, remove that file",
        )


def _parse_successor(lines: bytes) -> Successor:
    """Read what stands behind the seal.

    Raises:
        MalformedError: it is not what :meth:`Successor.lines` writes.
        UnicodeDecodeError: likewise.
    """
    words = lines.removeprefix(_SUCCESSOR).partition(b"\n")[0].decode("ascii").split(" ")
    if len(words) != 2:
        raise MalformedError("not an origin and a path")
    origin.split(words[0])
    path = canonical.decode_base64(words[1])
    if not path.startswith(b"/") or b"\0" in path or len(path) > _MAX_PATH_BYTES:
        raise MalformedError("not an absolute path")
    successor = Successor(words[0], path, lines.endswith(b"\n" + _FOUNDED))
    if successor.lines() != lines:
        raise MalformedError("not the form that nono writes")
    return successor


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
