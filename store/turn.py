"""Whose turn it is to write: the writers of one host wait here instead of colliding at SQLite's lock.

SQLite's own wait sleeps ever longer, up to 100 ms, while the ledger lies idle: sixteen processes got a fifth
of what one alone writes. A file lock that each asks for every few milliseconds leaves it idle for less.

It is a courtesy and nothing more. SQLite's lock alone keeps writers apart; who has no state directory to
put the file into, or waits here for too long behind a process that was stopped, goes on to that without.
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


class Turn:
    """The turn at one ledger, for one writer.

    Args:
        directory: where the files of all turns lie; made (0700) when it is missing.
        name: the name of the ledger's file. Ledgers in two directories may have the same, and then wait for
            each other for no reason; what a ledger itself is called inside nobody has read yet.
    """

    def __init__(self, directory: bytes, name: bytes) -> None:
        self._path = os.path.join(directory, name + b".turn")
        self._descriptor: int | None = None

    def take(self) -> None:
        """Wait for the turn, but not for ever; afterwards it is this writer's, or there is none to be had."""
        try:
            if self._descriptor is None:
                self._descriptor = open_private(self._path)
            pause, begun = _FIRST_PAUSE_SECONDS, time.monotonic()
            while True:
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() - begun >= _PATIENCE_SECONDS:
                        return
                    time.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                else:
                    return
        except OSError:
            return

    def give_up(self) -> None:
        """Let the next one have it."""
        if self._descriptor is not None:
            # Not by closing it: a process that was forked meanwhile would keep it.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give it up and close the file."""
        if self._descriptor is not None:
            self.give_up()
            os.close(self._descriptor)
            self._descriptor = None
