"""The reference path: every price by itself, in Decimal. Slow on purpose: there is little to get wrong."""

from decimal import Decimal

from backtest.book import Holding
from backtest.prices import PriceBatch
from backtest.session import Session
from strategy.values import Tick


def follow(session: Session, batch: PriceBatch) -> None:
    """Every price of the batch, in order, up to a liquidation. The run's first price was the entry."""
    per_row, entered = batch.per_row, session.rows == 0
    for position, time_ms in enumerate(batch.times_ms):
        if time_ms >= session.next_ms:
            session.strike(time_ms)
        for price in batch.prices[position * per_row + entered : (position + 1) * per_row]:
            _one_price(session, batch.first_row + position, time_ms, price)
            if session.ended:
                break
        entered = False
        session.rows += 1
        if session.ended:
            return


def _one_price(session: Session, row: int, time_ms: int, price: Decimal) -> None:
    trade = session.trade
    if trade.quiet_from < price < trade.quiet_to:
        trade.curve.see(trade.offset + trade.net_qty * price, time_ms)
    else:
        trade.act(row, session.prices, Tick(price=price, time_ms=time_ms))
    _hold(session.hold, session.prices, time_ms, price)
    _hold(session.hold_1x, session.prices, time_ms, price)
    session.prices += 1
    session.last_ms, session.last_price = time_ms, price


def _hold(hold: Holding, index: int, time_ms: int, price: Decimal) -> None:
    if price < hold.below:
        hold.liquidate(index, time_ms, price, hold.fills)
    else:
        hold.curve.see(hold.offset + hold.net_qty * price, time_ms)
