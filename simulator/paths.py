"""Price paths that are known in advance, and the one place that paces them.

A path is pure: it says which print of which coin stands at which position, and nothing about waiting. `PathSource`
turns any path into a `PriceSource` by letting the clock decide when each print is due.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import NamedTuple, Protocol

from simulator.prices import Clock, PricePoint

_FIVE_FIGURES = Context(prec=5, rounding=ROUND_HALF_EVEN)


class Print(NamedTuple):
    """A price of a coin at a position of the path, in seconds."""

    elapsed_s: float
    coin: str
    price: Decimal


class Path(Protocol):
    """Prices as a function of the position: asked twice, it answers the same."""

    @property
    def coins(self) -> tuple[str, ...]: ...

    def prices_at(self, position_s: float) -> dict[str, Decimal]:
        """The last price of every coin at a position; the first price where nothing has been printed yet."""

    def prints_after(self, position_s: float) -> Iterator[Print]:
        """Prints later than a position, in order of time; within one moment in the order of `coins`."""


class PathSource:
    """A `PriceSource` that plays a path from the clock's position on."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self.coins = path.coins
        self._path = path
        self._clock = clock
        # One position for both, so that no print is lost or doubled between `initial` and `stream`.
        self._from_s = clock.elapsed_s()
        self._waiting: asyncio.Task[None] | None = None
        self._closed = False

    def initial(self) -> dict[str, Decimal]:
        return self._path.prices_at(self._from_s)

    async def stream(self) -> AsyncIterator[PricePoint]:
        for elapsed_s, coin, price in self._path.prints_after(self._from_s):
            if not await self._is_due(elapsed_s):
                return
            yield PricePoint(coin=coin, price=price, time_ms=self._clock.at_ms(elapsed_s))

    async def close(self) -> None:
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _is_due(self, elapsed_s: float) -> bool:
        """Wait for the print's time; False when the source was closed instead."""
        if self._clock.elapsed_s() >= elapsed_s:
            # A path far ahead of its reader still lets the rest of the process run.
            await asyncio.sleep(0)
            return not self._closed
        self._waiting = asyncio.ensure_future(self._clock.wait_until(elapsed_s))
        try:
            await asyncio.wait({self._waiting})
        finally:
            self._waiting.cancel()
        return not self._closed


def rounded_price(price: Decimal) -> Decimal:
    """A computed price as Hyperliquid would write it: five significant figures, whole numbers always allowed."""
    if price >= 10_000:
        return price.quantize(Decimal(1), rounding=ROUND_HALF_EVEN)
    return _FIVE_FIGURES.plus(price)
