"""Epochs: which key is in force at which size of a ledger (design 2, "Keys").

The genesis entry names the first key. A ``ledger.key`` entry at index i is the last of its commit:
the checkpoint at size i + 1 is kept and signed by the old key and then by the new one, and every
later entry belongs to the new key's epoch.
"""

from __future__ import annotations

import bisect
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.keys import PublicKey
    from verify.pins import Pin


class Epoch(NamedTuple):
    """The entries under one key.

    Attributes:
        key: the key in force.
        first: index of the first entry that it covers.
    """

    key: PublicKey
    first: int


class Epochs:
    """The epochs of a ledger, in order; there is always at least one."""

    __slots__ = ("_firsts", "_keys", "all")

    def __init__(self, genesis: PublicKey) -> None:
        self.all: list[Epoch] = [Epoch(genesis, 0)]
        self._firsts = [0]
        self._keys = {genesis}

    def hand_over(self, index: int, key: PublicKey) -> bool:
        """Begin the epoch of ``key`` behind entry ``index``; False when it was in force before."""
        self.all.append(Epoch(key, index + 1))
        self._firsts.append(index + 1)
        known = key in self._keys
        self._keys.add(key)
        return not known

    def key_at(self, index: int) -> PublicKey:
        """Return the key in force for the entry at ``index``."""
        return self.all[bisect.bisect_right(self._firsts, index) - 1].key

    def signers(self, size: int) -> list[PublicKey]:
        """Return whose signatures stand under a checkpoint of ``size`` (at least 1) entries, in order."""
        at = bisect.bisect_left(self._firsts, size)
        if at < len(self._firsts) and self._firsts[at] == size:
            return [self.all[at - 1].key, self.all[at].key]
        return [self.all[at - 1].key]


class Trusted(NamedTuple):
    """How a pin is met.

    Attributes:
        key: the key that meets it.
        by: ``genesis`` (the whole ledger is its or its successors') or ``head``.
        pin: the pin, or None when the pinned origin alone pins the genesis key.
        vouched: how many entries were written under earlier keys and are vouched for by this key alone.
    """

    key: PublicKey
    by: str
    pin: Pin | None
    vouched: int


def judge(
    epochs: Epochs, size: int, origin: str | None, pins: Sequence[Pin], pinned_origin: str | None
) -> Trusted | None:
    """Return how the pins are met by a ledger whose signatures all hold, or None.

    A pin is met by the genesis key, or by a key that itself signed the head; a key that is merely
    named by a handover has not vouched for anything. The origin is derived from the genesis key, so
    pinning it pins that key.
    """
    if pinned_origin is not None and pinned_origin != origin:
        return None
    eligible = {pin.key: pin for pin in reversed(pins) if pin.origin is None or pin.origin == origin}
    genesis = epochs.all[0].key
    if genesis in eligible:
        return Trusted(genesis, "genesis", eligible[genesis], 0)
    signers = epochs.signers(size)
    for epoch in reversed(epochs.all):
        if epoch.key in signers and epoch.key in eligible:
            return Trusted(epoch.key, "head", eligible[epoch.key], epoch.first)
    if not pins and pinned_origin is not None:
        return Trusted(genesis, "genesis", None, 0)
    return None
