"""What is refused before a trade is opened, each refusal with its figures and what would be allowed."""

from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from typing import assert_never

from strategy.fibonacci import Fibonacci
from strategy.ladder import Ladder
from strategy.risk import Limits
from strategy.values import ONE, ZERO, Value, exact, plain

UNITS_TO_ZERO_MAX = 10_000
"""A finer grid than this many units from the price to zero is a slip of the keyboard, and slow to walk in a crash."""
COST_MULTIPLE = 3
"""A unit smaller than this many round trips of costs bleeds: the trader has to confirm it."""


class Proposal(Value):
    """A trade as asked for, beside what its market allows. Prices in USD per coin, rates as shares of notional."""

    coin: str
    margin_usd: Decimal
    leverage: int
    unit_size: Decimal
    ladder: Ladder | Fibonacci
    limits: Limits = Limits()
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
def refusals(plan: Proposal) -> tuple[str, ...]:
    """Why this trade can't be opened, one sentence each; empty when it can."""
    return tuple(_basic(plan)) or tuple(_of_the_limits(plan)) or tuple(_of_the_ladder(plan))


def _basic(plan: Proposal) -> Iterator[str]:
    if plan.margin_usd <= 0:
        yield f"margin is {plan.margin_usd}; it must be more than 0 USD"
    if plan.unit_size <= 0:
        yield f"unit size is {plan.unit_size}; it must be more than 0 USD"
    if not 1 <= plan.leverage <= plan.max_leverage:
        yield f"leverage is {plan.leverage}; {plan.coin} allows 1 to {plan.max_leverage}"


def _of_the_limits(plan: Proposal) -> Iterator[str]:
    limits, notional_usd = plan.limits, plan.margin_usd * plan.leverage
    if limits.max_leverage is not None and plan.leverage > limits.max_leverage:
        yield f"leverage is {plan.leverage}; max_leverage allows {limits.max_leverage}"
    if limits.max_position_usd is not None and notional_usd > limits.max_position_usd:
        yield (
            f"margin is {_short(plan.margin_usd)}: at {plan.leverage}x that is {_short(notional_usd)} USD; "
            f"max_position_usd allows {_short(limits.max_position_usd)}"
        )
    if limits.stop_price is not None and limits.stop_price >= plan.price:
        yield f"stop_price is {_short(limits.stop_price)}; the price is {_short(plan.price)}: a stop lies below it"


def _of_the_ladder(plan: Proposal) -> Iterator[str]:
    if refusal := grid_refusal(
        plan.price, plan.unit_size, plan.ladder, plan.leverage, plan.maintenance_rate, plan.limits
    ):
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
    if isinstance(plan.ladder, Ladder) and plan.unit_size < COST_MULTIPLE * cost and not plan.accepts_costs:
        yield (
            f"unit size is {_short(plan.unit_size)}: a round trip costs {_short(cost)} USD per coin in fees and "
            f"slippage, {COST_MULTIPLE} times that is {_short(COST_MULTIPLE * cost)}: a trade with smaller "
            f"units bleeds; confirm with --yes (accepts_costs of a plan) or use a larger unit"
        )
    if isinstance(plan.ladder, Fibonacci) and not plan.accepts_costs:
        yield from _narrow_release(plan, plan.ladder, cost)


def _narrow_release(plan: Proposal, hedge: Fibonacci, cost: Decimal) -> Iterator[str]:
    """A level that is undone loses at least the release, which is smallest when the hedge has just been armed."""
    way = max(hedge.release * hedge.min_gain_units, ONE) * plan.unit_size
    if way < COST_MULTIPLE * cost:
        yield (
            f"unit size is {_short(plan.unit_size)}: armed after {hedge.min_gain_units} units, a level is undone after "
            f"{_short(way)} USD, and a round trip costs {_short(cost)} USD per coin; {COST_MULTIPLE} times that is "
            f"{_short(COST_MULTIPLE * cost)}: confirm with --yes (accepts_costs of a plan), or use a larger unit, "
            "release or min_gain_units"
        )


