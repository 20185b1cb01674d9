"""From prices to one order, and from its fills to the next state.

    decision = decide(state, ticks)           what the prices so far mean: at most one order
    state = booked(decision.state, execution)  the ledger moves by what was filled
    state = reset(state, price)                when `reset_due` and nothing of worth is left to fill

The state wants holdings, the ledger has them; an order is always the difference. So a partial fill needs no special
case, and prices that went and came back within one decision cost nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from strategy.fibonacci import Fibonacci
from strategy.ladder import AtReset
from strategy.ledger import Ledger, settled, strange_legs
from strategy.risk import breach
from strategy.state import TradeState
from strategy.step import step
from strategy.values import (
    QUANTUM,
    ZERO,
    Action,
    Direction,
    Execution,
    Leg,
    Phase,
    Tick,
    Value,
    exact,
    plain,
    quantise,
    round_down,
)


class UnitChange(Value):
    """Units relative to the cycle."""

    from_unit: int
    to_unit: int
    price: Decimal
    time_ms: int


class Decision(Value):
    """What a run of prices means. `rest` are the ticks to fold after a due RESET, the one it happened in included; or
    those beyond `units_max`."""

    state: TradeState
    legs: tuple[Leg, ...]
    unit_changes: tuple[UnitChange, ...]
    price: Decimal
    """The last price folded."""
    rest: tuple[Tick, ...] = ()
    unfinished: bool = False
    """`units_max` were walked: the rest belongs to the same decision."""

    @property
    def order_qty(self) -> Decimal:
        """Signed, in coin; what earlier orders left unfilled is in it."""
        return self.state.net_due


@dataclass(frozen=True, slots=True)
class _Move:
    """The legs of one step done or undone within a fold, and what to go back to should they be cancelled."""

    legs: tuple[Leg, ...]
    before: TradeState

    def is_undone_by(self, legs: tuple[Leg, ...]) -> bool:
        return frozenset(legs) == frozenset(leg.opposite for leg in self.legs)

    def undone(self, after: TradeState) -> TradeState:
        """It never happened, but for the units."""
        hedge = after.hedge
        if hedge is not None and self.before.hedge is not None:
            hedge = hedge.model_copy(update={"sold": self.before.hedge.sold})
        return after.changed(ledger=self.before.ledger, losses=self.before.losses, hedge=hedge)


@exact
def decide(state: TradeState, ticks: Sequence[Tick], *, units_max: int | None = None) -> Decision:
    """Fold prices in order, every unit between at its own tick's price, up to the first RESET or the breach of a limit.
    `ticks` is not empty.

    A trade that breached a limit is only to be closed: nothing more is folded or due. What a RESET still waits for, or
    leads to, comes before any further unit: then nothing is folded. `units_max` bounds the work of one call.
    """
    price = ticks[0].price
    if state.breach is not None:
        return Decision(state=state, legs=(), unit_changes=(), price=price)
    if state.resizing and not order_worth_sending(state, price):
        state = unresized(state)
    if state.reset_due or state.resizing:
        return Decision(state=state, legs=state.legs_due, unit_changes=(), price=price, rest=tuple(ticks))
    folded = state.changed(ledger=_as_wanted(state, price))
    moves: list[_Move] = []
    changes: list[UnitChange] = []
    rest: tuple[Tick, ...] = ()
    walked, unfinished = 0, False
    for index, tick in enumerate(ticks):
        price, before = tick.price, folded.current_unit
        reached = folded.grid.line_reached(folded.line, price)
        while folded.line != reached and not folded.reset_due and walked != units_max:
            walked += 1
            folded = _one_unit(folded, Direction.UP if reached > folded.line else Direction.DOWN, price, moves)
        if folded.current_unit != before:
            changes.append(UnitChange(from_unit=before, to_unit=folded.current_unit, price=price, time_ms=tick.time_ms))
            folded = watched(folded, price, state.ledger)
        if folded.breach is not None:
            return Decision(
                state=_only_to_close(folded, state.ledger), legs=(), unit_changes=tuple(changes), price=price
            )
        unfinished = folded.line != reached and not folded.reset_due
        if folded.reset_due or unfinished:
            rest = tuple(ticks[index:])
            break
    wanted = folded.ledger
    return Decision(
        state=folded.changed(ledger=state.ledger, wanted_long=wanted.long_qty, wanted_short=wanted.short_qty),
        legs=state.legs_due + tuple(leg for move in moves for leg in move.legs),
        unit_changes=tuple(changes),
        price=price,
        rest=rest,
        unfinished=unfinished,
    )


@exact
def watched(state: TradeState, price: Decimal, held: Ledger) -> TradeState:
    """Equity is looked at where units complete: of what is held, for of many prices told at once all but the last are
    history, and a paused trade sends nothing. A leg at its own price doesn't change it."""
    equity_usd = state.changed(ledger=held).equity(price)
    peak_usd = max(state.equity_peak_usd, equity_usd)
    broken = breach(
        state.terms.limits,
        price=price,
        margin_usd=state.margin_usd,
        peak_usd=peak_usd,
        equity_usd=equity_usd,
        taken_usd=state.taken_usd,
    )
    return state.changed(equity_peak_usd=peak_usd, breach=broken)


