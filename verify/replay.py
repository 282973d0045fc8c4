"""The replay: a ledger's whole story, told again from its bytes, in numbered steps (design 4).

1. *File*: SQLite finds the database whole, and it is as long as its pages.
2. *Entries*: contiguous from 0, canonical, of their kind's closed schema, times that never go back.
3. *Tree*: the root from the entries' bytes; the stored tiles and the stored edge equal to what they give.
4. *Head and kept checkpoints*: their one form, the origin recomputed from the genesis entry, signed by
   the key in force at that size, with the root at that size; nothing lies beyond the head. A
   checkpoint is kept at every handover and at every anchored size, and nowhere else.
5. *Keys*: each handover begins an epoch; no key comes into force twice.
6. *Launches*: the grammar of a session, and everything that two entries say about the same thing.
7. *Memory*: the roots at the sizes that were remembered; :mod:`verify.remembered` compares them.
   What others said of the ledger, as its anchors have it; see :mod:`verify.anchors`.
8. *Policy*: what is required of launches, judged as they come (:mod:`verify.requirements`).

The head is read first, and only entries below its size are replayed, so a ledger that grows meanwhile
is judged at one size. Everything that follows is one pass: steps 2 to 6 take each entry in turn, in
that order, so a step may rely on what the ones before it left. A finding stops nothing; what cannot
be judged without the part that is broken is left out, because that part was reported. What is asked of
each entry by itself and of its session is in :mod:`verify.entry_replay`, which has its steps 2, 5 and 6.

The entries come in batches. Where other cores help (:mod:`verify.worker_pool`), a batch may come with the
word that most of it is clean by itself (:mod:`verify.batch_check`); then only the rest of it is looked at
here. What is found, and in which order, does not depend on that.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from attest import canonical, checkpoint, entry, note, tree
from attest.errors import MalformedError, NonoError
from attest.named_tuples import NamedTuple
from verify.anchors import AnchorCheck
from verify.batch import batches
from verify.cores import cores_for
from verify.entry_replay import EntryReplay, is_session_id
from verify.findings import Findings
from verify.reader import DamagedError
from verify.tiles import TileCheck, first_difference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from attest.canonical import Json
    from verify.anchors import Outsiders
    from verify.batch import Batch
    from verify.batch_check import BatchCheck, Terms
    from verify.epochs import Epochs
    from verify.launches import Caveats, LaunchCounts
    from verify.reader import LedgerFile
    from verify.requirements import Required, Requirement
    from verify.worker_pool import WorkerPool


class Replayed(NamedTuple):
    """What a replay gave.

    Attributes:
        findings: what was found, pins not yet judged.
        origin: the origin that follows from the genesis entry, or None when that is broken.
        size: the head's size, or None when there is no readable head.
        root: the root over the entries, 32 bytes, or None when entries are missing.
        epochs: the keys, or None when the genesis entry is broken.
        launches: how the launches ended.
        caveats: what the record itself says that it does not hold.
        continues: the origin of the ledger that this one continues, or None.
        head: the head's signed note, as it is stored.
        roots: the root at each size that was asked for and that the entries have, 32 bytes.
        time: that of the newest entry; empty when there is none.
        required: what is required of at least one launch each, with the session that met it first, or None.
        anchors: what the anchors say.
    """

    findings: Findings
    origin: str | None
    size: int | None
    root: bytes | None
    epochs: Epochs | None
    launches: LaunchCounts
    caveats: Caveats
    continues: str | None
    head: bytes
    roots: dict[int, bytes]
    anchors: AnchorCheck
    time: str
    required: tuple[tuple[Requirement, str | None], ...]


def replay(
    source: LedgerFile,
    outsiders: Outsiders,
    *,
    allow_running: bool = False,
    sizes: Iterable[int] = (),
    required: Required | None = None,
    cores: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> Replayed:
    """Replay a ledger, parts 1 to 6, of part 7 what lies in it, and of part 8 what is asked of its launches.

    Args:
        source: the ledger.
        outsiders: whose word in an anchor counts.
        allow_running: do not object to launches that are known to run still.
        sizes: at which further sizes the root is wanted, for part 7.
        required: what is asked of launches, for part 8.
        cores: how many cores to use at most; all that this process may use by default. What is found does
            not depend on it.
        progress: called now and then with the number of entries that were taken in, and of all.

    Raises:
        NotCheckedError: the file cannot be read any more, or another core failed.
    """
    with contextlib.ExitStack() as stack:
        pool = None
        count = cores_for(source.size, cores)
        if count > 1:
            from verify.worker_pool import WorkerPool  # noqa: PLC0415  # for long ledgers alone

            pool = stack.enter_context(WorkerPool(count - 1, required))
        machine = _Replay(source, outsiders, sizes, required, pool=pool, progress=progress)
        return machine.run(allow_running=allow_running)


class _Replay:
    def __init__(
        self,
        source: LedgerFile,
        outsiders: Outsiders,
        sizes: Iterable[int],
        required: Required | None,
        *,
        pool: WorkerPool | None,
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self._source = source
        self._wanted = sorted(set(sizes), reverse=True)
        self._roots: dict[int, bytes] = {}
        self._findings = Findings()
        self._tiles = TileCheck(source, self._findings)
        self._tree = self._tiles.tree
        self._entries = EntryReplay(source, self._findings, self._anchor, required)
        self._pool = pool
        self._progress = progress
        self._anchors = AnchorCheck(source, self._findings, outsiders)
        self._whole = True  # no entry is missing so far, so the tree can be computed
        self._kept: Iterator[tuple[object, ...]] = iter(())
        self._kept_row: tuple[object, ...] | None = None
        self._explained: dict[int, bool] = {}

    def run(self, *, allow_running: bool) -> Replayed:
        self._1_file()
        head, head_note, edge = self._read_head()
        size = checkpoint.MAX_SIZE if head is None else head.size
        count = 0
        with self._reading():
            self._kept = self._source.checkpoints()
            self._next_kept()
            count = self._2_entries(size)
        if head is not None and count < head.size:
            self._whole = False
            last = head.size - 1
            what = "is missing" if count == last else f"and all up to {last} are missing"
            self._findings.add("entry.missing", what, count)
        root = None
        if self._whole:
            with self._reading():
                root = self._3_tree(head, edge)
        with self._reading():
            self._4_head(head, head_note)
        with self._reading():
            self._6_launches(allow_running=allow_running)
        return Replayed(
            findings=self._findings,
            origin=self._entries.origin,
            size=None if head is None else head.size,
            root=root,
            epochs=self._entries.epochs,
            launches=self._entries.launches.counts,
            caveats=self._entries.launches.caveats,
            continues=self._entries.continues,
            head=head_note,
            roots=self._roots,
            time=self._entries.time,
            required=() if (watch := self._entries.launches.watch) is None else watch.met(),
            anchors=self._anchors,
        )

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except DamagedError as error:
            self._findings.add("file.damaged", f"the database is damaged: {error}")

    # --- 1 File ----------------------------------------------------------------------------------

    def _1_file(self) -> None:
        complaint = self._source.integrity()
        if complaint is not None:
            self._findings.add("file.damaged", f"the database is damaged: {complaint}")
        # With a -wal beside it a file may be behind its pages, so this holds for a file alone.
        if self._source.mode == "immutable" and self._source.size != self._source.page_bytes:
            self._findings.add(
                "file.size",
                f"the file has {self._source.size} bytes, and its pages are {self._source.page_bytes}",
            )

    # --- 4 Head, as far as it comes first -----------------------------------------------------------

    def _read_head(self) -> tuple[checkpoint.Checkpoint | None, bytes, object]:
        rows: list[tuple[object, ...]] = []
        with self._reading():
            rows = self._source.heads()
        if len(rows) != 1 or rows[0][0] != 0:
            self._findings.add("head.missing", "the ledger has not exactly one head")
            return None, b"", None
        _, signed, edge = rows[0]
        data = signed if isinstance(signed, bytes) else b""
        try:
            return checkpoint.parse_text(note.parse(data).text), data, edge
        except MalformedError as error:
            self._findings.add("head.form", f"the head cannot be read: {error}")
            return None, data, edge

    # --- 2 Entries ---------------------------------------------------------------------------------

    def _2_entries(self, size: int) -> int:
        """Take in every entry below ``size`` and return the index behind the last one."""
        expected = 0
        for batch, terms, check in self._checked(batches(self._source.entries(size))):
            if batch.first != expected:
                self._missing(expected, batch.first)
            expected = batch.first + len(batch.bodies)
            if check is not None and self._entries.agrees(check, terms):
                self._2_rest(batch, check)
            else:
                for index, body in enumerate(batch.bodies, batch.first):
                    leaf = tree.hash_leaf(body)
                    self._3_leaf(leaf)
                    self._entries.take(index, body, leaf)
                    self._at_size(index + 1)
            if self._progress is not None:
                self._progress(expected, size)
        return expected

    def _checked(self, entries: Iterator[Batch]) -> Iterator[tuple[Batch, Terms | None, BatchCheck | None]]:
        """Yield the batches, with what other cores have to say of them."""
        if self._pool is not None:
            return self._pool.checked(entries, self._entries.terms)
        return ((batch, None, None) for batch in entries)

    def _2_rest(self, batch: Batch, check: BatchCheck) -> None:
        """Take in a batch, and look at those of its entries that are not settled."""
        left = set(check.left)
        decisions = {at: (session, seq) for at, session, seq in check.decisions}
        closing = sorted(check.settled, reverse=True)  # by where they end
        behind = 0
        for at in sorted([*left, *decisions]):
            self._3_leaves(batch.first + behind, check.leaves[behind:at])
            behind = at + 1
            while closing and closing[-1].at < at:
                self._entries.take_settled(closing[-1], check.leaves[closing.pop().at])
            index, leaf = batch.first + at, check.leaves[at]
            self._3_leaf(leaf)
            if at in decisions:
                session, seq = decisions[at]
                self._entries.take_decision(index, session, seq, leaf)
            else:
                self._entries.take(index, batch.bodies[at], leaf)
            self._at_size(index + 1)
        self._3_leaves(batch.first + behind, check.leaves[behind:])
        for settled in reversed(closing):
            self._entries.take_settled(settled, check.leaves[settled.at])
        self._entries.time = check.last_time

    def _at_size(self, size: int) -> None:
        """Do what is to be done where the ledger has had this size."""
        if self._kept_row is not None and self._kept_row[0] == size:
            self._4_kept(size)
        if self._wanted and self._wanted[-1] == size:
            self._wanted.pop()
            if self._whole:
                self._roots[size] = self._tree.root()

    def _missing(self, expected: int, index: int) -> None:
        what = "is missing" if index == expected + 1 else f"and all up to {index - 1} are missing"
        self._findings.add("entry.missing", what, expected)
        self._whole = False
        while (
            self._kept_row is not None and isinstance(self._kept_row[0], int) and self._kept_row[0] <= index
        ):
            self._4_kept(self._kept_row[0])

    # --- 3 Tree ------------------------------------------------------------------------------------

    def _3_leaf(self, leaf: bytes) -> None:
        leaves = self._tree.leaves
        leaves.append(leaf)
        if len(leaves) < tree.TILE_WIDTH:
            return
        if not self._whole:
            leaves.clear()
            return
        with self._reading():
            self._tiles.add()

    def _3_leaves(self, index: int, leaves: list[bytes]) -> None:
        """Take in the leaves of entries that are settled, the first of which is at ``index``."""
        sizes = [*self._wanted[-1:], *([] if self._kept_row is None else self._kept_row[:1])]
        if any(isinstance(size, int) and index < size <= index + len(leaves) for size in sizes):
            for at, leaf in enumerate(leaves, index):
                self._3_leaf(leaf)
                self._at_size(at + 1)
            return
        loose = self._tree.leaves
        while len(loose) + len(leaves) >= tree.TILE_WIDTH:
            room = tree.TILE_WIDTH - len(loose) - 1
            loose += leaves[:room]
            self._3_leaf(leaves[room])
            leaves = leaves[room + 1 :]
        loose += leaves

    def _3_tree(self, head: checkpoint.Checkpoint | None, edge: object) -> bytes:
        self._tiles.finish()
        computed = self._tree.edge()
        root = computed.root()
        if head is None:
            return root
        stored = None
        with contextlib.suppress(NonoError):
            stored = tree.Edge.decode(head.size, edge if isinstance(edge, bytes) else b"")
        if stored is None or stored.root() != head.root:
            self._findings.add("tree.edge", "the stored edge does not lead to the head's root")
            stored = None
        elif root == head.root and stored.nodes != computed.nodes:
            self._findings.add("tree.edge", "the stored edge is not that of the entries")
        if root == head.root:
            return root
        place = None if stored is None else first_difference(computed, stored)
        exact = self._tiles.differing
        if exact is None and place is not None and place[0] == place[1]:
            exact = place[0]
        if exact is not None:
            self._findings.add(
                "tree.root", "differs from its signed checkpoint", exact, self._session_of(exact)
            )
        elif place is not None:
            what = f"or one up to {place[1]} differs from its signed checkpoint"
            self._findings.add("tree.root", what, place[0])
        else:
            self._findings.add("tree.root", "the entries differ from their signed checkpoint")
        return root

    def _session_of(self, index: int) -> str | None:
        with contextlib.suppress(MalformedError):
            session = canonical.decode_object(self._source.body(index) or b"").get("session")
            return session if isinstance(session, str) and is_session_id(session) else None
        return None

    # --- 4 Head and kept checkpoints -----------------------------------------------------------------

    def _next_kept(self) -> None:
        """Step to the next kept checkpoint that could be one; report those that could not."""
        for row in self._kept:
            size = row[0]
            if isinstance(size, int) and size >= 1:
                self._kept_row = row
                return
            self._findings.add("checkpoint.size", "a checkpoint is kept for a size below 1")
        self._kept_row = None

    def _4_kept(self, size: int) -> None:
        """Check the checkpoint that is kept at ``size``, the entries below it having been taken in."""
        assert self._kept_row is not None
        _, data = self._kept_row
        epochs = self._entries.epochs
        self._explained[size] = epochs is not None and len(epochs.signers(size)) > 1
        self._next_kept()
        where = f"the checkpoint kept at {size}"
        kept = self._entries.open_signed(data if isinstance(data, bytes) else b"", size, "checkpoint", where)
        if kept is None:
            return
        if kept.size != size:
            self._findings.add("checkpoint.size", f"{where} is one of size {kept.size}")
        elif self._whole and kept.root != self._tree.root():
            self._findings.add("checkpoint.root", f"{where} has another root than the entries below it")

    def _4_head(self, head: checkpoint.Checkpoint | None, data: bytes) -> None:
        if head is not None:
            beyond = self._source.beyond(head.size)
            if beyond is not None:
                self._findings.add("head.beyond", "lies beyond the head", beyond)
            if head.size:
                self._entries.open_signed(data, head.size, "head", "the head")
        while self._kept_row is not None:
            self._findings.add(
                "checkpoint.size", f"a checkpoint is kept at {self._kept_row[0]}, beyond the last entry"
            )
            self._next_kept()
        for size, explained in self._explained.items():
            if not explained:
                self._findings.add(
                    "checkpoint.surplus",
                    f"the checkpoint kept at {size} is neither a handover's nor anchored",
                )
        for epoch in [] if self._entries.epochs is None else self._entries.epochs.all[1:]:
            if epoch.first not in self._explained:
                self._findings.add(
                    "checkpoint.missing", "is a handover without its checkpoint", epoch.first - 1
                )

    # --- 5 What is about the ledger and its checkpoints -----------------------------------------------

    def _anchor(self, index: int, data: dict[str, Json]) -> None:
        beside = self._entries.blobs.check(entry.ANCHOR, data, index, None)
        covers = data["covers"]
        assert isinstance(covers, dict)
        size = covers.get("size")
        if not isinstance(size, int):
            if bytes.fromhex(str(covers["leaf"])) not in self._entries.launches.attested:
                self._findings.add(
                    "anchor.covers", "anchors a leaf that is none of the attestations above it", index
                )
                return
        elif size > index:
            self._findings.add(
                "anchor.covers", f"anchors the size {size}, with only {index} entries above it", index
            )
            return
        elif size in self._explained:
            self._explained[size] = True
        else:
            self._findings.add("checkpoint.missing", f"anchors the size {size}, where none is kept", index)
            return
        if self._entries.epochs is not None and self._entries.origin is not None:
            signers = self._entries.epochs.signers(size) if isinstance(size, int) else []
            self._anchors.add(index, data, beside.get("evidence"), self._entries.origin, signers)

    # --- 6 Launches --------------------------------------------------------------------------------

    def _6_launches(self, *, allow_running: bool) -> None:
        self._entries.launches.finish(allow_running=allow_running)
        self._entries.blobs.finish()
