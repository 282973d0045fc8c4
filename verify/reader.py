"""Reading a ledger file that may be hostile, or alive (design 4, each line of it was tried).

How the file is opened:

* ``-journal`` beside it: not checked. A ledger never has one, and SQLite would roll it back into the file.
* no ``-wal``, or an empty one: ``immutable=1``, which neither locks nor leaves side files. Such a file
  must not change meanwhile, so its state and that of its side files is compared at the end.
* ``-wal`` and a live writer: ``mode=ro``, where SQLite's own locks make a consistent snapshot.
* ``-wal`` and nobody there (or no way to know): both files are copied to a private directory and read there.

What may run: before anything of it is selected, the header, the encoding and ``sqlite_schema``, byte for
byte, must be those of a ledger. Until then and afterwards SQLite is on a short lead
(:mod:`verify.hardened_connection`), with a bound on the steps that it may take.

A process that itself has the ledger open for writing must not call this: closing a second descriptor
of a file drops a process's POSIX locks on it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
from typing import TYPE_CHECKING, TypeAlias

import apsw

from attest import ledger_format
from attest.blob import MAX_ROW_BYTES
from verify import hardened_connection
from verify.errors import NotCheckedError
from verify.heap import HEAP
from verify.locks import has_live_connection

if TYPE_CHECKING:
    import tempfile
    from collections.abc import Iterator
    from types import TracebackType

ATTEMPTS = 3
"""How often a file that changes while it is read is tried."""

_HEADER_BYTES = 100  # SQLite's "Database File Format", section 1.3
_MAGIC = b"SQLite format 3\x00"
_UTF8 = 1
_STEPS_PER_CALL = 10_000
_STEPS_FREE = 10_000_000

_OUT_OF_MEMORY = re.compile(r"code[ =](7|3082)\b")
"""SQLITE_NOMEM and SQLITE_IOERR_NOMEM, as ``integrity_check`` spells result codes."""

# Lengths stand in a row's header: whatever they say, nothing of the values is read.
_TOO_LONG = tuple(
    f"SELECT 1 FROM {table} WHERE octet_length({column}) > ? LIMIT 1"  # noqa: S608  # both names stand below
    for table, columns in (
        ("blob", ("data", "salt", "sha256")),
        ("entry", ("body",)),
        ("tile", ("data", "root")),
        ("head", ("note", "edge")),
        ("checkpoint", ("note",)),
    )
    for column in columns
)

_Trace: TypeAlias = "tuple[tuple[int, ...] | None, ...]"


class DamagedError(Exception):
    """SQLite found the database damaged while it was read: a finding, not a reason to stop checking."""


class TooLongError(DamagedError):
    """A value is longer than any of a ledger may be."""


class LedgerFile:
    """A file that is a ledger by its format, open for reading in one snapshot; use :func:`open_ledger`.

    Attributes:
        path: the file as it was resolved.
        mode: ``immutable``, ``live`` or ``copy``.
        size: its length in bytes.
        page_bytes: what its header says that its pages amount to.
    """

    def __init__(
        self,
        path: bytes,
        mode: str,
        trace: _Trace,
        opened: bytes,
        header: bytes,
        *,
        directory: tempfile.TemporaryDirectory[bytes] | None = None,
    ) -> None:
        self.path = path
        self.mode = mode
        self._trace = trace
        self._directory = directory
        self.size = 0 if trace[0] is None else trace[0][_SIZE_AT]
        page = int.from_bytes(header[16:18], "big")
        self.page_bytes = int.from_bytes(header[28:32], "big") * (65_536 if page == 1 else page)
        self._calls_left = (_STEPS_FREE + self.size) // _STEPS_PER_CALL
        HEAP.enter()
        self._is_open = True
        try:
            ours = self._begin(opened)
        except BaseException:
            self.close()
            raise
        if not ours:
            self.close()
            raise NotCheckedError(f"{_shown(path)} is not a nono ledger", code="input.not_a_ledger")

    def close(self) -> None:
        """Close the file, and take a private copy of it away."""
        if not self._is_open:
            return
        self._is_open = False
        if hasattr(self, "_db"):
            self._db.close()
        HEAP.leave()
        if self._directory is not None:
            self._directory.cleanup()

    def _begin(self, opened: bytes) -> bool:
        """Connect, begin the snapshot, and return whether it is one of a ledger."""
        try:
            self._db = hardened_connection.connect(opened, self.mode)
            self._db.set_progress_handler(self._spend, _STEPS_PER_CALL)
            self._db.execute("BEGIN")
            return self._is_ours()
        except apsw.NotADBError:
            raise NotCheckedError(f"{_shown(self.path)} is not an SQLite database") from None
        except (apsw.SQLError, apsw.CorruptError, apsw.TooBigError, apsw.InterruptError, apsw.AuthError):
            return False
        except (apsw.NoMemError, MemoryError):
            raise _out_of_memory(self.path) from None
        except (apsw.Error, UnicodeDecodeError) as error:
            raise _not_readable(self.path, error) from None

    def __enter__(self) -> LedgerFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def changed(self) -> bool:
        """Return whether the file was changed under our hands, so that nothing read from it counts."""
        return self.mode == "immutable" and _look(self.path) != self._trace

    def integrity(self) -> str | None:
        """Return SQLite's own complaint about the database, or None.

        Raises:
            NotCheckedError: there was not enough memory for the check.
        """
        try:
            ((answer,),) = self._rows("PRAGMA integrity_check(1)")
        except DamagedError as error:
            return str(error)
        if _OUT_OF_MEMORY.search(str(answer)):
            # It goes on where it could not allocate, and reports that among its complaints.
            return str(self._too_long_or_out_of_memory())
        return None if answer == "ok" else str(answer)

    def heads(self) -> list[tuple[object, ...]]:
        """Return up to two rows ``(id, note, edge)``, the note as bytes."""
        return list(self._rows("SELECT id, CAST(note AS BLOB), edge FROM head LIMIT 2"))

    def entries(self, size: int) -> Iterator[tuple[int, bytes]]:
        """Yield index and body of the entries with ``0 <= index < size``, in order."""
        return self._rows(  # type: ignore[return-value]  # what the columns are was compared with the DDL
            "SELECT idx, CAST(body AS BLOB) FROM entry WHERE idx >= 0 AND idx < ? ORDER BY idx", size
        )

    def body(self, index: int) -> bytes | None:
        """Return the body of one entry."""
        for (body,) in self._rows("SELECT CAST(body AS BLOB) FROM entry WHERE idx = ?", index):
            return body if isinstance(body, bytes) else None
        return None

    def beyond(self, size: int) -> int | None:
        """Return an index of an entry that lies outside ``0 <= index < size``, or None."""
        for query, bound in (("idx < ?", 0), ("idx >= ?", size)):
            for (index,) in self._rows(f"SELECT idx FROM entry WHERE {query} LIMIT 1", bound):  # noqa: S608  # both texts stand above
                return index if isinstance(index, int) else None
        return None

    def tiles(self, level: int) -> Iterator[tuple[object, ...]]:
        """Yield ``(idx, root, data)`` of one level, in order."""
        return self._rows("SELECT idx, root, data FROM tile WHERE level = ? ORDER BY idx", level)

    def tile_roots(self, level: int, first: int, count: int) -> list[bytes]:
        """Return the roots of ``count`` tiles of a level, from ``first`` on, as they are stored.

        Raises:
            DamagedError: they are not all there.
        """
        rows = self._rows(
            "SELECT root FROM tile WHERE level = ? AND idx >= ? AND idx < ? ORDER BY idx",
            level,
            first,
            first + count,
        )
        roots = [root for (root,) in rows if isinstance(root, bytes)]
        if len(roots) != count:
            raise DamagedError("tiles are missing")
        return roots

    def has_tiles_outside(self, levels: int) -> bool:
        """Return whether there is a tile of a level below 0, or of ``levels`` and above."""
        return any(
            True
            for query, bound in (("level < ?", 0), ("level >= ?", levels))
            for _ in self._rows(f"SELECT level FROM tile WHERE {query} LIMIT 1", bound)  # noqa: S608  # both texts stand above
        )

    def checkpoints(self) -> Iterator[tuple[object, ...]]:
        """Yield ``(size, note)`` of the kept checkpoints, in order, the note as bytes."""
        return self._rows("SELECT size, CAST(note AS BLOB) FROM checkpoint ORDER BY size")

    def checkpoint(self, size: int) -> bytes:
        """Return the note of the checkpoint that is kept at ``size``, or nothing when none is."""
        for (data,) in self._rows("SELECT CAST(note AS BLOB) FROM checkpoint WHERE size = ?", size):
            return data if isinstance(data, bytes) else b""
        return b""

    def blob(self, digest: bytes) -> tuple[object, object] | None:
        """Return salt and data of the blob under ``digest``, or None.

        Raises:
            TooLongError: it is longer than a blob may be.
        """
        for salt, data in self._rows("SELECT salt, data FROM blob WHERE sha256 = ?", digest):
            return salt, data
        return None

    def blob_digests(self) -> Iterator[object]:
        """Yield the digests under which there are blobs."""
        return (digest for (digest,) in self._rows("SELECT sha256 FROM blob"))

    def _is_ours(self) -> bool:
        for pragma, expected in (
            ("encoding", "UTF-8"),
            ("application_id", ledger_format.APPLICATION_ID),
            ("user_version", ledger_format.FORMAT_VERSION),
        ):
            if list(self._db.execute(f"PRAGMA {pragma}")) != [(expected,)]:
                return False
        found = self._db.execute(
            "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY rowid LIMIT 100"
        ).fetchall()
        if found != [(*_named(statement), statement) for statement in ledger_format.ddl()]:
            return False
        roots = self._db.execute(
            "SELECT rootpage FROM sqlite_schema WHERE type = 'table' LIMIT 100"
        ).fetchall()
        return len(set(roots)) == len(roots)

    def _rows(self, query: str, *bindings: int | bytes) -> Iterator[tuple[object, ...]]:
        try:
            yield from self._db.execute(query, bindings)
        except apsw.TooBigError as error:
            raise TooLongError(str(error)) from None
        except (apsw.CorruptError, apsw.NotADBError) as error:
            raise DamagedError(str(error)) from None
        except (apsw.NoMemError, MemoryError):
            raise self._too_long_or_out_of_memory() from None
        except UnicodeDecodeError:
            raise DamagedError("text that is not UTF-8 where bytes should be") from None
        except apsw.InterruptError:
            raise DamagedError("reading it takes more steps than any ledger of its length needs") from None
        except apsw.Error as error:
            raise _not_readable(self.path, error) from None

    def _too_long_or_out_of_memory(self) -> TooLongError:
        """Return the error for memory that ran out, if that was because a value is too long.

        Raises:
            NotCheckedError: nothing is too long, so it was this process that had not enough.
        """
        for query in _TOO_LONG:
            with contextlib.suppress(apsw.Error, MemoryError):
                if self._db.execute(query, (MAX_ROW_BYTES,)).fetchall():
                    return TooLongError("a value in it is longer than any of a ledger may be")
        raise _out_of_memory(self.path)

    def _spend(self) -> bool:
        self._calls_left -= 1
        return self._calls_left < 0


def open_ledger(path: bytes) -> LedgerFile:
    """Open the ledger at ``path`` for reading.

    Raises:
        NotCheckedError: it cannot be read, is not SQLite, or is not a ledger.
    """
    real = _resolve(path)
    refused: NotCheckedError | None = None
    for _ in range(ATTEMPTS):
        trace = _look(real)
        try:
            source = _open(real, trace)
        except NotCheckedError as error:
            if _look(real) == trace:
                raise
            refused = error  # of a state that is gone, or of none that there ever was
        else:
            if source is not None:
                return source
            refused = None
    raise refused or NotCheckedError(f"{_shown(real)} changes while it is copied", code="input.changing")


def _open(real: bytes, trace: _Trace) -> LedgerFile | None:
    """Open the file as it was seen, or return None when it changed while it was copied.

    The header is read behind the look: what it says of the file's length belongs to what was seen.
    """
    if trace[0] is None:
        raise NotCheckedError(f"{_shown(real)} does not exist")
    if trace[2] is not None:
        raise NotCheckedError(
            f"{_shown(real)}-journal lies beside it; a ledger never has one",
            code="input.journal",
            hint="take a copy with: nono audit snapshot FILE",
        )
    header = _header(real)
    _check_header(real, header)
    wal = trace[1]
    if wal is None or not wal[_SIZE_AT]:
        return LedgerFile(real, "immutable", trace, real, header)
    if _is_live(real):
        return LedgerFile(real, "live", trace, real, header)
    return _read_copy(real, trace, header)


def _resolve(path: bytes) -> bytes:
    if not path:
        raise NotCheckedError("an empty path names no file")
    try:
        real = os.path.realpath(path, strict=True)
        status = os.stat(real)
    except OSError as error:
        raise _not_readable(path, error) from None
    except ValueError:
        raise NotCheckedError("a path with a NUL character names no file") from None
    if stat.S_ISDIR(status.st_mode):
        raise NotCheckedError(f"{_shown(path)} is a directory")
    if not stat.S_ISREG(status.st_mode):
        raise NotCheckedError(f"{_shown(path)} is not a regular file")
    return real


def _header(path: bytes) -> bytes:
    flags = (
        os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    )
    try:
        descriptor = os.open(path, flags)
        try:
            return os.read(descriptor, _HEADER_BYTES)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _not_readable(path, error) from None


def _other_command(header: bytes) -> str | None:
    """Return how this is checked that is no ledger, when it begins as something of ours."""
    from attest import evidence, tlog_proof  # noqa: PLC0415  # for this mistake alone

    if header.startswith(f'{{"evidence":"{evidence.FORMAT}"'.encode()):
        return "it looks like the evidence of one launch: nono-verify evidence FILE"
    if header.startswith(tlog_proof.HEADER):
        return "it looks like the proof of one entry: nono-verify proof PROOF ENTRY"
    return None


def _check_header(path: bytes, header: bytes) -> None:
    """Refuse what is not a ledger by its first hundred bytes, before SQLite sees any of it."""
    if not header:
        raise NotCheckedError(f"{_shown(path)} is empty")
    if len(header) < _HEADER_BYTES or not header.startswith(_MAGIC):
        raise NotCheckedError(f"{_shown(path)} is not an SQLite database", hint=_other_command(header))
    encoding, version, application = (int.from_bytes(header[at : at + 4], "big") for at in (56, 60, 68))
    if application != ledger_format.APPLICATION_ID or encoding != _UTF8:
        raise NotCheckedError(f"{_shown(path)} is not a nono ledger", code="input.not_a_ledger")
    if version != ledger_format.FORMAT_VERSION:
        raise NotCheckedError(
            f"{_shown(path)} is a ledger of format {version};"
            f" this verifier knows {ledger_format.FORMAT_VERSION}",
            code="input.version",
            hint="use the nono-verify that came with the nono that wrote it, or a later one",
        )


_SIZE_AT = 2

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS}


def _look(path: bytes) -> _Trace:
    """Return what can be seen from outside of the file, its -wal and its -journal."""
    seen: list[tuple[int, ...] | None] = []
    for suffix in (b"", b"-wal", b"-journal"):
        try:
            status = os.lstat(path + suffix)
        except FileNotFoundError:
            seen.append(None)
        except OSError as error:
            raise _not_readable(path, error) from None
        else:
            traits = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            # An idle writer leaves an empty -wal: it may come and go without anything having changed.
            seen.append(None if suffix == b"-wal" and not status.st_size else traits)
    return tuple(seen)


def _is_live(path: bytes) -> bool:
    try:
        return bool(has_live_connection(path + b"-shm"))
    except OSError:
        return False  # a copy is right as well: it is compared with what was there before and after


def _read_copy(path: bytes, trace: _Trace, header: bytes) -> LedgerFile | None:
    """Return the file as read from a private copy, or None when it changed while it was copied."""
    from verify import private_copy  # noqa: PLC0415  # most ledgers have nothing beside them

    try:
        directory = private_copy.make(path, sum(traits[_SIZE_AT] for traits in trace if traits is not None))
    except private_copy.NoDirectoryError as error:
        raise _no_room(path, str(error)) from None
    except private_copy.NoSpaceError:
        raise NotCheckedError(
            f"{_shown(path)} has a -wal beside it and is too large to be copied",
            code="input.too_large",
            hint="take a copy with: nono audit snapshot FILE",
        ) from None
    except OSError as error:
        if error.errno in _NO_ROOM:
            raise _no_room(path, str(error.strerror)) from None
        raise _not_readable(path, error) from None
    with contextlib.ExitStack() as stack:
        stack.callback(directory.cleanup)
        if _look(path) != trace:
            return None
        target = os.path.join(directory.name, private_copy.LEDGER)
        copy = LedgerFile(path, "copy", trace, target, header, directory=directory)
        stack.pop_all()
        return copy


def _named(statement: str) -> tuple[str, str, str]:
    """Return type, name and table of a DDL statement, as ``sqlite_schema`` has them."""
    words = statement.split(" ")
    kind, name = words[1].lower(), words[2]
    return kind, name, name if kind == "table" else words[words.index("ON") + 1]


def _not_readable(path: bytes, error: Exception) -> NotCheckedError:
    if isinstance(error, OSError):
        sentence = {
            errno.ENOENT: "does not exist",
            errno.ENOTDIR: "does not exist",
            errno.EACCES: "cannot be read: no permission",
            errno.EPERM: "cannot be read: no permission",
            errno.ELOOP: "is a chain of symbolic links without an end",
        }.get(error.errno or 0, f"cannot be read: {error.strerror}")
        return NotCheckedError(f"{_shown(path)} {sentence}")
    if isinstance(error, apsw.BusyError):
        return NotCheckedError(f"{_shown(path)} is busy", code="input.busy", hint="try again")
    return NotCheckedError(f"{_shown(path)} cannot be read: {error}")


def _no_room(path: bytes, why: str) -> NotCheckedError:
    return NotCheckedError(
        f"{_shown(path)} has a -wal beside it, and there is no room for the copy that is needed to read it:"
        f" {why}",
        code="input.too_large",
        hint="name a directory that can be written in TMPDIR, or take a copy with: nono audit snapshot FILE",
    )


def _out_of_memory(path: bytes) -> NotCheckedError:
    return NotCheckedError(
        f"{_shown(path)} cannot be read: there is not enough memory",
        code="input.memory",
        hint="give it more memory, or let fewer verifications run at once",
    )


def _shown(path: bytes) -> str:
    return os.fsdecode(path)
