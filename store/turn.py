"""Whose turn it is to write: the writers of one host wait here instead of colliding at SQLite's lock.

SQLite's own wait sleeps ever longer, up to 100 ms, while the ledger lies idle: sixteen processes got a fifth
of what one alone writes. A file lock that each asks for every few milliseconds leaves it idle for less.

For writers it is a courtesy and nothing more. SQLite's lock alone keeps them apart; who has no state
directory to put the file into, or waits here for too long while nobody writes, behind a process that was
stopped, goes on to that without.
Launches that ask a person on one terminal take turns at that by the same files (:meth:`Turn.try_to_take`).
"""

from __future__ import annotations

import fcntl
import os
import time

from store.private_directories import open_private

_FIRST_PAUSE_SECONDS = 0.0005
_LONGEST_PAUSE_SECONDS = 0.008
"""Between the two each pause is twice the one before. Sixteen that ask every millisecond take more of two
cores than they give back, and each writer but the last must verify what another signed: measured with the
longest pause at 1, 2 and 4 ms, sixteen processes wrote 0.45, 0.55 and 0.67 of what one alone writes."""

_PATIENCE_SECONDS = 30.0
"""How long a writer waits while nothing is written. Of a hundred that wait some come last, which is no reason
to collide: a third of them asked for SQLite's lock out of turn where a commit took 0.1 s."""

_MOST_SECONDS = 300.0
"""How long it waits whatever is written."""


class Turn:
    """The turn at one ledger, for one writer; or at one terminal, for one launch.

    Args:
        directory: where the files of all turns lie; made (0700) when it is missing.
        name: the name of the ledger's file. Ledgers in two directories may have the same, and then wait for
            each other for no reason; what a ledger itself is called inside nobody has read yet.
        written: the file that whoever has the turn writes to, if any.

    Attributes:
        is_held: whether it was taken, and not given up.
    """

    def __init__(self, directory: bytes, name: bytes, written: bytes | None = None) -> None:
        self._written = written
        self._path = os.path.join(directory, name + b".turn")
        self._descriptor: int | None = None
        self.is_held = False

    def try_to_take(self) -> bool:
        """Take the turn unless somebody else has it, and return whether it is held now.

        Raises:
            OSError: the file cannot be made or locked.
        """
        if self._descriptor is None:
            self._descriptor = open_private(self._path)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        self.is_held = True
        return True

    def take(self) -> None:
        """Wait for the turn, but not for ever; afterwards it is this writer's, or there is none to be had."""
        try:
            if self.try_to_take():
                return
            pause, begun, last = _FIRST_PAUSE_SECONDS, time.monotonic(), self._last_written()
            since = begun
            while not self.try_to_take():
                now = time.monotonic()
                if now - since >= _PATIENCE_SECONDS:
                    if last == (last := self._last_written()) or now - begun >= _MOST_SECONDS:
                        return
                    since = now
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        except OSError:
            return

    def _last_written(self) -> tuple[int, int] | None:
        """Return what tells whether something was written meanwhile."""
        try:
            status = None if self._written is None else os.stat(self._written)
        except OSError:  # SQLite takes a log away, and makes one
            return None
        return None if status is None else (status.st_mtime_ns, status.st_size)

    def give_up(self) -> None:
        """Let the next one have it."""
        if self._descriptor is not None:
            self.is_held = False
            # Not by closing it: a process that was forked meanwhile would keep it.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it up and close the file."""
        if self._descriptor is not None:
            self.give_up()
            os.close(self._descriptor)
            self._descriptor = None
