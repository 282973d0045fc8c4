"""What is said about a part of a ledger that is at hand without it: one verdict, as text and as JSON.

The exit codes and their words are those of a ledger. What is particular to an entry or to a launch is said by
:mod:`verify.proof_verdict` and :mod:`verify.evidence_verdict`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from verify.findings import Finding, Severity
from verify.render import printable
from verify.verdict import WORDS

if TYPE_CHECKING:
    from attest.canonical import Json
    from verify.verdict import Caveat, PinReport

_SHOWN_DIGITS = 16
_MORE_FINDINGS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class DetachedVerdict:
    """What was found.

    Attributes:
        exit: 0 it is in the ledger, and everything holds, under a pinned key; 1 tampered with or damaged;
            2 not checked; 3 in order, but not what was required.
        findings: what was found.
        origin: the ledger that it is from, or None.
        size: the number of entries under its checkpoint, or None.
        root: hex of the root over them, or None.
        pins: the pins that were given, and how they are met.
        not_excluded: what the verdict leaves open.
        hint: what to do about it, or None.
    """

    SCHEMA: ClassVar[str]
    """Identifies the JSON form (``verify/schemas``)."""

    exit: int
    findings: tuple[Finding, ...]
    origin: str | None = None
    size: int | None = None
    root: str | None = None
    pins: tuple[PinReport, ...] = ()
    not_excluded: tuple[Caveat, ...] = ()
    hint: str | None = None

    def what(self) -> str:
        """Return what was verified, for the line that says so."""
        raise NotImplementedError

    def members(self) -> dict[str, Json]:
        """Return the members of the JSON form that say what was verified."""
        raise NotImplementedError

    def lines(self) -> list[str]:
        """Return the lines of the text that say what was verified."""
        raise NotImplementedError

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {
            "schema": self.SCHEMA,
            "verdict": WORDS[self.exit],
            "exit": self.exit,
            "origin": self.origin,
            "size": self.size,
            "root": self.root,
            **self.members(),
            "pins": [pin.document() for pin in self.pins],
            "findings": [finding.document() for finding in self.findings],
            "not_excluded": [caveat.document() for caveat in self.not_excluded],
        }


def as_json(verdict: DetachedVerdict) -> str:
    """Return the JSON form, ASCII, one line."""
    return json.dumps(verdict.document(), ensure_ascii=True, separators=(",", ":")) + "\n"


def as_text(verdict: DetachedVerdict) -> str:
    """Return the verdict in words; its first line says it all."""
    severity = {1: Severity.TAMPERED, 2: Severity.UNCHECKED, 3: Severity.UNMET}.get(verdict.exit)
    headline = next((each for each in verdict.findings if each.severity is severity), None)
    others = [each for each in verdict.findings if each is not headline]
    lines = [_first_line(verdict, headline)]
    lines += [f"  also: {each.message} [{each.code}]" for each in others[:_MORE_FINDINGS]]
    if len(others) > _MORE_FINDINGS:
        lines.append(f"  also: {len(others) - _MORE_FINDINGS} more; --format json lists them")
    if verdict.hint is not None:
        lines.append(f"  hint: {verdict.hint}")
    if verdict.exit in {0, 3}:
        lines.append(
            f"  ledger: {verdict.origin}, {verdict.size} {'entry' if verdict.size == 1 else 'entries'},"
            f" root {verdict.root}"
        )
        lines += [f"  {line}" for line in verdict.lines()]
        lines += [f"  key: {pin.fingerprint} (pinned)" for pin in verdict.pins if pin.met]
        lines.append("  not excluded:")
        lines += [f"    - {caveat.message}" for caveat in verdict.not_excluded]
    return "".join(f"{printable(line)}\n" for line in lines)


def _first_line(verdict: DetachedVerdict, headline: Finding | None) -> str:
    if headline is None:
        pin = next((pin for pin in verdict.pins if pin.met), None)
        by = f"key {pin.fingerprint[:_SHOWN_DIGITS]}… (pinned)" if pin else "origin pinned"
        return f"verified: {verdict.what()}, {by}"
    start = {1: "FAILED", 2: "not checked", 3: "intact, not met"}[verdict.exit]
    return f"{start}: {headline.message}" + ("" if verdict.exit == 2 else f" [{headline.code}]")
