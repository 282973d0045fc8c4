"""Whose turn it is to write: the writers of one host wait here instead of colliding at SQLite's lock.

SQLite's own wait sleeps ever longer, up to 100 ms, while the ledger lies idle: sixteen processes got a fifth
of what one alone writes. A file lock that each asks for every millisecond leaves it idle for microseconds.
Who has waited for longer asks less often: there are many then, or the machine has no time to spare.

It is a courtesy and nothing more. SQLite's lock alone keeps writers apart; who has no state directory to
put the file into, or waits here for too long behind a process that was stopped, goes on to that without.
"""

from __future__ import annotations

import fcntl
import os
import time

from store.private_directories import open_private

_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.01
_SHARE_OF_WAIT = 0.02
"""A pause is this part of the time that was waited already, within the two bounds above."""

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
            begun: float | None = None
            while True:
                try:
                    fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    now = time.monotonic()
                    begun = now if begun is None else begun
                    if now - begun >= _PATIENCE_SECONDS:
                        return
                    pause = _SHARE_OF_WAIT * (now - begun)
                    time.sleep(min(max(pause, _PAUSE_SECONDS), _LONGEST_PAUSE_SECONDS))
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
