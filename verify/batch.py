"""Batches: runs of entries without a gap, bounded in number and bytes, and how they pass through a pipe."""

from __future__ import annotations

from array import array
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from attest.named_tuples import NamedTuple
from verify.reader import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MAX_ENTRIES = 2_048
MAX_BYTES = 1 << 20
"""A batch is full with the entry that reaches one of these: so it has at most one entry's bytes more."""

_CLOSING = b'"kind":"launch.attestation"'
_BEHIND_THE_KIND = 160  # bytes: kind, seq, session, time and v are the last members of an entry


class Batch(NamedTuple):
    """Entries that follow one another.

    Attributes:
        first: the index of the first of them.
        bodies: their bytes.
    """

    first: int
    bodies: list[bytes]

    def encode(self) -> tuple[bytes, bytes]:
        """Return the lengths of the bodies (unsigned integers as this machine has them), and the bodies."""
        return array("I", map(len, self.bodies)).tobytes(), b"".join(self.bodies)

    @classmethod
    def decode(cls, first: int, lengths: bytes, joined: bytes) -> Batch:
        """Return the batch of that encoding."""
        ends = accumulate(memoryview(lengths).cast("I"), initial=0)
        return cls(first, [joined[start:end] for start, end in pairwise(ends)])


def _is_full(bodies: list[bytes], size: int) -> bool:
    """Return whether one that has enough should end: best behind a launch, so that launches are whole."""
    if size >= MAX_BYTES or len(bodies) >= MAX_ENTRIES:
        return True
    return _CLOSING in bodies[-1][-_BEHIND_THE_KIND:]


def batches(entries: Iterable[tuple[int, object]]) -> Iterator[Batch]:
    """Yield entries in batches; NULL for a body, which part 1 of the replay reports, counts as no bytes.

    Raises:
        DamagedError: as ``entries`` does, behind a batch of what came before.
    """
    first, bodies, size, expected = 0, list[bytes](), 0, 0
    enough_entries, enough_bytes = MAX_ENTRIES * 9 // 10, MAX_BYTES * 9 // 10
    damage = None
    try:
        for index, body in entries:
            has_enough = size >= enough_bytes or len(bodies) >= enough_entries
            if index != expected or (has_enough and bodies and _is_full(bodies, size)):
                if bodies:
                    yield Batch(first, bodies)
                first, bodies, size = index, [], 0
            data = body if type(body) is bytes else b""
            bodies.append(data)
            size += len(data)
            expected = index + 1
    except DamagedError as error:
        damage = error
    if bodies:
        yield Batch(first, bodies)
    if damage is not None:
        raise damage
