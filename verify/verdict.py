"""The verdict: what a verification says, the same in every format and in the exit code."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from attest import canonical
from attest.named_tuples import NamedTuple
from verify.findings import Finding, Severity, encodable

if TYPE_CHECKING:
    from attest.canonical import Json
    from verify.anchors import AnchorReport
    from verify.launches import LaunchCounts
    from verify.remembered import Held
    from verify.requirements import Output
    from verify.witnessing import Witnessed

SCHEMA = "urn:nono-attest:schema:v1:verdict"
"""Identifies the JSON form (``verify/schemas/verdict.json``)."""

WORDS = {0: "verified", 1: "failed", 2: "not-checked", 3: "not-met"}
"""What each exit code is called in JSON."""


class PinReport(NamedTuple):
    """A pin that was given: the key, where it came from, and whether the ledger meets it (and how)."""

    fingerprint: str
    source: str
    met: str | None

    def document(self) -> dict[str, Json]:
        """Return the JSON form; a path that is not UTF-8 is ``{"base64": …}``."""
        source = canonical.text(os.fsencode(self.source))
        return {"fingerprint": self.fingerprint, "source": source, "met": self.met}


class EpochReport(NamedTuple):
    """One key of the ledger: its fingerprint, and the first index that it covers."""

    fingerprint: str
    first: int


class PolicyReport(NamedTuple):
    """The policy that was given: its file, that file's SHA-256 (hex), and whether the ledger meets it."""

    source: str
    sha256: str
    met: bool

    def document(self) -> dict[str, Json]:
        """Return the JSON form; a path that is not UTF-8 is ``{"base64": …}``."""
        source = canonical.text(os.fsencode(self.source))
        return {"source": source, "sha256": self.sha256, "met": self.met}


class RequiredReport(NamedTuple):
    """What at least one launch had to show, in words, the first session that does, and the file, if any."""

    what: str
    session: str | None
    output: Output | None

    def document(self) -> dict[str, Json]:
        """Return the JSON form; a path that is not UTF-8 is ``{"base64": …}``."""
        output: Json = None
        if self.output is not None:
            output = {"name": canonical.text(os.fsencode(self.output.name)), "sha256": self.output.sha256}
        return {"what": encodable(self.what), "session": self.session, "output": output}


class Caveat(NamedTuple):
    """Something that this verdict does not exclude: a stable code, and one sentence."""

    code: str
    message: str

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {"code": self.code, "message": self.message}


class Verdict(NamedTuple):
    """What was found about a ledger.

    Attributes:
        exit: 0 everything holds under a pinned key; 1 tampered with or damaged; 2 not checked;
            3 intact, but not what was required.
        findings: what was found, in index order.
        launches: how the launches ended.
        origin: the ledger's origin, recomputed; None when it cannot be.
        size: number of entries under the head, or None.
        root: hex of the root over them, or None.
        pins: the pins that were given.
        epochs: the ledger's keys in the order in which they came into force.
        freshness: ``unproven``: nothing outside of the file says how new it is; ``remembered``: it is no
            older than a checkpoint that was remembered; ``witnessed``: and a quorum of witnesses saw one.
        remembered: how it stands to the checkpoints that were given.
        witnessed: up to where a quorum of witnesses saw it; None when no policy was given.
        anchors: what its newest anchors say, in index order.
        anchor_count: how many anchors there are.
        policy: the policy that was given, or None.
        required: what at least one launch each had to show.
        session: the one launch to which the policy was limited, or None.
        head: the signed checkpoint over all of it, where a pinned key signed it and everything holds.
        not_excluded: what even a verified ledger leaves open.
        hint: what to do when nothing could be checked, or None.
    """

    exit: int
    findings: tuple[Finding, ...]
    launches: LaunchCounts
    origin: str | None = None
    size: int | None = None
    root: str | None = None
    pins: tuple[PinReport, ...] = ()
    epochs: tuple[EpochReport, ...] = ()
    freshness: str = "unproven"
    remembered: tuple[Held, ...] = ()
    witnessed: Witnessed | None = None
    anchors: tuple[AnchorReport, ...] = ()
    anchor_count: int = 0
    policy: PolicyReport | None = None
    required: tuple[RequiredReport, ...] = ()
    session: str | None = None
    head: str | None = None
    not_excluded: tuple[Caveat, ...] = ()
    hint: str | None = None

    @property
    def word(self) -> str:
        """The exit code as a word, see :data:`WORDS`."""
        return WORDS[self.exit]

    def decisive(self) -> tuple[Finding, ...]:
        """Return the findings that made the exit code what it is."""
        severity = {1: Severity.TAMPERED, 2: Severity.UNCHECKED, 3: Severity.UNMET}.get(self.exit)
        return tuple(finding for finding in self.findings if finding.severity is severity)

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {
            "schema": SCHEMA,
            "verdict": self.word,
            "exit": self.exit,
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "pins": [pin.document() for pin in self.pins],
            "epochs": [{"fingerprint": epoch.fingerprint, "first": epoch.first} for epoch in self.epochs],
            "launches": {
                "complete": self.launches.complete,
                "running": self.launches.running,
                "lost": self.launches.lost,
                "unfinished": self.launches.unfinished,
            },
            "freshness": self.freshness,
            "remembered": [held.document() for held in self.remembered],
            "witnessed": None if self.witnessed is None else self.witnessed.document(),
            "anchors": {
                "count": self.anchor_count,
                "newest": [anchor.document() for anchor in self.anchors],
            },
            "policy": None if self.policy is None else self.policy.document(),
            "required": [required.document() for required in self.required],
            "session": self.session,
            "head": self.head,
            "findings": [finding.document() for finding in self.findings],
            "not_excluded": [caveat.document() for caveat in self.not_excluded],
        }
