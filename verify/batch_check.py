"""What can be said of a batch of entries by itself, so that it can be said on another core.

Only one thing is ever said: that there is nothing to say. Entries of launches that begin and end within the
batch, and of which the replay's own machine finds nothing, are *settled*; so are decisions, as far as their
form goes. Everything else is left to the replay, which takes it in as it would have without this: launches
that reach beyond the batch, those of which anything is to be found, those with a value beside the entry, and
what belongs to no launch. A batch with an entry that has not its form, a handover or a time that goes back
is left to it as a whole. So every finding is made in one place and in the order of the entries.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from attest import entry
from attest.blob import is_reference
from attest.fast_json import orjson
from attest.named_tuples import NamedTuple
from attest.tree import HASH_BYTES, hash_leaf
from verify.findings import Findings
from verify.launches import Launches, gives_file

if TYPE_CHECKING:
    from attest.canonical import Json
    from attest.keys import PublicKey
    from verify.batch import Batch
    from verify.forms import Forms
    from verify.requirements import Required


_FOR_THE_REPLAY = {entry.GENESIS, entry.KEY}


class Terms(NamedTuple):
    """What holds where a batch stands, as far as that is known when it is checked.

    Attributes:
        origin: the ledger's origin.
        key: the key in force.
    """

    origin: str
    key: PublicKey


class Settled(NamedTuple):
    """A launch of which nothing is left to say.

    Attributes:
        at: where in the batch the entry stands that closes it.
        session: its id.
        attested: whether that entry is an attestation.
        met: the numbers of the requirements that it meets.
        caveats: the names of the :class:`verify.launches.Caveats` that it counts for.
    """

    at: int
    session: str
    attested: bool
    met: list[int]
    caveats: list[str]


@dataclass(slots=True)
class BatchCheck:
    """What was said of a batch.

    Attributes:
        leaves: the leaf hash of each entry.
        is_sound: every entry has its form, none is a genesis or a handover, and no time goes back; else
            nothing beside ``leaves`` counts.
        first_time: the time of the first entry.
        last_time: the time of the last one.
        settled: the launches of which nothing is left to say.
        decisions: position, session and number of the decisions of other launches that give no file.
        left: the positions of all other entries.
    """

    leaves: list[bytes]
    is_sound: bool = True
    first_time: str = ""
    last_time: str = ""
    settled: list[Settled] = field(default_factory=list)
    decisions: list[tuple[int, str, int]] = field(default_factory=list)
    left: list[int] = field(default_factory=list)

    def encode(self) -> tuple[bytes, bytes]:
        """Return the leaf hashes, and the rest as JSON."""
        settled = [tuple(each) for each in self.settled]
        rest = [self.is_sound, self.first_time, self.last_time, settled, self.decisions, self.left]
        return b"".join(self.leaves), orjson.dumps(rest)

    @classmethod
    def decode(cls, leaves: bytes, rest: bytes) -> BatchCheck:
        """Return what was encoded."""
        is_sound, first_time, last_time, settled, decisions, left = orjson.loads(rest)
        return cls(
            [leaves[at : at + HASH_BYTES] for at in range(0, len(leaves), HASH_BYTES)],
            is_sound,
            first_time,
            last_time,
            [Settled(*each) for each in settled],
            decisions,
            left,
        )


def check_batch(batch: Batch, terms: Terms, forms: Forms, required: Required | None) -> BatchCheck:
    """Check a batch by itself.

    Args:
        batch: the entries.
        terms: what holds where it stands.
        forms: the forms of entries.
        required: what is asked of launches.
    """
    check = BatchCheck(list(map(hash_leaf, batch.bodies)))
    launches: dict[str, _Launch] = {}
    alone = _Alone(batch)
    for at, body in enumerate(batch.bodies):
        document = forms.read(body) if len(body) <= entry.MAX_BYTES else None
        if document is None or document["time"] < check.last_time or document["kind"] in _FOR_THE_REPLAY:
            check.is_sound = False
            return check
        check.last_time = document["time"]
        check.first_time = check.first_time or check.last_time
        session = document["session"]
        if session is None:
            check.left.append(at)
            continue
        launch = launches.get(session)
        if launch is None:
            launch = launches[session] = _Launch()
            if document["kind"] == entry.INTENT:
                launch.begin(alone, terms.origin, required)
        launch.add(at, batch.first + at, document, check.leaves[at], terms.key)
    for session, launch in launches.items():
        settled = launch.settled(session)
        if settled is None:
            check.decisions += [(at, session, seq) for at, seq in launch.decisions]
            check.left += launch.others
        else:
            check.settled.append(settled)
    return check


class _Launch:
    """The entries of one session in a batch, and a machine for it alone until anything is found.

    Attributes:
        decisions: position and number of its decisions.
        others: the positions of its other entries.
    """

    __slots__ = ("_findings", "_is_attested", "_machine", "decisions", "others")

    def __init__(self) -> None:
        self.decisions: list[tuple[int, int]] = []
        self.others: list[int] = []
        self._is_attested = False
        self._findings = Findings()
        self._machine: Launches | None = None

    def begin(self, alone: _Alone, origin: str, required: Required | None) -> None:
        """Begin with an intent; without one, all is left to the replay."""
        self._machine = Launches(alone, alone, self._findings, required)
        self._machine.origin = origin

    def add(self, at: int, index: int, document: dict[str, Any], leaf: bytes, key: PublicKey) -> None:
        """Take in an entry: its position, its index, and as :meth:`verify.launches.Launches.add` has it."""
        kind = document["kind"]
        if kind == entry.DECISION and not gives_file(document):
            self.decisions.append((at, document["seq"]))
        else:
            self.others.append(at)
            self._is_attested = kind == entry.ATTESTATION
        machine = self._machine
        if machine is None:
            return
        try:
            machine.add(index, document, leaf, key)
        except _BesideError:
            self._machine = None
        if self._findings.codes:
            self._machine = None

    def settled(self, session: str) -> Settled | None:
        """Return the launch as settled, or None when the replay must see it."""
        machine = self._machine
        if machine is None or not machine.counts.complete:
            return None
        met = () if machine.watch is None else machine.watch.met()
        return Settled(
            self.others[-1],
            session,
            self._is_attested,
            [number for number, (_, by) in enumerate(met) if by is not None],
            machine.caveats.named(),
        )


class _BesideError(Exception):
    """A launch has a value beside the ledger's entries, which is not at hand here."""


class _Alone:
    """A batch in place of a ledger: its entries can be read again, and nothing lies beside them."""

    def __init__(self, batch: Batch) -> None:
        self.first = batch.first
        self._bodies = batch.bodies

    def body(self, index: int) -> bytes | None:
        """Return the body of one entry."""
        return self._bodies[index - self.first]

    def check(
        self, kind: str, data: dict[str, Json], _index: int, _session: str | None
    ) -> dict[str, bytes | None]:
        """Return nothing: no value lies beside.

        Raises:
            _BesideError: one does.
        """
        if any(is_reference(data[name]) for name in entry.BLOB_FIELDS[kind]):
            raise _BesideError
        return {}
