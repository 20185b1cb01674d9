"""The WebSocket with a plain client (`websockets`) and with the official SDK's own."""

import asyncio
import json
import queue
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import websockets
from hyperliquid.info import Info
from hypothesis import given
from hypothesis import strategies as st

from simulator.subscriptions import InvalidSubscription, UnknownCoin, parse


class Socket:
    """A client that remembers every frame it was sent."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    async def send(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str) else json.dumps(message))

    async def receive(self) -> Any:
        return json.loads(await asyncio.wait_for(self.connection.recv(), 5))

    async def until(self, channel: str, fits: Callable[[Any], bool] = lambda data: True) -> Any:
        """Data of the next frame of a channel that fits."""
        while True:
            frame = await self.receive()
            if frame["channel"] == channel and fits(frame.get("data")):
                return frame.get("data")

    async def subscribe(self, **subscription: Any) -> Any:
        await self.send({"method": "subscribe", "subscription": subscription})
        return await self.until("subscriptionResponse")


@pytest.fixture
async def socket(client: Any) -> AsyncIterator[Socket]:
    async with websockets.connect(client.sim.ws_url) as connection:
        yield Socket(connection)


async def test_trades_are_replayed_on_every_subscription_without_a_mark(client: Any, socket: Socket) -> None:
    for step in range(40):
        await client.price(str(3450 + step))
    echo = await socket.subscribe(type="trades", coin="ETH")
    assert echo == {"method": "subscribe", "subscription": {"type": "trades", "coin": "ETH"}}
    replayed = await socket.until("trades")
    assert [trade["px"] for trade in replayed] == [f"{price}.0" for price in range(3460, 3490)]
    await client.price("3500")
    (new,) = await socket.until("trades")
    assert new["px"] == "3500.0"
    await socket.send({"method": "unsubscribe", "subscription": {"type": "trades", "coin": "ETH"}})
    await socket.subscribe(type="trades", coin="ETH")
    again = await socket.until("trades")
    assert [trade["tid"] for trade in again] == [trade["tid"] for trade in [*replayed[1:], new]]


async def test_each_price_is_one_trade_at_exactly_that_price_with_rising_ids(client: Any, socket: Socket) -> None:
    await socket.subscribe(type="trades", coin="ETH")
    seen = await socket.until("trades")
    prices = ["3451.3", "3447.9", "3447.9", "3500"]
    for price in prices:
        await client.price(price)
        seen += await socket.until("trades")
    assert [float(trade["px"]) for trade in seen[-4:]] == [float(price) for price in prices]
    ids = [trade["tid"] for trade in seen]
    assert ids == sorted(set(ids))
    assert [trade["side"] for trade in seen[-4:]] == ["B", "A", "B", "B"]


async def test_own_fills_reach_every_channel_of_the_user(client: Any, socket: Socket) -> None:
    for kind in ("userFills", "orderUpdates", "userEvents"):
        await socket.subscribe(type=kind, user=client.key.address)
    await client.order(True, "0.5", "3500", cloid="0x" + "ab" * 16)
    by_channel: dict[str, Any] = {}
    while len(by_channel) < 3:
        frame = await socket.receive()
        by_channel[frame["channel"]] = frame["data"]
    (fill,) = by_channel["userFills"]["fills"]
    assert "isSnapshot" not in by_channel["userFills"]
    assert by_channel["user"] == {"fills": [fill]}
    (update,) = by_channel["orderUpdates"]
    assert (update["status"], update["order"]["oid"], update["order"]["sz"]) == ("filled", fill["oid"], "0.0")
    assert update["order"]["cloid"] == fill["cloid"] == "0x" + "ab" * 16


async def test_user_fills_begin_with_a_snapshot(client: Any, socket: Socket) -> None:
    await client.order(True, "0.5", "3500")
    echo = await socket.subscribe(type="userFills", user=client.key.address)
    assert echo["subscription"] == {"type": "userFills", "user": client.address, "aggregateByTime": False}
    snapshot = await socket.until("userFills")
    assert snapshot["isSnapshot"] is True and snapshot["user"] == client.address
    assert [fill["sz"] for fill in snapshot["fills"]] == ["0.5"]


async def test_order_updates_tell_the_life_of_an_order(client: Any, socket: Socket) -> None:
    await socket.subscribe(type="orderUpdates", user=client.address)
    oid = (await client.order(True, "0.5", "3400", tif="Gtc"))["resting"]["oid"]
    await client.act({"type": "cancel", "cancels": [{"a": 1, "o": oid}]})
    await client.order(True, "0.5", "3400")
    statuses = [(await socket.until("orderUpdates"))[0] for _ in range(3)]
    assert [each["status"] for each in statuses] == ["open", "canceled", "iocCancelRejected"]
    assert statuses[1]["order"]["sz"] == "0.5"


async def test_order_updates_tell_that_a_stop_fired(client: Any, socket: Socket) -> None:
    await client.order(True, "0.5", "3500")
    await socket.subscribe(type="orderUpdates", user=client.address)
    stop = {"trigger": {"isMarket": True, "triggerPx": "3350", "tpsl": "sl"}}
    order = {"a": 1, "b": False, "p": "3000", "s": "0.5", "r": True, "t": stop, "c": "0x" + "ab" * 16}
    await client.act({"type": "order", "orders": [order], "grouping": "na"})
    await client.price("3340")
    updates = [(await socket.until("orderUpdates"))[0] for _ in range(3)]
    assert [each["status"] for each in updates] == ["open", "triggered", "filled"]
    assert {(each["order"]["oid"], each["order"]["cloid"]) for each in updates} == {
        (updates[0]["order"]["oid"], order["c"])
    }


async def test_states_are_sent_at_once_and_again_when_they_change(connect: Any) -> None:
    client = await connect(stream_interval_s=0.01)
    async with websockets.connect(client.sim.ws_url) as connection:
        socket = Socket(connection)
        echo = await socket.subscribe(type="l2Book", coin="ETH")
        assert echo["subscription"] == {
            "type": "l2Book",
            "coin": "ETH",
            "nSigFigs": None,
            "mantissa": None,
            "fast": False,
        }
        assert (await socket.until("l2Book"))["levels"][1][0]["px"] == "3450.1"
        await socket.subscribe(type="bbo", coin="ETH")
        assert (await socket.until("bbo"))["bbo"][0]["px"] == "3449.9"
        await socket.subscribe(type="allMids")
        assert (await socket.until("allMids"))["mids"]["ETH"] == "3450.0"
        await socket.subscribe(type="activeAssetCtx", coin="ETH")
        assert (await socket.until("activeAssetCtx"))["ctx"]["markPx"] == "3450.0"
        await socket.subscribe(type="candle", coin="ETH", interval="1m")
        assert (await socket.until("candle"))["c"] == "3450.0"
        await socket.subscribe(type="clearinghouseState", user=client.address)
        await socket.until("clearinghouseState")
        await client.price("3460")
        changed: set[str] = set()
        while len(changed) < 6:
            frame = await socket.receive()
            if (
                "3460.0" in json.dumps(frame)
                or "3459.9" in json.dumps(frame)
                or frame["channel"] == "clearinghouseState"
            ):
                changed.add(frame["channel"])
        assert changed == {"l2Book", "bbo", "allMids", "activeAssetCtx", "candle", "clearinghouseState"}


async def test_ping_is_answered_with_a_bare_pong(socket: Socket) -> None:
    await socket.send({"method": "ping"})
    assert await socket.receive() == {"channel": "pong"}


async def test_error_frames(client: Any, socket: Socket) -> None:
    trades = {"type": "trades", "coin": "ETH"}
    await socket.subscribe(**trades)
    await socket.send({"method": "subscribe", "subscription": trades})
    assert (await socket.until("error")).startswith("Already subscribed: ")
    await socket.send({"method": "unsubscribe", "subscription": {"type": "bbo", "coin": "ETH"}})
    assert (await socket.until("error")).startswith("Already unsubscribed: ")
    await socket.send({"method": "subscribe", "subscription": {"type": "nothing"}})
    assert (await socket.until("error")).startswith("Invalid subscription ")
    for text in ("{", "[]", '{"method":"dance"}', "7"):
        await socket.send(text)
        assert await socket.until("error") == f"Error parsing JSON into valid websocket request: {text}"


async def test_unknown_coin_closes_the_socket_without_a_frame(socket: Socket) -> None:
    await socket.send({"method": "subscribe", "subscription": {"type": "trades", "coin": "NOPE"}})
    with pytest.raises(websockets.ConnectionClosed):
        await socket.receive()


async def test_eleventh_user_is_refused(socket: Socket) -> None:
    for number in range(10):
        await socket.subscribe(type="userFills", user=f"0x{number:040x}")
    await socket.send({"method": "subscribe", "subscription": {"type": "userFills", "user": "0x" + "ff" * 20}})
    assert await socket.until("error") == "Cannot track more than 10 total users."


async def test_connection_that_is_sent_nothing_is_closed(connect: Any) -> None:
    client = await connect(idle_close_s=0.05)
    async with websockets.connect(client.sim.ws_url, ping_interval=0.01) as connection:
        with pytest.raises(websockets.ConnectionClosedOK):
            await asyncio.wait_for(connection.recv(), 5)


async def test_application_pings_keep_a_quiet_connection(connect: Any) -> None:
    client = await connect(idle_close_s=0.2)
    async with websockets.connect(client.sim.ws_url) as connection:
        socket = Socket(connection)
        loop = asyncio.get_running_loop()
        until = loop.time() + 0.5
        while loop.time() < until:
            await socket.send({"method": "ping"})
            assert await socket.receive() == {"channel": "pong"}


async def test_kick_cuts_every_connection(client: Any, socket: Socket) -> None:
    await socket.subscribe(type="trades", coin="ETH")
    assert await client.control("kick") == {"kicked": 1}
    await socket.receive()
    with pytest.raises(websockets.ConnectionClosedError):
        await socket.receive()
    assert (await client.seen("state"))["connections"] == 0
    async with websockets.connect(client.sim.ws_url) as again:
        await Socket(again).subscribe(type="trades", coin="ETH")


async def test_post_carries_actions_and_info(client: Any, socket: Socket) -> None:
    order = {"a": 1, "b": True, "p": "3500", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}
    body = client.signed({"type": "order", "orders": [order], "grouping": "na"})
    await socket.send({"method": "post", "id": 7, "request": {"type": "action", "payload": body}})
    answer = await socket.until("post")
    assert (answer["id"], answer["response"]["type"]) == (7, "action")
    assert "filled" in answer["response"]["payload"]["response"]["data"]["statuses"][0]
    info = {"type": "openOrders", "user": client.address}
    await socket.send({"method": "post", "id": 8, "request": {"type": "info", "payload": info}})
    assert await socket.until("post") == {
        "id": 8,
        "response": {"type": "info", "payload": {"type": "openOrders", "data": []}},
    }
    await socket.send({"method": "post", "id": 9, "request": {"type": "action", "payload": {}}})
    assert (await socket.until("post"))["response"]["type"] == "error"
    logged = await client.seen("requests", type="order")
    assert [entry["transport"] for entry in logged] == ["ws"]


async def test_sdk_socket_receives_trades_fills_and_books(client: Any) -> None:
    inbox: queue.Queue[Any] = queue.Queue()
    info = await asyncio.to_thread(Info, client.sim.url, False, timeout=5)
    try:
        for subscription in (
            {"type": "trades", "coin": "ETH"},
            {"type": "l2Book", "coin": "ETH"},
            {"type": "allMids"},
            {"type": "bbo", "coin": "ETH"},
            {"type": "userFills", "user": client.key.address},
            {"type": "orderUpdates", "user": client.key.address},
            {"type": "userEvents", "user": client.key.address},
        ):
            info.subscribe(subscription, inbox.put)
        channels = {"trades", "l2Book", "allMids", "bbo", "userFills"}
        while channels:
            channels.discard((await asyncio.to_thread(inbox.get, timeout=5))["channel"])
        await client.order(True, "0.5", "3500")
        channels = {"trades", "bbo", "userFills", "orderUpdates", "user"}
        while channels:
            channels.discard((await asyncio.to_thread(inbox.get, timeout=5))["channel"])
    finally:
        await asyncio.to_thread(info.disconnect_websocket)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "coin", "user", "x"]), inner),
    max_leaves=6,
)


@given(JSON)
def test_no_subscription_breaks_the_parser(raw: Any) -> None:
    try:
        parse(raw)
    except (InvalidSubscription, UnknownCoin):
        return
