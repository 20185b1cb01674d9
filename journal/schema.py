"""The tables, the same on SQLite and PostgreSQL. `journal.migrations` creates them; a test holds both equal."""

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text

metadata = MetaData(
    naming_convention={"pk": "pk_%(table_name)s", "fk": "fk_%(table_name)s_%(column_0_name)s"},
)

trades = Table(
    "trades",
    metadata,
    Column("trade_id", Text, primary_key=True),
    Column("workflow_id", Text, nullable=False),
    Column("coin", Text, nullable=False),
    Column("account", Text, nullable=False),
    Column("network", Text, nullable=False),
    Column("opened_at_ms", BigInteger, nullable=False),
    Column("terms", JSON, nullable=False),
    Index("ix_trades_workflow_id", "workflow_id", "opened_at_ms"),
)

# cycle, unit and phase stand in columns of their own for people who query by SQL; `data` has everything.
entries = Table(
    "entries",
    metadata,
    Column("trade_id", Text, ForeignKey("trades.trade_id"), primary_key=True),
    Column("seq", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("cycle", Integer),
    Column("unit", Integer),
    Column("phase", Text),
    Column("data", JSON, nullable=False),
    Index("ix_entries_kind", "trade_id", "kind", "seq"),
)

# The only rows that change: one a trade, see `journal.standings`.
standings = Table(
    "standings",
    metadata,
    Column("trade_id", Text, ForeignKey("trades.trade_id"), primary_key=True),
    Column("seq", BigInteger, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("record", JSON, nullable=False),
)
