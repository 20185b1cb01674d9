"""The fast path: the prices between two decisions are looked at all at once, the decisions are the strategy's own.

Prices are integers here, and a line or a liquidation price is compared with them as the integer next to it, so what
happens at which price is decided exactly. From there on it is the reference path's code, in Decimal.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

import numpy as np
from numpy.typing import NDArray

from backtest.book import Holding
from backtest.prices import Stretch
from backtest.session import Session
from backtest.trade import Trade
from strategy.values import Tick

_FIRST_WINDOW, _LAST_WINDOW = 256, 65_536
"""How far one look goes: short at first, since a price that just crossed a line is likely to cross the next."""
_UNREACHED = 2**62
"""Beyond any price."""


def follow(session: Session, stretch: Stretch) -> None:
    """What `reference.follow` does with the same prices."""
    count, per_row = len(stretch.points), stretch.per_row
    first = session.rows == 0
    base = session.prices - first
    at = int(first)
    while at < count:
        until = int(np.searchsorted(stretch.times_ms, session.next_ms)) * per_row
        if until <= at:
            session.strike(int(stretch.times_ms[at // per_row]))
            continue
        until = min(until, count)
        seen = _follow_trade(session.trade, stretch, at, until, base)
        for hold in (session.hold, session.hold_1x):
            _follow_hold(hold, stretch, at, seen, base)
        at = seen
        session.prices = base + at
        session.last_ms, session.last_price = int(stretch.times_ms[(at - 1) // per_row]), stretch.price(at - 1)
        if session.ended:
            break
    session.rows += (at - 1) // per_row + 1 if count else 0


def _follow_trade(trade: Trade, stretch: Stretch, at: int, until: int, base: int) -> int:
    """Between two strikes of the clock; how far it came: `until`, or just beyond the end of the trade."""
    points, per_row = stretch.points, stretch.per_row
    while at < until:
        low, high = _bounds(trade.quiet_from, trade.quiet_to, stretch.decimals)
        found = _leaves(points, at, until, low, high)
        if found > at:
            trade.curve.see_stretch(stretch, at, found, trade.offset, trade.net_qty)
        at = found
        if at < until:
            row = at // per_row
            tick = Tick(price=stretch.price(at), time_ms=int(stretch.times_ms[row]))
            trade.act(stretch.first_row + row, base + at, tick)
            at += 1
            if trade.ended:
                break
    return at


def _follow_hold(hold: Holding, stretch: Stretch, at: int, until: int, base: int) -> None:
    low, _ = _bounds(hold.below, hold.above, stretch.decimals, inclusive=False)
    found = _leaves(stretch.points, at, until, low, _UNREACHED)
    if found > at:
        hold.curve.see_stretch(stretch, at, found, hold.offset, hold.net_qty)
    if found < until:
        time_ms = int(stretch.times_ms[found // stretch.per_row])
        hold.liquidate(base + found, time_ms, stretch.price(found), hold.fills)


def _bounds(low: Decimal, high: Decimal, decimals: int, *, inclusive: bool = True) -> tuple[int, int]:
    """In points: at or below the first, or at or above the second, is outside."""
    lowest = low.scaleb(decimals).to_integral_value(rounding=ROUND_FLOOR if inclusive else ROUND_CEILING)
    highest = high.scaleb(decimals).to_integral_value(rounding=ROUND_CEILING) if high.is_finite() else _UNREACHED
    return int(lowest) - (not inclusive), min(int(highest), _UNREACHED)


def _leaves(points: NDArray[np.int64], at: int, until: int, low: int, high: int) -> int:
    """The first index from `at` on whose price is not strictly between; `until` when all are."""
    window = _FIRST_WINDOW
    while at < until:
        part = points[at : min(at + window, until)]
        if part.min() <= low or part.max() >= high:
            return at + int(((part <= low) | (part >= high)).argmax())
        at += len(part)
        window = min(2 * window, _LAST_WINDOW)
    return until
