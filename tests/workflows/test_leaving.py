"""A trade that is to leave begins no new cycle; it closes at its RESET, at a profit, or at a date."""

import time
from decimal import Decimal

import pytest
from temporalio.client import WorkflowUpdateFailedError

from strategy.ladder import V7
from strategy.values import Phase
from tests.workflows.conftest import Rig
from workflows.contracts import Mode

LADDER = {"ladder": V7.model_dump(mode="json"), "leverage": 10}
"""v7 begins a new cycle whenever a retracement is undone."""


async def opened(rig: Rig, **asked: object) -> Decimal:
    status = await rig.open(**{**LADDER, **asked})
    assert status.anchor_price is not None
    return status.anchor_price


async def test_it_leaves_at_the_reset_without_buying_for_it(rig: Rig) -> None:
    anchor = await opened(rig)
    answer = await rig.trade.execute_update("leave", {"reason": "enough"})
    assert answer == "no new cycle: it closes at the next RESET"
    await rig.price_at(anchor + 2, 1)
    assert (await rig.price_at(anchor, 0)).phase is Phase.RETRACEMENT
    held, orders = await rig.net_position(), len(await rig.orders_accepted())
    await rig.market(anchor + 2)
    await rig.tell(anchor + 2)
    result = await rig.trade.result()
    assert (result["reason"], result["cycles"]) == ("left at RESET: enough", 1)
    (last,) = (await rig.orders_accepted())[orders:]
    assert (last["order"]["side"], Decimal(last["order"]["origSz"])) == ("A", held), "one order, and it sells"
    assert await rig.net_position() == 0


async def test_it_leaves_when_it_has_earned_enough(rig: Rig) -> None:
    anchor = await opened(rig)
    await rig.trade.signal("leave", {"profit_usd": "2"})
    assert (await rig.price_at(anchor + 2, 1)).mode is Mode.TRADING
    await rig.market(anchor + 12)
    await rig.tell(anchor + 12)
    result = await rig.trade.result()
    assert result["reason"].startswith("left: ") and result["reason"].endswith("USD are earned, 2 were asked for")
    assert Decimal(result["pnl_usd"]) > 2


async def test_it_leaves_at_its_date_and_the_newest_word_counts(rig: Rig) -> None:
    await opened(rig)
    now_ms = int(time.time() * 1000)
    await rig.trade.execute_update("leave", {"until_ms": now_ms + 400 * 86_400_000})
    answer = await rig.trade.execute_update("leave", {"profit_usd": "50", "until_ms": now_ms + 2_500})
    assert answer.startswith("no new cycle: it closes at the next RESET, or once 50 USD are earned, or on 20")
    leave = (await rig.status()).leave
    assert leave is not None and leave.profit_usd == 50
    assert (await rig.trade.result())["reason"].startswith("left on 20")
    assert await rig.net_position() == 0


async def test_a_trade_that_still_waits_for_its_entry_leaves_at_once(rig: Rig) -> None:
    await rig.open(**LADDER, entry={"when": "at_price", "price": "3000"})
    assert await rig.trade.execute_update("leave", {}) == "nothing is held: the trade ends"
    assert (await rig.trade.result())["reason"] == "left before the entry"


async def test_a_date_that_is_over_is_refused(rig: Rig) -> None:
    await opened(rig)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await rig.trade.execute_update("leave", {"until_ms": 1})
    assert "until_ms is 1; a moment ahead is allowed" in str(refused.value.cause)
    assert (await rig.status()).leave is None
