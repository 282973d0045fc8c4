"""What ``nono-verify evidence`` says: one verdict about one launch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from verify.detached_verdict import DetachedVerdict

if TYPE_CHECKING:
    from attest.canonical import Json
    from verify.verdict import EpochReport

_SHOWN_SUBJECTS = 20


@dataclass(frozen=True, slots=True)
class LaunchReport:
    """The launch that evidence is about.

    Attributes:
        session: its id.
        state: ``complete``, ``running``, ``lost`` or ``unfinished``; None when that cannot be said.
        first: the index of its first entry.
        last: the index of its last one, as far as the evidence goes.
        entries: how many of its entries are there.
        withheld: how many values that lay beside them are not.
    """

    session: str
    state: str | None
    first: int
    last: int
    entries: int
    withheld: int

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {
            "session": self.session,
            "state": self.state,
            "first": self.first,
            "last": self.last,
            "entries": self.entries,
            "withheld": self.withheld,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class EvidenceVerdict(DetachedVerdict):
    """What was found about the evidence of one launch.

    Attributes:
        launch: the launch, or None when nothing of it was found.
        statement: the in-toto statement about it, which its entries give and the key in force signed; None
            without an attestation, and where a pin is not met or something does not hold.
        epochs: the ledger's keys in the order in which they came into force.
    """

    SCHEMA: ClassVar[str] = "urn:nono-attest:schema:v1:evidence-verdict"

    launch: LaunchReport | None = None
    statement: dict[str, Json] | None = None
    epochs: tuple[EpochReport, ...] = ()

    def what(self) -> str:
        """Return which launch was verified."""
        assert self.launch is not None
        return f"launch {self.launch.session}, {self.launch.entries} of {self.size} entries"

    def members(self) -> dict[str, Json]:
        """Return the launch, what was signed about it, and the ledger's keys."""
        return {
            "launch": None if self.launch is None else self.launch.document(),
            "statement": self.statement,
            "epochs": [{"fingerprint": epoch.fingerprint, "first": epoch.first} for epoch in self.epochs],
        }

    def lines(self) -> list[str]:
        """Return how the launch ended, and what was signed about it."""
        launch = self.launch
        if launch is None:
            return []
        said = [
            f"launch: {launch.session}, {launch.state or 'of a kind that is not known'},"
            f" {launch.entries} {'entry' if launch.entries == 1 else 'entries'}"
            f" from {launch.first} to {launch.last}"
        ]
        return said if self.statement is None else said + _stated(self.statement)


def _stated(statement: dict[str, Json]) -> list[str]:
    """Return the parts of a statement that say what ran, how it ended and what it made."""
    predicate, subjects = statement["predicate"], statement["subject"]
    assert isinstance(predicate, dict)
    assert isinstance(subjects, list)
    summary = predicate["summary"]
    assert isinstance(summary, dict)
    outcome, labels = summary["outcome"], summary["labels"]
    assert isinstance(outcome, dict)
    assert isinstance(labels, dict)
    (how, value), *_ = outcome.items()
    if isinstance(value, dict):
        how, value = "not started", value["code"]
    said = [f"outcome: {how} {value}, {summary['ended']}"]
    for subject in subjects[:_SHOWN_SUBJECTS]:
        assert isinstance(subject, dict)
        digest = subject["digest"]
        assert isinstance(digest, dict)
        said.append(f"subject: {subject.get('name', subject.get('uri'))}, SHA-256 {digest['sha256']}")
    if len(subjects) > _SHOWN_SUBJECTS:
        said.append(f"subject: {len(subjects) - _SHOWN_SUBJECTS} more; --format json lists them")
    return said + [f"label: {name}={label}" for name, label in labels.items()]
