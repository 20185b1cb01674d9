"""The Fibonacci hedge, one unit at a time.

What is to be held follows from the level, the stops and the quantity that was bought, never from what was held before:
so whatever is undone is undone exactly.
"""

from decimal import Decimal

from strategy.fibonacci import Fibonacci, Hedge, Sold
from strategy.ledger import legs_between
from strategy.phases import FIBONACCI_TRANSITIONS, check_transition
from strategy.state import Losses, TradeState
from strategy.values import ONE, ZERO, Action, Direction, Leg, Phase, plain, round_down

Moved = tuple[TradeState, tuple[Leg, ...]]


def hedge_step(state: TradeState, direction: Direction, price: Decimal) -> Moved:
    """The state one unit on, and the legs it takes. After `reset_due` a `reset` has to come first."""
    unit = state.current_unit + (1 if direction is Direction.UP else -1)
    moved = state.changed(current_unit=unit)
    after, legs = _waiting(moved) if state.phase is Phase.DECLINE else _acted(moved, price)
    check_transition(state.phase, direction, None if after.reset_due else after.phase, FIBONACCI_TRANSITIONS)
    return after, legs


def level_price(plan: Fibonacci, entry_price: Decimal, high_price: Decimal, level: int) -> Decimal:
    """Where level 1, 2, ... lies; it acts at the first completed line at or below."""
    return high_price - plan.levels[level - 1].at * (high_price - entry_price)


def level_prices(state: TradeState) -> tuple[Decimal, ...]:
    """Of each level; empty before the hedge is armed."""
    if state.hedge is None:
        return ()
    plan, hedge = _hedge_of(state)
    high_price, gain = _gain(state, hedge)
    if gain < plan.min_gain_units * state.grid.unit_size:
        return ()
    numbers = range(1, len(plan.levels) + 1)
    return tuple(plain(level_price(plan, hedge.entry_price, high_price, number)) for number in numbers)


def _waiting(state: TradeState) -> Moved:
    """Nothing is held: the low is followed until the price has risen from it."""
    plan, _ = _hedge_of(state)
    valley = min(state.valley_unit, state.current_unit)
    return state.changed(valley_unit=valley, reset_due=state.current_unit - valley >= plan.reentry_units), ()


def _acted(state: TradeState, price: Decimal) -> Moved:
    plan, hedge = _hedge_of(state)
    unit = state.current_unit
    valley = min(state.valley_unit, unit) if state.ledger.short_qty else unit
    state = state.changed(peak_unit=max(state.peak_unit, unit), valley_unit=valley)
    hedge = _after_stops(state, plan, hedge)
    hedge = hedge.model_copy(update={"level": _level(state, plan, hedge)})
    if state.current_unit >= state.peak_unit:
        hedge = hedge.model_copy(update={"level": 0, "short_stopped": False, "long_stopped": False})
    long_qty, short_qty = _holdings(plan, hedge, state.terms.lot)
    legs = legs_between(state.ledger, long_qty, short_qty)
    phase = _phase(hedge, long_qty, short_qty)
    if phase is Phase.DECLINE:
        state = state.changed(valley_unit=state.current_unit)
    return _traded(state, hedge, legs, price).changed(phase=phase), legs


def _after_stops(state: TradeState, plan: Fibonacci, hedge: Hedge) -> Hedge:
    """Both trail completed lines only: the short's the lowest since it was opened, the long's the highest."""
    line_price = state.grid.line_price(state.line)
    stops: dict[str, bool] = {}
    if state.ledger.short_qty and plan.short_trailing_stop is not None:
        low_price = state.grid.line_price(state.base_unit + state.valley_unit)
        stops["short_stopped"] = hedge.short_stopped or line_price >= low_price * (1 + plan.short_trailing_stop)
    if state.ledger.long_qty and plan.long_trailing_stop is not None:
        high_price = state.grid.line_price(state.base_unit + state.peak_unit)
        stops["long_stopped"] = hedge.long_stopped or line_price <= high_price * (1 - plan.long_trailing_stop)
    return hedge.model_copy(update=stops)


