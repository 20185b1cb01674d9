"""Trades as the exchange tells them, and the tape that has each of them once.

The exchange replays its last trades on every subscription, with no sign that they are a replay, and its trade numbers
(`tid`) are not in order: a trade is new when its number was not seen and its time has not gone by.
"""

import logging
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

TAPE_KEPT = 10_000
"""Trades of a coin that are remembered, 4 MB of them: for those who begin to follow it, and to know a replay."""
CLOCK_BACK_AFTER = 200
"""So many unknown trades in a row from the past are no replay (of about 30): the exchange's clock was set back."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Trade:
    """A trade between others on the exchange. Price in USD per coin, size in coin (positive), time in ms UTC by the
    exchange's clock, `received_ns` when its frame came, by ours."""

    coin: str
    price: Decimal
    size: Decimal
    time_ms: int
    tid: int
    received_ns: int


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
        """Those of `trades` that are new; they are on the tape afterwards."""
        if self._interrupted and trades:
            self._interrupted = False
            self._say_what_is_missing(trades)
        return [trade for trade in trades if self._is_new(trade)]

    def _say_what_is_missing(self, replay: Sequence[Trade]) -> None:
        if self._trades and not any(trade.tid in self._tids for trade in replay):
            gap = f"{self._trades[-1].time_ms} to {replay[0].time_ms}"
            _log.warning("Trades may be missing, from %s ms", gap, extra={"coin": self._coin})

    def _is_new(self, trade: Trade) -> bool:
        if trade.tid in self._tids:
            return False
        if self._trades and trade.time_ms < self._trades[-1].time_ms and not self._clock_went_back(trade):
            return False
        self._from_the_past = 0
        self._trades.append(trade)
        self._tids.add(trade.tid)
        if len(self._trades) > self._kept:
            self._tids.discard(self._trades.popleft().tid)
        return True

    def _clock_went_back(self, trade: Trade) -> bool:
        self._from_the_past += 1
        if self._from_the_past <= CLOCK_BACK_AFTER:
            return False
        times = f"{self._trades[-1].time_ms} to {trade.time_ms}"
        _log.warning("The exchange's clock went back, from %s ms: following it", times, extra={"coin": self._coin})
        self._trades.clear()
        self._tids.clear()
        return True
