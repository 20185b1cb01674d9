"""What is refused before a trade is opened, each refusal with its figures and what would be allowed."""

from collections.abc import Iterator
from decimal import Decimal

from strategy.ladder import Ladder
from strategy.values import Value, exact, plain

UNITS_TO_ZERO_MAX = 10_000
"""A finer grid than this many units from the price to zero is a slip of the keyboard, and slow to walk in a crash."""
COST_MULTIPLE = 3
"""A unit smaller than this many round trips of costs bleeds: the trader has to confirm it."""


class Plan(Value):
    """A trade as asked for, beside what its market allows. Prices in USD per coin, rates as shares of notional."""

    coin: str
    margin_usd: Decimal
    leverage: int
    unit_size: Decimal
    ladder: Ladder
    price: Decimal
    max_leverage: int
    maintenance_rate: Decimal
    min_notional_usd: Decimal
    lot: Decimal
    fee_rate: Decimal
    slippage_bps: Decimal
    """Expected of a market order, for the cost of a round trip."""
    accepts_costs: bool = False


@exact
def refusals(plan: Plan) -> tuple[str, ...]:
    """Why this trade can't be opened, one sentence each; empty when it can."""
    return tuple(_basic(plan)) or tuple(_of_the_ladder(plan))


def _basic(plan: Plan) -> Iterator[str]:
    if plan.margin_usd <= 0:
        yield f"margin is {plan.margin_usd}; it must be more than 0 USD"
    if plan.unit_size <= 0:
        yield f"unit size is {plan.unit_size}; it must be more than 0 USD"
    if not 1 <= plan.leverage <= plan.max_leverage:
        yield f"leverage is {plan.leverage}; {plan.coin} allows 1 to {plan.max_leverage}"


def _of_the_ladder(plan: Plan) -> Iterator[str]:
    if refusal := grid_refusal(plan.price, plan.unit_size, plan.ladder, plan.leverage, plan.maintenance_rate):
        yield refusal
        return
    smallest = smallest_step_share(plan.ladder)
    notional = plan.margin_usd * plan.leverage
    if notional * smallest < plan.min_notional_usd:
        needed = plan.min_notional_usd / smallest / plan.leverage
        yield (
            f"margin is {_short(plan.margin_usd)}: at {plan.leverage}x the smallest step of {plan.ladder.name} is "
            f"an order of {_short(notional * smallest)} USD and the exchange takes "
            f"{_short(plan.min_notional_usd)} or more: use at least {_short(needed)} USD"
        )
    cost = round_trip_cost(plan)
    if plan.unit_size < COST_MULTIPLE * cost and not plan.accepts_costs:
        yield (
            f"unit size is {_short(plan.unit_size)}: a round trip costs {_short(cost)} USD per coin in fees and "
            f"slippage, {COST_MULTIPLE} times that is {_short(COST_MULTIPLE * cost)}: a trade with smaller "
            f"units bleeds; confirm with --yes or use a larger unit"
        )


@exact
def grid_refusal(
    price: Decimal, unit_size: Decimal, ladder: Ladder, leverage: int, maintenance_rate: Decimal
) -> str | None:
    """Why a ladder of such units can't be laid below `price`; None when it can."""
    units = ladder.depth + 1
    finest = price / UNITS_TO_ZERO_MAX
    if unit_size < finest:
        return (
            f"unit size is {_short(unit_size)}: {_short(price)} would be more than {UNITS_TO_ZERO_MAX} units; "
            f"use at least {_short(finest)} USD"
        )
    lowest = price - units * unit_size
    if lowest <= 0:
        return (
            f"unit size is {_short(unit_size)}; {units} units below {_short(price)} the price would be "
            f"{_short(lowest)}: use less than {_short(price / units)} USD"
        )
    liquidation = liquidation_price(price, leverage, maintenance_rate)
    if liquidation >= lowest:
        return (
            f"leverage is {leverage}: liquidation at {_short(liquidation)} lies inside the ladder, which ends at "
            f"{_short(lowest)}: use a lower leverage or a smaller unit"
        )
    return None


@exact
def liquidation_price(price: Decimal, leverage: int, maintenance_rate: Decimal) -> Decimal:
    """Of a position opened at `price`, were its margin all there is (formula in docs/strategy.md)."""
    return max(price * (1 - (Decimal(1) / leverage - maintenance_rate) / (1 - maintenance_rate)), Decimal(0))


@exact
def smallest_step_share(ladder: Ladder) -> Decimal:
    """The smallest order of the ladder, as a share of the position at the peak."""
    left, short = Decimal(1), Decimal(0)
    orders: list[Decimal] = []
    for rule in ladder.retracement:
        sold = left if rule.sell_long == "rest" else min(rule.sell_long * ladder.fragment, left)
        shorted = sold if rule.open_short == "same" else rule.open_short * ladder.fragment
        left, short = left - sold, short + shorted
        orders.append(sold + shorted)
    first_cover = short * (ladder.hedge_fragment if ladder.cover_from < ladder.cover_rest_at else 1)
    if first_cover:
        # What the cover frees buys about as much again; a falling price makes it more, so twice is the least.
        orders.append(2 * first_cover)
    return min(order for order in orders if order > 0)


@exact
def round_trip_cost(plan: Plan) -> Decimal:
    """Fees and slippage of a sale and a purchase, USD per coin."""
    return plan.price * 2 * (plan.fee_rate + plan.slippage_bps / 10_000)


def _short(number: Decimal) -> str:
    return f"{plain(number):.8g}"
