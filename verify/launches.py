"""Step 6, launches: each session's entries against the grammar and against each other (design 2).

::

    intent, (hook.result | decision)*, start, decision*, outcome, (hook.result | decision)*, attestation
    intent, (hook.result | decision)*, outcome that says not started, (hook.result | decision)*, attestation
    the first of these with an outcome that says not started        (exec itself failed)
    intent, (hook.result | decision)*, start                       (a direct launch)
    any prefix of these, lost

Sessions interleave, so each open one has a state of its own; a closed one leaves its id. Memory: what is
asked of an open session's entries once more is kept for the newest few of them, and read again for others;
beside that an open session takes about a kilobyte, no matter how large its entries are.
"""

from __future__ import annotations

import functools
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from attest import canonical, canonical_in_bulk, entry, envelope, hashing
from attest.errors import MalformedError, NonoError
from attest.statement import LaunchEvidence
from attest.tree import TILE_WIDTH, hash_leaf
from verify.errors import NotCheckedError
from verify.growing_tree import GrowingTree
from verify.processes import is_running
from verify.requirements import Accepted, Watch
from verify.seen import Seen

if TYPE_CHECKING:
    from collections.abc import Iterable

    from attest.canonical import Json
    from attest.keys import PublicKey
    from verify.findings import Findings
    from verify.requirements import Required


class BodySource(Protocol):
    """Where an entry that was taken in before can be read again."""

    def body(self, index: int) -> bytes | None:
        """Return the bytes of the entry at ``index``, or None where there is none."""


class Beside(Protocol):
    """What lies beside entries."""

    def check(
        self, kind: str, data: dict[str, Json], index: int, session: str | None
    ) -> dict[str, bytes | None]:
        """Look up what an entry names; see :meth:`verify.blobs.BlobCheck.check`."""


class _Phase(Enum):
    ASKED = "before the start"
    STARTED = "after the start"
    ENDED = "after the outcome"


# Where each kind may stand; hook results are judged by which hook they are of as well.
_PLACES = {
    entry.HOOK_RESULT: {_Phase.ASKED, _Phase.ENDED},
    entry.START: {_Phase.ASKED},
    entry.OUTCOME: {_Phase.ASKED, _Phase.STARTED},
    entry.ATTESTATION: {_Phase.ENDED},
}


MAX_REMEMBERED = 64
"""Of how many open sessions it is kept what their entries said."""

# What stands before and behind the capability set of a start, and nowhere else in it.
_DATA = b'{"data":{"capabilities":'
_BEHIND_CAPABILITIES = b',"capabilities_sha256":"'

# Where a capability set states its network. In canonical JSON no text holds these bytes: it escapes quotes.
_NETWORK = b'"network":{'
_SOCKETS = b',"unix_sockets":'
_IPC = b'"ipc":"sysv",'
_MAX_NETWORK = 65_535  # what an entry could hold

# What is seen of execs, the stronger the higher.
_TRACING = {"none": 0, "trace": 1, "allow": 2}
_UNSEEN: dict[str, Json] = {"tracing": "none"}

_CLOSING = {entry.ATTESTATION, entry.LOST}
_NOTHING = Accepted()


class LaunchCounts:
    """How many launches ended how."""

    __slots__ = ("complete", "lost", "running", "unfinished")

    def __init__(self) -> None:
        self.complete = self.running = self.lost = self.unfinished = 0


class Caveats:
    """What was recorded and takes something away from what the record proves; each counts launches."""

    __slots__ = (
        "by_path",
        "cut",
        "direct",
        "execs",
        "execs_untold",
        "metadata",
        "stat_only",
        "survivors",
        "unchecked_image",
    )

    def __init__(self) -> None:
        self.by_path = self.cut = self.direct = self.execs = self.execs_untold = 0
        self.metadata = self.stat_only = self.survivors = self.unchecked_image = 0

    def named(self) -> list[str]:
        """Return the names of those that are not 0."""
        return [name for name in self.__slots__ if getattr(self, name)]

    def count(self, names: Iterable[str]) -> None:
        """Count one more for each of these."""
        for name in names:
            setattr(self, name, getattr(self, name) + 1)


