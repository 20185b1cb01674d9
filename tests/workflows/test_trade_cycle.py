"""A whole cycle through the workflow, checked on the exchange's own ledger."""

from decimal import Decimal

from activities.messages import TradeSummary
from strategy.values import Phase
from tests.workflows.conftest import Rig
from workflows.contracts import Mode

CYCLE = (1, 2, 3, 2, 1, 0, -1, -2, -5, -4, -3, -2, -1, 0)


async def test_a_whole_cycle_ends_with_the_ledger_equal_to_the_exchange(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    phases = []
    for unit in CYCLE:
        status = await rig.price_at(anchor + 2 * unit)
        phases.append(status.phase)
    status = await rig.until(lambda now: now.cycle == 2 and not now.order_in_flight)
    assert phases[:3] == [Phase.ADVANCE] * 3
    assert phases[3:8] == [Phase.RETRACEMENT] * 4 + [Phase.DECLINE]
    assert phases[8:13] == [Phase.DECLINE] * 2 + [Phase.RECOVERY] * 3
    assert status.phase is Phase.ADVANCE
    assert (status.unit, status.peak, status.valley) == (0, 0, 0)
    assert status.ledger is not None
    assert status.ledger.short == 0
    assert status.ledger.net == await rig.net_position()
    account = (await rig.read_control("ledger"))[rig.gateway.account]
    assert Decimal(account["accountValueUsd"]) - Decimal(1000) == status.ledger.equity - Decimal(100)
    summary = await rig.trade.query("summary", result_type=TradeSummary)
    assert (summary.cycle, summary.unit, summary.phase, summary.fully_long) == (2, 0, "ADVANCE", True)
    assert (summary.allocation_usd, summary.equity_usd) == (status.ledger.allocation, status.ledger.equity)
    assert summary.pnl_usd == status.ledger.equity - Decimal(100)


async def test_every_intent_is_one_accepted_order_and_stands_in_the_journal(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    for unit in CYCLE:
        await rig.price_at(opened.anchor_price + 2 * unit)
    await rig.until(lambda now: now.cycle == 2 and not now.order_in_flight)
    await rig.trade.execute_update("close", {"reason": "done"})
    await rig.trade.result()
    orders = await rig.journal.orders(rig.trade.id)
    accepted = await rig.orders_accepted()
    assert [order.cloid for order in orders] == [entry["order"]["cloid"] for entry in accepted]
    assert len({order.cloid for order in orders}) == len(orders)
    for entry in await rig.read_control("requests"):
        assert "builder" not in str(entry["body"])
        assert "approveBuilderFee" not in str(entry["body"])


async def test_close_leaves_nothing_on_the_exchange(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    await rig.price_at(opened.anchor_price - 2)
    answer = await rig.trade.execute_update("close", {"reason": "enough"})
    assert answer == "closed: ETH is flat"
    result = await rig.trade.result()
    assert result["reason"] == "enough"
    assert await rig.net_position() == 0


async def test_prices_that_went_and_came_back_before_an_order_cost_nothing(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    before = len(await rig.orders_accepted())
    await rig.tell(anchor - 2, anchor - 4, anchor - 2, anchor)
    status = await rig.until(lambda now: now.price == anchor and now.phase is Phase.ADVANCE)
    assert status.mode is Mode.TRADING
    assert len(await rig.orders_accepted()) == before
