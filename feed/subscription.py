"""One consumer's own path for the trades of one coin: a consumer that is behind holds nobody else up.

Units depend only on the turning points of the price path (docs/strategy.md), so a path that gets long keeps those and
drops what lies between them: nobody can count a different unit for it. A path that is long even so is given up aloud,
since to drop a turning point would be to lose a unit in silence.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from types import TracebackType
from typing import Self

from feed.trades import Trade, put_in_order

LONG = 1_000
TOO_LONG = 100_000


class FeedError(Exception):
    """No more trades come this way; a new subscription may get them."""


class ConsumerTooSlow(FeedError):
    """The consumer did not keep up with the turning points of the price."""


class UnknownCoin(FeedError):
    """The exchange has no such market."""


class Subscription:
    """Trades from the moment the `async with` is entered, the recent ones first. For one consumer.

    Iterating raises UnknownCoin, ConsumerTooSlow or FeedError when it is over.
    """

    def __init__(
        self,
        coin: str,
        enter: Callable[["Subscription"], Awaitable[None]],
        leave: Callable[["Subscription"], None],
        *,
        long: int = LONG,
        too_long: int = TOO_LONG,
    ) -> None:
        self.coin = coin
        self._enter, self._leave = enter, leave
        self._long, self._too_long = long, too_long
        self._path: deque[Trade] = deque()
        self._news = asyncio.Event()
        self._error: FeedError | None = None

    async def __aenter__(self) -> Self:
        await self._enter(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._leave(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Trade:
        while not self._path:
            if self._error is not None:
                raise self._error
            self._news.clear()
            await self._news.wait()
        return self._path.popleft()

    def __len__(self) -> int:
        """Trades that wait for the consumer."""
        return len(self._path)

    def put(self, trades: Iterable[Trade]) -> None:
        for trade in trades:
            if len(self._path) >= self._long and _between(self._path[-2], self._path[-1], trade):
                self._path.pop()
            put_in_order(self._path, trade)
        if len(self._path) > self._too_long:
            self.fail(ConsumerTooSlow(f"{len(self._path)} trades of {self.coin} were not taken"))
        self._news.set()

    def fail(self, error: FeedError) -> None:
        """End the iteration with `error`, now."""
        self._path.clear()
        self._error = error
        self._news.set()


def _between(before: Trade, trade: Trade, after: Trade) -> bool:
    """Whether nobody needs it: what is missing beside a gap is looked for between the two trades that it is between."""
    if trade.after_gap or after.after_gap or after.time_ms < trade.time_ms:
        return False
    return before.price <= trade.price <= after.price or before.price >= trade.price >= after.price
