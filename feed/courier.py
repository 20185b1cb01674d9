"""Carries completed units to a trade's workflow: in order, none dropped, each batch the same on every try.

A signal that failed may have arrived all the same. The workflow knows a batch again by its last trade, so a batch is
never changed once it was sent; what completes meanwhile waits for the next one.

The couriers of a process take turns. Where more completes than Temporal can write, a batch waits here, where it grows,
and not there, where it would be one task more for a trade that has one already.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, set_span_in_context

from activities.messages import UnitsMoved
from feed.tracker import Log
from feed.trades import Trade
from strategy.values import Tick
from telemetry.tracing import traceparent_of

BATCH_MAX = 1_000
TURNS = 2
"""Signals on their way at once, of all trades that one process follows. Where nothing waits one takes 5 to 10 ms."""
RETRY_FIRST_S = 0.1
RETRY_MAX_S = 5.0

_tracer = trace.get_tracer("hypertrader.feed")
_logger = logging.getLogger(__name__)


class Undelivered(Exception):
    """The signal may or may not have arrived: to be sent again as it is."""


class Deliver(Protocol):
    def __call__(self, moved: UnitsMoved, /) -> Awaitable[None]: ...


class Courier:
    """`deliver` raises Undelivered to be called again with the same batch; anything else ends the courier."""

    def __init__(
        self, workflow_id: str, deliver: Deliver, log: Log = _logger, turns: asyncio.Semaphore | None = None
    ) -> None:
        self._workflow_id = workflow_id
        self._deliver = deliver
        self._log = log
        self._turns = turns or asyncio.Semaphore(TURNS)
        self._waiting: deque[Trade] = deque()
        self._news = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self.carried = 0
        """Trades taken so far."""

    @property
    def idle(self) -> bool:
        return self._idle.is_set()

    def take(self, trade: Trade) -> None:
        """A trade that completed units."""
        self.carried += 1
        self._waiting.append(trade)
        self._idle.clear()
        self._news.set()

    async def all_delivered(self) -> None:
        await self._idle.wait()

    async def run(self) -> None:
        while True:
            self._news.clear()
            while self._waiting:
                await self._carry()
            self._idle.set()
            await self._news.wait()

    async def _carry(self) -> None:
        batch: _Batch | None = None

        async def deliver() -> None:
            nonlocal batch
            async with self._turns:
                # Made up when its turn has come, for good: what completed while it waited goes with it.
                batch = batch or self._made_up()
                await self._deliver(batch.moved)

        try:
            await until_delivered(deliver, self._log)
        finally:
            if batch is not None:
                batch.end()

    def _made_up(self) -> "_Batch":
        trades = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
        return _Batch(self._workflow_id, trades)


class _Batch:
    """What is sent. One trace begins here, at the moment the first of its prices came out of the socket."""

    def __init__(self, workflow_id: str, trades: Sequence[Trade]) -> None:
        first, last = trades[0], trades[-1]
        attributes: dict[str, str | int] = {
            "workflow_id": workflow_id,
            "coin": last.coin,
            "price": str(last.price),
            "tid": str(last.tid),
            "ticks": len(trades),
        }
        price = _tracer.start_span(
            "feed.price", context=Context(), start_time=first.received_ns, kind=SpanKind.CONSUMER, attributes=attributes
        )
        signal = _tracer.start_span("feed.signal", context=set_span_in_context(price), kind=SpanKind.PRODUCER)
        self._spans = (signal, price)
        ticks = tuple(Tick(price=trade.price, time_ms=trade.time_ms) for trade in trades)
        self.moved = UnitsMoved(
            ticks=ticks, tid=last.tid, sent_ms=time.time_ns() // 1_000_000, traceparent=traceparent_of(signal)
        )

    def end(self) -> None:
        for span in self._spans:
            span.end()


async def until_delivered(deliver: Callable[[], Awaitable[None]], log: Log = _logger) -> None:
    """Call it until it does not raise Undelivered."""
    began_at, failures = time.monotonic(), 0
    while True:
        try:
            await deliver()
        except Undelivered as error:
            failures += 1
            if failures in (1, 10) or failures % 100 == 0:
                log.warning("Signal not delivered (%s): sending it again", error)
            await asyncio.sleep(backoff_s(failures))
        else:
            if failures:
                log.info("Signal delivered after %d failures, %.1f s", failures, time.monotonic() - began_at)
            return


def backoff_s(failures: int) -> float:
    """Before the next try, after so many failures (1 or more) in a row."""
    return min(RETRY_MAX_S, RETRY_FIRST_S * 2.0 ** min(failures - 1, 16)) * random.uniform(0.5, 1.0)