@exact
def grid_refusal(
    price: Decimal,
    unit_size: Decimal,
    ladder: Ladder | Fibonacci,
    leverage: int,
    maintenance_rate: Decimal,
    limits: Limits | None = None,
) -> str | None:
    """Why a ladder of such units can't be laid below `price`; None when it can."""
    finest = price / UNITS_TO_ZERO_MAX
    if unit_size < finest:
        return (
            f"unit size is {_short(unit_size)}: {_short(price)} would be more than {UNITS_TO_ZERO_MAX} units; "
            f"use at least {_short(finest)} USD"
        )
    liquidation = liquidation_price(price, leverage, maintenance_rate)
    if isinstance(ladder, Fibonacci):
        return _unguarded(price, unit_size, leverage, liquidation, limits or Limits())
    units = ladder.depth + 1
    lowest = price - units * unit_size
    if lowest <= 0:
        return (
            f"unit size is {_short(unit_size)}; {units} units below {_short(price)} the price would be "
            f"{_short(lowest)}: use less than {_short(price / units)} USD"
        )
    if liquidation >= lowest:
        return (
            f"leverage is {leverage}: liquidation at {_short(liquidation)} lies inside the ladder, which ends at "
            f"{_short(lowest)}: use a lower leverage or a smaller unit"
        )
    return None


def _unguarded(price: Decimal, unit_size: Decimal, leverage: int, liquidation: Decimal, limits: Limits) -> str | None:
    """Before it is armed the hedge does nothing against a fall: a limit has to close the trade before liquidation."""
    if not liquidation:
        return None
    exits = [limits.stop_price] if limits.stop_price is not None else []
    if limits.max_drawdown is not None:
        exits.append(price * (1 - limits.max_drawdown / leverage))
    if not exits:
        return (
            f"leverage is {leverage}: liquidation lies at {_short(liquidation)} and nothing closes the trade before "
            "the hedge is armed: set max_drawdown or stop_price, or use leverage 1"
        )
    lowest = max(exits) - unit_size
    if liquidation >= lowest:
        return (
            f"leverage is {leverage}: liquidation at {_short(liquidation)} lies above the exit at {_short(lowest)}: "
            "use a lower leverage, a smaller unit, max_drawdown or stop_price"
        )
    return None


@exact
def liquidation_price(price: Decimal, leverage: int, maintenance_rate: Decimal) -> Decimal:
    """Of a position opened at `price`, were its margin all there is (formula in docs/strategy.md)."""
    return max(price * (1 - (Decimal(1) / leverage - maintenance_rate) / (1 - maintenance_rate)), Decimal(0))


@exact
def smallest_step_share(ladder: Ladder | Fibonacci) -> Decimal:
    """The smallest order of the ladder, as a share of the position at the peak."""
    match ladder:
        case Ladder():
            return _smallest_of_the_ladder(ladder)
        case Fibonacci():
            return _smallest_of_the_hedge(ladder)
        case _:  # pragma: no cover
            assert_never(ladder)


def _smallest_of_the_hedge(hedge: Fibonacci) -> Decimal:
    """Of the levels, done or undone, and of the stops."""
    held = [(ONE, ZERO), *((level.long, level.short) for level in hedge.levels)]
    orders = [abs(long - deeper) + abs(more - short) for (long, short), (deeper, more) in pairwise(held)]
    # After its stop there is no short: then levels move the long alone.
    orders += [long - deeper for (long, _), (deeper, _) in pairwise(held)]
    orders += [short for _, short in held]
    return min(order for order in orders if order > 0)


def _smallest_of_the_ladder(ladder: Ladder) -> Decimal:
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
def round_trip_cost(plan: Proposal) -> Decimal:
    """Fees and slippage of a sale and a purchase, USD per coin."""
    return plan.price * 2 * (plan.fee_rate + plan.slippage_bps / 10_000)


def _short(number: Decimal) -> str:
    return f"{plain(number):.8g}"
