"""Trades as the exchange tells them, and the tape that has each of them once.

The exchange replays its last trades on every subscription, with no sign that they are a replay, and its trade numbers
(`tid`) are not in order: a trade is new when its number was not seen and its time has not long gone by.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation

TAPE_KEPT = 10_000
"""Trades of a coin that are remembered, 4 MB of them: for those who begin to follow it, and to know a replay."""
FROM_CANDLES, TOLD_AGAIN = 2**60, 2**61
"""Numbers from here on are ours: the exchange's have 53 bits. A workflow knows what it was told by its number."""
LATE_MS_MAX = 5_000
"""So much later than a newer one a trade may come and still be counted."""
CLOCK_BACK_AFTER = 200
"""So many unknown trades in a row from the past are no replay (of about 30): the exchange's clock was set back."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade between others on the exchange. Price in USD per coin, size in coin (positive), time in ms UTC by the
    exchange's clock, `received_ns` when its frame came, by ours. One with a `tid` from FROM_CANDLES on is a price that
    was read from a candle, and has no size."""

    coin: str
    price: Decimal
    size: Decimal
    time_ms: int
    tid: int
    received_ns: int
    after_gap: bool = False
    """There may have been trades just before it that did not reach us."""


def trades_of(data: object, received_ns: int) -> list[Trade]:
    """The trades of a `trades` frame, oldest first. Raises ValueError with the entry that is not one."""
    if not isinstance(data, list):
        raise ValueError(f"the data of a trades frame is a list, not {_short(data)}")
    trades = [_trade(entry, received_ns) for entry in data]
    if trades and trades[0].time_ms > trades[-1].time_ms:
        trades.reverse()
    # Stable: within a millisecond the exchange's own order stands.
    return sorted(trades, key=lambda trade: trade.time_ms)


def _trade(entry: object, received_ns: int) -> Trade:
    try:
        if not isinstance(entry, dict):
            raise TypeError
        trade = Trade(
            coin=entry["coin"],
            price=Decimal(entry["px"]),
            size=Decimal(entry["sz"]),
            time_ms=int(entry["time"]),
            tid=int(entry["tid"]),
            received_ns=received_ns,
        )
        if not isinstance(trade.coin, str) or not trade.price.is_finite() or trade.price <= 0:
            raise ValueError
    except (KeyError, TypeError, ValueError, InvalidOperation) as error:
        raise ValueError(
            f"a trade has coin, px above 0, sz, time and tid; this one does not: {_short(entry)}"
        ) from error
    return trade


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."


def put_in_order(trades: deque[Trade], trade: Trade) -> None:
    """By time; after those of the same millisecond."""
    place = len(trades)
    while place and trades[place - 1].time_ms > trade.time_ms:
        place -= 1
    trades.insert(place, trade)


class Tape:
    """One coin's trades, each once and in rising time."""

    def __init__(self, coin: str, kept: int = TAPE_KEPT) -> None:
        self._coin = coin
        self._trades: deque[Trade] = deque()
        self._tids: set[int] = set()
        self._kept = kept
        self._from_the_past = 0
        self._interrupted = False

    @property
    def recent(self) -> tuple[Trade, ...]:
        return tuple(self._trades)

    def interrupted(self) -> None:
        """The connection ended: the replay that comes next may begin later than the tape ends."""
        self._interrupted = True

    def news(self, trades: Sequence[Trade]) -> list[Trade]:
        """Those of `trades` that are new, the first of them with `after_gap` set if it may be; they are on the tape
        afterwards."""
        missed = self._interrupted and bool(self._trades) and not any(trade.tid in self._tids for trade in trades)
        self._interrupted = self._interrupted and not trades
        news: list[Trade] = []
        for trade in trades:
            told = replace(trade, after_gap=True) if missed and not news else trade
            if self._is_new(told):
                news.append(told)
        return news

    def _is_new(self, trade: Trade) -> bool:
        if trade.tid in self._tids:
            return False
        late = bool(self._trades) and trade.time_ms < self._trades[-1].time_ms
        if late and not self._belongs_between(trade):
            if not self._clock_went_back(trade):
                return False
            late = False
        if not late:
            self._from_the_past = 0
        put_in_order(self._trades, trade)
        self._tids.add(trade.tid)
        if len(self._trades) > self._kept:
            self._tids.discard(self._trades.popleft().tid)
        return True

    def _belongs_between(self, trade: Trade) -> bool:
        """Frames of one moment may change places; what is older than the tape is a replay."""
        return self._trades[0].time_ms < trade.time_ms and self._trades[-1].time_ms - trade.time_ms <= LATE_MS_MAX

    def _clock_went_back(self, trade: Trade) -> bool:
        self._from_the_past += 1
        if self._from_the_past <= CLOCK_BACK_AFTER:
            return False
        times = f"{self._trades[-1].time_ms} to {trade.time_ms}"
        _log.warning("The exchange's clock went back, from %s ms: following it", times, extra={"coin": self._coin})
        self._trades.clear()
        self._tids.clear()
        return True
