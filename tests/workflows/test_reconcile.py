"""The exchange is not where the ledger says: the trade stops, says what differs, and does what a person answers."""

import asyncio
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowUpdateFailedError

from journal import entries
from strategy.values import Phase
from tests.workflows.conftest import Rig, rig_of
from workflows import away, book, reconcile
from workflows.contracts import Mode
from workflows.status import TradeStatus

NOW = {"who": "worker", "from_ms": 0, "to_ms": 0}
"""A worker's announcement: it makes a trade look."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator shows a fill at once."""
    monkeypatch.setattr(reconcile, "SETTLES", timedelta(milliseconds=50))
    monkeypatch.setattr(away, "CAUGHT_UP_AFTER", timedelta(milliseconds=300))


async def kinds(rig: Rig, wanted: type[Any]) -> list[Any]:
    """Entries of a kind, once the journal has one: it is written behind the trade."""
    async with asyncio.timeout(20):
        while True:
            history = await rig.journal.history(rig.trade.id)
            if found := [line.entry for line in history if isinstance(line.entry, wanted)]:
                return found
            await asyncio.sleep(0.02)


async def in_retracement(rig: Rig) -> TradeStatus:
    """Open, at unit -2 of a retracement."""
    opened = await rig.open()
    assert opened.anchor_price is not None
    await rig.price_at(opened.anchor_price - 2, -1)
    return await rig.price_at(opened.anchor_price - 4, -2)


async def half_closed_by_hand(rig: Rig) -> TradeStatus:
    """In attention: half of the position was sold on the exchange by somebody else."""
    status = await in_retracement(rig)
    half = (await rig.net_position() / 2).quantize(Decimal("0.0001"))
    await rig.gateway.place_market_order("ETH", "sell", half)
    await rig.trade.signal("was_away", NOW)
    status = await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert status.difference is not None and status.ledger is not None
    assert status.difference.held_size == await rig.net_position() == status.ledger.net - half
    return status


async def test_a_position_closed_half_by_hand_stops_the_trade_and_says_what_happened(rig: Rig) -> None:
    status = await half_closed_by_hand(rig)
    assert status.attention is not None
    assert "by others: sold" in status.attention and "answer adopt, rehedge, release or close" in status.attention
    orders = len(await rig.orders_accepted())
    assert status.anchor_price is not None
    await rig.market(status.anchor_price - 8)
    await rig.tell(status.anchor_price - 8)
    now_ms = int(time.time() * 1000)
    await rig.trade.signal("was_away", {"who": "feed", "from_ms": now_ms - 100, "to_ms": now_ms})
    # Reported once the trade has looked again.
    status = await rig.until(lambda now: len(now.away) == 1)
    assert status.mode is Mode.ATTENTION
    assert "answer adopt, rehedge" in str(status.away[0].difference)
    assert len(await rig.orders_accepted()) == orders
    assert len(await kinds(rig, entries.DifferenceRecord)) == 1, "a difference that stays is told once"


async def test_adopt_begins_a_cycle_with_what_the_exchange_holds(rig: Rig) -> None:
    await half_closed_by_hand(rig)
    held = await rig.net_position()
    await rig.trade.execute_update("adopt", {"reason": "it was me"})
    status = await rig.status()
    assert (status.mode, status.phase, status.cycle, status.unit) == (Mode.TRADING, Phase.ADVANCE, 2, 0)
    assert status.ledger is not None
    assert (status.ledger.net, status.ledger.long, status.ledger.short) == (held, held, 0)
    # Equity is what the exchange has: what was put in, and what the account made since.
    made = (await rig.gateway.get_balance("USDC")).total - 1000
    assert status.ledger.equity - 100 == pytest.approx(made, abs=Decimal("0.2"))
    assert status.price is not None
    # Units count from where the price was adopted; the grid stays where it was.
    status = await rig.price_at(status.price - 2, -1)
    assert status.phase is Phase.RETRACEMENT
    assert status.ledger is not None
    assert status.ledger.net == await rig.net_position() < held


