"""The mirror against a WebSocket server on this machine that behaves as Hyperliquid's trades subscription does."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve
from websockets.exceptions import ConnectionClosed

from simulator import mirror
from simulator.mirror import MirrorSource
from simulator.prices import Clock, PricePoint, PriceSourceError

START_MS = 1_756_000_000_000
WAIT_S = 5.0


class Exchange:
    """Answers subscriptions with the last 30 trades of the coin; hangs up on a coin it does not know."""

    def __init__(self, *coins: str) -> None:
        self.tape: dict[str, list[dict[str, Any]]] = {coin: [] for coin in coins}
        self.pinged = asyncio.Semaphore(0)
        self.subscribed = asyncio.Event()
        self._server: Server | None = None

    async def __aenter__(self) -> "Exchange":
        self._server = await serve(self._talk, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{port}/ws"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    def trade(self, coin: str, price: str, after_ms: int) -> None:
        trade = {
            "coin": coin,
            "side": "B",
            "px": price,
            "sz": "0.5",
            "time": START_MS + after_ms,
            "hash": "0x" + "0" * 64,
            "tid": hash((coin, price, after_ms)) % 10**15,
            "users": ["0x" + "1" * 40, "0x" + "2" * 40],
        }
        self.tape[coin].append(trade)
        self.send(json.dumps({"channel": "trades", "data": [trade]}))

    def send(self, message: str) -> None:
        broadcast(self.connections, message)

    @property
    def connections(self) -> list[ServerConnection]:
        assert self._server is not None
        return list(self._server.connections)

    async def kick(self) -> None:
        self.subscribed.clear()
        for connection in self.connections:
            connection.transport.abort()

    async def _talk(self, connection: ServerConnection) -> None:
        wanted = set(self.tape)
        try:
            async for message in connection:
                request = json.loads(message)
                if request["method"] == "ping":
                    self.pinged.release()
                    await connection.send('{"channel":"pong"}')
                    continue
                coin = request["subscription"]["coin"]
                if coin not in self.tape:
                    await connection.close()
                    return
                await connection.send(json.dumps({"channel": "subscriptionResponse", "data": request}))
                await connection.send(json.dumps({"channel": "trades", "data": self.tape[coin][-30:]}))
                wanted.discard(coin)
                if not wanted:
                    self.subscribed.set()
        except ConnectionClosed:
            return


@pytest.fixture
async def exchange() -> AsyncIterator[Exchange]:
    async with Exchange("ETH", "SOL") as running:
        running.trade("ETH", "3449.0", 0)
        running.trade("ETH", "3450.0", 10)
        running.trade("SOL", "180.0", 5)
        yield running


@pytest.fixture
async def source(exchange: Exchange, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MirrorSource]:
    monkeypatch.setattr(mirror, "BACKOFF_FIRST_S", 0.01)
    running = MirrorSource(["ETH", "SOL"], Clock(), url=exchange.url)
    yield running
    await running.close()


async def next_of(stream: AsyncIterator[PricePoint]) -> tuple[str, Decimal]:
    point = await asyncio.wait_for(anext(stream), WAIT_S)
    return point.coin, point.price


async def started(
    source: MirrorSource, exchange: Exchange
) -> tuple[AsyncIterator[PricePoint], asyncio.Task[PricePoint]]:
    """The stream and its first print to come, once it is subscribed."""
    exchange.subscribed.clear()
    stream = source.stream()
    first = asyncio.ensure_future(anext(stream))
    await asyncio.wait_for(exchange.subscribed.wait(), WAIT_S)
    return stream, first


async def test_initial_is_the_last_trade_of_each_coin_and_is_not_printed_again(
    exchange: Exchange, source: MirrorSource
) -> None:
    assert await asyncio.to_thread(source.initial) == {"ETH": Decimal(3450), "SOL": Decimal(180)}
    stream, first = await started(source, exchange)
    exchange.trade("SOL", "180.5", 20)
    point = await asyncio.wait_for(first, WAIT_S)
    assert (point.coin, point.price) == ("SOL", Decimal("180.5"))
    exchange.trade("ETH", "3451.25", 20)
    assert await next_of(stream) == ("ETH", Decimal("3451.25"))


async def test_disconnects_lose_no_trade_of_the_replay_and_double_none(
    exchange: Exchange, source: MirrorSource
) -> None:
    await asyncio.to_thread(source.initial)
    stream, first = await started(source, exchange)
    exchange.trade("ETH", "3451.0", 20)
    assert (await asyncio.wait_for(first, WAIT_S)).price == 3451
    for cut in range(1, 4):
        following = asyncio.ensure_future(anext(stream))
        await exchange.kick()
        exchange.tape["ETH"].append(trade_missed(cut))
        assert (await asyncio.wait_for(following, WAIT_S)).price == 3451 + cut
    await asyncio.wait_for(exchange.subscribed.wait(), WAIT_S)
    exchange.trade("SOL", "181.0", 5000)
    assert await next_of(stream) == ("SOL", Decimal(181))


def trade_missed(cut: int) -> dict[str, Any]:
    return {"coin": "ETH", "side": "A", "px": f"{3451 + cut}.0", "sz": "1", "time": START_MS + 1000 * cut, "tid": cut}


async def test_frames_that_are_not_trades_are_passed_over(
    exchange: Exchange, source: MirrorSource, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(source.initial)
    _, first = await started(source, exchange)
    with caplog.at_level(logging.WARNING, "simulator.mirror"):
        exchange.send("Websocket connection established.")
        exchange.send('{"channel":"trades","data":[{"coin":"ETH","px":"-1","time":1,"tid":2}]}')
        exchange.send('{"channel":"error","data":"Already subscribed"}')
        exchange.send("[]")
        exchange.trade("ETH", "3452.0", 30)
        assert (await asyncio.wait_for(first, WAIT_S)).price == 3452
    assert "message not understood" in caplog.text
    assert "Already subscribed" in caplog.text


async def test_trades_during_a_pause_are_left_out(exchange: Exchange) -> None:
    clock = Clock()
    source = MirrorSource(["ETH", "SOL"], clock, url=exchange.url)
    await asyncio.to_thread(source.initial)
    _, first = await started(source, exchange)
    clock.pause()
    exchange.trade("ETH", "3333.0", 30)
    _, pending = await asyncio.wait({first}, timeout=0.05)
    assert pending
    clock.resume()
    exchange.trade("ETH", "3453.0", 40)
    assert (await asyncio.wait_for(first, WAIT_S)).price == 3453
    await source.close()


async def test_quiet_connection_is_pinged_and_a_silent_one_is_given_up(
    exchange: Exchange, source: MirrorSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "PING_AFTER_S", 0.02)
    await asyncio.to_thread(source.initial)
    _, first = await started(source, exchange)
    for _ in range(3):
        await asyncio.wait_for(exchange.pinged.acquire(), WAIT_S)
    # Pongs count as a sign of life: the connection stays.
    assert len(exchange.connections) == 1
    monkeypatch.setattr(mirror, "SILENCE_MAX_S", 0.0)
    exchange.subscribed.clear()
    await asyncio.wait_for(exchange.subscribed.wait(), WAIT_S)
    monkeypatch.setattr(mirror, "SILENCE_MAX_S", 45.0)
    await source.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(first, WAIT_S)


async def test_close_ends_the_stream_while_it_waits_for_a_server_that_is_gone(exchange: Exchange) -> None:
    source = MirrorSource(["ETH"], Clock(), url="ws://127.0.0.1:1/ws")
    reader = asyncio.ensure_future(anext(source.stream()))
    await asyncio.wait({reader}, timeout=0.05)
    assert not reader.done()
    await source.close()
    with pytest.raises(StopAsyncIteration):
        await asyncio.wait_for(reader, WAIT_S)


async def test_unknown_coin_and_no_server_are_refused_at_the_start(exchange: Exchange) -> None:
    with pytest.raises(PriceSourceError, match=r"no price of .*NOPE.*does not know"):
        await asyncio.to_thread(MirrorSource(["ETH", "NOPE"], Clock(), url=exchange.url).initial)
    with pytest.raises(PriceSourceError, match=r"mirror of ws://127\.0\.0\.1:1/ws: no price of ETH"):
        await asyncio.to_thread(MirrorSource(["ETH"], Clock(), url="ws://127.0.0.1:1/ws").initial)
