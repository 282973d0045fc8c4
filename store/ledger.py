"""The ledger: a transparency log in one SQLite file, and the order in which it grows (design 2).

The order of a commit *is* the design. Inside one ``BEGIN IMMEDIATE`` transaction:

1. read the stored head; unless this very process signed it last, verify its signature under the key
   in force, that the edge hashes to its root, and that it continues what this host remembers;
2. give each new entry its index and its time, hash it, extend the edge, write full tiles;
3. sign the new head, replace the one head row, commit (WAL, ``synchronous=FULL``: the head is on disk
   before anybody can read it, in the same frames as the entries that it covers);
4. remember size and root in the state directory. To lag here is safe: a crash between 3 and 4 leaves
   a ledger that is ahead of the memory and consistent with it.

So an edited file or an old copy put back never gets a fresh signature. A crash anywhere leaves the
state before or after the commit, and opening runs the same checks as appending.
"""

from __future__ import annotations

import base64
import contextlib
import os
import sqlite3
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from attest import blob, canonical, checkpoint, entry, ledger_format, origin, tree
from attest.errors import MalformedError, NonoError
from attest.instant import format_instant
from attest.keys import PublicKey
from attest.note import parse as parse_note
from store.errors import LedgerError, TamperedLedgerError
from store.head_memory import HeadMemory
from store.reservation import reserve

if TYPE_CHECKING:
    from collections.abc import Sequence

    from attest.canonical import Json
    from attest.keys import SigningKey

BUSY_SECONDS = 30.0
"""How long a writer waits for the others before it gives up."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry that is still to get its index and its time."""

    kind: str
    session: str | None
    seq: int
    data: dict[str, Json]


@dataclass(frozen=True, slots=True)
class Appended:
    """An entry that is durable.

    Attributes:
        index: where it stands in the ledger.
        entry: what was written.
        leaf: its leaf hash, 32 bytes.
    """

    index: int
    entry: entry.Entry
    leaf: bytes


