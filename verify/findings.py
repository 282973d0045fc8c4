"""Findings: what the verifier reports, and the closed table of their codes.

A code is ``area.reason``. Its meaning and its severity never change and it is never used again for
something else, so that a policy or a dashboard may rely on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attest.canonical import Json

MAX_FINDINGS = 100
"""How many findings of each severity are kept; the rest is counted."""


class Severity(StrEnum):
    """What a finding does to the verdict."""

    TAMPERED = "tampered"
    """Exit 1: tampering or corruption."""
    UNMET = "unmet"
    """Exit 3: intact, but not what was required."""
    UNCHECKED = "unchecked"
    """Exit 2: nothing could be checked."""
    NOTE = "note"
    """No effect on the exit code."""


_T, _U, _X, _N = Severity.TAMPERED, Severity.UNMET, Severity.UNCHECKED, Severity.NOTE

CODES: dict[str, tuple[Severity, str]] = {
    # 1 File
    "file.damaged": (_T, "SQLite finds the database damaged"),
    "file.size": (_T, "the file is longer or shorter than its pages"),
    # 2 Entries
    "entry.missing": (_T, "an index between 0 and the head's size has no entry"),
    "entry.size": (_T, "an entry is longer than 65,535 bytes"),
    "entry.form": (_T, "an entry is not the canonical JSON of an entry"),
    "entry.schema": (_T, "an entry is not of its kind's closed schema"),
    "entry.kind": (_U, "an entry is of a kind that this version of the verifier does not know"),
    "entry.time": (_T, "an entry's time lies before that of the entry above it"),
    "entry.genesis": (_T, "the first entry is no genesis, or a later one is"),
    # 3 Tree
    "tree.root": (_T, "the entries do not hash to the root of the head"),
    "tree.leaf": (_T, "an entry's hash is not the one that its tile holds"),
    "tree.tile": (_T, "a stored tile is not what the entries give"),
    "tree.tile_missing": (_T, "a full tile is not stored"),
    "tree.tile_surplus": (_T, "a tile is stored that is not full, or of no possible place"),
    "tree.edge": (_T, "the stored edge is not that of the head"),
    # 4 Head and kept checkpoints
    "head.missing": (_T, "there is no head, or more than one row where it stands"),
    "head.form": (_T, "the head is not a checkpoint in its one form"),
    "head.origin": (_T, "the head, or a line of an export, belongs to another ledger"),
    "head.signature": (_T, "the head is not signed by the key in force"),
    "head.beyond": (_T, "entries lie beyond the head"),
    "checkpoint.missing": (_T, "a handover or an anchored size has no kept checkpoint"),
    "checkpoint.form": (_T, "a kept checkpoint is not a checkpoint in its one form"),
    "checkpoint.origin": (_T, "a kept checkpoint belongs to another ledger"),
    "checkpoint.signature": (_T, "a kept checkpoint is not signed by the key in force at its size"),
    "checkpoint.root": (
        _T,
        "a kept checkpoint has not the root of the entries that it covers, or lines of an export have two",
    ),
    "checkpoint.size": (_T, "a kept checkpoint is of another size than its row, or beyond the head"),
    "checkpoint.surplus": (_T, "a checkpoint is kept at a size that is neither a handover nor anchored"),
    # 5 Keys
    "origin.genesis": (_T, "the origin is not the one that follows from the genesis entry"),
    "key.form": (_T, "a key of the ledger cannot be used"),
    "key.repeated": (_T, "a key comes into force a second time"),
    "origin.previous": (_T, "the genesis entry says that the ledger continues itself"),
    "anchor.covers": (_T, "an anchor covers a size or an attestation that is not in the ledger above it"),
    "key.none_pinned": (_U, "no key is pinned, so anyone could have made this file"),
    "key.not_pinned": (_U, "the ledger belongs to none of the pinned keys"),
    "origin.not_pinned": (_U, "the ledger has another origin than the pinned one"),
    # 6 Launches
    "launch.intent": (_T, "an entry belongs to a session that has no intent"),
    "launch.reused": (_T, "the id of a closed session comes again"),
    "launch.sequence": (_T, "a session's entries are not numbered one after the other"),
    "launch.order": (_T, "an entry stands where the grammar of a session has no place for it"),
    "launch.hook": (_T, "a hook's result has no place: not in the intent, twice, or at the wrong time"),
    "launch.hook_missing": (_T, "a hook that the intent names has no result"),
    "launch.outcome": (_T, "the outcome does not agree with whether the launch started"),
    "launch.outputs": (_T, "the outputs reported are not the outputs declared"),
    "launch.nesting": (_T, "a launch names itself as the one around it"),
    "launch.direct": (_T, "a direct launch, which ends with its start, has an after-hook or outputs"),
    "launch.execs": (_T, "a launch sees or limits less of its execs than was asked for"),
    "launch.hook_failed": (_T, "a launch started although a before-hook failed that was required"),
    "launch.network": (_T, "the capability set has a wider network than was asked for"),
    "launch.unix_sockets": (_T, "the capability set has UNIX sockets that were not asked for"),
    "launch.ipc": (_T, "the capability set shares what System V has, which was not asked for"),
    "launch.elevation": (_T, "a file was given that no grant covers, and nobody was to be asked about any"),
    "launch.output_digests": (_U, "an outcome has two digests of one output"),
    "launch.waived": (_N, "a feature of the sandbox was waived, and achieved all the same"),
    "launch.counts": (_T, "the outcome counts other decisions than are recorded"),
    "launch.capabilities": (_T, "the capability set has another SHA-256 than the one recorded"),
    "launch.enforcement": (_T, "what must be required was neither achieved nor waived, and it started"),
    "launch.signature": (_T, "the attestation is not signed by the key in force"),
    "launch.statement": (_T, "the attestation states something else than the entries"),
    "launch.degraded": (_U, "a required feature of the sandbox was waived"),
    "launch.image": (_U, "the program that ran is not the one that was hashed"),
    "launch.unhashed": (_U, "a declared output was not hashed"),
    "launch.lost": (_U, "the supervisor was lost before it could finish the record"),
    "launch.accepted": (_N, "a launch was lost, has no end or waived a feature, and the policy accepts it"),
    "launch.unfinished": (_U, "a launch has no end"),
    "launch.running": (_U, "a launch still runs"),
    "blob.withheld": (_U, "a value that lay beside an entry was taken away"),
    "blob.digest": (_T, "a blob is not the one that its entry names"),
    "blob.form": (_T, "a blob is not of the form that its field has"),
    "blob.size": (_T, "a blob is longer than 16 MiB, or its entry says so"),
    "blob.unchecked": (_U, "a blob has too many values for its form to be checked in bounded memory"),
    "blob.surplus": (_T, "a blob is named by no entry"),
    # 7 Memory
    "memory.older": (_T, "the ledger is shorter than a checkpoint of it that was remembered"),
    "memory.root": (_T, "the ledger is not the one that a remembered checkpoint of it covers"),
    "memory.origin": (_U, "a remembered checkpoint is that of another ledger"),
    "anchor.form": (_T, "the evidence of an anchor is not of the form of its type"),
    "anchor.evidence": (_T, "the evidence of an anchor is about something else than the anchor covers"),
    "witness.signature": (_T, "a cosignature in the ledger is not what a known witness signed"),
    "witness.time": (_U, "a cosignature is of a time that cannot be, or that lies ahead"),
    "witness.quorum": (_U, "the quorum of the witness policy is not met"),
    "witness.log": (_U, "the witness policy is about other logs"),
    "witness.own_key": (_U, "a key of the ledger is one of the witness policy's witnesses"),
    "timestamp.signature": (_T, "a timestamp in the ledger is not what a timestamp authority signed"),
    "timestamp.time": (_U, "a timestamp lies ahead"),
    "timestamp.none": (_U, "no timestamp is by an authority under the roots that are trusted"),
    # 8 Policy, and what else is required
    "policy.anchor_lag": (_U, "what others saw of the ledger is further behind than the policy allows"),
    "policy.attested": (_U, "a launch has no attestation, which the policy asks for"),
    "policy.bypass": (_U, "a launch bypassed protection, which the policy forbids"),
    "policy.configuration": (_U, "a launch was under no host's configuration that the policy names"),
    "policy.execs": (_U, "a launch saw or limited less of its execs than the policy asks for"),
    "policy.executable": (_U, "a launch ran a program that the policy does not name"),
    "policy.exit": (_U, "a launch ended otherwise than the policy allows"),
    "policy.grant": (_U, "a launch was granted something in a place that the policy closes"),
    "policy.head_age": (_U, "the newest entry is older than the policy allows, or lies in the future"),
    "policy.hook": (_U, "a launch had not the hook that the policy asks for, or it failed"),
    "policy.label": (_U, "a launch has not a label that the policy asks for"),
    "policy.network": (_U, "a launch had a wider network than the policy allows"),
    "policy.output": (_U, "a launch has not a hashed output that the policy asks for"),
    "policy.profile": (_U, "a launch had no profile, or one that the policy does not name"),
    "policy.remembered": (_U, "no remembered checkpoint was given that the ledger continues"),
    "policy.required": (_U, "no complete launch meets one of the policy's requirements"),
    "policy.socket": (_U, "a launch was granted a UNIX socket, which the policy forbids"),
    "policy.ipc": (_U, "a launch shared what System V has, which the policy forbids"),
    "policy.undecided": (_U, "a launch does not show what the policy asks about"),
    "policy.write": (_U, "a launch was granted something for writing where the policy forbids it"),
    "require.label": (_U, "no complete launch with the required labels succeeded"),
    "require.output": (_U, "no such launch made a file that is required"),
    "require.session": (_U, "the launch that is asked about is not in the ledger"),
    # A proof that an entry is under a head
    "proof.form": (_T, "a proof is not in the one form of C2SP tlog-proof, or its checkpoint is none"),
    "proof.root": (_T, "the entry, its index and the hashes of the proof do not lead to the root"),
    "proof.signature": (_T, "the checkpoint of a proof is not what the pinned key signed"),
    # The evidence of one launch
    "evidence.form": (_T, "evidence is not in its one form, or something that belongs into it is not there"),
    "evidence.surplus": (_T, "an entry is none of the launch's, and neither the genesis nor a handover"),
    # The lines of an export
    "export.form": (_T, "a line of an export is not of the form of its format"),
    "export.changed": (_T, "a line of an export says something else than the entry that it carries"),
    # Why nothing was checked
    "export.unproven": (
        _X,
        "a line of an export carries no proof, or names an entry that no line before it carries",
    ),
    "export.exists": (_X, "the file that an export is to be written to exists already"),
    "export.unwritable": (_X, "an export cannot be written"),
    "export.missing": (_X, "a library that a format needs is not installed"),
    "export.undelivered": (_X, "an export did not get to where it was sent, or not all of it"),
    "input.not_an_export": (_X, "not an export whose lines can be checked"),
    "input.not_evidence": (_X, "not the evidence of one launch"),
    "input.not_a_proof": (_X, "not a C2SP tlog-proof, or one from another kind of log"),
    "input.unreadable": (
        _X,
        "what is to be checked is missing, no regular file, empty, not SQLite, or unreadable",
    ),
    "input.not_a_ledger": (_X, "an SQLite database, but not by the format of a ledger"),
    "input.version": (
        _X,
        "a ledger, or evidence, of a format that this version of the verifier does not know",
    ),
    "input.journal": (_X, "a rollback journal lies beside the file"),
    "input.changing": (_X, "the file was changed each time that it was read"),
    "input.too_large": (_X, "there is no room for the copy that is needed to read it"),
    "input.memory": (_X, "there was not enough memory to read the file"),
    "input.worker": (_X, "a process that checked a part of the ledger ended before its time"),
    "input.busy": (_X, "others kept the file locked"),
    "input.unexpected": (_X, "the verifier itself failed, which is a fault of its own"),
    "input.usage": (_X, "the request makes no sense"),
    "key.unreadable": (_X, "a key file that was named cannot be read"),
    "key.format": (_X, "what was named as a key is no public key that can be pinned"),
    "key.store": (_X, "the trust store cannot be read or changed as asked"),
    "memory.unreadable": (_X, "a remembered checkpoint cannot be read"),
    "memory.form": (_X, "what was named as a remembered checkpoint is none"),
    "memory.signature": (_X, "a remembered checkpoint is signed by no key that is known here"),
    "memory.unwritable": (_X, "the checkpoint cannot be saved"),
    "attest.key": (_X, "the key that is to sign the verdict cannot be used"),
    "attest.ledger_key": (_X, "the key that is to sign the verdict is the ledger's own"),
    "attest.unwritable": (_X, "the signed verdict cannot be written"),
    "report.exists": (_X, "the page would take the place of something else"),
    "report.unwritable": (_X, "the page cannot be written"),
    "controls.unreadable": (_X, "a table of controls cannot be read"),
    "controls.form": (_X, "what was named as a table of controls is none"),
    "policy.empty": (_X, "a policy requires nothing"),
    "policy.form": (_X, "what was named as a policy is none"),
    "policy.unreadable": (_X, "a policy cannot be read"),
    "require.unreadable": (_X, "a file that is required as an output cannot be read"),
    "witness.unreadable": (_X, "a witness policy cannot be read"),
    "witness.form": (_X, "what was named as a witness policy is none"),
    "timestamp.unreadable": (_X, "the roots of timestamp authorities cannot be read"),
    "timestamp.form": (_X, "what was named as roots of timestamp authorities holds none"),
    "timestamp.missing": (_X, "timestamps cannot be checked with what is installed"),
    # The report itself
    "findings.more": (_N, "there are more findings than are listed"),
}
"""Every code: its severity, and what it means."""


def encodable(message: str) -> str:
    """Return a message that every JSON reader takes: the bytes of a path that are not UTF-8 are escaped."""
    return message.encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: ``area.reason``, a key of :data:`CODES`.
        message: one plain sentence, without a full stop.
        index: the entry that it is about, or None.
        session: the session that it is about, or None.
    """

    code: str
    message: str
    index: int | None = None
    session: str | None = None

    @property
    def severity(self) -> Severity:
        """What this finding does to the verdict."""
        return CODES[self.code][0]

    def document(self) -> dict[str, Json]:
        """Return the JSON form."""
        return {
            "code": self.code,
            "index": self.index,
            "session": self.session,
            "severity": self.severity.value,
            "message": encodable(self.message),
        }