class _Said:
    """What is asked of a session's entries once more: parts of the intent, and all that is stated."""

    __slots__ = (
        *("elevates", "evidence", "execs", "hooks", "ipc", "network", "outputs", "strategy", "unix_sockets"),
    )

    def __init__(self, intent: dict[str, Json]) -> None:
        self.evidence = LaunchEvidence()
        self.execs = _object(intent.get("execs", _UNSEEN))
        self.hooks = _object(intent["hooks"])
        self.outputs = intent["outputs"]
        self.strategy = intent["strategy"]
        self.network = _object(intent["network"])
        self.unix_sockets = _list(intent.get("unix_sockets", []))
        self.ipc = intent.get("ipc")
        self.elevates = "capability_elevation" in intent


class _Session:
    """One open session.

    ``broken`` is set with the first finding about its shape: what follows from that is not reported again.
    ``opaque`` is set with the first entry of a later version: it may be of any kind, so what the others say
    can only be judged one by one. ``refused`` is set when a required before-hook failed.
    """

    __slots__ = (
        "broken",
        "decisions",
        "hooks",
        "last",
        "next",
        "opaque",
        "phase",
        "refused",
        "said",
        "started",
        "stated",
        "tree",
    )

    def __init__(self, *stated: int) -> None:
        self.stated = stated
        """Where the entries stand that its statement is about: intent, start, outcome."""
        self.last = -1
        self.opaque = False
        self.refused = False
        self.said: _Said | None = None
        self.tree = GrowingTree()
        self.phase = _Phase.ASKED
        self.started = False
        self.next = 0
        self.decisions = 0
        self.hooks: frozenset[str] = frozenset()
        self.broken = False


def gives_file(verdict: str, what: str) -> bool:
    """Return whether such a decision gives the command a file that its grants do not."""
    return verdict == "granted" and what == "file"


