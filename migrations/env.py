"""What Alembic runs for every command on the index's schema.

``store.index.migrating`` hands over an open connection. By hand, from a checkout, for a new revision::

    alembic -c migrations/alembic.ini -x url=sqlite:////tmp/scratch.db upgrade head
    alembic -c migrations/alembic.ini -x url=sqlite:////tmp/scratch.db revision --autogenerate \
        --rev-id 0002 -m "what and why"

and then ``REVISION`` in ``store/index/tables.py``. A released revision is never edited.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import context
from sqlalchemy import create_engine

from store.index.tables import METADATA, VERSION_TABLE

if TYPE_CHECKING:
    from sqlalchemy import Connection


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=METADATA,
        version_table=VERSION_TABLE,
        render_as_batch=True,  # SQLite alters tables by copying them
    )
    with context.begin_transaction():
        context.run_migrations()


def _run_by_hand() -> None:
    url = context.get_x_argument(as_dictionary=True).get("url")
    if context.is_offline_mode():
        context.configure(url=url, target_metadata=METADATA, version_table=VERSION_TABLE, literal_binds=True)
        with context.begin_transaction():
            context.run_migrations()
        return
    if url is None:
        raise SystemExit("name a scratch database: -x url=sqlite:////tmp/scratch.db")
    with create_engine(url).begin() as connection:
        _run(connection)


given: Connection | None = context.config.attributes.get("connection")
if given is not None:
    _run(given)
else:
    _run_by_hand()
