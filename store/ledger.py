"""The ledger: a transparency log in one SQLite file, and the order in which it grows (design 2).

The order of a commit *is* the design. When it is this writer's turn (:mod:`store.turn`), inside one
``BEGIN IMMEDIATE`` transaction:

1. read the stored head; unless this very process signed it last, verify its signature under the key in
   force, that the edge hashes to its root, that the entries since the last verified head lead to that
   edge, and that it continues what this host remembers;
2. give each new entry its index and its time, hash it, extend the edge, write full tiles;
3. sign the new head, replace the one head row, commit (WAL, ``synchronous=FULL``: the head is on disk
   before anybody can read it, in the same frames as the entries that it covers);
4. remember size and root in the state directory. To lag here is safe: a crash between 3 and 4 leaves
   a ledger that is ahead of the memory and consistent with it.

So an edited file or an old copy put back never gets a fresh signature. A crash anywhere leaves the
state before or after the commit, and opening runs the same checks as appending.

What 3 looks like to the kernel (``strace``): the frames are ``pwrite64`` to the write-ahead log, one
``fdatasync`` of it, and only then are the locks released that let another process see them.

What is not read again on every opening is the entries below the last tile: a new head covers their hashes
as they were signed, not as the file may now have them, and the verifier tells the difference.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import time
from typing import TYPE_CHECKING

from attest import blob, canonical, checkpoint, entry, tree
from attest.errors import MalformedError, NonoError, files_hint
from attest.instant import format_instant
from attest.named_tuples import NamedTuple
from store import file_identity, ledger_file, sqlite
from store.errors import LedgerError, SealedLedgerError
from store.head_memory import HeadMemory, RememberedHead
from store.key_history import KeyHistory
from store.reservation import CLOSING_BYTES, reserve
from store.turn import Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from attest.canonical import Json
    from attest.keys import SigningKey
    from store.errors import TamperedLedgerError


_NO_MORE = {errno.EMFILE, errno.ENFILE}
_MAX_NAMED = 3
"""How many of the launches that still run a refusal names."""


class Draft(NamedTuple):
    """An entry that is still to get its index and its time.

    Attributes:
        kind: its kind.
        session: its session id, None for the ledger's own.
        seq: its place in the session.
        data: what it says; or what says so of the entry before it in the same commit, of which index and time
            are known only there. That can be asked more than once, and changes nothing.
    """

    kind: str
    session: str | None
    seq: int
    data: dict[str, Json] | Callable[[Appended], dict[str, Json]]


class Appended:
    """An entry that is durable.

    Attributes:
        index: where it stands in the ledger.
        entry: what was written.
        leaf: its leaf hash, 32 bytes.
    """

    # Not a NamedTuple: one has an ``index`` of its own.
    __slots__ = ("entry", "index", "leaf")

    def __init__(self, index: int, written: entry.Entry, leaf: bytes) -> None:
        self.index = index
        self.entry = written
        self.leaf = leaf


class Ledger:
    """A ledger that is open for appending. One object belongs to one process and to one thread at a time.

    Use :meth:`create` and :meth:`open`, and :class:`store.group_commit.GroupCommit` where threads share it.
    While it is open, nothing in the process may open and close the file by other means than SQLite (see
    :mod:`store.ledger_file`).

    Attributes:
        path: the file, absolute.
        origin: its origin.
    """

    def __init__(
        self,
        path: bytes,
        identity: file_identity.Identity,
        connection: sqlite.Connection,
        key: SigningKey,
        state: bytes,
        *,
        turn: Turn,
    ) -> None:
        self.path = path
        self._identity = identity
        self._turn = turn
        self._places: list[ledger_file.Place] = []
        self._db = connection
        self._state = state
        self._key = key
        self._signed: tuple[bytes, bytes] | None = None
        self._edge = tree.Edge()
        self._last_time = ""
        try:
            self._keys = KeyHistory(self._read_entry(0))
        except NonoError as error:
            raise self._tampered(str(error)) from None
        self._followed = 0
        self.origin = self._keys.origin
        self._memory = HeadMemory(os.path.join(state, b"heads"), self.origin)

    # --- making and opening -------------------------------------------------------------------

    @classmethod
    def create(
        cls,
        path: bytes,
        key: SigningKey,
        *,
        name: str,
        tool_version: str,
        state: bytes,
        previous: checkpoint.Checkpoint | None = None,
    ) -> Ledger:
        """Found a ledger at ``path``, which must not exist, and open it; see :func:`store.founding.found`.

        Args:
            path: the file, absolute.
            key: the key that founds it.
            name: the name part of its origin, ``[a-z0-9./_-]{1,100}``.
            tool_version: version of this program.
            state: the state directory, where heads are remembered.
            previous: the head of the ledger that this one continues, if it does.

        Raises:
            LedgerError: it exists (``ledger.exists``), or cannot be made there.
            MalformedError: the name is not of that form.
        """
        from store.founding import found  # noqa: PLC0415  # once in the life of a ledger

        found(path, key, name=name, tool_version=tool_version, previous=previous)
        return cls.open(path, key, state=state)

    @classmethod
    def open(cls, path: bytes, key: SigningKey, *, state: bytes) -> Ledger:
        """Open the ledger at ``path`` for appending with its key in force.

        Args:
            path: the file, absolute.
            key: the key that should be in force.
            state: the state directory, where heads are remembered.

        Raises:
            LedgerError: missing, not a ledger, another key's, or not safe to use.
            SealedLedgerError: it was sealed on this host.
            TamperedLedgerError: it is not what its key last signed.
        """
        identity = ledger_file.check_file(path)
        try:
            with contextlib.ExitStack() as undo:
                turn = Turn(os.path.join(state, b"turns"), os.path.basename(path), path + b"-wal")
                undo.callback(turn.close)
                turn.take()
                connection = ledger_file.connect(path)
                undo.callback(connection.close)
                # The writers' turn, although nothing is written: what cannot be written is found here, and
                # the memory, which a writer renews after its commit, is never ahead of what is read.
                connection.execute("BEGIN IMMEDIATE")
                ledger_file.check_schema(connection, path)
                ledger = cls(path, identity, connection, key, state, turn=turn)
                undo.callback(ledger._memory.close)
                ledger._take_up_head()
                connection.execute("ROLLBACK")
                ledger_file.make_durable(connection)
                ledger_file.check_beside(path)  # what came meanwhile is open now
                turn.give_up()
                undo.pop_all()
        except sqlite.Error as error:
            raise ledger_file.translate(error, path) from None
        return ledger

    def close(self) -> None:
        """Close the ledger; what was appended is durable already."""
        self._memory.close()
        # The last one to close moves the log into the file, and SQLite lets nobody else in meanwhile.
        self._turn.take()
        self._db.close()
        self._turn.close()
        while self._places:
            self._places.pop().close()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- appending ----------------------------------------------------------------------------

    def append(self, drafts: Sequence[Draft]) -> list[Appended]:
        """Append entries in one commit; when this returns they and the head over them are durable.

        An entry that is too large leaves the fields that its schema marks beside it, as blobs.

        Raises:
            TamperedLedgerError: the ledger is not what its key last signed; nothing was written.
            LedgerError: busy, full, read-only, handed over to another key; nothing was acknowledged.
            MalformedError: an entry is outside its limits; nothing was written.
        """
        if any(draft.kind in (entry.GENESIS, entry.KEY) for draft in drafts):
            raise LedgerError(
                "a genesis or a handover is not appended like another entry", code="ledger.kind"
            )
        return self._commit(drafts, (self._key,))

    def is_free(self) -> bool:
        """Return whether nobody else writes for long at this moment, after ``FREE_SECONDS`` at most.

        What is appended then comes soon; for sure it is not, since another can begin meanwhile.
        """
        waits = ledger_file.FREE_SECONDS, ledger_file.BUSY_SECONDS
        short, usual = (f"PRAGMA busy_timeout={seconds * 1_000:.0f}" for seconds in waits)
        try:
            self._db.execute(short)
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.execute("ROLLBACK")
            finally:
                self._db.execute(usual)
        except sqlite.Error as error:
            # Whatever else it is, appending says so.
            return not getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")
        return True

    def hand_over(self, key: SigningKey, reason: str, *, unsafe_while_running: bool = False) -> Appended:
        """Hand the ledger over to ``key``: the entry, and a kept checkpoint that both keys sign.

        From here on the new key is in force, in this object too, and the old one is not needed again.

        Args:
            key: the successor.
            reason: why, for the record; at most 1,024 characters.
            unsafe_while_running: do not ask whether launches run: they hold the old key, and their records
                would stay unfinished.

        Raises:
            LedgerError: as :meth:`append`; launches run (``ledger.running``); or it is the key in force
                already, or was.
        """
        if key.public == self._key.public:
            raise LedgerError("a ledger is not handed over to the key that it has", code="ledger.same_key")
        data: dict[str, Json] = {
            "public_key": base64.b64encode(key.public.spki()).decode(),
            "reason": reason,
        }
        draft = Draft(entry.KEY, None, 0, data)

        def check() -> None:
            if self._keys.had(key.public):
                raise LedgerError(
                    "a ledger is not handed over to a key that it had before",
                    code="ledger.former_key",
                    hint="hand it over to a new key",
                )
            if not unsafe_while_running:
                self.require_idle()

        (appended,) = self._commit([draft], (self._key, key), check)
        self._keys.turn(appended.index + 1, key.public)
        self._followed = appended.index + 1
        self._key = key
        return appended

    def require_idle(self) -> None:
        """Refuse while launches run: whose lock on this ledger's sessions is held by somebody.

        Raises:
            LedgerError: they do (``ledger.running``).
        """
        from store.open_sessions import OpenSessions  # noqa: PLC0415  # few ledgers are handed over or sealed

        kept = OpenSessions(self._state, self.origin).kept()
        if kept:
            sessions = ", ".join(kept[:_MAX_NAMED]) + (", …" if len(kept) > _MAX_NAMED else "")
            what = "1 launch is" if len(kept) == 1 else f"{len(kept)} launches are"
            raise LedgerError(
                f"{what} still running and would find {os.fsdecode(self.path)} closed: {sessions}",
                code="ledger.running",
                hint="try again when nothing runs",
            )

    def seal(self, *, unsafe_while_running: bool = False) -> checkpoint.Checkpoint:
        """Let nothing be appended any more, as far as this host is concerned, and return the last head.

        Args:
            unsafe_while_running: as for :meth:`hand_over`.

        Raises:
            LedgerError: launches run (``ledger.running``), it was sealed already, or that cannot be
                remembered.
            TamperedLedgerError: it is not what its key last signed.
        """
        try:
            self._turn.take()
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._check_in_place()
                self._require_unsealed()
                self._take_up_head()
                if not unsafe_while_running:
                    self.require_idle()
                head = checkpoint.Checkpoint(self.origin, self._edge.size, self._edge.root())
                self._memory.seal(head.size, head.root)
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                self._turn.give_up()
        except sqlite.Error as error:
            raise ledger_file.translate(error, self.path) from None
        except OSError as error:
            raise self._memory.unusable(error) from None
        return head

    def _commit(
        self,
        drafts: Sequence[Draft],
        keys: tuple[SigningKey, ...],
        check: Callable[[], None] | None = None,
    ) -> list[Appended]:
        if not drafts:
            raise LedgerError("nothing to append", code="ledger.empty_append")
        try:
            self._turn.take()
            try:
                self._db.execute("BEGIN IMMEDIATE")
                self._check_in_place()
                self._require_unsealed()
                self._take_up_head()
                if check is not None:
                    check()
                edge = self._edge.copy()
                appended: list[Appended] = []
                for draft in drafts:
                    data = draft.data(appended[-1]) if callable(draft.data) else draft.data
                    appended.append(self._insert(edge, draft, data))
                head = checkpoint.Checkpoint(self.origin, edge.size, edge.root())
                note, encoded = head.sign(keys), edge.encode()
                if len(keys) > 1:
                    self._db.execute("INSERT INTO checkpoint VALUES (?, ?)", (edge.size, note))
                self._db.execute("UPDATE head SET note = ?, edge = ? WHERE id = 0", (note, encoded))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            finally:
                self._turn.give_up()
        except sqlite.Error as error:
            raise ledger_file.translate(error, self.path) from None
        self._signed, self._edge = (note.encode(), encoded), edge
        # To lag behind is safe, and what is durable must not be called lost: reading found it writable.
        with contextlib.suppress(OSError, LedgerError):
            self._memory.write(head.size, head.root)
        return appended

    def _insert(self, edge: tree.Edge, draft: Draft, data: dict[str, Json]) -> Appended:
        # The clock may step back; the ledger's time does not.
        self._last_time = max(self._last_time, format_instant(time.time_ns()))
        written, body = self._encode(draft, data)
        leaf = tree.hash_leaf(body)
        index = edge.size
        self._db.execute("INSERT INTO entry VALUES (?, ?)", (index, body.decode()))
        edge.append(leaf)
        level, size = 0, edge.size
        while size and size % tree.TILE_WIDTH == 0:
            size //= tree.TILE_WIDTH
            self._write_tile(level, size - 1, edge)
            level += 1
        return Appended(index, written, leaf)

    def _encode(self, draft: Draft, asked: dict[str, Json]) -> tuple[entry.Entry, bytes]:
        """Return the entry and its bytes; what makes it too large is written beside it, largest first."""
        data = dict(asked)
        while True:
            written = entry.Entry(draft.kind, draft.session, draft.seq, self._last_time, data)
            try:
                return written, written.encode()
            except MalformedError as error:
                left = [
                    (canonical.encode(data[name]), name)
                    for name in entry.BLOB_FIELDS.get(draft.kind, ())
                    if name in data and not blob.is_reference(data[name])
                ]
                if error.code != "entry.too_large" or not left:
                    raise
            value, name = max(left, key=lambda pair: len(pair[0]))
            if len(value) > blob.MAX_BYTES:  # the verifier would take the ledger for damaged, for ever
                raise MalformedError(
                    f"{name} has {len(value)} bytes, and at most {blob.MAX_BYTES} may lie beside an entry",
                    code="entry.too_large",
                    hint="put what is so long into a file, and name that",
                )
            beside = blob.Blob(os.urandom(blob.SALT_BYTES), value)
            self._db.execute("INSERT INTO blob VALUES (?, ?, ?)", (beside.digest(), beside.salt, beside.data))
            data[name] = beside.reference()

    def _write_tile(self, level: int, index: int, edge: tree.Edge) -> None:
        """Store the full tile, made from what the file holds, if it agrees with what was signed."""
        hashes = self._hashes(level, index * tree.TILE_WIDTH, tree.TILE_WIDTH)
        root = tile_root = tree.perfect_root(hashes)
        height = (level + 1) * tree.TILE_HEIGHT
        # The node over this tile is either the last of the edge or was merged into it: then the other
        # half stands in tiles that were compared when they were written.
        while edge.size >> height & 1 == 0:
            sibling = self._node(height, (edge.size >> height) - 2)
            root, height = tree.hash_node(sibling, root), height + 1
        if root != edge.nodes[-1]:
            raise self._tampered(f"the entries before {edge.size} are not those that were signed")
        self._db.execute("INSERT INTO tile VALUES (?, ?, ?, ?)", (level, index, tile_root, b"".join(hashes)))

    # --- what is extended is verified -----------------------------------------------------------

    def _check_in_place(self) -> None:
        """Refuse to write where nobody would find it: into a file, or a log, that is not there any more."""
        for path in (self.path, self.path + b"-wal")[len(self._places) :]:
            try:
                self._places.append(ledger_file.Place(path))
            except OSError as error:
                if error.errno in _NO_MORE:
                    raise LedgerError(
                        f"cannot look at {os.fsdecode(path)}: {error.strerror}",
                        code="ledger.resources",
                        hint=files_hint(error.errno),
                    ) from None
                raise self._replaced(path) from None
        if self._places[0].identity != self._identity:
            raise self._replaced(self.path)
        for place in self._places:
            if not place.is_occupied():
                raise self._replaced(place.path)

    def require_usable(self) -> None:
        """Refuse what cannot be appended to any more, as far as a glance shows: moved away, or sealed.

        Raises:
            LedgerError: it is.
        """
        self._check_in_place()
        self._require_unsealed()

    def _replaced(self, path: bytes) -> LedgerError:
        return LedgerError(
            f"{os.fsdecode(path)} was replaced or removed while it was open", code="ledger.replaced"
        )

    def _require_unsealed(self) -> None:
        """Refuse what was sealed since it was opened; the write lock is held."""
        try:
            sealed = self._memory.is_sealed()
        except OSError:  # the end of a launch is recorded whatever became of the memory
            return
        if sealed:
            remembered = self._memory.read()
            assert remembered is not None
            raise self._sealed(remembered)

    def _sealed(self, remembered: RememberedHead) -> SealedLedgerError:
        successor = remembered.successor
        if successor is not None and successor.founded:
            hint = f"name the ledger that continues it: --ledger {_quoted(successor.path)}"
        else:
            hint = (
                "name the ledger that continues it, or found that with:"
                f" nono ledger roll --ledger {_quoted(self.path)} --to FILE"
                " (and its --audit-sign-key, unless that is the host key)"
            )
        return SealedLedgerError(
            f"{os.fsdecode(self.path)} was sealed at {remembered.size} entries",
            hint=hint,
            head=checkpoint.Checkpoint(self.origin, remembered.size, remembered.root),
        )

    def _take_up_head(self) -> None:
        """Make ``self._edge`` the verified state that the open transaction sees (step 1 of a commit)."""
        # STRICT binds only who writes while it stands there: each query asks for the types that it reads.
        row: tuple[bytes, bytes] | None = self._db.execute(
            "SELECT note, edge FROM head WHERE id = 0 AND typeof(note) = 'text' AND typeof(edge) = 'blob'"
        ).fetchone()
        if row is None:
            raise self._tampered("it has no head")
        if row == self._signed:
            # SQLite keeps a log for each name of a file, and who wrote under another is not seen in this one.
            if self._memory.is_ahead_of(self._edge.size):
                raise self._tampered(
                    "more was signed here meanwhile: it is written under another name as well"
                )
            return
        note, encoded = row
        self._follow_handovers()
        # As two queries each is a single seek; in one they would be a scan.
        first, last = self._db.execute(
            "SELECT (SELECT min(idx) FROM entry), (SELECT max(idx) FROM entry)"
        ).fetchone()
        if first != 0:
            raise self._tampered("it has no first entry, or something before it")
        try:
            head = checkpoint.open_signed(note, self.origin, self._keys.signers(last + 1))
            edge = tree.Edge.decode(head.size, encoded)
        except NonoError as error:
            raise self._tampered(f"its head does not hold: {error}") from None
        if edge.root() != head.root:
            raise self._tampered("its edge does not lead to the signed root")
        if head.size != last + 1:
            raise self._tampered(f"it holds entries up to {last}, and its head covers {head.size}")
        self._check_entries(edge)
        self._check_continues(edge)
        self._last_time = self._read_entry(head.size - 1).time
        self._edge, self._signed = edge, (note, encoded)

    def _follow_handovers(self) -> None:
        """Learn of the handovers since the last time; refuse if the key at hand is not in force."""
        kept = self._db.execute(
            "SELECT size, note FROM checkpoint WHERE size > ? AND typeof(note) = 'text' ORDER BY size",
            (self._followed,),
        ).fetchall()
        for size, note in kept:
            last = self._read_entry(size - 1)
            try:
                self._keys.follow(size, note, last)
            except NonoError as error:
                raise self._tampered(f"the checkpoint kept at {size} does not hold: {error}") from None
            self._followed = size
        if self._keys.in_force != self._key.public:
            raise LedgerError(
                f"{os.fsdecode(self.path)} belongs to another key: {self._keys.in_force.fingerprint()[:16]}…",
                code="ledger.other_key",
                hint="name that key with --audit-sign-key, or another ledger with --ledger",
            )

    def _check_entries(self, edge: tree.Edge) -> None:
        """Hash what was appended since the last verified head, or all of the last tile, and compare."""
        known = self._edge
        if edge.size < known.size:
            raise self._tampered(f"it has {edge.size} entries, but {known.size} a moment ago")
        if known.size and edge.size - known.size <= tree.TILE_WIDTH:
            replayed = known.copy()
            for leaf in self._hashes(0, known.size, edge.size - known.size):
                replayed.append(leaf)
        else:
            replayed = self._edge_at(edge.size)
            if known.size and self._edge_at(known.size).nodes != known.nodes:
                raise self._tampered(f"its first {known.size} entries are not those that were signed")
        if replayed.nodes != edge.nodes:
            raise self._tampered("its last entries are not those that were signed")

    def _check_continues(self, edge: tree.Edge) -> None:
        """Compare with what this host remembers of the last head that it signed."""
        remembered = self._memory.read()
        if remembered is None:
            return
        if edge.size < remembered.size:
            raise self._tampered(
                f"it has {edge.size} entries, but {remembered.size} were signed here:"
                " an older copy was put back"
            )
        past = next((each for each in (edge, self._edge) if each.size == remembered.size), None)
        if (past or self._edge_at(remembered.size)).root() != remembered.root:
            raise self._tampered(f"its first {remembered.size} entries are not those that were signed here")
        if remembered.sealed:
            raise self._sealed(remembered)

    def _edge_at(self, size: int) -> tree.Edge:
        """Return the edge at an earlier size, from tiles and entries."""
        return tree.Edge(size, (self._node(height, index) for height, index in tree.edge_nodes(size)))

    def _node(self, height: int, index: int) -> bytes:
        """Return the root of the perfect subtree of ``2**height`` leaves at ``index``, from the file."""
        level, rest = divmod(height, tree.TILE_HEIGHT)
        return tree.perfect_root(self._hashes(level, index << rest, 1 << rest))

    def _hashes(self, level: int, start: int, count: int) -> list[bytes]:
        """Return ``count`` nodes of height ``8 * level``: leaf hashes, or the roots of tiles below."""
        if level:
            rows = self._db.execute(
                "SELECT root FROM tile WHERE level = ? AND idx >= ? AND idx < ?"
                " AND typeof(root) = 'blob' AND length(root) = 32 ORDER BY idx",
                (level - 1, start, start + count),
            )
            hashes: list[bytes] = [row[0] for row in rows]
        else:
            rows = self._db.execute(
                "SELECT body FROM entry WHERE idx >= ? AND idx < ? AND typeof(body) = 'text' ORDER BY idx",
                (start, start + count),
            )
            hashes = [tree.hash_leaf(row[0]) for row in rows]
        if len(hashes) != count:
            raise self._tampered("entries or tiles are missing, or are none")
        return hashes

    def _read_entry(self, index: int) -> entry.Entry:
        row = self._db.execute(
            "SELECT body FROM entry WHERE idx = ? AND typeof(body) = 'text'", (index,)
        ).fetchone()
        if row is None:
            raise self._tampered(f"entry {index} is missing")
        try:
            return entry.parse(row[0])
        except MalformedError as error:
            raise self._tampered(f"entry {index} cannot be read: {error}") from None

    def _tampered(self, why: str) -> TamperedLedgerError:
        return ledger_file.tampered(self.path, why)

    # --- looking ------------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """The number of entries, as this object last saw it."""
        return self._edge.size

    def session_kinds(self, session: str, first: int) -> list[str]:
        """Return the kinds of the entries that a session has from index ``first`` on, in their order.

        Raises:
            LedgerError: the ledger cannot be read.
        """
        try:
            rows = self._db.execute(
                "SELECT body FROM entry WHERE idx >= ? AND typeof(body) = 'text' AND instr(body, ?)"
                " ORDER BY idx",
                (first, session),
            ).fetchall()
            found = [entry.parse(body) for (body,) in rows]
        except sqlite.Error as error:
            raise ledger_file.translate(error, self.path) from None
        except MalformedError as error:
            raise self._tampered(f"an entry cannot be read: {error}") from None
        return [read.kind for read in found if read.session == session]

    # --- room ---------------------------------------------------------------------------------

    def reserve_closing_space(self, launches: int) -> bool:
        """Allocate room in the write-ahead log for what closes each launch, before the next command runs.

        All that are open share what lies behind the end of the log, so it is for all of them; one more has
        room for what begins them.

        Args:
            launches: how many are open, this one included.

        Returns:
            False where the file system cannot do that.

        Raises:
            LedgerError: there is no such room (``ledger.full``), or the log cannot be written.
        """
        try:
            return reserve(self.path + b"-wal", (launches + 1) * CLOSING_BYTES)
        except PermissionError as error:
            raise ledger_file.read_only(self.path, str(error.strerror)) from None
        except OSError as error:
            if error.errno == errno.EFBIG:
                raise LedgerError(
                    f"no room for the closing entries of {os.fsdecode(self.path)} within the limit on file"
                    " sizes",
                    code="ledger.full",
                    hint="raise it (ulimit -f unlimited), or set it for the command: nono run -- sh -c "
                    "'ulimit -f N; exec COMMAND'",
                ) from None
            if error.errno in _NO_MORE:
                raise LedgerError(
                    f"cannot make room for the closing entries of {os.fsdecode(self.path)}: {error.strerror}",
                    code="ledger.resources",
                    hint=files_hint(error.errno),
                ) from None
            raise LedgerError(
                f"no room for the closing entries of {os.fsdecode(self.path)}: {error.strerror}",
                code="ledger.full",
                hint="free some space on that file system",
            ) from None


def _quoted(path: bytes) -> str:
    """Return a path as one word of a shell command; nothing is imported for it where a launch may end."""
    return "'" + os.fsdecode(path).replace("'", "'\\''") + "'"
