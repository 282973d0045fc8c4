"""A connection to an SQLite file that may be hostile: SQLite on a short lead.

Nothing in the file can have SQLite run or read what a ledger does not need: DEFENSIVE, no triggers, no views,
an authorizer that lets it read the tables of a ledger and nothing else, and limits on every size. Whether the
file is a ledger at all, and how many steps it may take, is up to whoever reads it (:mod:`verify.reader`).
"""

from __future__ import annotations

import sys
from urllib.parse import quote_from_bytes

import apsw

from attest.blob import MAX_ROW_BYTES

_TABLES = frozenset({"sqlite_master", "sqlite_schema", "entry", "tile", "head", "checkpoint", "blob"})
_PRAGMAS = frozenset({"application_id", "user_version", "encoding", "integrity_check"})

_LIMITS = {
    apsw.SQLITE_LIMIT_LENGTH: MAX_ROW_BYTES,
    apsw.SQLITE_LIMIT_SQL_LENGTH: 4_096,
    apsw.SQLITE_LIMIT_COLUMN: 16,
    apsw.SQLITE_LIMIT_EXPR_DEPTH: 16,
    apsw.SQLITE_LIMIT_COMPOUND_SELECT: 2,
    apsw.SQLITE_LIMIT_VDBE_OP: 25_000,
    apsw.SQLITE_LIMIT_FUNCTION_ARG: 8,
    apsw.SQLITE_LIMIT_ATTACHED: 0,
    apsw.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 16,
    apsw.SQLITE_LIMIT_VARIABLE_NUMBER: 8,
    apsw.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    apsw.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_SWITCHES = {
    apsw.SQLITE_DBCONFIG_DEFENSIVE: 1,
    apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_VIEW: 0,
    apsw.SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION: 0,
    apsw.SQLITE_DBCONFIG_DQS_DML: 0,
    apsw.SQLITE_DBCONFIG_DQS_DDL: 0,
    apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE: 1,
}
_BUSY_MS = 5_000


def connect(path: bytes, mode: str) -> apsw.Connection:
    """Return a connection for reading, on which nothing was read yet.

    Args:
        path: the file, absolute.
        mode: ``immutable`` (neither locks nor side files), ``live`` (with the locks of who writes to it), or
            ``copy``.

    Raises:
        apsw.Error: SQLite cannot open it.
    """
    # %-encoding takes any byte of a path through SQLite's URI, and keeps '?' and '#' in it.
    name = quote_from_bytes(path.replace(b"\\", b"/") if sys.platform == "win32" else path)
    if sys.platform == "win32":
        name = "/" + name.replace("%3A", ":", 1)
    query = {"immutable": "mode=ro&immutable=1", "live": "mode=ro&readonly_shm=1", "copy": "mode=ro"}[mode]
    db = apsw.Connection(f"file:{name}?{query}", flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)
    for switch, value in _SWITCHES.items():
        db.config(switch, value)
    for limit, bound in _LIMITS.items():
        db.limit(limit, bound)
    db.set_busy_timeout(_BUSY_MS)
    for pragma in (
        "query_only=ON",
        "cell_size_check=ON",
        "mmap_size=0",
        "cache_size=-8000",
        "temp_store=MEMORY",
    ):
        db.execute(f"PRAGMA {pragma}")
    db.authorizer = _authorize
    return db


def _authorize(
    action: int, first: str | None, second: str | None, _database: str | None, _trigger: str | None
) -> int:
    if action in {apsw.SQLITE_SELECT, apsw.SQLITE_TRANSACTION}:
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_READ and first in _TABLES:
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_FUNCTION and second == "octet_length":
        return apsw.SQLITE_OK
    if action == apsw.SQLITE_PRAGMA and first in _PRAGMAS and second in {None, "1"}:
        return apsw.SQLITE_OK
    return apsw.SQLITE_DENY
