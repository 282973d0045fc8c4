"""The index, open: caught up with a ledger, and asked.

Every operation may find the database damaged. If it is our own file, it is then made anew, caught up
with the ledgers that this object was asked about, and the operation is done again, once.
"""

from __future__ import annotations

import contextlib
import errno
import os
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError

from attest import extras
from store import sqlite
from store.errors import SearchIndexError
from store.index import catching_up, migrating, searching
from store.index.bodies import LedgerBodies
from store.index.index_file import WRITES, IndexFile, engine_of, room_hint
from store.index.records import RUNNING, InconsistentIndexError, checked, launch_record
from store.index.rows import pieces
from store.index.searching import Criteria
from store.index.tables import LABEL, LAUNCH, REVISION
from store.locations import cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator

    from sqlalchemy import Connection, Engine, RowMapping
    from sqlalchemy.engine import URL

    from store.index.records import IndexedState, LaunchRecord

FILE_NAME = b"index.db"

_ROWS_AT_ONCE = 500

_Result = TypeVar("_Result")

_UNWRITABLE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}
_NOT_DAMAGE = ("SQLITE_FULL", "SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_READONLY", "SQLITE_CANTOPEN")


class SearchIndex:
    """The index.

    Args:
        url: an SQLAlchemy URL; without one, :data:`FILE_NAME` in nono's cache directory, or a
            database in memory where that directory cannot be written.

    Raises:
        SearchIndexError: it cannot be used; ``index.foreign`` when something else lies in its place.
    """

    def __init__(self, url: str | None = None) -> None:
        self._file: IndexFile | None = None
        self._ids: dict[bytes, int] = {}
        try:
            self._engine = self._open_default() if url is None else self._open(_parse(url))
        except OSError as error:
            raise SearchIndexError(
                f"cannot use the index: {error.strerror}: {os.fsdecode(error.filename or b'')}"
            ) from None
        except ImportError as error:
            raise SearchIndexError(
                f"no driver for the index's database: {error}",
                code="index.driver",
                hint=f"{extras.hint('postgres')}; and a URL that names it: postgresql+psycopg://…",
            ) from None
        except (SQLAlchemyError, sqlite.Error) as error:
            raise _unusable(error) from None

    def close(self) -> None:
        """Close the index."""
        self._engine.dispose()
        if self._file is not None:
            self._file.close()

    def __enter__(self) -> SearchIndex:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- asking -------------------------------------------------------------------------------

    def catch_up(self, path: bytes, progress: Callable[[int, int], None] | None = None) -> IndexedState:
        """Index what is new in the ledger at ``path``; one that was replaced is indexed anew.

        Args:
            path: the ledger.
            progress: told now and then how many entries of how many are indexed.

        Raises:
            LedgerError: the ledger cannot be read.
            SearchIndexError: the index cannot be used.
        """
        return self._attempt(lambda: self._catch_up(os.path.realpath(path), progress))

    def elsewhere(self) -> list[IndexedState]:
        """Return the ledgers of other hosts that share this index, as they were when last caught up."""

        def ask() -> list[IndexedState]:
            with self._engine.connect() as connection:
                return [state for state in catching_up.known(connection) if not catching_up.is_here(state)]

        return self._attempt(ask)

    def launches(
        self, ledger: IndexedState, criteria: Criteria | None = None, *, limit: int | None = None
    ) -> list[LaunchRecord]:
        """Return the launches of a ledger that was caught up, newest first, at most ``limit``."""
        wanted = criteria or Criteria()

        def ask() -> list[LaunchRecord]:
            with (
                self._engine.connect() as connection,
                contextlib.closing(_found(connection, self._id_of(ledger), wanted, limit)) as found,
            ):
                return list(islice(found, limit))

        return self._attempt(ask)

    def summed_up(
        self,
        ledger: IndexedState,
        criteria: Criteria,
        sum_up: Callable[[Iterator[LaunchRecord]], _Result],
    ) -> _Result:
        """Return what ``sum_up`` makes of the launches of a ledger, newest first, however many there are.

        It is called again when the index turns out to be damaged and was made anew.
        """

        def ask() -> _Result:
            with (
                self._engine.connect() as connection,
                contextlib.closing(_found(connection, self._id_of(ledger), criteria, None)) as found,
            ):
                return sum_up(found)

        return self._attempt(ask)

    def count(self, ledger: IndexedState) -> int:
        """Return how many launches the ledger has."""
        query = select(func.count()).select_from(LAUNCH)

        def ask() -> int:
            with self._engine.connect() as connection:
                return connection.scalar(query.where(LAUNCH.c.ledger_id == self._id_of(ledger))) or 0

        return self._attempt(ask)

    def _id_of(self, ledger: IndexedState) -> int:
        return self._ids.get(ledger.path, ledger.id) if catching_up.is_here(ledger) else ledger.id

    # --- opening ------------------------------------------------------------------------------

    def _open_default(self) -> Engine:
        try:
            return self._open_file(os.path.join(cache_directory(), FILE_NAME))
        except OSError as error:
            # A home that cannot be written still holds ledgers that can be read: index them each time.
            if error.errno not in _UNWRITABLE:
                raise
        engine = engine_of(None)
        with engine.connect() as connection:
            migrating.upgrade(connection)
            connection.commit()
        return engine

    def _open(self, url: URL) -> Engine:
        if url.get_backend_name() == "sqlite":
            if not url.database or url.database == ":memory:":
                raise SearchIndexError(
                    "an index needs a file", code="index.url", hint="sqlite:////path/index.db"
                )
            return self._open_file(os.path.abspath(os.fsencode(url.database)))
        engine = create_engine(url)
        with engine.connect() as connection:
            if migrating.revision_of(connection) != REVISION:
                migrating.upgrade(connection)
            connection.commit()
        return engine

    def _open_file(self, path: bytes) -> Engine:
        self._file = IndexFile(path)
        return self._file.engine

    # --- catching up, and starting over -------------------------------------------------------

    def _catch_up(self, path: bytes, progress: Callable[[int, int], None] | None = None) -> IndexedState:
        with LedgerBodies(path) as reader:
            with self._engine.connect() as connection:
                state = catching_up.current(connection, path, reader.head())
            if state is None:
                writing = self._engine.execution_options(**{WRITES: True})
                state = catching_up.catch_up(writing, reader, progress)
        self._ids[path] = state.id
        return state

    def _attempt(self, operation: Callable[[], _Result]) -> _Result:
        try:
            try:
                return operation()
            except IntegrityError:  # another host took up the same ledger at the same moment
                return operation()
            except (DBAPIError, sqlite.Error, InconsistentIndexError) as error:
                if self._file is None or not _is_damage(error):
                    raise
                self._start_over(self._file)
                return operation()
        except (SQLAlchemyError, sqlite.Error, InconsistentIndexError) as error:
            raise _unusable(error) from None
        except OSError as error:
            raise SearchIndexError(f"cannot use the index: {error.strerror}") from None

    def _start_over(self, file: IndexFile) -> None:
        file.rebuild()
        self._engine = file.engine
        for path in list(self._ids):
            self._catch_up(path)


