"""What is told at a bad moment: while an order is prepared or on its way, in the opening, between two tries."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowFailureError, WorkflowUpdateFailedError

from activities.messages import TRADES_QUEUE
from exchange.errors import NotSent
from simulator.config import Depth
from tests.workflows.conftest import Rig, rig_of
from tests.workflows.test_reconcile import NOW, half_closed_by_hand, impatient
from workflows import opening
from workflows.asked import TradeInput
from workflows.contracts import Mode, TradeRecord

__all__ = ["impatient"]
SLOW_LOOK = {"kind": "delay", "seconds": 1.5, "when": "before", "match": {"info": "clearinghouseState", "count": 1}}


async def begin(rig: Rig, **asked: Any) -> None:
    """A trade on its way to being opened."""
    terms = {"coin": "ETH", "margin_usd": "100", "unit_size": "2", "accepts_costs": True, **asked}
    record = TradeRecord(input=TradeInput.model_validate(terms))
    name = f"trade-ETH-{time.time_ns():x}"
    rig.trade = await rig.client.start_workflow("Trade", record, id=name, task_queue=TRADES_QUEUE)


async def sent(rig: Rig, kind: str, count: int) -> None:
    """Until the exchange has got so many requests of a kind."""
    async with asyncio.timeout(20):
        while len(await rig.read_control(f"requests?type={kind}")) < count:  # noqa: ASYNC110  # asked over HTTP
            await asyncio.sleep(0.02)


async def equity_made(rig: Rig) -> Decimal:
    return (await rig.gateway.get_balance("USDC")).total - 1000


async def test_a_pause_while_an_order_is_prepared_sends_none(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    draw, slots_taken = rig.gateway.draw_nonce, asyncio.Event()

    def no_slot() -> int:
        slots_taken.set()
        raise NotSent("all nonce slots are taken")

    monkeypatch.setattr(rig.gateway, "draw_nonce", no_slot)
    await rig.market(opened.anchor_price - 2)
    await rig.tell(opened.anchor_price - 2)
    await asyncio.wait_for(slots_taken.wait(), 10)
    await rig.trade.execute_update("pause", {"reason": "wait"})
    monkeypatch.setattr(rig.gateway, "draw_nonce", draw)
    status = await rig.until(lambda now: now.unit == -1 and not now.order_in_flight)
    assert status.mode is Mode.PAUSED
    assert len(await rig.orders_accepted()) == 1, "the opening alone"
    await rig.trade.execute_update("close", {})
    await rig.trade.result()
    orders = await rig.journal.orders(rig.trade.id)
    assert len(orders) == 2, "an intent that is not sent is none"


async def test_the_second_of_two_answers_is_settled_before_anything_is_ordered(rig: Rig) -> None:
    await half_closed_by_hand(rig)
    held, orders = await rig.net_position(), len(await rig.orders_accepted())
    await rig.control("faults", **SLOW_LOOK)
    await rig.trade.signal("rehedge", {})
    await rig.trade.signal("release", {"reason": "no, mine"})
    result = await rig.trade.result()
    assert result["reason"] == "released by the operator"
    assert await rig.net_position() == held
    assert len(await rig.orders_accepted()) == orders


async def test_a_cancel_during_the_opening_leaves_nothing_behind(rig: Rig) -> None:
    await rig.control("faults", kind="delay", seconds=1, when="after", match={"action": "order"})
    await begin(rig)
    await sent(rig, "order", 1)
    await rig.trade.cancel()
    result = await rig.trade.result()
    assert result["reason"] == "cancelled in Temporal"
    assert await rig.net_position() == 0
    assert len(await rig.orders_accepted()) == 2


async def test_a_stop_during_the_opening_buys_no_more_and_answers_when_flat(temporal: Client, tmp_path: Path) -> None:
    thin = Depth(levels=1, size_usd=Decimal(100))
    async with rig_of(temporal, tmp_path, depth=thin) as rig:
        await begin(rig)
        await sent(rig, "order", 1)
        assert await asyncio.wait_for(rig.trade.execute_update("stop", {}), 20) == "stopped: ETH is flat"
        assert await rig.net_position() == 0
        bought = [order for order in await rig.orders_accepted() if order["order"]["side"] == "B"]
        assert len(bought) <= 2
        await rig.trade.execute_update("release", {})
        await rig.trade.result()


async def test_a_stop_before_anything_is_bought_opens_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    draw, asked = rig.gateway.draw_nonce, asyncio.Event()

    def no_slot() -> int:
        asked.set()
        raise NotSent("all nonce slots are taken")

    await rig.gateway.set_leverage("ETH", 25, nonce=draw())
    monkeypatch.setattr(rig.gateway, "draw_nonce", no_slot)
    await begin(rig)
    await asyncio.wait_for(asked.wait(), 10)
    await rig.trade.signal("stop", {"reason": "no"})
    monkeypatch.setattr(rig.gateway, "draw_nonce", draw)
    with pytest.raises(WorkflowFailureError):
        await rig.trade.result()
    assert not await rig.orders_accepted()


async def test_a_cancel_while_the_closing_order_is_on_its_way_makes_no_second_one(rig: Rig) -> None:
    await rig.open()
    await rig.control("faults", kind="delay", seconds=1, when="after", match={"action": "order"})
    await rig.trade.signal("close", {"reason": "out"})
    await sent(rig, "order", 2)
    await rig.trade.cancel()
    await rig.trade.result()
    assert len(await rig.orders_accepted()) == 2
    orders = await rig.journal.orders(rig.trade.id)
    assert [order.status for order in orders] == ["filled", "filled"]


async def test_a_stop_does_not_wait_for_the_next_try_of_an_order(temporal: Client, tmp_path: Path) -> None:
    async with rig_of(temporal, tmp_path) as rig:
        opened = await rig.open()
        assert opened.anchor_price is not None
        await rig.control("depth", coin="ETH", levels=0)
        await rig.market(opened.anchor_price - 2)
        await rig.tell(opened.anchor_price - 2)
        # Four tries: the next one is eight seconds away.
        await rig.until(lambda now: len(now.last_orders) == 5, within_s=30)
        await rig.control("depth", coin="ETH", levels=20)
        asked_s = time.monotonic()
        assert await rig.trade.execute_update("stop", {}) == "stopped: ETH is flat"
        assert time.monotonic() - asked_s < 6


async def test_a_release_answers_a_new_unit_size_that_waits(rig: Rig) -> None:
    await rig.open()
    await rig.trade.execute_update("pause", {})
    await rig.control("faults", kind="delay", seconds=2, when="before", match={"info": "frontendOpenOrders"})
    await rig.trade.signal("was_away", {"who": "worker", "from_ms": 0, "to_ms": 0})
    async with asyncio.timeout(20):
        while not (await rig.read_control("faults"))[-1]["hit"]:  # noqa: ASYNC110  # asked over HTTP
            await asyncio.sleep(0.02)
    sizing = asyncio.create_task(rig.trade.execute_update("set_unit_size", {"unit_size": "3"}))
    await asyncio.sleep(0.2)
    await rig.trade.signal("release", {})
    await asyncio.wait_for(rig.trade.result(), 20)
    with pytest.raises(WorkflowUpdateFailedError):
        await sizing


async def test_a_close_that_was_released_does_not_say_flat(temporal: Client, tmp_path: Path) -> None:
    async with rig_of(temporal, tmp_path) as rig:
        await rig.open()
        await rig.control("depth", coin="ETH", levels=0)
        closing = asyncio.create_task(rig.trade.execute_update("close", {"reason": "out"}))
        await rig.until(lambda now: "could not immediately match" in now.last_orders[-1].status)
        await rig.trade.signal("release", {"reason": "mine"})
        assert await closing == "closed: ETH was released as it is"
        result = await rig.trade.result()
        assert result["reason"] == "released by the operator"
        assert await rig.net_position() > 0


async def test_two_hands_during_a_close_are_booked_at_their_own_prices(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    part = (await rig.net_position() / 4).quantize(Decimal("0.0001"))
    await rig.gateway.place_market_order("ETH", "sell", part)
    await rig.control("faults", kind="drop_request", match={"action": "order", "count": 1})
    await rig.trade.signal("close", {"reason": "out"})
    await sent(rig, "noop", 1)
    await rig.market(opened.anchor_price - 30)
    await rig.gateway.place_market_order("ETH", "sell", part)
    result = await rig.trade.result()
    assert await rig.net_position() == 0
    assert Decimal(result["pnl_usd"]) == pytest.approx(await equity_made(rig), abs=Decimal("0.01"))


@pytest.mark.parametrize("oversize", ["shrink", "reject"])
async def test_a_closing_order_larger_than_what_a_hand_has_left_ends_flat(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, oversize: str
) -> None:
    await rig.open()
    slots = NoSlots(rig, monkeypatch)
    await rig.trade.signal("close", {"reason": "out"})
    await asyncio.wait_for(slots.asked.wait(), 10)
    await rig.gateway.place_market_order("ETH", "sell", Decimal("0.1"))
    await rig.control("faults", kind="reduce_only", oversize=oversize, match={"action": "order"})
    slots.end()
    result = await rig.trade.result()
    assert (await rig.read_control("faults"))[-1]["hit"] == 1
    assert await rig.net_position() == 0
    assert Decimal(result["pnl_usd"]) == pytest.approx(await equity_made(rig), abs=Decimal("0.01"))


class NoSlots:
    """No trade gets a nonce until `end`, or but the first `left`; a hand does."""

    def __init__(self, rig: Rig, monkeypatch: pytest.MonkeyPatch, *, left: int = 0) -> None:
        self.asked = asyncio.Event()
        self._left = left
        self._rig, self._patch = rig, monkeypatch
        self._draw, self._hand = rig.gateway.draw_nonce, asyncio.current_task()
        monkeypatch.setattr(rig.gateway, "draw_nonce", self._refuse)

    def _refuse(self) -> int:
        if asyncio.current_task() is self._hand:
            return self._draw()
        if self._left:
            self._left -= 1
            return self._draw()
        self.asked.set()
        raise NotSent("all nonce slots are taken")

    def end(self) -> None:
        self._patch.setattr(self._rig.gateway, "draw_nonce", self._draw)


async def test_a_look_that_comes_due_while_an_order_is_prepared_goes_first(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    slots = NoSlots(rig, monkeypatch)
    await rig.market(opened.anchor_price - 2)
    await rig.tell(opened.anchor_price - 2)
    await asyncio.wait_for(slots.asked.wait(), 10)
    # As of a backup: the exchange has gone on, and a worker says that it is here.
    await rig.gateway.place_market_order("ETH", "sell", Decimal("0.01"))
    await rig.trade.signal("was_away", NOW)
    slots.end()
    await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert len(await rig.orders_accepted()) == 2, "the opening and the hand"


async def test_an_opening_that_waited_buys_nothing_beside_what_it_does_not_know(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LATE_MS", 0)
    slots = NoSlots(rig, monkeypatch)
    await begin(rig)
    await asyncio.wait_for(slots.asked.wait(), 10)
    await rig.gateway.place_market_order("ETH", "buy", Decimal("0.01"))
    slots.end()
    with pytest.raises(WorkflowFailureError) as failed:
        await rig.trade.result()
    assert "holds 0.01 ETH, and this opening bought 0" in str(failed.value.cause)
    assert len(await rig.orders_accepted()) == 1, "the hand's"


async def test_an_opening_in_parts_buys_no_more_beside_what_it_does_not_know(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "LATE_MS", 0)
    await rig.control("faults", kind="partial", share="0.4", match={"action": "order"})
    # One for the leverage, one for the first part.
    slots = NoSlots(rig, monkeypatch, left=2)
    await begin(rig)
    await asyncio.wait_for(slots.asked.wait(), 10)
    part = await rig.net_position()
    await rig.gateway.place_market_order("ETH", "buy", Decimal("0.01"))
    slots.end()
    status = await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert status.ledger is not None and status.difference is not None
    assert (status.ledger.long, status.difference.held_size) == (part, part + Decimal("0.01"))
    assert len(await rig.orders_accepted()) == 2, "the first part and the hand's"
