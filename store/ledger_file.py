"""The file that holds a ledger: judged before SQLite touches it, connected to, and its errors explained.

A process that opens and closes a file drops every POSIX lock that it has on it, SQLite's included
(fcntl(2); "How To Corrupt An SQLite Database File", section 2.2): another process would then take itself
for the last one, remove the write-ahead log, and what is appended afterwards would be lost. So nothing
here or elsewhere may ``open`` a ledger's file; what its header says is asked through SQLite, which knows
its own locks.
"""

from __future__ import annotations

import contextlib
import os
import stat

from attest import blob, ledger_format
from store import file_identity, sqlite
from store.errors import LedgerError, TamperedLedgerError
from store.network_file_systems import require_local

BUSY_SECONDS = 30.0
"""How long a writer waits for the others before it gives up."""
FREE_SECONDS = 0.25
"""Who writes for longer than this keeps the ledger from others: a commit takes a few milliseconds."""


class Place:
    """Where a file lies that must stay there while it is open.

    Its path alone would not do: a command of the same user can take the mode of a directory above it away
    (to ``chmod`` Landlock has no say), and then nobody can look whether the file is still there, although it
    is. Then the kernel's name of the file decides, which needs no permission. Its descriptor is O_PATH, the
    one kind whose closing drops no locks.

    Args:
        path: the file, absolute.

    Attributes:
        path: the same.
        identity: which file it is.

    Raises:
        OSError: there is none.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        self._descriptor = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
        self.identity = file_identity.identity_of(self._descriptor)
        self._name = self._kernels_name()

    def is_occupied(self) -> bool:
        """Return whether the file is still there."""
        try:
            return file_identity.identity_at(self.path) == self.identity
        except PermissionError:
            return self._kernels_name() == self._name
        except OSError:
            return False

    def close(self) -> None:
        """Close the descriptor."""
        os.close(self._descriptor)

    def _kernels_name(self) -> bytes:
        return os.readlink(b"/proc/self/fd/%d" % self._descriptor)


def check_regular(path: bytes) -> os.stat_result:
    """Return the status of the regular file at ``path``.

    Raises:
        LedgerError: there is none: missing, a symbolic link, a directory, a FIFO, a device.
    """
    shown = os.fsdecode(path)
    if not (shown.isascii() and shown.isprintable()):  # a line feed would begin a line that looks like ours
        from attest.printable_text import printable  # noqa: PLC0415  # most launches name plain paths alone

        shown = printable(shown)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        raise LedgerError(f"no ledger at {shown}", code="ledger.missing") from None
    except OSError as error:
        raise LedgerError(f"cannot read {shown}: {error.strerror}", code="ledger.unreadable") from None
    except ValueError:  # a NUL
        raise LedgerError(f"no file can be named {shown}", code="ledger.missing") from None
    if stat.S_ISLNK(status.st_mode):
        raise LedgerError(f"{shown} is a symbolic link", code="ledger.symlink", hint="name the file itself")
    if not stat.S_ISREG(status.st_mode):
        raise LedgerError(f"{shown} is not a regular file", code="ledger.not_regular")
    return status


def check_file(path: bytes) -> file_identity.Identity:
    """Refuse what is not a ledger file of ours before SQLite converts or recovers anything in it.

    Returns:
        which file was judged.

    Raises:
        LedgerError: no regular file, another user's, writable by others, on a network file system, not a
            ledger of this version; or what lies beside it is no file of this user's alone.
        TamperedLedgerError: a rollback journal lies beside it.
    """
    shown = os.fsdecode(path)
    status = check_regular(path)
    if status.st_uid != os.geteuid():
        raise LedgerError(f"{shown} belongs to another user", code="ledger.owner")
    if status.st_mode & 0o022:
        raise LedgerError(f"{shown} can be written by others", code="ledger.mode", hint=f"chmod go-w {shown}")
    require_local(path, path)
    check_header(path)
    if os.path.lexists(path + b"-journal"):
        raise tampered(
            path,
            f"{shown}-journal lies beside it; nono never makes one, and SQLite would apply it",
            code="ledger.journal",
        )
    check_beside(path)
    return status.st_dev, status.st_ino


def check_beside(path: bytes) -> None:
    """Refuse what another user put where SQLite writes the log, and maps it, or could still write to.

    SQLite takes what is there as it is: whoever has it open reads what is recorded, and who makes the shared
    memory shorter ends this process.

    Raises:
        LedgerError: the log or its shared memory is no regular file, another user's, or writable by others.
    """
    for name in (path + b"-wal", path + b"-shm"):
        try:
            status = os.lstat(name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise LedgerError(
                f"cannot read {os.fsdecode(name)}: {error.strerror}", code="ledger.unreadable"
            ) from None
        if not stat.S_ISREG(status.st_mode):
            why, code = "is not a regular file", "ledger.not_regular"
        elif status.st_uid != os.geteuid():
            why, code = "belongs to another user", "ledger.owner"
        elif status.st_mode & 0o022:
            why, code = "can be written by others", "ledger.mode"
        else:
            continue
        raise LedgerError(
            f"{os.fsdecode(name)} {why}",
            code=code,
            hint="nono did not make it so. If it was copied with the ledger it can hold entries: give it to"
            " yourself (chown, chmod go-w). Else move it away, and keep the ledger where nobody else can put"
            " files",
        )


def check_header(path: bytes) -> None:
    """Refuse a file whose header does not say that it is a ledger, of this version.

    Raises:
        LedgerError: it does not.
    """
    try:
        with contextlib.closing(connect_for_reading(path, "immutable=1")) as header:
            # A writer that is at its checkpoint, or was killed there, has written the first page before the
            # last: without this the file would pass for damaged, until the log is applied once more.
            header.execute("PRAGMA writable_schema=ON")
            (application,) = header.execute("PRAGMA application_id").fetchone()
            (version,) = header.execute("PRAGMA user_version").fetchone()
    except sqlite.Error as error:
        raise translate(error, path) from None
    if application != ledger_format.APPLICATION_ID:
        raise _not_a_ledger(path)
    if version != ledger_format.FORMAT_VERSION:
        raise LedgerError(
            f"{os.fsdecode(path)} is a ledger of format {version}, not {ledger_format.FORMAT_VERSION}",
            code="ledger.version",
        )


def connect_for_reading(path: bytes, option: str = "") -> sqlite.Connection:
    """Return a connection for reading; text is returned as bytes.

    Args:
        path: the file, absolute.
        option: ``immutable=1`` to neither lock nor recover the file, which only its header allows.

    Raises:
        sqlite.Error: SQLite cannot open it.
    """
    connection = sqlite.connect(
        # Every byte percent-encoded: urllib.parse would say it shorter, at 2.5 ms of every launch.
        f"file:%{path.hex('%')}?mode=ro&{option}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
    )
    _be_careful(connection)
    connection.execute("PRAGMA query_only=ON")
    return connection


def connect(path: bytes) -> sqlite.Connection:
    """Return a connection for writing, on which nothing was read yet; text is returned as bytes.

    Raises:
        sqlite.Error: SQLite cannot open it; see :func:`translate`.
    """
    connection = sqlite.connect(
        os.fsdecode(path),
        timeout=BUSY_SECONDS,
        isolation_level=None,
        # Threads may take turns with it (store.group_commit); two at once are the caller's to prevent.
        check_same_thread=False,
    )
    _be_careful(connection)
    connection.execute("PRAGMA recursive_triggers=ON")
    return connection


def _be_careful(connection: sqlite.Connection) -> None:
    connection.text_factory = bytes
    connection.setlimit(sqlite.SQLITE_LIMIT_LENGTH, blob.MAX_ROW_BYTES)
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA cell_size_check=ON")


def make_durable(connection: sqlite.Connection) -> None:
    """Have each commit on disk before it returns: a write-ahead log that is synced, whatever the defaults.

    A file that is not in WAL mode (a new one, a snapshot) is put into it, without a journal on disk. Both
    settings read the schema, so this comes after :func:`check_schema`.

    Raises:
        sqlite.Error: its file system does not allow it.
    """
    connection.execute("PRAGMA synchronous=FULL")
    if connection.execute("PRAGMA journal_mode").fetchone() == (b"wal",):
        return
    connection.execute("PRAGMA journal_mode=MEMORY")
    if connection.execute("PRAGMA journal_mode=WAL").fetchone() != (b"wal",):
        raise sqlite.OperationalError("its file system does not allow a write-ahead log")


def check_schema(connection: sqlite.Connection, path: bytes) -> None:
    """Refuse a file whose schema is not, byte for byte, that of its version; nothing else was read before.

    Raises:
        TamperedLedgerError: it is not.
    """
    ddl = ledger_format.ddl()
    rows = connection.execute("SELECT sql FROM sqlite_schema ORDER BY rowid LIMIT ?", (len(ddl) + 1,))
    if [row[0] for row in rows] != [statement.encode() for statement in ddl]:
        raise tampered(path, "it has other tables than a ledger", code="ledger.schema")
    if connection.execute("PRAGMA encoding").fetchone() != (b"UTF-8",):
        raise tampered(path, "it has another encoding than a ledger", code="ledger.schema")


def tampered(path: bytes, why: str, *, code: str | None = None) -> TamperedLedgerError:
    """Return the error that says why the ledger at ``path`` gets no further signature."""
    return TamperedLedgerError(
        f"{os.fsdecode(path)} is not what was signed: {why}",
        code=code,
        hint="check it with nono-verify; keep the file, and go on with another ledger: --ledger FILE",
    )


NO_SPACE = ("SQLITE_FULL", "SQLITE_IOERR_SHMSIZE")
"""SQLite's words for a disk that is full; the second: for its shared memory, which readers need as well."""


