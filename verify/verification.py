"""From a path and what is pinned to a verdict: open, replay, judge the keys, say what is left open."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attest.instant import parse_instant
from verify import epochs, reader
from verify.anchors import Outsiders
from verify.errors import NotCheckedError
from verify.findings import Findings, Severity
from verify.remembered import judge
from verify.replay import replay
from verify.requirements import Required
from verify.verdict import Caveat, EpochReport, PinReport, PolicyReport, RequiredReport, Verdict
from verify.witnessing import Witnessed, written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.anchors import AnchorReport
    from verify.launches import Caveats
    from verify.pins import Pin
    from verify.policy import Policy
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
) -> Verdict:
    """Verify the ledger at ``path``.

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
                return _judge(
                    replayed,
                    pins,
                    origin=origin,
                    remembered=remembered,
                    required=required or Required(),
                    now=now,
                )
    raise NotCheckedError(f"{os.fsdecode(name)} changes while it is read", code="input.changing")


def _judge(
    replayed: Replayed,
    pins: Sequence[Pin],
    *,
    origin: str | None,
    remembered: Sequence[Remembered],
    required: Required,
    now: datetime | None,
) -> Verdict:
    findings = replayed.findings
    held = _hold_to_memory(replayed, pins, remembered)
    witnessed, freshly = _hold_to_outsiders(replayed)
    trusted = None
    if replayed.epochs is not None and replayed.size:
        trusted = epochs.judge(replayed.epochs, replayed.size, replayed.origin, pins, origin)
        if trusted is None:
            _report_pins(findings, replayed, pins, origin)
    elif not findings.counts[Severity.TAMPERED]:
        findings.add("entry.genesis", "the ledger has no genesis entry")
    newest = max((each.size for each in held if each.continued), default=0)
    if required.policy is not None:
        _8_policy(required.policy, replayed, now, is_remembered=newest > 0)
        if required.policy.anchor_lag is not None:
            _8_anchor_lag(required.policy.anchor_lag, replayed, witnessed)
    tampered, unmet = findings.counts[Severity.TAMPERED], findings.counts[Severity.UNMET]
    met = trusted if not tampered else None
    caveats = [
        _freshness(newest, freshly),
        *_not_excluded(replayed.caveats),
        *_of_anchors(replayed, witnessed),
        _trusted(replayed, witnessed),
    ]
    if met is not None and met.vouched:
        caveats.insert(
            1,
            Caveat(
                "keys.vouched",
                f"the first {met.vouched} entries were written under earlier keys:"
                " only the pinned key vouches for them",
            ),
        )
    if replayed.continues is not None:
        caveats.append(
            Caveat("ledger.previous", f"it continues {replayed.continues}, which was not looked at")
        )
    return Verdict(
        exit=1 if tampered else 3 if unmet else 0,
        findings=findings.listed(),
        origin=replayed.origin,
        size=replayed.size,
        root=None if replayed.root is None else replayed.root.hex(),
        pins=tuple(
            PinReport(
                pin.key.fingerprint(),
                pin.source,
                met.by
                if met is not None and pin.key == met.key and pin.origin in {None, replayed.origin}
                else None,
            )
            for pin in pins
        ),
        epochs=tuple(
            EpochReport(epoch.key.fingerprint(), epoch.first)
            for epoch in ([] if replayed.epochs is None else replayed.epochs.all)
        ),
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
        not_excluded=tuple(caveats),
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


def _8_anchor_lag(seconds: int, replayed: Replayed, witnessed: Witnessed | None) -> None:
    """Judge how far behind the ledger the newest word of others is that holds."""
    findings = replayed.findings
    seen = [
        (anchor.covers, anchor.time)
        for anchor in _reported(replayed, is_intact=True)
        if anchor.holds and anchor.time is not None and isinstance(anchor.covers, int)
    ]
    if witnessed is not None and witnessed.size is not None and witnessed.time is not None:
        seen.append((witnessed.size, witnessed.time))
    if not seen:
        findings.add("policy.anchor_lag", "no cosignature and no timestamp of the ledger holds")
        return
    size, moment = max(seen)
    if size == replayed.size or not replayed.time:
        return
    lag = parse_instant(replayed.time).timestamp() - moment
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


def _report_pins(findings: Findings, replayed: Replayed, pins: Sequence[Pin], origin: str | None) -> None:
    if origin is not None and replayed.origin != origin:
        findings.add("origin.not_pinned", "the ledger has another origin than the pinned one")
    elif pins:
        findings.add(
            "key.not_pinned",
            "the ledger belongs to none of the pinned keys; anyone could have made this file",
        )
    else:
        findings.add("key.none_pinned", "no key pinned; anyone could have made this file")


def _freshness(newest: int, freshly: Witnessed | None) -> Caveat:
    if freshly is not None and freshly.size is not None:
        older = f" nor than the remembered checkpoint of {newest} entries," if newest > freshly.size else ""
        return Caveat(
            "freshness.witnessed",
            f"a later state: it is no older than the {freshly.size} entries that a quorum of witnesses saw at"
            f" {written(freshly.time)},{older} but nothing says that it is the newest (freshness: witnessed)",
        )
    if newest:
        return Caveat(
            "freshness.remembered",
            f"a later state: it is no older than the remembered checkpoint of {newest} entries,"
            " but nothing says that it is the newest (freshness: remembered)",
        )
    return Caveat(
        "freshness.unproven",
        "a later state: nothing outside of this file says that it is the newest (freshness: unproven)",
    )


def _of_anchors(replayed: Replayed, witnessed: Witnessed | None) -> list[Caveat]:
    """Return what the anchors leave open."""
    caveats = []
    if witnessed is not None and witnessed.met and witnessed.size is None:
        caveats.append(Caveat("witnesses.none", "another history: the witness policy asks for no witness"))
    anchors = replayed.anchors
    unread = sum(anchors.unread.values())
    if unread:
        count = "1 anchor says" if unread == 1 else f"{unread} anchors say"
        caveats.append(
            Caveat("anchors.unread", f"{count} nothing that was checked ({anchors.unread_reasons()})")
        )
    if anchors.timestamps.count:
        caveats.append(
            Caveat(
                "timestamps.revocation",
                "a timestamp by somebody who got an authority's key: whether a certificate was revoked was"
                f" not looked at, and {anchors.timestamps.ended} of {anchors.timestamps.count} timestamps are"
                " by one that has ended since",
            )
        )
    return caveats


def _trusted(replayed: Replayed, witnessed: Witnessed | None) -> Caveat:
    """Return whom the verdict trusts, and for which entries that is less, because others saw them in time."""
    sentence = "a root attacker on the recording host, or somebody else who had the private key"
    said = []
    if witnessed is not None and witnessed.size is not None:
        said.append((witnessed.size, f"{written(witnessed.time)} according to the quorum of witnesses"))
    largest = replayed.anchors.timestamps.largest
    if largest is not None and not replayed.findings.counts[Severity.TAMPERED]:
        assert isinstance(largest.covers, int)
        said.append((largest.covers, f"{written(largest.time)} according to {largest.by}"))
    for size, when in said:
        sentence += (
            f"; the first {size} entries existed at {when}: whoever got the key later did not write them"
        )
    return Caveat("host.trusted", sentence)


def _not_excluded(recorded: Caveats) -> list[Caveat]:
    caveats = []
    for count, code, message in (
        (
            recorded.stat_only,
            "executable.stat_only",
            "the program was only watched by stat, not held by a lease",
        ),
        (recorded.by_path, "executable.by_path", "a script was run by its path, not by a held descriptor"),
        (recorded.metadata, "metadata.unprotected", "file modes, owners and times were not protected"),
        (
            recorded.unchecked_image,
            "image.unchecked",
            "the running image was not compared with what was hashed",
        ),
        (recorded.survivors, "process.survivors", "processes of the launch were still there at its end"),
    ):
        if count:
            launches = "1 launch" if count == 1 else f"{count} launches"
            caveats.append(Caveat(code, f"in {launches} {message}"))
    return caveats
