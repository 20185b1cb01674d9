"""The markets a backtest trades in when it is told to trade as the exchange does: lots and margin tables."""

from decimal import Decimal

from backtest.setup import MarginTier

MIN_NOTIONAL_USD = Decimal(10)
"""Hyperliquid takes no smaller order."""

SIZE_DECIMALS = {"BTC": 5, "ETH": 4, "SOL": 2, "HYPE": 2, "DOGE": 0}
"""Decimals of an order's size (`szDecimals` of the exchange's meta), for the common perpetuals."""

_MARGIN_TABLES = {
    "BTC": ((0, 40), (150_000_000, 20)),
    "ETH": ((0, 25), (100_000_000, 15)),
    "SOL": ((0, 20), (70_000_000, 10)),
    "HYPE": ((0, 10), (25_000_000, 5)),
    "DOGE": ((0, 10), (25_000_000, 5)),
}
"""(from this notional in USD, at most this leverage), as the exchange published them in 2026."""

LOWEST_MAX_LEVERAGE = 3
"""No perpetual of the exchange allows less: what a coin that is not in the table is taken to allow."""


def lot_of(coin: str) -> Decimal:
    """The smallest change of a size, in coin. Raises KeyError for a coin that is not in the table."""
    return Decimal(1).scaleb(-SIZE_DECIMALS[coin])


def tiers_of(coin: str, leverage: int) -> tuple[MarginTier, ...]:
    """The coin's margin table; of an unknown coin the strictest that allows `leverage`."""
    table = _MARGIN_TABLES.get(coin, ((0, max(LOWEST_MAX_LEVERAGE, leverage)),))
    return tuple(MarginTier(lower_bound_usd=Decimal(bound), max_leverage=most) for bound, most in table)
