"""An index as revision 0001 had it, with rows in it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy import Connection


def fill_first_revision(connection: Connection, ledger: Path) -> None:
    """Put in this host's ledger, another host's, and a launch with a label of each."""
    for number, (host, path) in enumerate(
        ((os.uname().nodename, os.fsencode(ledger)), ("elsewhere", b"/far/ledger.db")), 1
    ):
        connection.execute(
            text(
                "INSERT INTO index_ledger"
                " (id, host, path, origin, size, root, edge, consistent, key_entry, skipped)"
                " VALUES (:id, :host, :path, 'builder/0', 5, :root, :root, true, 0, 0)"
            ),
            {"id": number, "host": host, "path": path, "root": b"\1" * 32},
        )
        connection.execute(
            text(
                "INSERT INTO index_launch"
                " (ledger_id, first, last, session, state, time, command, entries, decisions, denied)"
                " VALUES (:id, 1, 4, 'ab', 'complete', '2026', 'make', 4, 0, 0)"
            ),
            {"id": number},
        )
        connection.execute(
            text("INSERT INTO index_label (ledger_id, first, name, value) VALUES (:id, 1, 'run', '7')"),
            {"id": number},
        )
