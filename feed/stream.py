"""The price stream of a process: one WebSocket for all coins anybody here follows, for as long as they do.

    async with PriceStream("wss://.../ws", info_url="https://.../info") as stream:
        async with stream.trades("ETH") as trades:
            async for trade in trades:
                ...

Consumers see one uninterrupted series of trades; disconnects, replays and dead sockets are dealt with here, and logged.
"""

import asyncio
import logging
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from exchange.governor import Governor
from feed.connection import Connection, Timing
from feed.info import UNGOVERNED
from feed.listing import Listing
from feed.subscription import FeedError, Subscription, UnknownCoin
from feed.tasks import end
from feed.trades import Tape, Trade
from feed.witness import Absence, now_ms

FRAME_BYTES_MAX = 2**24
STRIKES = 3
"""So many sockets closed on asking for one coin: it is the coin."""
LOOPBACK = ("127.0.0.1", "::1", "localhost")

_log = logging.getLogger(__name__)


class StreamState(StrEnum):
    IDLE = "idle"
    """Nobody follows a coin: no connection."""
    CONNECTING = "connecting"
    LIVE = "live"
    STALE = "stale"
    """The connection went silent and is being replaced."""


@dataclass(frozen=True, slots=True)
class Health:
    """How the stream is now. Ages in seconds, None before the first."""

    state: StreamState
    coins: tuple[str, ...]
    connections: int
    """Made so far."""
    message_age_s: float | None
    trade_age_s: dict[str, float]


