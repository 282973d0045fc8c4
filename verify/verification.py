"""From a path and what is pinned to a verdict: open, replay, judge the keys, say what is left open."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from verify import caveats, pinning, reader
from verify.errors import NotCheckedError
from verify.findings import Severity
from verify.remembered import judge
from verify.replay import replay
from verify.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.pins import Pin
    from verify.remembered import Held, Remembered
    from verify.replay import Replayed


def verify(
    path: str | bytes | os.PathLike[str] | os.PathLike[bytes],
    *,
    pins: Sequence[Pin] = (),
    origin: str | None = None,
    allow_running: bool = False,
    remembered: Sequence[Remembered] = (),
) -> Verdict:
    """Verify the ledger at ``path``.

    Args:
        path: the file.
        pins: the keys that are trusted; one of them must be the ledger's.
        origin: the origin that the ledger must have; pinning it pins its genesis key.
        allow_running: do not object to launches that are known to run still.
        remembered: checkpoints of it that were kept outside, see :mod:`verify.remembered`.

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
                return _judge(replayed, pins, origin, remembered)
    raise NotCheckedError(f"{os.fsdecode(name)} changes while it is read", code="input.changing")


def _judge(
    replayed: Replayed, pins: Sequence[Pin], origin: str | None, remembered: Sequence[Remembered]
) -> Verdict:
    findings = replayed.findings
    held = _hold_to_memory(replayed, pins, remembered)
    trusted = None
    if replayed.epochs is not None and replayed.size:
        trusted = pinning.judge(
            findings, replayed.epochs, replayed.size, replayed.origin, pins=pins, pinned_origin=origin
        )
    elif not findings.counts[Severity.TAMPERED]:
        findings.add("entry.genesis", "the ledger has no genesis entry")
    tampered, unmet = findings.counts[Severity.TAMPERED], findings.counts[Severity.UNMET]
    met = trusted if not tampered else None
    newest = max((each.size for each in held if each.continued), default=0)
    not_excluded = [
        caveats.freshness(newest),
        *caveats.vouched(met),
        *caveats.recorded(replayed.caveats),
        caveats.HOST,
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
        freshness="remembered" if newest else "unproven",
        remembered=held,
        head=replayed.head.decode() if met is not None else None,
        not_excluded=tuple(not_excluded),
    )


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
