"""Recorded prices, and how they are read.

A file has columns `ts,price` (ticks) or `ts,open,high,low,close` (candles), `ts` being ms UTC, oldest first, as CSV
(plain, .gz or .zst) or Parquet. A candle is four prices: open, low, high, close if it closed up or unchanged, else
open, high, low, close; all carry its `ts`.

Two readers give the same prices. `read_prices` goes row by row through text, exactly, and words every refusal.
`read_columns` takes whole columns; wherever something is odd it leaves the word to the first.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

TICK_COLUMNS = ("ts", "price")
CANDLE_COLUMNS = ("ts", "open", "high", "low", "close")
LAST_MS = 253_402_300_799_999
"""The end of the year 9999: a time beyond it was not in milliseconds."""
SECONDS = range(10**9, 10**10)
"""From 2001 to 2286, if it is seconds; as milliseconds a few weeks of 1970, when there was nothing to record."""
GAP_MAX_MS = 10 * 365 * 86_400_000
"""No market rests for ten years: one of two times further apart is wrong, and every hour between would be paid for."""


class BadPricesError(ValueError):
    """The file can't be used; the text names the file, the row (0-based, the header not counted) and what is wrong."""


@dataclass(frozen=True, slots=True)
class Span:
    """Times that are wanted: `from_ms` and on, before `to_ms`."""

    from_ms: int = 0
    to_ms: int = LAST_MS + 1

    def __str__(self) -> str:
        return f"{_utc(self.from_ms)} to {_utc(self.to_ms - 1)}"


ALL_TIMES = Span()


def _utc(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}"


@dataclass(frozen=True, slots=True)
class PriceBatch:
    """Consecutive rows of a recording: `times_ms[k]` is the time of row `first_row + k`, and its prices are the
    `per_row` ones from `prices[k * per_row]` on, in the order they are taken to have happened."""

    first_row: int
    times_ms: list[int]
    prices: list[Decimal]
    per_row: int = 1


@dataclass(frozen=True, slots=True)
class Stretch:
    """The same as arrays. A price is `points / 10**decimals`, exactly."""

    first_row: int
    times_ms: NDArray[np.int64]
    points: NDArray[np.int64]
    decimals: int
    per_row: int = 1

    def price(self, index: int) -> Decimal:
        """Exactly; `index` into `points`."""
        return Decimal(int(self.points[index])).scaleb(-self.decimals)

    def since(self, row: int) -> "Stretch":
        """From row `row` of the file on; all of it if that lies before."""
        skipped = max(row - self.first_row, 0)
        return self.rows(skipped, len(self.times_ms))

    def rows(self, start: int, stop: int) -> "Stretch":
        """Rows `start` to `stop` of this stretch; a view."""
        return Stretch(
            self.first_row + start,
            self.times_ms[start:stop],
            self.points[start * self.per_row : stop * self.per_row],
            self.decimals,
            self.per_row,
        )

    def between(self, span: Span) -> "Stretch":
        """The rows in the span; a view."""
        start, stop = np.searchsorted(self.times_ms, [span.from_ms, span.to_ms])
        return self.rows(int(start), int(stop))


def joined(stretches: Iterable[Stretch]) -> Stretch:
    """All of a recording in memory: 8 bytes a time and 8 a price. Raises BadPricesError from the reader."""
    parts = list(stretches)
    decimals = max(part.decimals for part in parts)
    largest = max(int(part.points.max()) * 10 ** (decimals - part.decimals) for part in parts)
    if largest >= 10**18:
        raise BadPricesError(
            f"the prices have {len(str(largest))} digits between the largest and the last decimal; at most 18 can be "
            "counted with at once"
        )
    points = [part.points * 10 ** (decimals - part.decimals) for part in parts]
    return Stretch(
        parts[0].first_row,
        np.concatenate([part.times_ms for part in parts]),
        np.concatenate(points),
        decimals,
        parts[0].per_row,
    )
