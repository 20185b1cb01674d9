"""The reply is lost, the request is lost, the price stands still: what tests may do to the venue."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt.async_support as ccxt
import pytest
import websockets

from simulator.prices import Clock, PricePoint

ORDER: dict[str, Any] = {
    "type": "order",
    "orders": [{"a": 1, "b": True, "p": "3500", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}],
    "grouping": "na",
}
OK = {"status": "ok", "response": {"type": "default"}}


async def arm(client: Any, kind: str, **match: Any) -> None:
    await client.control("faults", kind=kind, match=match)


async def test_order_is_executed_and_its_reply_is_lost(client: Any) -> None:
    await arm(client, "drop_reply", action="order")
    body = client.signed(ORDER)
    with pytest.raises(aiohttp.ClientError):
        await client.post(body)
    assert str(await client.size()) == "0.1"
    (entry,) = await client.seen("requests", type="order")
    assert (entry["verdict"], entry["signer"]) == ("ok, reply dropped", client.address)
    duplicate = {"status": "err", "response": f"Invalid nonce: duplicate nonce {body['nonce']}"}
    assert await client.act({"type": "noop"}, nonce=body["nonce"]) == duplicate


async def test_dropped_request_leaves_no_trace(client: Any) -> None:
    await arm(client, "drop_request", action="order")
    body = client.signed(ORDER)
    with pytest.raises(aiohttp.ClientError):
        await client.post(body)
    assert await client.size() == 0
    assert await client.act({"type": "noop"}, nonce=body["nonce"]) == OK


async def test_only_the_nth_matching_action_is_hit_and_as_often_as_asked(client: Any) -> None:
    await arm(client, "drop_reply", action="order", nth=2, count=2)
    fates = []
    for _ in range(5):
        await client.act({"type": "noop"})
        try:
            await client.act(ORDER)
            fates.append("answered")
        except aiohttp.ClientError:
            fates.append("lost")
    assert fates == ["answered", "lost", "lost", "answered", "answered"]
    assert str(await client.size()) == "0.5"


async def test_faults_can_be_disarmed(client: Any) -> None:
    await arm(client, "drop_reply")
    async with client.http.delete(f"{client.sim.control_url}/control/faults") as response:
        assert await response.json() == {"disarmed": 1}
    assert await client.act({"type": "noop"}) == OK


async def test_ccxt_calls_a_lost_reply_not_available(client: Any) -> None:
    options = {"walletAddress": client.key.address, "privateKey": "0x" + "11" * 32, "options": {"sandboxMode": True}}
    options["urls"] = {"api": {"public": client.sim.url, "private": client.sim.url}}
    exchange = ccxt.hyperliquid(options | {"enableRateLimit": False})
    try:
        await exchange.load_markets()
        await arm(client, "drop_reply", action="order")
        with pytest.raises(ccxt.ExchangeNotAvailable):
            await exchange.create_order("ETH/USDC:USDC", "market", "buy", 0.1, 3450)
    finally:
        await exchange.close()
    assert str(await client.size()) == "0.1"


async def test_reply_lost_over_the_websocket(client: Any) -> None:
    await arm(client, "drop_reply", action="order")
    async with websockets.connect(client.sim.ws_url) as socket:
        post = {"method": "post", "id": 1, "request": {"type": "action", "payload": client.signed(ORDER)}}
        await socket.send(json.dumps(post))
        with pytest.raises(websockets.ConnectionClosedError):
            await asyncio.wait_for(socket.recv(), 5)
    assert str(await client.size()) == "0.1"


class Ramp:
    """ETH from 3400 up by one a second; 100 prints."""

    coins = ("ETH",)

    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def initial(self) -> dict[str, Decimal]:
        return {"ETH": Decimal(3400) + int(self.clock.elapsed_s())}

    async def stream(self) -> Any:
        for step in range(int(self.clock.elapsed_s()) + 1, 100):
            await self.clock.wait_until(step)
            yield PricePoint("ETH", Decimal(3400 + step), self.clock.at_ms(step))

    async def close(self) -> None:
        return None


async def test_paused_clock_holds_prices_and_resumed_goes_on(connect: Any) -> None:
    client = await connect(price_source=Ramp, speed=1000, paused=True)
    assert (await client.info("allMids"))["ETH"] == "3400.0"
    async with websockets.connect(client.sim.ws_url) as socket:
        await socket.send('{"method":"subscribe","subscription":{"type":"trades","coin":"ETH"}}')
        state = await client.control("clock", paused=False)
        assert (state["paused"], state["speed"]) == (False, 1000.0)
        while "3499.0" not in await asyncio.wait_for(socket.recv(), 5):
            pass
    assert (await client.info("allMids"))["ETH"] == "3499.0"


async def test_price_can_be_set_by_hand_with_mark_and_oracle_apart(client: Any) -> None:
    await client.control("price", coin="ETH", price="3460", mark="3455.5", oracle="3450.25")
    _, contexts = await client.info("metaAndAssetCtxs")
    assert (contexts[1]["midPx"], contexts[1]["markPx"], contexts[1]["oraclePx"]) == ("3460.0", "3455.5", "3450.25")
    await client.control("price", coin="ETH", mark=None, oracle=None)
    _, contexts = await client.info("metaAndAssetCtxs")
    assert contexts[1]["markPx"] == contexts[1]["oraclePx"] == "3460.0"


async def test_depth_can_be_changed_while_running(client: Any) -> None:
    await client.control("depth", coin="ETH", levels=1, size_usd="345", half_spread_ticks="5")
    status = await client.order(True, "1", "3500")
    assert (status["filled"]["totalSz"], status["filled"]["avgPx"]) == ("0.0999", "3450.5")
    await client.control("depth", coin="ETH", levels=0)
    assert "could not immediately match" in (await client.order(True, "1", "3500"))["error"]
    assert (await client.info("l2Book", coin="ETH"))["levels"] == [[], []]


async def test_ledger_is_the_exchanges_own_view(client: Any) -> None:
    await client.order(True, "1", "3500", cloid="0x" + "ab" * 16)
    await client.order(False, "0.4", "3600", tif="Gtc")
    await client.order(True, "1", "3400")
    await client.act(ORDER | {"orders": [ORDER["orders"][0] | {"p": "3450.05"}]})
    await client.control("fund", address=client.address, usd="-500")
    book = (await client.seen("ledger"))[client.address]
    assert (book["depositsUsd"], book["positions"], book["orderRequests"]) == ("9500.0", {"ETH": "1.0"}, 4)
    assert [order["status"] for order in book["acceptedOrders"]] == ["filled", "open"]
    assert [order["status"] for order in book["refusedOrders"]] == ["iocCancelRejected"]
    assert book["acceptedOrders"][0]["signer"] == client.address
    assert book["accountValueUsd"] == (await client.state())["marginSummary"]["accountValue"]
