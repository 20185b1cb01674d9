"""Asking the exchange until it answers, for a time that has an end. What is asked may be asked any number of times."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from exchange.errors import NotSent, Rejected, Unknown
from exchange.nonces import wall_ms
from exchange.port import Fill

T = TypeVar("T")


class Clock(Protocol):
    """Wall time and waiting."""

    def now_ms(self) -> int: ...
    async def sleep(self, seconds: float) -> None: ...


class WallClock:
    def now_ms(self) -> int:
        return wall_ms()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


WALL_CLOCK = WallClock()


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each kind of uncertainty is waited out."""

    visible_after_s: float = 5.0
    """By then an admitted order and its fills can be read; a second and a half is the most that was seen."""
    skew_s: float = 2.0
    """How far the exchange's clock may be behind ours when we say that an order has expired."""
    give_up_after_s: float = 30.0
    """Without an answer for this long, Unknown is raised, and the next try is left to the caller."""
    pause_s: float = 0.03
    pause_max_s: float = 0.5


class Asking:
    """Questions about one thing that was sent, as `order 0x...`. `asks` counts the requests, for the proof."""

    def __init__(self, what: str, clock: Clock, patience: Patience) -> None:
        self.clock = clock
        self.patience = patience
        self.asks = 0
        self._what = what

    def pauses(self) -> "Pauses":
        return Pauses(self.clock, self.patience)

    def since_s(self, started_ms: int) -> float:
        return (self.clock.now_ms() - started_ms) / 1000

    async def persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer: repeating any of these requests changes nothing.

        Raises Rejected as it comes, and Unknown when there was no answer for `give_up_after_s`.
        """
        started_ms = self.clock.now_ms()
        pauses = self.pauses()
        while True:
            self.asks += 1
            try:
                return await ask()
            except (NotSent, Unknown) as error:
                if self.since_s(started_ms) > self.patience.give_up_after_s:
                    raise Unknown(f"what became of {self._what} is not established: {error}") from error
                await pauses.next()

    async def read(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question. That a question was refused says nothing of the thing."""
        try:
            return await self.persist(ask)
        except Rejected as refusal:
            raise Unknown(f"what became of {self._what} could not be asked: {refusal}") from refusal

    async def fills_until(self, size: Decimal, ask: Callable[[], Awaitable[tuple[Fill, ...]]]) -> tuple[Fill, ...]:
        """The fills when they add up to `size`, or what there is after the time in which they become visible."""
        started_ms = self.clock.now_ms()
        pauses = self.pauses()
        while True:
            fills = await self.read(ask)
            if size_of(fills) >= size or self.since_s(started_ms) >= self.patience.visible_after_s:
                return fills
            await pauses.next()


class Pauses:
    """Waits that double, from `pause_s` to `pause_max_s`."""

    def __init__(self, clock: Clock, patience: Patience) -> None:
        self._clock = clock
        self._next_s = patience.pause_s
        self._max_s = patience.pause_max_s

    async def next(self) -> None:
        await self._clock.sleep(self._next_s)
        self._next_s = min(self._next_s * 2, self._max_s)


def size_of(fills: tuple[Fill, ...]) -> Decimal:
    """What they add up to, in coin, positive."""
    return sum((abs(fill.size) for fill in fills), Decimal(0))
