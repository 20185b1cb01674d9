"""Writing and reading the journal.

    journal = Journal("sqlite:///state/journal.db")   # or postgresql://user:password@host/name
    await journal.open()
    await journal.append(trade, entries)
    for line in await journal.history("trade-ETH"): ...
    await journal.close()

Every method raises JournalUnavailable when the database can't be asked: retry it as it is, nothing is written twice.
"""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from itertools import groupby
from typing import Any

from pydantic import ValidationError
from sqlalchemy import ColumnElement, Row, Table, or_, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from journal.engine import create_engine, parse_url, sorted_failures
from journal.entries import ENTRY, BaseEntry, Entry, Record, Standing, TradeRef
from journal.errors import JournalConflict, JournalError
from journal.migrate import upgrade
from journal.orders import OrderRow, orders_of
from journal.schema import entries as entries_table
from journal.schema import trades as trades_table
from journal.standings import LastKnown, last_known, write_standing

_ORDER_KINDS = ("intent", "outcome", "fill")


class Line(Record):
    """An entry as it is read: with the trade it belongs to."""

    trade_id: str
    entry: Entry


class Journal:
    """The append-only record of all trades in one database; one instance serves a whole process."""

    def __init__(self, url: str) -> None:
        self._url_text = url
        self._url = parse_url(url)
        self._engine: AsyncEngine | None = None

    async def open(self) -> None:
        """Create or migrate the tables and be ready."""
        if self._engine is None:
            await upgrade(self._url_text)
            self._engine = create_engine(self._url)

    async def close(self) -> None:
        if self._engine is not None:
            await self._engine.dispose()
            self._engine = None

    async def append(self, trade: TradeRef, entries: Iterable[Entry], standing: Standing | None = None) -> None:
        """Write entries, and how the trade stands after them, all or none; entries there already are left as they are.

        Raises JournalConflict when a different entry, or a different trade, stands under the same key.
        """
        batch = _without_repeats(trade, entries)
        async with self._transaction() as connection:
            await _write_trade(connection, trade)
            await _write_entries(connection, trade, batch)
            if standing is not None:
                await write_standing(connection, trade.trade_id, standing)

    async def history(
        self,
        of: str,
        *,
        kinds: Sequence[str] | None = None,
        since_seq: int | None = None,
        limit: int | None = None,
    ) -> list[Line]:
        """Entries of a trade id, or of all trades of a workflow id, oldest first.

        `since_seq` leaves out entries up to and including that seq of each trade; `limit` keeps the newest.
        """
        query = (
            select(entries_table)
            .join(trades_table)
            .where(_of(of))
            .order_by(trades_table.c.opened_at_ms.desc(), trades_table.c.trade_id.desc(), entries_table.c.seq.desc())
        )
        if kinds is not None:
            query = query.where(entries_table.c.kind.in_(kinds))
        if since_seq is not None:
            query = query.where(entries_table.c.seq > since_seq)
        async with self._transaction() as connection:
            rows = (await connection.execute(query.limit(limit))).all()
        return [Line(trade_id=row.trade_id, entry=_entry(row)) for row in reversed(rows)]

    async def orders(self, of: str) -> list[OrderRow]:
        """One row per order of a trade id, or of all trades of a workflow id, oldest first."""
        lines = await self.history(of, kinds=_ORDER_KINDS)
        return [
            order
            for trade_id, trade_lines in groupby(lines, key=lambda line: line.trade_id)
            for order in orders_of(trade_id, (line.entry for line in trade_lines))
        ]

    async def trades(self) -> list[TradeRef]:
        """All trades, oldest first."""
        query = select(trades_table).order_by(trades_table.c.opened_at_ms, trades_table.c.trade_id)
        async with self._transaction() as connection:
            rows = (await connection.execute(query)).all()
        return [_trade(row) for row in rows]

    async def last_known(self) -> list[LastKnown]:
        """Of all trades, oldest first: what they are rebuilt from."""
        async with self._transaction() as connection:
            return await last_known(connection)

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncConnection]:
        if self._engine is None:
            raise JournalError("the journal is not open: call open() first")
        with sorted_failures(self._url):
            async with self._engine.begin() as connection:
                yield connection


def _without_repeats(trade: TradeRef, entries: Iterable[Entry]) -> list[Entry]:
    """By seq, so that writers at the same moment take the rows' locks in the same order."""
    by_seq: dict[int, Entry] = {}
    for entry in entries:
        if by_seq.setdefault(entry.seq, entry) != entry:
            raise _conflict(trade, by_seq[entry.seq], entry)
    return [by_seq[seq] for seq in sorted(by_seq)]


async def _write_trade(connection: AsyncConnection, trade: TradeRef) -> None:
    if await _insert_missing(connection, trades_table, [trade.model_dump(mode="json")], "trade_id"):
        return
    query = select(trades_table).where(trades_table.c.trade_id == trade.trade_id)
    standing = _trade((await connection.execute(query)).one())
    if standing != trade:
        raise JournalConflict(f"trade {trade.trade_id} stands in the journal as {standing!r}, not as {trade!r}")


async def _write_entries(connection: AsyncConnection, trade: TradeRef, batch: Sequence[Entry]) -> None:
    written = await _insert_missing(connection, entries_table, [_values(trade, entry) for entry in batch], "seq")
    wanted = {entry.seq: entry for entry in batch if entry.seq not in written}
    if not wanted:
        return
    query = select(entries_table).where(
        entries_table.c.trade_id == trade.trade_id, entries_table.c.seq.in_(sorted(wanted))
    )
    for row in (await connection.execute(query)).all():
        standing = _entry(row)
        if standing != wanted[row.seq]:
            raise _conflict(trade, standing, wanted[row.seq])


async def _insert_missing(connection: AsyncConnection, table: Table, rows: list[dict[str, Any]], key: str) -> set[Any]:
    """Insert the rows whose key is free; the keys of those that were."""
    if not rows:
        return set()
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(table).on_conflict_do_nothing().returning(table.c[key])
    return set((await connection.execute(statement, rows)).scalars())


def _values(trade: TradeRef, entry: BaseEntry) -> dict[str, Any]:
    data = entry.model_dump(mode="json")
    seq, at_ms, kind = data.pop("seq"), data.pop("at_ms"), data.pop("kind")
    return {
        "trade_id": trade.trade_id,
        "seq": seq,
        "kind": kind,
        "at_ms": at_ms,
        "cycle": data.get("cycle"),
        "unit": data.get("unit", data.get("to_unit")),
        "phase": data.get("phase"),
        "data": data,
    }


def _entry(row: Row[Any]) -> Entry:
    try:
        return ENTRY.validate_python({**row.data, "kind": row.kind, "seq": row.seq, "at_ms": row.at_ms})
    except ValidationError as error:
        raise JournalError(f"entry {row.seq} of trade {row.trade_id} can't be read as {row.kind}: {error}") from error


def _trade(row: Row[Any]) -> TradeRef:
    return TradeRef.model_validate(dict(row._mapping))


def _of(identity: str) -> ColumnElement[bool]:
    return or_(trades_table.c.trade_id == identity, trades_table.c.workflow_id == identity)


def _conflict(trade: TradeRef, standing: Entry, other: Entry) -> JournalConflict:
    return JournalConflict(
        f"entry {standing.seq} of trade {trade.trade_id} stands in the journal as {standing!r}, not as {other!r}"
    )