class Ledger:
    """A ledger that is open for appending. One object belongs to one process and one thread.

    Use :meth:`create` and :meth:`open`.

    Attributes:
        path: the file, absolute.
        origin: its origin.
    """

    def __init__(self, path: bytes, connection: sqlite3.Connection, key: SigningKey, state: bytes) -> None:
        self.path = path
        self._db = connection
        self._key = key
        genesis = self._read_genesis()
        self.origin = genesis[0]
        self._memory = HeadMemory(os.path.join(state, b"heads"), self.origin)
        self._signed: tuple[str, bytes] | None = None
        self._edge = tree.Edge()
        self._last_time = ""
        self._turn: tuple[int, list[PublicKey]] = (0, [])
        in_force = self._key_in_force(genesis[1])
        if in_force != key.public:
            raise LedgerError(
                f"{os.fsdecode(path)} belongs to another key: {in_force.fingerprint()[:16]}…",
                code="ledger.other_key",
                hint="name that key with --audit-sign-key, or another ledger with --ledger",
            )

    # --- making and opening -------------------------------------------------------------------

    @classmethod
    def create(cls, path: bytes, key: SigningKey, *, name: str, tool_version: str, state: bytes) -> Ledger:
        """Found a ledger at ``path``, which must not exist, and open it.

        It is made under a temporary name, its genesis committed, checkpointed and synced, and then
        linked into place: a ledger never exists half-made.

        Args:
            path: the file, absolute.
            key: the key that founds it.
            name: the name part of its origin, ``[a-z0-9./_-]{1,100}``.
            tool_version: version of this program.
            state: the state directory, where heads are remembered.

        Raises:
            LedgerError: it exists, or cannot be made there.
        """
        directory = os.path.dirname(path)
        temporary = os.path.join(
            directory, b".%s.%s" % (os.path.basename(path), os.urandom(8).hex().encode())
        )
        try:
            os.makedirs(directory, 0o700, exist_ok=True)
            os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            try:
                _found(temporary, key, name, tool_version)
                os.link(temporary, path)
            finally:
                for suffix in (b"", b"-wal", b"-shm", b"-journal"):
                    _unlink_if_there(temporary + suffix)
            _sync_directory(directory)
        except FileExistsError:
            raise LedgerError(f"{os.fsdecode(path)} exists already", code="ledger.exists") from None
        except OSError as error:
            raise LedgerError(
                f"cannot make a ledger at {os.fsdecode(path)}: {error.strerror}",
                code="ledger.create",
            ) from None
        except sqlite3.Error as error:
            raise _translate(error, path) from None
        return cls.open(path, key, state=state)

    @classmethod
    def open(cls, path: bytes, key: SigningKey, *, state: bytes) -> Ledger:
        """Open the ledger at ``path`` for appending with its key in force.

        Raises:
            LedgerError: missing, not a ledger, another key's, or not safe to use.
            TamperedLedgerError: it is not what its key last signed.
        """
        _check_file(path)
        connection = _connect(path)
        try:
            _check_schema(connection, path)
            ledger = cls(path, connection, key, state)
            ledger._check_last_tile()
            ledger._prepare_memory()
        except sqlite3.Error as error:
            connection.close()
            raise _translate(error, path) from None
        except BaseException:
            connection.close()
            raise
        return ledger

    def close(self) -> None:
        """Close the ledger; what was appended is durable already."""
        self._memory.close()
        self._db.close()

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
            LedgerError: busy, full, read-only; nothing was written.
            MalformedError: an entry is outside its limits; nothing was written.
        """
        return self._commit(drafts, (self._key,))

    def hand_over(self, key: SigningKey, reason: str) -> Appended:
        """Hand the ledger over to ``key``: the entry, and a kept checkpoint that both keys sign.

        From here on the new key is in force, in this object too, and the old one is not needed again.

        Raises:
            LedgerError: as :meth:`append`.
        """
        data: dict[str, Json] = {"public_key": _base64(key.public.spki()), "reason": reason}
        (appended,) = self._commit([Draft(entry.KEY, None, 0, data)], (self._key, key))
        self._turn = (appended.index + 1, [self._key.public, key.public])
        self._key = key
        return appended

    def _commit(self, drafts: Sequence[Draft], keys: tuple[SigningKey, ...]) -> list[Appended]:
        if not drafts:
            raise LedgerError("nothing to append", code="ledger.empty_append")
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self._take_up_head()
                edge = self._edge.copy()
                appended = [self._insert(edge, draft) for draft in drafts]
                head = checkpoint.Checkpoint(self.origin, edge.size, edge.root())
                note = head.sign(keys)
                encoded = edge.encode()
                if len(keys) > 1:
                    self._db.execute("INSERT INTO checkpoint VALUES (?, ?)", (edge.size, note))
                self._db.execute("UPDATE head SET note = ?, edge = ? WHERE id = 0", (note, encoded))
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise _translate(error, self.path) from None
        self._signed, self._edge, self._last_time = (note, encoded), edge, appended[-1].entry.time
        # To lag behind is safe, and what is durable must not be called lost: opening found the file writable.
        with contextlib.suppress(OSError):
            self._memory.write(head.size, head.root)
        return appended

    def _insert(self, edge: tree.Edge, draft: Draft) -> Appended:
        # The clock may step back; the ledger's time does not.
        self._last_time = max(self._last_time, format_instant(time.time_ns()))
        written, body = self._encode(draft)
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

    def _encode(self, draft: Draft) -> tuple[entry.Entry, bytes]:
        """Return the entry and its bytes; what makes it too large is written beside it, largest first."""
        data = dict(draft.data)
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
            beside = blob.Blob(os.urandom(blob.SALT_BYTES), value)
            self._db.execute("INSERT INTO blob VALUES (?, ?, ?)", (beside.digest(), beside.salt, beside.data))
            data[name] = beside.reference()

    def _write_tile(self, level: int, index: int, edge: tree.Edge) -> None:
        """Store the full tile, made from what the file holds, if it agrees with what was signed."""
        hashes = self._hashes(level, index * tree.TILE_WIDTH, tree.TILE_WIDTH)
        root = tree.perfect_root(hashes)
        height = (level + 1) * tree.TILE_HEIGHT
        # The node over this tile is either the last of the edge or was merged into it: then the other
        # half stands in tiles that were compared when they were written.
        while edge.size >> height & 1 == 0:
            sibling = self._node(height, (edge.size >> height) - 2)
            root, height = tree.hash_node(sibling, root), height + 1
        if root != edge.nodes[-1]:
            raise self._tampered(f"the entries before {edge.size} are not those that were signed")
        self._db.execute(
            "INSERT INTO tile VALUES (?, ?, ?, ?)",
            (level, index, tree.perfect_root(hashes), b"".join(hashes)),
        )

    # --- what is extended is verified -----------------------------------------------------------

    def _take_up_head(self) -> None:
        """Make ``self._edge`` the verified state that the open transaction sees (step 1 of a commit)."""
        row = self._db.execute("SELECT note, edge FROM head WHERE id = 0").fetchone()
        if row is None:
            raise self._tampered("it has no head")
        note, encoded = row
        if (note, encoded) == self._signed:
            return
        try:
            size = checkpoint.parse_text(parse_note(note.encode()).text).size
            signers = self._turn[1] if size == self._turn[0] else [self._key.public]
            head = checkpoint.open_signed(note.encode(), self.origin, signers)
            edge = tree.Edge.decode(head.size, encoded)
        except NonoError as error:
            raise self._tampered(f"its head does not hold: {error}") from None
        if edge.root() != head.root:
            raise self._tampered("its edge does not lead to the signed root")
        self._check_continues(edge)
        (count,) = self._db.execute("SELECT max(idx) FROM entry").fetchone()
        if count != head.size - 1:
            raise self._tampered(f"it holds entries up to {count}, and its head covers {head.size}")
        self._last_time = self._read_entry(head.size - 1).time
        self._edge, self._signed = edge, (note, encoded)

    def _check_continues(self, edge: tree.Edge) -> None:
        remembered = self._memory.read()
        if remembered is None:
            return
        if edge.size < remembered.size:
            raise self._tampered(
                f"it has {edge.size} entries, but {remembered.size} were signed here:"
                " an older copy was put back"
            )
        past = self._edge_at(remembered.size) if remembered.size != edge.size else edge
        if past.root() != remembered.root:
            raise self._tampered(f"its first {remembered.size} entries are not those that were signed here")

    def _check_last_tile(self) -> None:
        """Hash the entries of the last tile again and compare them with the edge: once for an opening."""
        self._db.execute("BEGIN")
        try:
            self._take_up_head()
            size = self._edge.size
            if self._edge_at(size).nodes != self._edge.nodes:
                raise self._tampered("its last entries are not those that were signed")
        finally:
            self._db.execute("ROLLBACK")

    def _prepare_memory(self) -> None:
        try:
            self._memory.prepare()
        except OSError as error:
            raise LedgerError(
                f"the ledger's head cannot be remembered: {os.fsdecode(self._memory.path)}: {error.strerror}",
                code="ledger.memory",
                hint="make nono's state directory writable; it is where an old copy put back is noticed",
            ) from None

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
                "SELECT root FROM tile WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx",
                (level - 1, start, start + count),
            )
            hashes = [row[0] for row in rows]
        else:
            rows = self._db.execute(
                "SELECT body FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (start, start + count)
            )
            hashes = [tree.hash_leaf(row[0].encode()) for row in rows]
        if len(hashes) != count:
            raise self._tampered("entries or tiles are missing")
        return hashes

    # --- reading ------------------------------------------------------------------------------

    def _read_entry(self, index: int) -> entry.Entry:
        row = self._db.execute("SELECT body FROM entry WHERE idx = ?", (index,)).fetchone()
        if row is None:
            raise self._tampered(f"entry {index} is missing")
        try:
            return entry.parse(row[0].encode())
        except MalformedError as error:
            raise self._tampered(f"entry {index} cannot be read: {error}") from None

    def _read_genesis(self) -> tuple[str, PublicKey]:
        genesis = self._read_entry(0)
        try:
            data = genesis.data
            claimed, nonce = str(data["origin"]), bytes.fromhex(str(data["nonce"]))
            key = PublicKey.from_spki(canonical.decode_base64(data["public_key"]))
            if genesis.kind != entry.GENESIS or claimed != origin.derive(
                origin.split(claimed)[0], key.spki(), nonce
            ):
                raise self._tampered("its origin is not the one that its first entry founds")
        except (KeyError, ValueError, MalformedError) as error:
            raise self._tampered(f"its first entry cannot be read: {error}") from None
        return claimed, key

    def _key_in_force(self, genesis_key: PublicKey) -> PublicKey:
        key = genesis_key
        for size, note in self._db.execute("SELECT size, note FROM checkpoint ORDER BY size").fetchall():
            turn = self._read_entry(size - 1)
            if turn.kind != entry.KEY:
                continue
            try:
                successor = PublicKey.from_spki(canonical.decode_base64(turn.data["public_key"]))
                self._turn = (size, [key, successor])
                if checkpoint.open_signed(note.encode(), self.origin, self._turn[1]).size != size:
                    raise self._tampered(f"the checkpoint kept at {size} is one of another size")
            except (KeyError, NonoError) as error:
                raise self._tampered(f"the handover at entry {size - 1} does not hold: {error}") from None
            key = successor
        return key

    def _tampered(self, why: str) -> TamperedLedgerError:
        return TamperedLedgerError(
            f"{os.fsdecode(self.path)} is not what was signed: {why}",
            hint="check it with nono-verify; keep the file, and go on with another ledger: --ledger FILE",
        )

    # --- room ---------------------------------------------------------------------------------

    def reserve_closing_space(self) -> bool:
        """Allocate room in the write-ahead log for what closes a launch, before the command runs.

        Returns:
            False where the file system cannot do that.

        Raises:
            LedgerError: there is no such room (``ledger.full``).
        """
        try:
            return reserve(self.path + b"-wal")
        except OSError as error:
            raise LedgerError(
                f"no room for the closing entries of {os.fsdecode(self.path)}: {error.strerror}",
                code="ledger.full",
                hint="free some space on that file system",
            ) from None


def _found(path: bytes, key: SigningKey, name: str, tool_version: str) -> None:
    """Make the ledger's tables, its genesis entry and its first head in the empty file at ``path``."""
    nonce = os.urandom(origin.NONCE_BYTES)
    ledger_origin = origin.derive(name, key.public.spki(), nonce)
    genesis = entry.Entry(
        entry.GENESIS,
        None,
        0,
        format_instant(time.time_ns()),
        {
            "format": ledger_format.FORMAT_VERSION,
            "nonce": nonce.hex(),
            "origin": ledger_origin,
            "public_key": _base64(key.public.spki()),
            "tool": {"name": "nono", "version": tool_version},
        },
    ).encode()
    edge = tree.Edge()
    edge.append(tree.hash_leaf(genesis))
    note = checkpoint.Checkpoint(ledger_origin, 1, edge.root()).sign([key])
    connection = _connect(path)
    try:
        connection.execute(f"PRAGMA application_id = {ledger_format.APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {ledger_format.FORMAT_VERSION}")
        connection.execute("BEGIN IMMEDIATE")
        for statement in ledger_format.ddl():
            connection.execute(statement)
        connection.execute("INSERT INTO entry VALUES (0, ?)", (genesis.decode(),))
        connection.execute("INSERT INTO head VALUES (0, ?, ?)", (note, edge.encode()))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    _sync_file(path)


