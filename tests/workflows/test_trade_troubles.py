"""Orders that are refused, filled in part, answered by nobody; workers that die. One accepted order per intent."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from temporalio.client import Client, WorkflowFailureError
from temporalio.contrib.pydantic import pydantic_data_converter

from activities.messages import TRADES_QUEUE
from activities.recording import RecordingActivities
from activities.trading import TradingActivities
from exchange.gateway import HyperliquidGateway
from exchange.network import load_key
from journal.entries import AlertRecord
from simulator.config import Depth
from strategy.values import Phase
from tests.workflows.conftest import Rig, rig_of
from worker import orders_worker, trades_worker
from workflows.asked import TradeInput
from workflows.contracts import Mode, TradeRecord


async def test_a_lost_reply_is_resolved_without_a_second_order(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    await rig.control("faults", kind="drop_reply", match={"action": "order"})
    status = await rig.price_at(opened.anchor_price - 2, -1)
    assert status.ledger is not None
    assert status.ledger.net == await rig.net_position()
    accepted = await rig.orders_accepted()
    assert len(accepted) == 2
    await rig.trade.execute_update("close", {})
    await rig.trade.result()
    proofs = await rig.journal.orders(rig.trade.id)
    assert [order.established_by for order in proofs] == ["reply", "order_status", "reply"]


async def test_a_partial_fill_is_followed_by_its_remainder(temporal: Client, tmp_path: Path) -> None:
    # 300 USD a level, so that orders of some hundred USD reach the end of what lies within the slippage.
    depth = Depth(levels=2, size_usd=Decimal(300))
    async with rig_of(temporal, tmp_path, depth=depth) as rig:
        opened = await rig.open(leverage=20)
        assert opened.anchor_price is not None
        for unit in (1, 0, -1, -2, -3):
            await rig.price_at(opened.anchor_price + 2 * unit, unit)
        status = await rig.price_at(opened.anchor_price - 8, -4)
        status = await rig.until(
            lambda now: not now.order_in_flight and now.ledger is not None and now.ledger.long == 0
        )
        assert status.phase is Phase.DECLINE
        assert status.ledger is not None
        assert status.ledger.net == await rig.net_position()
        accepted = await rig.orders_accepted()
        partial = [entry for entry in accepted if entry["order"]["sz"] != "0.0"]
        assert len(accepted) > 7, "some order should have needed a second one"
        assert status.mode is Mode.TRADING, partial


async def test_insufficient_margin_calls_for_attention_and_a_resume_goes_on(rig: Rig) -> None:
    opened = await rig.open(margin_usd="900")
    anchor = opened.anchor_price
    assert anchor is not None
    for unit in (-1, -2, -3, -4):
        await rig.price_at(anchor + 2 * unit, unit)
    # A hand takes the margin that the last step's short will need.
    await rig.gateway.set_leverage("BTC", 40, nonce=rig.gateway.draw_nonce())
    price = (await rig.gateway.market_rules("BTC")).mid_price
    await rig.gateway.place_market_order("BTC", "buy", 28_000 / price)
    await rig.market(anchor - 10)
    await rig.tell(anchor - 10)
    status = await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert "Insufficient margin" in str(status.attention)
    assert (status.phase, status.unit) == (Phase.RETRACEMENT, -4), "a refused order moves nothing"
    await rig.gateway.close_position("BTC")
    await rig.trade.execute_update("resume", {})
    status = await rig.until(lambda now: now.phase is Phase.DECLINE and not now.order_in_flight)
    assert status.ledger is not None
    assert status.ledger.net == await rig.net_position()


async def test_an_order_that_finds_nobody_is_tried_again_at_the_price_of_then(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.control("depth", coin="ETH", levels=0)
    await rig.market(anchor - 2)
    await rig.tell(anchor - 2)
    status = await rig.until(lambda now: "could not immediately match" in now.last_orders[-1].status)
    assert (status.mode, status.unit) == (Mode.TRADING, 0), "an order that was not executed moves nothing"
    await rig.market(anchor - 3)
    await rig.control("depth", coin="ETH", levels=20)
    status = await rig.until(lambda now: now.unit == -1 and not now.order_in_flight)
    assert status.last_orders[-1].price is not None
    assert abs(status.last_orders[-1].price - (anchor - 3)) < 1
    assert status.ledger is not None
    assert status.ledger.net == await rig.net_position()


async def test_a_close_comes_before_the_prices_that_wait(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.stop_worker()
    await rig.market(anchor - 10)
    await rig.tell(anchor - 10)
    await rig.trade.signal("close", {"reason": "out"})
    await rig.start_worker()
    result = await rig.trade.result()
    assert result["reason"] == "out"
    assert await rig.net_position() == 0
    assert len(await rig.orders_accepted()) == 2


async def test_a_worker_that_is_gone_loses_no_price_and_no_order(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.price_at(anchor - 2, -1)
    await rig.stop_worker()
    for unit in (-2, -3):
        await rig.market(anchor + 2 * unit)
        await rig.tell(anchor + 2 * unit)
    await rig.start_worker()
    status = await rig.until(lambda now: now.unit == -3 and not now.order_in_flight)
    assert status.ledger is not None
    assert status.ledger.net == await rig.net_position()
    await rig.trade.execute_update("close", {})
    await rig.trade.result()
    assert len(await rig.orders_accepted()) == len(await rig.journal.orders(rig.trade.id))


async def test_a_signal_told_twice_or_late_changes_nothing(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.price_at(anchor - 2, -1)
    tracking = await rig.trade.query("tracking")
    again = {"ticks": [{"price": str(anchor - 2), "time_ms": tracking["since_ms"]}], "tid": tracking["last_tid"]}
    late = {"ticks": [{"price": str(anchor + 40), "time_ms": tracking["since_ms"] - 1}], "tid": 99}
    orders = len(await rig.orders_accepted())
    for signal in (again, late):
        await rig.trade.signal("units_moved", signal)
    status = await rig.status()
    assert (status.unit, status.phase) == (-1, Phase.RETRACEMENT)
    assert len(await rig.orders_accepted()) == orders


async def test_a_worker_with_another_key_never_touches_an_open_trade(rig: Rig, tmp_path: Path) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    stranger = rig.settings.model_copy(update={"state_dir": tmp_path / "stranger"})
    gateway = HyperliquidGateway.connect(stranger, key=load_key(stranger))
    trading, recording = TradingActivities(gateway, stranger), RecordingActivities(rig.journal)
    # Workers of one queue need a connection each, as two processes have.
    client = await Client.connect(rig.client.service_client.config.target_host, data_converter=pydantic_data_converter)
    async with trades_worker(client, trading, recording):
        async with orders_worker(client, trading, recording, gateway.signer):
            await rig.stop_worker()
            await rig.market(anchor - 2)
            await rig.tell(anchor - 2)
            # The stranger is at work meanwhile: it refuses a trade of its own account, which has no money.
            asked = TradeInput(coin="SOL", margin_usd=Decimal(100), unit_size=Decimal(1), accepts_costs=True)
            with pytest.raises(WorkflowFailureError):
                await client.execute_workflow(
                    "Trade", TradeRecord(input=asked), id="trade-SOL-of-a-stranger", task_queue=TRADES_QUEUE
                )
            await rig.start_worker()
            status = await rig.until(lambda now: now.unit == -1 and not now.order_in_flight)
    await gateway.close()
    assert status.mode is Mode.TRADING, status.attention
    assert [entry["signer"] for entry in await rig.orders_accepted()] == [rig.gateway.signer] * 2


async def test_an_entry_the_journal_refuses_takes_no_other_with_it(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.trade_id is not None and opened.anchor_price is not None
    while not (before := await rig.journal.history(opened.trade_id, kinds=["opened"])):  # noqa: ASYNC110  # a database
        await asyncio.sleep(0.02)
    (ref,) = await rig.journal.trades()
    stranger = AlertRecord(seq=before[-1].entry.seq + 2, at_ms=1, text="written by nobody")
    await rig.journal.append(ref, [stranger])
    await rig.price_at(opened.anchor_price - 2)
    await rig.trade.execute_update("close", {})
    await rig.trade.result()
    entries = [line.entry for line in await rig.journal.history(opened.trade_id)]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[stranger.seq - 1] == stranger
    notes = (await rig.status()).notes
    assert [note for note in notes if f"refused entries {stranger.seq}-{stranger.seq}" in note]
