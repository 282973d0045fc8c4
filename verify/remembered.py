"""Remembered checkpoints: what a verifier kept outside of a ledger, to see that it was not set back.

A file holds one signed checkpoint (C2SP tlog-checkpoint in a signed note), as ``--save-checkpoint`` writes it
or as a witness or another log client has it: signatures of unknown keys are ignored. A ledger that holds has
at least as many entries, and those up to that size give that root (RFC 9162, section 2.1.4); both are
recomputed from the entries, so no consistency proof is needed.

The signature under it matters when the two differ: then the key has signed two histories, or somebody wrote
the file who has no key at all. Of the latter nothing follows for the ledger, so it is not checked against it.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

from attest import canonical, checkpoint, note
from attest.errors import MalformedError, SignatureError
from attest.named_tuples import NamedTuple
from verify import regular_files, whole_files
from verify.errors import NotCheckedError
from verify.findings import Severity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from attest.canonical import Json
    from attest.checkpoint import Checkpoint
    from attest.keys import PublicKey
    from attest.note import Note
    from verify.findings import Findings
    from verify.witnessing import Witnessing


class Remembered(NamedTuple):
    """A checkpoint that somebody kept.

    Attributes:
        source: the file that it came from.
        checkpoint: origin, size (at least 1) and root.
        note: the note that it stands in; its signatures are not verified yet.
    """

    source: str
    checkpoint: Checkpoint
    note: Note


class Held(NamedTuple):
    """How a ledger stands to a remembered checkpoint: its file, its size, whether the ledger continues it."""

    source: str
    size: int
    continued: bool

    def document(self) -> dict[str, Json]:
        """Return the JSON form; a path that is not UTF-8 is ``{"base64": …}``."""
        source = canonical.text(os.fsencode(self.source))
        return {"source": source, "size": self.size, "continued": self.continued}


def read(path: str) -> Remembered:
    """Return the checkpoint in a file.

    Raises:
        NotCheckedError: it cannot be read (``memory.unreadable``), or is no checkpoint (``memory.form``).
    """
    data = regular_files.read_file(path, note.MAX_BYTES, "checkpoint", "memory.unreadable")
    try:
        parsed = note.parse(data)
        found = checkpoint.parse_text(parsed.text)
    except MalformedError as error:
        raise NotCheckedError(
            f"{path} is no checkpoint of a nono ledger: {error}",
            code="memory.form",
            hint="it is written by: nono-verify LEDGER -k KEY --save-checkpoint FILE",
        ) from None
    if not found.size:
        raise NotCheckedError(f"{path} is a checkpoint of nothing", code="memory.form")
    return Remembered(path, found, parsed)


def read_saved(path: str) -> Remembered | None:
    """Return the checkpoint that was saved in a file, or None when there is no such file yet.

    Raises:
        NotCheckedError: as :func:`read`; or something else than a regular file is there, a pipe that nobody
            writes to for instance: none can be kept in its place (``memory.unreadable``).
    """
    try:
        mode = os.lstat(path).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError):
        return read(path)  # which says what is wrong with it
    if not stat.S_ISREG(mode):
        raise NotCheckedError(
            f"{path} is no regular file, so no checkpoint can be kept there", code="memory.unreadable"
        )
    return read(path)


def save(path: str, signed: bytes) -> None:
    """Write a signed checkpoint in the place of ``path``, whole or not at all.

    Raises:
        NotCheckedError: it cannot be written (``memory.unwritable``).
    """
    try:
        whole_files.replace(path, signed)
    except OSError as error:
        raise NotCheckedError(
            f"cannot save the checkpoint {path}: {error.strerror}", code="memory.unwritable"
        ) from None


def judge(
    remembered: Sequence[Remembered],
    findings: Findings,
    *,
    origin: str,
    size: int,
    roots: Mapping[int, bytes],
    keys: Sequence[PublicKey],
    witnessing: Witnessing | None = None,
) -> tuple[Held, ...]:
    """Hold a ledger to what is remembered of it.

    Args:
        remembered: the checkpoints.
        findings: told what differs.
        origin: the ledger's origin, recomputed.
        size: the number of entries under its head.
        roots: the recomputed root at each remembered size that the ledger has.
        keys: the keys whose word counts: the ledger's own, and those that are pinned.
        witnessing: told about cosignatures under checkpoints that the ledger continues.

    Raises:
        NotCheckedError: none of the keys signed a checkpoint, or a known witness did not sign a
            cosignature that is its by name (``memory.signature``).
    """
    held = []
    for each in remembered:
        before = each.checkpoint
        if before.origin != origin:
            findings.add("memory.origin", f"{each.source} remembers another ledger: {before.origin}")
            held.append(Held(each.source, before.size, continued=False))
            continue
        try:
            signed = note.verify(each.note, [note.Verifier(origin, key) for key in dict.fromkeys(keys)])
        except SignatureError as error:
            held.append(Held(each.source, before.size, continued=False))
            if findings.counts[Severity.TAMPERED]:
                continue  # that is certain, whoever wrote the file
            raise NotCheckedError(
                f"{each.source} is signed by none of the ledger's keys and none of the pinned ones: {error}",
                code="memory.signature",
                hint="an older copy from before a handover does not know the later key: pin that, with -k;"
                " without the file the ledger can be checked, but not for its age",
            ) from None
        continued = False
        if size < before.size:
            findings.add(
                "memory.older",
                f"the ledger has {size} entries, but {before.size} when {each.source} was saved:"
                " an older copy was put back, or its end was cut off",
            )
        elif roots.get(before.size) != before.root:
            findings.add(
                "memory.root",
                f"the first {before.size} entries are not those of which {each.source} is the checkpoint",
            )
        else:
            continued = True
            if witnessing is not None and not findings.counts[Severity.TAMPERED]:
                _take_cosignatures(each, [signer.key for signer in signed], witnessing)
        held.append(Held(each.source, before.size, continued=continued))
    return tuple(held)


def _take_cosignatures(remembered: Remembered, keys: Sequence[PublicKey], witnessing: Witnessing) -> None:
    before = remembered.checkpoint
    try:
        witnessing.take(remembered.note, before.size, before.origin, keys, source=remembered.source)
    except SignatureError as error:
        raise NotCheckedError(
            f"{remembered.source} has a cosignature of a known witness that does not hold: {error}",
            code="memory.signature",
            hint="a note with such a line is not to be believed at all; ask the witness for its copy",
        ) from None