def _connect(path: bytes) -> sqlite3.Connection:
    connection = sqlite3.connect(os.fsdecode(path), timeout=BUSY_SECONDS, isolation_level=None)
    for pragma in (
        "trusted_schema=OFF",
        "cell_size_check=ON",
        "journal_mode=WAL",
        "synchronous=FULL",
        "recursive_triggers=ON",
    ):
        connection.execute(f"PRAGMA {pragma}")
    return connection


def _check_file(path: bytes) -> None:
    """Refuse what is not a ledger file of ours before SQLite touches it, and converts or recovers it."""
    shown = os.fsdecode(path)
    try:
        status = os.lstat(path)
        if stat.S_ISLNK(status.st_mode):
            raise LedgerError(
                f"{shown} is a symbolic link", code="ledger.symlink", hint="name the file itself"
            )
        if not stat.S_ISREG(status.st_mode):
            raise LedgerError(f"{shown} is not a regular file", code="ledger.not_regular")
        with open(path, "rb", buffering=0) as file:
            header = file.read(100)
    except FileNotFoundError:
        raise LedgerError(f"no ledger at {shown}", code="ledger.missing") from None
    except OSError as error:
        raise LedgerError(f"cannot read {shown}: {error.strerror}", code="ledger.unreadable") from None
    if status.st_uid != os.geteuid():
        raise LedgerError(f"{shown} belongs to another user", code="ledger.owner")
    if status.st_mode & 0o022:
        raise LedgerError(f"{shown} can be written by others", code="ledger.mode", hint=f"chmod go-w {shown}")
    # Offsets: SQLite's "Database File Format", section 1.3.
    application, version = int.from_bytes(header[68:72]), int.from_bytes(header[60:64])
    if not header.startswith(b"SQLite format 3\0") or application != ledger_format.APPLICATION_ID:
        raise LedgerError(
            f"{shown} is not a nono ledger", code="ledger.format", hint="name another: --ledger FILE"
        )
    if version != ledger_format.FORMAT_VERSION:
        raise LedgerError(
            f"{shown} is a ledger of format {version}; this nono writes {ledger_format.FORMAT_VERSION}",
            code="ledger.version",
        )
    if os.path.lexists(path + b"-journal"):
        raise TamperedLedgerError(
            f"{shown}-journal lies beside the ledger; nono never makes one, and SQLite would apply it",
            code="ledger.journal",
        )