def translate(error: sqlite.Error, path: bytes) -> LedgerError:
    """Return the error that says what SQLite's means for the user."""
    shown = os.fsdecode(path)
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith("SQLITE_BUSY"):
        return LedgerError(f"{shown} is busy: no turn within {BUSY_SECONDS:.0f} s", code="ledger.busy")
    if name.startswith(NO_SPACE):
        return LedgerError(
            f"no space left for {shown}", code="ledger.full", hint="free some space on that file system"
        )
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return read_only(path, str(error))
    if name.startswith("SQLITE_NOTADB"):
        return _not_a_ledger(path)
    if name.startswith(
        ("SQLITE_CORRUPT", "SQLITE_CONSTRAINT", "SQLITE_MISMATCH", "SQLITE_ERROR", "SQLITE_TOOBIG")
    ):
        return tampered(path, f"it is damaged: {error}", code="ledger.damaged")
    return LedgerError(f"{shown}: {error}", code="ledger.io")


def read_only(path: bytes, why: str) -> LedgerError:
    """Return the error for a ledger, or a file that SQLite keeps beside it, that cannot be written."""
    return LedgerError(
        f"{os.fsdecode(path)} cannot be written: {why}",
        code="ledger.readonly",
        hint="its directory, it and the files beside it (-wal, -shm) must be yours to write",
    )


def _not_a_ledger(path: bytes) -> LedgerError:
    return LedgerError(
        f"{os.fsdecode(path)} is not a nono ledger", code="ledger.format", hint="name another: --ledger FILE"
    )