_NONE: dict[Severity, int] = dict.fromkeys(Severity, 0)


class Findings:
    """The findings of one replay: bounded, and in index order when they are listed.

    Attributes:
        counts: how many there were of each severity, kept or not.
        codes: the codes that there were, kept or not.
    """

    __slots__ = ("_kept", "codes", "counts")

    def __init__(self) -> None:
        self.counts = _NONE.copy()
        self.codes: set[str] = set()
        self._kept: list[Finding] = []

    def add(self, code: str, what: str, index: int | None = None, session: str | None = None) -> None:
        """Add a finding; with an index, ``what`` goes on after "entry 17 (session …)"."""
        severity = CODES[code][0]
        self.counts[severity] += 1
        self.codes.add(code)
        if self.counts[severity] > MAX_FINDINGS:
            return
        if index is not None:
            what = f"entry {index}{f' (session {session})' if session else ''} {what}"
        self._kept.append(Finding(code, what, index, session))

    def listed(self) -> tuple[Finding, ...]:
        """Return the findings, those without an index first, then in index order."""
        found = sorted(self._kept, key=lambda finding: -1 if finding.index is None else finding.index)
        left = sum(self.counts.values()) - len(found)
        if left:
            found.append(Finding("findings.more", f"{left} more findings are not listed"))
        return tuple(found)
