"""Pins, held against the keys of a ledger: how they are met, and what is said when they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from verify import epochs
from verify.verdict import EpochReport, PinReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from verify.epochs import Epochs, Trusted
    from verify.findings import Findings
    from verify.pins import Pin


def judge(
    findings: Findings,
    keys: Epochs,
    size: int,
    origin: str | None,
    *,
    pins: Sequence[Pin],
    pinned_origin: str | None,
) -> Trusted | None:
    """Return how the pins are met (:func:`verify.epochs.judge`); report it when they are not.

    Args:
        findings: told when no pin is met.
        keys: the ledger's keys.
        size: the number of entries under its head.
        origin: the ledger's origin, recomputed.
        pins: the keys that are trusted.
        pinned_origin: the origin that it must have, or None.
    """
    trusted = epochs.judge(keys, size, origin, pins, pinned_origin)
    if trusted is not None:
        return trusted
    if pinned_origin is not None and origin != pinned_origin:
        findings.add("origin.not_pinned", "the ledger has another origin than the pinned one")
    elif pins:
        findings.add(
            "key.not_pinned",
            "the ledger belongs to none of the pinned keys; anyone could have made this file",
        )
    else:
        findings.add("key.none_pinned", "no key pinned; anyone could have made this file")
    return None


def reports(pins: Sequence[Pin], met: Trusted | None, origin: str | None) -> tuple[PinReport, ...]:
    """Return for each pin whether it is met, and how.

    Args:
        pins: the keys that are trusted.
        met: how they are met; None when they are not, or when what they would vouch for does not hold.
        origin: the ledger's origin, recomputed.
    """
    return tuple(
        PinReport(
            pin.key.fingerprint(),
            pin.source,
            met.by if met is not None and pin.key == met.key and pin.origin in {None, origin} else None,
        )
        for pin in pins
    )


def epoch_reports(keys: Epochs | None) -> tuple[EpochReport, ...]:
    """Return the ledger's keys, in the order in which they came into force."""
    return tuple(
        EpochReport(epoch.key.fingerprint(), epoch.first) for epoch in ([] if keys is None else keys.all)
    )
