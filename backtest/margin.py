"""When the exchange takes a position, and what it leaves. The rules are in docs/backtesting.md.

Between trades equity is a straight line of the price: equity(p) = offset + net * p. It is held against the maintenance
margin of |net| * p, a sum of marginal rates by tier, so the two meet at one price at most.
"""

from collections.abc import Iterator, Sequence
from decimal import Decimal

from backtest.setup import MarginTier
from backtest.summary import Liquidation
from strategy.values import ZERO, exact

NEVER_BELOW, NEVER_ABOVE = ZERO, Decimal("Infinity")


def tier_bands(tiers: Sequence[MarginTier]) -> Iterator[tuple[Decimal, Decimal, Decimal, Decimal]]:
    """Per tier: from this notional, to that one, the rate, and what the rate on all of it counts too much."""
    uppers = [*(tier.lower_bound_usd for tier in tiers[1:]), NEVER_ABOVE][: len(tiers)]
    deduction, rate_before = ZERO, ZERO
    for tier, upper in zip(tiers, uppers, strict=True):
        rate = 1 / Decimal(2 * tier.max_leverage)
        deduction += tier.lower_bound_usd * (rate - rate_before)
        rate_before = rate
        yield tier.lower_bound_usd, upper, rate, deduction


@exact
def maintenance_usd(tiers: Sequence[MarginTier], notional_usd: Decimal) -> Decimal:
    """Half the initial margin at each tier's highest leverage; 0 without tiers."""
    for lower, upper, rate, deduction in tier_bands(tiers):
        if lower <= notional_usd < upper:
            return notional_usd * rate - deduction
    return ZERO


@exact
def liquidation_prices(tiers: Sequence[MarginTier], offset: Decimal, net_qty: Decimal) -> tuple[Decimal, Decimal]:
    """The position is taken below the first price, or above the second."""
    side = 1 if net_qty > 0 else -1
    for lower, upper, rate, deduction in tier_bands(tiers) if net_qty else ():
        price = -side * (offset + deduction) / (abs(net_qty) * (1 - side * rate))
        if lower <= abs(net_qty) * price < upper or (price <= 0 and not lower):
            return (max(price, ZERO), NEVER_ABOVE) if side > 0 else (NEVER_BELOW, price)
    return NEVER_BELOW, NEVER_ABOVE


@exact
def liquidation(
    tiers: Sequence[MarginTier], ts: int, price: Decimal, equity_usd: Decimal, net_qty: Decimal, closing_usd: Decimal
) -> Liquidation:
    """What happened at `price`; `closing_usd` is what selling it all on the book costs in fees and slippage.

    Below two thirds of maintenance the backstop takes the position with everything there is. Otherwise a market order
    closes it; that a large position goes in parts is left out.
    """
    needed = maintenance_usd(tiers, abs(net_qty) * price)
    backstop = 3 * equity_usd < 2 * needed
    return Liquidation(
        ts=ts,
        price=price,
        equity_usd=equity_usd,
        maintenance_usd=needed,
        method="backstop" if backstop else "market",
        left_usd=ZERO if backstop else max(equity_usd - closing_usd, ZERO),
    )
