"""Launches are searched by time, paths, executable, exit code and what was denied to them.

Revision 0002, after 0001, 2026-11-24.

What the new columns hold is in the ledgers and not in the old tables, so launches are forgotten and every
ledger is indexed anew when it is caught up next.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_EMPTY_ROOT = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")

_LEDGER = sa.table(
    "index_ledger",
    sa.column("size", sa.BigInteger()),
    sa.column("root", sa.LargeBinary()),
    sa.column("edge", sa.LargeBinary()),
    sa.column("origin", sa.Text()),
    sa.column("consistent", sa.Boolean()),
    sa.column("key_entry", sa.BigInteger()),
    sa.column("skipped", sa.BigInteger()),
)


def upgrade() -> None:
    _drop(["index_label", "index_launch"])
    _forget(root=b"")
    for name in ("index_executable", "index_path_set"):
        own = [
            sa.Column("path", sa.Text(), nullable=True),
            sa.Column("name", sa.Text(), nullable=True),
            sa.Column("sha256", sa.Text(), nullable=True),
        ]
        op.create_table(
            name,
            sa.Column("ledger_id", sa.Integer(), autoincrement=False, nullable=False),
            sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("digest", sa.LargeBinary(), nullable=False),
            *(own if name == "index_executable" else []),
            sa.ForeignKeyConstraint(["ledger_id"], ["index_ledger.id"], name=op.f(f"fk_{name}_ledger_id")),
            sa.PrimaryKeyConstraint("ledger_id", "number", name=op.f(f"pk_{name}")),
        )
        op.create_index(op.f(f"ix_{name}_ledger_id_digest"), name, ["ledger_id", "digest"])
    op.create_table(
        "index_path",
        sa.Column("ledger_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ledger_id", "number"],
            ["index_path_set.ledger_id", "index_path_set.number"],
            name=op.f("fk_index_path_ledger_id_number"),
        ),
        sa.PrimaryKeyConstraint("ledger_id", "number", "position", name=op.f("pk_index_path")),
        sqlite_with_rowid=False,
    )
    _create_launches()
    op.create_table(
        "index_command",
        sa.Column("ledger_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ledger_id", "first"],
            ["index_launch.ledger_id", "index_launch.first"],
            name=op.f("fk_index_command_ledger_id_first"),
        ),
        sa.PrimaryKeyConstraint("ledger_id", "at", "first", name=op.f("pk_index_command")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "index_label",
        sa.Column("ledger_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ledger_id", "first"],
            ["index_launch.ledger_id", "index_launch.first"],
            name=op.f("fk_index_label_ledger_id_first"),
        ),
        sa.PrimaryKeyConstraint("ledger_id", "first", "name", name=op.f("pk_index_label")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        op.f("ix_index_label_ledger_id_name_value_at_first"),
        "index_label",
        ["ledger_id", "name", "value", "at", "first"],
    )


def downgrade() -> None:
    _drop(
        [
            "index_label",
            "index_command",
            "index_launch",
            "index_path",
            "index_path_set",
            "index_executable",
        ]
    )
    _forget(root=_EMPTY_ROOT)
    op.create_table(
        "index_launch",
        sa.Column("ledger_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("intent", sa.BigInteger(), nullable=True),
        sa.Column("start", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.BigInteger(), nullable=True),
        sa.Column("attestation", sa.BigInteger(), nullable=True),
        sa.Column("lost", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=True),
        sa.Column("time", sa.Text(), nullable=False),
        sa.Column("program", sa.Text(), nullable=True),
        sa.Column("command", sa.Text(), nullable=True),
        sa.Column("executable", sa.Text(), nullable=True),
        sa.Column("executable_sha256", sa.Text(), nullable=True),
        sa.Column("exit", sa.BigInteger(), nullable=True),
        sa.Column("signal", sa.BigInteger(), nullable=True),
        sa.Column("not_started", sa.Text(), nullable=True),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("decisions", sa.BigInteger(), nullable=False),
        sa.Column("denied", sa.BigInteger(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("pid_namespace", sa.Text(), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column("start_time", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["ledger_id"], ["index_ledger.id"], name=op.f("fk_index_launch_ledger_id")),
        sa.PrimaryKeyConstraint("ledger_id", "first", name=op.f("pk_index_launch")),
    )
    op.create_index(op.f("ix_index_launch_ledger_id_session"), "index_launch", ["ledger_id", "session"])
    op.create_table(
        "index_label",
        sa.Column("ledger_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ledger_id", "first"],
            ["index_launch.ledger_id", "index_launch.first"],
            name=op.f("fk_index_label_ledger_id_first"),
        ),
        sa.PrimaryKeyConstraint("ledger_id", "first", "name", name=op.f("pk_index_label")),
    )
    op.create_index(op.f("ix_index_label_name_value"), "index_label", ["name", "value"])


def _create_launches() -> None:
    op.create_table(
        "index_launch",
        sa.Column("ledger_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("first", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("session", sa.Text(), nullable=False),
        sa.Column("intent", sa.BigInteger(), nullable=True),
        sa.Column("start", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.BigInteger(), nullable=True),
        sa.Column("attestation", sa.BigInteger(), nullable=True),
        sa.Column("lost", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("unfinished", sa.Boolean(), nullable=False),
        sa.Column("refused", sa.Boolean(), nullable=False),
        sa.Column("strategy", sa.Text(), nullable=True),
        sa.Column("time", sa.Text(), nullable=False),
        sa.Column("program", sa.Text(), nullable=True),
        sa.Column("executable", sa.BigInteger(), nullable=True),
        sa.Column("paths", sa.BigInteger(), nullable=True),
        sa.Column("exit", sa.BigInteger(), nullable=True),
        sa.Column("signal", sa.BigInteger(), nullable=True),
        sa.Column("not_started", sa.Text(), nullable=True),
        sa.Column("duration_us", sa.BigInteger(), nullable=True),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("decisions", sa.BigInteger(), nullable=False),
        sa.Column("denied", sa.BigInteger(), nullable=False),
        sa.Column("boot_id", sa.Text(), nullable=True),
        sa.Column("pid_namespace", sa.Text(), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column("start_time", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["ledger_id"], ["index_ledger.id"], name=op.f("fk_index_launch_ledger_id")),
        sa.PrimaryKeyConstraint("ledger_id", "first", name=op.f("pk_index_launch")),
    )
    op.create_index(op.f("ix_index_launch_ledger_id_session"), "index_launch", ["ledger_id", "session"])
    op.create_index(op.f("ix_index_launch_ledger_id_at_first"), "index_launch", ["ledger_id", "at", "first"])
    for name in ("exit", "executable", "paths"):
        op.create_index(
            op.f(f"ix_index_launch_ledger_id_{name}_at_first"),
            "index_launch",
            ["ledger_id", name, "at", "first"],
        )
    for name in ("unfinished", "refused"):
        only = sa.column(name, sa.Boolean()) == sa.true()
        op.create_index(
            op.f(f"ix_index_launch_{name}"),
            "index_launch",
            ["ledger_id", "at", "first"],
            sqlite_where=only,
            postgresql_where=only,
        )


def _drop(names: list[str]) -> None:
    for name in names:
        op.drop_table(name)


def _forget(*, root: bytes) -> None:
    op.execute(
        _LEDGER.update().values(
            size=0, root=root, edge=b"", origin="", consistent=True, key_entry=0, skipped=0
        )
    )
