"""`hypertrader feed prices COIN`: the price stream, for people to look at."""

import sys
from datetime import UTC, datetime
from typing import TextIO

from feed.connection import Timing
from feed.endpoints import price_endpoints
from feed.stream import PriceStream
from feed.trades import Trade
from settings import Settings


async def print_prices(
    coin: str, settings: Settings, *, out: TextIO | None = None, timing: Timing | None = None
) -> None:
    """A line for every trade of the coin, through all disconnects, until cancelled.
    Raises UnknownCoin, and exchange.network.SetupRefused if the settings allow no exchange."""
    out = out or sys.stdout
    endpoints = price_endpoints(settings)
    async with PriceStream(endpoints.ws_url, info_url=endpoints.info_url, timing=timing) as stream:
        async with stream.trades(coin) as trades:
            async for trade in trades:
                out.write(f"{line_of(trade)}\n")
                out.flush()


def line_of(trade: Trade) -> str:
    """Like `[2025-08-24 21:45:10] ETH Price: $3450.25`: the trade's time in UTC, its price as the exchange gives it."""
    at = datetime.fromtimestamp(trade.time_ms / 1000, UTC)
    return f"[{at:%Y-%m-%d %H:%M:%S}] {trade.coin} Price: ${trade.price:f}"
