"""What a plan adds to a trade, at a bad moment: limits that break while nothing may be ordered, versions that come
with other words, entries whose price was yesterday's, and stops that nobody remembers."""

import asyncio
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from temporalio.client import WorkflowUpdateFailedError

from activities.messages import Outage, orders_queue
from tests.workflows.conftest import Rig
from tests.workflows.test_backstop import BACKSTOP, rested, stops, the_one_left
from tests.workflows.test_trade_plan import edited, now_ms
from workflows.contracts import Mode, TradeRecord

BEFORE_ALL = Outage(who="feed", from_ms=1, to_ms=1)
"""Nothing is missed: the trade only looks what the exchange holds."""


async def taken_up(rig: Rig, changed: Callable[[TradeRecord], TradeRecord]) -> None:
    """The trade as its newest run began, changed, goes on in a workflow of its own."""
    (begun, *_) = (await rig.trade.fetch_history()).events
    payloads = begun.workflow_execution_started_event_attributes.input.payloads
    (record,) = await rig.client.data_converter.decode(payloads, [TradeRecord])
    await rig.trade.terminate("taken up")
    queue = orders_queue(record.signer)
    rig.trade = await rig.client.start_workflow("Trade", changed(record), id=rig.trade.id, task_queue=queue)


async def test_a_trade_stopped_while_its_limit_closed_it_goes_on_looking(rig: Rig) -> None:
    opened = await rig.open(limits={"stop_price": "3400"})
    assert opened.anchor_price is not None
    await rig.control("depth", coin="ETH", levels=0)
    await rig.market(Decimal(3390))
    await rig.tell(Decimal(3390))
    await rig.until(lambda now: now.breach is not None and now.mode is Mode.CLOSING)
    await rig.trade.signal("stop", {})
    await rig.control("depth", coin="ETH", levels=20)
    stopped = await rig.until(lambda now: now.mode is Mode.STOPPED)
    await rig.trade.signal("was_away", BEFORE_ALL)
    await rig.until(lambda now: now.agreed_ms > stopped.agreed_ms)
    await rig.trade.execute_update("release", {})
    await rig.trade.result()


async def test_a_limit_ends_a_paused_trade_whose_reset_waits_for_an_order(rig: Rig) -> None:
    opened = await rig.open(limits={"stop_price": "3400"})
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.trade.execute_update("pause", {})
    for unit in (-5, 0):
        await rig.price_at(anchor + 2 * unit)
    await rig.market(Decimal(3390))
    await rig.tell(Decimal(3390))
    assert (await rig.trade.result())["reason"].startswith("stop_price is 3400")
    assert await rig.net_position() == 0


async def test_a_resize_too_small_for_its_limit_price_is_left_out(rig: Rig) -> None:
    """10 USD at the price, less at the limit that the exchange goes by."""
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None

    def resizing(record: TradeRecord) -> TradeRecord:
        assert record.state is not None
        long_qty = record.state.wanted_long - Decimal("0.0029")
        return record.model_copy(update={"state": record.state.changed(wanted_long=long_qty, resizing=True)})

    await taken_up(rig, resizing)
    assert (await rig.price_at(anchor + 2, 1)).mode is Mode.TRADING
    assert len(await rig.orders_accepted()) == 1


async def test_a_release_answers_a_version_that_waits(rig: Rig) -> None:
    await rig.open()
    await rig.trade.execute_update("pause", {})
    await rig.control("faults", kind="delay", seconds=1, when="before", match={"info": "frontendOpenOrders"})
    await rig.trade.signal("was_away", BEFORE_ALL)
    async with asyncio.timeout(20):
        while not (await rig.read_control("faults"))[-1]["hit"]:  # noqa: ASYNC110  # asked over HTTP
            await asyncio.sleep(0.02)
    editing = asyncio.create_task(edited(rig, limits={"stop_price": "3000"}))
    await asyncio.sleep(0.2)
    await rig.trade.signal("release", {})
    await asyncio.wait_for(rig.trade.result(), 20)
    with pytest.raises(WorkflowUpdateFailedError):
        await editing


