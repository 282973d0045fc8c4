"""What witnesses saw of a ledger, and up to where that makes a quorum.

A cosignature (C2SP tlog-cosignature) says: at that time the largest tree of this log that the witness had
seen had that size and root. Who saw a tree saw all that it begins with, and the replay has the whole tree. So
the first N entries are seen by every witness that cosigned any size from N on, and what is kept of each
witness is its largest size alone: memory does not grow with the number of cosignatures.

Where a cosignature was found decides what follows from it. One in the ledger shows that its entries are that
old. It does not show that the ledger is all that there is: whoever cuts the end off cuts off the anchors that
lie in it. Only one that is kept outside does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import cosignature
from attest.instant import format_instant
from attest.named_tuples import NamedTuple
from verify.witness_policy import spelled

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from attest.canonical import Json
    from attest.cosignature import Cosignature, Witness
    from attest.keys import PublicKey
    from attest.note import Note
    from verify.findings import Findings
    from verify.witness_policy import WitnessPolicy

MAX_AHEAD_SECONDS = 300
"""How far a time may lie ahead of ours: clocks differ, and honest evidence must not fail for that."""

_SHOWN_WITNESSES = 5
_LAST_SECOND = 253_402_300_799
"""The end of the year 9999, behind which no time can be written."""


def is_possible(seconds: int, now: int) -> bool:
    """Return whether evidence can be of that time, in seconds since 1970, when it is ``now``."""
    return 0 < seconds <= min(now + MAX_AHEAD_SECONDS, _LAST_SECOND)


class Witnessed(NamedTuple):
    """Up to where a quorum of witnesses saw a ledger.

    Attributes:
        met: whether the quorum is met, be it that the policy asks for nobody.
        size: the first so many entries were seen by a quorum; None when there is none, or none is needed.
        time: when the last witness of that quorum had seen them, seconds since 1970 by its own clock.
        by: the names in the policy of the witnesses that had seen them by then.
    """

    met: bool
    size: int | None = None
    time: int | None = None
    by: tuple[str, ...] = ()

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {"met": self.met, "size": self.size, "time": written(self.time), "by": list(self.by)}


def written(seconds: int | None) -> str | None:
    """Return a possible time as the record writes instants."""
    return None if seconds is None else format_instant(seconds * 1_000_000_000)


class _Sight:
    """The largest size that one witness cosigned, and when, the earliest and the latest."""

    __slots__ = ("first", "last", "size")

    def __init__(self, size: int, seconds: int) -> None:
        self.size = size
        self.first = self.last = seconds

    def add(self, size: int, seconds: int) -> None:
        if size > self.size:
            self.size, self.first, self.last = size, seconds, seconds
        elif size == self.size:
            self.first, self.last = min(self.first, seconds), max(self.last, seconds)


class Witnessing:
    """The cosignatures of one ledger, as they are found.

    Args:
        policy: the witnesses, and how many of them are enough.
        now: the time at which is asked, seconds since 1970.
        findings: told about impossible times.
    """

    def __init__(self, policy: WitnessPolicy, now: int, findings: Findings) -> None:
        self.policy = policy
        self._now = now
        self._findings = findings
        self._known = tuple(policy.witnesses.values())
        self._anywhere: dict[Witness, _Sight] = {}
        self._outside: dict[Witness, _Sight] = {}

    def take(
        self, cosigned: Note, size: int, origin: str, keys: Iterable[PublicKey], *, source: int | str
    ) -> tuple[tuple[Cosignature, bool], ...]:
        """Take in the cosignatures of known witnesses under a checkpoint that this ledger contains.

        Args:
            cosigned: the note.
            size: the size in it.
            origin: the ledger's.
            keys: the ledger's keys that signed it.
            source: where it was found: the index of an entry, or the file outside of the ledger.

        Returns:
            each cosignature, and whether it counts.

        Raises:
            SignatureError: one does not hold, so nothing under this note is to be believed.
        """
        found = cosignature.verify(cosigned, self._known)
        is_logs = self.policy.accepts(origin, keys)
        taken = []
        for each in found:
            counts = is_possible(each.time, self._now)
            if not counts:
                self._report_time(each, source)
            elif is_logs:
                is_outside = isinstance(source, str)
                for sights in (self._anywhere, self._outside) if is_outside else (self._anywhere,):
                    sights.setdefault(each.witness, _Sight(size, each.time)).add(size, each.time)
            taken.append((each, counts and is_logs))
        return tuple(taken)

    def _report_time(self, cosigned: Cosignature, source: int | str) -> None:
        (name,) = self.policy.shown([cosigned.witness])
        what = (
            f"is cosigned by {name} at a time that cannot be, {cosigned.time} s after 1970: it does not count"
        )
        if isinstance(source, int):
            self._findings.add("witness.time", what, source)
        else:
            self._findings.add("witness.time", f"{source} {what}")

    def judge(self, origin: str, keys: Sequence[PublicKey]) -> Witnessed:
        """Hold the ledger to the policy and return up to where it is witnessed.

        Args:
            origin: the ledger's.
            keys: all keys that it ever had.
        """
        if not self.policy.accepts(origin, keys):
            self._findings.add(
                "witness.log",
                f"none of the logs in {self.policy.source} is this ledger under one of its keys: it has the"
                f" origin {origin} (a log in a policy pins no key; that is what -k is for)",
            )
        own = [witness for witness in self._known if witness.key in keys]
        for witness in own:
            (name,) = self.policy.shown([witness])
            self._findings.add(
                "witness.own_key", f"the witness {name} has a key of this ledger, so it does not count"
            )
            self._anywhere.pop(witness, None)
            self._outside.pop(witness, None)
        witnessed = self._quorum(self._anywhere, latest=False)
        if not witnessed.met:
            self._findings.add("witness.quorum", self._unmet())
        return witnessed

    def outside(self) -> Witnessed:
        """Return up to where a quorum saw it by what was kept outside alone; after :meth:`judge`."""
        return self._quorum(self._outside, latest=True)

    def _quorum(self, sights: dict[Witness, _Sight], *, latest: bool) -> Witnessed:
        """Return the largest size that a quorum saw, and the time since which it had.

        Args:
            sights: the witnesses' largest sizes.
            latest: whether how late they saw it is asked, or how early.
        """
        if self.policy.quorum is None:
            return Witnessed(met=True)
        for size in sorted({sight.size for sight in sights.values()}, reverse=True):
            times = {
                witness: sight.last if latest else sight.first
                for witness, sight in sights.items()
                if sight.size >= size
            }
            if self.policy.is_met(times):
                return self._at(size, times, latest=latest)
        return Witnessed(met=False)

    def _at(self, size: int, times: dict[Witness, int], *, latest: bool) -> Witnessed:
        taken: set[Witness] = set()
        for witness in sorted(times, key=times.__getitem__, reverse=latest):
            taken.add(witness)
            if self.policy.is_met(taken):
                break
        bound = (min if latest else max)(times[witness] for witness in taken)
        return Witnessed(met=True, size=size, time=bound, by=self.policy.shown(taken))

    def _unmet(self) -> str:
        largest = sorted(self._anywhere.items(), key=lambda pair: -pair[1].size)
        seen = [
            f"{self.policy.shown([witness])[0]} ({sight.size} entries)"
            for witness, sight in largest[:_SHOWN_WITNESSES]
        ]
        left = len(largest) - len(seen)
        by = ", ".join(seen) + (f" and {left} more" if left else "") if seen else "none of its witnesses"
        assert self.policy.quorum is not None
        quorum = spelled(self.policy.quorum)
        return f"the quorum {quorum} of {self.policy.source} is not met: cosigned by {by}"
