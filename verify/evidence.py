"""From the evidence of one launch and what is pinned to a verdict; no ledger is at hand.

1. **Form.** Lines in their one form (:mod:`attest.evidence`): the head; the genesis entry; handovers and the
   entries of one launch, in the order of the ledger; below each entry what lay beside it.
2. **Inclusion.** Each entry's exact bytes, at its index, lead to the root of that one head.
3. **Entries, keys and the launch,** as in a ledger (:mod:`verify.entry_replay`): form and schema, times that
   never go back, the origin recomputed, handovers, the grammar of the session, its statement, its blobs.
4. **Handovers.** The checkpoint kept behind each is signed by the old and the new key, and the head continues
   it: so what the old key signed is this very handover.
5. **Head.** Signed by the key in force at its size, which only the genesis entry and every handover give. One
   that was left out leaves another key in force, and the signature does not hold.
6. **Pins,** as in a ledger: met by the genesis key, or by a key that itself signed the head.

A session's entries are numbered from 0, and its statement covers their number and their root: nothing of an
attested launch can be left out. Of one without a statement the end can be, and the verdict says so.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, BinaryIO

from attest import canonical, checkpoint, evidence, note, proof, tree
from attest import entry as entries
from attest.errors import MalformedError, ProofError
from attest.evidence import Head, ProvenEntry, Withheld
from verify import caveats, pinning
from verify.entry_replay import EntryReplay, is_session_id
from verify.errors import NotCheckedError
from verify.evidence_verdict import EvidenceVerdict, LaunchReport
from verify.findings import MAX_FINDINGS, Findings, Severity
from verify.verdict import Caveat

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from attest.blob import Blob
    from attest.canonical import Json
    from attest.checkpoint import Checkpoint
    from verify.epochs import Trusted
    from verify.launches import LaunchCounts
    from verify.pins import Pin


def verify_evidence(
    file: BinaryIO, *, pins: Sequence[Pin] = (), origin: str | None = None
) -> EvidenceVerdict:
    """Check the evidence of one launch.

    Args:
        file: the evidence, read once from where it stands; however long it is, only the blobs of one entry
            are in memory.
        pins: the keys that are trusted; one of them must be the ledger's.
        origin: the origin that the ledger must have; pinning it pins its genesis key.

    Returns:
        The verdict; its ``exit`` is never 2.

    Raises:
        NotCheckedError: it cannot be read, or is no evidence of this version (exit 2).
    """
    return _Check().run(file, pins, origin)


class _Carried:
    """What the file carries for the entry that is looked at; the source of :class:`EntryReplay`."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, Blob] = {}
        self.first: tuple[int, bytes] | None = None

    def body(self, index: int) -> bytes | None:
        """Return the session's first entry: there is no other session, so no other is asked for again."""
        return self.first[1] if self.first is not None and self.first[0] == index else None

    def blob(self, digest: bytes) -> tuple[object, object] | None:
        return self.blobs.get(digest)

    def blob_digests(self) -> Iterable[object]:
        return list(self.blobs)


