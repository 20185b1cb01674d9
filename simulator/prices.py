"""Where the simulator's prices come from: the types every price source shares, and the clock that paces them.

A source is a path: a price per coin as a function of the clock's position. The clock decides when a print of the path
is due, so one clock pauses, speeds up and restarts all sources alike. The market follows the clock; nonces and
order expiry never do, they are wall time.
"""

import asyncio
import math
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol


@dataclass(frozen=True, slots=True)
class PricePoint:
    """One print of a coin: a price in USD at a simulated time in ms UTC."""

    coin: str
    price: Decimal
    time_ms: int


class PriceSource(Protocol):
    """A path of prices per coin, paced by the clock it was made with."""

    coins: tuple[str, ...]

    def initial(self) -> dict[str, Decimal]:
        """The price of each coin at the clock's position when the source was made: the first price of a new path."""

    def stream(self) -> AsyncIterator[PricePoint]:
        """The prints after `initial`, each when it is due. Ends when the path ends: prices then stand still."""

    async def close(self) -> None:
        """Let go of files and sockets. A stream being read ends."""


class PriceSourceError(ValueError):
    """A price source can't be made from what was given. The text names the field, the value and what is allowed."""


class Clock:
    """Simulated time: a position on the path, in seconds, that moves `speed` times as fast as the wall clock.

    `position` (seconds) and `start_ms` (simulated time of position 0, ms UTC) continue a path where a former process
    left it; both are to be stored together. Without `start_ms`, simulated time is wall time at this moment.
    One event loop uses a clock; it is not for threads.
    """

    def __init__(
        self, *, speed: float = 1.0, position: float = 0.0, start_ms: int | None = None, paused: bool = False
    ) -> None:
        if not math.isfinite(position) or position < 0:
            raise ValueError(f"position is {position}: a number of seconds, 0 or more, is allowed")
        self._speed = _checked_speed(speed)
        self._position_s = position
        self._initial_s = position
        self._start_ms = time.time_ns() // 1_000_000 - round(position * 1000) if start_ms is None else start_ms
        self._paused = paused
        self._since_s = time.monotonic()
        self._changed = asyncio.Event()

    @property
    def speed(self) -> float:
        """Simulated seconds per second."""
        return self._speed

    @property
    def paused(self) -> bool:
        """Whether time stands still."""
        return self._paused

    @property
    def is_new(self) -> bool:
        """Whether the clock began at position 0, not where a former process left a path."""
        return self._initial_s == 0

    @property
    def start_ms(self) -> int:
        """Simulated time of position 0, ms UTC."""
        return self._start_ms

    def elapsed_s(self) -> float:
        """The position on the path, in simulated seconds."""
        if self._paused:
            return self._position_s
        return self._position_s + (time.monotonic() - self._since_s) * self._speed

    def now_ms(self) -> int:
        """Simulated time, ms UTC."""
        return self.at_ms(self.elapsed_s())

    def at_ms(self, elapsed_s: float) -> int:
        """Simulated time of a position on the path, ms UTC."""
        return self._start_ms + round(elapsed_s * 1000)

    def pause(self) -> None:
        """Hold time, and with it every price. Does nothing on a paused clock."""
        self._change(self.elapsed_s(), paused=True)

    def resume(self) -> None:
        """Let time go on from where it was held. Does nothing on a running clock."""
        self._change(self.elapsed_s(), paused=False)

    def set_speed(self, speed: float) -> None:
        """Change the pace from here on. ValueError unless speed is above 0."""
        _checked_speed(speed)
        self._change(self.elapsed_s(), paused=self._paused)
        self._speed = speed

    def seek(self, elapsed_s: float) -> None:
        """Jump ahead. What lies between is printed at once, in order. ValueError for a position that has passed."""
        now_s = self.elapsed_s()
        if not math.isfinite(elapsed_s) or elapsed_s < now_s:
            raise ValueError(f"elapsed_s is {elapsed_s}: the path is at {now_s:.3f} s and can only go on from there")
        self._change(elapsed_s, paused=self._paused)

    async def wait_until(self, elapsed_s: float) -> None:
        """Return once the position has reached `elapsed_s`, however often the clock is paused or changed meanwhile."""
        while (remaining_s := elapsed_s - self.elapsed_s()) > 0:
            if self._paused:
                await self._changed.wait()
                continue
            try:
                async with asyncio.timeout(remaining_s / self._speed):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def _change(self, position_s: float, *, paused: bool) -> None:
        self._position_s = position_s
        self._since_s = time.monotonic()
        self._paused = paused
        # Everyone who waits computes anew; whoever waits from here on waits for the next change.
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()


def _checked_speed(speed: float) -> float:
    if not math.isfinite(speed) or speed <= 0:
        raise ValueError(f"speed is {speed}: a number above 0 is allowed (pause() holds the clock)")
    return speed
