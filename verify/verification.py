"""From a path and what is pinned to a verdict: open, replay, judge the keys, say what is left open."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from attest.instant import parse_instant
from verify import epochs, reader
from verify.errors import NotCheckedError
from verify.findings import Findings, Severity
from verify.remembered import judge
from verify.replay import replay
from verify.requirements import Required
from verify.verdict import Caveat, EpochReport, PinReport, PolicyReport, RequiredReport, Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from verify.launches import Caveats
    from verify.pins import Pin
    from verify.policy import Policy
    from verify.remembered import Held, Remembered
    from verify.replay import Replayed

MAX_CLOCK_DIFFERENCE = timedelta(minutes=10)
"""How far the recording host's clock may be ahead of this one before the age of an entry means nothing."""


def verify(
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    pins: Sequence[Pin] = (),
    origin: str | None = None,
    allow_running: bool = False,
    remembered: Sequence[Remembered] = (),
    required: Required | None = None,
    now: datetime | None = None,
    cores: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Verdict:
    """Verify the ledger at ``path``.

    Args:
        path: the file.
        pins: the keys that are trusted; one of them must be the ledger's.
        origin: the origin that the ledger must have; pinning it pins its genesis key.
        allow_running: do not object to launches that are known to run still.
        remembered: checkpoints of it that were kept outside, see :mod:`verify.remembered`.
        required: a policy, and what else is asked of its launches.
        now: the time (with its zone) at which ages are judged; the clock's by default.
        cores: how many cores to use at most; all that this process may use by default. A long ledger is
            checked by that many processes; the verdict does not depend on it.
        progress: called now and then with the number of entries that were taken in, and of all; it begins
            again when the file was changed meanwhile.

    Returns:
        The verdict; its ``exit`` is never 2.

    Raises:
        NotCheckedError: the file cannot be read, is not SQLite, or is not a ledger; or a remembered
            checkpoint is nobody's that is known here (exit 2).
    """
    name = os.fsencode(path)
    for _ in range(reader.ATTEMPTS):
        with reader.open_ledger(name) as source:
            try:
                replayed = replay(
                    source,
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
    trusted = None
    if replayed.epochs is not None and replayed.size:
        trusted = epochs.judge(replayed.epochs, replayed.size, replayed.origin, pins, origin)
        if trusted is None:
            _report_pins(findings, replayed, pins, origin)
    elif not findings.counts[Severity.TAMPERED]:
        findings.add("entry.genesis", "the ledger has no genesis entry")
    newest = max((each.size for each in held if each.continued), default=0)
    if required.policy is not None:
        _8_policy(required.policy, findings, replayed.time, now, is_remembered=newest > 0)
    tampered, unmet = findings.counts[Severity.TAMPERED], findings.counts[Severity.UNMET]
    met = trusted if not tampered else None
    caveats = _not_excluded(replayed.caveats, newest)
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
        freshness="remembered" if newest else "unproven",
        remembered=held,
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


def _8_policy(
    policy: Policy, findings: Findings, time: str, now: datetime | None, *, is_remembered: bool
) -> None:
    """Judge what a policy asks of the ledger as a whole; its launches were judged as they came."""
    if policy.remembered and not is_remembered:
        findings.add(
            "policy.remembered", "the policy asks for a remembered checkpoint that the ledger continues"
        )
    if policy.head_age is None or not time:
        return
    age = (datetime.now(UTC) if now is None else now) - parse_instant(time)
    if age > timedelta(seconds=policy.head_age):
        what = f"the newest entry is of {time}, and older than the {policy.head_age} seconds of the policy"
        findings.add("policy.head_age", what)
    elif age < -MAX_CLOCK_DIFFERENCE:
        what = f"the newest entry is of {time}, which is not yet: its age cannot be judged"
        findings.add("policy.head_age", what)


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
    )


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


def _not_excluded(recorded: Caveats, newest: int) -> list[Caveat]:
    if newest:
        freshness = Caveat(
            "freshness.remembered",
            f"a later state: it is no older than the remembered checkpoint of {newest} entries,"
            " but nothing says that it is the newest (freshness: remembered)",
        )
    else:
        freshness = Caveat(
            "freshness.unproven",
            "a later state: nothing outside of this file says that it is the newest (freshness: unproven)",
        )
    caveats = [freshness]
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
    if recorded.anchors:
        anchors = "1 anchor was" if recorded.anchors == 1 else f"{recorded.anchors} anchors were"
        caveats.append(
            Caveat(
                "anchors.unread",
                f"{anchors} not looked at: whether a timestamp, a log or a witness says what it is there for",
            )
        )
    caveats.append(
        Caveat(
            "host.trusted", "a root attacker on the recording host, or somebody else who had the private key"
        )
    )
    return caveats