def _only_to_close(state: TradeState, ledger: Ledger) -> TradeState:
    return state.changed(
        ledger=ledger, wanted_long=ledger.long_qty, wanted_short=ledger.short_qty, reset_due=False, resizing=False
    )


def _as_wanted(state: TradeState, price: Decimal) -> Ledger:
    """The ledger as if what is still due were filled at `price`."""
    return settled(state.ledger, state.legs_due, Execution(size=state.net_due, average_price=price))


def _one_unit(state: TradeState, direction: Direction, price: Decimal, moves: list[_Move]) -> TradeState:
    after, legs = step(state, direction, price)
    if not legs:
        return after
    if moves and moves[-1].is_undone_by(legs):
        # Done and undone before any order was sent.
        return moves.pop().undone(after)
    moves.append(_Move(legs, state))
    return after


@exact
def order_worth_sending(state: TradeState, price: Decimal) -> Decimal:
    """The order due if the exchange takes it, else 0: less than its minimum is dust and goes with the next order."""
    order_qty = state.net_due
    return order_qty if abs(order_qty) * price >= max(state.terms.min_notional_usd, QUANTUM) else ZERO


@exact
def booked(state: TradeState, execution: Execution) -> TradeState:
    """The ledger moved by what an order really did. Legs that cancelled each other book with a size of 0."""
    if state.resizing:
        return _resized(state, execution)
    return state.changed(ledger=settled(state.ledger, state.legs_due, execution))


def _resized(state: TradeState, execution: Execution) -> TradeState:
    """A resize moves the cycle's start notional, not its cash: the cycle begins with what it leaves."""
    before = state.ledger
    filled = settled(before, state.legs_due, execution)
    entry_price = execution.average_price
    if state.hedge is not None and before.long_qty and filled.long_qty:
        bought_usd = max(filled.long_qty - before.long_qty, ZERO) * execution.average_price
        entry_price = (before.long_qty * state.hedge.entry_price + bought_usd) / max(before.long_qty, filled.long_qty)
    after = state.changed(
        ledger=filled.model_copy(update={"cash": before.cash}),
        start_notional=state.start_notional + before.cash - filled.cash,
    ).whole(filled.long_qty, entry_price)
    return after if order_worth_sending(after, execution.average_price) else unresized(after)


def unresized(state: TradeState) -> TradeState:
    """With what is held, for the order to the allocation is dust or given up: the next RESET compares again. A fractal
    that bought nothing waits for the next re-entry."""
    after = state.changed(wanted_long=state.ledger.long_qty, resizing=False)
    return after.changed(phase=Phase.DECLINE) if after.hedge is not None and not after.wanted_long else after


class Reset(Value):
    """A cycle's end. `state` is the next cycle's; `resizing` in it says that an order to the new size is due."""

    state: TradeState
    cycle: int
    price: Decimal
    pnl_usd: Decimal


@exact
def reset(state: TradeState, price: Decimal) -> Reset:
    """Begin the next cycle: profit or loss goes to the allocation, units count from here, the grid stays."""
    ledger = state.ledger
    # A short too small to be ordered is closed against the long; the exchange's net does not change.
    residue = min(ledger.short_qty, ledger.long_qty)
    if residue:
        for action in (Action.SELL_LONG, Action.COVER_SHORT):
            ledger = ledger.moved(Leg(action=action, qty=residue), price)
    pnl_usd = plain(ledger.value(price) - state.start_notional)
    # Without a long to close it against (a ladder worn down to less than one order) it stays due, at today's price; a
    # new fractal covers it with its first order.
    long_qty, short_left = ledger.long_qty, ledger.short_qty
    fresh = state.changed(
        phase=Phase.ADVANCE,
        base_unit=state.line,
        current_unit=0,
        peak_unit=0,
        valley_unit=0,
        cycle=state.cycle + 1,
        allocation=plain(state.allocation + pnl_usd),
        start_notional=plain((long_qty + short_left) * price),
        ledger=Ledger(long_qty=long_qty, short_qty=short_left, short_entry=price if short_left else ZERO),
        wanted_long=long_qty,
        wanted_short=ZERO,
        hedge_qty=None,
        steps=(),
        reset_due=False,
    ).whole(long_qty, price)
    return Reset(state=_with_resize(fresh, price), cycle=state.cycle, price=price, pnl_usd=pnl_usd)


