"""What went away and came back, told to every trade it mattered to: once it is over, in order, until it is delivered.

Whoever sees it tells it: the feed process sees the exchange's stream and Temporal go, a new attempt to follow a trade
sees how long nobody did. Nothing here holds a price up.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

from temporalio.client import Client
from temporalio.service import RPCError

from activities.messages import Outage
from feed.courier import until_delivered
from feed.tracker import Log
from journal.entries import Who

OUTAGE_MIN_S = 2.0
"""Whatever was away for less is not worth a word."""
CHECK_EVERY_S = 1.0
CHECK_AGAIN_S = 0.25
"""After a failure: a single one must not pass for an outage."""
CHECK_TIMEOUT = timedelta(seconds=2)
FOUND_AGAIN_MS = 15_000
"""Once Temporal is back, it takes it so long at most to have a trade followed again."""
KEPT = 100
"""Outages remembered, and waiting for one trade."""
FORGOTTEN_AFTER_MS = 7 * 86_400_000
"""A trade nobody here follows any more is owed nothing after it: another process tells it."""

Tell = Callable[[Outage], Awaitable[None]]
"""Raises feed.courier.Undelivered to be called again."""

_log = logging.getLogger(__name__)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def outage(who: Who, from_ms: int, to_ms: int) -> Outage | None:
    """None if it is not worth a word. A clock that was set back makes an outage short, never negative."""
    return Outage(who=who, from_ms=from_ms, to_ms=to_ms) if to_ms - from_ms >= OUTAGE_MIN_S * 1000 else None


class Absence:
    """One thing that is there or not."""

    def __init__(self, who: Who, over: Callable[[Outage], None]) -> None:
        self._who = who
        self._over = over
        self.since_ms: int | None = None
        """None while it is there."""

    def gone(self, since_ms: int) -> None:
        """Last known to be there at `since_ms`. Said again, the first one holds."""
        if self.since_ms is None:
            self.since_ms = since_ms

    def back(self) -> None:
        since_ms, self.since_ms = self.since_ms, None
        if since_ms is not None and (found := outage(self._who, since_ms, now_ms())):
            self._over(found)

    def forget(self) -> None:
        """Nobody needs it now, so nobody misses it."""
        self.since_ms = None


class Owed:
    """What one trade is still to be told; it outlives the attempts to follow the trade."""

    def __init__(self) -> None:
        self.followed_ms = now_ms()
        """When somebody here followed the trade last."""
        self._waiting: deque[Outage] = deque(maxlen=KEPT)
        self._news = asyncio.Event()
        self._told = asyncio.Event()
        self._told.set()
        self._telling = asyncio.Lock()

    def put(self, outage: Outage) -> None:
        self._waiting.append(outage)
        self._told.clear()
        self._news.set()

    async def all_told(self) -> None:
        await self._told.wait()

    async def tell(self, tell: Tell, log: Log) -> None:
        """Until cancelled. The attempt that is being replaced finishes its word first."""
        async with self._telling:
            while True:
                self._news.clear()
                while self._waiting:
                    first = self._waiting[0]
                    await until_delivered(partial(tell, first), log)
                    # The oldest may have been pushed out meanwhile.
                    if self._waiting and self._waiting[0] is first:
                        self._waiting.popleft()
                self._told.set()
                await self._news.wait()


class Witness:
    """One process's eyes: what is over is owed to every trade followed here."""

    def __init__(self) -> None:
        self.exchange = Absence("exchange", self.saw)
        self.temporal = Absence("temporal", self.saw)
        self._seen: deque[Outage] = deque(maxlen=KEPT)
        self._owed: dict[str, Owed] = {}

    def saw(self, outage: Outage) -> None:
        length_s = (outage.to_ms - outage.from_ms) / 1000
        _log.warning("%s was away for %.1f s", outage.who, length_s)
        self._seen.append(outage)
        for workflow_id, owed in list(self._owed.items()):
            if outage.to_ms - owed.followed_ms > FORGOTTEN_AFTER_MS:
                del self._owed[workflow_id]
            else:
                owed.put(outage)

    def follows(self, workflow_id: str, followed_until_ms: int | None) -> Owed:
        """A trade begins to be followed here. `followed_until_ms` is when somebody, anywhere, did so last, as far as
        Temporal knows; None for nobody yet. If that is long ago the trade is told so."""
        owed = self._owed.get(workflow_id)
        if owed is not None and followed_until_ms is not None:
            # What Temporal knows is what reached it.
            followed_until_ms = max(followed_until_ms, owed.followed_ms)
        if owed is None:
            owed = self._owed[workflow_id] = Owed()
            for seen in self._seen:
                if followed_until_ms is not None and seen.to_ms > followed_until_ms:
                    owed.put(seen)
        if followed_until_ms is not None and (missed := self._unfollowed(followed_until_ms, now_ms())):
            owed.put(missed)
        owed.followed_ms = now_ms()
        return owed

    def forget(self, workflow_id: str) -> None:
        """The trade is over."""
        self._owed.pop(workflow_id, None)

    def _unfollowed(self, from_ms: int, to_ms: int) -> Outage | None:
        """Without Temporal nobody can be found to follow a trade: then its absence is what the trade is told of."""
        spans = [(seen.from_ms, seen.to_ms) for seen in self._seen if seen.who == "temporal"]
        if self.temporal.since_ms is not None:
            spans.append((self.temporal.since_ms, to_ms))
        without_temporal_ms = sum(max(0, min(end, to_ms) - max(start, from_ms)) for start, end in spans)
        if without_temporal_ms and to_ms - from_ms - without_temporal_ms < FOUND_AGAIN_MS:
            return None
        return outage("feed", from_ms, to_ms)

    async def watch_temporal(self, client: Client) -> None:
        """One cheap question a second, for ever."""
        answered_ms = now_ms()
        while True:
            try:
                there = await client.service_client.check_health(timeout=CHECK_TIMEOUT)
            except RPCError:
                there = False
            if there:
                self.temporal.back()
                answered_ms = now_ms()
            else:
                self.temporal.gone(answered_ms)
            await asyncio.sleep(CHECK_EVERY_S if there else CHECK_AGAIN_S)
