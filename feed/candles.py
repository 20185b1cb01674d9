"""One-minute candles, the finest that the exchange keeps: what there is to know of prices nobody heard."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import aiohttp

from exchange.errors import NotSent
from exchange.governor import Governor
from feed.info import UNGOVERNED, ask

INTERVAL, INTERVAL_MS = "1m", 60_000
TIMEOUT_S = 3.0

_log = logging.getLogger(__name__)


class CandlesUnread(Exception):
    """The exchange did not say; asking again may help."""


@dataclass(frozen=True, slots=True)
class Candle:
    """Prices in USD per coin; times in ms UTC by the exchange's clock, the last one included. The last candle of an
    answer is still forming."""

    start_ms: int
    end_ms: int
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal

    def holds(self, time_ms: int) -> bool:
        return self.start_ms <= time_ms <= self.end_ms


async def read_candles(
    info_url: str, coin: str, from_ms: int, to_ms: int, governor: Governor = UNGOVERNED
) -> Sequence[Candle]:
    """All that hold a moment of `from_ms`..`to_ms`, oldest first; of a longer time the newest 5,000.
    Raises CandlesUnread."""
    asked = {"coin": coin, "interval": INTERVAL, "startTime": from_ms - from_ms % INTERVAL_MS, "endTime": to_ms}
    request = {"type": "candleSnapshot", "req": asked}
    try:
        answer = await ask(info_url, request, timeout_s=TIMEOUT_S, governor=governor)
        return sorted((_candle(entry) for entry in answer), key=lambda candle: candle.start_ms)
    except NotSent as error:
        raise CandlesUnread(str(error)) from error
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError, KeyError, TypeError, InvalidOperation) as error:
        raise CandlesUnread(f"{type(error).__name__}: {error}") from error


def _candle(entry: Any) -> Candle:
    candle = Candle(
        start_ms=int(entry["t"]),
        end_ms=int(entry["T"]),
        open=Decimal(entry["o"]),
        high=Decimal(entry["h"]),
        low=Decimal(entry["l"]),
        close=Decimal(entry["c"]),
    )
    if not (candle.low.is_finite() and candle.high.is_finite() and 0 < candle.low <= candle.high):
        raise ValueError(f"a candle has prices above 0, low to high; this one does not: {entry}")
    if not all(candle.low <= price <= candle.high for price in (candle.open, candle.close)):
        raise ValueError(f"a candle opens and closes between its low and high; this one does not: {entry}")
    return candle
