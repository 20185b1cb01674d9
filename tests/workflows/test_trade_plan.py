"""What a plan adds to a trade: an entry that is waited for, an end, limits, new versions; and the Fibonacci hedge."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from strategy.fibonacci import FIBONACCI
from strategy.values import Phase
from tests.workflows.conftest import Rig
from workflows.contracts import Mode

HEDGE = {"ladder": FIBONACCI.model_dump(mode="json"), "leverage": 1, "margin_usd": "500", "unit_size": "10"}
"""At 3450: armed at 3650, its levels at 3604, 3574 and 3550."""


def now_ms() -> int:
    return int(time.time() * 1000)


async def edited(rig: Rig, **changes: Any) -> str:
    described = await rig.status()
    assert described.input is not None
    asked = {**described.input.model_dump(mode="json"), **changes}
    answer: str = await rig.trade.execute_update("edit", {"input": asked})
    return answer


async def test_an_entry_at_a_price_is_waited_for_without_an_order(rig: Rig) -> None:
    await rig.open(entry={"when": "at_price", "price": "3440"})
    waiting = await rig.until(lambda now: now.price == 3450)
    assert waiting.mode is Mode.WAITING
    await rig.market(Decimal(3441))
    await rig.tell(Decimal(3441))
    await rig.until(lambda now: now.price == 3441)
    assert await rig.orders_accepted() == []
    await rig.market(Decimal(3440))
    await rig.tell(Decimal(3440))
    opened = await rig.until(lambda now: now.mode is Mode.TRADING)
    assert opened.anchor_price is not None and abs(opened.anchor_price - 3440) < 4
    assert len(await rig.orders_accepted()) == 1
    assert (await rig.price_at(opened.anchor_price - 2, -1)).phase is Phase.RETRACEMENT


async def test_an_entry_on_a_rise_counts_from_the_lowest_line(rig: Rig) -> None:
    await rig.open(entry={"when": "on_rise", "units": 2})
    await rig.until(lambda now: now.price == 3450)
    for price in (3446, 3440, 3442, 3443):
        await rig.market(Decimal(price))
        await rig.tell(Decimal(price))
        assert (await rig.until(lambda now, price=price: now.price == price)).mode is Mode.WAITING  # type: ignore[misc]
    await rig.market(Decimal(3444))
    await rig.tell(Decimal(3444))
    await rig.until(lambda now: now.mode is Mode.TRADING)


async def test_a_trade_that_waits_can_be_closed_and_nothing_was_opened(rig: Rig) -> None:
    await rig.open(entry={"when": "at_price", "price": "3000"})
    assert await rig.trade.execute_update("close", {}) == "closed: nothing was opened on ETH"
    result = await rig.trade.result()
    assert (result["cycles"], result["reason"]) == (0, "asked by the operator")
    assert await rig.orders_accepted() == []


async def test_an_open_trade_is_closed_when_its_plan_expires(rig: Rig) -> None:
    await rig.open(expires_ms=now_ms() + 2500)
    assert "the plan expired on" in (await rig.trade.result())["reason"]
    assert await rig.net_position() == 0


async def test_a_plan_waits_thirty_days_for_its_moment(rig: Rig) -> None:
    at = datetime.now(UTC) + timedelta(days=30)
    await rig.open(entry={"when": "now", "not_before": at.isoformat()})
    await rig.fast_forward(timedelta(days=29))
    assert (await rig.status()).mode is Mode.WAITING
    await rig.fast_forward(timedelta(days=1, seconds=1))
    await rig.until(lambda now: now.mode is Mode.TRADING)
    assert len(await rig.orders_accepted()) == 1


async def test_a_plan_that_expires_while_it_waits_ends(rig: Rig) -> None:
    await rig.open(entry={"when": "at_price", "price": "3000"}, expires_ms=now_ms() + 1500)
    assert "the plan expired on" in (await rig.trade.result())["reason"]
    assert await rig.orders_accepted() == []


async def test_what_would_be_refused_at_the_entry_is_refused_before_the_wait(rig: Rig) -> None:
    with pytest.raises(Exception, match="failed") as failed:
        await rig.open(margin_usd="100000", entry={"when": "at_price", "price": "3440"})
    assert "margin is 100000" in str(failed.value.__cause__)


async def test_a_hedge_runs_its_levels_and_its_drawdown_closes_it(rig: Rig) -> None:
    opened = await rig.open(**HEDGE, limits={"max_drawdown": "0.04"})
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.price_at(anchor + 200, 20)
    full = await rig.net_position()
    assert (await rig.price_at(anchor + 160, 16)).phase is Phase.ADVANCE
    hedged = await rig.price_at(anchor + 150, 15)
    assert (hedged.phase, await rig.net_position()) == (Phase.RETRACEMENT, 0)
    assert hedged.last_orders[-1].purpose == "level 1, 23% of the gain given back"
    deeper = await rig.price_at(anchor + 100, 10)
    assert deeper.ledger is not None and deeper.ledger.long == 0
    assert await rig.net_position() == -deeper.ledger.short < 0
    whole = await rig.price_at(anchor + 200, 20)
    assert (whole.phase, await rig.net_position()) == (Phase.ADVANCE, full)
    await rig.market(anchor - 100)
    await rig.tell(anchor - 100)
    result = await rig.trade.result()
    assert result["reason"].startswith("max_drawdown is 4%")
    assert await rig.net_position() == 0


async def test_a_day_has_no_more_orders_than_the_plan_allows(rig: Rig) -> None:
    opened = await rig.open(limits={"max_orders_per_day": 1})
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.price_at(anchor - 2, -1)
    await rig.market(anchor - 4)
    await rig.tell(anchor - 4)
    stopped = await rig.until(lambda now: now.mode is Mode.ATTENTION)
    assert "max_orders_per_day is 1" in (stopped.attention or "")
    await rig.trade.execute_update("resume", {})
    await rig.until(lambda now: now.unit == -2 and not now.order_in_flight)


async def test_a_new_version_is_followed_and_what_cannot_change_is_refused(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    await edited(rig, limits={"stop_price": str(anchor - 100)}, plan={"name": "mine", "version": 2})
    status = await rig.status()
    assert [version.version for version in status.plan_versions] == [2]
    assert "limits" in status.plan_versions[0].changes
    for change, words in {
        "coin": ("BTC", "a running trade keeps its ETH"),
        "leverage": (3, "only before the entry"),
        "ladder": (FIBONACCI.model_dump(mode="json"), "only within its kind"),
        "limits": ({"stop_price": str(anchor + 1)}, "would end at once"),
    }.items():
        with pytest.raises(WorkflowUpdateFailedError) as refused:
            await edited(rig, **{change: words[0]})
        assert words[1] in str(refused.value.__cause__)
    await rig.price_at(anchor - 2, -1)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await edited(rig, unit_size="5")
    assert "only at 100% long" in str(refused.value.__cause__)
    await rig.market(anchor - 100)
    await rig.tell(anchor - 100)
    assert "stop_price is" in (await rig.trade.result())["reason"]


async def test_a_plan_that_waits_takes_a_new_entry(rig: Rig) -> None:
    await rig.open(entry={"when": "at_price", "price": "3000"})
    await edited(rig, entry={"when": "now"})
    await rig.until(lambda now: now.mode is Mode.TRADING)
