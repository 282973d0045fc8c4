"""Which entries of a ledger a page carries: the newest launches that are asked for, within bounds.

Bounds on everything that a ledger can have any number of: launches, bytes and entries in all, entries of one
launch, handovers. A first pass over the entries chooses the launches (:class:`Chosen`), a second one the
entries (:class:`Choice`); what they remember depends on the bounds alone.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attest import entry
from verify.report.subtrees import Gap

if TYPE_CHECKING:
    from attest.canonical import Json
    from verify.report.subtrees import Subtree

MAX_LAUNCHES = 100_000
"""More than that no page can be asked to carry."""

ENTRY_COST = 512
"""What an entry costs beside its bytes: its frame, its share of the proof, and what a browser makes of it."""

MAX_ENTRY_BYTES = 256 << 20
"""How much the entries of a page may cost: it is read as a whole into a browser's memory."""

MAX_LAUNCH_BYTES = 16 << 20
"""How much the entries of one launch may cost: of one with more, half of it from each end is carried."""

MAX_HANDOVERS = 10_000
"""How many handovers a page carries: the first ones, for each rests on those before it."""

MAX_HANDOVER_BYTES = 64 << 20
"""What handovers may cost; so many are never dearer where the entries are of their schemas."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which launches a page is to carry.

    Attributes:
        limit: at most so many, the newest.
        since: only those whose intent is not older than this instant (as entries write it), or None.
        until: only those whose intent is older than this instant, or None.
        session: only this one, or None.
    """

    limit: int
    since: str | None = None
    until: str | None = None
    session: str | None = None

    def take(self, session: str, time: str) -> bool:
        """Return whether a launch with that intent is asked for, as far as its number does not matter."""
        return (
            (self.session is None or session == self.session)
            and (self.since is None or time >= self.since)
            and (self.until is None or time < self.until)
        )

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {"limit": self.limit, "since": self.since, "until": self.until, "session": self.session}


@dataclass(frozen=True, slots=True)
class Shortened:
    """A launch of which a page carries the first entries and the last ones.

    Attributes:
        session: its id.
        left_out: how many of its entries are not carried.
        subtrees: the perfect subtrees over these, in the tree over the launch's own entries.
    """

    session: str
    left_out: int
    subtrees: list[Subtree]


class _Handovers:
    """Which handovers are carried: as many of the first ones as the bounds leave room for."""

    def __init__(self) -> None:
        self.taken = 0
        self.left_out = 0
        self._cost = 0

    def take(self, cost: int) -> bool:
        self._cost += cost
        if self.left_out or self.taken == MAX_HANDOVERS or self._cost > MAX_HANDOVER_BYTES:
            self.left_out += 1
            return False
        self.taken += 1
        return True


class Chosen:
    """The launches that are carried, with what their entries cost."""

    def __init__(self) -> None:
        self.sessions: OrderedDict[str, int] = OrderedDict()
        self.launches = 0
        self.asked = 0
        self._handovers = _Handovers()
        self._seen = 0
        self._carried = 0

    def see(self, document: dict[str, Json], length: int, bounds: Bounds) -> None:
        """Take an entry into account."""
        cost = length + ENTRY_COST
        self._seen += cost
        kind, session = document.get("kind"), document.get("session")
        if kind == entry.KEY and session is None and self._handovers.take(cost):
            self._carried += cost
        if not isinstance(session, str):
            return
        time = document.get("time")
        if kind == entry.INTENT:
            self.launches += 1
            if isinstance(time, str) and bounds.take(session, time):
                self._open(session, bounds.limit)
        if session in self.sessions:
            self._count(session, cost)

    def is_all(self) -> bool:
        """Return whether that is every entry, and all of them have room."""
        return (
            self.launches == len(self.sessions)
            and self._seen <= MAX_ENTRY_BYTES
            and not self._handovers.left_out
            and all(cost <= MAX_LAUNCH_BYTES for cost in self.sessions.values())
        )

    def _open(self, session: str, limit: int) -> None:
        self.asked += 1
        self.sessions.setdefault(session, 0)
        while len(self.sessions) > limit:
            self._drop()

    def _count(self, session: str, cost: int) -> None:
        before = self.sessions[session]
        self.sessions[session] = before + cost
        self._carried += min(before + cost, MAX_LAUNCH_BYTES) - min(before, MAX_LAUNCH_BYTES)
        while self._carried > MAX_ENTRY_BYTES and len(self.sessions) > 1:
            self._drop()

    def _drop(self) -> None:
        _, cost = self.sessions.popitem(last=False)
        self._carried -= min(cost, MAX_LAUNCH_BYTES)


class _Session:
    """How far the entries of a launch have come, and what of them is left out."""

    def __init__(self) -> None:
        self.cost = 0
        self.entries = 0
        self.left_out = 0
        self.gap = Gap()
        self.subtrees: list[Subtree] = []


class Choice:
    """Which entries are carried, one after the other."""

    def __init__(self, chosen: Chosen, *, whole: bool) -> None:
        self.handovers = _Handovers()
        self._sessions = chosen.sessions
        self._whole = whole
        self._cost = 0
        self._begun: dict[str, _Session] = {}

    def take(self, document: dict[str, Json], length: int, leaf: bytes) -> bool:
        """Return whether an entry is carried, which has this leaf hash."""
        cost = length + ENTRY_COST
        taken = self._belongs(document, cost, leaf)
        if taken:
            self._cost += cost
        return taken

    def shortened(self) -> list[Shortened]:
        """Return the launches of which something was left out."""
        return [
            Shortened(session, begun.left_out, begun.subtrees + begun.gap.close())
            for session, begun in self._begun.items()
            if begun.left_out
        ]

    def _belongs(self, document: dict[str, Json], cost: int, leaf: bytes) -> bool:
        kind, session = document.get("kind"), document.get("session")
        if kind == entry.KEY and session is None:
            return self.handovers.take(cost)
        if self._whole:
            return True
        if session is None:
            return kind == entry.GENESIS
        total = self._sessions.get(session) if isinstance(session, str) else None
        # An entry before the intent, which a ledger that holds has not, was not counted.
        if total is None or (session not in self._begun and kind != entry.INTENT):
            return False
        begun = self._begun.setdefault(str(session), _Session())
        begun.entries += 1
        begun.cost += cost
        half = MAX_LAUNCH_BYTES // 2
        at_an_end = begun.cost <= half or total - (begun.cost - cost) <= half
        # The second holds by the choice, unless the ledger does not hold: then intents can come twice.
        if (total <= MAX_LAUNCH_BYTES or at_an_end) and self._cost + cost <= MAX_ENTRY_BYTES:
            begun.subtrees += begun.gap.close()
            return True
        begun.left_out += 1
        begun.gap.add(begun.entries - 1, leaf)
        return False
