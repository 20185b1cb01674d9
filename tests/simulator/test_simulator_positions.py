"""Positions, money and margin: netting with flip, exact books, cross and isolated margin, tiers."""

import asyncio
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator import margin
from simulator.config import SimulatorConfig
from simulator.funding import pay
from simulator.ledger import ledger
from simulator.liquidation import liquidate
from simulator.log import RequestLog
from simulator.markets import BY_COIN, MARKETS
from simulator.matching import move_price
from simulator.placing import Sender, check_static, place
from simulator.records import Account, Leverage
from simulator.requests import OrderSpec
from simulator.settlement import trade_position
from simulator.venue import Venue

ETH = BY_COIN["ETH"]


async def position(client: Any, coin: str = "ETH") -> dict[str, Any]:
    (held,) = [
        each["position"] for each in (await client.state())["assetPositions"] if each["position"]["coin"] == coin
    ]
    return dict(held)


async def test_add_keeps_the_average_entry_price(client: Any) -> None:
    await client.order(True, "1", "3500")
    await client.price("3460")
    await client.order(True, "3", "3500")
    held = await position(client)
    assert (held["szi"], held["entryPx"]) == ("4.0", "3457.6")
    assert held["unrealizedPnl"] == "9.6"
    assert held["positionValue"] == "13840.0"


async def test_flip_closes_and_opens_in_one_fill(client: Any) -> None:
    await client.order(True, "1", "3500")
    await client.price("3460")
    await client.order(False, "3", "3400")
    (flip, _) = await client.info("userFills", user=client.address)
    assert (flip["dir"], flip["startPosition"], flip["closedPnl"]) == ("Long > Short", "1.0", "9.8")
    held = await position(client)
    assert (held["szi"], held["entryPx"]) == ("-2.0", "3459.9")


async def test_realised_profit_is_booked_to_the_micro_dollar(client: Any) -> None:
    """A third of a position whose cost does not divide by three."""
    await client.order(True, "0.0002", "100000", asset=0)
    await client.price("84257.3", "BTC")
    await client.order(True, "0.0001", "100000", asset=0)
    await client.price("84300", "BTC")
    await client.order(False, "0.00014", "80000", asset=0)
    closing = (await client.info("userFills", user=client.address))[0]
    cost = Decimal("0.0002") * 84251 + Decimal("0.0001") * Decimal("84258")
    assert closing["px"] == "84299.0"
    exact = Decimal("0.00014") * 84299 - cost * Decimal("0.00014") / Decimal("0.0003")
    assert Decimal(closing["closedPnl"]) == exact.quantize(Decimal("0.000001"))
    assert exact != exact.quantize(Decimal("0.000001"))


async def test_fill_directions_and_fees(client: Any) -> None:
    for is_buy, size in ((True, "1"), (False, "0.4"), (False, "1"), (True, "0.2"), (True, "0.9"), (False, "0.5")):
        await client.order(is_buy, size, "3500" if is_buy else "3400")
    fills = list(reversed(await client.info("userFills", user=client.address)))
    directions = [fill["dir"] for fill in fills]
    assert directions == ["Open Long", "Close Long", "Long > Short", "Close Short", "Short > Long", "Close Long"]
    assert fills[0]["fee"] == "1.552545"
    assert fills[1]["fee"] == "0.620982"


async def test_fee_is_cut_not_rounded_to_six_decimals(client: Any) -> None:
    await client.order(True, "0.0333", "3500")
    (fill,) = await client.info("userFills", user=client.address)
    exact = Decimal("0.0333") * Decimal("3450.1") * Decimal("0.00045")
    assert exact == Decimal("0.0516997485")
    assert fill["fee"] == "0.051699"


async def test_flat_account_shows_zeros_and_no_positions(client: Any) -> None:
    await client.order(True, "1", "3500")
    await client.order(False, "1", "3400")
    state = await client.state()
    assert state["assetPositions"] == []
    assert state["marginSummary"]["totalNtlPos"] == "0.0"
    assert state["withdrawable"] == state["marginSummary"]["accountValue"] == "9996.695"


async def test_cross_margin_numbers(client: Any) -> None:
    await client.act({"type": "updateLeverage", "asset": 1, "isCross": True, "leverage": 10})
    await client.order(True, "10", "3500")
    state = await client.state()
    held = state["assetPositions"][0]["position"]
    assert held["marginUsed"] == "3450.0"
    assert held["leverage"] == {"type": "cross", "value": 10}
    assert state["crossMaintenanceMarginUsed"] == "690.0"
    value = Decimal(state["marginSummary"]["accountValue"])
    assert value == Decimal(state["marginSummary"]["totalRawUsd"]) + 34500
    assert Decimal(state["withdrawable"]) == value - 3450


