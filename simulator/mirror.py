"""Follows the real market: the public trades of Hyperliquid's WebSocket become the simulator's prices.

Only market data is read, nothing is ever sent but subscriptions and pings. Real time can't be held or sped up: the
clock's speed has no effect here, and trades that happen while it is paused are left out.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, Field, ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect as connect_blocking

from simulator.prices import Clock, PricePoint, PriceSourceError

MAINNET_WS_URL = "wss://api.hyperliquid.xyz/ws"
OPEN_TIMEOUT_S = 10.0
# The server drops connections it has had nothing to send to for 60 s; an answered ping is something sent.
PING_AFTER_S = 15.0
SILENCE_MAX_S = 45.0
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.5, 30.0

_PING = json.dumps({"method": "ping"})
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class _Trade(BaseModel):
    coin: str
    px: Decimal = Field(gt=0)
    time: int
    tid: int


class _Closed(Exception):
    """The source was closed while it waited."""


class MirrorSource:
    """A `PriceSource` of live trades; it reconnects for ever, with growing pauses, until it is closed."""

    def __init__(self, coins: Sequence[str], clock: Clock, *, url: str = MAINNET_WS_URL) -> None:
        self.coins = tuple(coins)
        self._clock = clock
        self._url = url
        self._seen = {coin: _Seen() for coin in self.coins}
        self._waiting: asyncio.Task[Any] | None = None
        self._closed = False

    def initial(self) -> dict[str, Decimal]:
        """Each coin's last trade. Blocks for the network, at most about 20 s: call it before anything is served.

        Raises PriceSourceError when the server can't be reached or does not know a coin.
        """
        prices = dict[str, Decimal]()
        deadline_s = time.monotonic() + OPEN_TIMEOUT_S
        try:
            with connect_blocking(self._url, open_timeout=OPEN_TIMEOUT_S, close_timeout=1) as connection:
                for coin in self.coins:
                    connection.send(_subscription(coin))
                while len(prices) < len(self.coins):
                    message = connection.recv(timeout=max(deadline_s - time.monotonic(), 0.0))
                    prices.update((trade.coin, trade.px) for trade in self._new_trades(message))
        except ConnectionClosed as error:
            raise self._unreachable(prices, "the server hung up, as it does on a coin it does not know") from error
        except TimeoutError as error:
            raise self._unreachable(prices, "no trade arrived in time") from error
        except (OSError, WebSocketException) as error:
            raise self._unreachable(prices, str(error)) from error
        return prices

    async def stream(self) -> AsyncIterator[PricePoint]:
        failures = 0
        while not self._closed:
            try:
                connection = await self._unless_closed(self._connect())
                try:
                    while True:
                        message = await self._next_message(connection)
                        failures = 0
                        for trade in self._new_trades(message):
                            if not self._clock.paused:
                                yield PricePoint(coin=trade.coin, price=trade.px, time_ms=self._clock.now_ms())
                finally:
                    await connection.close()
            except _Closed:
                return
            except (OSError, TimeoutError, WebSocketException) as error:
                failures += 1
                pause_s = _backoff_s(failures)
                _log.warning("mirror of %s lost (%s); connecting again in %.1f s", self._url, error, pause_s)
            try:
                await self._unless_closed(asyncio.sleep(pause_s))
            except _Closed:
                return

    async def close(self) -> None:
        self._closed = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def _connect(self) -> ClientConnection:
        connection = await connect(self._url, open_timeout=OPEN_TIMEOUT_S, close_timeout=1)
        for coin in self.coins:
            await connection.send(_subscription(coin))
        return connection

    async def _next_message(self, connection: ClientConnection) -> str | bytes:
        """The next message, with pings in between. TimeoutError when the server says nothing at all."""
        silent_s = 0.0
        while silent_s < SILENCE_MAX_S:
            try:
                return await self._unless_closed(asyncio.wait_for(connection.recv(), PING_AFTER_S))
            except TimeoutError:
                silent_s += PING_AFTER_S
                await self._unless_closed(connection.send(_PING))
        raise TimeoutError(f"not a message in {SILENCE_MAX_S:.0f} s")

    def _new_trades(self, message: str | bytes) -> list[_Trade]:
        """Trades of a message that were not seen before, in order of time; other messages have none."""
        try:
            frame = json.loads(message)
            if not isinstance(frame, dict) or frame.get("channel") != "trades":
                if isinstance(frame, dict) and frame.get("channel") == "error":
                    _log.warning("mirror of %s: the server says %s", self._url, frame.get("data"))
                return []
            trades = [_Trade.model_validate(each) for each in frame["data"]]
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            _log.warning("mirror of %s: message not understood: %s", self._url, error)
            return []
        trades.sort(key=lambda trade: trade.time)
        return [trade for trade in trades if trade.coin in self._seen and self._seen[trade.coin].is_new(trade)]

    async def _unless_closed(self, work: Coroutine[Any, Any, _Result]) -> _Result:
        """Do it, or raise _Closed as soon as the source is closed."""
        task = asyncio.create_task(work)
        self._waiting = task
        try:
            await asyncio.wait({task})
        finally:
            task.cancel()
        if self._closed:
            raise _Closed
        return task.result()

    def _unreachable(self, prices: dict[str, Decimal], reason: str) -> PriceSourceError:
        missing = ", ".join(coin for coin in self.coins if coin not in prices)
        return PriceSourceError(f"mirror of {self._url}: no price of {missing}: {reason}")


class _Seen:
    """Tells trades from their replays: every subscription begins with the last ones again, and ids do not rise."""

    def __init__(self) -> None:
        self._last_ms = 0
        self._tids = set[int]()

    def is_new(self, trade: _Trade) -> bool:
        if trade.time < self._last_ms or trade.tid in self._tids:
            return False
        if trade.time > self._last_ms:
            self._last_ms = trade.time
            self._tids.clear()
        self._tids.add(trade.tid)
        return True


def _subscription(coin: str) -> str:
    return json.dumps({"method": "subscribe", "subscription": {"type": "trades", "coin": coin}})


def _backoff_s(failures: int) -> float:
    """Doubles per failure up to a limit, with jitter so that many clients do not return at one moment."""
    return random.uniform(0.5, 1.0) * min(BACKOFF_FIRST_S * 2.0 ** (failures - 1), BACKOFF_MAX_S)
