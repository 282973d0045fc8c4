"""The sessions that are open: one locked file for each launch that runs, so that the dead are told apart.

A supervisor holds a lock (flock(2)) on its session's file from before its intent until its record is
closed. The kernel gives the lock up with the process, whatever ended it, so a lock that can be taken
belongs to nobody who could still close the session: the next writer does, with ``launch.lost``. A
living supervisor is never accused, in whatever pid namespace it runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING, Any

from attest import canonical, origin
from attest.errors import MalformedError
from attest.named_tuples import NamedTuple
from store.errors import LedgerError
from store.private_directories import make_private

if TYPE_CHECKING:
    from collections.abc import Iterator

    from attest.canonical import Json

ANOTHER_BOOT = "another-boot"
PROCESS_GONE = "process-gone"
LOCK_FREE = "lock-free"

_MAX_BYTES = 4_096
_SESSION_LENGTH = 32
_MAX_AT_ONCE = 1_000


# Of all sessions that this process keeps. A child of fork does not keep them: with its copy of a descriptor
# it would hold the lock of a session whose supervisor is gone.
_kept: set[int] = set()


def _keep_none() -> None:
    for descriptor in _kept:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _kept.clear()


os.register_at_fork(after_in_child=_keep_none)


class Supervisor(NamedTuple):
    """Who keeps a session's record.

    Attributes:
        boot_id: of the kernel under which it started.
        pid_namespace: inode number of its pid namespace.
        pid: its pid in there.
        start_time: clock ticks after boot (proc_pid_stat(5), field 22).
    """

    boot_id: str
    pid_namespace: str
    pid: int
    start_time: int


class Abandoned(NamedTuple):
    """A session whose supervisor is gone; its lock is held until :meth:`OpenSessions.forget`.

    Attributes:
        session: the session id.
        first: no entry of it stands below this index.
        found: how that shows, in the words of ``launch.lost``.
        descriptor: its file, locked.
        temporary: the private temporary directory that it may have left, or None.
    """

    session: str
    first: int
    found: str
    descriptor: int
    temporary: bytes | None = None


class OpenSessions:
    """The open sessions of one ledger.

    Args:
        state: the state directory.
        ledger_origin: the ledger's origin.
    """

    def __init__(self, state: bytes, ledger_origin: str) -> None:
        self._directory = os.path.join(state, b"running", origin.split(ledger_origin)[1].encode())
        self._own: tuple[bytes, int] | None = None
        self._mark: dict[str, Json] = {}

    def enter(self, session: str, first: int, supervisor: Supervisor) -> None:
        """Mark a session as open, kept by this process.

        Args:
            session: the session id.
            first: the ledger's size now; the session's entries come behind it.
            supervisor: this process.

        Raises:
            LedgerError: the state directory cannot be written.
        """
        path = os.path.join(self._directory, session.encode())
        # Locked before it has its name: a mark that others see is kept by somebody, or by nobody any more.
        unnamed = path + b".new"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            make_private(self._directory)
            descriptor = os.open(unnamed, flags, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            self._mark = {"first": first, **supervisor._asdict()}
            os.write(descriptor, canonical.encode(self._mark))
            os.rename(unnamed, path)
        except OSError as error:
            raise LedgerError(
                f"the open session cannot be marked: {os.fsdecode(path)}: {error.strerror}",
                code="ledger.session_mark",
                hint="make nono's state directory writable",
            ) from None
        self._own = path, descriptor
        _kept.add(descriptor)

    def remember_temporary(self, path: bytes) -> None:
        """Remember the session's private temporary directory, for whoever finds the session abandoned.

        Args:
            path: its path. One that is too long for a mark is not remembered.
        """
        data = canonical.encode({**self._mark, "temporary": canonical.text(path)})
        if self._own is not None and len(data) <= _MAX_BYTES:
            with contextlib.suppress(OSError):  # what cannot be remembered is left behind, no worse
                os.pwrite(self._own[1], data, 0)

    def leave(self, *, closed: bool) -> None:
        """Give up the session; the mark of one that is not ``closed`` is left for the next writer."""
        if self._own is not None:
            path, descriptor = self._own
            self._own = None
            _kept.discard(descriptor)
            if closed:
                with contextlib.suppress(OSError):
                    os.unlink(path)
            os.close(descriptor)

    def abandoned(self, here: Supervisor) -> Iterator[Abandoned]:
        """Yield the sessions whose lock could be taken, a bounded number of them."""
        try:
            names = sorted(os.listdir(self._directory))[:_MAX_AT_ONCE]
        except OSError:
            return
        for name in names:
            descriptor = self._take(name)
            if descriptor is None:
                continue
            try:
                mark: dict[str, Any] = canonical.decode_object(os.read(descriptor, _MAX_BYTES))
                left = mark.pop("temporary", None)
                temporary = None if left is None else canonical.text_bytes(left)
                first, kept_by = int(mark.pop("first")), Supervisor(**mark)
            except (OSError, TypeError, KeyError, ValueError, AttributeError, MalformedError):
                # Cut off by a power cut: what it says is lost, not that it is free.
                first, kept_by, temporary = 0, None, None
            yield Abandoned(os.fsdecode(name), first, _how_it_shows(kept_by, here), descriptor, temporary)

    def forget(self, abandoned: Abandoned) -> None:
        """Take an abandoned session's mark away."""
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(self._directory, abandoned.session.encode()))
        os.close(abandoned.descriptor)

    def count(self) -> int:
        """Return how many sessions are marked as open, dead ones included."""
        try:
            return sum(len(name) == _SESSION_LENGTH for name in os.listdir(self._directory))
        except OSError:
            return 0

    def kept(self) -> list[str]:
        """Return the sessions that somebody keeps, a bounded number of them."""
        try:
            names = sorted(os.listdir(self._directory))[:_MAX_AT_ONCE]
        except OSError:
            return []
        kept = []
        for name in names:
            descriptor = self._take(name)
            if descriptor is not None:
                os.close(descriptor)
            elif len(name) == _SESSION_LENGTH and os.path.lexists(os.path.join(self._directory, name)):
                kept.append(os.fsdecode(name))
        return kept

    def _take(self, name: bytes) -> int | None:
        """Return the locked file of a session, None if somebody keeps it or it is none of ours."""
        if len(name) != _SESSION_LENGTH:
            return None
        path = os.path.join(self._directory, name)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Another writer may have dealt with it between the opening and the lock.
            if os.fstat(descriptor).st_nlink:
                return descriptor
        except OSError:
            pass  # it is kept
        os.close(descriptor)
        return None


def _how_it_shows(kept_by: Supervisor | None, here: Supervisor) -> str:
    if kept_by is None:
        return LOCK_FREE
    if kept_by.boot_id != here.boot_id:
        return ANOTHER_BOOT
    if kept_by.pid_namespace == here.pid_namespace and _start_time(kept_by.pid) != kept_by.start_time:
        return PROCESS_GONE
    return LOCK_FREE


def _start_time(pid: int) -> int | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[19])
    except (OSError, IndexError, ValueError):
        return None
