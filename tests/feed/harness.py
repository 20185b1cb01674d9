"""A scripted WebSocket server for what the simulator never does, a cable to cut, and waiting on conditions."""

import asyncio
import contextlib
import itertools
import json
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from feed.connection import Timing

FAST = Timing(
    ping_interval_s=0.05,
    stale_after_s=0.4,
    quiet_coin_s=0.2,
    confirm_timeout_s=1.0,
    backoff_first_s=0.02,
    backoff_max_s=0.1,
    linger_s=0.1,
)
REPLAYED = 30


async def until(condition: Callable[[], object], timeout_s: float = 10.0) -> None:
    """Wait until `condition()` is true; what it was last is in the failure."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        assert time.monotonic() < deadline, f"still {value!r} after {timeout_s} s"
        await asyncio.sleep(0.005)


async def until_async(condition: Callable[[], Awaitable[object]], timeout_s: float = 10.0) -> None:
    """The same for a condition that has to be asked for."""
    deadline = time.monotonic() + timeout_s
    while not (value := await condition()):
        assert time.monotonic() < deadline, f"still {value!r} after {timeout_s} s"
        await asyncio.sleep(0.005)


class ScriptedExchange:
    """Speaks as much of the exchange's WebSocket protocol as trades need, and misbehaves on demand."""

    def __init__(self, *coins: str) -> None:
        self.coins = set(coins)
        self.tape: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.subscribed: dict[ServerConnection, set[str]] = {}
        self.requests: list[dict[str, Any]] = []
        self.connections = 0
        self.deaf = False
        """Answers nothing and sends nothing, with the socket open."""
        self.away = False
        """New connections are cut at once."""
        self._server: Server
        # Numbers are not in order at the exchange.
        self._tids = (number * 7919 % 1_000_003 for number in itertools.count(1))
        self._time_ms = itertools.count(1_790_358_604_045, 10)

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self._server.sockets[0].getsockname()[1]}/ws"

    async def __aenter__(self) -> "ScriptedExchange":
        self._server = await serve(self._talk, "127.0.0.1", 0, ping_interval=None, close_timeout=0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kick()
        self._server.close()
        await self._server.wait_closed()

    async def _talk(self, socket: ServerConnection) -> None:
        self.connections += 1
        self.subscribed[socket] = set()
        try:
            if self.away:
                socket.transport.abort()
            async for text in socket:
                request = json.loads(text)
                self.requests.append(request)
                if not self.deaf:
                    await self._answer(socket, request)
        except ConnectionClosed:
            return
        finally:
            del self.subscribed[socket]

    async def _answer(self, socket: ServerConnection, request: dict[str, Any]) -> None:
        if request["method"] == "ping":
            await socket.send('{"channel":"pong"}')
            return
        coin = request["subscription"]["coin"]
        coins = self.subscribed[socket]
        if coin not in self.coins:
            socket.transport.abort()
        elif (coin in coins) == (request["method"] == "subscribe"):
            text = f"Already {request['method']}d: {json.dumps(request['subscription'])}"
            await socket.send(json.dumps({"channel": "error", "data": text}))
        else:
            data = {"method": request["method"], "subscription": request["subscription"]}
            await socket.send(json.dumps({"channel": "subscriptionResponse", "data": data}))
            if request["method"] == "subscribe":
                coins.add(coin)
                await socket.send(json.dumps({"channel": "trades", "data": self.tape[coin][-REPLAYED:]}))
            else:
                coins.discard(coin)

    async def trade(self, coin: str, price: str, *, tell: bool = True) -> None:
        entry = {
            "coin": coin,
            "side": "B",
            "px": price,
            "sz": "0.5",
            "time": next(self._time_ms),
            "hash": "0x" + "0" * 64,
            "tid": next(self._tids),
            "users": ["0x" + "1" * 40, "0x" + "2" * 40],
        }
        self.tape[coin].append(entry)
        if tell and not self.deaf:
            await self.send(json.dumps({"channel": "trades", "data": [entry]}), coin)

    async def send(self, frame: str, coin: str) -> None:
        """A frame as it is, to all that subscribed the coin."""
        for socket, coins in list(self.subscribed.items()):
            if coin in coins:
                with contextlib.suppress(ConnectionClosed):
                    await socket.send(frame)

    def kick(self) -> None:
        for socket in list(self.subscribed):
            socket.transport.abort()

    def asked(self, method: str, coin: str | None = None) -> int:
        return sum(
            request["method"] == method and (coin is None or request["subscription"]["coin"] == coin)
            for request in self.requests
        )

    def followed(self) -> set[str]:
        return set().union(*self.subscribed.values())


class Cable:
    """A TCP connection's way to a server, which can be cut and mended."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self._open: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server
        self.is_cut = False
        self.refused = 0

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def __aenter__(self) -> "Cable":
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        self._server.close()

    def cut(self) -> None:
        self.is_cut = True
        for writer in self._open:
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.is_cut:
            self.refused += 1
            writer.transport.abort()
            return
        there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
        ends = {writer, there_writer}
        self._open |= ends
        await asyncio.gather(self._pump(reader, there_writer), self._pump(there_reader, writer))
        self._open -= ends

    @staticmethod
    async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()