class _Check:
    def __init__(self) -> None:
        self._findings = Findings()
        self._carried = _Carried()
        self._replay = EntryReplay(self._carried, self._findings, lambda _index, _data: None)
        self._head: Checkpoint | None = None
        self._note = b""
        self._index = -1
        self._waiting: ProvenEntry | None = None
        self._wanted: list[bytes] = []
        self._session: str | None = None
        self._last = -1
        self._count = 0
        self._seen = 0
        self._attestation: dict[str, Json] | None = None

    def run(self, file: BinaryIO, pins: Sequence[Pin], origin: str | None) -> EvidenceVerdict:
        try:
            for line in evidence.read(file):
                self._1_line(line)
                if self._findings.counts[Severity.TAMPERED] > MAX_FINDINGS:
                    break  # no more would be listed, and what hostile lines leave in memory is bounded
            else:
                self._finish()
        except MalformedError as error:
            if error.code in {"form.not_evidence", "form.other_version"}:
                raise _not_ours(error) from None
            self._findings.add("evidence.form", f"the evidence is malformed: {error}")
        except OSError as error:
            raise NotCheckedError(f"the evidence cannot be read: {error.strerror}") from None
        return self._6_verdict(pins, origin)

    def _finish(self) -> None:
        self._1_end()
        self._replay.launches.finish(allow_running=False)
        self._5_head()

    # --- 1 Form ----------------------------------------------------------------------------------

    def _1_line(self, line: evidence.Line) -> None:
        if isinstance(line, Head):
            self._note = line.note
            self._head = checkpoint.parse_text(note.parse(line.note).text)
        elif isinstance(line, ProvenEntry):
            self._take_waiting()
            self._waiting, self._wanted = line, _references(line.body)
        elif not self._wanted:
            raise MalformedError("something lies beside an entry that does not name it")
        elif isinstance(line, Withheld):
            if line.digest != self._wanted.pop(0):
                raise MalformedError("another blob is withheld than the one that the entry names")
        else:
            self._carried.blobs[self._wanted.pop(0)] = line

    def _1_end(self) -> None:
        self._take_waiting()
        if not self._count:
            raise MalformedError("there is no launch in it")

    def _take_waiting(self) -> None:
        """Judge the entry whose blobs have all been read."""
        line, self._waiting = self._waiting, None
        if line is None:
            return
        if self._wanted:
            raise MalformedError(f"what lies beside entry {line.index} is neither there nor withheld")
        if self._index < 0 and line.index:
            raise MalformedError("the first entry is not that of the ledger")
        if line.index <= self._index:
            raise MalformedError(f"entry {line.index} comes after entry {self._index}")
        self._index = line.index
        self._seen += 1
        self._2_inclusion(line)
        self._carried.blobs.clear()

    # --- 2 Inclusion, 3 Entries ------------------------------------------------------------------

    def _2_inclusion(self, line: ProvenEntry) -> None:
        assert self._head is not None
        leaf = tree.hash_leaf(line.body)
        try:
            proof.check_inclusion(leaf, line.index, self._head, line.inclusion)
        except ProofError as error:
            self._findings.add("proof.root", f"does not lead to the root of the head: {error}", line.index)
        kind, session = _named(line.body)
        if (kind == entries.KEY) is not (line.kept is not None):
            raise MalformedError(
                f"entry {line.index} has no kept checkpoint as a handover has, or a needless one"
            )
        if session is None:
            belongs = kind == entries.KEY or not line.index
        else:
            belongs = self._session in {None, session}
        if not belongs:
            self._findings.add("evidence.surplus", "is not of this launch", line.index, session)
            return
        if session is not None:
            self._session = session
            self._of_the_launch(line, kind)
        self._replay.take(line.index, line.body, leaf)
        if line.kept is not None:
            self._4_handover(line.index, line.kept)

    def _of_the_launch(self, line: ProvenEntry, kind: str) -> None:
        if self._carried.first is None:
            self._carried.first = line.index, line.body
        self._last = line.index
        self._count += 1
        if kind == entries.ATTESTATION:
            with contextlib.suppress(MalformedError):
                self._attestation = entries.parse(line.body).data

    # --- 4 Handovers -----------------------------------------------------------------------------

    def _4_handover(self, index: int, beside: evidence.KeptCheckpoint) -> None:
        assert self._head is not None
        size = index + 1
        where = f"the checkpoint kept at {size}"
        kept = self._replay.open_signed(beside.note, size, "checkpoint", where)
        if kept is None:
            return
        if kept.size != size:
            self._findings.add("checkpoint.size", f"{where} is one of size {kept.size}")
            return
        try:
            proof.check_consistency(kept, self._head, beside.consistency)
        except ProofError as error:
            self._findings.add("checkpoint.root", f"the head does not continue {where}: {error}")

    # --- 5 Head ----------------------------------------------------------------------------------

    def _5_head(self) -> None:
        assert self._head is not None
        self._replay.open_signed(self._note, self._head.size, "head", "the head")

    # --- 6 Pins, and the verdict -----------------------------------------------------------------

    def _6_verdict(self, pins: Sequence[Pin], origin: str | None) -> EvidenceVerdict:
        findings, replay, head = self._findings, self._replay, self._head
        trusted = None
        if replay.epochs is not None and head is not None:
            trusted = pinning.judge(
                findings, replay.epochs, head.size, replay.origin, pins=pins, pinned_origin=origin
            )
        elif not findings.counts[Severity.TAMPERED]:
            findings.add("entry.genesis", "the first entry founds no ledger")
        tampered, unmet = findings.counts[Severity.TAMPERED], findings.counts[Severity.UNMET]
        met = trusted if not tampered else None
        listed = findings.listed()
        launch = self._launch()
        return EvidenceVerdict(
            exit=1 if tampered else 3 if unmet else 0,
            findings=listed,
            origin=replay.origin,
            size=None if head is None else head.size,
            root=None if head is None else head.root.hex(),
            launch=launch,
            statement=None
            if met is None or any(each.code == "entry.kind" for each in listed)
            else self._stated(),
            pins=pinning.reports(pins, met, replay.origin),
            epochs=pinning.epoch_reports(replay.epochs),
            not_excluded=() if head is None else self._not_excluded(head, launch, met),
            hint="pin the ledger's key: -k FILE"
            if any(each.code == "key.none_pinned" for each in listed)
            else None,
        )

    def _launch(self) -> LaunchReport | None:
        if self._session is None or self._carried.first is None:
            return None
        return LaunchReport(
            session=self._session,
            state=_state(self._replay.launches.counts),
            first=self._carried.first[0],
            last=self._last,
            entries=self._count,
            withheld=self._replay.blobs.withheld,
        )

    def _stated(self) -> dict[str, Json] | None:
        """Return the statement, which was compared with what the entries give."""
        if self._attestation is None:
            return None
        return canonical.decode_object(canonical.decode_base64(self._attestation["payload"]))

    def _not_excluded(
        self, head: Checkpoint, launch: LaunchReport | None, met: Trusted | None
    ) -> tuple[Caveat, ...]:
        found = [
            Caveat(
                "evidence.launch_only",
                f"anything about the rest of the ledger ({head.size - self._seen} of its {head.size}"
                " entries), what stands between this launch's entries included, or that its session id comes"
                " again: nono-verify LEDGER looks at it",
            )
        ]
        state = None if launch is None else launch.state
        if state in {"running", "unfinished"}:
            found.append(
                Caveat(
                    "evidence.rest",
                    "further entries of the launch behind these: without an attestation nothing says how many"
                    " there are",
                )
            )
        elif state == "complete" and self._attestation is None:
            found.append(
                Caveat(
                    "evidence.unattested",
                    "how the launch went on: a direct one ends with its start, and has no statement",
                )
            )
        return (
            *found,
            caveats.freshness(0),
            caveats.OTHER_HISTORY,
            *caveats.vouched(met),
            *caveats.recorded(self._replay.launches.caveats),
            caveats.HOST,
            *caveats.previous(self._replay.continues),
        )


def _not_ours(error: MalformedError) -> NotCheckedError:
    if error.code == "form.other_version":
        return NotCheckedError(
            "evidence of a version that this verifier does not know",
            code="input.version",
            hint="use the nono-verify that came with the nono that wrote it, or a later one",
        )
    return NotCheckedError(
        str(error),
        code="input.not_evidence",
        hint="nono audit evidence SESSION writes it; a ledger is checked with: nono-verify LEDGER",
    )


def _references(body: bytes) -> list[bytes]:
    try:
        return evidence.references(entries.parse(body))
    except MalformedError:
        return []  # what it is will be said when its turn comes


def _named(body: bytes) -> tuple[str, str | None]:
    """Return the kind and the session that an entry of whatever version says that it has."""
    kind = session = None
    with contextlib.suppress(MalformedError):
        document = canonical.decode_object(body)
        kind, session = document.get("kind"), document.get("session")
    return (
        kind if isinstance(kind, str) else "",
        session if isinstance(session, str) and is_session_id(session) else None,
    )


def _state(counts: LaunchCounts) -> str | None:
    for state in ("complete", "running", "lost", "unfinished"):
        if getattr(counts, state):
            return state
    return None
