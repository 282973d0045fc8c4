"""What can be asked of a ledger's entries for a control: named questions, each answered by counting.

An answer is in numbers, says which launches are the exceptions (the first few), and comes to one of three:
it is met, it is not, or there was nothing to ask about. Memory does not grow with the ledger.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from attest import entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from verify.exports.records import Record
    from verify.verdict import Verdict

MAX_EXCEPTIONS = 20


class Answer(NamedTuple):
    """What a question came to.

    Attributes:
        met: whether it is met; None where there was nothing to ask about.
        text: the numbers, a sentence.
        exceptions: sessions that it is not met by, the first few.
        command: how anybody asks the same.
    """

    met: bool | None
    text: str
    exceptions: tuple[str, ...]
    command: str


class _Count:
    """How many of how many, and which sessions not."""

    def __init__(self) -> None:
        self.of = self.good = 0
        self.exceptions: list[str] = []

    def add(self, session: str, *, good: bool) -> None:
        self.of += 1
        self.good += good
        if not good and len(self.exceptions) < MAX_EXCEPTIONS:
            self.exceptions.append(session)


_COUNTED = {
    "launches.attributed": (
        "launches whose record names user, groups, host and command",
        "nono-verify export LEDGER --to csv --kind launch.intent",
    ),
    "launches.configured": (
        "launches under a configuration of the host, by its digest",
        "nono-verify LEDGER --policy FILE (system_configurations)",
    ),
    "launches.timed": (
        "launches with the time of their end beside that of their start",
        "nono-verify export LEDGER --to csv --kind launch.outcome",
    ),
    "launches.attested": (
        "ended launches with a signed statement over all of their entries",
        "nono-verify LEDGER --policy FILE (attested)",
    ),
    "executables.hashed": (
        "started commands whose program was hashed before it ran",
        "nono-verify export LEDGER --to csv --kind launch.start",
    ),
    "executables.unchanged": (
        "ended commands whose running image is the one that was hashed",
        "nono-verify LEDGER",
    ),
    "sandbox.enforced": (
        "started commands under everything of the sandbox that was required, nothing waived",
        "nono-verify LEDGER",
    ),
    "network.restricted": (
        "started commands without the network, or with named ports alone",
        "nono-verify LEDGER --policy FILE (network)",
    ),
    "outputs.hashed": (
        "declared outputs that were hashed when the command had ended",
        "nono-verify LEDGER --require-output FILE",
    ),
}
"""Questions that are met when all are: what is counted, and how anybody asks the same."""


class Queries:
    """The questions about one ledger, asked as its entries come by.

    Those about the ledger are answered by the verdict, for all of it. Where no entry of a launch comes by
    there was nothing to ask about: nothing is met by that.
    """

    def __init__(self) -> None:
        self._counts = {name: _Count() for name in _COUNTED}
        self._denied = self._granted = self._dropped = 0
        self._ended: dict[str, None] = {}  # whose statement is yet to come
        self.first = self.last = ""
        """The times of the first and the last entry, as entries have it."""
        self.entries = 0
        self._of_launches = 0

    def add(self, record: Record) -> None:
        """Take in an entry."""
        self.entries += 1
        document = record.document
        if document is None:
            return
        self.first = self.first or document["time"]
        self.last = document["time"]
        self._of_launches += document["session"] is not None
        take = _TAKE.get(document["kind"])
        if take is not None:
            take(self, record, document["session"], document["data"])

    def answer(self, name: str, verdict: Verdict) -> Answer:
        """Return what one of :data:`NAMES` came to.

        Args:
            name: which.
            verdict: what the verification of the ledger said.
        """
        found = self._counted(name, verdict)
        if found.met and not self._of_launches:
            text = f"{found.text}; no entry of a launch was among those that were asked about"
            return found._replace(met=None, text=text)
        return found

    def _counted(self, name: str, verdict: Verdict) -> Answer:
        if name in _COUNTED:
            what, command = _COUNTED[name]
            if name == "launches.attested":
                for session in self._ended:
                    self._counts[name].add(session, good=False)
                self._ended = {}
            count = self._counts[name]
            text = f"{count.good} of {count.of} {what}"
            met = None if not count.of else count.good >= count.of
            return Answer(met, text, tuple(count.exceptions), command)
        return _ASKED_OF_THE_VERDICT[name](self, verdict)

    def verified(self, verdict: Verdict) -> Answer:
        """Return whether the ledger holds."""
        held = verdict.head is not None
        words = "a pinned key vouches for it" if held else "it does not hold under a pinned key"
        text = f"the verification said {verdict.word}, of {verdict.size} entries: {words}"
        return Answer(held, text, (), "nono-verify LEDGER -k KEY")

    def complete(self, verdict: Verdict) -> Answer:
        """Return whether every launch has its end on record."""
        launches = verdict.launches
        without = launches.running + launches.lost + launches.unfinished
        total = launches.complete + without
        text = (
            f"{launches.complete} of {total} launches have their end on record; lost: {launches.lost},"
            f" without an end: {launches.unfinished}, still running: {launches.running}"
        )
        return Answer(None if not total else not without, text, (), "nono-verify LEDGER -k KEY")

    def witnessed(self, verdict: Verdict) -> Answer:
        """Return whether others saw the ledger, by their signatures."""
        seen = sum(anchor.holds is True for anchor in verdict.anchors)
        return Answer(
            verdict.freshness == "witnessed" or seen > 0,
            f"freshness is {verdict.freshness}; of its newest timestamps and cosignatures {seen} hold",
            (),
            "nono-verify LEDGER -k KEY --witness-policy FILE --tsa-roots FILE",
        )

    def decisions(self, _verdict: Verdict) -> Answer:
        """Return whether what was decided while commands ran is on record."""
        return Answer(
            False if self._dropped else True if self._denied + self._granted else None,
            f"{self._denied} refusals and {self._granted} grants while commands ran are on record,"
            f" {self._dropped} were dropped",
            (),
            "nono-verify export LEDGER --to csv --kind decision",
        )

    # --- what each kind adds ---------------------------------------------------------------------

    def intent(self, _record: Record, session: str, data: dict[str, Any]) -> None:
        """Take in what was asked."""
        self._counts["launches.attributed"].add(session, good=bool(data["user"] and data["host"]))
        self._counts["launches.configured"].add(session, good="system" in data.get("configuration", {}))

    def start(self, record: Record, session: str, data: dict[str, Any]) -> None:
        """Take in what ran, and inside what."""
        enforcement, capabilities = data["enforcement"], data["capabilities"]
        self._counts["executables.hashed"].add(session, good=bool(data["executable"]["sha256"]))
        achieved = all(
            enforcement["achieved"][name] for name, required in enforcement["required"].items() if required
        )
        self._counts["sandbox.enforced"].add(session, good=achieved and not enforcement["waived"])
        network = capabilities.get("network")
        if network is None and record.intent is not None and record.intent.document is not None:
            # The set lies beside the entry; the replay saw that it is no wider than what was asked.
            network = record.intent.document["data"]["network"]
        self._counts["network.restricted"].add(session, good=network is not None and network["mode"] != "all")

    def outcome(self, record: Record, session: str, data: dict[str, Any]) -> None:
        """Take in how it ended."""
        self._dropped += data["counts"]["decisions_dropped"]
        if "not_started" in data:
            return
        self._counts["launches.timed"].add(session, good="started" in data and "ended" in data)
        self._counts["executables.unchanged"].add(session, good=data["executed_image"] == "same")
        for output in data["outputs"]:
            self._counts["outputs.hashed"].add(session, good="sha256" in output)
        if record.intent is not None:
            self._ended[session] = None

    def attestation(self, _record: Record, session: str, _data: dict[str, Any]) -> None:
        """Take in a signed statement; of a launch whose end is asked about it is one."""
        if session in self._ended:
            del self._ended[session]
            self._counts["launches.attested"].add(session, good=True)

    def decision(self, _record: Record, _session: str, data: dict[str, Any]) -> None:
        """Take in a decision."""
        self._denied += data["verdict"] == "denied"
        self._granted += data["verdict"] == "granted"


_ASKED_OF_THE_VERDICT: dict[str, Callable[[Queries, Verdict], Answer]] = {
    "ledger.verified": Queries.verified,
    "ledger.complete": Queries.complete,
    "ledger.witnessed": Queries.witnessed,
    "decisions.recorded": Queries.decisions,
}

NAMES = (*_ASKED_OF_THE_VERDICT, *_COUNTED)
"""Every question."""

_TAKE: dict[str, Callable[[Queries, Record, str, dict[str, Any]], None]] = {
    entry.INTENT: Queries.intent,
    entry.START: Queries.start,
    entry.OUTCOME: Queries.outcome,
    entry.ATTESTATION: Queries.attestation,
    entry.DECISION: Queries.decision,
}
