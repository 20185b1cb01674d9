"""The unit ladder once more, in machine code and floats: for searches that run it ten thousand times.

It follows `strategy.step`, `strategy.fold` and `backtest.trading` rule by rule; tests hold it to them: units, phases
and steps exactly, quantities to 1e-9. Lines are compared with prices as integers, so a price exactly on a line
completes it here, too. What is journalled or traded live never comes from here.

One file, since Numba's cache does not see a change in another.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

F = TypeVar("F", bound=Callable[..., Any])
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def _compiled(function: F) -> F:
    try:
        return cast(F, numba.njit(cache=True, error_model="numpy")(function))
    except RuntimeError:
        # Nowhere to keep the machine code: it is made anew in each process.
        return cast(F, numba.njit(error_model="numpy")(function))


# What a trade is made of, in floats. Four in a row are a ledger: the real one, and the one of the fold.
(LONG, SHORT, ENTRY, CASH, FOLD, _, _, _, WANTED_LONG, WANTED_SHORT, ALLOCATION, START, FRAGMENT_QTY, FRAGMENT_USD,
 HEDGE, PEAK_USD, DEEPER, DRAWDOWN, DRAWDOWN_USD, FEES, SLIPPAGE, FUNDING, PRICE_TAKEN) = range(23)  # fmt: skip
FLOATS = 23
# And in whole numbers.
(PHASE, UNIT, PEAK, VALLEY, BASE, CYCLE, STEPS, RESET_DUE, ORDERS, DECISIONS, WINS, LIQUIDATED_ROW, PRICES) = range(13)
INTS = 13
ADVANCE, RETRACEMENT, DECLINE, RECOVERY = range(4)
# The terms, in floats and whole numbers.
(T_FRAGMENT, T_HEDGE, T_FEE, T_SLIPPAGE, T_LOT, T_MINIMUM, T_MONEY_STEP, T_LEVERAGE, T_ANCHOR, T_UNIT, T_SCALE,
 T_NOTHING, T_SPREAD) = range(13)  # fmt: skip
(T_DEPTH, T_COVER_FROM, T_COVER_REST, T_SWEEP, T_REVERSAL, T_AT_RESET, T_GRID, T_ANCHOR_INT, T_UNIT_INT,
 T_FINER) = range(10)  # fmt: skip
KEEP, CAP, RELEVER = range(3)
REST = SAME = -1.0
NEVER = 2**62


@_compiled
def _sell_long(s: Floats, at: int, qty: float, price: float) -> None:
    s[at] -= qty
    s[at + 3] += qty * price


@_compiled
def _buy_long(s: Floats, at: int, qty: float, price: float) -> None:
    s[at] += qty
    s[at + 3] -= qty * price


@_compiled
def _open_short(s: Floats, at: int, qty: float, price: float) -> None:
    short = s[at + 1] + qty
    s[at + 2] = (s[at + 2] * s[at + 1] + price * qty) / short if short > 0 else 0.0
    s[at + 1] = short
    s[at + 3] -= qty * price


@_compiled
def _cover_short(s: Floats, at: int, qty: float, price: float, nothing: float) -> None:
    s[at + 3] += qty * (2 * s[at + 2] - price)
    s[at + 1] -= qty
    if s[at + 1] < nothing:
        # What floats leave over of a short that was covered whole.
        s[at + 1] = s[at + 2] = 0.0


@_compiled
def _change(s: Floats, at: int, long_by: float, short_by: float, price: float, nothing: float) -> None:
    """Legs as `legs_between` orders them, all at one price."""
    if long_by < 0:
        _sell_long(s, at, -long_by, price)
    if short_by < 0:
        _cover_short(s, at, -short_by, price, nothing)
    if short_by > 0:
        _open_short(s, at, short_by, price)
    if long_by > 0:
        _buy_long(s, at, long_by, price)
    if s[at] < nothing:
        s[at] = 0.0


@_compiled
def _whole_lots(qty: float, lot: float) -> float:
    return np.floor(qty / lot + 1e-7) * lot if lot > 1e-15 else qty


@_compiled
def _lock_fragments(s: Floats, u: Ints, t: Floats, long_qty: float) -> None:
    s[FRAGMENT_QTY] = t[T_FRAGMENT] * long_qty
    s[FRAGMENT_USD] = s[FRAGMENT_QTY] * (t[T_ANCHOR] + (u[BASE] + u[PEAK]) * t[T_UNIT])


@_compiled
def _step_down(s: Floats, u: Ints, t: Floats, w: Ints, rules: Floats, stack: Floats, price: float) -> None:
    phase, nothing = u[PHASE], t[T_NOTHING]
    if phase == DECLINE:
        if u[UNIT] < u[VALLEY]:
            u[VALLEY] = u[UNIT]
            s[HEDGE] = -1.0
        return
    if phase == RECOVERY:
        u[STEPS] -= 1
        _change(s, FOLD, -stack[u[STEPS], 0], -stack[u[STEPS], 1], price, nothing)
        if u[STEPS] == 0:
            u[PHASE] = DECLINE
        return
    depth = u[PEAK] - u[UNIT]
    sold, shorted = rules[depth - 1, 0], rules[depth - 1, 1]
    sold = s[FOLD] if sold == REST else min(sold * s[FRAGMENT_QTY], s[FOLD])
    shorted = sold if shorted == SAME else shorted * s[FRAGMENT_QTY]
    # Both are sales: the last one takes the rounding to the lot.
    excess = sold + shorted - _whole_lots(sold + shorted, t[T_LOT])
    taken = min(shorted, excess)
    shorted, sold = shorted - taken, max(sold - (excess - taken), 0.0)
    _change(s, FOLD, -sold, shorted, price, nothing)
    stack[u[STEPS], 0], stack[u[STEPS], 1] = -sold, shorted
    u[STEPS] += 1
    u[PHASE] = RETRACEMENT
    if depth >= w[T_DEPTH]:
        u[PHASE], u[VALLEY], u[STEPS], s[HEDGE] = DECLINE, u[UNIT], 0, -1.0


@_compiled
def _step_up(s: Floats, u: Ints, t: Floats, w: Ints, stack: Floats, price: float) -> None:
    phase, nothing = u[PHASE], t[T_NOTHING]
    if phase == ADVANCE:
        u[PEAK] = u[UNIT]
        _lock_fragments(s, u, t, s[FOLD])
        return
    if phase == RETRACEMENT:
        u[STEPS] -= 1
        _change(s, FOLD, -stack[u[STEPS], 0], -stack[u[STEPS], 1], price, nothing)
        if u[STEPS] == 0:
            if w[T_REVERSAL]:
                u[RESET_DUE] = 1
            else:
                u[PHASE] = ADVANCE
        return
    height = u[UNIT] - u[VALLEY]
    if s[HEDGE] < 0 and height > 0:
        s[HEDGE] = t[T_HEDGE] * s[FOLD + 1]
    if height < w[T_COVER_FROM]:
        return
    cover = s[FOLD + 1] if height >= w[T_COVER_REST] else min(s[HEDGE], s[FOLD + 1])
    proceeds = cover * (2 * s[FOLD + 2] - price)
    if height >= w[T_SWEEP]:
        spend = max(s[FOLD + 3] + proceeds, 0.0)
    else:
        spend = max(proceeds, 0.0) + max(min(s[FRAGMENT_USD], s[FOLD + 3]), 0.0)
    bought = spend / price
    excess = cover + bought - _whole_lots(cover + bought, t[T_LOT])
    taken = min(bought, excess)
    bought, cover = bought - taken, max(cover - (excess - taken), 0.0)
    _change(s, FOLD, bought, -cover, price, nothing)
    stack[u[STEPS], 0], stack[u[STEPS], 1] = bought, -cover
    u[STEPS] += 1
    u[PHASE] = RECOVERY
    u[RESET_DUE] = height >= w[T_SWEEP]


@_compiled
def _cut(usd: float, step_usd: float) -> float:
    return np.trunc(usd / step_usd + np.sign(usd) * 1e-6) * step_usd if step_usd > 0 else usd


@_compiled
def _fill(s: Floats, u: Ints, t: Floats, qty: float, price: float) -> tuple[float, float]:
    """Average price and fee of an order."""
    slippage = price * t[T_SLIPPAGE] + t[T_SPREAD]
    average = price + (slippage if qty > 0 else -slippage)
    fee = _cut(abs(qty) * average * t[T_FEE], t[T_MONEY_STEP])
    u[ORDERS] += 1
    s[FEES] += fee
    s[SLIPPAGE] += abs(qty) * slippage
    return average, fee


@_compiled
def _send(s: Floats, u: Ints, t: Floats, price: float) -> None:
    """The difference between what is held and what is wanted, if the exchange takes an order of it."""
    long_by, short_by = s[WANTED_LONG] - s[LONG], s[WANTED_SHORT] - s[SHORT]
    qty = long_by - short_by
    nothing = t[T_NOTHING]
    if abs(qty) > nothing and abs(qty) * price >= t[T_MINIMUM] * (1 - 1e-12):
        average, fee = _fill(s, u, t, qty, price)
        _change(s, LONG, long_by, short_by, average, nothing)
        s[CASH] -= fee
        s[LONG], s[SHORT] = s[WANTED_LONG], s[WANTED_SHORT]
    elif abs(qty) <= nothing and (abs(long_by) > nothing or abs(short_by) > nothing):
        _change(s, LONG, long_by, short_by, price, nothing)


@_compiled
def _reset(s: Floats, u: Ints, t: Floats, w: Ints, price: float) -> None:
    residue = min(s[SHORT], s[LONG])
    if residue > 0:
        _change(s, LONG, -residue, -residue, price, t[T_NOTHING])
    pnl = s[LONG] * price + s[SHORT] * (2 * s[ENTRY] - price) + s[CASH] - s[START]
    u[WINS] += pnl > 0
    u[BASE] += u[UNIT]
    u[UNIT] = u[PEAK] = u[VALLEY] = u[STEPS] = u[RESET_DUE] = 0
    u[PHASE] = ADVANCE
    u[CYCLE] += 1
    s[ALLOCATION] += pnl
    s[START] = (s[LONG] + s[SHORT]) * price
    s[ENTRY] = price if s[SHORT] > 0 else 0.0
    s[CASH], s[HEDGE] = 0.0, -1.0
    s[WANTED_LONG], s[WANTED_SHORT] = s[LONG], 0.0
    _lock_fragments(s, u, t, s[LONG])
    if s[SHORT] > 0 or w[T_AT_RESET] == KEEP:
        return
    change = max(s[ALLOCATION] * t[T_LEVERAGE] / price, 0.0) - s[LONG]
    change = np.sign(change) * _whole_lots(abs(change), t[T_LOT])
    if w[T_AT_RESET] == CAP and change > 0:
        return
    if abs(change) <= t[T_NOTHING] or abs(change) * price < t[T_MINIMUM] * (1 - 1e-12):
        return
    average, fee = _fill(s, u, t, change, price)
    s[LONG] += change
    s[START] += change * average + fee
    s[WANTED_LONG] = s[LONG]
    _lock_fragments(s, u, t, s[LONG])


@_compiled
def _line_reached(line: int, point: int, w: Ints) -> int:
    distance = point * w[T_FINER] - w[T_ANCHOR_INT]
    floor = int(distance // w[T_UNIT_INT])
    ceiling = -int((-distance) // w[T_UNIT_INT])
    if w[T_GRID]:
        return floor if distance >= 0 else ceiling
    if floor > line:
        return floor
    return min(ceiling, line)


@_compiled
def _decide(s: Floats, u: Ints, t: Floats, w: Ints, rules: Floats, stack: Floats, reached: int, price: float) -> None:
    """Every unit on the way to line `reached`, all at this price; a RESET ends one decision and begins the next."""
    while u[BASE] + u[UNIT] != reached:
        s[FOLD], s[FOLD + 1], s[FOLD + 2], s[FOLD + 3] = s[LONG], s[SHORT], s[ENTRY], s[CASH]
        _change(s, FOLD, s[WANTED_LONG] - s[LONG], s[WANTED_SHORT] - s[SHORT], price, t[T_NOTHING])
        while u[BASE] + u[UNIT] != reached and not u[RESET_DUE]:
            if reached > u[BASE] + u[UNIT]:
                u[UNIT] += 1
                _step_up(s, u, t, w, stack, price)
            else:
                u[UNIT] -= 1
                _step_down(s, u, t, w, rules, stack, price)
        s[WANTED_LONG], s[WANTED_SHORT] = s[FOLD], s[FOLD + 1]
        _send(s, u, t, price)
        if u[RESET_DUE]:
            _reset(s, u, t, w, price)
    u[DECISIONS] += 1


@_compiled
def _bounds(u: Ints, w: Ints) -> tuple[int, int]:
    """At or below the first point, or at or above the second, the next unit completes."""
    line = u[BASE] + u[UNIT]
    down, up = line - 1, line + 1
    if w[T_GRID] and line > 0:
        # Below its own line, which the band includes.
        return -((-w[T_ANCHOR_INT] - line * w[T_UNIT_INT]) // w[T_FINER]) - 1, _up(up, w)
    if w[T_GRID] and line < 0:
        return (w[T_ANCHOR_INT] + down * w[T_UNIT_INT]) // w[T_FINER], (w[T_ANCHOR_INT] + line * w[T_UNIT_INT]) // w[
            T_FINER
        ] + 1
    return (w[T_ANCHOR_INT] + down * w[T_UNIT_INT]) // w[T_FINER], _up(up, w)


@_compiled
def _up(line: int, w: Ints) -> int:
    return -int((-w[T_ANCHOR_INT] - line * w[T_UNIT_INT]) // w[T_FINER])


@_compiled
def _liquidation_prices(tiers: Floats, offset: float, net: float) -> tuple[float, float]:
    """As `margin.liquidation_prices`; a row of `tiers` is from, to, rate, deduction."""
    side = 1.0 if net > 0 else -1.0
    if net != 0.0:
        for k in range(len(tiers)):
            lower, upper, rate, deduction = tiers[k]
            price = -side * (offset + deduction) / (abs(net) * (1 - side * rate))
            if lower <= abs(net) * price < upper or (price <= 0 and lower == 0):
                return (max(price, 0.0), np.inf) if side > 0 else (0.0, price)
    return 0.0, np.inf


@_compiled
def _left_after_liquidation(s: Floats, t: Floats, tiers: Floats, equity: float, net: float, price: float) -> float:
    notional = abs(net) * price
    needed = 0.0
    for k in range(len(tiers)):
        if tiers[k, 0] <= notional < tiers[k, 1]:
            needed = notional * tiers[k, 2] - tiers[k, 3]
    if 3 * equity < 2 * needed:
        return 0.0
    fee, slippage = _cut(notional * t[T_FEE], t[T_MONEY_STEP]), notional * t[T_SLIPPAGE] + abs(net) * t[T_SPREAD]
    s[FEES] += fee
    s[SLIPPAGE] += slippage
    return float(max(equity - fee - slippage, 0.0))


@_compiled
def _quiet(u: Ints, w: Ints, below: float, above: float, scale: float) -> tuple[int, int]:
    """At or below the first point, or at or above the second, something happens."""
    low, high = _bounds(u, w)
    low = max(low, int(np.ceil(below * scale)) - 1)
    return low, min(high, int(min(above * scale, 4e18)) + 1)


@_compiled
def _see(s: Floats, equity: float) -> None:
    """As `EquityCurve.see`."""
    if equity > s[PEAK_USD]:
        s[PEAK_USD] = equity
    elif equity < s[DEEPER]:
        fall = s[PEAK_USD] - equity
        s[DRAWDOWN_USD] = max(s[DRAWDOWN_USD], fall)
        s[DRAWDOWN] = max(s[DRAWDOWN], fall / s[PEAK_USD])
    else:
        return
    s[DEEPER] = max(s[PEAK_USD] - s[DRAWDOWN_USD], s[PEAK_USD] * (1 - s[DRAWDOWN]))


@_compiled
def _note(trace: Ints, figures: Floats, s: Floats, u: Ints, row: int, equity: float) -> None:
    at = u[DECISIONS] - 1
    if at < len(trace):
        trace[at, 0] = row
        for k in range(6):
            trace[at, 1 + k] = u[PHASE + k]
        trace[at, 7] = u[STEPS]
        for k in range(4):
            figures[at, k] = s[LONG + k]
        figures[at, 4], figures[at, 5] = s[ALLOCATION], equity


@_compiled
def _strike(s: Floats, u: Ints, t: Floats, rates: Floats, days: Floats, day: int, hour: int, price: float) -> int:
    """What `Session.strike` does at one full hour, or at midnight when there is no funding; the days so far."""
    offset, net = s[ALLOCATION] - s[START] + s[SHORT] * 2 * s[ENTRY] + s[CASH], s[LONG] - s[SHORT]
    if hour % 24 == 0:
        days[day] = offset + net * price
        day += 1
    if len(rates):
        paid = -_cut(-net * price * rates[0], t[T_MONEY_STEP])
        s[FUNDING] += paid
        s[CASH] -= paid
    return day


@_compiled
def walk(
    points: Ints, times_ms: Ints, rates: Floats, s: Floats, u: Ints, t: Floats, w: Ints, rules: Floats, tiers: Floats,
    days: Floats, trace: Ints, figures: Floats,
) -> float:  # fmt: skip
    """From the entry, the first price, to the last or a liquidation; returns the equity there.

    `points` per row of `times_ms` are 1 or 4; `rates` are funding per full hour after the first time, or empty. Filled
    in: `s` and `u`, equity at each day's end in `days`, and what `_note` keeps of the decisions there is room for.
    """
    stack = np.zeros((len(rules) + w[T_SWEEP] + 1, 2))
    per_row, scale, hour_ms = len(points) // len(times_ms), t[T_SCALE], 3_600_000
    offset, net = s[ALLOCATION] - s[START] + s[CASH], s[LONG]
    below, above = _liquidation_prices(tiers, offset, net)
    low, high = _quiet(u, w, below, above, scale)
    hours = 1 if len(rates) else 24
    next_hour = (times_ms[0] // hour_ms // hours + 1) * hours
    first_hour, day, price = times_ms[0] // hour_ms + 1, 0, points[0] / scale
    _see(s, offset + net * price)
    for row in range(len(times_ms)):
        at = row * per_row
        if times_ms[row] >= next_hour * hour_ms:
            while times_ms[row] >= next_hour * hour_ms:
                day = _strike(s, u, t, rates[next_hour - first_hour :], days, day, next_hour, price)
                next_hour += hours
            offset, net = s[ALLOCATION] - s[START] + s[SHORT] * 2 * s[ENTRY] + s[CASH], s[LONG] - s[SHORT]
            below, above = _liquidation_prices(tiers, offset, net)
            low, high = _quiet(u, w, below, above, scale)
        if per_row == 4 and row:
            # Nearly every candle stays between the lines, the peak and the deepest fall.
            least, most = min(points[at + 1], points[at + 2]), max(points[at + 1], points[at + 2])
            one, other = offset + net * least / scale, offset + net * most / scale
            if least > low and most < high and max(one, other) <= s[PEAK_USD] and min(one, other) >= s[DEEPER]:
                price = points[at + 3] / scale
                u[PRICES] += 4
                continue
        for k in range(at + (row == 0), at + per_row):
            price = points[k] / scale
            u[PRICES] += 1
            if points[k] <= low or points[k] >= high:
                if price < below or price > above:
                    left = _left_after_liquidation(s, t, tiers, offset + net * price, net, price)
                    u[LIQUIDATED_ROW] = row
                    s[PRICE_TAKEN] = price
                    _see(s, left)
                    days[day] = left
                    return left
                reached = _line_reached(u[BASE] + u[UNIT], points[k], w)
                if reached != u[BASE] + u[UNIT]:
                    _decide(s, u, t, w, rules, stack, reached, price)
                    offset, net = s[ALLOCATION] - s[START] + s[SHORT] * 2 * s[ENTRY] + s[CASH], s[LONG] - s[SHORT]
                    below, above = _liquidation_prices(tiers, offset, net)
                    low, high = _quiet(u, w, below, above, scale)
                    _note(trace, figures, s, u, row, offset + net * price)
            _see(s, offset + net * price)
    days[day] = offset + net * price
    return float(offset + net * price)
