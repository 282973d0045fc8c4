"""From a path and what is pinned to a verdict: open, replay, judge the keys, say what is left open."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attest import entry
from attest.errors import MalformedError
from attest.instant_reading import parse_instant
from verify import caveats, pinning, reader
from verify.anchors import Outsiders
from verify.errors import NotCheckedError
from verify.findings import Severity
from verify.remembered import judge
from verify.replay import replay
from verify.requirements import Required
from verify.verdict import PolicyReport, RequiredReport, Verdict
from verify.witnessing import Witnessed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.anchors import AnchorReport
    from verify.findings import Findings
    from verify.pins import Pin
    from verify.policy import Policy
    from verify.reader import LedgerFile
    from verify.remembered import Held, Remembered
    from verify.replay import Replayed
    from verify.timestamps import Authorities
    from verify.witness_policy import WitnessPolicy

MAX_CLOCK_DIFFERENCE = timedelta(minutes=10)
"""How far the recording host's clock may be ahead of this one before the age of an entry means nothing."""


def verify(
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    pins: Sequence[Pin] = (),
    origin: str | None = None,
    allow_running: bool = False,
    remembered: Sequence[Remembered] = (),
    witness_policy: WitnessPolicy | None = None,
    authorities: Authorities | None = None,
    required: Required | None = None,
    now: datetime | None = None,
    cores: int | None = None,
    progress: Callable[[int, int], object] | None = None,
    then: Callable[[Verdict, LedgerFile], object] | None = None,
) -> Verdict:
    """Verify the ledger at ``path``.

    A process that has the ledger open for launches must not call this, but start ``nono-verify``: that the
    file is closed again drops the locks by which its writers agree.

    Args:
        path: the file.
        pins: the keys that are trusted; one of them must be the ledger's.
        origin: the origin that the ledger must have; pinning it pins its genesis key.
        allow_running: do not object to launches that are known to run still.
        remembered: checkpoints of it that were kept outside, see :mod:`verify.remembered`.
        witness_policy: the witnesses that are known, and how many of them must have cosigned, see
            :mod:`verify.witness_policy`.
        authorities: whose timestamps count, see :mod:`verify.timestamps`; there must be one.
        required: a policy, and what else is asked of its launches.
        now: the time at which is asked, with a zone; None is the clock's. Evidence that is later does not
            count.
        cores: how many cores to use at most; all that this process may use by default. A long ledger is
            checked by that many processes; the verdict does not depend on it.
        progress: called now and then with the number of entries that were taken in, and of all; it begins
            again when the file was changed meanwhile.
        then: called with the verdict while the ledger is still open, in the very snapshot that was replayed.

    Returns:
        The verdict; its ``exit`` is never 2.

    Raises:
        NotCheckedError: the file cannot be read, is not SQLite, or is not a ledger; or a remembered
            checkpoint is nobody's that is known here (exit 2).
    """
    name = os.fsencode(path)
    outsiders = Outsiders(int(time.time() if now is None else now.timestamp()), witness_policy, authorities)
    for _ in range(reader.ATTEMPTS):
        with reader.open_ledger(name) as source:
            try:
                replayed = replay(
                    source,
                    outsiders,
                    allow_running=allow_running,
                    sizes=(each.checkpoint.size for each in remembered),
                    required=required,
                    cores=cores,
                    progress=progress,
                )
            except MemoryError:
                raise NotCheckedError(
                    f"{os.fsdecode(name)} cannot be read: there is not enough memory", code="input.memory"
                ) from None
            except NotCheckedError:
                if not source.changed():
                    raise
                continue
            if not source.changed():
                verdict = _judge(
                    replayed,
                    pins,
                    origin=origin,
                    remembered=remembered,
                    required=required or Required(),
                    now=now,
                    body=source.body,
                )
                if then is not None:
                    then(verdict, source)
                return verdict
    raise NotCheckedError(f"{os.fsdecode(name)} changes while it is read", code="input.changing")


def _judge(
    replayed: Replayed,
    pins: Sequence[Pin],
    *,
    origin: str | None,
    remembered: Sequence[Remembered],
    required: Required,
    now: datetime | None,
    body: Callable[[int], bytes | None],
) -> Verdict:
    findings = replayed.findings
    held = _hold_to_memory(replayed, pins, remembered)
    witnessed, freshly = _hold_to_outsiders(replayed)
    trusted = None
    if replayed.epochs is not None and replayed.size:
        trusted = pinning.judge(
            findings, replayed.epochs, replayed.size, replayed.origin, pins=pins, pinned_origin=origin
        )
    elif not findings.counts[Severity.TAMPERED]:
        findings.add("entry.genesis", "the ledger has no genesis entry")
    newest = max((each.size for each in held if each.continued), default=0)
    if required.policy is not None:
        _8_policy(required.policy, replayed, now, is_remembered=newest > 0)
        if required.policy.anchor_lag is not None:
            _8_anchor_lag(required.policy.anchor_lag, replayed, witnessed, body)
    tampered, unmet = findings.counts[Severity.TAMPERED], findings.counts[Severity.UNMET]
    met = trusted if not tampered else None
    not_excluded = [
        caveats.freshness(newest, freshly),
        *caveats.vouched(met),
        *caveats.recorded(replayed.caveats),
        *caveats.of_anchors(replayed.anchors, witnessed),
        caveats.host(replayed.anchors if not tampered else None, witnessed),
        *caveats.previous(replayed.continues),
    ]
    return Verdict(
        exit=1 if tampered else 3 if unmet else 0,
        findings=findings.listed(),
        origin=replayed.origin,
        size=replayed.size,
        root=None if replayed.root is None else replayed.root.hex(),
        pins=pinning.reports(pins, met, replayed.origin),
        epochs=pinning.epoch_reports(replayed.epochs),
        launches=replayed.launches,
        freshness="witnessed" if freshly is not None else "remembered" if newest else "unproven",
        remembered=held,
        witnessed=witnessed,
        anchors=_reported(replayed, is_intact=not tampered),
        anchor_count=replayed.anchors.count,
        policy=None
        if required.policy is None
        else PolicyReport(
            required.policy.source, required.policy.sha256, not tampered and not _concerns_policy(findings)
        ),
        required=tuple(
            RequiredReport(asked.what, session, asked.output) for asked, session in replayed.required
        ),
        session=required.session,
        head=replayed.head.decode() if met is not None else None,
        not_excluded=tuple(not_excluded),
    )


