"""From a proof, an entry and what is pinned to a verdict; no ledger is at hand.

1. **Form.** A C2SP tlog-proof in its one form, whose checkpoint is that of a ledger.
2. **Path.** The entry's exact bytes, at the index, lead to the checkpoint's root at the checkpoint's size.
   A path does not bind the size, so both come from the one text that is signed (:mod:`attest.proof`).
3. **Signature.** A pinned key signed that checkpoint; what other keys say under it is not looked at.
4. **Entry.** It is an entry, and of its kind's closed schema.
5. **Pins.** A pin is met by the key that signed the checkpoint alone: the handovers that lead from another
   key to it stand in the ledger, not in a proof. For the same reason an origin alone pins nothing here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import blob, note, proof, schema, tlog_proof, tree
from attest import entry as entries
from attest import origin as origins
from attest.errors import MalformedError, ProofError, SignatureError
from verify import caveats
from verify.errors import NotCheckedError
from verify.findings import Findings, Severity
from verify.proof_verdict import ProofVerdict
from verify.verdict import Caveat, PinReport

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.checkpoint import Checkpoint
    from attest.entry import Entry
    from attest.keys import PublicKey
    from attest.tlog_proof import TlogProof
    from verify.pins import Pin

_SHOWN_SIGNATURES = 4


def verify_proof(
    data: bytes, body: bytes, *, pins: Sequence[Pin] = (), origin: str | None = None
) -> ProofVerdict:
    """Check that an entry is in a ledger.

    Args:
        data: the proof, a ``.tlog-proof`` file.
        body: the entry's exact bytes.
        pins: the keys that are trusted; one of them must have signed the proof's checkpoint.
        origin: the origin that the ledger must have.

    Returns:
        The verdict; its ``exit`` is never 2.

    Raises:
        NotCheckedError: it is no tlog-proof, or one from another kind of log (exit 2).
    """
    findings = Findings()
    opened = _open(data, findings)
    if opened is None:
        return ProofVerdict(exit=1, findings=findings.listed())
    read, head = opened
    _check_path(read, head, body, findings)
    signers = _signers(read, head, pins, findings)
    written = _entry(body, read.index, findings)
    hint = None
    if not signers and not findings.counts[Severity.TAMPERED]:
        hint = _report_pins(read, pins, findings)
    if origin is not None and origin != head.origin:
        findings.add("origin.not_pinned", "the proof is from a ledger of another origin than the pinned one")
    tampered, unmet = findings.counts[Severity.TAMPERED], findings.counts[Severity.UNMET]
    return ProofVerdict(
        exit=1 if tampered else 3 if unmet else 0,
        findings=findings.listed(),
        origin=head.origin,
        size=head.size,
        root=head.root.hex(),
        index=read.index,
        entry=None if tampered else written,
        pins=tuple(
            PinReport(
                pin.key.fingerprint(),
                pin.source,
                "head" if not tampered and pin.key in signers and _is_for(pin, head) else None,
            )
            for pin in pins
        ),
        not_excluded=_not_excluded(head, written),
        hint=hint,
    )


def _open(data: bytes, findings: Findings) -> tuple[TlogProof, Checkpoint] | None:
    """Step 1."""
    try:
        read = tlog_proof.parse(data)
        head = read.unsigned_checkpoint()
    except MalformedError as error:
        if error.code == "form.not_a_proof":
            raise NotCheckedError(
                str(error),
                code="input.not_a_proof",
                hint="nono ledger prove writes one; the proof is named first, then the entry",
            ) from None
        findings.add("proof.form", f"the proof is malformed: {error}")
        return None
    try:
        origins.split(head.origin)
    except MalformedError:
        raise NotCheckedError("not the proof of a nono ledger", code="input.not_a_proof") from None
    return read, head


def _check_path(read: TlogProof, head: Checkpoint, body: bytes, findings: Findings) -> None:
    """Step 2. Size and root are believed only if the signature over both holds, which is step 3."""
    try:
        proof.check_inclusion(tree.hash_leaf(body), read.index, head, read.hashes)
    except ProofError as error:
        message = f"entry {read.index} of {head.size} is not what was proved: {error}"
        if body.endswith(b"\n"):
            message += "; the file ends in a newline, which no entry does"
        findings.add("proof.root", message)


def _signers(
    read: TlogProof, head: Checkpoint, pins: Sequence[Pin], findings: Findings
) -> frozenset[PublicKey]:
    """Step 3."""
    verifiers = [note.Verifier(head.origin, pin.key) for pin in pins if _is_for(pin, head)]
    try:
        _, held = tlog_proof.open_checkpoint(read, verifiers)
    except SignatureError as error:
        if error.code == "signature.ambiguous":
            raise NotCheckedError("two of the pinned keys have one key id", code="input.usage") from None
        if error.code != "signature.unknown_key":
            findings.add("proof.signature", "the checkpoint is not what the pinned key signed")
        return frozenset()
    return frozenset(verifier.key for verifier in held)


def _entry(body: bytes, index: int, findings: Findings) -> Entry | None:
    """Step 4."""
    if len(body) > entries.MAX_BYTES:
        findings.add("entry.size", f"is longer than {entries.MAX_BYTES} bytes", index)
        return None
    try:
        written = entries.parse(body)
        schema.check_entry(written.document())
    except MalformedError as error:
        code = error.code if error.code in {"entry.kind", "entry.schema"} else "entry.form"
        findings.add(code, f"is malformed: {error}", index)
        return None
    return written


def _report_pins(read: TlogProof, pins: Sequence[Pin], findings: Findings) -> str:
    """Step 5: say what is missing, and return what to do about it."""
    if not pins:
        findings.add("key.none_pinned", "no key pinned; anyone could have made this proof")
        return "pin the ledger's key: -k FILE (a proof has no first entry, so --origin alone pins none)"
    lines = note.parse(read.checkpoint).signatures
    shown = ", ".join(line.key_id.hex() for line in lines[:_SHOWN_SIGNATURES])
    more = f" and {len(lines) - _SHOWN_SIGNATURES} more" if len(lines) > _SHOWN_SIGNATURES else ""
    findings.add(
        "key.not_pinned",
        f"the checkpoint is signed by no pinned key, but under key id {shown}{more};"
        " anyone could have made this proof",
    )
    return (
        "a proof is signed by the key in force when it was made: after a handover pin the new key,"
        " or check the whole ledger, which shows the handover: nono-verify LEDGER"
    )


def _is_for(pin: Pin, head: Checkpoint) -> bool:
    return pin.origin is None or pin.origin == head.origin


def _not_excluded(head: Checkpoint, written: Entry | None) -> tuple[Caveat, ...]:
    found = [
        Caveat(
            "proof.entry_only",
            f"anything about the other {head.size - 1} entries, those of the same launch included:"
            " nono-verify LEDGER looks at them",
        ),
        caveats.OTHER_HISTORY,
        Caveat(
            "keys.vouched",
            "that another key was in force when the entry was written: the one that signed the checkpoint"
            " vouches for all that it covers",
        ),
    ]
    if written is not None and any(
        blob.is_reference(written.data.get(name)) for name in entries.BLOB_FIELDS.get(written.kind, ())
    ):
        found.append(
            Caveat("blob.unseen", "the values that lie beside the entry: only their digests are in it")
        )
    found.append(caveats.HOST)
    return tuple(found)
