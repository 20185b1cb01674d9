"""Candles of every interval Hyperliquid has, from the prints, in its wire shape.

Intervals count from the epoch, weeks too (they begin on Thursdays, as on the real exchange); months are calendar
months, UTC. Time without a print gives flat candles at the last close, with no volume and no trades.
"""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

CANDLES_MAX = 5000
_MINUTE_MS = 60_000
_MONTH = "1M"
_INTERVALS_MS = {
    "1m": _MINUTE_MS,
    "3m": 3 * _MINUTE_MS,
    "5m": 5 * _MINUTE_MS,
    "15m": 15 * _MINUTE_MS,
    "30m": 30 * _MINUTE_MS,
    "1h": 60 * _MINUTE_MS,
    "2h": 120 * _MINUTE_MS,
    "4h": 240 * _MINUTE_MS,
    "8h": 480 * _MINUTE_MS,
    "12h": 720 * _MINUTE_MS,
    "1d": 1440 * _MINUTE_MS,
    "3d": 3 * 1440 * _MINUTE_MS,
    "1w": 7 * 1440 * _MINUTE_MS,
}
INTERVALS = (*_INTERVALS_MS, _MONTH)

WireCandle = dict[str, int | str]
"""`t` and `T` first and last ms, `s` coin, `i` interval, `o` `c` `h` `l` prices and `v` volume in coin as text, `n`."""


@dataclass(slots=True)
class _Candle:
    start_ms: int
    end_ms: int
    """First ms of the next one."""
    open: Decimal
    close: Decimal
    high: Decimal
    low: Decimal
    volume: Decimal = Decimal(0)
    trades: int = 0


class Candles:
    """The newest 5000 candles of each coin and interval, the last of them still forming."""

    def __init__(self) -> None:
        self._series: dict[str, dict[str, deque[_Candle]]] = {}

    def add(self, coin: str, price: Decimal, size: Decimal, time_ms: int) -> None:
        """Take in one print: price in USD, size in coin (positive), time in ms UTC.

        A print older than the forming candle (a clock set back) counts into that candle: what is closed stays.
        """
        for interval, series in self._of(coin).items():
            if not series:
                series.append(_flat(price, *_bounds(interval, time_ms)))
            elif time_ms >= series[-1].end_ms:
                _go_on(series, interval, time_ms)
                series[-1] = _flat(price, series[-1].start_ms, series[-1].end_ms)
            candle = series[-1]
            candle.close = price
            candle.high = max(candle.high, price)
            candle.low = min(candle.low, price)
            candle.volume += size
            candle.trades += 1

    def snapshot(self, coin: str, interval: str, start_ms: int, end_ms: int) -> list[WireCandle]:
        """Candles that begin within start_ms..end_ms, oldest first; nothing for a coin without a print.

        Raises ValueError for an interval there is not; INTERVALS has all.
        """
        series = self._series_of(coin, interval)
        return [_wire(coin, interval, candle) for candle in series if start_ms <= candle.start_ms <= end_ms]

    def forming(self, coin: str, interval: str) -> WireCandle | None:
        """The candle of the last print, as the candle stream sends it."""
        series = self._series_of(coin, interval)
        return _wire(coin, interval, series[-1]) if series else None

    def _of(self, coin: str) -> dict[str, deque[_Candle]]:
        if coin not in self._series:
            self._series[coin] = {interval: deque(maxlen=CANDLES_MAX) for interval in INTERVALS}
        return self._series[coin]

    def _series_of(self, coin: str, interval: str) -> deque[_Candle]:
        if interval not in INTERVALS:
            raise ValueError(f"interval is {interval!r}: {', '.join(INTERVALS)} are allowed")
        return self._series.get(coin, {}).get(interval, deque())


def _go_on(series: "deque[_Candle]", interval: str, time_ms: int) -> None:
    """Append flat candles up to the one that holds `time_ms`, no more than are kept."""
    close = series[-1].close
    start_ms, end_ms = _bounds(interval, time_ms)
    between = list[tuple[int, int]]()
    while start_ms >= series[-1].end_ms and len(between) < CANDLES_MAX:
        between.append((start_ms, end_ms))
        start_ms, end_ms = _bounds(interval, start_ms - 1)
    series.extend(_flat(close, *bounds) for bounds in reversed(between))


def _bounds(interval: str, time_ms: int) -> tuple[int, int]:
    """First ms of the interval that holds a time, and first ms of the next."""
    if interval == _MONTH:
        day = datetime.fromtimestamp(time_ms / 1000, UTC)
        first = datetime(day.year, day.month, 1, tzinfo=UTC)
        following = datetime(day.year + day.month // 12, day.month % 12 + 1, 1, tzinfo=UTC)
        return round(first.timestamp() * 1000), round(following.timestamp() * 1000)
    length_ms = _INTERVALS_MS[interval]
    start_ms = time_ms - time_ms % length_ms
    return start_ms, start_ms + length_ms


def _flat(price: Decimal, start_ms: int, end_ms: int) -> _Candle:
    return _Candle(start_ms, end_ms, open=price, close=price, high=price, low=price)


def _wire(coin: str, interval: str, candle: _Candle) -> WireCandle:
    return {
        "t": candle.start_ms,
        "T": candle.end_ms - 1,
        "s": coin,
        "i": interval,
        "o": _text(candle.open),
        "c": _text(candle.close),
        "h": _text(candle.high),
        "l": _text(candle.low),
        "v": _text(candle.volume),
        "n": candle.trades,
    }


def _text(number: Decimal) -> str:
    """Plain digits with at least one decimal and no other trailing zeros, as Hyperliquid writes market data."""
    digits = f"{number:f}"
    if "." not in digits:
        return digits + ".0"
    digits = digits.rstrip("0")
    return digits + "0" if digits.endswith(".") else digits