async def test_rehedge_takes_the_position_back_to_what_the_ladder_wants(rig: Rig) -> None:
    before = await half_closed_by_hand(rig)
    assert before.ledger is not None and before.difference is not None
    await rig.trade.execute_update("rehedge", {})
    status = await rig.until(lambda now: now.mode is Mode.TRADING and len(now.last_orders) == 4)
    status = await rig.until(lambda now: not now.order_in_flight)
    assert status.ledger is not None
    assert (status.phase, status.unit) == (before.phase, before.unit)
    assert status.ledger.net == before.ledger.net == await rig.net_position()
    made = (await rig.gateway.get_balance("USDC")).total - 1000
    assert status.ledger.equity - 100 == pytest.approx(made, abs=Decimal("0.2"))


async def test_release_ends_the_trade_and_leaves_the_position_alone(rig: Rig) -> None:
    await half_closed_by_hand(rig)
    held, orders = await rig.net_position(), len(await rig.orders_accepted())
    await rig.trade.execute_update("release", {"reason": "mine now"})
    await rig.trade.result()
    assert await rig.net_position() == held
    assert len(await rig.orders_accepted()) == orders


async def test_close_in_attention_sells_what_is_really_there(rig: Rig) -> None:
    await half_closed_by_hand(rig)
    assert await rig.trade.execute_update("close", {}) == "closed: ETH is flat"
    result = await rig.trade.result()
    assert await rig.net_position() == 0
    made = (await rig.gateway.get_balance("USDC")).total - 1000
    assert Decimal(result["pnl_usd"]) == pytest.approx(made, abs=Decimal("0.01"))


async def test_a_resume_that_leaves_the_difference_is_stopped_again(rig: Rig) -> None:
    await half_closed_by_hand(rig)
    orders = len(await rig.orders_accepted())
    await rig.trade.execute_update("resume", {})
    await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert len(await rig.orders_accepted()) == orders


async def test_a_resume_goes_on_once_a_hand_has_put_it_right(rig: Rig) -> None:
    status = await half_closed_by_hand(rig)
    assert status.difference is not None and status.anchor_price is not None
    await rig.gateway.place_market_order("ETH", "buy", status.difference.wanted_size - status.difference.held_size)
    await rig.trade.execute_update("resume", {})
    status = await rig.price_at(status.anchor_price - 6, -3)
    assert (status.mode, status.difference) == (Mode.TRADING, None)


async def test_a_position_turned_short_by_hand_can_not_be_adopted(rig: Rig) -> None:
    await in_retracement(rig)
    await rig.gateway.place_market_order("ETH", "sell", await rig.net_position() * 2)
    await rig.trade.signal("was_away", NOW)
    await rig.until(lambda now: now.mode is Mode.ATTENTION)
    answer = await rig.trade.execute_update("adopt", {})
    assert "adopt is for a long" in answer and answer.startswith("attention:")
    await rig.trade.execute_update("rehedge", {})
    status = await rig.until(lambda now: now.mode is Mode.TRADING and now.ledger is not None and now.ledger.net > 0)
    await rig.until(lambda now: not now.order_in_flight and len(now.last_orders) == 4)
    assert status.ledger is not None
    assert (await rig.status()).ledger.net == await rig.net_position()  # type: ignore[union-attr]


async def test_a_reduced_leverage_stops_the_trade_and_rehedge_sets_it_back(rig: Rig) -> None:
    await rig.open(leverage=10)
    await rig.gateway.set_leverage("ETH", 5, nonce=rig.gateway.draw_nonce())
    await rig.trade.signal("was_away", NOW)
    status = await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert "leverage is 5x, the trade's is 10x" in str(status.attention)
    await rig.trade.execute_update("rehedge", {})
    assert await rig.gateway.leverage("ETH") == 10
    assert (await rig.status()).mode is Mode.TRADING


