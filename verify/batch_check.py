"""What can be said of a batch of entries by itself, so that it can be said on another core.

Only one thing is ever said: that there is nothing to say. Entries of launches that begin and end within the
batch, and of which the replay's own machine finds nothing, are *settled*; so are decisions, as far as their
form goes. Everything else is left to the replay, which takes it in as it would have without this: launches
that reach beyond the batch, those of which anything is to be found, those with a value beside the entry, and
what belongs to no launch. A batch with an entry that has not its form, a handover or a time that goes back
is left to it as a whole. So every finding is made in one place and in the order of the entries.
"""

from __future__ import annotations

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
    from verify.plain_decisions import PlainDecisions
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


class BatchCheck:
    """What was said of a batch: to begin with, nothing.

    Args:
        leaves: the leaf hash of each entry.

    Attributes:
        leaves: as above.
        is_sound: every entry has its form, none is a genesis or a handover, and no time goes back; else
            nothing beside ``leaves`` counts.
        first_time: the time of the first entry.
        last_time: the time of the last one.
        settled: the launches of which nothing is left to say.
        decisions: position, session and number of the decisions of other launches that give no file.
        left: the positions of all other entries.
    """

    __slots__ = ("decisions", "first_time", "is_sound", "last_time", "leaves", "left", "settled")

    def __init__(self, leaves: list[bytes]) -> None:
        self.leaves = leaves
        self.is_sound = True
        self.first_time = self.last_time = ""
        self.settled: list[Settled] = []
        self.decisions: list[tuple[int, str, int]] = []
        self.left: list[int] = []

    def encode(self) -> tuple[bytes, bytes]:
        """Return the leaf hashes, and the rest as JSON."""
        settled = [tuple(each) for each in self.settled]
        rest = [self.is_sound, self.first_time, self.last_time, settled, self.decisions, self.left]
        return b"".join(self.leaves), orjson.dumps(rest)

    @classmethod
    def decode(cls, leaves: bytes, rest: bytes) -> BatchCheck:
        """Return what was encoded."""
        check = cls([leaves[at : at + HASH_BYTES] for at in range(0, len(leaves), HASH_BYTES)])
        check.is_sound, check.first_time, check.last_time, settled, check.decisions, check.left = (
            orjson.loads(rest)
        )
        check.settled = [Settled(*each) for each in settled]
        return check


def check_batch(
    batch: Batch, terms: Terms, forms: Forms, plain: PlainDecisions, required: Required | None
) -> BatchCheck:
    """Check a batch by itself.

    Args:
        batch: the entries.
        terms: what holds where it stands.
        forms: the forms of entries.
        plain: the plain form of decisions.
        required: what is asked of launches.
    """
    check = BatchCheck(list(map(hash_leaf, batch.bodies)))
    if max(map(len, batch.bodies)) > entry.MAX_BYTES:
        check.is_sound = False
        return check
    launches: dict[str, _Launch] = {}
    alone = _Alone(batch)
    time = ""
    for at, body in enumerate(batch.bodies):
        decision = plain.read(body, launches)
        if decision is not None and not gives_file(decision.data.verdict, decision.data.what):
            moment = plain.time_of(body)
            if moment < time:
                check.is_sound = False
                return check
            time = moment
            launch = launches[decision.session]
            launch.decisions.append(at)
            launch.seqs.append(decision.seq)
            continue
        document = forms.read(body)
        if document is None or document["time"] < time or document["kind"] in _FOR_THE_REPLAY:
            check.is_sound = False
            return check
        time, kind, session = document["time"], document["kind"], document["session"]
        check.first_time = check.first_time or time
        if session is None:
            check.left.append(at)
            continue
        if session not in launches:
            launches[session] = _Launch(session, batch.first, check.leaves)
            if kind == entry.INTENT:
                launches[session].begin(alone, terms.origin, required)
        launch, data = launches[session], document["data"]
        if kind == entry.DECISION and not gives_file(data["verdict"], data["what"]):
            launch.decisions.append(at)
            launch.seqs.append(document["seq"])
        else:
            launch.add(at, document, terms.key, body)
    check.last_time = time
    for launch in launches.values():
        settled = launch.settled()
        if settled is None:
            check.decisions += [
                (at, launch.session, seq) for at, seq in zip(launch.decisions, launch.seqs, strict=True)
            ]
            check.left += launch.others
        else:
            check.settled.append(settled)
    return check


class _Launch:
    """The entries of one session in a batch, and a machine for it alone until anything is found.

    Args:
        session: its id.
        first: the index of the batch's first entry.
        leaves: the leaf hashes of the batch.

    Attributes:
        session: as above.
        decisions: the positions of its decisions that give no file; whoever takes one in adds to it.
        seqs: their numbers.
        others: the positions of its other entries.
    """

    __slots__ = (
        *("_findings", "_first", "_is_attested", "_leaves", "_machine", "_taken"),
        *("decisions", "others", "seqs", "session"),
    )

    def __init__(self, session: str, first: int, leaves: list[bytes]) -> None:
        self.session = session
        self.decisions: list[int] = []
        self.seqs: list[int] = []
        self.others: list[int] = []
        self._first = first
        self._leaves = leaves
        self._taken = 0  # how many of the decisions the machine has
        self._is_attested = False
        self._findings = Findings()
        self._machine: Launches | None = None

    def begin(self, alone: _Alone, origin: str, required: Required | None) -> None:
        """Begin with an intent; without one, all is left to the replay."""
        self._machine = Launches(alone, alone, self._findings, required)
        self._machine.origin = origin

    def add(self, at: int, document: dict[str, Any], key: PublicKey, body: bytes) -> None:
        """Take in an entry that is no such decision.

        Args:
            at: its position.
            document: as :meth:`verify.launches.Launches.add` has it.
            key: likewise.
            body: likewise.
        """
        self.others.append(at)
        self._is_attested = document["kind"] == entry.ATTESTATION
        self._take_decisions()
        if self._machine is None:
            return
        try:
            self._machine.add(self._first + at, document, self._leaves[at], key, body)
        except _BesideError:
            self._machine = None
        if self._findings.codes:
            self._machine = None

    def _take_decisions(self) -> None:
        """Let the machine have the decisions that came since its last entry."""
        new = self.decisions[self._taken :]
        if self._machine is None or not new:
            return
        indices, leaves = [self._first + at for at in new], [self._leaves[at] for at in new]
        self._machine.add_decisions(indices, self.session, self.seqs[self._taken :], leaves)
        self._taken = len(self.decisions)
        if self._findings.codes:
            self._machine = None

    def settled(self) -> Settled | None:
        """Return the launch as settled, or None when the replay must see it."""
        self._take_decisions()
        machine = self._machine
        if machine is None or not machine.counts.complete:
            return None
        met = () if machine.watch is None else machine.watch.met()
        return Settled(
            self.others[-1],
            self.session,
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
