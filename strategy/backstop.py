"""Where a stop order that nobody watches has to lie: beyond all that the strategy itself would still do."""

from decimal import Decimal
from typing import assert_never

from strategy.fibonacci import Fibonacci
from strategy.hedge_steps import level_prices
from strategy.ladder import Ladder
from strategy.state import Terms, TradeState, opened
from strategy.values import ONE, Execution, Phase, Value, exact, plain


class StopOrder(Value):
    """A reduce-only order for the whole net position. `size` is signed, in coin: a sale protects a long."""

    size: Decimal
    trigger_price: Decimal

    def still_serves(self, wanted: "StopOrder", slack: Decimal, *, may_be_nearer: bool = False) -> bool:
        """It protects as much, is not nearer unless it may be, and at most by the share `slack` of the price further
        away."""
        if self.size != wanted.size:
            return False
        further = (self.trigger_price / wanted.trigger_price - 1) * (1 if wanted.size > 0 else -1)
        return further <= slack and (further >= 0 or may_be_nearer)


@exact
def backstop_of(state: TradeState, beyond: Decimal) -> StopOrder | None:
    """The stop for what the ledger holds, a share of `beyond` further than the last level; None when flat, or where no
    price would ever come to it."""
    net_qty = state.ledger.net_qty
    if not net_qty:
        return None
    trigger_price = last_level(state) * (ONE - beyond if net_qty > 0 else ONE + beyond)
    return StopOrder(size=-net_qty, trigger_price=trigger_price) if trigger_price > 0 else None


@exact
def backstop_refusal(state: TradeState, beyond: Decimal, price: Decimal, maintenance_rate: Decimal) -> str | None:
    """Why such a stop can't guard what is held at `price`: one that liquidation comes before protects nothing."""
    net_qty = state.ledger.net_qty
    stop, liquidation = backstop_of(state, beyond), liquidation_of(state, price, maintenance_rate)
    trigger_price = stop.trigger_price if stop is not None else Decimal(0)
    comes_first = trigger_price <= liquidation if net_qty > 0 else trigger_price >= liquidation
    if not net_qty or not comes_first:
        return None
    return (
        f"backstop.beyond is {beyond}: that is a stop at {plain(trigger_price):.8g}, and liquidation lies before it at "
        f"{plain(liquidation):.8g}: use less, or a lower leverage"
    )


@exact
def liquidation_of(state: TradeState, price: Decimal, maintenance_rate: Decimal) -> Decimal:
    """Of what is held, were the equity it has at `price` all there is; 0 for none."""
    net_qty = state.ledger.net_qty
    if not net_qty:
        return Decimal(0)
    return max((net_qty * price - state.equity(price)) / (net_qty - maintenance_rate * abs(net_qty)), Decimal(0))


@exact
def refusal_at_entry(
    terms: Terms, unit_size: Decimal, margin_usd: Decimal, price: Decimal, beyond: Decimal, maintenance_rate: Decimal
) -> str | None:
    """The same of a trade that is opened at `price`."""
    bought = Execution(size=margin_usd * terms.leverage / price, average_price=price)
    return backstop_refusal(opened(terms, unit_size, margin_usd, bought), beyond, price, maintenance_rate)


@exact
def last_level(state: TradeState) -> Decimal:
    """Of a net long the lowest price at which the strategy acts from here, of a net short the highest."""
    match state.terms.ladder:
        case Ladder() as ladder:
            return _of_the_ladder(state, ladder)
        case Fibonacci() as hedge:
            return _of_the_hedge(state, hedge)
        case _:  # pragma: no cover
            assert_never(state.terms.ladder)


def _of_the_ladder(state: TradeState, ladder: Ladder) -> Decimal:
    is_long = state.ledger.net_qty > 0
    if state.phase in (Phase.ADVANCE, Phase.RETRACEMENT):
        unit = state.peak_unit - ladder.depth if is_long else state.peak_unit
    else:
        unit = state.valley_unit if is_long else state.valley_unit + ladder.sweep_at
    return state.grid.line_price(state.base_unit + unit)


def _of_the_hedge(state: TradeState, plan: Fibonacci) -> Decimal:
    assert state.hedge is not None
    if state.ledger.net_qty < 0:
        if plan.short_trailing_stop is None:
            return state.grid.line_price(state.base_unit + state.peak_unit)
        return state.grid.line_price(state.base_unit + state.valley_unit) * (1 + plan.short_trailing_stop)
    levels = level_prices(state)
    return levels[-1] if levels else min(_exit_price(state), state.hedge.entry_price)


def _exit_price(state: TradeState) -> Decimal:
    """Where a limit closes a long that is not armed; its entry where none does."""
    limits, hedge = state.terms.limits, state.hedge
    assert hedge is not None
    exits = [limits.stop_price] if limits.stop_price is not None else []
    if limits.max_drawdown is not None:
        may_lose_usd = state.equity(hedge.entry_price) - state.equity_peak_usd * (1 - limits.max_drawdown)
        exits.append(hedge.entry_price - may_lose_usd / state.ledger.net_qty)
    return max(exits) if exits else hedge.entry_price
