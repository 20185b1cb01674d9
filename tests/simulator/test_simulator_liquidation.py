"""Liquidation at mark: who, how much, at what price, and what everyone is told."""

import asyncio
import json
from decimal import Decimal
from typing import Any

import pytest
import websockets

from simulator.liquidation import LOWEST_LEVERAGE
from simulator.markets import MARKETS

ETH = 1


async def leverage(client: Any, value: int, *, is_cross: bool = True, asset: int = ETH) -> None:
    answer = await client.act({"type": "updateLeverage", "asset": asset, "isCross": is_cross, "leverage": value})
    assert answer["status"] == "ok"


async def mark(client: Any, price: str, coin: str = "ETH") -> None:
    """The mark alone: the book stays."""
    await client.control("price", coin=coin, mark=price)


async def value(client: Any) -> Decimal:
    return Decimal((await client.state())["marginSummary"]["accountValue"])


async def equation_holds(client: Any) -> None:
    book = (await client.seen("ledger"))[client.address]
    state = await client.state()
    unrealised = sum(Decimal(each["position"]["unrealizedPnl"]) for each in state["assetPositions"])
    terms = {name: Decimal(book[f"{name}Usd"]) for name in ("deposits", "realizedPnl", "funding", "backstop", "fees")}
    summed = sum(terms.values()) - 2 * terms["fees"] + unrealised
    assert summed == Decimal(book["accountValueUsd"]) == Decimal(state["marginSummary"]["accountValue"])


async def test_cross_position_is_closed_on_the_book_below_maintenance(connect: Any) -> None:
    client = await connect(usd="200")
    await client.order(True, "1", "3500")
    await client.price("3322")
    assert await client.size() == 1, "200 - 128.10 - 1.55 is above 2 % of 3322"
    await client.price("3318")
    assert await client.size() == 0
    fill = (await client.info("userFills", user=client.address))[0]
    assert fill["liquidation"] == {"liquidatedUser": client.address, "markPx": "3318.0", "method": "market"}
    assert (fill["dir"], fill["px"], fill["sz"], fill["side"]) == ("Close Long", "3317.9", "1.0", "A")
    assert "cloid" not in fill and fill["fee"] == "1.493055"
    await equation_holds(client)
    book = (await client.seen("ledger"))[client.address]
    assert book["liquidationOids"] == [fill["oid"]]
    assert [order["oid"] for order in book["acceptedOrders"]] != [fill["oid"]], "an order of the venue's own"
    (entry,) = [
        row["delta"]
        for row in await client.info("userNonFundingLedgerUpdates", user=client.address, startTime=0)
        if row["delta"]["type"] == "liquidation"
    ]
    assert (entry["leverageType"], entry["liquidatedPositions"]) == ("Cross", [{"coin": "ETH", "szi": "1.0"}])


async def test_shown_liquidation_price_is_where_it_happens(connect: Any) -> None:
    client = await connect(usd="500")
    await client.order(False, "1", "3400")
    shown = Decimal((await client.state())["assetPositions"][0]["position"]["liquidationPx"])
    await mark(client, str(shown - Decimal("0.001")))
    assert await client.size() == -1
    await mark(client, str(shown + Decimal("0.001")))
    assert await client.size() == 0
    await equation_holds(client)


async def test_resting_orders_go_first_and_everyone_is_told(connect: Any) -> None:
    client = await connect(usd="300")
    await client.order(True, "1", "3500")
    oid = (await client.order(True, "0.05", "3000", tif="Gtc", cloid="0x" + "cd" * 16))["resting"]["oid"]
    async with websockets.connect(client.sim.ws_url) as connection:
        for kind in ("userEvents", "orderUpdates"):
            subscription = {"type": kind, "user": client.address}
            await connection.send(json.dumps({"method": "subscribe", "subscription": subscription}))
            await asyncio.wait_for(connection.recv(), 10)
        await client.price("3215")
        told: dict[str, Any] = {}
        while "liquidation" not in told:
            frame = json.loads(await asyncio.wait_for(connection.recv(), 10))
            told |= frame["data"] if frame["channel"] == "user" else {"update": frame["data"][0]}
    assert told["nonUserCancel"] == [{"coin": "ETH", "oid": oid}]
    assert told["update"]["status"] == "liquidatedCanceled"
    assert told["fills"][0]["liquidation"]["method"] == "market"
    liquidation = told["liquidation"]
    assert liquidation["liquidated_user"] == client.address and liquidation["liquidated_ntl_pos"] == "3215.0"
    status = await client.info("orderStatus", user=client.address, oid=oid)
    assert status["order"]["status"] == "liquidatedCanceled"


async def test_gap_below_two_thirds_goes_to_the_backstop_with_all_margin(connect: Any) -> None:
    client = await connect(usd="200")
    await client.order(True, "1", "3500")
    tape = await client.info("recentTrades", coin="ETH")
    await mark(client, "3290")
    assert await client.size() == 0
    fill = (await client.info("userFills", user=client.address))[0]
    assert (fill["dir"], fill["px"], fill["fee"]) == ("Liquidated Cross Long", "3290.0", "0.0")
    assert fill["liquidation"]["method"] == "backstop"
    assert await client.info("recentTrades", coin="ETH") == tape, "not a trade on the book"
    assert await value(client) == 0
    assert (await client.seen("ledger"))[client.address]["backstopUsd"] == "-38.347455"
    await equation_holds(client)


