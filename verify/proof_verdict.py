"""What ``nono-verify proof`` says: one verdict about one entry, as text and as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from verify.findings import Finding, Severity
from verify.render import printable
from verify.verdict import WORDS, encodable

if TYPE_CHECKING:
    from attest.canonical import Json
    from attest.entry import Entry
    from verify.verdict import Caveat, PinReport

SCHEMA = "urn:nono-attest:schema:v1:proof-verdict"
"""Identifies the JSON form (``verify/schemas/proof-verdict.json``)."""

_SHOWN_DIGITS = 16


@dataclass(frozen=True, slots=True)
class ProofVerdict:
    """What was found about a proof and an entry.

    Attributes:
        exit: 0 the entry is in the ledger, under a pinned key; 1 tampered with or damaged; 2 not checked;
            3 in order, but not what was required.
        findings: what was found.
        origin: the ledger that the proof names, or None.
        size: the number of entries under its checkpoint, or None.
        root: hex of the root over them, or None.
        index: where the entry stands, or None.
        entry: the entry, where it is one.
        pins: the pins that were given; those that are met by ``head`` signed the checkpoint.
        not_excluded: what the verdict leaves open.
        hint: what to do about it, or None.
    """

    exit: int
    findings: tuple[Finding, ...]
    origin: str | None = None
    size: int | None = None
    root: str | None = None
    index: int | None = None
    entry: Entry | None = None
    pins: tuple[PinReport, ...] = ()
    not_excluded: tuple[Caveat, ...] = ()
    hint: str | None = None

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {
            "schema": SCHEMA,
            "verdict": WORDS[self.exit],
            "exit": self.exit,
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            "index": self.index,
            "entry": None
            if self.entry is None
            else {
                "kind": self.entry.kind,
                "session": self.entry.session,
                "seq": self.entry.seq,
                "time": self.entry.time,
            },
            "pins": [pin.document() for pin in self.pins],
            "findings": [
                {
                    "code": finding.code,
                    "index": finding.index,
                    "session": finding.session,
                    "severity": finding.severity.value,
                    "message": encodable(finding.message),
                }
                for finding in self.findings
            ],
            "not_excluded": [
                {"code": caveat.code, "message": caveat.message} for caveat in self.not_excluded
            ],
        }


def as_json(verdict: ProofVerdict) -> str:
    """Return the JSON form, ASCII, one line."""
    return json.dumps(verdict.document(), ensure_ascii=True, separators=(",", ":")) + "\n"


def as_text(verdict: ProofVerdict) -> str:
    """Return the verdict in words; its first line says it all."""
    severity = {1: Severity.TAMPERED, 2: Severity.UNCHECKED, 3: Severity.UNMET}.get(verdict.exit)
    headline = next((each for each in verdict.findings if each.severity is severity), None)
    lines = [_first_line(verdict, headline)]
    lines += [f"  also: {each.message} [{each.code}]" for each in verdict.findings if each is not headline]
    if verdict.hint is not None:
        lines.append(f"  hint: {verdict.hint}")
    if verdict.exit in {0, 3}:
        lines.append(
            f"  ledger: {verdict.origin}, {verdict.size} {'entry' if verdict.size == 1 else 'entries'},"
            f" root {verdict.root}"
        )
        if verdict.entry is not None:
            lines.append(f"  entry: {_described(verdict.entry)}")
        lines += [f"  key: {pin.fingerprint} (pinned)" for pin in verdict.pins if pin.met]
        lines.append("  not excluded:")
        lines += [f"    - {caveat.message}" for caveat in verdict.not_excluded]
    return "".join(f"{printable(line)}\n" for line in lines)


def _first_line(verdict: ProofVerdict, headline: Finding | None) -> str:
    if headline is None:
        key = next(pin.fingerprint for pin in verdict.pins if pin.met)
        return f"verified: entry {verdict.index} of {verdict.size}, key {key[:_SHOWN_DIGITS]}… (pinned)"
    start = {1: "FAILED", 2: "not checked", 3: "intact, not met"}[verdict.exit]
    return f"{start}: {headline.message}" + ("" if verdict.exit == 2 else f" [{headline.code}]")


def _described(entry: Entry) -> str:
    session = "" if entry.session is None else f", session {entry.session}, number {entry.seq} of it"
    return f"{entry.kind}{session}, {entry.time}"