def _8_policy(policy: Policy, replayed: Replayed, now: datetime | None, *, is_remembered: bool) -> None:
    """Judge what a policy asks of the ledger as a whole; its launches were judged as they came."""
    findings, newest = replayed.findings, replayed.time
    if policy.remembered and not is_remembered:
        findings.add(
            "policy.remembered", "the policy asks for a remembered checkpoint that the ledger continues"
        )
    if policy.head_age is None or not newest:
        return
    age = (datetime.now(UTC) if now is None else now) - parse_instant(newest)
    if age > timedelta(seconds=policy.head_age):
        what = f"the newest entry is of {newest}, and older than the {policy.head_age} seconds of the policy"
        findings.add("policy.head_age", what)
    elif age < -MAX_CLOCK_DIFFERENCE:
        what = f"the newest entry is of {newest}, which is not yet: its age cannot be judged"
        findings.add("policy.head_age", what)


def _8_anchor_lag(
    seconds: int, replayed: Replayed, witnessed: Witnessed | None, body: Callable[[int], bytes | None]
) -> None:
    """Judge how far behind the ledger the newest word of others is that holds.

    An old checkpoint can be stamped at any time, so that others looked lately says nothing about the entries
    that they did not see: the oldest of those must not be older than allowed either.
    """
    findings = replayed.findings
    if findings.counts[Severity.TAMPERED]:
        return  # nothing of what it says can be counted on
    seen = [
        (anchor.covers, anchor.time)
        for anchor in _reported(replayed, is_intact=True)
        if anchor.holds and anchor.time is not None and isinstance(anchor.covers, int)
    ]
    if witnessed is not None and witnessed.size is not None and witnessed.time is not None:
        seen.append((witnessed.size, witnessed.time))
    if not seen:
        findings.add(
            "policy.anchor_lag",
            "no cosignature and no timestamp of the ledger holds, of those"
            " that --witness-policy and --tsa-roots name",
        )
        return
    size, moment = max(seen)
    if size == replayed.size or not replayed.time:
        return
    newest = parse_instant(replayed.time).timestamp()
    lag = newest - moment
    with contextlib.suppress(MalformedError):  # one of a later version, which was reported
        lag = max(lag, newest - parse_instant(entry.parse(body(size) or b"").time).timestamp())
    if lag > seconds:
        what = f"others saw {size} entries, and the newest of {replayed.size} came {int(lag)} seconds later"
        findings.add("policy.anchor_lag", what)


def _concerns_policy(findings: Findings) -> bool:
    return any(code.startswith("policy.") for code in findings.codes)


def _hold_to_memory(
    replayed: Replayed, pins: Sequence[Pin], remembered: Sequence[Remembered]
) -> tuple[Held, ...]:
    if replayed.epochs is None or replayed.origin is None or not replayed.size:
        return ()  # what is broken was reported
    keys = [*(epoch.key for epoch in replayed.epochs.all), *(pin.key for pin in pins)]
    return judge(
        remembered,
        replayed.findings,
        origin=replayed.origin,
        size=replayed.size,
        roots=replayed.roots,
        keys=keys,
        witnessing=replayed.anchors.witnessing,
    )


def _hold_to_outsiders(replayed: Replayed) -> tuple[Witnessed | None, Witnessed | None]:
    """Return up to where a quorum saw the ledger, and where by what was kept outside of it alone.

    Of a ledger that was tampered with nothing follows: what others said is compared with what lies in it.
    """
    witnessing, findings = replayed.anchors.witnessing, replayed.findings
    if replayed.epochs is None or replayed.origin is None or findings.counts[Severity.TAMPERED]:
        return (None if witnessing is None else Witnessed(met=False)), None
    replayed.anchors.judge()
    if witnessing is None:
        return None, None
    witnessed = witnessing.judge(replayed.origin, [epoch.key for epoch in replayed.epochs.all])
    outside = witnessing.outside()
    return witnessed, outside if outside.size else None


def _reported(replayed: Replayed, *, is_intact: bool) -> tuple[AnchorReport, ...]:
    reports = tuple(replayed.anchors.reports)
    if is_intact:
        return reports
    return tuple(replace(each, holds=None, time=None, by=None) if each.holds else each for each in reports)
