"""From lines of an export and what is pinned to a verdict; no ledger is at hand.

1. **Form.** Each line is one of the format, and says of which entry it is.
2. **Proof.** The entry that it carries is in a ledger of a pinned key, as :mod:`verify.proof` has it.
3. **View.** The line is what the format makes of that entry: it is written again, and compared.

What the verification said when the export was made (``verdict``) is not in any proof. What a single line
cannot show (:mod:`verify.exports.histories`), and what an event leaves out of its launch, the verdict says.
"""

from __future__ import annotations

import codecs
from typing import TYPE_CHECKING, Any

from attest import canonical, note, tlog_proof, tree
from attest import entry as entries
from attest.checkpoint import parse_text
from attest.errors import MalformedError
from attest.tlog_proof import TlogProof
from verify import caveats
from verify.errors import NotCheckedError
from verify.exports import formats
from verify.exports.format import Proven, Referred
from verify.exports.histories import Histories
from verify.exports.long_entries import LongEntries
from verify.exports.records import Record, Standing, View, reader_of_anything
from verify.exports.verdict import ExportVerdict
from verify.findings import MAX_FINDINGS, Finding, Findings, Severity
from verify.proof import verify_proof
from verify.verdict import WORDS, Caveat, PinReport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from attest.checkpoint import Checkpoint
    from attest.note import Note
    from verify.exports.format import Claim, LineFormat
    from verify.pins import Pin


def check_export(
    file: BinaryIO, *, form: str | None = None, pins: Sequence[Pin] = (), origin: str | None = None
) -> ExportVerdict:
    """Check the lines of an export.

    Args:
        file: the lines, read once from where it stands, one in memory at a time.
        form: the name of the format; by default the first line says it.
        pins: the keys that are trusted; one of them must have signed the checkpoint of each line.
        origin: the origin that the ledger must have.

    Returns:
        The verdict; its ``exit`` is 2 when a line carries no proof.

    Raises:
        NotCheckedError: it cannot be read, or is no export whose lines can be checked.
    """
    return _Check(pins, origin).run(file, form)