class Launches:
    """The sessions of a ledger, fed with its entries in order.

    Attributes:
        counts: how the launches ended; complete only after :meth:`finish`.
        caveats: what the record itself says that it does not hold.
        origin: the ledger's origin, to be set once it is known; statements name it.
        attested: the leaf hashes of the attestations so far.
        watch: what is asked of the launches (part 8), or None when nothing is.
    """

    def __init__(
        self, source: BodySource, blobs: Beside, findings: Findings, required: Required | None = None
    ) -> None:
        self.watch = None if required is None else Watch(required, findings)
        self._accepted = _NOTHING if required is None else required.accepted
        self.counts = LaunchCounts()
        self.caveats = Caveats()
        self.origin: str | None = None
        self.attested = Seen()
        self._source = source
        self._blobs = blobs
        self._findings = findings
        self._open: dict[str, _Session] = {}
        self._remembered: dict[str, _Session] = {}
        self._closed = Seen()

    def add(
        self, index: int, document: dict[str, Any], leaf: bytes, key: PublicKey | None, body: bytes
    ) -> None:
        """Take in an entry of a session; it is of its schema, or of an unknown kind.

        Args:
            index: where it stands.
            document: the entry.
            leaf: its leaf hash.
            key: the key in force there, or None when that is not known.
            body: the entry's bytes.
        """
        name, kind = document["session"], document["kind"]
        if kind == entry.DECISION:
            gives = gives_file(document["data"]["verdict"], document["data"]["what"])
            self.add_decision(index, name, document["seq"], leaf, gives=gives)
            return
        session = self._open.get(name)
        if session is None:
            if kind not in entry.KINDS:
                return  # what it means outside of an open session, only a later version can say
            session = self._begin(index, name, kind)
            if session is None:
                return
        elif kind == entry.INTENT:
            self._report(session, "launch.order", "is a second intent of its session", index, name)
        if session.opaque and kind not in _CLOSING:
            return
        if document["seq"] != session.next:
            self._skips(session, index, name)
        session.next += 1
        if kind in _CLOSING:
            self._end(session, index, document, leaf, key)
            return
        session.tree.leaves.append(leaf)
        if len(session.tree.leaves) == TILE_WIDTH:
            session.tree.fold()
        session.last = index
        if kind in entry.KINDS:
            self._take(session, index, document, leaf, body)

    def add_decision(self, index: int, name: str, seq: int, leaf: bytes, *, gives: bool) -> None:
        """Take in a decision: what there is most of, and it may stand anywhere behind the intent.

        Args:
            index: where it stands.
            name: its session.
            seq: its number.
            leaf: its leaf hash.
            gives: whether it gives a file (:func:`gives_file`).
        """
        session = self._open.get(name)
        if session is None:
            self._begin(index, name, entry.DECISION)
            return
        if session.opaque:
            return
        if seq != session.next:
            self._skips(session, index, name)
        session.next += 1
        session.decisions += 1
        leaves = session.tree.leaves
        leaves.append(leaf)
        if len(leaves) == TILE_WIDTH:
            session.tree.fold()
        session.last = index
        if gives and not self._said(session, name).elevates:
            what = "gives a file, and nobody was to be asked about any"
            self._findings.add("launch.elevation", what, index, name)

    def add_decisions(self, indices: list[int], name: str, seqs: list[int], leaves: list[bytes]) -> None:
        """Take in decisions that give no file, between which nothing of their session stands.

        Args:
            indices: where they stand.
            name: their session.
            seqs: their numbers.
            leaves: their leaf hashes.
        """
        session = self._open.get(name)
        numbers = [] if session is None else list(range(session.next, session.next + len(seqs)))
        if session is None or session.opaque or seqs != numbers:
            for index, seq, leaf in zip(indices, seqs, leaves, strict=True):
                self.add_decision(index, name, seq, leaf, gives=False)
            return
        session.next += len(seqs)
        session.decisions += len(seqs)
        session.last = indices[-1]
        session.tree.add(leaves)

    def _skips(self, session: _Session, index: int, name: str) -> None:
        what = f"should be number {session.next} of its session"
        self._report(session, "launch.sequence", what, index, name)

    def has(self, name: str) -> bool:
        """Return whether an entry of this session was taken in."""
        return name in self._open or bytes.fromhex(name) in self._closed

    def add_settled(
        self, name: str, attestation: bytes | None, *, met: Iterable[int], caveats: Iterable[str]
    ) -> None:
        """Take in the end of a complete launch of which :mod:`verify.batch_check` found nothing.

        Args:
            name: the session, none of whose entries was taken in.
            attestation: the leaf hash of its attestation, if it has one.
            met: the numbers of the requirements that it meets.
            caveats: the names of the caveats that it counts for.
        """
        self.counts.complete += 1
        self.caveats.count(caveats)
        if attestation is not None:
            self.attested.add(attestation)
        if self.watch is not None:
            self.watch.settle(name, met)
        self._closed.add(bytes.fromhex(name))

    def add_later_version(self, name: str) -> None:
        """Take in an entry of a session that only a later version understands."""
        session = self._open.get(name)
        if session is None:
            if bytes.fromhex(name) in self._closed:
                return
            session = self._open[name] = _Session()
        session.opaque = session.broken = True

    def finish(self, *, allow_running: bool) -> None:
        """Report what has no end."""
        for name, session in self._open.items():
            if not session.stated:  # how it began, only a later version can say
                self.counts.unfinished += 1
                continue
            index = session.stated[0]
            intent, _ = self._read_again(index)
            if is_running(_object(intent.data["host"]), _object(intent.data["supervisor"])):
                self.counts.running += 1
                if allow_running:
                    continue  # what it will show is not to be had yet
                self._findings.add("launch.running", "began a launch that still runs", index, name)
            else:
                self.counts.unfinished += 1
                self.caveats.cut += session.phase is _Phase.STARTED
                self._without_end("launch.unfinished", "began a launch that has no end", index, name)
            if self.watch is not None:
                self.watch.close(index, name, attested=False, whole=False)
        if self.watch is not None:
            self.watch.finish()

    def _without_end(self, code: str, what: str, index: int, name: str) -> None:
        if name in self._accepted.lost:
            code, what = "launch.accepted", f"{what}, which the policy accepts"
        self._findings.add(code, what, index, name)

    # --- one session -----------------------------------------------------------------------------

    def _begin(self, index: int, name: str, kind: str) -> _Session | None:
        raw = bytes.fromhex(name)
        if raw in self._closed:
            self._findings.add("launch.reused", "belongs to a session that was closed before", index, name)
            return None
        if kind != entry.INTENT:
            self._findings.add("launch.intent", "belongs to a session without an intent", index, name)
            self._closed.add(raw)
            return None
        session = self._open[name] = _Session(index)
        return session

    def _said(self, session: _Session, name: str) -> _Said:
        """Return what the session's entries said so far."""
        said = session.said
        if said is not None:
            return said
        for index in session.stated:
            parsed, leaf = self._read_again(index)
            if said is None:
                said = _Said(parsed.data)
            said.evidence.state(index, parsed, leaf)
        assert said is not None
        self._remember(session, name, said)
        return said

    def _remember(self, session: _Session, name: str, said: _Said) -> None:
        if len(self._remembered) == MAX_REMEMBERED:
            oldest = next(iter(self._remembered))
            self._remembered.pop(oldest).said = None
        self._remembered[name] = session
        session.said = said

    def _read_again(self, index: int) -> tuple[entry.Entry, bytes]:
        """Return an entry that was taken in before, and its leaf hash."""
        body = self._source.body(index) or b""
        try:
            return entry.parse(body), hash_leaf(body)
        except MalformedError:  # it was read as an entry, so the file was changed under our hands
            raise NotCheckedError("the ledger changes while it is read", code="input.changing") from None

    def _take(
        self, session: _Session, index: int, document: dict[str, Any], leaf: bytes, body: bytes
    ) -> None:
        """Take in an intent, a hook's result, a start or an outcome."""
        name, kind, data = document["session"], document["kind"], document["data"]
        has_place = self._check_place(session, kind, index, name)
        if kind == entry.HOOK_RESULT:
            self._hook(session, index, name, data)
            return
        parsed = entry.Entry(kind, name, document["seq"], document["time"], data)
        if index == session.stated[0]:
            said = _Said(data)
            said.evidence.state(index, parsed, leaf)
            self._remember(session, name, said)
        elif has_place and kind != entry.INTENT:  # else there is one of it already
            self._said(session, name).evidence.state(index, parsed, leaf)
            session.stated = (*session.stated, index)
        if kind == entry.INTENT:
            self._intent(session, index, name, data)
        elif kind == entry.START:
            self._start(session, index, name, data, body)
        else:
            self._outcome(session, index, name, data)

    def _check_place(self, session: _Session, kind: str, index: int, name: str) -> bool:
        places = _PLACES.get(kind)
        if places is None or session.phase in places:
            return True
        self._report(session, "launch.order", f"cannot stand {session.phase.value}", index, name)
        return False

    def _end(
        self, session: _Session, index: int, document: dict[str, Any], leaf: bytes, key: PublicKey | None
    ) -> None:
        name = document["session"]
        if document["kind"] == entry.ATTESTATION:
            self._attested(session, index, name, document["data"], key)
            self.attested.add(leaf)
        else:
            self.counts.lost += 1
            self.caveats.cut += session.phase is _Phase.STARTED
            self._without_end("launch.lost", "says that its launch was lost", index, name)
            self._close(index, name)

    def _intent(self, session: _Session, index: int, name: str, data: dict[str, Json]) -> None:
        self._blobs.check(entry.INTENT, data, index, name)
        if data.get("outer_session") == name:
            self._report(session, "launch.nesting", "names itself as the launch around it", index, name)
        if data["strategy"] == "direct" and (data["outputs"] or "after" in _object(data["hooks"])):
            what = "is of a direct launch, and promises what only a supervisor can keep"
            self._report(session, "launch.direct", what, index, name)
        if self.watch is not None and session.stated[0] == index:
            self.watch.intent(index, name, data)

    def _start(self, session: _Session, index: int, name: str, data: dict[str, Json], body: bytes) -> None:
        session.phase = _Phase.STARTED
        session.started = True
        said = self._said(session, name)
        if "before" in said.hooks and "before" not in session.hooks:
            self._report(
                session, "launch.hook_missing", "starts without the before-hook's result", index, name
            )
        if session.refused:
            what = "starts although the before-hook failed, which was required"
            self._report(session, "launch.hook_failed", what, index, name)
        beside = self._blobs.check(entry.START, data, index, name)
        capabilities = beside["capabilities"] if "capabilities" in beside else _capabilities(body)
        if capabilities is not None and hashing.hexdigest(capabilities) != data["capabilities_sha256"]:
            self._findings.add("launch.capabilities", "has a capability set of another SHA-256", index, name)
        elif capabilities is not None:
            network, sockets, shares = _last_members(capabilities)
            if shares and said.ipc is None:
                what = "shares System V memory, semaphores and queues, which was not asked for"
                self._report(session, "launch.ipc", what, index, name)
            elif not _asked_for(said.unix_sockets, sockets):
                what = "has UNIX sockets that were not asked for"
                self._report(session, "launch.unix_sockets", what, index, name)
            elif not _covers(said.network, network):
                what = "has a wider network than was asked for"
                self._report(session, "launch.network", what, index, name)
            elif network is not None and network.get("mode") != "all" and not _holds_network(data):
                what = "has a network that is not open, and did not require that it is held to that"
                self._findings.add("launch.enforcement", what, index, name)
        self._enforcement(index, name, data)
        images = [data["executable"], *_list(data["interpreters"])]
        held = {image["held"] for image in images if isinstance(image, dict)}
        self.caveats.stat_only += "stat-only" in held
        self.caveats.by_path += "by-path" in held
        self._execs(session, index, name, data)
        if self.watch is not None:
            self.watch.start(index, name, data, beside.get("capabilities"))
        if said.strategy == "direct":
            self.counts.complete += 1
            self.caveats.direct += 1
            self._close(index, name)

    def _execs(self, session: _Session, index: int, name: str, data: dict[str, Json]) -> None:
        """Hold what is seen of execs against what was asked: no less is seen, and no more may run."""
        asked = self._said(session, name).execs
        found = _object(data.get("execs", _UNSEEN))
        if found is asked is _UNSEEN:
            return
        self.caveats.execs += found["tracing"] != "none"
        if _TRACING[str(found["tracing"])] < _TRACING[str(asked["tracing"])]:
            what = "sees or limits less of its execs than was asked for"
            self._report(session, "launch.execs", what, index, name)
        elif any(
            _object(rule)["asked"] not in _list(asked.get("allow", []))
            for rule in _list(found.get("allow", []))
        ):
            what = "allows programs that were not asked for"
            self._report(session, "launch.execs", what, index, name)

    def _enforcement(self, index: int, name: str, data: dict[str, Json]) -> None:
        enforcement = data["enforcement"]
        assert isinstance(enforcement, dict)
        required, achieved = enforcement["required"], enforcement["achieved"]
        assert isinstance(required, dict)
        assert isinstance(achieved, dict)
        waived = _list(enforcement["waived"])
        for feature, is_required in required.items():
            if is_required and not achieved[feature] and feature not in waived:
                self._findings.add(
                    "launch.enforcement", f"starts without {feature}, which was required", index, name
                )
        self.caveats.metadata += not achieved["metadata"]
        if not waived:
            return
        lacking = sorted(str(feature) for feature in waived if not achieved[str(feature)])
        if lacking:
            what = f"starts without {', '.join(lacking)}, by an override"
            if self._accepted.waived.issuperset(lacking):
                self._findings.add("launch.accepted", f"{what}, which the policy accepts", index, name)
            else:
                self._findings.add("launch.degraded", what, index, name)
        needless = sorted(str(feature) for feature in waived if achieved[str(feature)])
        if needless:
            self._findings.add("launch.waived", f"waives {', '.join(needless)}, and has it", index, name)

    def _outcome(self, session: _Session, index: int, name: str, data: dict[str, Json]) -> None:
        session.phase = _Phase.ENDED
        ran = "not_started" not in data  # a start says that all was ready; exec can still fail
        if ran and not session.started:
            self._report(session, "launch.outcome", "ends a launch that did not start", index, name)
        declared = self._said(session, name).outputs
        outputs = [output for output in _list(data["outputs"]) if isinstance(output, dict)]
        reported: list[Json] = [output["path"] for output in outputs]
        if reported != declared and (session.started or reported):
            self._report(session, "launch.outputs", "reports other outputs than were declared", index, name)
        if not ran and any("sha256" in output for output in outputs):
            self._report(
                session, "launch.outcome", "has hashes of what a command made that never ran", index, name
            )
        if _has_two_digests(outputs):
            self._findings.add("launch.output_digests", "has two digests of one output", index, name)
        unhashed = sum("unhashed" in output for output in outputs)
        if unhashed and ran:
            named = f"{unhashed} declared output{'s' * (unhashed > 1)}"
            self._findings.add("launch.unhashed", f"names {named} without a hash", index, name)
        counts = data["counts"]
        assert isinstance(counts, dict)
        if counts["decisions"] != session.decisions:
            self._report(
                session,
                "launch.counts",
                f"counts other decisions than the {session.decisions} above",
                index,
                name,
            )
        image = data.get("executed_image")
        if image == "different":
            self._findings.add("launch.image", "says that another program ran than was hashed", index, name)
        self.caveats.unchecked_image += image == "unchecked"
        untold = counts.get("execs_untold", 0)
        self.caveats.execs_untold += isinstance(untold, int) and untold > 0
        left = counts["survivors_left"]
        self.caveats.survivors += isinstance(left, int) and left > 0
        if self.watch is not None:
            self.watch.outcome(index, name, data)

    def _hook(self, session: _Session, index: int, name: str, data: dict[str, Any]) -> None:
        hook, hooks = data["hook"], self._said(session, name).hooks
        right_phase = _Phase.ASKED if hook == "before" else _Phase.ENDED
        if hook not in hooks:
            self._report(
                session, "launch.hook", f"is of a hook ({hook}) that the intent does not name", index, name
            )
        elif hook in session.hooks:
            self._report(session, "launch.hook", f"is a second result of the {hook}-hook", index, name)
        elif session.phase is not right_phase:
            self._report(session, "launch.hook", f"is of the {hook}-hook, {session.phase.value}", index, name)
        elif hook == "before" and (data["timed_out"] or data.get("exit") != 0):
            session.refused = bool(_object(hooks[hook])["required"])
        session.hooks |= {hook}
        if self.watch is not None:
            self.watch.hook(index, name, data)

    def _attested(
        self, session: _Session, index: int, name: str, data: dict[str, Json], key: PublicKey | None
    ) -> None:
        self._check_place(session, entry.ATTESTATION, index, name)
        owes_hook = session.started and not session.opaque and "after" not in session.hooks
        if owes_hook and "after" in self._said(session, name).hooks:
            what = "closes without the after-hook's result"
            self._report(session, "launch.hook_missing", what, index, name)
        self._check_statement(session, index, name, data, key)
        self.counts.complete += 1
        self._close(index, name, attested=True, whole=not session.broken)

    def _check_statement(
        self, session: _Session, index: int, name: str, data: dict[str, Json], key: PublicKey | None
    ) -> None:
        if key is None or self.origin is None:
            return  # the genesis entry is broken, which was reported
        stated = None
        if session.phase is _Phase.ENDED and not session.broken:
            evidence = self._said(session, name).evidence
            stated = canonical_in_bulk.encode(
                evidence.statement_over(self.origin, session.last, session.tree.size, session.tree.root())
            )
        try:
            payload = envelope.verify(data, key, stated)
        except NonoError as error:
            self._findings.add(
                "launch.signature", f"has an attestation that does not hold: {error}", index, name
            )
            return
        # Without one there is nothing, or more than one thing, that could be stated; it was reported.
        if stated is not None and payload != stated:
            self._findings.add("launch.statement", "states something else than the entries do", index, name)

    def _close(self, index: int, name: str, *, attested: bool = False, whole: bool = True) -> None:
        if self.watch is not None:
            self.watch.close(index, name, attested=attested, whole=whole)
        del self._open[name]
        self._remembered.pop(name, None)
        self._closed.add(bytes.fromhex(name))

    def _report(self, session: _Session, code: str, what: str, index: int, name: str) -> None:
        if not session.broken:
            session.broken = True
            self._findings.add(code, what, index, name)


