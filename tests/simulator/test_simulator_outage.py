"""The exchange is away, and streams that misbehave without saying so."""

import asyncio
import json
from typing import Any

import aiohttp
import pytest
import websockets

SUBSCRIBE = '{"method":"subscribe","subscription":{"type":"trades","coin":"ETH"}}'


async def receive(socket: Any) -> Any:
    return json.loads(await asyncio.wait_for(socket.recv(), 10))


async def prices(socket: Any, count: int) -> list[str]:
    """Of the next so many trades."""
    seen: list[str] = []
    while len(seen) < count:
        frame = await receive(socket)
        if frame["channel"] == "trades":
            seen += [trade["px"] for trade in frame["data"]]
    return seen


async def subscribed(client: Any, socket: Any) -> None:
    """After the replayed trades: the one print at the start."""
    await socket.send(SUBSCRIBE)
    await prices(socket, len(client.sim.venue.tape["ETH"]))


async def end(client: Any) -> Any:
    async with client.http.delete(f"{client.sim.control_url}/control/outage") as response:
        return await response.json()


@pytest.mark.parametrize("mode", ["refuse", "hang", "bad_gateway"])
async def test_outage_cuts_everything_and_prices_go_on(client: Any, mode: str) -> None:
    async with websockets.connect(client.sim.ws_url) as socket:
        await subscribed(client, socket)
        await client.control("outage", mode=mode)
        with pytest.raises(websockets.ConnectionClosedError):
            await receive(socket)
        await client.price("3460")
        assert (await client.seen("state"))["coins"]["ETH"]["mid"] == "3460.0"
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=0.3 if mode == "hang" else 10)) as http:
            asked = http.post(f"{client.sim.url}/info", json={"type": "allMids"})
            if mode == "bad_gateway":
                async with asked as response:
                    assert (response.status, response.content_type) == (502, "text/html")
            else:
                with pytest.raises(TimeoutError if mode == "hang" else aiohttp.ClientConnectionError):
                    await asked
        with pytest.raises((OSError, websockets.WebSocketException, TimeoutError)):
            await websockets.connect(client.sim.ws_url, open_timeout=0.3)
    assert await end(client) == {"ended": True}
    assert (await client.info("allMids"))["ETH"] == "3460.0"
    candles = await client.info("candleSnapshot", req={"coin": "ETH", "interval": "1h", "startTime": 0})
    assert candles[-1]["h"] == "3460.0"
    async with websockets.connect(client.sim.ws_url) as socket:
        await subscribed(client, socket)


async def test_outage_ends_by_itself(client: Any) -> None:
    await client.control("outage", seconds=0.2)
    while (await client.seen("outage"))["mode"] is not None:
        pass
    assert await client.size() == 0
    assert await end(client) == {"ended": False}


async def test_request_that_was_held_is_executed_during_the_outage(client: Any) -> None:
    await client.control("faults", kind="delay", seconds=0.2, match={"action": "noop"})
    body = client.signed({"type": "noop"})
    waiting = asyncio.create_task(client.post(body))
    while not (await client.seen("faults"))[0]["hit"]:
        pass
    await client.control("outage")
    with pytest.raises(aiohttp.ClientError):
        await waiting
    while not await client.seen("requests", type="noop"):
        pass
    await end(client)
    assert "duplicate nonce" in (await client.post(body))["response"]


async def test_stalled_connection_loses_its_frames_and_goes_on_later(client: Any) -> None:
    async with websockets.connect(client.sim.ws_url) as stalled:
        await subscribed(client, stalled)
        assert (await client.control("streams", fault="stall", seconds=600))["connections"] == 1
        async with websockets.connect(client.sim.ws_url) as new:
            await subscribed(client, new)
            await client.price("3460")
            assert await prices(new, 1) == ["3460.0"]
        await stalled.send('{"method":"ping"}')
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(stalled.recv(), 0.2)
        await client.control("streams", fault="stall", seconds=0.05)
        while True:
            await client.price("3470")
            try:
                frame = json.loads(await asyncio.wait_for(stalled.recv(), 0.2))
            except TimeoutError:
                continue
            assert [trade["px"] for trade in frame["data"]] == ["3470.0"], "3460 is lost"
            break


async def test_silent_connection_neither_speaks_nor_answers_protocol_pings(client: Any) -> None:
    async with websockets.connect(client.sim.ws_url, close_timeout=0.1) as socket:
        await subscribed(client, socket)
        await client.control("streams", fault="silent_close")
        await client.price("3460")
        pong = asyncio.ensure_future(await socket.ping())
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 0.2)
        assert not pong.done()
    async with websockets.connect(client.sim.ws_url) as again:
        await subscribed(client, again)


async def test_frames_twice_again_and_out_of_order(client: Any) -> None:
    async with websockets.connect(client.sim.ws_url) as socket:
        await subscribed(client, socket)
        await client.control("streams", fault="duplicate", count=2)
        for price in ("3451", "3452", "3453"):
            await client.price(price)
        assert await prices(socket, 5) == ["3451.0", "3451.0", "3452.0", "3452.0", "3453.0"]
        await client.control("streams", fault="out_of_order", count=2)
        for price in ("3461", "3462", "3463", "3464", "3465"):
            await client.price(price)
        assert await prices(socket, 5) == ["3462.0", "3461.0", "3464.0", "3463.0", "3465.0"]
        await client.control("streams", fault="replay")
        assert await prices(socket, 9) == [f"{price}.0" for price in (3450, *range(3451, 3454), *range(3461, 3466))]


async def test_frame_that_nothing_overtakes_is_only_late(client: Any) -> None:
    async with websockets.connect(client.sim.ws_url) as socket:
        await subscribed(client, socket)
        await client.control("streams", fault="out_of_order")
        await client.price("3460")
        assert await prices(socket, 1) == ["3460.0"]


async def test_garbage_is_not_json_and_the_stream_goes_on(client: Any) -> None:
    async with websockets.connect(client.sim.ws_url) as socket:
        await subscribed(client, socket)
        await client.control("streams", fault="garbage", count=2)
        for _ in range(2):
            assert str(await asyncio.wait_for(socket.recv(), 5)).startswith("<html>")
        await client.price("3460")
        assert await prices(socket, 1) == ["3460.0"]


async def test_spoilt_reply_over_the_websocket_cuts_it(client: Any) -> None:
    await client.control("faults", kind="truncate", match={"action": "noop"})
    async with websockets.connect(client.sim.ws_url) as socket:
        body = client.signed({"type": "noop"})
        await socket.send(json.dumps({"method": "post", "id": 1, "request": {"type": "action", "payload": body}}))
        with pytest.raises(websockets.ConnectionClosedError):
            await receive(socket)
    assert "duplicate nonce" in (await client.post(body))["response"]


async def test_unknown_stream_fault_is_refused(client: Any) -> None:
    async with client.http.post(f"{client.sim.control_url}/control/streams", json={"fault": "sulk"}) as response:
        assert response.status == 400
        assert "'kick'" in await response.text()
