"""What this host remembers of the heads that it signed: one small file for each origin (design 2).

The file is overwritten in place after each commit, without fsync: to lag behind the ledger is safe, to
lead is not. A ledger that is shorter than what is remembered, or that is another at that size, is an
old or a false copy, and is never extended.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from attest import checkpoint, origin
from attest.errors import MalformedError
from store.errors import LedgerError

_MAX_BYTES = 512


@dataclass(frozen=True, slots=True)
class RememberedHead:
    """The size of a ledger (entries) and the root over them (32 bytes), as last signed here."""

    size: int
    root: bytes


class HeadMemory:
    """The remembered head of one ledger.

    Args:
        directory: where the files of all origins lie; made (0700) when the first is written.
        ledger_origin: the ledger's origin.
    """

    def __init__(self, directory: bytes, ledger_origin: str) -> None:
        self._directory = directory
        self._origin = ledger_origin
        self.path = os.path.join(directory, origin.split(ledger_origin)[1].encode() + b".head")
        self._descriptor: int | None = None

    def read(self) -> RememberedHead | None:
        """Return what is remembered, or None when nothing is.

        Raises:
            LedgerError: the file is there, but is not what this class writes.
        """
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._unusable(error.strerror) from None
        try:
            data = os.read(descriptor, _MAX_BYTES)
        except OSError as error:
            raise self._unusable(error.strerror) from None
        finally:
            os.close(descriptor)
        # A file that was made and never reached the disk says nothing; one that is cut off says too much.
        if not data.strip(b"\0"):
            return None
        try:
            head = checkpoint.parse_text(data.decode("ascii"))
        except (MalformedError, UnicodeDecodeError):
            raise self._unusable("not the form that nono writes") from None
        if head.origin != self._origin:
            raise self._unusable("it names another ledger")
        return RememberedHead(head.size, head.root)

    def prepare(self) -> None:
        """Open the file for writing, so that a state directory that cannot be written is found early.

        Raises:
            OSError: it cannot be made or opened.
        """
        if self._descriptor is None:
            self._descriptor = self._open_for_writing()

    def write(self, size: int, root: bytes) -> None:
        """Remember a head that was signed and is durable.

        Raises:
            OSError: it could not be written; the ledger itself is not touched by that.
        """
        self.prepare()
        assert self._descriptor is not None
        text = checkpoint.Checkpoint(self._origin, size, root).text().encode()
        # Sizes only grow, so the text never gets shorter and one write replaces it all.
        os.pwrite(self._descriptor, text, 0)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _open_for_writing(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            return os.open(self.path, flags, 0o600)
        except FileNotFoundError:
            os.makedirs(self._directory, 0o700, exist_ok=True)
            return os.open(self.path, flags, 0o600)

    def _unusable(self, why: str | None) -> LedgerError:
        return LedgerError(
            f"what is remembered of this ledger cannot be read: {os.fsdecode(self.path)}: {why}",
            code="ledger.memory",
            hint="check the ledger with nono-verify; if it holds and is not an old copy, remove that file",
        )
