"""The ledgers that a process has open: each once, shared by its launches, which commit together.

To open a ledger is to verify its head; a process that launches all day need not do that each time. So one
stays open when a launch is done with it, up to a few of them. Before it is taken again it is looked at: one
that was moved away, or sealed, is opened anew, as by a process that has just begun. What a commit verifies it
verifies each time (:mod:`store.ledger`).

A child of ``fork`` has none of it: SQLite's connections do not outlive a fork, not even to be closed, since
that would take the log away that the parent writes to. They are left as they are there.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from typing import TYPE_CHECKING

from store.errors import LedgerError
from store.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from store.ledger import Appended, Draft, Ledger

MOST_IDLE = 4
"""How many ledgers stay open that no launch uses."""


class _Open:
    """A ledger that is open.

    Attributes:
        borrowers: how many launches use it.
        is_stale: whether no further one may.
        process: the pid of who opened it.
    """

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.process = os.getpid()
        self._held = _held(ledger.path)
        self.group = GroupCommit(ledger)
        self.borrowers = 0
        self.is_stale = False

    def has_its_descriptors(self) -> bool:
        """Return whether nobody has closed them, so that what SQLite writes goes where it thinks."""
        left = {file for descriptor, file in self._held.items() if _file(descriptor) == file}
        # Others can have had a file open as well when it was looked at: that they have closed it is theirs.
        return left == set(self._held.values())


def _held(path: bytes) -> dict[int, tuple[int, int]]:
    """Return the descriptors of this process that are a ledger's file, or that of SQLite's locks."""
    files = set()
    for suffix in (b"", b"-shm"):
        with contextlib.suppress(OSError):
            status = os.stat(path + suffix)
            files.add((status.st_dev, status.st_ino))
    found = {descriptor: _file(descriptor) for descriptor in map(int, os.listdir("/proc/self/fd"))}
    return {descriptor: file for descriptor, file in found.items() if file is not None and file in files}


def _file(descriptor: int) -> tuple[int, int] | None:
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class SharedLedger:
    """A ledger as one launch uses it: as :class:`store.ledger.Ledger`, from any thread.

    Attributes:
        path: the file, absolute.
        origin: its origin.
    """

    def __init__(self, opened: _Open) -> None:
        self._opened: _Open | None = opened
        self._group = opened.group
        self._ledger = opened.ledger
        self.path = opened.ledger.path
        self.origin = opened.ledger.origin

    @property
    def size(self) -> int:
        """The number of entries, as this process last saw it."""
        return self._ledger.size

    def append(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Append entries; see :meth:`store.group_commit.GroupCommit.append`.

        Raises:
            LedgerError: also where this is not the process that opened it (``ledger.forked``).
        """
        if self._opened is not None and self._opened.process != os.getpid():
            raise LedgerError(
                "the launch belongs to the process that this one was forked from", code="ledger.forked"
            )
        try:
            return self._group.append(drafts)
        except LedgerError:
            if self._opened is not None:
                self._opened.is_stale = True  # whatever it was, the next launch begins with a fresh look
            raise

    def is_free(self) -> bool:
        """Return whether nobody writes for long; see :meth:`store.group_commit.GroupCommit.is_free`."""
        return self._group.is_free()

    def session_kinds(self, session: str, first: int) -> list[str]:
        """Return the kinds of a session's entries; see :meth:`store.ledger.Ledger.session_kinds`."""
        return self._group.apart(lambda ledger: ledger.session_kinds(session, first))

    def reserve_closing_space(self, launches: int) -> bool:
        """Allocate room for what closes launches; see :meth:`store.ledger.Ledger.reserve_closing_space`."""
        return self._ledger.reserve_closing_space(launches)

    def close(self) -> None:
        """Let go of it; again does nothing."""
        opened, self._opened = self._opened, None
        if opened is not None:
            _give_back(opened)


_lock = threading.Lock()
_open: dict[tuple[object, ...], _Open] = {}
_inherited: list[_Open] = []


def borrow(slot: tuple[object, ...], opening: Callable[[], Ledger]) -> SharedLedger:
    """Return the ledger of ``slot``, opened if it is not.

    Args:
        slot: what is the same for launches that record in the same ledger.
        opening: opens it.

    Raises:
        LedgerError: as ``opening``.
    """
    # Held while one is opened: others want the same, and two at once could found two.
    with _lock:
        opened = _open.get(slot)
        if opened is not None and not opened.has_its_descriptors():
            # Not closed either: the numbers are somebody else's. SQLite keeps locks by them, for all of this
            # process, so that nothing here can write to this ledger any more.
            raise LedgerError(
                f"this program has closed descriptors of {os.fsdecode(opened.ledger.path)}",
                code="ledger.descriptors",
                hint="a program that closes whatever is open, as daemons do, does so before its first launch",
            )
        if opened is not None and (opened.is_stale or not _is_usable(opened)):
            opened.is_stale = True
            del _open[slot]
            if not opened.borrowers:
                _close(opened)
            opened = None
        if opened is None:
            opened = _Open(opening())
        else:
            del _open[slot]
        _open[slot] = opened  # as the last one used
        opened.borrowers += 1
        return SharedLedger(opened)


def _is_usable(opened: _Open) -> bool:
    try:
        opened.group.apart(lambda ledger: ledger.require_usable())
    except LedgerError:
        return False
    return True


def _give_back(opened: _Open) -> None:
    with _lock:
        opened.borrowers -= 1
        if opened.borrowers:
            return
        if opened.is_stale:
            for slot in [slot for slot, each in _open.items() if each is opened]:
                del _open[slot]
            _close(opened)
            return
        idle = [(slot, each) for slot, each in _open.items() if not each.borrowers]
        for slot, each in idle[: max(0, len(idle) - MOST_IDLE)]:
            del _open[slot]
            _close(each)


def _close(opened: _Open) -> None:
    # What was appended is durable, whatever becomes of this.
    with contextlib.suppress(LedgerError, OSError):
        opened.group.close()


def close_idle() -> None:
    """Close the ledgers that no launch uses."""
    with _lock:
        for slot, opened in list(_open.items()):
            if not opened.borrowers:
                del _open[slot]
                _close(opened)


def _after_fork() -> None:
    global _lock, _open  # noqa: PLW0603  # the state of this module
    _lock = threading.Lock()
    _inherited.extend(_open.values())
    _open = {}


os.register_at_fork(after_in_child=_after_fork)
atexit.register(close_idle)
