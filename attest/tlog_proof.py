r"""Portable proofs that an entry is in a log: C2SP tlog-proof v1, the content of a ``.tlog-proof`` file.

::

    c2sp.org/tlog-proof@v1
    extra <base64>                 optional, never authenticated
    index <number>
    <base64 of a hash>             none or more, nearest to the leaf first
                                   an empty line
    <the signed checkpoint>        a note, verbatim

Reading is strict: the one form of each line, and every length bounded. The proof names no size of its own;
size and root come from the checkpoint, once its signature is verified (see :mod:`attest.proof`).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attest import canonical, checkpoint, note, proof, tree
from attest.errors import MalformedError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.checkpoint import Checkpoint
    from attest.note import Verifier

HEADER = b"c2sp.org/tlog-proof@v1\n"

MAX_HASHES = 53
"""The most hashes of a path: a tree has at most 2**53 - 1 leaves."""
MAX_EXTRA_BYTES = 65_536
MAX_BYTES = note.MAX_BYTES + (1 << 17)
"""A whole proof: a note, and room for everything that can stand before it."""

_MAX_DIGITS = 16


@dataclass(frozen=True, slots=True)
class TlogProof:
    """A proof as it is written; nothing in it is to be believed before :func:`verify`.

    Attributes:
        index: where the entry stands, from 0, below 2**53.
        hashes: the inclusion proof, 32 bytes each, nearest to the leaf first.
        checkpoint: the signed checkpoint, a note, verbatim.
        extra: opaque data that nothing vouches for; empty if there is none.
    """

    index: int
    hashes: tuple[bytes, ...]
    checkpoint: bytes
    extra: bytes = b""

    def encode(self) -> bytes:
        """Return the proof's bytes, which :func:`parse` reads back.

        Raises:
            MalformedError: something is out of its bounds, or the checkpoint is no note.
        """
        _check(self)
        lines = [b"extra " + base64.b64encode(self.extra)] if self.extra else []
        lines.append(b"index %d" % self.index)
        lines += [base64.b64encode(value) for value in self.hashes]
        return HEADER + b"\n".join([*lines, b"", self.checkpoint])

    def unsigned_checkpoint(self) -> Checkpoint:
        """Return what the checkpoint says, whoever may have signed it.

        Raises:
            MalformedError: it is no checkpoint in its strict form.
        """
        return checkpoint.parse_text(note.parse(self.checkpoint).text)


def parse(data: bytes) -> TlogProof:
    """Read a proof.

    Raises:
        MalformedError: too long, not in the one form, or something out of its bounds. The code is
            ``form.not_a_proof`` when it does not even begin like one.
    """
    if not data.startswith(HEADER):
        raise MalformedError("not a C2SP tlog-proof: another first line", code="form.not_a_proof")
    if len(data) > MAX_BYTES:
        raise MalformedError(f"a proof of more than {MAX_BYTES} bytes")
    head, blank, signed = data[len(HEADER) :].partition(b"\n\n")
    if not blank:
        raise MalformedError("a proof without an empty line before its checkpoint")
    lines = head.split(b"\n")
    extra = b""
    if lines[0].startswith(b"extra "):
        extra = _decode(lines.pop(0).removeprefix(b"extra "))
        if not extra:
            raise MalformedError("a proof with a line for extra data, and none in it")
    if not lines or not lines[0].startswith(b"index "):
        raise MalformedError("a proof without an index")
    digits = lines[0].removeprefix(b"index ")
    if not digits.isdigit() or len(digits) > _MAX_DIGITS or b"%d" % int(digits) != digits:
        raise MalformedError("a proof whose index is not a plain decimal number")
    if len(lines) - 1 > MAX_HASHES:
        raise MalformedError(f"a proof of more than {MAX_HASHES} hashes")
    read = TlogProof(int(digits), tuple(_decode(line) for line in lines[1:]), signed, extra)
    _check(read)
    return read


def open_checkpoint(
    read: TlogProof, verifiers: Sequence[Verifier]
) -> tuple[Checkpoint, tuple[Verifier, ...]]:
    """Return the checkpoint of a proof, signed, and whose signatures hold, in the order of the lines.

    Signatures of others under it, witnesses' for instance, are not looked at (see
    :mod:`attest.cosignature`).

    Args:
        read: the proof.
        verifiers: the log keys that are trusted, each under the origin that it may sign for.

    Raises:
        MalformedError: the checkpoint is not in its strict form.
        SignatureError: no trusted key signed it (``signature.unknown_key``), one did and it does not
            hold, or it is signed under the name of another log (``signature.origin``).
    """
    signed = note.parse(read.checkpoint)
    held = note.verify(signed, verifiers)
    head = checkpoint.parse_text(signed.text)
    signers = tuple(verifier for verifier in held if verifier.name == head.origin)
    if not signers:
        raise SignatureError("a checkpoint signed under the name of another log", code="signature.origin")
    return head, signers


def verify(read: TlogProof, entry: bytes, verifiers: Sequence[Verifier]) -> Checkpoint:
    """Check that ``entry``, these exact bytes, is in the log, and return the checkpoint that covers it.

    Raises:
        MalformedError, SignatureError: see :func:`open_checkpoint`, which also says whose signatures hold.
        ProofError: entry, index and hashes do not lead to the signed root.
    """
    head, _ = open_checkpoint(read, verifiers)
    proof.check_inclusion(tree.hash_leaf(entry), read.index, head, read.hashes)
    return head


def _check(made: TlogProof) -> None:
    """Refuse what is out of bounds, whether it was read or is about to be written."""
    if not 0 <= made.index < checkpoint.MAX_SIZE:
        raise MalformedError("a proof whose index is out of range")
    if len(made.hashes) > MAX_HASHES or any(len(value) != tree.HASH_BYTES for value in made.hashes):
        raise MalformedError(f"a proof has at most {MAX_HASHES} hashes of {tree.HASH_BYTES} bytes")
    if len(made.extra) > MAX_EXTRA_BYTES:
        raise MalformedError(f"extra data of more than {MAX_EXTRA_BYTES} bytes")
    note.parse(made.checkpoint)


def _decode(line: bytes) -> bytes:
    try:
        return canonical.decode_base64(line.decode("ascii"))
    except UnicodeDecodeError:
        raise MalformedError("not base64") from None
