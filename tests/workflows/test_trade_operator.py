"""What operators may do to a running trade, and that nothing they send can wedge it."""

import functools
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import WorkflowUpdateFailedError

from strategy.values import Phase
from tests.workflows.conftest import Rig
from workflows.contracts import Mode
from workflows.status import TradeStatus


async def test_a_paused_trade_tracks_units_and_resumes_with_one_order(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.trade.execute_update("pause", {"reason": "lunch"})
    before = len(await rig.orders_accepted())
    for unit in (-1, -2, -3):
        status = await rig.price_at(anchor + 2 * unit, unit)
    assert status.phase is Phase.RETRACEMENT
    assert len(await rig.orders_accepted()) == before
    await rig.trade.execute_update("resume", {})
    status = await rig.until(lambda now: len(now.last_orders) == 2 and not now.order_in_flight)
    assert len(await rig.orders_accepted()) == before + 1
    assert status.ledger is not None
    assert status.ledger.net == await rig.net_position()
    assert opened.ledger is not None
    # Steps 1 to 3 of v6 leave 2 fragments of 10 net long; each step is rounded down to the lot.
    assert status.ledger.net == pytest.approx(opened.ledger.net * Decimal("0.2"), abs=Decimal("0.0003"))


async def test_a_new_unit_size_begins_a_grid_at_the_current_price(rig: Rig) -> None:
    await rig.open()
    await rig.market(Decimal(3471))
    answer = await rig.trade.execute_update("set_unit_size", {"unit_size": "3"})
    assert answer == "units of 3 USD from 3471"
    status = await rig.price_at(Decimal(3474), 1)
    assert (status.trigger_down, status.trigger_up) == (Decimal(3471), Decimal(3477))


async def test_a_new_unit_size_is_refused_while_hedged(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    await rig.price_at(opened.anchor_price - 2, -1)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await rig.trade.execute_update("set_unit_size", {"unit_size": "3"})
    assert "only at 100% long in ADVANCE; the trade is in RETRACEMENT" in str(refused.value.cause)


BAD_SIGNALS: tuple[tuple[str, list[Any], str], ...] = (
    ("pause", ["now"], "'now' was given; one JSON object is expected"),
    ("pause", [{"reason": 5}], "reason is '5'"),
    ("pause", [{}, {}], "2 arguments were given"),
    ("resume", [{"raeson": "x"}], "raeson is not known; allowed: reason"),
    ("resume", [None], "resume is for a trade that is paused or attention; this one is trading"),
    ("set_unit_size", [], "unit_size is '{}': Field required"),
    ("set_unit_size", [{"unit_size": "-1"}], "unit_size is '-1': Input should be greater than 0"),
    ("set_unit_size", [{"unit_size": "NaN"}], "unit_size is 'NaN'"),
    ("set_unit_size", [{"unit_size": "600"}], "use less than 575"),
    ("set_unit_size", [{"unit_size": "0.00001"}], "would be more than 10000 units; use at least 0.34501"),
    ("set_unit_size", [{"unit_size": "20"}], "lies inside the ladder, which ends at 3330"),
    ("units_moved", [{"ticks": []}], "ticks is '[]'"),
    ("units_moved", [{"ticks": [{"price": "0", "time_ms": 1}], "tid": 1}], "price is '0'"),
    ("units_moved", [{"ticks": [{"price": "1e30", "time_ms": 1}], "tid": 1}], "690.02 to 17250.5 is allowed"),
    ("units_moved", [{"ticks": [{"price": "3450", "time_ms": 9**17}], "tid": 1}], "half a minute ahead, is allowed"),
    ("units_moved", [b"\x00\x01"], "one JSON object is expected"),
    ("halt_and_catch_fire", [{"now": True}], "there is no signal halt_and_catch_fire"),
)


def _noted(why: str, status: TradeStatus) -> bool:
    return bool(status.notes) and why in status.notes[-1]


async def test_bad_signals_are_refused_noted_and_the_trade_goes_on(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    for name, arguments, why in BAD_SIGNALS:
        await rig.trade.signal(name, args=arguments)
        status = await rig.until(functools.partial(_noted, why))
        assert status.mode is Mode.TRADING, name
    await rig.price_at(opened.anchor_price - 2, -1)
    await rig.trade.execute_update("close", {})
    await rig.trade.result()
    refused = await rig.journal.history(rig.trade.id, kinds=["rejected_input"])
    assert len(refused) == len(BAD_SIGNALS)


@pytest.mark.parametrize("arguments", [[], [1, 2], ["x"], [{"unit_size": "0"}], [{"size": 3}]])
async def test_a_bad_update_is_answered_and_leaves_no_trace(rig: Rig, arguments: list[Any]) -> None:
    await rig.open()
    with pytest.raises(WorkflowUpdateFailedError):
        await rig.trade.execute_update("set_unit_size", args=arguments)
    assert (await rig.status()).mode is Mode.TRADING


async def test_a_close_after_a_new_unit_size_ends_the_workflow(rig: Rig) -> None:
    await rig.open()
    await rig.trade.signal("set_unit_size", {"unit_size": "3"})
    await rig.trade.signal("close", {"reason": "changed my mind"})
    result = await rig.trade.result()
    assert result["reason"] == "changed my mind"
    assert await rig.net_position() == 0


async def test_cancelling_in_temporal_closes_the_position(rig: Rig) -> None:
    opened = await rig.open()
    assert opened.anchor_price is not None
    await rig.price_at(opened.anchor_price - 2, -1)
    await rig.trade.cancel()
    result = await rig.trade.result()
    assert result["reason"] == "cancelled in Temporal"
    assert await rig.net_position() == 0


async def test_close_sells_also_what_others_bought_in_the_coin(rig: Rig) -> None:
    await rig.open()
    await rig.gateway.place_market_order("ETH", "buy", Decimal("0.05"))
    answer = await rig.trade.execute_update("close", {})
    assert answer == "closed: ETH is flat"
    assert await rig.net_position() == 0
