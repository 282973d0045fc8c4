"""What ``nono-verify export-check`` says: one verdict about the lines of an export."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from verify.detached_verdict import DetachedVerdict

if TYPE_CHECKING:
    from attest.canonical import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportVerdict(DetachedVerdict):
    """What was found about the lines of an export.

    Origin, size and root are those of the newest checkpoint that its lines carry.

    Attributes:
        form: the name of the format, or None when it cannot be told.
        lines_read: how many records there are.
        lines_held: how many of them hold.
        lines_told: how many are about what the verification found, which nothing proves.
    """

    SCHEMA: ClassVar[str] = "urn:nono-attest:schema:v1:export-verdict"

    form: str | None = None
    lines_read: int = 0
    lines_held: int = 0
    lines_told: int = 0

    def what(self) -> str:
        """Return what was verified."""
        return f"{self.lines_held} {'line' if self.lines_held == 1 else 'lines'} of {self.form}"

    def members(self) -> dict[str, Json]:
        """Return the format, and how many of its lines hold."""
        return {
            "format": self.form,
            "lines": {"read": self.lines_read, "held": self.lines_held, "findings": self.lines_told},
        }

    def lines(self) -> list[str]:
        """Return how many lines hold."""
        told = f", {self.lines_told} tell of findings" if self.lines_told else ""
        return [f"lines: {self.lines_held} of {self.lines_read} hold{told}"]
