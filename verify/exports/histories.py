"""Whether the checkpoints that lines carry are of one ledger, and as far as lines show it of one history.

Each line is proven under its own checkpoint. Who holds the key can sign two histories, so lines of several
checkpoints need more: two roots over one size are two histories, which is found. Those of two sizes take
a consistency proof (RFC 9162, section 2.1.4). The proof that the last entry of the smaller one is in the
larger one is as good, since all that stands to the left of its way up is the smaller tree: where a line
carries it, behind one of the smaller checkpoint, both are compared. Otherwise nothing shows it, and that is
said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest.proof import earlier_root
from verify.verdict import Caveat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.checkpoint import Checkpoint

MAX_SIZES = 4_096
"""Checkpoints of how many sizes are remembered."""
_SHOWN = 5


class Histories:
    """The checkpoints of the lines so far.

    Attributes:
        newest: the largest of them, or None.
    """

    def __init__(self) -> None:
        self.newest: Checkpoint | None = None
        self._roots: dict[int, bytes] = {}
        self._continued: set[int] = set()
        self._forgotten = False

    def take(self, head: Checkpoint) -> tuple[str, str] | None:
        """Take in the checkpoint of a line; return what is wrong with it: a finding's code, and the words."""
        newest = self.newest
        if newest is not None and head.origin != newest.origin:
            return "head.origin", "is of another ledger than those before it"
        if self._roots.get(head.size, head.root) != head.root:
            return "checkpoint.root", f"is of another history: two roots over {head.size} entries"
        if head.size in self._roots or len(self._roots) < MAX_SIZES:
            self._roots[head.size] = head.root
        else:
            self._forgotten = True
        if newest is None or head.size > newest.size:
            self.newest = head
        return None

    def compare(
        self, leaf: bytes, index: int, path: Sequence[bytes], head: Checkpoint
    ) -> tuple[str, str] | None:
        """Compare a checkpoint with the smaller one that ends with an entry, if a line before had that.

        Args:
            leaf: the entry's leaf hash.
            index: where it stands.
            path: the proof that it is under ``head``, which holds.
            head: the larger checkpoint.
        """
        size = index + 1
        known = self._roots.get(size)
        if known is None or size >= head.size or size in self._continued:
            return None
        if earlier_root(leaf, index, head, path) != known:
            return (
                "checkpoint.root",
                f"is of another history: its first {size} entries are not those of a checkpoint before it",
            )
        if head.size in self._roots:
            self._continued.add(size)
        return None

    def caveats(self) -> list[Caveat]:
        """Return what is left open."""
        if self._forgotten:
            return [
                Caveat(
                    "export.histories",
                    f"that its lines are of one history: they carry checkpoints of more than {MAX_SIZES}"
                    " sizes, which were not all compared",
                )
            ]
        alone = sorted(self._roots.keys() - self._continued)[:-1]
        if not alone:
            return []
        shown = ", ".join(map(str, alone[:_SHOWN])) + (", …" if len(alone) > _SHOWN else "")
        return [
            Caveat(
                "export.histories",
                f"that its lines are of one history: they carry checkpoints of {len(self._roots)} sizes, and"
                f" no line shows that a larger one continues that of {shown} entries; the ledger shows it:"
                " nono-verify LEDGER --checkpoint FILE",
            )
        ]
