"""How each trade stands, beside its entries: one row a trade, and the only rows that change."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "standings",
        sa.Column("trade_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("at_ms", sa.BigInteger, nullable=False),
        sa.Column("record", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("trade_id", name="pk_standings"),
        sa.ForeignKeyConstraint(["trade_id"], ["trades.trade_id"], name="fk_standings_trade_id"),
    )


def downgrade() -> None:
    op.drop_table("standings")
