"""How much SQLite may allocate: it has one limit for the whole process, so each reader brings its share.

Some of SQLite's own steps take a whole row into memory, however long, and no limit of a connection reaches
them. What an honest ledger needs (a page cache, the longest row, a copy of it) fits well into one share; a
hostile one can use up those of others who read at the same time, who are then told that there was not
enough memory, and never that their ledger was damaged.
"""

from __future__ import annotations

import threading

import apsw

SHARE_BYTES = 64 << 20
"""What each reader may allocate."""


class _Heap:
    """The limit of this process; a limit that somebody else has set is left as it is."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0
        self._is_ours = False
        self._soft_before = 0

    def enter(self) -> None:
        """Bring the share of one more reader."""
        with self._lock:
            if not self._readers:
                self._is_ours = not apsw.hard_heap_limit(-1)
                self._soft_before = apsw.soft_heap_limit(-1)
            self._readers += 1
            self._set()

    def leave(self) -> None:
        """Take the share of a reader away, whose connection is closed."""
        with self._lock:
            self._readers -= 1
            self._set()

    def _set(self) -> None:
        if not self._is_ours:
            return
        apsw.hard_heap_limit(SHARE_BYTES * self._readers)
        # A hard limit lowers the soft one with it, and does not raise it again.
        apsw.soft_heap_limit(SHARE_BYTES * self._readers if self._readers else self._soft_before)


HEAP = _Heap()
"""The one heap that there is."""
