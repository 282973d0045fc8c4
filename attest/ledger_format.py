"""The file format of a ledger: what makes an SQLite file ours, and its DDL as data (design 2, "Ledger").

One version is one DDL text, for ever. A ledger is never migrated: a new version is a new file.
"""

from __future__ import annotations

import functools
import os

APPLICATION_ID = 0x4E4F4E4F
"""``PRAGMA application_id`` of every ledger: the letters NONO."""

FORMAT_VERSION = 1
"""``PRAGMA user_version``, and ``format`` of the genesis entry."""


@functools.cache
def ddl(version: int = FORMAT_VERSION) -> tuple[str, ...]:
    """Return the statements that make an empty ledger of ``version``, without their semicolons.

    They are also, byte for byte and in this order, the ``sql`` column of its ``sqlite_schema``.
    """
    path = os.path.join(os.path.dirname(__file__), "ddl", f"ledger-v{version}.sql")
    with open(path, encoding="utf-8") as file:
        return tuple(line.removesuffix(";\n") for line in file)