async def test_backstop_bears_what_a_gap_takes_beyond_the_margin(connect: Any) -> None:
    client = await connect(usd="200")
    await client.order(False, "1", "3400")
    await client.price("4000")
    assert await client.size() == await value(client) == 0
    assert Decimal((await client.seen("ledger"))[client.address]["backstopUsd"]) > 350
    await equation_holds(client)
    await client.control("fund", address=client.address, usd="200")
    assert "filled" in await client.order(True, "0.5", "4100")


async def test_isolated_position_falls_alone(client: Any) -> None:
    await leverage(client, 10, is_cross=False)
    await client.order(True, "1", "3500")
    await client.order(True, "0.01", "90000", asset=0)
    btc = (await client.order(True, "0.01", "80000", asset=0, tif="Gtc"))["resting"]["oid"]
    eth = (await client.order(True, "0.1", "3000", tif="Gtc"))["resting"]["oid"]
    cash = Decimal((await client.state())["crossMarginSummary"]["totalRawUsd"])
    await mark(client, "3160")
    assert (await client.size("ETH"), str(await client.size("BTC"))) == (0, "0.01")
    assert [order["oid"] for order in await client.info("openOrders", user=client.address)] == [btc] != [eth]
    after = Decimal((await client.state())["crossMarginSummary"]["totalRawUsd"])
    margin_left = after - cash
    assert margin_left > 0, "closed at 3449.9 on the book, its margin came back"
    await mark(client, "3450")
    await client.order(True, "1", "3500")
    cash = Decimal((await client.state())["crossMarginSummary"]["totalRawUsd"])
    await mark(client, "3000")
    assert await client.size("ETH") == 0
    fill = (await client.info("userFills", user=client.address))[0]
    assert fill["dir"] == "Liquidated Isolated Long"
    assert Decimal((await client.state())["crossMarginSummary"]["totalRawUsd"]) == cash, "only its own margin is gone"
    await equation_holds(client)


async def test_large_position_loses_a_fifth_first_and_all_of_it_within_the_cooldown(connect: Any) -> None:
    client = await connect(usd="9000", market_time="simulated")
    await client.order(True, "50", "3500")
    await client.price("3333")
    assert str(await client.size()) == "40.0"
    assert (await client.info("userFills", user=client.address))[0]["sz"] == "10.0"
    await client.price("3330")
    assert str(await client.size()) == "40.0", "enough for the rest"
    await client.price("3305")
    assert await client.size() == 0
    assert (await client.info("userFills", user=client.address))[0]["liquidation"]["method"] == "market"
    await equation_holds(client)


async def test_after_the_cooldown_a_fifth_again(connect: Any) -> None:
    client = await connect(usd="9000", market_time="simulated")
    await client.order(True, "50", "3500")
    await client.price("3333")
    await client.control("clock", seek_s=31)
    await client.price("3305")
    assert str(await client.size()) == "32.0"


async def test_thin_book_fills_what_it_has_and_the_rest_goes_on(connect: Any) -> None:
    client = await connect(usd="200")
    await client.order(True, "1", "3500")
    await client.control("depth", coin="ETH", levels=1, size_usd="1000", refill="price")
    await mark(client, "3318")
    assert Decimal(0) < await client.size() < 1
    await equation_holds(client)


async def test_both_sides_of_a_liquidation_are_marked(connect: Any, as_key: Any) -> None:
    client = await connect(usd="200")
    other = as_key(client, "0x" + "33" * 32)
    await client.control("fund", address=other.address, usd="10000")
    await client.order(True, "1", "3500")
    await client.control("depth", coin="ETH", levels=0)
    await other.order(True, "2", "3449", tif="Gtc")
    await mark(client, "3318")
    (theirs,) = await client.info("userFills", user=other.address)
    assert theirs["liquidation"]["liquidatedUser"] == client.address and theirs["dir"] == "Open Long"
    books = await client.seen("ledger")
    assert books[other.address]["liquidationOids"] == [] != books[client.address]["liquidationOids"]


async def test_funding_can_liquidate(connect: Any) -> None:
    client = await connect(usd="200")
    await client.order(True, "1", "3500")
    await client.price("3325")
    assert await client.size() == 1
    await client.control("funding", coin="ETH", rate="0.005")
    assert await client.size() == 0
    await equation_holds(client)


@pytest.mark.parametrize("notional_usd", [Decimal(1), Decimal(99_999), Decimal(20_000_000), Decimal(2_000_000_000)])
def test_the_quick_look_never_takes_a_position_for_safer_than_it_is(notional_usd: Decimal) -> None:
    for market in MARKETS:
        assert market.maintenance_usd(notional_usd) <= notional_usd / (2 * LOWEST_LEVERAGE), market.coin
