"""The user's acceptance cases 4 to 8 on everything real: Temporal, feed, ccxt and the simulator as processes.

Prices are chosen so that a fragment of the position is a whole number of lots: quantities are then exact.
"""

from decimal import Decimal

import pytest

from cli.errors import CommandFailed
from cli.trades import start_trade
from exchange.gateway import HyperliquidGateway
from exchange.network import load_key
from journal.entries import Decision, ResetRecord
from strategy.values import Phase
from tests.stack import Floor, TradeUnderTest
from workflows.contracts import Mode

D = Decimal


def held(trade: TradeUnderTest) -> tuple[Decimal, Decimal]:
    """Long and short, in coin."""
    return trade.ledger.long, trade.ledger.short


async def assert_exchange_agrees(trade: TradeUnderTest) -> None:
    assert await trade.net_on_exchange() == trade.ledger.net


async def legs_of_last_decision(trade: TradeUnderTest) -> list[tuple[str, Decimal]]:
    last = [entry for entry in await trade.journal() if isinstance(entry, Decision)][-1]
    return [(leg.action.value, leg.qty.normalize()) for leg in last.legs]


async def test_case_4_start_trade_opens_a_long_at_maximum_leverage_and_tracks_from_its_entry(floor: Floor) -> None:
    await floor.control.set_price("ETH", D(2500))
    with pytest.raises(CommandFailed, match=r"unit size is 2: a round trip costs .* 3 times that is .* --yes"):
        await start_trade("ETH/USDC:USDC", 100, 2, settings=floor.settings, client=floor.client)
    assert not (await floor.books())["acceptedOrders"]

    status = await start_trade("ETH/USDC:USDC", 100, 2, yes=True, settings=floor.settings, client=floor.client)

    gateway = HyperliquidGateway.connect(floor.settings, key=load_key(floor.settings))
    try:
        position = await gateway.get_position("ETH")
        maximum = (await gateway.market_rules("ETH")).max_leverage
    finally:
        await gateway.close()
    assert (status.mode, status.phase) == (Mode.TRADING, Phase.ADVANCE)
    assert (status.unit, status.peak, status.valley) == (0, 0, 0)
    assert status.leverage == position.leverage == maximum
    assert status.ledger is not None
    assert position.size == status.ledger.long == D(100) * maximum / 2500
    assert status.anchor_price == position.entry_price

    trade = TradeUnderTest(floor, "ETH", status)
    assert (await trade.to(1)).unit == 1
    assert (await trade.to(0)).unit == 0
    assert "Unit change: 0 -> 1" in floor.log_of("worker")


async def test_case_5_retracement_undo_restores_the_state(floor: Floor) -> None:
    trade = await floor.open("HYPE", price="40", margin=1000, unit_size="0.2", leverage=10)
    assert trade.ledger.long == 250

    seen = await trade.to(3)
    assert (seen.phase, seen.peak) == (Phase.ADVANCE, 3)
    seen = await trade.to(2)
    assert (seen.phase, seen.unit) == (Phase.RETRACEMENT, 2)
    assert await legs_of_last_decision(trade) == [("sell_long", D(25)), ("open_short", D(25))]
    assert held(trade) == (D(225), D(25))
    await assert_exchange_agrees(trade)

    await trade.to(0)
    before = trade.ledger
    assert (before.long, before.short, before.net) == (D(125), D(75), D(50))
    await trade.to(-1)
    assert held(trade) == (D(75), D(100))
    assert await legs_of_last_decision(trade) == [("sell_long", D(50)), ("open_short", D(25))]
    await trade.to(0)
    assert {(action, qty) for action, qty in await legs_of_last_decision(trade)} == {
        ("buy_long", D(50)),
        ("cover_short", D(25)),
    }
    assert (trade.ledger.long, trade.ledger.short, trade.ledger.net) == (before.long, before.short, before.net)
    await assert_exchange_agrees(trade)


