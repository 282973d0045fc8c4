"""Anchors: what others said of a ledger, as it lies in it (ADR 13).

An ``anchor`` entry names what it covers, the type of its evidence, and the evidence:

* ``cosignature``, of a size: the kept checkpoint of that size, byte for byte, and behind it one signature
  line of each witness (C2SP tlog-cosignature). That is a signed note as any client of a log takes it.
* ``rfc3161``, of a size: a TimeStampResp whose imprint is the SHA-256 of the kept checkpoint, signatures
  included, so that they are as old as the timestamp says; of a leaf: one whose imprint is the leaf's hash,
  which is the SHA-256 of 0x00 and the entry.
* ``rekor`` and ``identity`` are not looked at.

Whoever wrote the evidence held the ledger's key. So evidence that is about something else than its anchor
covers, or that its author never signed, is a record that contradicts itself, which an honest writer does not
write: it checks evidence before it appends it. Evidence of somebody who is not known here says nothing.

What is kept of all that is bounded: the newest anchors, counts, and the largest size of each witness.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from attest import canonical, hashing, note
from attest.errors import MalformedError, SignatureError
from attest.named_tuples import NamedTuple
from verify.witnessing import Witnessing, is_possible, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.canonical import Json
    from attest.keys import PublicKey
    from verify.findings import Findings
    from verify.reader import LedgerFile
    from verify.timestamps import Authorities
    from verify.witness_policy import WitnessPolicy

MAX_REPORTED = 100
"""How many anchors are reported, the newest; the rest is counted."""

_MAX_BESIDE = 4 * (note.MAX_BYTES // 3 + 1) + 2
"""How long the JSON of evidence can be that is not too long itself: base64, in quotes."""

_UNREAD = {
    "identity": "identity: signatures of identities are not looked at",
    "rekor": "rekor: public logs are not looked at",
    "cosignature": "cosignature: --witness-policy names no witnesses",
    "rfc3161": "rfc3161: --tsa-roots names no authorities",
    "witness": "cosignature: by no witness of the policy",
    "log": "cosignature: of a checkpoint by none of the logs of the policy",
    "authority": "rfc3161: by no authority under the roots",
    "withheld": "the evidence was taken away",
}
"""Why an anchor says nothing here."""


class Outsiders(NamedTuple):
    """Whose word counts, and when it is asked for.

    Attributes:
        now: seconds since 1970.
        policy: the witnesses, or None.
        authorities: the authorities of timestamps, or None.
    """

    now: int
    policy: WitnessPolicy | None = None
    authorities: Authorities | None = None


@dataclass(frozen=True, slots=True)
class AnchorReport:
    """What one anchor, or one cosignature in it, says.

    Attributes:
        index: the entry.
        type: ``cosignature``, ``identity``, ``rekor`` or ``rfc3161``.
        covers: the number of entries, or the hex hash of an attestation's leaf.
        holds: whether it holds; None when nobody who is known here said it, or it was not looked at.
        time: when, seconds since 1970, if it holds.
        by: who says so, if it holds: the witness's name in the policy, the subject of a certificate.
    """

    index: int
    type: str
    covers: int | str
    holds: bool | None = None
    time: int | None = None
    by: str | None = None

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {
            "index": self.index,
            "type": self.type,
            "covers": {"size": self.covers} if isinstance(self.covers, int) else {"leaf": self.covers},
            "holds": self.holds,
            "time": written(self.time),
            "by": self.by,
        }


class Timestamps:
    """The best that the timestamps of a ledger say.

    Attributes:
        count: how many hold.
        leaves: how many of them cover an attestation.
        ended: how many are by a certificate that has ended since.
        largest: the one of the largest size that any covers, of several the earliest; or None.
    """

    __slots__ = ("count", "ended", "largest", "leaves")

    def __init__(self) -> None:
        self.count = self.leaves = self.ended = 0
        self.largest: AnchorReport | None = None

    def add(self, report: AnchorReport, *, has_ended: bool) -> None:
        """Take in a timestamp that holds."""
        self.count += 1
        self.ended += has_ended
        if isinstance(report.covers, str):
            self.leaves += 1
        elif self.largest is None or _rank(report) > _rank(self.largest):
            self.largest = report


def _rank(report: AnchorReport) -> tuple[int, int]:
    assert isinstance(report.covers, int)
    assert report.time is not None
    return report.covers, -report.time


class AnchorCheck:
    """The anchors of a ledger, looked at as they come.

    Attributes:
        count: how many there are.
        reports: the newest of them.
        unread: how many say nothing here, by the reason.
        witnessing: the cosignatures, if there is a policy.
        timestamps: those that hold, if there are roots.
    """

    def __init__(self, source: LedgerFile, findings: Findings, outsiders: Outsiders) -> None:
        self.count = 0
        self.reports: deque[AnchorReport] = deque(maxlen=MAX_REPORTED)
        self.unread: Counter[str] = Counter()
        self.timestamps = Timestamps()
        self.witnessing = (
            None if outsiders.policy is None else Witnessing(outsiders.policy, outsiders.now, findings)
        )
        self._outsiders = outsiders
        self._source = source
        self._findings = findings

    def add(
        self,
        index: int,
        data: dict[str, Json],
        beside: bytes | None,
        origin: str,
        signers: Sequence[PublicKey],
    ) -> None:
        """Take in an anchor that covers something that is there.

        Args:
            index: where it stands.
            data: what it says, of its schema.
            beside: the canonical JSON of evidence that lies beside the entry, or None when it is not there.
            origin: the ledger's.
            signers: whose signatures the kept checkpoint of the size has that it covers.
        """
        self.count += 1
        kind, covers, evidence = str(data["type"]), data["covers"], data["evidence"]
        assert isinstance(covers, dict)
        size = covers.get("size")
        covered = size if isinstance(size, int) else str(covers["leaf"])
        report = AnchorReport(index, kind, covered)
        try:
            if isinstance(evidence, dict):
                if beside is None:
                    self._says_nothing(report, "withheld")
                    return
                evidence = canonical.decode(beside) if len(beside) <= _MAX_BESIDE else None
            if kind == "cosignature":
                self._cosigned(report, _bytes(evidence), origin, signers)
            elif kind == "rfc3161" and self._outsiders.authorities is not None:
                self._stamped(report, _bytes(evidence), self._outsiders.authorities)
            else:
                self._says_nothing(report, kind)
        except (MalformedError, SignatureError) as error:
            if error.code == "timestamp.authority":
                self._says_nothing(report, "authority")
                return
            code = "anchor.form" if error.code == MalformedError.default_code else error.code
            self._findings.add(
                code, f"anchors {_named(covered)} with evidence that does not hold: {error}", index
            )
            self.reports.append(replace(report, holds=False))

    def _says_nothing(self, report: AnchorReport, why: str) -> None:
        self.unread[why] += 1
        self.reports.append(report)

    def _cosigned(
        self, report: AnchorReport, evidence: bytes, origin: str, signers: Sequence[PublicKey]
    ) -> None:
        """Look at a cosigned checkpoint.

        Raises:
            MalformedError: it is none, or of something else than the anchor covers.
            SignatureError: a known witness did not sign it (``witness.signature``).
        """
        size = report.covers
        if not isinstance(size, int):
            raise MalformedError("witnesses cosign checkpoints, not attestations")
        parsed = note.parse(evidence)
        kept = self._source.checkpoint(size)
        text = note.parse(kept).text
        if parsed.text != text:
            raise MalformedError("it is of another ledger, size or root", code="anchor.evidence")
        added = parsed.signatures[len(signers) :]
        if not evidence.startswith(kept) or not added:
            raise MalformedError(f"it is not the checkpoint kept at {size} with cosignatures behind it")
        if len({(line.name, line.key_id) for line in parsed.signatures}) != len(parsed.signatures):
            raise MalformedError("one key signed twice")
        if self.witnessing is None:
            self._says_nothing(report, report.type)
            return
        policy = self.witnessing.policy
        try:
            taken = self.witnessing.take(parsed, size, origin, signers, source=report.index)
        except SignatureError as error:
            raise SignatureError(f"of a known witness, {error}", code="witness.signature") from None
        if not taken or not policy.accepts(origin, signers):
            self._says_nothing(report, "log" if taken else "witness")
            return
        for cosignature, counts in taken:
            (name,) = policy.shown([cosignature.witness])
            self.reports.append(
                replace(report, holds=True, time=cosignature.time, by=name)
                if counts
                else replace(report, holds=False)
            )

    def _stamped(self, report: AnchorReport, evidence: bytes, authorities: Authorities) -> None:
        """Look at a timestamp.

        Raises:
            MalformedError: it is none, or of something else than the anchor covers.
            SignatureError: see :meth:`verify.timestamps.Authorities.check`.
        """
        covers = report.covers
        if isinstance(covers, int):
            digest = hashing.digest(self._source.checkpoint(covers))
        else:
            digest = bytes.fromhex(covers)
        stated = authorities.check(evidence, digest)
        if not is_possible(stated.seconds, self._outsiders.now):
            self._findings.add(
                "timestamp.time",
                f"anchors {_named(covers)} with a timestamp of {stated.seconds} s after 1970, which lies"
                " ahead: it does not count",
                report.index,
            )
            self.reports.append(replace(report, holds=False))
            return
        held = replace(report, holds=True, time=stated.seconds, by=stated.by)
        self.timestamps.add(held, has_ended=stated.ends < self._outsiders.now)
        self.reports.append(held)

    def judge(self) -> None:
        """Report what was asked for and is not there; after the last anchor."""
        authorities = self._outsiders.authorities
        if authorities is not None and not self.timestamps.count:
            others = self.unread["authority"]
            by = f"; {others} by others" if others else ""
            self._findings.add(
                "timestamp.none",
                f"no timestamp in the ledger is by an authority under {authorities.source}{by}",
            )

    def unread_reasons(self) -> str:
        """Return why anchors say nothing here, with their number; empty when each says something."""
        return ", ".join(f"{count} {_UNREAD[why]}" for why, count in sorted(self.unread.items()))


def _bytes(evidence: Json) -> bytes:
    if evidence is None:
        raise MalformedError("it is too long")
    return canonical.decode_base64(evidence)


def _named(covers: int | str) -> str:
    return f"the size {covers}" if isinstance(covers, int) else f"the attestation {covers[:16]}…"