def _check_schema(connection: sqlite3.Connection, path: bytes) -> None:
    shown = os.fsdecode(path)
    rows = connection.execute("SELECT sql FROM sqlite_schema ORDER BY rowid").fetchall()
    if [row[0] for row in rows] != list(ledger_format.ddl()):
        raise TamperedLedgerError(f"{shown} has other tables than a ledger", code="ledger.schema")


def _translate(error: sqlite3.Error, path: bytes) -> LedgerError:
    """Return the error that says what SQLite's means for the user."""
    shown = os.fsdecode(path)
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_BUSY"):
        return LedgerError(f"{shown} is busy: no turn within {BUSY_SECONDS:.0f} s", code="ledger.busy")
    if name.startswith("SQLITE_FULL"):
        return LedgerError(
            f"no space left for {shown}", code="ledger.full", hint="free some space on that file system"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return LedgerError(f"{shown} cannot be written: {error}", code="ledger.readonly")
    if name.startswith("SQLITE_NOTADB"):
        return LedgerError(f"{shown} is not a nono ledger", code="ledger.format")
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH")):
        return TamperedLedgerError(f"{shown} is damaged: {error}", code="ledger.damaged")
    return LedgerError(f"{shown}: {error}", code="ledger.io")


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unlink_if_there(path: bytes) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


def _sync_file(path: bytes) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_directory(path: bytes) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