async def test_liquidation_price_follows_the_formula(client: Any) -> None:
    await client.order(False, "40", "3400")
    state = await client.state()
    margin_available = Decimal(state["marginSummary"]["accountValue"]) - Decimal(state["crossMaintenanceMarginUsed"])
    expected = 3450 + margin_available / 40 / (1 + Decimal("0.02"))
    shown = Decimal(state["assetPositions"][0]["position"]["liquidationPx"])
    assert abs(shown - expected) < Decimal("1e-9")


async def test_resting_orders_hold_margin_back(client: Any) -> None:
    await client.act({"type": "updateLeverage", "asset": 1, "isCross": True, "leverage": 10})
    await client.order(True, "20", "3400", tif="Gtc")
    assert (await client.state())["withdrawable"] == "3100.0"
    assert "Insufficient margin" in (await client.order(True, "10", "3500"))["error"]
    assert "filled" in await client.order(True, "8", "3500")


async def test_closing_is_never_refused_for_margin(client: Any) -> None:
    await client.order(True, "50", "3500")
    await client.price("3330")
    assert "Insufficient margin" in (await client.order(True, "40", "3500"))["error"]
    assert (await client.order(False, "50", "3200"))["filled"]["totalSz"] == "50.0"


async def test_flip_is_checked_on_what_it_opens(client: Any) -> None:
    await client.order(True, "50", "3500")
    assert "filled" in await client.order(False, "100", "3400")
    assert "Insufficient margin" in (await client.order(True, "120", "3500"))["error"]
    assert await client.size() == -50


async def test_isolated_margin_moves_into_and_out_of_the_position(client: Any) -> None:
    await client.act({"type": "updateLeverage", "asset": 1, "isCross": False, "leverage": 4})
    await client.order(True, "2", "3500")
    state = await client.state()
    held = state["assetPositions"][0]["position"]
    assert held["leverage"] == {"type": "isolated", "value": 4, "rawUsd": "-5175.15"}
    assert held["marginUsed"] == "1724.85"
    assert state["crossMaintenanceMarginUsed"] == "0.0"
    assert Decimal(state["crossMarginSummary"]["accountValue"]) == 10000 - Decimal("1725.05") - Decimal("3.10509")
    await client.order(False, "1", "3400")
    assert (await position(client))["marginUsed"] == "862.425"
    await client.order(False, "1", "3400")
    state = await client.state()
    assert state["crossMarginSummary"] == state["marginSummary"]


async def test_isolated_margin_can_be_added_and_removed_down_to_the_initial(client: Any) -> None:
    await client.act({"type": "updateLeverage", "asset": 1, "isCross": False, "leverage": 4})
    move = {"type": "updateIsolatedMargin", "asset": 1, "isBuy": True, "ntli": 100_000_000}
    assert (await client.act(move))["response"] == "Position does not use isolated margin."
    await client.order(True, "2", "3500")
    assert (await client.act(move))["status"] == "ok"
    assert (await position(client))["marginUsed"] == "1824.85"
    assert (await client.act(move | {"ntli": -99_000_000}))["status"] == "ok"
    assert (await client.act(move | {"ntli": -99_000_000}))["status"] == "err"


@pytest.mark.parametrize(
    ("asset", "is_cross", "leverage", "answer"),
    [
        (1, True, 25, "ok"),
        (1, True, 26, "Invalid leverage value"),
        (1, True, 0, "Invalid leverage value"),
        (10, True, 2, "Cross margin is not allowed for this asset."),
        (10, False, 2, "ok"),
    ],
)
async def test_leverage_setting(client: Any, asset: int, is_cross: bool, leverage: int, answer: str) -> None:
    action = {"type": "updateLeverage", "asset": asset, "isCross": is_cross, "leverage": leverage}
    said = await client.act(action)
    assert answer in (said["status"], said["response"])
    if answer == "ok":
        shown = await client.info("activeAssetData", user=client.address, coin=MARKETS[asset].coin)
        assert shown["leverage"]["value"] == leverage


async def test_leverage_with_an_open_position(client: Any) -> None:
    change = {"type": "updateLeverage", "asset": 1, "isCross": True, "leverage": 20}
    await client.order(True, "50", "3500")
    assert (await client.act(change | {"leverage": 25}))["status"] == "ok"
    assert (await client.act(change | {"isCross": False}))["response"] == (
        "Cannot switch leverage type with open position."
    )
    assert (await client.act(change | {"leverage": 5}))["response"].endswith("deposit more collateral.")
    assert (await client.act(change | {"leverage": 18}))["status"] == "ok"


