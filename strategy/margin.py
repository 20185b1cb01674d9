"""What a portfolio does to a trade: it takes money out, puts some in, and has a cycle end where it is."""

from decimal import Decimal

from strategy.fibonacci import Fibonacci
from strategy.fold import Reset, full_position, reset, resizing_to, within_limits
from strategy.state import TradeState
from strategy.values import ZERO, exact, plain


@exact
def paid_out(state: TradeState, usd: Decimal, price: Decimal) -> TradeState:
    """With `usd` less (negative: more) to trade with. Only at 100% long, with no order on its way.

    The position that the trade wants changes as its equity does, whatever its rule at a RESET: half the money, half the
    position. So does the peak of the equity, for a payout is no drawdown, and does not make one deeper.
    """
    if not usd:
        return state
    before_usd = state.equity(price)
    after_usd = before_usd - usd
    paid = state.changed(allocation=plain(state.allocation - usd), taken_usd=plain(state.taken_usd + usd))
    if before_usd > 0 and state.wanted_long:
        factor = max(after_usd, ZERO) / before_usd
        peak_usd, long_qty = state.equity_peak_usd * factor, state.wanted_long * factor
    else:
        # Nothing is left that could grow.
        peak_usd, long_qty = after_usd, full_position(paid, price)
    paid = paid.changed(equity_peak_usd=plain(peak_usd))
    if _has_a_rest_of_its_short(state):
        return paid
    return resizing_to(paid, within_limits(paid, long_qty, price), price)


def _has_a_rest_of_its_short(state: TradeState) -> bool:
    """Of a ladder worn down, which goes with its next order."""
    return bool(state.ledger.short_qty) and not (state.resizing or isinstance(state.terms.ladder, Fibonacci))


@exact
def begun_anew(state: TradeState, price: Decimal) -> Reset:
    """The cycle ended at `price` in whatever phase it is; one order leads to the position of the next."""
    line = state.grid.line_reached(state.line, price)
    ended = reset(state.changed(current_unit=line - state.base_unit), price)
    fresh = resizing_to(ended.state, full_position(ended.state, price), price)
    return ended.model_copy(update={"state": fresh})