def _parse(url: str) -> URL:
    try:
        return make_url(url)
    except (ArgumentError, ValueError):  # their text repeats the URL, which may hold a password
        raise SearchIndexError(
            "the index's URL cannot be read",
            code="index.url",
            hint="postgresql+psycopg://host/database, or sqlite:////path/index.db",
        ) from None


def _found(
    connection: Connection, ledger_id: int, criteria: Criteria, limit: int | None
) -> Generator[LaunchRecord, None, None]:
    query = searching.query(connection, ledger_id, criteria)
    if query is None:
        return
    if criteria.lost or limit is None:
        # Whether an open launch still runs is not for the database to say, so it cannot count for us.
        connection = connection.execution_options(stream_results=True)
    else:
        query = query.limit(limit)
    with connection.execute(query) as result:
        for rows in result.mappings().partitions(_ROWS_AT_ONCE):
            for record in _records(connection, ledger_id, rows):
                if not (criteria.lost and record.state == RUNNING):
                    yield record


def _records(connection: Connection, ledger_id: int, rows: Iterable[RowMapping]) -> Iterator[LaunchRecord]:
    labels: dict[int, dict[str, str]] = {row["first"]: {} for row in rows}
    for some in pieces(list(labels)):
        query = select(LABEL).where(LABEL.c.ledger_id == ledger_id, LABEL.c.first.in_(some))
        for label in connection.execute(query).mappings():
            labels[checked(LABEL, label)["first"]][label["name"]] = label["value"]
    for row in rows:
        image = row["executable_path"], row["executable_sha256"]
        yield launch_record(row, command=row["command"], image=image, labels=labels[row["first"]])


def _is_damage(error: Exception) -> bool:
    original = error.orig if isinstance(error, DBAPIError) else error
    return not getattr(original, "sqlite_errorname", "").startswith(_NOT_DAMAGE)


def _unusable(error: Exception) -> SearchIndexError:
    original = error.orig if isinstance(error, DBAPIError) else error
    # One line: drivers append theirs, and SQLAlchemy the statement.
    why = str(original).strip().partition("\n")[0]
    return SearchIndexError(
        f"the index cannot be used: {why}",
        hint=room_hint(original) or "it may be removed; no evidence is in it",
    )
