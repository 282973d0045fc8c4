"""The tables of the index: ledgers, launches, and what launches are searched by.

Only what searching and listing need is here. Types are those that every database has. What comes
from a ledger can be anything, so text is cut to the limits below and holds no NUL (PostgreSQL's text
cannot). A change here is a new revision in ``migrations/``, and a test compares the two.

How a search stays fast (:mod:`store.index.searching`): launches are listed newest first, so every index of
launches ends in ``at`` and ``first``. A search by one value is then a range that is read backwards until
enough is found, and a span of time only makes the range shorter. Substrings of commands have no index that
every database has; so commands stand in a narrow table of their own, which lies in that same order.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    true,
)

REVISION = "0002"
"""The revision of ``migrations/`` that these tables are; what has another one is rebuilt."""

VERSION_TABLE = "index_revision"
"""Where Alembic remembers the revision: not its default name, for a database that others use too."""

MAX_COMMAND = 4_096
"""Characters of a command that are kept for searching and listing."""
MAX_PATH = 4_096
MAX_PATHS = 1_000
"""Paths of one launch that are kept for searching."""
MAX_LABELS = 64
MAX_LABEL_NAME = 128
MAX_LABEL_VALUE = 512
MAX_WORD = 64
"""Characters of what is one word: times, codes, digests, ids."""

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

LEDGER = Table(
    "index_ledger",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("host", Text, nullable=False),
    Column("path", LargeBinary, nullable=False),
    Column("origin", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("root", LargeBinary, nullable=False),
    Column("edge", LargeBinary, nullable=False),
    Column("consistent", Boolean, nullable=False),
    Column("key_entry", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
    UniqueConstraint("host", "path"),
)
"""A ledger file, and how far it is indexed.

- ``host``: the name of the host that the path belongs to: one index may serve many.
- ``path``: the file, absolute; paths are bytes.
- ``origin``: the ledger's origin, as its head says.
- ``size``: entries that are indexed; less than the head's size while it is being caught up.
- ``root``: the root over those entries; the head's own at the end, by which a replaced ledger is noticed.
- ``edge``: the compact range over those entries, computed from them; empty when not consistent.
- ``consistent``: whether that edge led to the head's root. It did not for an edited or damaged ledger.
- ``key_entry``: the entry that names the key in force: the last handover, else the genesis.
- ``skipped``: entries that could not be read, or whose session is none.
"""

EXECUTABLE = Table(
    "index_executable",
    METADATA,
    Column("ledger_id", Integer, ForeignKey("index_ledger.id"), nullable=False, autoincrement=False),
    Column("number", BigInteger, nullable=False, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    Column("path", Text, nullable=True),
    Column("name", Text, nullable=True),
    Column("sha256", Text, nullable=True),
    PrimaryKeyConstraint("ledger_id", "number"),
    Index(None, "ledger_id", "digest"),
)
"""What ran, as hashed before exec: each pair of ``path`` and ``sha256`` once a ledger.

``name`` is the path's last part, and ``digest`` is over path and hash (:mod:`store.index.interning`).
"""

PATH_SET = Table(
    "index_path_set",
    METADATA,
    Column("ledger_id", Integer, ForeignKey("index_ledger.id"), nullable=False, autoincrement=False),
    Column("number", BigInteger, nullable=False, autoincrement=False),
    Column("digest", LargeBinary, nullable=False),
    PrimaryKeyConstraint("ledger_id", "number"),
    Index(None, "ledger_id", "digest"),
)
"""A set of paths that launches were granted or wrote: each set once a ledger, however many have it."""

PATH = Table(
    "index_path",
    METADATA,
    Column("ledger_id", Integer, nullable=False, autoincrement=False),
    Column("number", BigInteger, nullable=False, autoincrement=False),
    Column("position", Integer, nullable=False, autoincrement=False),
    Column("path", Text, nullable=False),
    PrimaryKeyConstraint("ledger_id", "number", "position"),
    ForeignKeyConstraint(["ledger_id", "number"], ["index_path_set.ledger_id", "index_path_set.number"]),
    sqlite_with_rowid=False,
)
"""A path in a set."""

LAUNCH = Table(
    "index_launch",
    METADATA,
    Column("ledger_id", Integer, ForeignKey("index_ledger.id"), nullable=False, autoincrement=False),
    Column("first", BigInteger, nullable=False, autoincrement=False),
    Column("at", BigInteger, nullable=False),
    Column("last", BigInteger, nullable=False),
    Column("session", Text, nullable=False),
    Column("intent", BigInteger),
    Column("start", BigInteger),
    Column("outcome", BigInteger),
    Column("attestation", BigInteger),
    Column("lost", BigInteger),
    Column("state", Text, nullable=False),
    Column("unfinished", Boolean, nullable=False),
    Column("refused", Boolean, nullable=False),
    Column("strategy", Text),
    Column("time", Text, nullable=False),
    Column("program", Text),
    Column("executable", BigInteger),
    Column("paths", BigInteger),
    Column("exit", BigInteger),
    Column("signal", BigInteger),
    Column("not_started", Text),
    Column("duration_us", BigInteger),
    Column("entries", BigInteger, nullable=False),
    Column("decisions", BigInteger, nullable=False),
    Column("denied", BigInteger, nullable=False),
    Column("boot_id", Text),
    Column("pid_namespace", Text),
    Column("pid", BigInteger),
    Column("start_time", BigInteger),
    PrimaryKeyConstraint("ledger_id", "first"),
    Index(None, "ledger_id", "session"),
    Index(None, "ledger_id", "at", "first"),
    Index(None, "ledger_id", "exit", "at", "first"),
    Index(None, "ledger_id", "executable", "at", "first"),
    Index(None, "ledger_id", "paths", "at", "first"),
)
"""A launch: where its entries stand, and what they say.

