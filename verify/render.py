"""A verdict as text and as JSON.

Much of a ledger is text that an attacker may have chosen. Nothing of it reaches a terminal raw: what
cannot be seen (control characters, direction marks, line separators, lone surrogates, characters without
ink) is escaped. Nor is any of it a command to the runner of a pipeline, which reads all that its steps write.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from attest import printable_text, runner_commands
from verify.witnessing import written

if TYPE_CHECKING:
    from verify.verdict import Verdict

_SHOWN_DIGITS = 16
_MORE_FINDINGS = 20
_SHOWN_TIMESTAMPS = 5
_SHOWN_KEYS = 10  # from each end


def printable(text: str) -> str:
    """Return ``text`` with every character escaped that a terminal could take as more than itself.

    So is the beginning of a command to the runner of a pipeline.
    """
    return runner_commands.line_without(printable_text.printable(text))


def as_json(verdict: Verdict) -> str:
    """Return the JSON form (``verify/schemas/verdict.json``), ASCII, one line."""
    return json.dumps(verdict.document(), ensure_ascii=True, separators=(",", ":")) + "\n"


def as_text(verdict: Verdict) -> str:
    """Return the verdict in words; its first line says it all."""
    lines = [headline(verdict)]
    decisive = next(iter(verdict.decisive()), None)
    lines += [
        f"  also: {finding.message} [{finding.code}]"
        for finding in verdict.findings[:_MORE_FINDINGS]
        if finding is not decisive
    ]
    if len(verdict.findings) > _MORE_FINDINGS:
        lines.append(f"  also: {len(verdict.findings) - _MORE_FINDINGS} more; --format json lists them")
    if verdict.exit == 2:
        if verdict.hint is not None:
            lines.append(f"  hint: {verdict.hint}")
        return "".join(f"{printable(line)}\n" for line in lines)
    if verdict.origin is not None:
        lines.append(
            f"  ledger: {verdict.origin}, {_number(verdict.size or 0, 'entry', 'entries')},"
            f" root {verdict.root}"
        )
    launches = verdict.launches
    lines.append(
        f"  launches: {launches.complete} complete, {launches.running} running,"
        f" {launches.lost} lost, {launches.unfinished} unfinished"
    )
    lines += _keys(verdict)
    for held in verdict.remembered:
        how = "continued" if held.continued else "not continued"
        lines.append(f"  remembered: {_number(held.size, 'entry', 'entries')} in {held.source} ({how})")
    lines += _outsiders(verdict)
    lines += _asked(verdict)
    if verdict.exit in {0, 3}:
        lines.append("  not excluded:")
        lines += [f"    - {caveat.message}" for caveat in verdict.not_excluded]
    return "".join(f"{printable(line)}\n" for line in lines)


def _keys(verdict: Verdict) -> list[str]:
    """Return the lines about the keys: of very many the first ones, the newest, and those that are pinned."""
    pinned = {pin.fingerprint for pin in verdict.pins if pin.met}
    lines, left = list[str](), 0
    for at, epoch in enumerate(verdict.epochs):
        met = epoch.fingerprint in pinned
        if not met and _SHOWN_KEYS <= at < len(verdict.epochs) - _SHOWN_KEYS:
            left += 1
            continue
        lines.append(f"  key: {epoch.fingerprint} from entry {epoch.first}{' (pinned)' if met else ''}")
    if left:
        lines.append(f"  key: {left} more between; --format json lists them")
    return lines


def _asked(verdict: Verdict) -> list[str]:
    """Return what was asked beside an intact ledger, and what became of it."""
    lines = []
    if verdict.policy is not None:
        met = "met" if verdict.policy.met else "not met"
        lines.append(f"  policy: {verdict.policy.source} ({met}), sha256 {verdict.policy.sha256}")
    if verdict.session is not None:
        lines.append(f"  asked of: session {verdict.session} alone")
    lines += [
        f"  required: a launch {required.what}: session {required.session}"
        for required in verdict.required
        if required.session is not None
    ]
    return lines


def _outsiders(verdict: Verdict) -> list[str]:
    """Return the lines about what others saw of the ledger: the quorum, and the newest timestamps."""
    lines = []
    witnessed = verdict.witnessed
    if witnessed is not None and witnessed.size is not None:
        lines.append(
            f"  witnessed: {_number(witnessed.size, 'entry', 'entries')} at {written(witnessed.time)}"
            f" by {', '.join(witnessed.by)}"
        )
    stamped = [anchor for anchor in verdict.anchors if anchor.type == "rfc3161" and anchor.holds]
    for anchor in stamped[-_SHOWN_TIMESTAMPS:]:
        covers = anchor.covers
        what = (
            _number(covers, "entry", "entries")
            if isinstance(covers, int)
            else f"attestation {covers[:_SHOWN_DIGITS]}…"
        )
        lines.append(f"  timestamped: {what} at {written(anchor.time)} by {anchor.by}")
    if len(stamped) > _SHOWN_TIMESTAMPS:
        lines.append(f"  timestamped: {len(stamped) - _SHOWN_TIMESTAMPS} more; --format json lists them")
    return lines


def advice(verdict: Verdict) -> str:
    """Return what to do, as it goes on behind a sentence of the verdict; empty where there is nothing."""
    return f" (hint: {verdict.hint})" if verdict.hint is not None else ""


def headline(verdict: Verdict) -> str:
    """Return the line that says it all; not escaped yet, see :func:`printable`."""
    finding = next(iter(verdict.decisive()), None)
    if verdict.exit == 0 or finding is None:
        pin = next((pin for pin in verdict.pins if pin.met), None)
        by = f"key {pin.fingerprint[:_SHOWN_DIGITS]}… (pinned)" if pin else "origin pinned"
        return f"verified: {_number(verdict.launches.complete, 'launch', 'launches')}, " + (
            f"{_number(verdict.size or 0, 'entry', 'entries')}, {by}"
        )
    if verdict.exit == 1:
        return f"FAILED: {finding.message} [{finding.code}]"
    if verdict.exit == 2:
        return f"not checked: {finding.message}"
    pin_hint = ". Pin: -k FILE" if finding.code == "key.none_pinned" else ""
    return f"intact, not met: {finding.message}{pin_hint}" + ("" if pin_hint else f" [{finding.code}]")


def _number(count: int, one: str, many: str) -> str:
    return f"{count} {one if count == 1 else many}"