def _has_two_digests(outputs: list[dict[str, Json]]) -> bool:
    stated = {(str(output["path"]), output["sha256"]) for output in outputs if "sha256" in output}
    return len(stated) != len({path for path, _ in stated})


def _capabilities(start: bytes) -> bytes:
    """Return the bytes of the capability set that stands in a start, which is of its schema.

    They are its canonical form already: members are sorted, so it is the first of the first, no text holds a
    quotation mark that is not escaped, and nothing in the set has a member of the next one's name.
    """
    return start[len(_DATA) : start.rindex(_BEHIND_CAPABILITIES)]


def _last_members(capabilities: bytes) -> tuple[dict[str, Json] | None, list[Json] | None, bool]:
    """Return network and UNIX sockets of a capability set, its last members, and whether it has System V.

    None for what cannot be read.

    A set that lies beside its entry can be too large to be parsed as a whole.
    """
    at = capabilities.rfind(_NETWORK)
    if at < 0:
        return None, [], False
    shares = capabilities.endswith(_IPC, 0, at)
    if len(capabilities) - at > 2 * _MAX_NETWORK:
        return None, None, shares
    network, stated, sockets = capabilities[at + len(_NETWORK) - 1 :].partition(_SOCKETS)
    if not stated:
        return _decoded(network[:-1]), [], shares
    found = _decoded(b"{" + _SOCKETS[1:] + sockets)
    granted = None if found is None else found["unix_sockets"]
    return _decoded(network), granted if isinstance(granted, list) else None, shares


