"""The unit ladder, one unit at a time."""

from decimal import Decimal
from typing import assert_never

from strategy.ladder import Ladder
from strategy.phases import check_transition
from strategy.state import Step, TradeState
from strategy.values import ZERO, Action, Direction, Leg, Phase, fit_to_lot, legs_of, quantise


def ladder_step(state: TradeState, direction: Direction, price: Decimal) -> tuple[TradeState, tuple[Leg, ...]]:
    """The state one unit on, and the legs it takes. After `reset_due` a `reset` has to come first."""
    unit = state.current_unit + (1 if direction is Direction.UP else -1)
    moved = state.changed(current_unit=unit)
    up = direction is Direction.UP
    match state.phase:
        case Phase.ADVANCE:
            # The first full unit off the peak is the whole trigger: no debounce, no timer.
            after, legs = _new_peak(moved) if up else _scale_out(moved, price)
        case Phase.RETRACEMENT:
            after, legs = _back_to_the_peak(*_undo(moved, price)) if up else _scale_out(moved, price)
        case Phase.DECLINE:
            after, legs = _recover(moved, price) if up else _fallen(moved)
        case Phase.RECOVERY:
            after, legs = _recover(moved, price) if up else _back_to_the_decline(*_undo(moved, price))
        case _:  # pragma: no cover
            assert_never(state.phase)
    check_transition(state.phase, direction, None if after.reset_due else after.phase)
    return after, legs


Moved = tuple[TradeState, tuple[Leg, ...]]


def _new_peak(state: TradeState) -> Moved:
    return state.changed(peak_unit=state.current_unit).with_fragments(state.ledger.long_qty), ()


def _fallen(state: TradeState) -> Moved:
    if state.current_unit >= state.valley_unit:
        return state, ()
    return state.changed(valley_unit=state.current_unit, hedge_qty=None), ()


def _executed(state: TradeState, legs: tuple[Leg, ...], price: Decimal) -> TradeState:
    ledger = state.ledger
    for leg in legs:
        ledger = ledger.moved(leg, price)
    return state.changed(ledger=ledger)


def _pushed(state: TradeState, height: int, legs: tuple[Leg, ...], price: Decimal) -> TradeState:
    done = Step(height=height, legs=legs)
    return _executed(state, legs, price).changed(steps=(*state.steps, done))


def _undo(state: TradeState, price: Decimal) -> Moved:
    """The exact opposite of the last step, in coin."""
    legs = tuple(leg.opposite for leg in state.steps[-1].legs)
    return _executed(state, legs, price).changed(steps=state.steps[:-1]), legs


def _back_to_the_peak(state: TradeState, legs: tuple[Leg, ...]) -> Moved:
    if state.steps:
        return state, legs
    if _ladder_of(state).reset_on_full_reversal:
        return state.changed(reset_due=True), legs
    return state.changed(phase=Phase.ADVANCE), legs


def _back_to_the_decline(state: TradeState, legs: tuple[Leg, ...]) -> Moved:
    return (state if state.steps else state.changed(phase=Phase.DECLINE)), legs


def _scale_out(state: TradeState, price: Decimal) -> Moved:
    ladder, long_qty = _ladder_of(state), state.ledger.long_qty
    depth = state.peak_unit - state.current_unit
    rule = ladder.retracement[depth - 1]
    sold = long_qty if rule.sell_long == "rest" else min(rule.sell_long * state.fragment_qty, long_qty)
    shorted = sold if rule.open_short == "same" else rule.open_short * state.fragment_qty
    legs = fit_to_lot(legs_of((Action.SELL_LONG, sold), (Action.OPEN_SHORT, shorted)), state.terms.lot)
    after = _pushed(state, depth, legs, price)
    if depth < ladder.depth:
        return after.changed(phase=Phase.RETRACEMENT), legs
    return after.changed(phase=Phase.DECLINE, valley_unit=state.current_unit, hedge_qty=None, steps=()), legs


def _recover(state: TradeState, price: Decimal) -> Moved:
    ladder = _ladder_of(state)
    height = state.current_unit - state.valley_unit
    if state.hedge_qty is None and height > 0:
        state = state.changed(hedge_qty=quantise(ladder.hedge_fragment * state.ledger.short_qty))
    if height < ladder.cover_from:
        return state, ()
    legs = fit_to_lot(_recovery_legs(state, height, price), state.terms.lot)
    after = _pushed(state.changed(phase=Phase.RECOVERY), height, legs, price)
    return after.changed(reset_due=height >= ladder.sweep_at), legs


def _recovery_legs(state: TradeState, height: int, price: Decimal) -> tuple[Leg, ...]:
    ladder, ledger = _ladder_of(state), state.ledger
    hedge_qty = state.hedge_qty if state.hedge_qty is not None else ledger.short_qty
    cover = ledger.short_qty if height >= ladder.cover_rest_at else min(hedge_qty, ledger.short_qty)
    proceeds = cover * (2 * ledger.short_entry - price)
    if height >= ladder.sweep_at:
        spend = max(ledger.cash + proceeds, ZERO)
    else:
        spend = max(proceeds, ZERO) + max(min(state.fragment_usd, ledger.cash), ZERO)
    return legs_of((Action.COVER_SHORT, cover), (Action.BUY_LONG, spend / price))


def _ladder_of(state: TradeState) -> Ladder:
    assert isinstance(state.terms.ladder, Ladder)
    return state.terms.ladder
