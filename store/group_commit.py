"""Group commit: what many threads of one process append to one ledger at once is committed at once.

A commit costs a signature and a wait for the disk, however many entries it has. So one thread commits for
all that stand in line: a thread puts what it has to append at the end of the line, and sleeps unless it is
the first; the first takes the whole line, commits it in its order, wakes all whose entries are durable now,
and lets the first of those that came meanwhile take the lead. Nobody is put off to gather more: a lone
thread commits at once.

The order of a commit is :meth:`store.ledger.Ledger.append`'s and stays there. A line is one such commit:
all of it is durable, or nothing. Where it fails for what one of them brought (an entry out of its limits, a
disk that holds a smaller one), each is committed by itself, so that nobody is refused for somebody else's.
"""

from __future__ import annotations

import contextlib
import copy
import threading
from collections import deque
from typing import TYPE_CHECKING, TypeVar

from attest.errors import NonoError
from store.errors import LedgerError
from store.ledger_file import FREE_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from store.ledger import Appended, Draft, Ledger

_Result = TypeVar("_Result")

MAX_ENTRIES = 1_024
"""After so many entries a commit takes no further thread's in: the others wait longer for a larger one."""

_ONE_BY_ONE = ("entry.too_large", "form.malformed", "ledger.kind", "ledger.full")
"""What a commit may fail with for one thread's entries alone."""


class _Waiting:
    """A thread in line.

    Attributes:
        drafts: what it appends.
        appended: what became of them; None as long as they are not durable.
        error: why they were not appended.
        leads: whether it is the one that commits next.
        sleep: a lock that is held; whoever releases it wakes the thread.
    """

    __slots__ = ("appended", "drafts", "error", "leads", "sleep")

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self.drafts = drafts
        self.appended: list[Appended] | None = None
        self.error: NonoError | None = None
        self.leads = False
        self.sleep = threading.Lock()
        self.sleep.acquire()

    @property
    def is_done(self) -> bool:
        return self.appended is not None or self.error is not None


class GroupCommit:
    """A ledger that the threads of one process share. It belongs to the process that opened it.

    Args:
        ledger: the ledger; from here on it is used, and closed, through this object alone.

    Attributes:
        commits: how many commits there were.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._access = threading.Lock()  # to the ledger, which is one thread's at a time
        self._guard = threading.Lock()  # of the line, and of who leads; never held for long
        self._line: deque[_Waiting] = deque()
        self._led = False
        self._idle = threading.Condition(self._guard)
        self.commits = 0

    def append(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Append entries, in a commit with what other threads append at that time; as ``Ledger.append``.

        They stand next to each other in the ledger. When this returns they are durable.

        Raises:
            TamperedLedgerError: the ledger is not what its key last signed; nothing was written.
            LedgerError: busy, full, read-only, handed over to another key: nothing was acknowledged; or the
                thread that committed was interrupted (``ledger.interrupted``): look whether they are there.
            MalformedError: an entry is outside its limits; nothing was written.
        """
        if not drafts:
            raise LedgerError("nothing to append", code="ledger.empty_append")
        mine = _Waiting(drafts)
        try:
            with self._guard:
                self._line.append(mine)
                if not self._led:
                    self._led = mine.leads = True
            if not mine.leads:
                mine.sleep.acquire()  # until it leads, or another has committed its entries
            if mine.leads:
                with self._lead() as waiting:
                    self._commit(waiting)
        except BaseException:  # interrupted, wherever that was: nobody may wait for one who is gone
            self._leave(mine)
            raise
        if mine.error is not None:
            raise mine.error
        assert mine.appended is not None
        return mine.appended

    def is_free(self) -> bool:
        """Return whether nobody writes for long, neither a thread of this process; as ``Ledger.is_free``."""
        if not self._access.acquire(timeout=FREE_SECONDS):
            return False
        try:
            return self._ledger.is_free()
        finally:
            self._access.release()

    def apart(self, work: Callable[[Ledger], _Result]) -> _Result:
        """Return what ``work`` makes of the ledger while nobody commits to it."""
        with self._access:
            return work(self._ledger)

    def close(self) -> None:
        """Close the ledger, once nobody is in line."""
        with self._guard:
            while self._led:
                self._idle.wait()
            with self._access:
                self._ledger.close()

    def __enter__(self) -> GroupCommit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _lead(self) -> Iterator[list[_Waiting]]:
        """Take the next ones out of the line, the leader first; afterwards wake them and pass the lead on."""
        taken: list[_Waiting] = []
        try:
            with self._guard:
                taken.append(self._line.popleft())
                entries = len(taken[0].drafts)
                while self._line and entries + len(self._line[0].drafts) <= MAX_ENTRIES:
                    taken.append(self._line.popleft())
                    entries += len(taken[-1].drafts)
            yield taken
        finally:
            for each in taken[1:]:
                each.sleep.release()
            with self._guard:
                self._pass_on()

    def _pass_on(self) -> None:
        if self._line:
            self._line[0].leads = True
            self._line[0].sleep.release()
        else:
            self._led = False
            self._idle.notify_all()

    def _leave(self, mine: _Waiting) -> None:
        with self._guard:
            if mine in self._line:
                self._line.remove(mine)
                if mine.leads:
                    self._pass_on()

    def _commit(self, waiting: list[_Waiting]) -> None:
        try:
            try:
                appended = iter(self._append([draft for each in waiting for draft in each.drafts]))
            except NonoError as error:
                if len(waiting) > 1 and error.code in _ONE_BY_ONE:
                    for each in waiting:
                        self._commit([each])
                else:
                    for each in waiting:
                        each.error = copy.copy(error)  # each thread raises one of its own
            else:
                for each in waiting:
                    each.appended = [next(appended) for _ in each.drafts]
        except BaseException:
            # The commit may or may not have happened: to try it again could append everything twice.
            for each in waiting:
                if not each.is_done:
                    each.error = LedgerError(
                        "the thread that committed these entries was interrupted",
                        code="ledger.interrupted",
                        hint="look at the ledger before they are appended again: they may be there",
                    )
            raise

    def _append(self, drafts: list[Draft]) -> list[Appended]:
        self.commits += 1
        with self._access:
            return self._ledger.append(drafts)