def _level(state: TradeState, plan: Fibonacci, hedge: Hedge) -> int:
    high_price, gain = _gain(state, hedge)
    if gain < plan.min_gain_units * state.grid.unit_size:
        return 0
    given_back = high_price - state.grid.line_price(state.line)
    reached = sum(given_back >= level.at * gain for level in plan.levels)
    level = max(hedge.level, reached)
    while level > reached and given_back <= (plan.levels[level - 1].at - plan.release) * gain:
        level -= 1
    return level


def _gain(state: TradeState, hedge: Hedge) -> tuple[Decimal, Decimal]:
    """The highest line since the entry, and how far above the entry it is."""
    high_price = state.grid.line_price(state.base_unit + state.peak_unit)
    return high_price, high_price - hedge.entry_price


def _holdings(plan: Fibonacci, hedge: Hedge, lot: Decimal) -> tuple[Decimal, Decimal]:
    """Long and short in whole lots each, so that either can be traded alone."""
    level = plan.levels[hedge.level - 1] if hedge.level else None
    long_share, short_share = (level.long, level.short) if level else (ONE, ZERO)
    long_qty = ZERO if hedge.long_stopped else round_down(long_share * hedge.full_qty, lot)
    return long_qty, ZERO if hedge.short_stopped else round_down(short_share * hedge.full_qty, lot)


def _phase(hedge: Hedge, long_qty: Decimal, short_qty: Decimal) -> Phase:
    if short_qty:
        return Phase.RETRACEMENT
    if not long_qty:
        return Phase.DECLINE
    return Phase.RECOVERY if hedge.level else Phase.ADVANCE


def _traded(state: TradeState, hedge: Hedge, legs: tuple[Leg, ...], price: Decimal) -> TradeState:
    """The ledger after the legs, and what they lost beyond the plan: to a gap, and by undoing at a worse price."""
    ledger, line_price = state.ledger, state.grid.line_price(state.line)
    gap_usd, whipsaw_usd, sold = state.losses.gap_usd, state.losses.whipsaw_usd, hedge.sold
    for leg in legs:
        gap_usd += max(leg.signed_qty * (price - line_price), ZERO)
        match leg.action:
            case Action.SELL_LONG:
                sold = (*sold, Sold(qty=leg.qty, price=price))
            case Action.BUY_LONG:
                sold, lost_usd = _bought_back(sold, leg.qty, price)
                whipsaw_usd += lost_usd
            case Action.COVER_SHORT:
                whipsaw_usd += max(leg.qty * (price - ledger.short_entry), ZERO)
            case Action.OPEN_SHORT:
                pass
        ledger = ledger.moved(leg, price)
    hedge = hedge.model_copy(update={"sold": sold})
    return state.changed(ledger=ledger, hedge=hedge, losses=Losses(gap_usd=gap_usd, whipsaw_usd=whipsaw_usd))


def _bought_back(sold: tuple[Sold, ...], qty: Decimal, price: Decimal) -> tuple[tuple[Sold, ...], Decimal]:
    """What is left of `sold`, and what buying `qty` of it at `price` costs more than it brought."""
    lost_usd = ZERO
    while qty and sold:
        last = sold[-1]
        taken = min(qty, last.qty)
        lost_usd += max(taken * (price - last.price), ZERO)
        qty -= taken
        left = (Sold(qty=last.qty - taken, price=last.price),) if taken < last.qty else ()
        sold = (*sold[:-1], *left)
    return sold, lost_usd


def _hedge_of(state: TradeState) -> tuple[Fibonacci, Hedge]:
    plan, hedge = state.terms.ladder, state.hedge
    assert isinstance(plan, Fibonacci) and hedge is not None
    return plan, hedge
