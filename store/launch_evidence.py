"""The evidence of one launch from a ledger's file (:mod:`attest.evidence`).

It is of the ledger at one moment, whatever its writer does meanwhile. A file may have been edited, so nothing
is handed out that would fail elsewhere: the head's signature is verified under the key in force, which the
genesis entry and every handover give; each entry and each kept checkpoint is proved against that head;
entries are numbered without a gap; and blobs are those that their entries name. Memory is that of one entry
and one blob.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attest import checkpoint, entry, evidence, note
from attest.blob import Blob
from attest.errors import MalformedError, NonoError
from attest.evidence import Head, KeptCheckpoint, ProvenEntry, Withheld
from attest.named_tuples import NamedTuple
from store.errors import LedgerError
from store.key_history import KeyHistory
from store.proving import ProvableSnapshot
from store.reading import LedgerReader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from attest.entry import Entry


class Collected(NamedTuple):
    """What was collected.

    Attributes:
        entries: how many entries of the launch.
        withheld: how many values that lay beside them are not there any more.
        is_closed: whether an entry is among them behind which there can be no other of the launch.
        size: how many entries the ledger has.
    """

    entries: int
    withheld: int
    is_closed: bool
    size: int


class EvidenceCollector(LedgerReader):
    """A ledger, open for collecting the evidence of a launch."""

    def __enter__(self) -> EvidenceCollector:
        return self

    def collect(self, session: str, first: int, write: Callable[[bytes], object]) -> Collected:
        """Write the evidence of a launch, line by line.

        Args:
            session: its id, 32 hex digits.
            first: the index of its intent.
            write: takes each line.

        Raises:
            LedgerError: it does not begin there (``ledger.changed``), there is more of it than one file may
                hold (``evidence.too_large``), or the file cannot be read.
            TamperedLedgerError: the ledger is not what its key signed.
        """
        with ProvableSnapshot(self._db, self.path) as snapshot:
            return _Collection(self, snapshot, write).collect(session, first)

    def kept_checkpoints(self, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield size and note of the checkpoints that are kept up to ``size``."""
        yield from self._db.execute(
            "SELECT size, note FROM checkpoint WHERE size <= ? AND typeof(note) = 'text'"
            " AND length(note) <= ? ORDER BY size",
            (size, note.MAX_BYTES),
        )

    def kept_checkpoint(self, size: int) -> bytes:
        """Return the note that :meth:`kept_checkpoints` had for ``size``."""
        row: tuple[bytes] = self._db.execute("SELECT note FROM checkpoint WHERE size = ?", (size,)).fetchone()
        return row[0]

    def bodies_with(self, session: str, first: int, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield index and bytes of what names a session, from ``first`` on."""
        yield from self._db.execute(
            "SELECT idx, body FROM entry WHERE idx >= ? AND idx < ? AND typeof(body) = 'text'"
            " AND length(body) <= ? AND instr(body, ?) ORDER BY idx",
            (first, size, entry.MAX_BYTES, session),
        )

    def stored_blob(self, digest: bytes) -> tuple[object, object] | None:
        """Return the salt and the data that are stored under a digest; None where there is nothing."""
        row: tuple[object, object] | None = self._db.execute(
            "SELECT salt, data FROM blob WHERE sha256 = ?", (digest,)
        ).fetchone()
        return row


class _Collection:
    """One collection, in the order of the lines."""

    def __init__(
        self, reader: EvidenceCollector, snapshot: ProvableSnapshot, write: Callable[[bytes], object]
    ) -> None:
        self._reader = reader
        self._snapshot = snapshot
        self._write = write
        self._written = 0
        self._withheld = 0

    def collect(self, session: str, first: int) -> Collected:
        snapshot = self._snapshot
        (genesis,) = snapshot.bodies(0, 1)
        handovers = self._verify_head(genesis)
        self._add(Head(snapshot.note))
        self._add_entry(0, genesis)
        count, is_closed, is_direct = 0, False, False
        for index, body in self._reader.bodies_with(session, max(first, 1), snapshot.head.size):
            said = self._parsed(index, body)
            if said.session != session:
                continue  # the launch around another, for instance
            if not count and (index != first or said.kind != entry.INTENT):
                break
            if said.seq != count:
                raise snapshot.tampered(f"entry {index} is not number {count} of its session")
            while handovers and handovers[0] <= index:
                self._add_handover(handovers.pop(0))
            self._add_entry(index, body)
            self._add_blobs(index, said)
            count += 1
            is_direct |= said.kind == entry.INTENT and said.data.get("strategy") == "direct"
            is_closed = said.kind in {entry.ATTESTATION, entry.LOST} or (
                is_direct and said.kind == entry.START
            )
            if is_closed:
                break
        if not count:
            raise LedgerError(
                f"the launch {session} does not begin where the index has it",
                code="ledger.changed",
                hint="check the ledger with nono-verify",
            )
        for size in handovers:
            self._add_handover(size)
        return Collected(count, self._withheld, is_closed, snapshot.head.size)

    def _verify_head(self, genesis: bytes) -> list[int]:
        """Verify who signed the head; return the sizes directly behind the handovers.

        Raises:
            TamperedLedgerError: it is not the key in force.
        """
        snapshot, handovers = self._snapshot, []
        try:
            keys = KeyHistory(entry.parse(genesis))
            for size, kept in self._reader.kept_checkpoints(snapshot.head.size):
                # A checkpoint is kept at every handover, and at what was anchored.
                last = self._parsed(size - 1, snapshot.bodies(size - 1, 1)[0])
                if last.kind == entry.KEY:
                    keys.follow(size, kept, last)
                    handovers.append(size)
            checkpoint.open_signed(snapshot.note, keys.origin, keys.signers(snapshot.head.size))
        except LedgerError:
            raise
        except NonoError as error:
            raise snapshot.tampered(f"its head does not hold: {error}") from None
        return handovers

    def _parsed(self, index: int, body: bytes) -> Entry:
        try:
            return entry.parse(body)
        except MalformedError as error:
            raise self._snapshot.tampered(f"entry {index} cannot be read: {error}") from None

    def _add_handover(self, size: int) -> None:
        kept = self._reader.kept_checkpoint(size)
        past = checkpoint.parse_text(note.parse(kept).text)
        (body,) = self._snapshot.bodies(size - 1, 1)
        self._add_entry(size - 1, body, KeptCheckpoint(kept, self._snapshot.prove_consistency(past)))

    def _add_entry(self, index: int, body: bytes, kept: KeptCheckpoint | None = None) -> None:
        self._add(ProvenEntry(index, body, self._snapshot.prove_inclusion(index, body), kept))

    def _add_blobs(self, index: int, said: Entry) -> None:
        for digest in evidence.references(said):
            row = self._reader.stored_blob(digest)
            if row is None:
                self._withheld += 1
                self._add(Withheld(digest))
                continue
            salt, data = row
            if (
                not isinstance(salt, bytes)
                or not isinstance(data, bytes)
                or Blob(salt, data).digest() != digest
            ):
                raise self._snapshot.tampered(f"what lies beside entry {index} is not what it names")
            self._add(Blob(salt, data))

    def _add(self, line: evidence.Line) -> None:
        try:
            data = evidence.encode(line)
        except MalformedError as error:
            raise self._snapshot.tampered(f"it holds what no evidence can: {error}") from None
        self._written += len(data)
        if self._written > evidence.MAX_BYTES:
            raise LedgerError(
                f"there is more of the launch than the {evidence.MAX_BYTES} bytes that one file may have",
                code="evidence.too_large",
                hint="show it with its ledger: nono audit snapshot FILE",
            )
        self._write(data)
