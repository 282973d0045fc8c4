"""The first tables of the index.

Revision 0001, after nothing, 2026-11-24.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "index_ledger",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("path", sa.LargeBinary(), nullable=False),
        sa.Column("origin", sa.Text(), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("root", sa.LargeBinary(), nullable=False),
        sa.Column("edge", sa.LargeBinary(), nullable=False),
        sa.Column("consistent", sa.Boolean(), nullable=False),
        sa.Column("key_entry", sa.BigInteger(), nullable=False),
        sa.Column("skipped", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_index_ledger")),
        sa.UniqueConstraint("host", "path", name=op.f("uq_index_ledger_host_path")),
    )
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


def downgrade() -> None:
    op.drop_index(op.f("ix_index_label_name_value"), "index_label")
    op.drop_table("index_label")
    op.drop_index(op.f("ix_index_launch_ledger_id_session"), "index_launch")
    op.drop_table("index_launch")
    op.drop_table("index_ledger")