class _Check:
    def __init__(self, pins: Sequence[Pin], origin: str | None) -> None:
        self._pins = pins
        self._origin = origin
        self._findings = Findings()
        self._read = reader_of_anything()
        self._met: set[str] = set()
        self._histories = Histories()
        self._on_lines_before = LongEntries()
        self._lines = self._held = self._told = self._without_start = 0
        self._hint: str | None = None

    def run(self, file: BinaryIO, name: str | None) -> ExportVerdict:
        try:
            # Only there it is a mark: before another line some reader takes it for a part of the first cell.
            first = file.readline(formats.MAX_LINE_BYTES + 1).removeprefix(codecs.BOM_UTF8)
            name = name or _recognised(first)
            form = formats.load_lines(name)(View(Standing(None, None, None, "verified")))
            line, number = first, 1
            if _begins(form, first):
                line, number = file.readline(formats.MAX_LINE_BYTES + 1), 2
            while line:
                if line.rstrip(b"\r\n"):  # of blanks it is a row to others, or no JSON
                    self._lines += 1
                    self._line(number, line, form)
                if self._findings.counts[Severity.TAMPERED] > MAX_FINDINGS:
                    break  # no more would be listed
                line, number = file.readline(formats.MAX_LINE_BYTES + 1), number + 1
        except OSError as error:
            raise NotCheckedError(f"the export cannot be read: {error.strerror}") from None
        if not self._lines:
            raise NotCheckedError("there is no line of an export in it", code="input.not_an_export")
        if self._told == self._lines:
            self._findings.add("export.unproven", "all of it tells of findings, which nothing proves")
        return self._verdict(name)

    def _line(self, number: int, line: bytes, form: LineFormat) -> None:
        """Judge one line."""
        before = sum(self._findings.counts.values())
        try:
            said, claim = _read(form, line)
        except MalformedError as error:
            self._findings.add("export.form", f"line {number} is no line of such an export: {error}")
            return
        if claim.own is None:
            if form.says_a_finding(said):
                self._told += 1
            else:
                self._findings.add("export.changed", f"line {number} says something else than a finding")
            return
        carried = (claim.own, *(each for each in claim.launch if isinstance(each, Proven)))
        if claim.checkpoint is None or any(each.inclusion is None for each in carried):
            self._findings.add("export.unproven", f"line {number} carries no proof")
            self._hint = "nono-verify export --with-proofs writes lines that can be checked"
            return
        launch = self._resolved(claim)
        if launch is None:
            self._findings.add(
                "export.unproven",
                f"line {number} names a long entry of its launch, which no line before it carries",
            )
            self._hint = "check it together with the lines before it, the first of its launch among them"
            return
        standing = self._2_proofs(number, claim, carried)
        if standing is not None:
            record, *others = (self._record(each) for each in (claim.own, *launch))
            again = _written_again(type(form)(View(standing)), claim, record, others)
            if again is not None and _bytes(again) == _bytes(said):
                self._remember(claim, record, others)
                self._without_start += form.FOLLOWS_SESSIONS and _may_have_a_start(record, others)
            else:
                self._findings.add(
                    "export.changed", f"line {number} says something else than the entry that it carries"
                )
        if sum(self._findings.counts.values()) == before:
            self._held += 1

    def _resolved(self, claim: Claim) -> list[Proven] | None:
        """Return the entries of its launch that a line speaks of, also those that lines before it carry."""
        found = []
        for each in claim.launch:
            entry = self._on_lines_before.find(each.leaf) if isinstance(each, Referred) else each
            if entry is None:
                return None
            found.append(entry)
        return found

    def _remember(self, claim: Claim, record: Record, others: Sequence[Record]) -> None:
        """Take in the long entries that a line carries and names, in the order in which they were written."""
        for said, other in zip(claim.launch, others, strict=True):
            if isinstance(said, Referred):
                self._on_lines_before.named(said.leaf)
            else:
                self._on_lines_before.carried(other, said)
        assert claim.own is not None
        self._on_lines_before.carried(record, claim.own)

    def _2_proofs(self, number: int, claim: Claim, carried: Sequence[Proven]) -> Standing | None:
        """Check the proof of each entry that a line carries; return where they stand, if they do."""
        tampered = self._findings.counts[Severity.TAMPERED]
        met: set[str] = set()
        for each in carried:
            try:
                found = verify_proof(_encoded(claim, each), each.body, pins=self._pins, origin=self._origin)
            except (MalformedError, NotCheckedError) as error:
                self._findings.add("export.form", f"line {number} carries no proof that can be read: {error}")
                return None
            for finding in found.findings:
                self._findings.add(finding.code, f"line {number}: {finding.message}")
            self._hint = self._hint or found.hint
            met |= {pin.fingerprint for pin in found.pins if pin.met}
        if self._findings.counts[Severity.TAMPERED] > tampered:
            return None
        self._met |= met
        signed = note.parse((claim.checkpoint or "").encode())
        head = parse_text(signed.text)
        wrong = self._histories.take(head)
        for each in carried:
            wrong = wrong or self._histories.compare(
                tree.hash_leaf(each.body), each.at, each.inclusion or (), head
            )
        if wrong is not None:
            self._findings.add(wrong[0], f"line {number} {wrong[1]}")
            return None
        return Standing(
            head.origin,
            head.size,
            head.root.hex(),
            claim.verdict,
            claim.checkpoint,
            self._verified(signed, head, met),
        )

    def _verified(self, signed: Note, head: Checkpoint, met: set[str]) -> tuple[bytes, ...]:
        """Return the signatures under a checkpoint that the pinned keys made; without one, as it has them."""
        ids = {
            note.Verifier(head.origin, pin.key).key_id() for pin in self._pins if pin.key.fingerprint() in met
        }
        return tuple(
            line.signature
            for line in signed.signatures
            if not met or (line.name == head.origin and line.key_id in ids)
        )

    def _record(self, proven: Proven) -> Record:
        record = Record(proven.at, proven.body, tree.hash_leaf(proven.body), self._read)
        record.inclusion = list(proven.inclusion or ())
        return record

    def _verdict(self, name: str) -> ExportVerdict:
        counts = self._findings.counts
        status = next(
            (
                code
                for severity, code in (
                    (Severity.TAMPERED, 1),
                    (Severity.UNCHECKED, 2),
                    (Severity.UNMET, 3),
                )
                if counts[severity]
            ),
            0,
        )
        newest = self._histories.newest
        return ExportVerdict(
            exit=status,
            findings=self._findings.listed(),
            origin=None if newest is None else newest.origin,
            size=None if newest is None else newest.size,
            root=None if newest is None else newest.root.hex(),
            pins=tuple(
                PinReport(
                    pin.key.fingerprint(),
                    pin.source,
                    "head" if status in {0, 3} and pin.key.fingerprint() in self._met else None,
                )
                for pin in self._pins
            ),
            not_excluded=self._not_excluded() if status in {0, 3} else (),
            hint=self._hint,
            form=name,
            lines_read=self._lines,
            lines_held=self._held,
            lines_told=self._told,
        )

    def _not_excluded(self) -> tuple[Caveat, ...]:
        found = [*_NOT_EXCLUDED, *self._histories.caveats()]
        if self._without_start:
            lines = "1 line" if self._without_start == 1 else f"{self._without_start} lines"
            found.append(
                Caveat(
                    "export.start",
                    f"that a start is on record: {lines} of a refusal, a grant, a loss or a command that did"
                    " not run say nothing of one, and their entries do not tell whether there was one before",
                )
            )
        return (*found, caveats.HOST)