def test_maintenance_has_no_jump_at_a_tier() -> None:
    bound = ETH.tiers[1].lower_bound_usd
    assert ETH.maintenance_usd(bound) == bound / 50
    assert ETH.maintenance_usd(bound + 30) == bound / 50 + 1
    deduction = bound * (Decimal(1) / 30 - Decimal(1) / 50)
    assert abs(ETH.maintenance_usd(bound * 2) - (bound * 2 / 30 - deduction)) < Decimal("1e-15")


async def test_position_beyond_its_tier_is_refused(connect: Any) -> None:
    client = await connect(usd="100000000", depth={"size_usd": "100000000"})
    assert "margin tier limit" in (await client.order(True, "35000", "3500"))["error"]
    await client.act({"type": "updateLeverage", "asset": 1, "isCross": True, "leverage": 15})
    assert "filled" in await client.order(True, "35000", "3500")


SIZES = st.decimals(min_value="0.0001", max_value=5, places=4)
PRICES = st.decimals(min_value="3000", max_value="4000", places=1)
MOVES = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "price", "funding"]),
        SIZES,
        PRICES,
        st.sampled_from(["Ioc", "Gtc", "Alo"]),
        st.booleans(),
    ),
    max_size=30,
)


@settings(max_examples=120, deadline=None)
@given(moves=MOVES, cross=st.booleans())
def test_account_equation_holds_to_the_last_digit(moves: list[Any], cross: bool) -> None:
    """deposits + realised + unrealised + funding - fees == account value, and the ledger summed anew says the same.

    Liquidations included: what the backstop took or bore is a term of its own.
    """
    venue = Venue(SimulatorConfig())
    account = venue.deposit("0x" + "01" * 20, Decimal(5000))
    if not cross:
        account.leverages["ETH"] = Leverage(is_cross=False, value=7)
    sender = Sender(account, account.address, 1, "0x" + "0" * 64)
    for kind, size, price, tif, reduce_only in moves:
        if kind == "price":
            move_price(venue, "ETH", price)
        elif kind == "funding":
            pay(venue, "ETH", (price - 3500) / 20_000, 0)
        else:
            spec = OrderSpec.model_validate(
                {
                    "a": 1,
                    "b": kind == "buy",
                    "p": str(price),
                    "s": str(size),
                    "r": reduce_only,
                    "t": {"limit": {"tif": tif}},
                }
            )
            check_static(spec)
            place(venue, sender, spec)
        liquidate(venue)
        fills = venue.fills_of[account.address]
        realised = sum((fill.closed_pnl_usd for fill in fills), Decimal(0))
        fees = sum((fill.fee_usd for fill in fills), Decimal(0))
        marks = venue.all_marks
        unrealised = sum((held.unrealized_usd(marks[c]) for c, held in account.positions.items()), Decimal(0))
        value = margin.summary(account, marks).account_value
        funding = sum((payment.usd for payment in venue.fundings_of[account.address]), Decimal(0))
        assert 5000 + realised + unrealised + funding - fees + account.backstop_usd == value
        summed = ledger(venue, RequestLog())[account.address]
        assert Decimal(summed["accountValueUsd"]) == value
        assert Decimal(summed["positions"].get("ETH", "0")) == account.size("ETH")


@given(st.lists(st.tuples(SIZES, st.booleans(), PRICES), min_size=1, max_size=20))
def test_isolated_and_cross_books_agree(trades: list[tuple[Decimal, bool, Decimal]]) -> None:
    """Where the margin lies changes neither position nor profit nor the sum of the money."""
    cross, isolated = Account(address="a"), Account(address="b")
    isolated.leverages["ETH"] = Leverage(is_cross=False, value=3)
    for size, is_buy, price in trades:
        signed = size if is_buy else -size
        pnl = [trade_position(account, "ETH", signed, price) for account in (cross, isolated)]
        assert pnl[0] == pnl[1]
        assert cross.size("ETH") == isolated.size("ETH")
        held = isolated.positions.get("ETH")
        assert cross.cross_usd == isolated.cross_usd + (held.isolated_usd if held else 0)


def test_venue_runs_without_an_event_loop() -> None:
    """The rules are plain functions over records."""
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    venue = Venue(SimulatorConfig())
    move_price(venue, "ETH", Decimal("3500.04"))
    assert venue.tape["ETH"][-1].price == Decimal("3500.0")
