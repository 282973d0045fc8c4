"""From a ledger that was replayed to the bytes of an export, in one pass and constant memory.

The entries are read once more, in the snapshot that was replayed, and hashed: at the end they must come to
the root of the verdict. So what is written is what was verified, whatever somebody did to the file
meanwhile.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from attest import checkpoint, entry, note
from attest.tree import TILE_WIDTH, hash_leaf
from verify.errors import NotCheckedError
from verify.exports.inclusion import Inclusion
from verify.exports.records import Options, Record, Standing, View, read_replayed, reader_of_anything
from verify.growing_tree import GrowingTree
from verify.reader import DamagedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from verify.exports.format import Format
    from verify.reader import LedgerFile
    from verify.verdict import Verdict


class Asked(NamedTuple):
    """What is wanted of a ledger's entries.

    Attributes:
        since: the earliest time, as entries have it (RFC 3339 UTC with microseconds), or None.
        until: the time before which they must lie, or None.
        session: the launch that they must belong to, or None.
        kinds: the kinds that they must be of; empty for all.
        with_proofs: whether records carry their proofs.
        options: what some formats are told beside.
    """

    since: str | None = None
    until: str | None = None
    session: str | None = None
    kinds: frozenset[str] = frozenset()
    with_proofs: bool = False
    options: Options = Options()

    def chosen(self) -> tuple[tuple[str, str], ...]:
        """Return what the entries are chosen by, aside from their kinds: names and texts."""
        named = (("since", self.since), ("until", self.until), ("session", self.session))
        return tuple((name, text) for name, text in named if text)

    def is_for_all(self) -> bool:
        """Return whether every entry is wanted."""
        return not (self.since or self.until or self.session or self.kinds)

    def wants(self, record: Record) -> bool:
        """Return whether this entry is wanted; one that cannot be read is wanted only among all."""
        document = record.document
        return document is not None and (
            (not self.kinds or document["kind"] in self.kinds)
            and (self.session is None or document["session"] == self.session)
            and (self.since is None or document["time"] >= self.since)
            and (self.until is None or document["time"] < self.until)
        )


def is_held(verdict: Verdict) -> bool:
    """Return whether a ledger holds, under a key that is pinned: what else is not met, its records say."""
    return verdict.head is not None


def export(
    verdict: Verdict,
    source: LedgerFile,
    form: type[Format],
    asked: Asked,
    write: Callable[[bytes], object],
) -> int:
    """Write an export; return how many records it has, or of how many entries it is.

    Args:
        verdict: what the verification said.
        source: the ledger, still open.
        form: the format.
        asked: which entries are wanted.
        write: takes the bytes, piece by piece.

    Raises:
        NotCheckedError: the ledger was changed meanwhile, or proofs are wanted of one that does not hold.
    """
    return _Export(verdict, source, form, asked).run(write)


class _Export:
    def __init__(self, verdict: Verdict, source: LedgerFile, form: type[Format], asked: Asked) -> None:
        self._held = is_held(verdict)
        if asked.with_proofs and not self._held:
            raise NotCheckedError(
                "proofs of a ledger that does not hold would prove nothing", code="input.usage"
            )
        self._verdict = verdict
        self._source = source
        self._asked = asked
        self._size = checkpoint.MAX_SIZE if verdict.size is None else verdict.size
        signed = _of_key_in_force(verdict.head) if asked.with_proofs and verdict.head is not None else None
        standing = Standing(
            verdict.origin,
            verdict.size,
            verdict.root,
            verdict.word,
            signed,
            tuple(line.signature for line in note.parse(signed.encode()).signatures) if signed else (),
        )
        self._form = form(View(standing, verdict, asked.options, asked.chosen()))
        self._proofs = Inclusion(source, self._size) if asked.with_proofs else None
        self._read = read_replayed if self._held else reader_of_anything()
        self._sessions: dict[str, list[int]] = {}

    def run(self, write: Callable[[bytes], object]) -> int:
        try:
            return self._run(write)
        except BaseException:
            self._form.abandon()
            raise

    def _run(self, write: Callable[[bytes], object]) -> int:
        tree, count = GrowingTree(), 0
        for_all, form = self._asked.is_for_all(), self._form
        write(form.begin())
        try:
            for block in self._blocks():
                tree.leaves += [record.leaf for record in block]
                if len(block) == TILE_WIDTH:
                    tree.fold()
                if form.FOLLOWS_SESSIONS:
                    self._follow(block)
                wanted = block if for_all else [each for each in block if self._asked.wants(each)]
                if wanted:
                    if self._proofs is not None:
                        self._prove(block, wanted)
                    parts = [part for part in map(form.add, wanted) if part]
                    write(b"".join(parts))
                    count += len(wanted) if form.COUNTS_ENTRIES else len(parts)
        except DamagedError:
            raise _changed() from None
        if self._source.changed() or (self._held and tree.root().hex() != self._verdict.root):
            raise _changed()
        write(form.end())
        return count

    def _blocks(self) -> Iterator[list[Record]]:
        """Yield the entries, 256 at a time, as tiles have them where none is missing."""
        block: list[Record] = []
        for index, body in self._source.entries(self._size):
            data = body if type(body) is bytes else b""
            block.append(Record(index, data, hash_leaf(data), self._read))
            if len(block) == TILE_WIDTH:
                yield block
                block = []
        if block:
            yield block

    def _prove(self, block: list[Record], wanted: list[Record]) -> None:
        assert self._proofs is not None
        paths = self._proofs.paths(block[0].index, [each.leaf for each in block])
        for record in wanted:
            record.inclusion = paths[record.index - block[0].index]
            for other in (record.intent, record.start):
                if other is not None and other.inclusion is None:
                    other.inclusion = self._proofs.path(other.index)

    def _follow(self, block: list[Record]) -> None:
        """Give records the intent and the start of their session; of an open one only indices are kept."""
        at_hand = {each.index: each for each in block}
        for record in block:
            document = record.document
            session = None if document is None else document["session"]
            if document is None or session is None:
                continue
            kind = document["kind"]
            if kind == entry.INTENT:
                self._sessions[session] = [record.index]
                continue
            known = self._sessions.get(session)
            if known is None:
                continue
            others = [self._again(index, at_hand) for index in known]
            record.intent = others[0]
            record.start = others[1] if len(others) > 1 else None
            if kind == entry.START and _is_direct(record.intent):
                del self._sessions[session]
            elif kind == entry.START and len(known) == 1:
                known.append(record.index)
            elif kind in {entry.ATTESTATION, entry.LOST}:
                del self._sessions[session]

    def _again(self, index: int, at_hand: dict[int, Record]) -> Record:
        """Return an entry that came before; the newest are at hand."""
        found = at_hand.get(index)
        if found is None:
            body = self._source.body(index) or b""
            found = at_hand[index] = Record(index, body, hash_leaf(body), self._read)
        return found


def _of_key_in_force(head: str) -> str:
    """Return a head with the signature of the key in force alone: at a handover it has the old key's too.

    The replay has verified both. But a line is checked with one key, which could not tell the other
    signature from one that somebody added.
    """
    text, _, lines = head.rpartition("\n\n")
    return f"{text}\n\n{lines.splitlines()[-1]}\n"


def _is_direct(intent: Record) -> bool:
    """Return whether a launch ends with its start."""
    return intent.document is not None and intent.document["data"].get("strategy") == "direct"


def _changed() -> NotCheckedError:
    return NotCheckedError(
        "the ledger was changed while it was exported: what was written does not count", code="input.changing"
    )