async def test_case_6_the_last_cover_and_buy_makes_all_long_and_resets(floor: Floor) -> None:
    trade = await floor.open("SOL", price="200", margin=1000, unit_size="1", leverage=10)
    seen = await trade.to(3, -4, 0)
    assert (seen.phase, seen.unit - seen.valley) == (Phase.RECOVERY, 4)
    long_qty, short_qty = held(trade)
    assert short_qty > 0
    assert long_qty / (long_qty + short_qty) > D("0.8")
    deposits = D((await floor.books())["depositsUsd"])

    seen = await trade.to(1)

    assert "RESET TRIGGERED" in floor.log_of("worker")
    assert (seen.phase, seen.unit, seen.peak, seen.valley, seen.cycle) == (Phase.ADVANCE, 0, 0, 0, 2)
    assert (trade.ledger.short, trade.ledger.cash) == (D(0), D(0))
    reset = next(entry for entry in await trade.journal() if isinstance(entry, ResetRecord))
    assert trade.ledger.allocation == reset.allocation_usd == 1000 + reset.cycle_pnl_usd
    # The loss made the position larger than the allocation carries: it is cut to it.
    assert trade.ledger.long <= trade.ledger.allocation * 10 / reset.price
    await assert_exchange_agrees(trade)
    assert deposits == D((await floor.books())["depositsUsd"])


async def test_case_7_decline_follows_the_valley_without_orders(floor: Floor) -> None:
    trade = await floor.open("DOGE", price="0.2", margin=1000, unit_size="0.0005", leverage=10)
    assert trade.ledger.long == 50_000
    seen = await trade.to(-5)
    assert (seen.phase, seen.valley) == (Phase.DECLINE, -5)
    assert held(trade) == (D(0), D(35_000))
    orders = len(await trade.orders())

    seen = await trade.to(-9)
    assert (seen.phase, seen.valley) == (Phase.DECLINE, -9)
    seen = await trade.to(-8)
    assert (seen.phase, seen.unit, seen.valley) == (Phase.DECLINE, -8, -9)
    assert len(await trade.orders()) == orders

    # The hedge fragment, locked at the first unit up, is what the next unit covers: a quarter of the short.
    seen = await trade.to(-7)
    assert seen.phase is Phase.RECOVERY
    assert (await legs_of_last_decision(trade))[0] == ("cover_short", D(8750))
    await assert_exchange_agrees(trade)


async def test_case_8_recovery_from_a_deep_valley_runs_its_exact_sequence_to_the_reset(floor: Floor) -> None:
    trade = await floor.open("BTC", price="100000", margin=10_000, unit_size="100", leverage=10)
    long_qty = trade.ledger.long
    seen = await trade.to(-15)
    assert (seen.phase, seen.valley) == (Phase.DECLINE, -15)
    short = trade.ledger.short
    assert (trade.ledger.long, short) == (D(0), long_qty * D("0.7"))
    seen = await trade.to(-14)
    assert (seen.phase, trade.ledger.short) == (Phase.DECLINE, short)

    quarter = short / 4
    for line, covered in ((-13, quarter), (-12, 2 * quarter), (-11, 3 * quarter)):
        before = trade.ledger
        seen = await trade.to(line)
        assert (seen.phase, seen.unit) == (Phase.RECOVERY, line)
        assert trade.ledger.short == short - covered
        # All that the cover frees goes into the long, and a fragment of the cash while there is any.
        price = trade.price_of(line)
        freed = quarter * (2 * before.short_entry - price)
        fragment = long_qty / 10 * D(100_000)
        spent = freed + min(fragment, max(before.cash, D(0)))
        assert abs((trade.ledger.long - before.long) * price - spent) < spent / 1000
        await assert_exchange_agrees(trade)

    seen = await trade.to(-10)
    assert (seen.phase, seen.unit, seen.cycle) == (Phase.ADVANCE, 0, 2)
    assert (trade.ledger.short, trade.ledger.cash) == (D(0), D(0))
    await assert_exchange_agrees(trade)
    seen = await trade.to(-9)
    assert (seen.phase, seen.unit, seen.peak) == (Phase.ADVANCE, 1, 1)


async def test_every_intent_became_at_most_one_accepted_order_without_a_builder(floor: Floor) -> None:
    """Runs last: over all that the cases above sent."""
    async with floor.journal() as journal:
        cloids = [row.cloid for trade in await journal.trades() for row in await journal.orders(trade.trade_id)]
    accepted = [order["cloid"] for order in (await floor.books())["acceptedOrders"]]
    assert accepted, "the cases above sent nothing"
    assert sorted(accepted) == sorted(cloids)
    assert len(set(accepted)) == len(accepted)
    sent = await floor.control.requests(path="/exchange")
    assert {request["type"] for request in sent} <= {"order", "updateLeverage", "noop"}
    assert not [request for request in sent if "builder" in str(request["body"])]
