"""From a finished session to what a report draws: decisions, cycles, and every price in a few thousand buckets."""

from collections.abc import Sequence

import numpy as np

from backtest.book import Book, Line
from backtest.prices import Stretch
from backtest.ratios import DAY_MS
from backtest.result import PHASES, Band, Cycle, Days, Decisions, Floats, Ints, Samples
from backtest.session import Session
from backtest.trade import Decided

BUCKETS = 32_768
"""Of two and a half years of minutes, one is 40 minutes."""


def decisions_of(decided: Sequence[Decided]) -> Decisions:
    """The trade's decisions as columns."""

    def whole(values: list[int]) -> Ints:
        return np.array(values, dtype=np.int64)

    def floats(values: list[float]) -> Floats:
        return np.array(values, dtype=np.float64)

    states = [each.state for each in decided]
    ledgers = [state.ledger for state in states]
    return Decisions(
        row=whole([each.row for each in decided]),
        time_ms=whole([each.tick.time_ms for each in decided]),
        price=floats([float(each.tick.price) for each in decided]),
        phase=np.array([PHASES.index(state.phase) for state in states], dtype=np.int8),
        unit=whole([state.current_unit for state in states]),
        peak=whole([state.peak_unit for state in states]),
        valley=whole([state.valley_unit for state in states]),
        cycle=whole([state.cycle for state in states]),
        order_qty=floats([float(each.order_qty) for each in decided]),
        long_qty=floats([float(ledger.long_qty) for ledger in ledgers]),
        short_qty=floats([float(ledger.short_qty) for ledger in ledgers]),
        short_entry=floats([float(ledger.short_entry) for ledger in ledgers]),
        cash_usd=floats([float(ledger.cash) for ledger in ledgers]),
        allocation_usd=floats([float(state.allocation) for state in states]),
        equity_usd=floats([float(each.state.equity(each.tick.price)) for each in decided]),
        legs=tuple(each.legs for each in decided),
    )


def cycles_of(session: Session, first_price: float) -> tuple[Cycle, ...]:
    """Every cycle from its start to its RESET; the running one to the end. Call it after `summary`."""
    cycles: list[Cycle] = []
    start_ms, start_price = session.first_ms, first_price
    orders, fees_usd, funding_usd = 0, 0.0, 0.0
    for end in session.trade.cycle_ends:
        cycles.append(
            Cycle(
                number=end.number,
                start_ms=start_ms,
                end_ms=end.time_ms,
                start_price=start_price,
                end_price=float(end.price),
                orders=end.orders - orders,
                pnl_usd=float(end.pnl_usd),
                fees_usd=float(end.fees_usd) - fees_usd,
                funding_usd=float(end.funding_usd) - funding_usd,
                finished=end is not session.trade.cycle_ends[-1],
            )
        )
        start_ms, start_price = end.time_ms, float(end.price)
        orders, fees_usd, funding_usd = end.orders, float(end.fees_usd), float(end.funding_usd)
    return tuple(cycles)


def samples_of(session: Session, prices: Stretch, buckets: int = BUCKETS) -> Samples:
    """`prices` are those of the session, from its first on."""
    count = session.prices
    used = prices.rows(0, -(-count // prices.per_row))
    price = used.points[:count] / 10**prices.decimals
    span_ms = session.last_ms - session.first_ms + 1
    bucket_of_row = (used.times_ms - session.first_ms) * buckets // span_ms
    rows = np.flatnonzero(np.diff(bucket_of_row, prepend=-1))
    starts = rows * prices.per_row
    equity = _along(session.trade, price)
    peak = np.maximum(np.maximum.accumulate(equity), float(session.setup.margin_usd))
    drawdown = 1 - equity / peak
    return Samples(
        time_ms=used.times_ms[rows],
        price=_band(price, starts),
        equity=_band(equity, starts),
        hold=_band(_along(session.hold, price), starts),
        hold_1x=_band(_along(session.hold_1x, price), starts),
        drawdown=np.maximum.reduceat(drawdown, starts),
    )


def _along(book: Book, price: Floats) -> Floats:
    """The book's equity at every price."""
    lines: list[Line] = book.lines or []
    lengths = np.diff([index for index, _, _ in lines], append=len(price))
    offset = np.repeat([float(offset) for _, offset, _ in lines], lengths)
    net_qty = np.repeat([float(net_qty) for _, _, net_qty in lines], lengths)
    return np.asarray(offset + net_qty * price, dtype=np.float64)


def _band(values: Floats, starts: Ints) -> Band:
    ends = np.append(starts[1:], len(values)) - 1
    return Band(np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts), values[ends])


def days_of(session: Session) -> Days:
    first_day_ms = session.first_ms // DAY_MS * DAY_MS
    columns = [
        np.array([float(usd) for usd in (*book.days, book.equity(session.last_price))]) for book in session.books
    ]
    return Days(first_day_ms + DAY_MS * np.arange(len(columns[0]), dtype=np.int64), *columns)
