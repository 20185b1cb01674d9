"""Orders of a backtest: what they fill at and cost, and how a price becomes orders by the code that trades live."""

from collections.abc import Callable
from decimal import ROUND_DOWN, Decimal

from backtest.setup import CannotOpenError, Setup
from strategy.fold import Reset, booked, decide, order_worth_sending, reset
from strategy.ledger import legs_between, settled
from strategy.state import TradeState, opened
from strategy.values import QUANTUM, ZERO, Execution, Leg, Tick, round_down


class Fills:
    """Orders filled at once, whole, at the tick's price with spread and slippage beyond it; what they cost so far."""

    def __init__(self, setup: Setup) -> None:
        self._fee_rate = setup.fee_bps / 10_000
        self._slippage_rate = setup.slippage_bps / 10_000
        self._half_spread_usd = setup.half_spread_usd
        self._step_usd = setup.money_step_usd
        self.orders = 0
        self.beyond_margin = 0
        """Orders that the equity alone would not carry."""
        self.fees_usd = ZERO
        self.slippage_usd = ZERO

    def execute(self, order_qty: Decimal, price: Decimal) -> Execution:
        slippage = price * self._slippage_rate + self._half_spread_usd
        average_price = price + (slippage if order_qty > 0 else -slippage)
        fee_usd = cut(abs(order_qty) * average_price * self._fee_rate, self._step_usd)
        self.orders += 1
        self.fees_usd += fee_usd
        self.slippage_usd += abs(order_qty) * slippage
        return Execution(size=order_qty, average_price=average_price, fee_usd=fee_usd)

    def closing_costs(self, net_qty: Decimal, price: Decimal) -> tuple[Decimal, Decimal]:
        """Fee and slippage of an order that closes all; nothing is counted."""
        notional_usd = abs(net_qty) * price
        slippage_usd = notional_usd * self._slippage_rate + abs(net_qty) * self._half_spread_usd
        return cut(notional_usd * self._fee_rate, self._step_usd), slippage_usd

    def note_margin(self, state: TradeState, order_qty: Decimal, price: Decimal) -> None:
        """Called with the state before the order."""
        held = state.ledger.net_qty
        after = abs(held + order_qty)
        if after > abs(held) and after * price > state.equity(price) * state.terms.leverage:
            self.beyond_margin += 1


def cut(usd: Decimal, step_usd: Decimal) -> Decimal:
    """Towards zero to a whole number of steps, as the exchange cuts fees and funding; a step of 0 leaves it."""
    return usd.quantize(step_usd, rounding=ROUND_DOWN) if step_usd else usd


UNITS_TO_ZERO_MAX = 1_000_000
"""A finer grid is a slip of the keyboard, and takes for ever to walk. (Live trades allow far fewer units.)"""


def opening(setup: Setup, fills: Fills, price: Decimal) -> TradeState:
    """The trade opened at `price`; raises CannotOpenError if margin * leverage buys less than the market trades, or
    the units are too small for the price."""
    if price > UNITS_TO_ZERO_MAX * setup.unit_size:
        raise CannotOpenError(
            f"unit size is {setup.unit_size:f}: a price of {price:f} would be more than {UNITS_TO_ZERO_MAX} units; "
            f"use at least {price / UNITS_TO_ZERO_MAX:.6g} USD"
        )
    execution = fills.execute(opening_qty(setup, price), price)
    return opened(setup.terms, setup.unit_size, setup.margin_usd, execution, unit_mode=setup.unit_mode)


def opening_qty(setup: Setup, price: Decimal) -> Decimal:
    """What margin * leverage buys, in coin; raises CannotOpenError."""
    qty = round_down(setup.margin_usd * setup.leverage / price, setup.lot)
    if qty * price < max(setup.min_notional_usd, QUANTUM):
        needed = max(setup.min_notional_usd, setup.lot * price) / setup.leverage
        raise CannotOpenError(
            f"margin is {setup.margin_usd:f}: at {setup.leverage}x and a price of {price:f} it opens {qty:f} "
            f"{setup.coin}, worth {qty * price:.6g} USD; an order has to be worth {setup.min_notional_usd:f} USD and "
            f"one lot of {setup.lot:f} {setup.coin}: use at least {needed:.6g} USD"
        )
    return qty


def advance(
    state: TradeState, tick: Tick, fills: Fills, on_reset: Callable[[Reset], None] = lambda _: None
) -> tuple[TradeState, list[Leg]]:
    """The state after one tick, and the legs of its orders, in order.

    A RESET ends one decision and its cycle; what is left of the tick's units, and the new cycle's resize before them,
    are decisions of their own. A breach of a limit closes all that is held.
    """
    traded: list[Leg] = []
    left: tuple[Tick, ...] = (tick,)
    while left:
        decision = decide(state, left)
        state, left = decision.state, decision.rest
        order_qty = order_worth_sending(state, tick.price)
        if order_qty:
            fills.note_margin(state, order_qty, tick.price)
            state = booked(state, fills.execute(order_qty, tick.price))
            traded.extend(decision.legs)
        elif state.legs_due and not state.net_due:
            state = booked(state, Execution(size=ZERO, average_price=tick.price))
            traded.extend(decision.legs)
        if state.reset_due:
            ended = reset(state, tick.price)
            on_reset(ended)
            state = ended.state
    if state.breach is None:
        return state, traded
    closing = legs_between(state.ledger, ZERO, ZERO)
    return _closed(state, closing, tick.price, fills), [*traded, *closing]


def _closed(state: TradeState, legs: tuple[Leg, ...], price: Decimal, fills: Fills) -> TradeState:
    net_qty = state.ledger.net_qty
    closed = fills.execute(-net_qty, price) if net_qty else Execution(size=ZERO, average_price=price)
    return state.changed(ledger=settled(state.ledger, legs, closed), wanted_long=ZERO, wanted_short=ZERO)
