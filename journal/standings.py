"""How each trade, and each portfolio, stood when its newest entries were written: from it one is rebuilt where Temporal
has lost it.

The one table whose rows change: the newest is all that is ever asked for, and each is some kilobytes.
"""

from sqlalchemy import case, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from journal.entries import Record, Standing, TradeRef
from journal.schema import entries, standings, trades


class LastKnown(Record):
    """What the journal knows of a trade in the end. Without `standing` it was written by a release that kept none, or
    the trade was never opened. A portfolio is of no coin, and may have no entry yet: the newest is 0 then."""

    trade: TradeRef
    standing: Standing | None
    newest_seq: int
    newest_ms: int
    opened: bool
    closed: bool


async def write_standing(connection: AsyncConnection, trade_id: str, standing: Standing) -> None:
    """In place of an older one. One that comes late, from a writer that was thought dead, changes nothing."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(standings).values(trade_id=trade_id, **standing.model_dump())
    new = statement.excluded
    await connection.execute(
        statement.on_conflict_do_update(
            index_elements=[standings.c.trade_id],
            set_={name: new[name] for name in Standing.model_fields},
            where=standings.c.at_ms <= new.at_ms,
        )
    )


async def last_known(connection: AsyncConnection) -> list[LastKnown]:
    """All trades, oldest first."""
    told = (
        select(
            entries.c.trade_id,
            func.max(entries.c.seq).label("newest_seq"),
            func.max(entries.c.at_ms).label("newest_ms"),
            func.max(case((entries.c.kind == "opened", 1), else_=0)).label("opened"),
            func.max(case((entries.c.kind == "closed", 1), else_=0)).label("closed"),
        )
        .group_by(entries.c.trade_id)
        .subquery()
    )
    newest = (func.coalesce(told.c[name], 0).label(name) for name in ("newest_seq", "newest_ms", "opened", "closed"))
    stood = (standings.c.seq, standings.c.at_ms, standings.c.record)
    query = (
        select(trades, *stood, *newest)
        .outerjoin(told, told.c.trade_id == trades.c.trade_id)
        .outerjoin(standings, standings.c.trade_id == trades.c.trade_id)
        .order_by(trades.c.opened_at_ms, trades.c.trade_id)
    )
    return [
        LastKnown(
            trade=TradeRef.model_validate({name: row._mapping[name] for name in TradeRef.model_fields}),
            standing=None if row.seq is None else Standing(seq=row.seq, at_ms=row.at_ms, record=row.record),
            newest_seq=row.newest_seq,
            newest_ms=row.newest_ms,
            opened=bool(row.opened),
            closed=bool(row.closed),
        )
        for row in (await connection.execute(query)).all()
    ]
