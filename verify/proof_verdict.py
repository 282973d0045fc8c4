"""What ``nono-verify proof`` says: one verdict about one entry."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from verify.detached_verdict import DetachedVerdict

if TYPE_CHECKING:
    from attest.canonical import Json
    from attest.entry import Entry


@dataclass(frozen=True, slots=True, kw_only=True)
class ProofVerdict(DetachedVerdict):
    """What was found about a proof and an entry.

    Of its pins those that are met by ``head`` signed the checkpoint.

    Attributes:
        index: where the entry stands, or None.
        entry: the entry, where it is one.
    """

    SCHEMA: ClassVar[str] = "urn:nono-attest:schema:v1:proof-verdict"

    index: int | None = None
    entry: Entry | None = None

    def what(self) -> str:
        """Return which entry was verified."""
        return f"entry {self.index} of {self.size}"

    def members(self) -> dict[str, Json]:
        """Return where the entry stands, and what it is."""
        if self.entry is None:
            return {"index": self.index, "entry": None}
        return {
            "index": self.index,
            "entry": {
                "kind": self.entry.kind,
                "session": self.entry.session,
                "seq": self.entry.seq,
                "time": self.entry.time,
            },
        }

    def lines(self) -> list[str]:
        """Return what the entry is."""
        if self.entry is None:
            return []
        session = "" if self.entry.session is None else f", session {self.entry.session}"
        number = "" if self.entry.session is None else f", number {self.entry.seq} of it"
        return [f"entry: {self.entry.kind}{session}{number}, {self.entry.time}"]