class PriceStream:
    def __init__(
        self,
        ws_url: str,
        *,
        info_url: str | None = None,
        timing: Timing | None = None,
        absence: Absence | None = None,
        governor: Governor = UNGOVERNED,
    ) -> None:
        """With `info_url`, coins are looked up in the exchange's listing before they are asked for on the socket.
        `absence` hears when no prices come and when they do again."""
        self._ws_url = ws_url
        self.info_url = info_url
        self._absence = absence or Absence("exchange", lambda _: None)
        self._timing = timing or Timing()
        self.governor = governor
        """Of all questions beside the socket."""
        self._listing = Listing(info_url, governor) if info_url else None
        self._followers: dict[str, list[Subscription]] = {}
        self._left_at: dict[str, float] = {}
        self._tapes: dict[str, Tape] = {}
        self._trade_at: dict[str, float] = {}
        self._trusted: set[str] = set()
        self._strikes: Counter[str] = Counter()
        self._connection: Connection | None = None
        self._connections = 0
        self._state = StreamState.IDLE
        self._demand = asyncio.Event()
        self._running: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._running = asyncio.create_task(self._run(), name="price stream")
        self._running.add_done_callback(self._ended)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._running is not None
        await end(self._running)

    def trades(self, coin: str) -> Subscription:
        """The coin's trades, each once, for one consumer: the recent ones first, then as they come. Entering it raises
        UnknownCoin for one the exchange does not list."""
        return Subscription(coin, self._follow, self._leave)

    def heard(self, coin: str) -> Sequence[Trade]:
        """The coin's trades that are remembered, oldest first, those no consumer has taken yet too."""
        tape = self._tapes.get(coin)
        return tape.recent if tape else ()

    @property
    def health(self) -> Health:
        now = time.monotonic()
        connection = self._connection
        return Health(
            state=self._state,
            coins=tuple(sorted(self._followers)),
            connections=self._connections,
            message_age_s=now - connection.last_message_at if connection else None,
            trade_age_s={coin: now - at for coin, at in self._trade_at.items()},
        )

    async def _follow(self, subscription: Subscription) -> None:
        coin = subscription.coin
        if self._listing is not None and await self._listing.vouches_for(coin):
            self._trusted.add(coin)
        if self._running is None or self._running.done():
            raise FeedError("the price stream is not running")
        tape = self._tapes.setdefault(coin, Tape(coin))
        subscription.put(tape.recent)
        self._followers.setdefault(coin, []).append(subscription)
        self._left_at.pop(coin, None)
        self._demand_changed()

    def _leave(self, subscription: Subscription) -> None:
        coin = subscription.coin
        others = [it for it in self._followers.get(coin, []) if it is not subscription]
        if others:
            self._followers[coin] = others
        elif self._followers.pop(coin, None) is not None:
            self._left_at[coin] = time.monotonic()
            asyncio.get_running_loop().call_later(self._timing.linger_s, self._demand_changed)

    def _demand_changed(self) -> None:
        """Coins nobody has followed for a while are let go, with their tapes: what they miss is no longer whole."""
        now = time.monotonic()
        for coin, left_at in list(self._left_at.items()):
            if now - left_at >= self._timing.linger_s:
                del self._left_at[coin]
                self._tapes.pop(coin, None)
                self._trade_at.pop(coin, None)
        self._demand.set()
        if self._connection is not None:
            self._connection.wanted_changed()

    def _wanted(self) -> set[str]:
        return {*self._followers, *self._left_at}

    def _take(self, trades: list[Trade]) -> None:
        by_coin: dict[str, list[Trade]] = {}
        for trade in trades:
            by_coin.setdefault(trade.coin, []).append(trade)
        for coin, of_coin in by_coin.items():
            tape = self._tapes.get(coin)
            news = tape.news(of_coin) if tape else []
            if news:
                self._trade_at[coin] = time.monotonic()
            for follower in self._followers.get(coin, ()):
                follower.put(news)

    async def _run(self) -> None:
        attempt = 0
        while True:
            while not self._wanted():
                self._state = StreamState.IDLE
                self._absence.forget()
                self._demand.clear()
                await self._demand.wait()
            self._state = StreamState.CONNECTING
            self._absence.gone(now_ms())
            opened_at = time.monotonic()
            ending = await self._converse()
            if not self._wanted():
                continue
            attempt = 0 if time.monotonic() - opened_at >= self._timing.stable_after_s else attempt + 1
            delay_s = self._backoff_s(attempt)
            _log.warning("Price stream down (%s): connecting again in %.2f s", ending, delay_s)
            await asyncio.sleep(delay_s)

    def _backoff_s(self, attempt: int) -> float:
        longest = min(self._timing.backoff_max_s, self._timing.backoff_first_s * 2.0 ** min(attempt, 16))
        return longest * random.uniform(0.5, 1.0)

    async def _converse(self) -> str:
        """One connection; says how it ended."""
        timing = self._timing
        try:
            async with connect(
                self._ws_url,
                proxy=None if urlsplit(self._ws_url).hostname in LOOPBACK else True,
                ping_interval=None,
                compression=None,
                max_size=FRAME_BYTES_MAX,
                open_timeout=timing.open_timeout_s,
                close_timeout=1.0,
            ) as socket:
                return await self._serve(socket)
        except (OSError, TimeoutError, WebSocketException) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            self._connection = None

    async def _serve(self, socket: ClientConnection) -> str:
        self._connections += 1
        connection = Connection(
            socket, self._timing, self._wanted, self._trusted, self._absence.back, self._take, self._refused
        )
        self._connection = connection
        self._state = StreamState.LIVE
        _log.info("Price stream connected", extra={"url": self._ws_url, "coins": ",".join(sorted(self._wanted()))})
        try:
            await connection.serve()
        finally:
            self._judge(connection)
        return "closed by the exchange" if connection.silent_at is None else "no messages"

    def _judge(self, connection: Connection) -> None:
        """What a connection's end says of its coins: those it left unanswered must prove themselves, alone."""
        silent_at = connection.silent_at
        self._state = StreamState.CONNECTING if silent_at is None else StreamState.STALE
        silent_s = 0.0 if silent_at is None else time.monotonic() - silent_at
        self._absence.gone(now_ms() - round(silent_s * 1000))
        for tape in self._tapes.values():
            tape.interrupted()
        for coin in connection.confirmed:
            self._strikes.pop(coin, None)
        self._trusted -= connection.unanswered
        if connection.suspect is not None:
            self._strikes[connection.suspect] += 1
            if self._strikes[connection.suspect] >= STRIKES:
                self._refused(connection.suspect)

    def _refused(self, coin: str) -> None:
        _log.error("The exchange refuses the coin: no longer asked for", extra={"coin": coin})
        self._strikes.pop(coin, None)
        self._trusted.discard(coin)
        if self._listing is not None:
            self._listing.forget(coin)
        self._give_up(coin, UnknownCoin(f"the exchange refuses a subscription of {coin}"))

    def _give_up(self, coin: str, error: FeedError) -> None:
        for follower in self._followers.pop(coin, []):
            follower.fail(error)
        self._left_at.pop(coin, None)
        self._tapes.pop(coin, None)

    def _ended(self, running: asyncio.Task[None]) -> None:
        """However the stream ends, nobody waits for it in vain."""
        if not running.cancelled() and (error := running.exception()):
            _log.critical("The price stream failed", exc_info=error)
        for coin in list(self._followers):
            self._give_up(coin, FeedError("the price stream has ended"))
