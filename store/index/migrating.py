"""The schema history of the index (Alembic), run from where it was installed.

Alembic is slow to import and needed only when tables are made or changed, so it is imported here, where
that happens, and an index of the right revision is opened without it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy import inspect, text

import store
from store.errors import SearchIndexError
from store.index.tables import REVISION, VERSION_TABLE

if TYPE_CHECKING:
    from alembic.config import Config
    from sqlalchemy import Connection


def migrations_directory() -> str:
    """Return the directory of the migrations: inside ``store`` when installed, beside it in a checkout.

    Raises:
        SearchIndexError: they are in neither place.
    """
    package = os.path.dirname(os.path.abspath(store.__file__))
    for directory in (os.path.join(package, "migrations"), os.path.join(package, os.pardir, "migrations")):
        if os.path.isfile(os.path.join(directory, "versions", f"revision_{REVISION}.py")):
            return os.path.normpath(directory)
    raise SearchIndexError(
        f"the index's migrations are not installed: revision {REVISION} is missing",
        code="index.migrations",
        hint="install nono again",
    )


def configuration(connection: Connection) -> Config:
    """Return Alembic's configuration for working through ``connection``."""
    from alembic.config import Config  # noqa: PLC0415  # see the module's header

    config = Config()
    # ConfigParser reads % as the beginning of a reference.
    config.set_main_option("script_location", migrations_directory().replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Bring an empty or older index to :data:`~store.index.tables.REVISION`.

    Raises:
        SearchIndexError: it is of a revision that this version does not know.
    """
    from alembic import command  # noqa: PLC0415  # see the module's header
    from alembic.util import CommandError  # noqa: PLC0415  # see the module's header

    try:
        command.upgrade(configuration(connection), REVISION)
    except CommandError as error:
        raise SearchIndexError(
            f"the index has a revision that this nono cannot use: {error}", code="index.revision"
        ) from None


def revision_of(connection: Connection) -> str | None:
    """Return the revision of the index behind ``connection``, or None when it has none."""
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    found = connection.scalar(text(f"SELECT version_num FROM {VERSION_TABLE}"))  # noqa: S608  # a constant
    return None if found is None else str(found)
