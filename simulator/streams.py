"""The WebSocket side: connections, their subscriptions, and the routing of the venue's events to them."""

import asyncio
import json
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from aiohttp import WSMsgType, web

from simulator import stream_frames
from simulator.connection import Connection
from simulator.events import Event, Traded
from simulator.info import Info
from simulator.query import BadRequest
from simulator.stream_faults import (
    GARBAGE,
    Disorder,
    Duplicate,
    Garbage,
    Kick,
    OutOfOrder,
    Replay,
    SilentClose,
    Stall,
    StreamFault,
)
from simulator.subscriptions import (
    COALESCED,
    InvalidSubscription,
    Key,
    Subscription,
    UnknownCoin,
    frame,
    parse,
    snapshot,
)
from simulator.wire import dumps

USERS_MAX = 10

MOVED_BY_ANY_PRICE = {"allMids", "clearinghouseState", "webData3"}

Act = Callable[[object, Connection], Awaitable[dict[str, Any]]]
"""Applies the payload of a posted action; returns the venue's answer."""


class Dropped(Exception):
    """A fault: the connection dies here, without an answer."""


class Streams:
    """All connections. `publish` is called with what a request or a price changed; it never waits."""

    def __init__(self, info: Info, idle_close_s: float, interval_s: float, act: Act) -> None:
        self.info = info
        self.connections: set[Connection] = set()
        self._idle_close_s = idle_close_s
        self._interval_s = interval_s
        self._act = act
        self._by_key: dict[Key, set[Connection]] = defaultdict(set)
        self._stale: set[Key] = set()
        self._disorder = Disorder()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """Handler of GET /ws."""
        socket = web.WebSocketResponse(max_msg_size=2**20, compress=False, timeout=1.0)
        await socket.prepare(request)
        connection = Connection(socket, self._idle_close_s, request.transport)
        self.connections.add(connection)
        writer = asyncio.create_task(connection.write())
        try:
            async for message in socket:
                if message.type is WSMsgType.TEXT and not await self._take(connection, message.data):
                    break
        finally:
            writer.cancel()
            self._forget(connection)
        return socket

    def _forget(self, connection: Connection) -> None:
        self.connections.discard(connection)
        for key in connection.subscriptions:
            self._leave(key, connection)

    def _leave(self, key: Key, connection: Connection) -> None:
        self._by_key[key].discard(connection)
        if not self._by_key[key]:
            del self._by_key[key]

    async def close(self) -> None:
        """Say goodbye to every client, except to those that are not read any more."""
        for connection in list(self.connections):
            if connection.is_silent:
                connection.kill()
        await asyncio.gather(*(each.socket.close() for each in self.connections if not each.is_silent))

    def kick(self) -> int:
        """Cut every connection at once; returns how many."""
        kicked = list(self.connections)
        for connection in kicked:
            connection.kill()
        return len(kicked)

    def strike(self, fault: StreamFault) -> int:
        """Do what the fault says; returns how many connections are open."""
        if isinstance(fault, Duplicate):
            self._disorder.duplicates += fault.count
        elif isinstance(fault, OutOfOrder):
            self._disorder.swaps += fault.count
        open_now = list(self.connections)
        for connection in open_now:
            match fault:
                case Kick():
                    connection.kill()
                case Stall(seconds=seconds):
                    connection.stall(seconds)
                case SilentClose():
                    connection.go_silent()
                case Garbage(count=count):
                    connection.send(GARBAGE, times=count)
                case Replay():
                    self._replay(connection)
        return len(open_now)

    def _replay(self, connection: Connection) -> None:
        for key in connection.subscriptions:
            if key[0] == "trades":
                connection.send(dumps(snapshot(self.info, key)))

    async def _take(self, connection: Connection, text: str) -> bool:
        """One message of a client; False ends the connection."""
        try:
            message = json.loads(text)
            method = message["method"]
        except (ValueError, TypeError, KeyError):
            self._error(connection, f"Error parsing JSON into valid websocket request: {text}")
            return True
        if method == "ping":
            connection.send(dumps({"channel": "pong"}))
        elif method in ("subscribe", "unsubscribe"):
            return self._change(connection, method, message.get("subscription"))
        elif method == "post":
            await self._post(connection, message)
        else:
            self._error(connection, f"Error parsing JSON into valid websocket request: {text}")
        return True

    def _error(self, connection: Connection, text: str) -> None:
        connection.send(dumps(frame("error", text)))

    def _change(self, connection: Connection, method: str, raw: object) -> bool:
        try:
            subscription = parse(raw)
        except InvalidSubscription:
            self._error(connection, f"Invalid subscription {json.dumps(raw)}")
            return True
        except UnknownCoin:
            connection.kill()
            return False
        shown = json.dumps(raw, separators=(",", ":"))
        known = subscription.key in connection.subscriptions
        if known == (method == "subscribe"):
            self._error(connection, f"Already {method}d: {shown}")
            return True
        if method == "subscribe" and self._too_many_users(connection, subscription):
            self._error(connection, f"Cannot track more than {USERS_MAX} total users.")
            return True
        connection.send(dumps(frame("subscriptionResponse", {"method": method, "subscription": subscription.echo})))
        if method == "unsubscribe":
            del connection.subscriptions[subscription.key]
            self._leave(subscription.key, connection)
            return True
        connection.subscriptions[subscription.key] = subscription
        self._by_key[subscription.key].add(connection)
        current = snapshot(self.info, subscription.key)
        if current is not None:
            connection.send(dumps(current))
        return True

    def _too_many_users(self, connection: Connection, subscription: Subscription) -> bool:
        users = {each.user for each in connection.subscriptions.values() if each.user}
        return subscription.user is not None and len(users | {subscription.user}) > USERS_MAX

    async def _post(self, connection: Connection, message: dict[str, Any]) -> None:
        post_id, request = message.get("id"), message.get("request")
        if not isinstance(post_id, int) or not isinstance(request, dict):
            self._error(connection, f"Error parsing JSON into valid websocket request: {json.dumps(message)}")
            return
        kind, payload = request.get("type"), request.get("payload")
        try:
            if kind == "action":
                answer: object = await self._act(payload, connection)
            elif kind == "info":
                asked = payload.get("type") if isinstance(payload, dict) else None
                answer = {"type": asked, "data": self.info.answer(payload)}
            else:
                raise BadRequest(f"request.type is {kind}: allowed are action and info")
            response = {"type": kind, "payload": answer}
        except BadRequest:
            text = "Failed to deserialize the JSON body into the target type"
            response = {"type": "error", "payload": text}
        except Dropped:
            connection.kill()
            return
        connection.send(dumps(frame("post", {"id": post_id, "response": response})))

    def publish(self, events: Iterable[Event]) -> None:
        """Send what happened to whoever subscribed; states are only marked, `tick` sends them."""
        for event in events:
            if isinstance(event, Traded):
                self._send_trades(event)
            for key, build in stream_frames.of(event, self.info):
                self._send(key, build)
            self._mark_stale(**stream_frames.touched_by(event))

    def _send_trades(self, traded: Traded) -> None:
        key = ("trades", traded.coin)

        def to_readers(encoded: bytes) -> None:
            for connection in self._by_key.get(key, ()):
                connection.send(encoded)

        if key in self._by_key:
            self._disorder.pass_on(traded.coin, dumps(stream_frames.trades(traded)), to_readers)

    def _send(self, key: Key, build: Callable[[], object]) -> None:
        """Encode once for all readers, and not at all without any."""
        readers = self._by_key.get(key)
        if not readers:
            return
        message = build()
        if message is not None:
            encoded = dumps(message)
            for connection in readers:
                connection.send(encoded)

    def _mark_stale(self, *, coin: str | None = None, user: str | None = None) -> None:
        """States that show `coin` or `user`. A price changes every account's state, so those go with any coin."""
        for key in self._by_key:
            touched = coin in key or user in key or (coin is not None and key[0] in MOVED_BY_ANY_PRICE)
            if touched and key[0] in COALESCED:
                self._stale.add(key)

    async def tick(self) -> None:
        """Sends changed states at the configured pace, for ever."""
        while True:
            await asyncio.sleep(self._interval_s)
            stale, self._stale = self._stale, set()
            for key in stale:
                self._send(key, partial(snapshot, self.info, key))