async def test_trading_of_others_that_leaves_the_position_is_recorded_and_stops_nothing(rig: Rig) -> None:
    opened = await rig.open()
    for side in ("sell", "buy"):
        await rig.gateway.place_market_order("ETH", side, Decimal("0.05"))
    await rig.trade.signal("was_away", NOW)
    assert opened.anchor_price is not None
    status = await rig.price_at(opened.anchor_price - 2, -1)
    assert status.mode is Mode.TRADING
    assert await rig.trade.execute_update("close", {}) == "closed: ETH is flat"
    await rig.trade.result()
    ours = {order.cloid for order in await rig.journal.orders(rig.trade.id)}
    strange = [fill.size for fill in await kinds(rig, entries.FillRecord) if fill.cloid not in ours]
    assert strange == [Decimal("-0.05"), Decimal("0.05")]


async def test_the_exchange_is_looked_at_every_few_minutes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "LOOKS_EVERY", timedelta(seconds=1))
    await in_retracement(rig)
    await rig.gateway.place_market_order("ETH", "sell", Decimal("0.05"))
    status = await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert status.difference is not None


async def test_an_order_without_an_answer_makes_the_trade_look(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    await rig.gateway.place_market_order("ETH", "sell", Decimal("0.05"))
    await rig.control("faults", kind="drop_reply", match={"action": "order"})
    await rig.market(opened.anchor_price - 2)
    await rig.tell(opened.anchor_price - 2)
    await rig.until(lambda now: now.mode is Mode.ATTENTION)


async def test_nothing_is_ordered_before_a_restarted_worker_has_looked(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "LATE_MS", 200)
    status = await in_retracement(rig)
    await rig.stop_worker()
    await rig.gateway.close_position("ETH")
    assert status.anchor_price is not None
    await rig.market(status.anchor_price - 8)
    # The price has waited in Temporal, and the worker's own word that it was away comes later.
    await rig.tell(status.anchor_price - 8)
    orders = len(await rig.orders_accepted())
    await asyncio.sleep(0.3)
    await rig.start_worker()
    await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert len(await rig.orders_accepted()) == orders
    assert await rig.net_position() == 0


async def test_prices_that_waited_in_the_feed_are_no_reason_to_look_and_those_that_waited_here_are(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(book, "LATE_MS", 0)
    status = await in_retracement(rig)
    assert status.anchor_price is not None
    looks, now_ms = [], int(time.time() * 1000)
    for price, sent_ms in ((status.anchor_price, now_ms + 60_000), (status.anchor_price - 2, now_ms)):
        await rig.market(price)
        await rig.tell(price, sent_ms=sent_ms)
        await rig.until(lambda now, price=price: now.price == price and not now.order_in_flight)
        looks.append(await activities_named(rig, "look"))
    assert looks[1] == looks[0] + 1


async def activities_named(rig: Rig, name: str) -> int:
    history = await rig.trade.fetch_history()
    scheduled = [event.activity_task_scheduled_event_attributes.activity_type.name for event in history.events]
    return scheduled.count(name)


async def test_an_outage_is_reported_with_what_it_meant(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    await rig.price_at(opened.anchor_price + 2, 1)
    from_ms = (await rig.status()).last_orders[-1].time_ms
    await rig.price_at(opened.anchor_price, 0)
    status = await rig.price_at(opened.anchor_price - 2, -1)
    to_ms = status.last_orders[-1].time_ms
    await rig.trade.signal("was_away", {"who": "exchange", "from_ms": from_ms, "to_ms": to_ms})
    status = await rig.until(lambda now: bool(now.away))
    report = status.away[-1]
    assert (report.who, report.from_ms, report.to_ms) == ("exchange", from_ms, to_ms)
    assert report.units[-2:] == (0, -1)
    assert report.low is not None and report.high is not None
    assert report.low <= opened.anchor_price - 2 < opened.anchor_price <= report.high
    assert any("retracement -1: filled, known by reply" in order for order in report.orders)
    assert report.difference is None
    [recorded] = await kinds(rig, entries.AwayRecord)
    assert recorded.units == report.units


async def test_an_emergency_stop_ends_flat_and_orders_nothing_until_it_is_released(rig: Rig) -> None:
    status = await in_retracement(rig)
    assert await rig.trade.execute_update("stop", {"reason": "fire"}) == "stopped: ETH is flat"
    assert await rig.net_position() == 0
    status = await rig.status()
    assert status.mode is Mode.STOPPED and status.flat_proof is not None
    orders = len(await rig.orders_accepted())
    assert status.anchor_price is not None
    for line in (-8, -10, 4):
        await rig.market(status.anchor_price + line)
        await rig.tell(status.anchor_price + line)
    for command in ("resume", "adopt", "rehedge", "pause", "stop"):
        with pytest.raises(WorkflowUpdateFailedError):
            await rig.trade.execute_update(command, {})
    await rig.trade.signal("was_away", NOW)
    assert (await rig.status()).mode is Mode.STOPPED
    await rig.trade.execute_update("release", {"reason": "over"})
    await rig.trade.result()
    assert len(await rig.orders_accepted()) == orders
    [closed] = await kinds(rig, entries.Closed)
    assert closed.flat_at_ms is not None and closed.flat_looks >= 2


async def test_a_close_takes_resting_orders_off_the_book(rig: Rig) -> None:
    await rig.open()
    exchange = rig.gateway
    await rest_an_order(rig)
    assert len(await exchange.open_orders("ETH")) == 1
    await rig.trade.execute_update("close", {})
    assert await exchange.open_orders("ETH") == ()
    status = await rig.status()
    assert status.flat_proof is not None and status.flat_proof.cancelled_orders == 1


async def rest_an_order(rig: Rig) -> None:
    """A hand's limit order far below the market."""
    order = {"a": 1, "b": True, "p": "3000", "s": "0.01", "r": False, "t": {"limit": {"tif": "Gtc"}}}
    action = {"type": "order", "orders": [order], "grouping": "na"}
    answer = await rig.gateway._transport.act(action, rig.gateway.draw_nonce())
    assert answer["response"]["data"]["statuses"][0]["resting"]


async def test_a_close_that_is_refused_is_tried_until_the_exchange_is_flat(temporal: Client, tmp_path: Path) -> None:
    async with rig_of(temporal, tmp_path) as rig:
        await rig.open()
        await rig.control("depth", coin="ETH", levels=0)
        await rig.trade.signal("close", {"reason": "out"})
        await rig.until(lambda now: "could not immediately match" in now.last_orders[-1].status)
        assert (await rig.status()).mode is Mode.CLOSING
        await rig.control("depth", coin="ETH", levels=20)
        result = await rig.trade.result()
        assert result["reason"] == "out"
        assert await rig.net_position() == 0


async def test_a_liquidation_is_recognised_and_recorded(rig: Rig) -> None:
    opened = await rig.open(margin_usd="950", leverage=25, unit_size="8")
    assert opened.anchor_price is not None
    await rig.market(opened.anchor_price * Decimal("0.955"))
    assert await rig.net_position() == 0, "the exchange has taken it"
    await rig.trade.signal("was_away", NOW)
    status = await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert "LIQUIDATED: sold" in str(status.attention)
    assert status.difference is not None and status.difference.liquidated
    recorded = await kinds(rig, entries.LiquidationRecord)
    assert status.ledger is not None
    assert sum(fill.size for fill in recorded) == -status.ledger.net
    answer = await rig.trade.execute_update("adopt", {})
    assert "adopt is for a long; the exchange holds 0 ETH" in answer
    await rig.trade.execute_update("release", {})
    await rig.trade.result()
    assert await rig.net_position() == 0


async def test_funding_is_in_the_ledger_once(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.ledger is not None
    await rig.control("funding", coin="ETH", rate="0.0001")
    for _ in range(2):
        await rig.trade.signal("was_away", NOW)
        await rig.until(lambda now: now.ledger is not None and now.ledger.cash < opened.ledger.cash)  # type: ignore[union-attr]
    [paid] = await kinds(rig, entries.FundingRecord)
    status = await rig.status()
    assert status.ledger is not None
    assert status.ledger.cash == opened.ledger.cash + paid.usd
    assert await rig.trade.execute_update("close", {}) == "closed: ETH is flat"
    result = await rig.trade.result()
    made = (await rig.gateway.get_balance("USDC")).total - 1000
    assert Decimal(result["pnl_usd"]) == pytest.approx(made, abs=Decimal("0.01"))
