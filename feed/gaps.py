"""The prices between two trades when those between were not heard: the path that one-minute candles tell.

A candle says how far the price went, not in which order: it is taken to have gone from its open to the far end first
(down before it closes up, up before it closes down). Of the minute in which hearing ended or began again, only what
is surely of the time between counts: an extreme beyond everything heard in that minute. So no price is made up,
and what is lost at most is a turn within one of these two minutes.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import chain

from exchange.governor import Governor
from feed.candles import INTERVAL_MS, Candle, CandlesUnread, read_candles
from feed.courier import backoff_s
from feed.info import UNGOVERNED
from feed.tracker import Log
from feed.trades import FROM_CANDLES, Trade

WAIT_S_MAX = 10.0
"""For candles, with live trades waiting. An exchange that streams again and still does not answer questions then is
half broken, and a trade that hears no price at all is worse off than one that misses a turn in the past."""
SETTLE_S = 1.0
"""What is in a forming candle has come over the stream by then, too: the two are not served by the same machine."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Gap:
    """After the trades up to `after_ms`, before the trade `first`."""

    after_ms: int
    first: Trade


class Gaps:
    """Fills the gaps of one coin's prices for one consumer."""

    def __init__(
        self,
        info_url: str | None,
        heard: Callable[[], Sequence[Trade]],
        log: Log = _logger,
        *,
        wait_s: float = WAIT_S_MAX,
        governor: Governor = UNGOVERNED,
    ) -> None:
        """`heard` gives what is known of the coin, trades after the gap too."""
        self._info_url = info_url
        self._heard = heard
        self._log = log
        self._wait_s = wait_s
        self._governor = governor
        self._found: list[Trade] = []
        """The last time: what was told once is not told again for the next gap of the same minute."""

    async def prices(self, gap: Gap) -> list[Trade]:
        """Those of the gap, as trades in order; none if the candles can't be read in time, which is logged."""
        try:
            async with asyncio.timeout(self._wait_s):
                self._found = await self._read(gap)
        except TimeoutError:
            self._log.warning(
                "Prices are missing from %d to %d ms, and the exchange gives no candles: going on without them",
                gap.after_ms,
                gap.first.time_ms,
            )
            return []
        return self._found

    async def _read(self, gap: Gap) -> list[Trade]:
        candles = await self._candles(gap)
        found = path(gap, candles, [*self._heard(), *self._found])
        if found and found[-1].time_ms // INTERVAL_MS == gap.first.time_ms // INTERVAL_MS:
            # A price of the minute in which hearing began again may be one that is just about to be heard.
            await asyncio.sleep(SETTLE_S)
            found = path(gap, candles, [*self._heard(), *self._found])
        return found

    async def _candles(self, gap: Gap) -> Sequence[Candle]:
        if self._info_url is None:
            raise TimeoutError
        failures = 0
        while True:
            try:
                span_ms = gap.after_ms, gap.first.time_ms
                return await read_candles(self._info_url, gap.first.coin, *span_ms, self._governor)
            except CandlesUnread as error:
                failures += 1
                if failures == 1:
                    self._log.warning("Candles can't be read (%s): asking again for %.0f s", error, self._wait_s)
            await asyncio.sleep(backoff_s(failures))


def path(gap: Gap, candles: Sequence[Candle], heard: Sequence[Trade]) -> list[Trade]:
    """The prices of the gap, as trades in order. `heard` is what is known of the coin, before and after the gap."""
    return list(chain.from_iterable(_ticks(gap, candle, _legs(gap, candle, heard)) for candle in candles))


def _legs(gap: Gap, candle: Candle, heard: Sequence[Trade]) -> list[Decimal]:
    if candle.end_ms <= gap.after_ms or candle.start_ms >= gap.first.time_ms:
        return []
    began_before, ends_after = candle.start_ms <= gap.after_ms, candle.end_ms >= gap.first.time_ms
    opening = _last_before(gap, heard) or candle.open if began_before else candle.open
    closing = gap.first.price if ends_after else candle.close
    low: Decimal | None = None
    high: Decimal | None = None
    if not began_before or _all_heard(candle.start_ms, gap, heard):
        known = [trade.price for trade in heard if candle.holds(trade.time_ms)]
        low = candle.low if all(candle.low < price for price in known) else None
        high = candle.high if all(candle.high > price for price in known) else None
    turns = (low, high) if closing >= opening else (high, low)
    legs = (None if began_before else candle.open, *turns, None if ends_after else candle.close)
    return [price for price in legs if price is not None]


def _last_before(gap: Gap, heard: Sequence[Trade]) -> Decimal | None:
    return next(
        (trade.price for trade in reversed(heard) if trade.tid < FROM_CANDLES and trade.time_ms <= gap.after_ms), None
    )


def _all_heard(since_ms: int, gap: Gap, heard: Sequence[Trade]) -> bool:
    """Whether every trade from then until the gap was heard."""
    before = [trade for trade in heard if trade.time_ms <= gap.after_ms and trade.tid < FROM_CANDLES]
    if not before or before[-1].time_ms != gap.after_ms:
        return False
    for trade in reversed(before):
        if trade.time_ms < since_ms:
            return True
        if trade.after_gap:
            break
    return False


def _ticks(gap: Gap, candle: Candle, prices: Sequence[Decimal]) -> list[Trade]:
    """Spread over the part of the candle's minute that is in the gap; never before what was known, and before `first`
    if there is a moment between."""
    to_ms = min(candle.end_ms, gap.first.time_ms - 1)
    from_ms = min(max(candle.start_ms, gap.after_ms + 1), to_ms)
    steps = max(len(prices) - 1, 1)
    return [
        replace(
            gap.first,
            price=price,
            size=Decimal(0),
            time_ms=max(gap.after_ms, from_ms + (to_ms - from_ms) * number // steps),
            tid=FROM_CANDLES + 4 * candle.start_ms + number,
            after_gap=False,
        )
        for number, price in enumerate(prices)
    ]