def _with_resize(state: TradeState, price: Decimal) -> TradeState:
    is_hedge = isinstance(state.terms.ladder, Fibonacci)
    if state.ledger.short_qty and not is_hedge:
        return state
    full_qty = full_position(state, price)
    at_reset = AtReset.RELEVER if is_hedge else state.terms.at_reset
    if at_reset is AtReset.KEEP or (at_reset is AtReset.CAP and full_qty > state.ledger.long_qty):
        return state
    return resizing_to(state, full_qty, price)


def full_position(state: TradeState, price: Decimal) -> Decimal:
    """What the allocation buys at `price` with the trade's leverage, within its limits."""
    notional_usd = max(state.allocation * state.terms.leverage, ZERO)
    return within_limits(state, notional_usd / price, price)


def within_limits(state: TradeState, long_qty: Decimal, price: Decimal) -> Decimal:
    most_usd = state.terms.limits.max_position_usd
    return long_qty if most_usd is None else min(long_qty, most_usd / price)


def resizing_to(state: TradeState, long_qty: Decimal, price: Decimal) -> TradeState:
    """Wants the order to so much, in whole lots from what is held; as it is where the exchange would not take it."""
    terms, held_qty = state.terms, state.ledger.long_qty
    change = round_down(quantise(long_qty - held_qty), terms.lot)
    if abs(change) * price < max(terms.min_notional_usd, QUANTUM):
        return unresized(state)
    return state.changed(wanted_long=held_qty + change, resizing=True)


@exact
def regridded(state: TradeState, price: Decimal, unit_size: Decimal) -> TradeState:
    """A new grid at `price` with all units 0. Only while fully long: steps belong to the lines they were taken at."""
    if not state.fully_long:
        raise ValueError(f"unit_size can change only at 100% long in ADVANCE; the trade is in {state.phase}")
    grid = state.grid.model_validate({**state.grid.model_dump(), "anchor_price": price, "unit_size": unit_size})
    fresh = state.changed(grid=grid, base_unit=0, current_unit=0, peak_unit=0, valley_unit=0)
    # What is still due counts as filled, as it does everywhere in the fold.
    entry_price = state.hedge.entry_price if state.hedge else price
    return fresh.whole(state.wanted_long, entry_price)


@exact
def corrected(state: TradeState, execution: Execution) -> TradeState:
    """The ledger after a trade on the exchange that was not ours. What the strategy wants stays: the rest is due."""
    state = unresized(state) if state.resizing else state
    ledger = state.ledger
    for leg in strange_legs(ledger, execution.size):
        ledger = ledger.moved(leg, execution.average_price)
    return state.changed(ledger=ledger.charged(execution.fee_usd))


@exact
def adopted(state: TradeState, price: Decimal, leverage: int) -> TradeState:
    """A new cycle that begins at `price` with what is held, as its 100% long. The net held must be long."""
    if state.ledger.net_qty <= 0:
        raise ValueError(f"the position is {state.ledger.net_qty:f} {state.terms.coin}; a cycle begins with a long")
    line = state.grid.line_reached(state.line, price)
    here = state.changed(
        terms=state.terms.model_copy(update={"leverage": leverage}), current_unit=line - state.base_unit
    )
    fresh = reset(here, price).state
    return fresh.changed(wanted_long=fresh.ledger.long_qty, resizing=False)


def turning_points(ticks: Sequence[Tick]) -> list[Tick]:
    """The first, the last and every tick where the price turned: all that units and phases depend on."""
    kept = list(ticks[:1])
    for tick, following in pairwise(ticks[1:]):
        if (tick.price - kept[-1].price) * (following.price - tick.price) < 0:
            kept.append(tick)
    return kept + list(ticks[1:][-1:])