async def test_prices_told_before_an_entry_is_looked_for_do_not_count(rig: Rig) -> None:
    await rig.open(entry={"when": "at_price", "price": "3440"})
    at = datetime.now(UTC) + timedelta(seconds=1)
    await edited(rig, entry={"when": "at_price", "price": "3431", "not_before": at.isoformat()})
    await rig.tell(Decimal(3425), Decimal(3450))
    # From there on lines are laid from 3431.
    await rig.until(lambda now: now.trigger_down == 3449)
    await rig.tell(Decimal(3453))
    assert (await rig.until(lambda now: now.price == 3453)).mode is Mode.WAITING


async def test_a_version_that_could_not_be_opened_is_refused_while_the_trade_waits(rig: Rig) -> None:
    await rig.open(entry={"when": "at_price", "price": "3440"})
    for field, asked, words in (
        ("unit_size", "0", "unit size is 0; it must be more than 0"),
        ("unit_size", "1e-999", "no more than 40 digits"),
        ("margin_usd", "100000", "the account has"),
        ("limits", {"stop_price": "1e999"}, "no more than 40 digits"),
        ("expires_ms", 1, "a moment ahead is allowed"),
        ("expires_ms", 10**16, "less than"),
    ):
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await edited(rig, **{field: asked})
        assert words in str(refused.value.__cause__)
    assert (await rig.status()).plan_versions == ()
    await rig.trade.execute_update("close", {})


async def test_the_end_of_a_wait_is_told_before_the_trade_is_gone(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "hypertrader.notice")
    await rig.open(entry={"when": "at_price", "price": "3000"}, expires_ms=now_ms() + 500)
    await rig.trade.result()
    assert [record.message for record in caplog.records if "the plan expired on" in record.message]


async def test_limits_given_to_a_trade_of_an_old_release_are_of_its_margin(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None

    def of_old(record: TradeRecord) -> TradeRecord:
        assert record.state is not None
        state = record.state.changed(margin_usd=Decimal(0), equity_peak_usd=Decimal(0))
        return record.model_copy(update={"state": state})

    await taken_up(rig, of_old)
    await edited(rig, limits={"take_profit": "0.9"})
    risen = await rig.price_at(opened.anchor_price + 2, 1)
    assert (risen.mode, risen.breach) == (Mode.TRADING, None)


async def test_the_stop_of_a_paused_trade_does_not_move_away_from_the_price(rig: Rig) -> None:
    opened = await rig.open(leverage=3, backstop={"beyond": "0.1"})
    assert opened.anchor_price is not None
    before = (await rested(rig)).backstop
    await rig.trade.execute_update("pause", {})
    await rig.price_at(opened.anchor_price - 60, -30)
    await rig.trade.signal("was_away", BEFORE_ALL)
    paused = await rig.until(lambda now: now.agreed_ms > opened.agreed_ms)
    assert paused.backstop == before


async def test_a_stop_that_did_not_arrive_is_placed_again(rig: Rig) -> None:
    await rig.control("faults", kind="drop_request", match={"action": "order", "nth": 2})
    await rig.open(backstop=BACKSTOP)
    await rested(rig)
    assert len(await stops(rig)) == 1


async def test_a_stop_that_was_forgotten_is_taken_off(rig: Rig) -> None:
    await rig.open(backstop=BACKSTOP)
    forgotten = await rested(rig)
    assert forgotten.backstop is not None
    cloid = forgotten.backstop.cloid
    await taken_up(rig, lambda record: record.model_copy(update={"stop": None, "stop_cloids": [cloid]}))
    await rig.until(lambda now: now.backstop is not None and now.backstop.cloid != cloid)
    assert len(await stops(rig)) == 2
    await rig.trade.signal("was_away", BEFORE_ALL)
    (left,) = await the_one_left(rig)
    assert left.cloid != cloid
