"""What becomes of orders: fills from finite depth, resting, cancelling, and every refusal in the venue's words."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from simulator.config import Depth, SimulatorConfig
from simulator.placing import Sender, place
from simulator.requests import OrderSpec
from simulator.venue import Venue

CLOID = "0x" + "ab" * 16
THIN = Depth(levels=3, size_usd=Decimal(3450))
"""About one ETH on each of three levels."""


async def test_market_buy_pays_the_ask_and_sell_gets_the_bid(client: Any) -> None:
    bought = await client.order(True, "0.5", "3500")
    sold = await client.order(False, "0.5", "3400")
    assert (bought["filled"]["totalSz"], bought["filled"]["avgPx"]) == ("0.5", "3450.1")
    assert (sold["filled"]["totalSz"], sold["filled"]["avgPx"]) == ("0.5", "3449.9")
    assert await client.size() == 0


async def test_ioc_larger_than_the_depth_fills_partly_without_an_error(connect: Any) -> None:
    client = await connect(depth=THIN, usd="100000")
    status = await client.order(True, "5", "3500", cloid=CLOID)
    assert status["filled"]["totalSz"] == "2.9997"
    assert status["filled"]["avgPx"] == "3450.2"
    assert await client.size() == Decimal("2.9997")
    record = (await client.info("orderStatus", user=client.address, oid=CLOID))["order"]
    assert (record["status"], record["order"]["sz"], record["order"]["origSz"]) == ("filled", "2.0003", "5.0")
    assert await client.info("openOrders", user=client.address) == []


async def test_slippage_limit_stops_an_order_before_the_depth_does(connect: Any) -> None:
    client = await connect(depth=THIN, usd="100000")
    status = await client.order(True, "2.5", "3450.2")
    assert status["filled"]["totalSz"] == "1.9998"


async def test_depth_taken_comes_back_with_the_next_price_when_so_configured(connect: Any) -> None:
    client = await connect(depth=THIN.model_copy(update={"refill": "price"}), usd="100000")
    assert (await client.order(True, "2.5", "3500"))["filled"]["totalSz"] == "2.5"
    assert (await client.order(True, "2.5", "3500"))["filled"]["totalSz"] == "0.4997"
    assert "could not immediately match" in (await client.order(True, "2.5", "3500"))["error"]
    await client.price("3450")
    assert (await client.order(True, "2.5", "3500"))["filled"]["totalSz"] == "2.5"


async def test_gtc_takes_what_is_there_and_rests_with_the_remainder(connect: Any) -> None:
    client = await connect(depth=THIN, usd="100000")
    status = await client.order(True, "3", "3450.2", tif="Gtc", cloid=CLOID)
    assert status["filled"]["totalSz"] == "1.9998"
    (resting,) = await client.info("openOrders", user=client.address)
    assert (resting["sz"], resting["origSz"], resting["limitPx"]) == ("1.0002", "3.0", "3450.2")
    assert resting["cloid"] == CLOID
    book = await client.info("l2Book", coin="ETH")
    assert book["levels"][0][0] == {"px": "3450.2", "sz": "1.0002", "n": 1}
    assert Decimal(book["levels"][1][0]["px"]) > Decimal("3450.2")


async def test_resting_order_fills_as_maker_at_its_own_price_when_the_market_crosses_it(client: Any) -> None:
    status = await client.order(True, "1", "3440", tif="Gtc")
    await client.price("3441")
    assert await client.size() == 0
    await client.price("3435")
    assert await client.size() == 1
    (fill,) = await client.info("userFills", user=client.address)
    assert fill["oid"] == status["resting"]["oid"]
    assert (fill["px"], fill["crossed"], fill["fee"]) == ("3440.0", False, "0.516")
    trades = await client.info("recentTrades", coin="ETH")
    assert [trade["px"] for trade in trades[:2]] == ["3435.0", "3440.0"], "the last trade is the new price"
    assert trades[1]["side"] == "A" and trades[1]["users"][0] == client.address


async def test_touched_order_fills_with_the_print_only(client: Any) -> None:
    await client.order(True, "1", "3440", tif="Gtc")
    await client.price("3440")
    assert await client.size() == Decimal("0.2906")


async def test_two_users_trade_with_each_other(client: Any, as_key: Callable[..., Any]) -> None:
    other = as_key(client, "0x" + "33" * 32)
    await client.control("fund", address=other.address, usd="10000")
    await client.order(False, "1", "3450.1", tif="Gtc")
    await other.order(True, "1", "3500")
    (mine,) = await client.info("userFills", user=client.address)
    (theirs,) = await client.info("userFills", user=other.address)
    assert mine["tid"] == theirs["tid"]
    assert (mine["dir"], theirs["dir"]) == ("Open Short", "Open Long")
    assert (mine["crossed"], theirs["crossed"]) == (False, True)


async def test_self_trade_cancels_the_resting_side(client: Any) -> None:
    resting = await client.order(False, "1", "3450.1", tif="Gtc")
    assert (await client.order(True, "1", "3500"))["filled"]["totalSz"] == "1.0"
    oid = resting["resting"]["oid"]
    record = await client.info("orderStatus", user=client.address, oid=oid)
    assert record["order"]["status"] == "selfTradeCanceled"
    assert await client.size() == 1


@pytest.mark.parametrize(
    ("order", "error"),
    [
        ({"is_buy": True, "size": "0.1", "price": "3450.05"}, "Price must be divisible by tick size. asset=1"),
        ({"is_buy": True, "size": "0.1", "price": "13450.5"}, "Price must be divisible by tick size. asset=1"),
        ({"is_buy": True, "size": "0.00001", "price": "3500"}, "Order has invalid size. asset=1"),
        ({"is_buy": True, "size": "0", "price": "3500"}, "Order has zero size. asset=1"),
        ({"is_buy": True, "size": "0.0028", "price": "3500"}, "Order must have minimum value of $10. asset=1"),
        (
            {"is_buy": True, "size": "0.1", "price": "3400"},
            "Order could not immediately match against any resting orders. asset=1",
        ),
        (
            {"is_buy": True, "size": "0.1", "price": "3460", "tif": "Alo"},
            "Post only order would have immediately matched, bbo was 3449.9@3450.1. asset=1",
        ),
        (
            {"is_buy": False, "size": "0.1", "price": "3400", "reduce_only": True},
            "Reduce only order would increase position. asset=1",
        ),
        ({"is_buy": True, "size": "100", "price": "3500"}, "Insufficient margin to place order. asset=1"),
        (
            {"is_buy": True, "size": "0.1", "price": "20000"},
            "Order price cannot be more than 80% away from the reference price asset=1",
        ),
        ({"is_buy": True, "size": "0.1", "price": "1", "asset": 3}, "Trading is halted. asset=3"),
        ({"is_buy": True, "size": "0.1", "price": "1", "asset": 99}, "Order has invalid asset. asset=99"),
    ],
)
async def test_refusals(client: Any, order: dict[str, Any], error: str) -> None:
    assert await client.order(**order) == {"error": error}
    assert (await client.state())["assetPositions"] == []


@pytest.mark.parametrize(("price", "allowed"), [("13450", True), ("3449.9", True), ("3449.95", False)])
async def test_integer_prices_are_always_on_the_grid(client: Any, price: str, allowed: bool) -> None:
    status = await client.order(True, "0.1", price, tif="Gtc")
    assert ("Price must be divisible" not in str(status)) is allowed


async def test_state_rejects_leave_a_record_and_static_ones_do_not(client: Any) -> None:
    await client.order(True, "0.1", "3400", cloid=CLOID)
    await client.order(True, "0.1", "3450.05", cloid="0x" + "cd" * 16)
    (record,) = await client.info("historicalOrders", user=client.address)
    assert record["status"] == "iocCancelRejected"
    assert record["order"]["cloid"] == CLOID


async def test_static_error_in_a_batch_answers_once_for_all(client: Any) -> None:
    good, bad = (
        {"a": 1, "b": True, "p": p, "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}} for p in ("3500", "3450.05")
    )
    answer = await client.act({"type": "order", "orders": [good, bad], "grouping": "na"})
    assert answer["response"]["data"]["statuses"] == [{"error": "Price must be divisible by tick size. asset=1"}]
    assert await client.size() == 0


async def test_state_error_in_a_batch_stands_beside_what_was_accepted(client: Any) -> None:
    good, bad = (
        {"a": 1, "b": True, "p": p, "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}} for p in ("3500", "3400")
    )
    answer = await client.act({"type": "order", "orders": [bad, good], "grouping": "na"})
    statuses = answer["response"]["data"]["statuses"]
    assert "error" in statuses[0] and "filled" in statuses[1]


async def test_minimum_applies_to_reduce_only_unless_it_covers_the_whole_position(client: Any) -> None:
    await client.order(True, "0.0039", "3500")
    await client.price("3000")
    refused = {"error": "Order must have minimum value of $10. asset=1"}
    assert await client.order(False, "0.002", "2900", reduce_only=True) == refused
    assert await client.order(False, "0.002", "2900") == refused
    assert (await client.order(False, "0.0039", "2500"))["filled"]["totalSz"] == "0.0039"
    assert await client.size() == 0


async def test_oversized_reduce_only_is_shrunk_to_the_position(client: Any) -> None:
    await client.order(True, "0.5", "3500")
    status = await client.order(False, "2", "3400", reduce_only=True)
    assert status["filled"]["totalSz"] == "0.5"
    assert await client.size() == 0


async def test_oversized_reduce_only_is_rejected_when_so_configured(connect: Any) -> None:
    client = await connect(reduce_only_oversize="reject")
    await client.order(True, "0.5", "3500")
    assert await client.order(False, "2", "3400", reduce_only=True) == {
        "error": "Reduce only order would increase position. asset=1"
    }
    assert (await client.order(False, "0.5", "3400", reduce_only=True))["filled"]["totalSz"] == "0.5"


async def test_resting_reduce_only_shrinks_with_the_position_and_ends_with_it(client: Any) -> None:
    await client.order(True, "1", "3500")
    resting = await client.order(False, "3", "3600", tif="Gtc", reduce_only=True)
    oid = resting["resting"]["oid"]

    async def record() -> tuple[str, str, str]:
        found = (await client.info("orderStatus", user=client.address, oid=oid))["order"]
        return found["status"], found["order"]["sz"], found["order"]["origSz"]

    assert await record() == ("open", "1.0", "3.0")
    await client.order(False, "0.6", "3400")
    assert await record() == ("open", "0.4", "3.0")
    await client.order(False, "0.4", "3400")
    assert (await record())[0] == "reduceOnlyCanceled"


async def test_resting_reduce_only_ends_when_another_order_closes_as_maker(client: Any) -> None:
    await client.order(True, "1", "3500")
    far = await client.order(False, "1", "3600", tif="Gtc", reduce_only=True)
    await client.order(False, "1", "3500", tif="Gtc")
    await client.price("3510")
    assert await client.size() == 0
    record = await client.info("orderStatus", user=client.address, oid=far["resting"]["oid"])
    assert record["order"]["status"] == "reduceOnlyCanceled"


async def test_what_crosses_at_a_new_price_meets_full_depth(connect: Any) -> None:
    """Depth taken before does not count against resting orders when makers quote anew."""
    client = await connect(depth=THIN.model_copy(update={"refill": "price"}), usd="100000", print_usd="100")
    assert (await client.order(True, "3", "3500"))["filled"]["totalSz"] == "2.9997"
    assert "resting" in await client.order(True, "2.9", "3450.3", tif="Gtc")
    await client.price("3450")
    assert await client.size() == Decimal("2.9997") + Decimal("2.9")


def test_only_the_newest_two_thousand_orders_are_still_known() -> None:
    venue = Venue(SimulatorConfig())
    account = venue.deposit("0x" + "01" * 20, Decimal(10_000))
    sender = Sender(account, account.address, 1, "0x" + "0" * 64)
    order = {"a": 1, "b": True, "s": "0.01", "r": False, "t": {"limit": {"tif": "Ioc"}}, "c": CLOID}
    refused, resting = order | {"p": "3400"}, order | {"p": "3400", "t": {"limit": {"tif": "Gtc"}}}
    still_open = place(venue, sender, OrderSpec.model_validate(resting))["resting"]["oid"]
    for _ in range(2001):
        place(venue, sender, OrderSpec.model_validate(refused))
    assert venue.find_order(account.address, still_open) is not None
    assert venue.find_order(account.address, still_open + 1) is None
    assert venue.find_order(account.address, still_open + 2) is not None


async def test_cloid_is_no_idempotency_key(client: Any) -> None:
    """Two live orders share one cloid; lookup finds the newest, and so does the cancel."""
    first = await client.order(True, "0.1", "3400", tif="Gtc", cloid=CLOID)
    second = await client.order(True, "0.2", "3400", tif="Gtc", cloid=CLOID)
    assert first["resting"]["oid"] != second["resting"]["oid"]
    record = await client.info("orderStatus", user=client.address, oid=CLOID)
    assert record["order"]["order"]["oid"] == second["resting"]["oid"]
    cancel = {"type": "cancelByCloid", "cancels": [{"asset": 1, "cloid": CLOID}]}
    assert (await client.act(cancel))["response"]["data"]["statuses"] == ["success"]
    (left,) = await client.info("openOrders", user=client.address)
    assert left["oid"] == first["resting"]["oid"]


async def test_cancel_of_filled_canceled_and_made_up_orders_has_one_text(client: Any) -> None:
    gone = {"error": "Order was never placed, already canceled, or filled. asset=1"}
    filled = (await client.order(True, "0.1", "3500"))["filled"]["oid"]
    resting = (await client.order(True, "0.1", "3400", tif="Gtc"))["resting"]["oid"]
    cancels = [{"a": 1, "o": oid} for oid in (filled, resting, resting, 7)]
    answer = await client.act({"type": "cancel", "cancels": cancels})
    assert answer["response"]["data"]["statuses"] == [gone, "success", gone, gone]
    record = (await client.info("orderStatus", user=client.address, oid=resting))["order"]
    assert (record["status"], record["order"]["sz"]) == ("canceled", "0.1")


async def test_more_than_two_hundred_cancels_are_refused_whole(client: Any) -> None:
    cancels = [{"a": 1, "o": oid} for oid in range(201)]
    answer = await client.act({"type": "cancel", "cancels": cancels})
    assert answer == {"status": "err", "response": "Signed action over weight limit of 200."}


async def test_modify_replaces_an_open_order_and_refuses_a_finished_one(client: Any) -> None:
    oid = (await client.order(True, "0.1", "3400", tif="Gtc"))["resting"]["oid"]
    order = {"a": 1, "b": True, "p": "3410", "s": "0.2", "r": False, "t": {"limit": {"tif": "Gtc"}}}
    assert (await client.act({"type": "modify", "oid": oid, "order": order}))["response"] == {"type": "default"}
    (left,) = await client.info("openOrders", user=client.address)
    assert (left["limitPx"], left["sz"]) == ("3410.0", "0.2")
    answer = await client.act({"type": "modify", "oid": oid, "order": order})
    assert answer == {"status": "err", "response": "Cannot modify canceled or filled order"}
    answer = await client.act(
        {"type": "batchModify", "modifies": [{"oid": left["oid"], "order": order | {"p": "3411"}}]}
    )
    assert "resting" in answer["response"]["data"]["statuses"][0]


async def test_order_is_unknown_until_the_visibility_lag_is_over(connect: Any) -> None:
    client = await connect(visibility_lag_ms=60_000)
    oid = (await client.order(True, "0.1", "3500", cloid=CLOID))["filled"]["oid"]
    for key in (oid, CLOID):
        assert await client.info("orderStatus", user=client.address, oid=key) == {"status": "unknownOid"}
    assert len(await client.info("userFills", user=client.address)) == 1
    client.sim.venue.orders[oid].visible_at_ms = 0
    assert (await client.info("orderStatus", user=client.address, oid=CLOID))["status"] == "order"


async def test_orders_are_looked_up_per_account(client: Any) -> None:
    oid = (await client.order(True, "0.1", "3500"))["filled"]["oid"]
    assert await client.info("orderStatus", user="0x" + "99" * 20, oid=oid) == {"status": "unknownOid"}


async def test_builder_needs_an_approval_of_the_fee(client: Any) -> None:
    order = {"a": 1, "b": True, "p": "3500", "s": "0.1", "r": False, "t": {"limit": {"tif": "Ioc"}}}
    action = {"type": "order", "orders": [order], "grouping": "na", "builder": {"b": "0x" + "88" * 20, "f": 10}}
    assert await client.act(action) == {"status": "err", "response": "Builder fee has not been approved."}
