"""Looking at a ledger without extending it: entries for people, and snapshots.

What is read here is shown, not judged; whether a ledger holds is what ``nono-verify`` says.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from attest import blob, canonical, checkpoint, entry, note
from attest.errors import MalformedError, NonoError
from attest.keys import PublicKey
from store import ledger_file, sqlite
from store.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from attest.canonical import Json


# SQLite's words for it, whoever only reads: a write-ahead log is read by way of shared memory in a file.
_NEEDS_FILES_BESIDE_IT = ("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")


class LedgerReader:
    """A ledger that is open for reading.

    Attributes:
        path: the file.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        ledger_file.check_regular(path)
        ledger_file.check_header(path)
        try:
            with contextlib.ExitStack() as undo:
                self._db = ledger_file.connect_for_reading(path)
                undo.callback(self._db.close)
                ledger_file.check_schema(self._db, path)
                undo.pop_all()
        except sqlite.Error as error:
            raise self._unreadable(error) from None

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def __enter__(self) -> LedgerReader:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def head(self) -> checkpoint.Checkpoint:
        """Return the stored head; its signature is not checked here.

        Raises:
            LedgerError: there is none, or it cannot be read.
        """
        try:
            row = self._db.execute("SELECT note FROM head WHERE id = 0").fetchone()
            if row is None:
                raise LedgerError(f"{os.fsdecode(self.path)} has no head", code="ledger.unreadable")
            return checkpoint.parse_text(note.parse(_bytes(row[0])).text)
        except sqlite.Error as error:
            raise self._unreadable(error) from None
        except NonoError as error:
            raise self._unreadable(error) from None

    def entries(self, start: int = 0) -> Iterator[tuple[int, entry.Entry, bytes]]:
        """Yield index, entry and canonical bytes of what the head covers, from ``start``.

        Raises:
            LedgerError: an entry cannot be read.
        """
        size = self.head().size
        try:
            for index, body in self._db.execute(
                "SELECT idx, body FROM entry WHERE idx >= ? AND idx < ? ORDER BY idx", (start, size)
            ):
                data = _bytes(body)
                yield index, entry.parse(data), data
        except sqlite.Error as error:
            raise self._unreadable(error) from None
        except NonoError as error:
            raise self._unreadable(error) from None

    def entry(self, index: int) -> entry.Entry:
        """Return the entry at ``index``.

        Raises:
            LedgerError: there is none, or it cannot be read.
        """
        for found, read, _ in self.entries(index):
            if found == index:
                return read
            break
        raise LedgerError(f"no entry {index} in {os.fsdecode(self.path)}", code="ledger.no_entry")

    def key_in_force(self) -> PublicKey:
        """Return the key of the last epoch, as the ledger has it; no signature is checked here.

        Raises:
            LedgerError: it cannot be read.
        """
        try:
            kept = self._db.execute("SELECT size FROM checkpoint ORDER BY size DESC").fetchall()
        except sqlite.Error as error:
            raise self._unreadable(error) from None
        # A checkpoint is kept at every handover, and at what was anchored.
        named = next((said for (size,) in kept if (said := self.entry(size - 1)).kind == entry.KEY), None)
        try:
            said = named or self.entry(0)
            return PublicKey.from_spki(canonical.decode_base64(said.data.get("public_key")))
        except NonoError as error:
            raise self._unreadable(error) from None

    def previous(self) -> checkpoint.Checkpoint | None:
        """Return the head of the ledger that this one continues, None if it begins anew.

        Raises:
            LedgerError: it cannot be read.
        """
        said = self.entry(0).data.get("previous")
        if said is None:
            return None
        size, root = (said.get("size"), said.get("root")) if isinstance(said, dict) else (None, None)
        if not isinstance(said, dict) or not isinstance(size, int) or not isinstance(root, str):
            raise self._unreadable(MalformedError("its first entry names no head that it continues"))
        try:
            return checkpoint.Checkpoint(str(said.get("origin")), size, bytes.fromhex(root))
        except ValueError as error:
            raise self._unreadable(error) from None

    def value(self, field: Json) -> Json:
        """Return a field's value, from its blob if it lies beside the entry; None when that is withheld.

        Raises:
            LedgerError: the blob is not the one that the entry names.
        """
        if not blob.is_reference(field):
            return field
        try:
            digest = _digest(field)
            row = self._db.execute("SELECT salt, data FROM blob WHERE sha256 = ?", (digest,)).fetchone()
            return None if row is None else blob.Blob(_bytes(row[0]), _bytes(row[1])).value(field)
        except (sqlite.Error, NonoError) as error:
            raise self._unreadable(error) from None

    def snapshot(self, target: bytes) -> None:
        """Write a compact copy of the ledger as it is now to ``target`` (0600), which must not exist.

        Raises:
            LedgerError: it exists, or cannot be written.
        """
        shown = os.fsdecode(target)
        try:
            descriptor = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        except FileExistsError:
            raise LedgerError(
                f"{shown} exists already", code="snapshot.exists", hint="name another file"
            ) from None
        except OSError as error:
            raise LedgerError(
                f"cannot write a snapshot to {shown}: {error.strerror}", code="snapshot.failed"
            ) from None
        try:
            self._db.execute("PRAGMA query_only=OFF")
            try:
                self._db.execute("VACUUM INTO CAST(? AS TEXT)", (target,))  # a path need not be UTF-8
            finally:
                self._db.execute("PRAGMA query_only=ON")
            os.fsync(descriptor)
        except (sqlite.Error, OSError) as error:
            os.unlink(target)
            raise LedgerError(
                f"cannot write a snapshot to {shown}: {error}", code="snapshot.failed"
            ) from None
        finally:
            os.close(descriptor)

    def _unreadable(self, error: Exception) -> LedgerError:
        shown = os.fsdecode(self.path)
        name = getattr(error, "sqlite_errorname", "")
        if name.startswith(ledger_file.NO_SPACE):
            return LedgerError(
                f"cannot read {shown}: no space left for {os.path.basename(shown)}-shm, which a reader needs"
                " beside it",
                code="ledger.full",
                hint=f"free some space on that file system; nono-verify {shown} reads it as it is",
            )
        if name.startswith(_NEEDS_FILES_BESIDE_IT):
            return LedgerError(
                f"cannot read {shown}: who reads a ledger needs {os.path.basename(shown)}-wal and -shm beside"
                " it, and you may not write them",
                code="ledger.readonly",
                hint="take a snapshot as its owner (nono audit snapshot FILE), or copy it to a directory of"
                f" yours; nono-verify {shown} reads it as it is",
            )
        return LedgerError(
            f"cannot read {shown}: {error}", code="ledger.unreadable", hint=f"nono-verify {shown}"
        )


def _bytes(value: object) -> bytes:
    """Return a value as the schema has it; a file may hold what its schema forbids."""
    if type(value) is not bytes:
        raise MalformedError("a value of a wrong type")
    return value


def _digest(reference: Json) -> bytes:
    named = reference["blob"] if isinstance(reference, dict) else None
    digest = named.get("sha256") if isinstance(named, dict) else None
    try:
        return bytes.fromhex(str(digest))
    except ValueError:
        raise MalformedError("a blob that is named by no digest") from None