_NOT_EXCLUDED = (
    Caveat(
        "export.lines_only",
        "lines that were left out, that stand there twice, or that stand in another order: nono-verify LEDGER"
        " has all",
    ),
    Caveat(
        "export.verdict",
        "that the verification said and found what the lines say of it: no proof covers that, and"
        " nono-verify LEDGER says it again",
    ),
    caveats.OTHER_HISTORY,
    Caveat(
        "keys.vouched",
        "that another key was in force when an entry was written: the one that signed the checkpoint vouches"
        " for all that it covers",
    ),
)


def not_checked(finding: Finding, hint: str | None) -> ExportVerdict:
    """Return the verdict that says why nothing could be checked."""
    return ExportVerdict(exit=2, findings=(finding,), hint=hint)


def _read(form: LineFormat, line: bytes) -> tuple[Any, Claim]:
    """Return what a line says, and what it says of itself.

    Raises:
        MalformedError: it is no line of the format.
    """
    if len(line) > formats.MAX_LINE_BYTES:
        raise MalformedError("longer than any line of an export")
    if b"\r" in line.rstrip(b"\r\n"):
        raise MalformedError("a carriage return in the middle: what follows is another line to some readers")
    said = form.read(line)
    claim = form.claim(said)
    if claim.verdict not in WORDS.values():
        raise MalformedError("it does not say what the verification said")
    return said, claim


def _recognised(line: bytes) -> str:
    """Return which format a file has that begins with this line.

    Raises:
        NotCheckedError: none whose lines can be checked.
    """
    if not line:
        raise NotCheckedError("the file is empty", code="input.not_an_export")
    for name in formats.CHECKABLE:
        try:
            if formats.load_lines(name).is_first_line(line):
                return name
        except MalformedError:
            continue
    raise NotCheckedError(
        "the first line is of no export whose lines can be checked",
        code="input.not_an_export",
        hint=f"name its format: --from {', '.join(formats.CHECKABLE)}",
    )


def _begins(form: LineFormat, line: bytes) -> bool:
    try:
        return form.begin_reading(line)
    except MalformedError:
        return False


def _written_again(form: LineFormat, claim: Claim, record: Record, others: Sequence[Record]) -> Any:
    """Return what a format says of the entries that a line speaks of; None where it would not speak of those.

    Args:
        form: the format, which has not written anything yet.
        claim: what the line says of itself.
        record: the entry that it stands for.
        others: those of its launch.
    """
    for other, name in zip(others, (entries.INTENT, entries.START), strict=False):
        if other.document is None or other.document["kind"] != name or not _is_of_one_launch(other, record):
            return None
    if form.FOLLOWS_SESSIONS and len(others) < _told_of_its_launch(record):
        return None
    for each, other in zip(claim.launch, others, strict=True):
        if isinstance(each, Referred):
            form.on_lines_before.carried(other, Proven(other.index, other.body, None))
    record.intent = others[0] if others else None
    record.start = others[1] if len(others) > 1 else None
    lines = form.add(record).splitlines()
    if len(lines) != 1:
        return None
    form.begin_reading(form.begin())
    return form.read(lines[0])


def _encoded(claim: Claim, each: Proven) -> bytes:
    proof = TlogProof(each.at, each.inclusion or (), (claim.checkpoint or "").encode("utf-8"))
    encoded = proof.encode()
    if len(encoded) > tlog_proof.MAX_BYTES:
        raise MalformedError("longer than any proof")
    return encoded


def _is_of_one_launch(other: Record, record: Record) -> bool:
    """Return whether two entries are of one launch, the other one first."""
    if other.document is None or record.document is None:
        return False
    session = record.document["session"]
    return session is not None and other.document["session"] == session and other.index < record.index


def _told_of_its_launch(record: Record) -> int:
    """Return how many entries of its launch an event at least speaks of: without them it would say less."""
    document = record.document
    if document is None or document["session"] is None or document["kind"] == entries.INTENT:
        return 0
    ran = document["kind"] == entries.OUTCOME and "not_started" not in document["data"]
    return 2 if ran else 1


def _may_have_a_start(record: Record, others: Sequence[Record]) -> bool:
    """Return whether an event would say more of its launch if it knew a start, and there may be one."""
    document = record.document
    return (
        document is not None
        and document["kind"] in {entries.DECISION, entries.LOST, entries.OUTCOME}
        and document["seq"] > 1
        and len(others) == 1
    )


def _bytes(said: Any) -> bytes:
    return canonical.encode(said)
