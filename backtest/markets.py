"""The lots a backtest trades in when it is told to trade as the exchange does."""

from decimal import Decimal

MIN_NOTIONAL_USD = Decimal(10)
"""Hyperliquid takes no smaller order."""

SIZE_DECIMALS = {"BTC": 5, "ETH": 4, "SOL": 2, "HYPE": 2, "DOGE": 0}
"""Decimals of an order's size (`szDecimals` of the exchange's meta), for the common perpetuals."""


def lot_of(coin: str) -> Decimal:
    """The smallest change of a size, in coin. Raises KeyError for a coin that is not in the table."""
    return Decimal(1).scaleb(-SIZE_DECIMALS[coin])
