"""A trade rehearsed: the prices are made up, what follows from them is decided by the code that trades live.

Orders fill whole, at the line that causes them. Their fees and expected slippage are charged in money, so that lines
lie where they would without costs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from strategy.checks import Proposal
from strategy.fold import booked, decide, order_worth_sending, reset
from strategy.ladder import AtReset
from strategy.ledger import legs_between, settled
from strategy.state import Terms, TradeState, opened
from strategy.units import UnitMode
from strategy.values import ZERO, Execution, Leg, Tick, exact, round_down


@dataclass(frozen=True, slots=True)
class Costs:
    """Of an order, as shares of its notional."""

    fee_rate: Decimal
    slippage_rate: Decimal

    def fill(self, size: Decimal, price: Decimal) -> Execution:
        costs_usd = abs(size) * price * (self.fee_rate + self.slippage_rate)
        return Execution(size=size, average_price=price, fee_usd=costs_usd)


@dataclass(frozen=True, slots=True)
class Moment:
    """The trade at a price, and the orders that led to what is held: `size` is their net, in coin."""

    state: TradeState
    price: Decimal
    costs: Costs
    size: Decimal = ZERO
    legs: tuple[Leg, ...] = ()
    traded: Decimal = ZERO
    """Of all orders here, unsigned."""
    ended: str | None = None
    """The limit that closed it; nothing is held."""

    @property
    def fee_usd(self) -> Decimal:
        return self.traded * self.price * self.costs.fee_rate

    @property
    def slippage_usd(self) -> Decimal:
        return self.traded * self.price * self.costs.slippage_rate

    @property
    def equity_usd(self) -> Decimal:
        return self.state.equity(self.price)

    @property
    def loss_usd(self) -> Decimal:
        """Of the margin, were all closed here."""
        closing = self.costs.fill(self.state.ledger.net_qty, self.price)
        return self.state.margin_usd - self.equity_usd + closing.fee_usd


@exact
def rehearsed(
    asked: Proposal, *, at_reset: AtReset = AtReset.CAP, unit_mode: UnitMode = UnitMode.FULL, whole_lots: bool = True
) -> Moment:
    """The trade just opened. Without `whole_lots` any size is taken. Raises ValueError if it buys nothing."""
    costs = Costs(asked.fee_rate, asked.slippage_bps / 10_000)
    of_the_market = {"lot": asked.lot, "min_notional_usd": asked.min_notional_usd} if whole_lots else {}
    terms = Terms(
        coin=asked.coin,
        leverage=asked.leverage,
        ladder=asked.ladder,
        at_reset=at_reset,
        limits=asked.limits,
        **of_the_market,
    )
    size = round_down(asked.margin_usd * asked.leverage / asked.price, terms.lot)
    if size <= 0:
        raise ValueError(
            f"margin is {asked.margin_usd:f}: at {asked.leverage}x and a price of {asked.price:f} it buys less than "
            f"one lot of {terms.lot:f} {asked.coin}"
        )
    bought = costs.fill(size, asked.price)
    state = opened(terms, asked.unit_size, asked.margin_usd, bought, unit_mode=unit_mode)
    return Moment(state, asked.price, costs, size=size, traded=size)


@exact
def moved(moment: Moment, price: Decimal) -> Moment:
    """The trade after one price: decided, filled, through a RESET, closed by a limit."""
    state, costs = moment.state, moment.costs
    size, traded = ZERO, ZERO
    legs: list[Leg] = []
    left: tuple[Tick, ...] = (Tick(price=price, time_ms=0),)
    while left:
        decision = decide(state, left)
        state, left = decision.state, decision.rest
        order = order_worth_sending(state, price)
        if order or (state.legs_due and not state.net_due):
            state = booked(state, costs.fill(order, price))
            size, traded = size + order, traded + abs(order)
            legs.extend(decision.legs)
        if state.reset_due:
            state = reset(state, price).state
    after = Moment(state, price, costs, size=size, legs=tuple(legs), traded=traded)
    return after if state.breach is None else _closed(after, state.breach)


def _closed(moment: Moment, why: str) -> Moment:
    legs = legs_between(moment.state.ledger, ZERO, ZERO)
    order = moment.costs.fill(-moment.state.ledger.net_qty, moment.price)
    return Moment(
        moment.state.changed(ledger=settled(moment.state.ledger, legs, order)),
        moment.price,
        moment.costs,
        size=moment.size + order.size,
        legs=(*moment.legs, *legs),
        traded=moment.traded + abs(order.size),
        ended=why,
    )


def walked(moment: Moment, to_line: int) -> Iterator[Moment]:
    """Line by line, every one a moment, up to `to_line`, to a limit that ends it, or to the last line above 0."""
    while not moment.ended and moment.state.line != to_line:
        line = moment.state.line + (1 if to_line > moment.state.line else -1)
        price = moment.state.grid.line_price(line)
        if price <= 0:
            return
        moment = moved(moment, price)
        if moment.state.line != line:
            # A unit with more digits than are counted with: the line can't be met exactly.
            return
        yield moment
