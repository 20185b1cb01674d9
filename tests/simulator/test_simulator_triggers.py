"""Trigger orders: waiting off the book, fired by the mark, executed within their limit, gone with their position."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from simulator.config import Depth
from simulator.server import Simulator, SimulatorConfig

CLOID = "0x" + "cd" * 16


def trigger(price: str, kind: str = "sl", *, market: bool = True) -> dict[str, Any]:
    return {"trigger": {"isMarket": market, "triggerPx": price, "tpsl": kind}}


async def place(
    client: Any,
    is_buy: bool,
    size: str,
    limit: str,
    kind: dict[str, Any],
    *,
    reduce_only: bool = True,
    grouping: str = "na",
) -> Any:
    order = {"a": 1, "b": is_buy, "p": limit, "s": size, "r": reduce_only, "t": kind, "c": CLOID}
    answer = await client.act({"type": "order", "orders": [order], "grouping": grouping})
    return answer["response"]["data"]["statuses"][0] if answer["status"] == "ok" else answer["response"]


async def stop(client: Any, size: str = "1", price: str = "3350", limit: str = "3000") -> Any:
    """A stop that sells out of a long."""
    return (await place(client, False, size, limit, trigger(price)))["resting"]


async def record(client: Any, oid: int | str = CLOID) -> Any:
    return (await client.info("orderStatus", user=client.address, oid=oid))["order"]


@pytest.fixture
async def long(client: Any) -> Any:
    """One ETH held, mark 3450."""
    await client.order(True, "1", "3500")
    return client


async def test_a_stop_rests_off_the_book_without_margin_and_is_shown_as_what_it_is(long: Any) -> None:
    free, book = (await long.state())["withdrawable"], await long.info("l2Book", coin="ETH")
    ids = await stop(long)
    assert ids["cloid"] == CLOID
    (shown,) = await long.info("frontendOpenOrders", user=long.address)
    assert shown == {
        "coin": "ETH",
        "side": "A",
        "limitPx": "3000.0",
        "sz": "1.0",
        "oid": ids["oid"],
        "timestamp": shown["timestamp"],
        "triggerCondition": "Price below 3350.0",
        "isTrigger": True,
        "triggerPx": "3350.0",
        "children": [],
        "isPositionTpsl": False,
        "reduceOnly": True,
        "orderType": "Stop Market",
        "origSz": "1.0",
        "tif": None,
        "cloid": CLOID,
    }
    (plain,) = await long.info("openOrders", user=long.address)
    assert (plain["oid"], plain["limitPx"], plain["reduceOnly"]) == (ids["oid"], "3000.0", True)
    assert (await record(long))["status"] == "open"
    assert (await long.state())["withdrawable"] == free
    assert (await long.info("l2Book", coin="ETH"))["levels"] == book["levels"]


@pytest.mark.parametrize(
    ("is_buy", "kind", "price", "limit", "short_of", "reached", "order_type", "condition"),
    [
        (False, "sl", "3350", "3000", "3350.1", "3350", "Stop Market", "below"),
        (True, "sl", "3550", "3900", "3549.9", "3550", "Stop Market", "above"),
        (False, "tp", "3550", "3500", "3549.9", "3551", "Take Profit Market", "above"),
        (True, "tp", "3350", "3400", "3350.1", "3349", "Take Profit Market", "below"),
    ],
)
async def test_a_trigger_fires_when_the_mark_reaches_it_from_its_own_side(
    client: Any,
    is_buy: bool,
    kind: str,
    price: str,
    limit: str,
    short_of: str,
    reached: str,
    order_type: str,
    condition: str,
) -> None:
    await client.order(not is_buy, "1", "3400" if is_buy else "3500")
    assert "resting" in await place(client, is_buy, "1", limit, trigger(price, kind))
    shown = (await record(client))["order"]
    assert (shown["orderType"], shown["triggerCondition"]) == (order_type, f"Price {condition} {price}.0")
    await client.price(short_of)
    assert abs(await client.size()) == 1
    await client.price(reached)
    assert await client.size() == 0
    assert (await record(client))["status"] == "filled"


async def test_the_mark_fires_a_stop_and_the_book_fills_it(long: Any) -> None:
    ids = await stop(long)
    await long.control("price", coin="ETH", price="3340", mark="3360")
    assert await long.size() == 1
    await long.control("price", coin="ETH", mark="3345")
    assert await long.size() == 0
    fill = (await long.info("userFills", user=long.address))[0]
    assert (fill["px"], fill["sz"], fill["side"], fill["dir"]) == ("3339.9", "1.0", "A", "Close Long")
    assert (fill["oid"], fill["cloid"], fill["crossed"]) == (ids["oid"], CLOID, True)
    assert await long.info("frontendOpenOrders", user=long.address) == []


async def test_a_stop_takes_no_more_than_its_limit_allows(connect: Any) -> None:
    client = await connect(depth=Depth(levels=3, size_usd=Decimal(1675)), usd="100000")
    for _ in range(2):
        await client.order(True, "1", "3500")
    await stop(client, size="2", limit="3349.8")
    await client.price("3350")
    # Half an ETH on each tick, and the third tick is beyond the limit: the rest is dropped, as of any IOC.
    assert await client.size() == Decimal("1")
    assert (await record(client))["status"] == "filled"
    await client.price("3340")
    assert await client.size() == Decimal("1")


async def test_a_stop_that_finds_nothing_within_its_limit_is_over(long: Any) -> None:
    await stop(long, limit="3350")
    await long.price("3300")
    assert (await record(long))["status"] == "iocCancelRejected"
    assert await long.size() == 1
    await long.price("3360")
    await long.price("3350")
    assert await long.size() == 1


async def test_a_stop_larger_than_the_position_closes_it_and_never_flips_it(long: Any) -> None:
    await stop(long, size="3")
    await long.order(False, "0.4", "3400")
    assert (await record(long))["order"]["sz"] == "3.0", "it keeps its size while it waits"
    await long.price("3350")
    assert await long.size() == 0
    (mine,) = [order for order in await accepted(long) if order["cloid"] == CLOID]
    assert (mine["size"], mine["filledSize"], mine["shrunkSize"], mine["status"]) == ("3.0", "0.6", "2.4", "filled")


async def accepted(client: Any) -> Any:
    return (await client.seen("ledger"))[client.address]["acceptedOrders"]


@pytest.mark.parametrize("size", ["1", "2"])
async def test_a_stop_ends_with_its_position_closed_or_flipped(long: Any, size: str) -> None:
    await stop(long)
    await long.order(False, size, "3400")
    assert (await record(long))["status"] == "reduceOnlyCanceled"
    await long.price("3300")
    assert await long.size() == 1 - Decimal(size)


async def test_the_first_of_two_stops_takes_the_second_along(long: Any) -> None:
    first, second = await stop(long), await stop(long, price="3345")
    await long.price("3340")
    assert await long.size() == 0
    statuses = [(await record(long, ids["oid"]))["status"] for ids in (first, second)]
    assert statuses == ["filled", "reduceOnlyCanceled"]


async def test_a_liquidation_cancels_stops_first(connect: Any) -> None:
    client = await connect(usd="1000")
    await client.order(True, "5", "3500")
    await stop(client, size="5", price="3000", limit="2900")
    await client.price("3300")
    assert (await record(client))["status"] == "liquidatedCanceled"


@pytest.mark.parametrize(
    ("order", "error", "status"),
    [
        ((False, "1", "3000", trigger("3450")), "Invalid TP/SL price. asset=1", "badTriggerPxRejected"),
        ((False, "1", "3000", trigger("3500")), "Invalid TP/SL price. asset=1", "badTriggerPxRejected"),
        ((False, "1", "3351", trigger("3350")), "Invalid TP/SL price. asset=1", "badTriggerPxRejected"),
        ((False, "1", "3400", trigger("3400", "tp")), "Invalid TP/SL price. asset=1", "badTriggerPxRejected"),
        (
            (True, "1", "3900", trigger("3550")),
            "Reduce only order would increase position. asset=1",
            "reduceOnlyRejected",
        ),
        (
            (False, "0.002", "3000", trigger("3350")),
            "Order must have minimum value of $10. asset=1",
            "minTradeNtlRejected",
        ),
        ((False, "1", "3000", trigger("3350.05")), "Price must be divisible by tick size. asset=1", None),
        ((False, "1.00001", "3000", trigger("3350")), "Order has invalid size. asset=1", None),
        ((False, "1", "600", trigger("3350")), "away from the reference price asset=1", "oracleRejected"),
    ],
)
async def test_refusals_are_in_the_venues_words(long: Any, order: Any, error: str, status: str | None) -> None:
    assert (await place(long, *order))["error"].endswith(error)
    found = await long.info("orderStatus", user=long.address, oid=CLOID)
    assert found["status"] == "unknownOid" if status is None else found["order"]["status"] == status
    assert await long.info("frontendOpenOrders", user=long.address) == []


async def test_a_grouping_that_is_not_simulated_is_refused(long: Any) -> None:
    answer = await place(long, False, "1", "3000", trigger("3350"), grouping="positionTpsl")
    assert answer == "Grouping positionTpsl is not simulated."


async def test_a_stop_is_cancelled_by_either_id_and_only_once(long: Any) -> None:
    by_cloid = {"type": "cancelByCloid", "cancels": [{"asset": 1, "cloid": CLOID}]}
    await stop(long)
    assert (await long.act(by_cloid))["response"]["data"]["statuses"] == ["success"]
    assert (await record(long))["status"] == "canceled"
    gone = "Order was never placed, already canceled, or filled. asset=1"
    assert (await long.act(by_cloid))["response"]["data"]["statuses"] == [{"error": gone}]
    oid = (await stop(long))["oid"]
    await long.act({"type": "cancel", "cancels": [{"a": 1, "o": oid}]})
    await long.price("3300")
    assert await long.size() == 1


async def test_a_stop_is_moved_by_modify(long: Any) -> None:
    oid = (await stop(long))["oid"]
    order = {"a": 1, "b": False, "p": "3000", "s": "0.5", "r": True, "t": trigger("3250"), "c": CLOID}
    assert (await long.act({"type": "modify", "oid": oid, "order": order}))["status"] == "ok"
    (shown,) = await long.info("frontendOpenOrders", user=long.address)
    assert (shown["triggerPx"], shown["sz"], shown["oid"] > oid) == ("3250.0", "0.5", True)
    await long.price("3350")
    assert await long.size() == 1


async def test_a_stop_limit_rests_on_the_book_once_it_has_fired(long: Any) -> None:
    await place(long, False, "1", "3350", trigger("3350", market=False))
    assert (await record(long))["order"]["orderType"] == "Stop Limit"
    await long.price("3300")
    assert (await record(long))["status"] == "triggered"
    await long.price("3360")
    assert await long.size() == 0
    assert (await long.info("userFills", user=long.address))[0]["px"] == "3350.0"


async def test_a_trigger_without_margin_when_it_fires_is_cancelled(client: Any) -> None:
    await place(client, True, "100", "3900", trigger("3500"), reduce_only=False)
    await client.price("3500")
    assert (await record(client))["status"] == "marginCanceled"
    assert await client.size() == 0


async def test_a_stop_survives_a_restart_and_fires(connect: Any, tmp_path: Path, as_key: Any) -> None:
    client = await connect(state_dir=tmp_path)
    await client.order(True, "1", "3500")
    ids = await stop(client)
    shown = await client.info("frontendOpenOrders", user=client.address)
    await client.sim.stop()
    client.sim = Simulator(SimulatorConfig(state_dir=tmp_path))
    async with client.sim:
        assert await client.info("frontendOpenOrders", user=client.address) == shown
        await client.price("3345")
        assert await client.size() == 0
        fill = (await client.info("userFills", user=client.address))[0]
        assert (fill["oid"], fill["cloid"]) == (ids["oid"], CLOID)
        books = (await client.seen("ledger"))[client.address]
        assert (books["positions"], books["accountValueUsd"]) == (
            {},
            (await client.state())["marginSummary"]["accountValue"],
        )


async def test_ledger_and_account_agree_after_a_stop(long: Any) -> None:
    await stop(long)
    await long.price("3345")
    books = (await long.seen("ledger"))[long.address]
    assert books["accountValueUsd"] == (await long.state())["marginSummary"]["accountValue"]
    (order,) = [order for order in books["acceptedOrders"] if order["cloid"] == CLOID]
    assert (order["filledSize"], order["shrunkSize"], order["status"]) == ("1.0", "0.0", "filled")
