"""The index as an SQLite file: made whole, recognised, and thrown away only if it is ours.

The file carries an application id. What does not is never touched, whatever its name: it is somebody
else's. A new index is made under a temporary name, marked first, and renamed into place, so a kill at
any instant leaves no index or a whole one.

All processes that have the index open hold a shared lock on the file beside it. Who replaces it needs
that lock alone, since SQLite's side files (``-wal``, ``-shm``) go by name and must never be met by a
database that they do not belong to.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine, event

from store import ledger_file, sqlite
from store.errors import SearchIndexError
from store.index import migrating
from store.index.tables import REVISION, VERSION_TABLE
from store.private_directories import make_private

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

APPLICATION_ID = 0x4E4F4E49
"""``PRAGMA application_id`` of every index file: the letters NONI."""

WRITES = "index_writes"
"""Execution option of a connection whose transactions write: they wait for their turn at once."""

_BUSY_SECONDS = 30.0
_LOCK_STEP_SECONDS = 0.02
_SIDE_FILES = (b"-wal", b"-shm", b"-journal")
_HEADER_BYTES = 100

_PRAGMAS = (
    "trusted_schema = OFF",
    "cell_size_check = ON",
    "synchronous = NORMAL",
    "cache_size = -65536",  # KiB: new rows go into many indexes, all over the file
    "wal_autocheckpoint = 8192",  # pages: a batch should not be copied while it is written
)


def room_hint(error: BaseException | None) -> str | None:
    """Return what helps when there is no space left for an index, None when that is not what is wrong."""
    if not getattr(error, "sqlite_errorname", "").startswith(ledger_file.NO_SPACE):
        return None
    return "free some space on that file system, or have it elsewhere: --index URL, XDG_CACHE_HOME"


class IndexFile:
    """An index in an SQLite file, open; another process cannot replace it meanwhile.

    Attributes:
        path: the file, absolute.
        engine: what connects to it.

    Raises:
        SearchIndexError: the file is not ours (``index.foreign``), or is in use (``index.busy``).
        OSError: it cannot be made or read.
    """

    def __init__(self, path: bytes) -> None:
        self.path = path
        make_private(os.path.dirname(path))
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._lock = os.open(path + b".lock", flags, 0o600)
        try:
            self._take(fcntl.LOCK_SH)
            if not self._is_usable():
                self._replace()
            self._identity = self._inode()
        except BaseException:
            os.close(self._lock)
            raise
        self.engine = engine_of(path)

    def close(self) -> None:
        """Let go of the file."""
        self.engine.dispose()
        os.close(self._lock)

    def rebuild(self) -> None:
        """Put an empty index in this one's place, unless another process did that already.

        Raises:
            SearchIndexError: it is in use, or what lies there now is not ours.
        """
        self.engine.dispose()
        self._replace(self._identity)
        self._identity = self._inode()
        self.engine = engine_of(self.path)

    def _replace(self, damaged: tuple[int, int] | None = None) -> None:
        """Make a new index; ``damaged`` is what is known to be no good though it looks right."""
        self._take(fcntl.LOCK_EX)
        if not self._is_usable() or self._inode() == damaged:
            self._clear_away()
            self._make()
        self._take(fcntl.LOCK_SH)

    def _make(self) -> None:
        temporary = b"%s.new-%s" % (self.path, os.urandom(8).hex().encode())
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)
        os.fchmod(descriptor, 0o600)  # whatever the umask takes from its owner
        os.close(descriptor)
        try:
            marker = sqlite.connect(os.fsdecode(temporary), isolation_level=None)
            try:
                marker.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                marker.execute("PRAGMA journal_mode = WAL")
            finally:
                marker.close()
            engine = engine_of(temporary)
            with engine.connect().execution_options(**{WRITES: True}) as connection:
                migrating.upgrade(connection)
                connection.commit()
            engine.dispose()
            os.rename(temporary, self.path)
        except sqlite.Error as error:
            raise SearchIndexError(
                f"cannot make an index at {os.fsdecode(self.path)}: {error}", hint=room_hint(error)
            ) from None
        finally:
            _remove(temporary, *(temporary + suffix for suffix in _SIDE_FILES))

    def _clear_away(self) -> None:
        """Remove our old index's side files, and what a killed maker left; the rename replaces the rest."""
        directory, name = os.path.split(self.path)
        _remove(*(self.path + suffix for suffix in _SIDE_FILES))
        for other in os.listdir(directory):
            if other.startswith(name + b".new-"):
                _remove(os.path.join(directory, other))

    def _is_usable(self) -> bool:
        """Return whether our index is there and of this revision.

        Raises:
            SearchIndexError: something else is there.
        """
        shown = os.fsdecode(self.path)
        try:
            status = os.lstat(self.path)
        except FileNotFoundError:
            return False
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            raise _foreign(shown)
        if status.st_size == 0:  # nothing that could get lost; a power cut may leave it
            return False
        with open(self.path, "rb", buffering=0) as file:
            header = file.read(_HEADER_BYTES)
        # Offset: SQLite's "Database File Format", section 1.3.
        if not header.startswith(b"SQLite format 3\0") or int.from_bytes(header[68:72]) != APPLICATION_ID:
            raise _foreign(shown)
        try:
            with contextlib.closing(sqlite.connect(shown, timeout=_BUSY_SECONDS)) as connection:
                row = connection.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608  # a constant
        except sqlite.Error as error:
            if getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY"):
                raise _busy(shown) from None
            return False
        return bool(row == (REVISION,))

    def _inode(self) -> tuple[int, int]:
        status = os.lstat(self.path)
        return status.st_dev, status.st_ino

    def _take(self, kind: int) -> None:
        """Lock, or change the lock's kind (which lets go of it first, so nobody waits for himself)."""
        deadline = time.monotonic() + _BUSY_SECONDS
        while True:
            try:
                fcntl.flock(self._lock, kind | fcntl.LOCK_NB)
            except OSError as error:
                if error.errno not in {errno.EWOULDBLOCK, errno.EINTR}:
                    raise
                if time.monotonic() > deadline:
                    raise _busy(os.fsdecode(self.path)) from None
                time.sleep(_LOCK_STEP_SECONDS)
            else:
                return


def engine_of(path: bytes | None) -> Engine:
    """Return an engine for an SQLite file, or for one in memory when ``path`` is None."""
    if path is None:
        engine = create_engine("sqlite+pysqlite://")
    else:
        name = os.fsdecode(path)  # not in a URL, which could not hold every path

        def connect() -> sqlite.Connection:
            return sqlite.connect(name, timeout=_BUSY_SECONDS, isolation_level=None)

        engine = create_engine("sqlite+pysqlite://", creator=connect, poolclass=NullPool)
    event.listen(engine, "connect", _prepare)
    event.listen(engine, "begin", _begin)
    return engine


def _prepare(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    cursor = connection.cursor()
    # Disposable: what a power cut takes is indexed again. A kill loses nothing either way.
    for pragma in _PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    # The driver would begin at the first INSERT only; a reader that turns writer fails at once if another
    # writes, so who will write says so first.
    writes = connection.get_execution_options().get(WRITES, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _foreign(shown: str) -> SearchIndexError:
    return SearchIndexError(
        f"{shown} is not an index that nono made; it was not touched",
        code="index.foreign",
        hint="move it away, and the index is made again from the ledgers",
    )


def _busy(shown: str) -> SearchIndexError:
    return SearchIndexError(f"{shown} is busy: no turn within {_BUSY_SECONDS:.0f} s", code="index.busy")


def _remove(*paths: bytes) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