def _asked_for(asked: list[Json], granted: list[Json] | None) -> bool:
    """Return whether each grant on UNIX sockets is one that was asked for; its path alone is new."""
    if not granted:
        return granted is not None
    # What lies beside an entry need not have the form of its schema.
    stated = [each if isinstance(each, dict) else {} for each in granted]
    return all({name: said for name, said in each.items() if name != "path"} in asked for each in stated)


@functools.lru_cache(maxsize=8)  # the launches of a ledger are much alike
def _decoded(network: bytes) -> dict[str, Json] | None:
    try:
        return canonical.decode_object(network)
    except MalformedError:
        return None


def _holds_network(start: dict[str, Json]) -> bool:
    enforcement = _object(start["enforcement"])
    return bool(_object(enforcement["required"])["network"]) or "network" in _list(enforcement["waived"])


def _covers(asked: dict[str, Json], granted: dict[str, Json] | None) -> bool:
    """Return whether a network that was granted is no wider than what was asked for."""
    if asked["mode"] == "all":
        return True
    if granted is None:
        return False
    if granted.get("mode") == "blocked":
        return True
    if asked["mode"] == "blocked" or granted.get("mode") != "ports":
        return False
    anywhere = _ports(asked, "listen")
    return (
        _ports(granted, "connect") <= _ports(asked, "connect")
        and _ports(granted, "listen") <= anywhere
        and _ports(granted, "listen_loopback") <= anywhere | _ports(asked, "listen_loopback")
    )


def _ports(network: dict[str, Json], member: str) -> frozenset[str]:
    """Return the ports as text: what lies beside an entry need not have the form of its schema."""
    found = network.get(member)
    return frozenset(map(str, found if isinstance(found, list) else ["none"]))


def _object(value: Json) -> dict[str, Json]:
    assert isinstance(value, dict)
    return value


def _list(value: Json) -> list[Json]:
    assert isinstance(value, list)
    return value