- ``first``: index of the session's first entry. Not the session is the key: a hostile ledger may hold one
  twice, and then both are listed.
- ``at``: the first entry's time, microseconds of Unix time; 0 when it cannot be read.
- ``last``: index of the session's last entry so far.
- ``session``: the session id, 32 lower-case hex digits.
- ``intent``, ``start``, ``outcome``, ``attestation``, ``lost``: index of that entry, or NULL.
- ``state``: ``open``, ``complete`` or ``lost``; whether an open one still runs is for now to say.
- ``unfinished``: whether the state is another than ``complete``.
- ``refused``: whether it was not started, or something was denied to it.
- ``strategy``: ``supervised`` or ``direct``; a direct launch is complete with its start.
- ``time``: the first entry's time as it is written, RFC 3339 UTC.
- ``program``: argv[0] as typed.
- ``executable``: the number of what ran in :data:`EXECUTABLE`.
- ``paths``: the number of its paths in :data:`PATH_SET`: grants of the user and the profile, and outputs.
- ``exit``, ``signal``, ``not_started``: how it ended: one of them; ``not_started`` is the reason's code.
- ``duration_us``: microseconds.
- ``entries``, ``decisions``, ``denied``: counts.
- ``boot_id``, ``pid_namespace``, ``pid``, ``start_time``: the supervisor, by which a running launch is known.
"""

# Few launches are of these kinds, so only those few are in the index.
for _column in (LAUNCH.c.unfinished, LAUNCH.c.refused):
    Index(
        f"ix_index_launch_{_column.name}",
        LAUNCH.c.ledger_id,
        LAUNCH.c.at,
        LAUNCH.c.first,
        sqlite_where=_column == true(),
        postgresql_where=_column == true(),
    )

COMMAND = Table(
    "index_command",
    METADATA,
    Column("ledger_id", Integer, nullable=False, autoincrement=False),
    Column("at", BigInteger, nullable=False, autoincrement=False),
    Column("first", BigInteger, nullable=False, autoincrement=False),
    Column("command", Text, nullable=False),
    PrimaryKeyConstraint("ledger_id", "at", "first"),
    ForeignKeyConstraint(["ledger_id", "first"], ["index_launch.ledger_id", "index_launch.first"]),
    sqlite_with_rowid=False,
)
"""A launch's whole command, quoted for a shell, in the order in which launches are listed."""

LABEL = Table(
    "index_label",
    METADATA,
    Column("ledger_id", Integer, nullable=False, autoincrement=False),
    Column("first", BigInteger, nullable=False, autoincrement=False),
    Column("name", Text, nullable=False),
    Column("value", Text, nullable=False),
    Column("at", BigInteger, nullable=False),
    PrimaryKeyConstraint("ledger_id", "first", "name"),
    ForeignKeyConstraint(["ledger_id", "first"], ["index_launch.ledger_id", "index_launch.first"]),
    Index(None, "ledger_id", "name", "value", "at", "first"),
    sqlite_with_rowid=False,
)
"""A label of a launch."""

OF_A_LEDGER = (LABEL, COMMAND, LAUNCH, PATH, PATH_SET, EXECUTABLE)
"""The tables of what a ledger holds, those that refer to others first."""
