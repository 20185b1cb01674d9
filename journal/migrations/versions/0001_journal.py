"""Trades and their entries; entries can be added, never changed or removed."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

APPEND_ONLY = "the journal is append-only"


def upgrade() -> None:
    op.create_table(
        "trades",
        sa.Column("trade_id", sa.Text, nullable=False),
        sa.Column("workflow_id", sa.Text, nullable=False),
        sa.Column("coin", sa.Text, nullable=False),
        sa.Column("account", sa.Text, nullable=False),
        sa.Column("network", sa.Text, nullable=False),
        sa.Column("opened_at_ms", sa.BigInteger, nullable=False),
        sa.Column("terms", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("trade_id", name="pk_trades"),
    )
    op.create_index("ix_trades_workflow_id", "trades", ["workflow_id", "opened_at_ms"])
    op.create_table(
        "entries",
        sa.Column("trade_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, autoincrement=False, nullable=False),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("cycle", sa.Integer),
        sa.Column("unit", sa.Integer),
        sa.Column("phase", sa.Text),
        sa.Column("data", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("trade_id", "seq", name="pk_entries"),
        sa.ForeignKeyConstraint(["trade_id"], ["trades.trade_id"], name="fk_entries_trade_id"),
    )
    op.create_index("ix_entries_kind", "entries", ["trade_id", "kind", "seq"])
    if op.get_bind().dialect.name == "postgresql":
        _forbid_changes_postgresql()
    else:
        _forbid_changes_sqlite()


def _forbid_changes_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION journal_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{APPEND_ONLY}'; END $$"
    )
    for table in ("trades", "entries"):
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH ROW EXECUTE FUNCTION journal_append_only()"
        )


def _forbid_changes_sqlite() -> None:
    for table in ("trades", "entries"):
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{APPEND_ONLY}'); END"
            )


def downgrade() -> None:
    op.drop_table("entries")
    op.drop_table("trades")
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION journal_append_only()")
