"""The index, open: caught up with a ledger, and asked.

Every operation may find the database damaged. If it is our own file, it is then made anew, caught up
with the ledgers that this object was asked about, and the operation is done again, once.
"""

from __future__ import annotations

import errno
import os
import sqlite3
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import create_engine, func, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.orm import Session

from store.errors import SearchIndexError
from store.index import catching_up, migrating
from store.index.bodies import LedgerBodies
from store.index.catching_up import batches
from store.index.index_file import WRITES, IndexFile, engine_of
from store.index.records import InconsistentIndexError, checked, launch_record, ledger_record
from store.index.tables import REVISION, IndexedLabel, IndexedLaunch
from store.locations import cache_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine, Select
    from sqlalchemy.engine import URL

    from store.index.records import IndexedState, LaunchRecord

FILE_NAME = b"index.db"

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
                hint="install it beside nono, or name another in the URL: postgresql+psycopg://…",
            ) from None
        except (SQLAlchemyError, sqlite3.Error) as error:
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

    def catch_up(self, path: bytes) -> IndexedState:
        """Index what is new in the ledger at ``path``; one that was replaced is indexed anew.

        Raises:
            LedgerError: the ledger cannot be read.
            SearchIndexError: the index cannot be used.
        """
        return self._attempt(lambda: self._catch_up(os.path.realpath(path)))

    def launches(self, ledger: IndexedState, *, limit: int | None = None) -> list[LaunchRecord]:
        """Return the launches of a ledger that was caught up, newest first, at most ``limit``."""
        return self._records(ledger, select(IndexedLaunch).order_by(IndexedLaunch.first.desc()).limit(limit))

    def with_prefix(self, ledger: IndexedState, prefix: str, *, limit: int = 10) -> list[LaunchRecord]:
        """Return the launches whose session id begins with ``prefix`` (lower-case hex), oldest first."""
        # 'g' is behind every hex digit, in every collation.
        query = select(IndexedLaunch).where(
            IndexedLaunch.session >= prefix, IndexedLaunch.session < prefix + "g"
        )
        return self._records(ledger, query.order_by(IndexedLaunch.first).limit(limit))

    def count(self, ledger: IndexedState) -> int:
        """Return how many launches the ledger has."""

        def ask() -> int:
            query = select(func.count()).select_from(IndexedLaunch)
            with Session(self._engine) as session:
                return session.scalar(query.where(IndexedLaunch.ledger_id == self._ids[ledger.path])) or 0

        return self._attempt(ask)

    def _records(self, ledger: IndexedState, query: Select[Any]) -> list[LaunchRecord]:
        def ask() -> list[LaunchRecord]:
            identifier = self._ids[ledger.path]
            with Session(self._engine) as session:
                rows: Sequence[IndexedLaunch] = session.scalars(
                    query.where(IndexedLaunch.ledger_id == identifier)
                ).all()
                labels = _labels(session, identifier, [row.first for row in rows])
                return [launch_record(row, labels.get(row.first, {})) for row in rows]

        return self._attempt(ask)

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

    def _catch_up(self, path: bytes) -> IndexedState:
        with LedgerBodies(path) as reader:
            with Session(self._engine) as session:
                row = catching_up.current(session, path, reader.head())
                state = ledger_record(row) if row is not None else None
            if state is None:
                with Session(self._engine.execution_options(**{WRITES: True})) as session:
                    state = ledger_record(catching_up.catch_up(session, reader))
                    session.commit()
        self._ids[path] = state.id
        return state

    def _attempt(self, operation: Callable[[], _Result]) -> _Result:
        try:
            try:
                return operation()
            except IntegrityError:  # another host took up the same ledger at the same moment
                return operation()
            except (DBAPIError, sqlite3.Error, InconsistentIndexError) as error:
                if self._file is None or not _is_damage(error):
                    raise
                self._start_over(self._file)
                return operation()
        except (SQLAlchemyError, sqlite3.Error, InconsistentIndexError) as error:
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
            "the index's URL cannot be read", code="index.url", hint="postgresql+psycopg://host/database"
        ) from None


def _labels(session: Session, ledger_id: int, launches: list[int]) -> dict[int, dict[str, str]]:
    found: dict[int, dict[str, str]] = {}
    for some in batches(launches):
        query = select(IndexedLabel).where(IndexedLabel.ledger_id == ledger_id, IndexedLabel.first.in_(some))
        for label in session.scalars(query.order_by(IndexedLabel.name)):
            found.setdefault(checked(label).first, {})[label.name] = label.value
    return found


def _is_damage(error: Exception) -> bool:
    original = error.orig if isinstance(error, DBAPIError) else error
    return not getattr(original, "sqlite_errorname", "").startswith(_NOT_DAMAGE)


def _unusable(error: Exception) -> SearchIndexError:
    original = error.orig if isinstance(error, DBAPIError) else error
    # One line: drivers append theirs, and SQLAlchemy the statement.
    why = str(original).strip().partition("\n")[0]
    return SearchIndexError(
        f"the index cannot be used: {why}", hint="it may be removed; no evidence is in it"
    )
