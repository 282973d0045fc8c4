"""The tables of the index: one row a ledger file, one row a launch, one row a label.

Only what searching and listing need is here. Types are those that every database has. What comes
from a ledger can be anything, so text is cut to the limits below and holds no NUL (PostgreSQL's text
cannot). A change here is a new revision in ``migrations/``, and a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

REVISION = "0001"
"""The revision of ``migrations/`` that these tables are; what has another one is rebuilt."""

VERSION_TABLE = "index_revision"
"""Where Alembic remembers the revision: not its default name, for a database that others use too."""

MAX_COMMAND = 4_096
"""Characters of a command that are kept for searching and listing."""
MAX_PATH = 4_096
MAX_LABELS = 64
MAX_LABEL_NAME = 128
MAX_LABEL_VALUE = 512
MAX_WORD = 64
"""Characters of what is one word: times, codes, digests, ids."""


class Base(DeclarativeBase):
    """All tables of the index."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class IndexedLedger(Base):
    """A ledger file, and how far it is indexed.

    Attributes:
        host: the name of the host that the path belongs to: one index may serve many.
        path: the file, absolute; paths are bytes.
        origin: the ledger's origin, as its head says.
        size: entries that are indexed, which is the head's size at that time.
        root: the head's root at that time, 32 bytes: by it a replaced ledger is noticed.
        edge: the compact range over those entries, computed from them; empty when not consistent.
        consistent: whether that edge led to ``root``. It did not for an edited or damaged ledger.
        key_entry: the entry that names the key in force: the last handover, else the genesis.
        skipped: entries that could not be read, or whose session is none.
    """

    __tablename__ = "index_ledger"

    id: Mapped[int] = mapped_column(Integer, primary_key=True)
    host: Mapped[str] = mapped_column(Text)
    path: Mapped[bytes] = mapped_column(LargeBinary)
    origin: Mapped[str] = mapped_column(Text)
    size: Mapped[int] = mapped_column(BigInteger)
    root: Mapped[bytes] = mapped_column(LargeBinary)
    edge: Mapped[bytes] = mapped_column(LargeBinary)
    consistent: Mapped[bool] = mapped_column(Boolean)
    key_entry: Mapped[int] = mapped_column(BigInteger)
    skipped: Mapped[int] = mapped_column(BigInteger)

    __table_args__ = (UniqueConstraint("host", "path"),)


class IndexedLaunch(Base):
    """A launch: where its entries stand, and what they say.

    Attributes:
        ledger_id: the ledger.
        first: index of the session's first entry. Not the session is the key: a hostile ledger may
            hold one twice, and then both are listed.
        last: index of the session's last entry so far.
        session: the session id, 32 lower-case hex digits.
        intent, start, outcome, attestation, lost: index of that entry, or None.
        state: ``open``, ``complete`` or ``lost``; whether an open one still runs is for now to say.
        strategy: ``supervised`` or ``direct``; a direct launch is complete with its start.
        time: the first entry's time, RFC 3339 UTC.
        program: argv[0] as typed.
        command: all of it, quoted for a shell.
        executable, executable_sha256: what ran, as hashed before exec.
        exit, signal, not_started: how it ended: one of them; ``not_started`` is the reason's code.
        duration_us: microseconds.
        entries, decisions, denied: counts.
        boot_id, pid_namespace, pid, start_time: the supervisor, by which a running launch is known.
    """

    __tablename__ = "index_launch"

    ledger_id: Mapped[int] = mapped_column(
        Integer, ForeignKey("index_ledger.id"), primary_key=True, autoincrement=False
    )
    first: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigInteger)
    session: Mapped[str] = mapped_column(Text)
    intent: Mapped[int | None] = mapped_column(BigInteger)
    start: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[int | None] = mapped_column(BigInteger)
    attestation: Mapped[int | None] = mapped_column(BigInteger)
    lost: Mapped[int | None] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(Text)
    strategy: Mapped[str | None] = mapped_column(Text)
    time: Mapped[str] = mapped_column(Text)
    program: Mapped[str | None] = mapped_column(Text)
    command: Mapped[str | None] = mapped_column(Text)
    executable: Mapped[str | None] = mapped_column(Text)
    executable_sha256: Mapped[str | None] = mapped_column(Text)
    exit: Mapped[int | None] = mapped_column(BigInteger)
    signal: Mapped[int | None] = mapped_column(BigInteger)
    not_started: Mapped[str | None] = mapped_column(Text)
    duration_us: Mapped[int | None] = mapped_column(BigInteger)
    entries: Mapped[int] = mapped_column(BigInteger)
    decisions: Mapped[int] = mapped_column(BigInteger)
    denied: Mapped[int] = mapped_column(BigInteger)
    boot_id: Mapped[str | None] = mapped_column(Text)
    pid_namespace: Mapped[str | None] = mapped_column(Text)
    pid: Mapped[int | None] = mapped_column(BigInteger)
    start_time: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (Index(None, "ledger_id", "session"),)


class IndexedLabel(Base):
    """A label of a launch."""

    __tablename__ = "index_label"

    ledger_id: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    first: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text, primary_key=True)
    value: Mapped[str] = mapped_column(Text)

    __table_args__ = (
        ForeignKeyConstraint(["ledger_id", "first"], ["index_launch.ledger_id", "index_launch.first"]),
        Index(None, "name", "value"),
    )
