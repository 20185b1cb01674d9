"""A stop rests on the exchange, in step with what the trade holds, and works when nothing here does."""

from decimal import Decimal

import pytest
from temporalio.client import WorkflowUpdateFailedError

from activities.messages import Outage
from exchange.port import OpenOrder, Side
from tests.feed.harness import until_async
from tests.workflows.conftest import Rig
from tests.workflows.test_trade_plan import edited
from workflows.status import TradeStatus

BACKSTOP = {"beyond": "0.01"}


async def stops(rig: Rig) -> tuple[OpenOrder, ...]:
    return await rig.gateway.open_stops("ETH")


async def the_one_left(rig: Rig) -> tuple[OpenOrder, ...]:
    """The former one is taken off after the new one is there."""
    await until_async(lambda: _is_alone(rig))
    return await stops(rig)


async def _is_alone(rig: Rig) -> bool:
    return len(await stops(rig)) == 1


async def rested(rig: Rig) -> TradeStatus:
    """The status once the stop that rests is for all that is held, and nothing is on its way."""

    def in_step(now: TradeStatus) -> bool:
        net = now.ledger.net if now.ledger else Decimal(0)
        size = now.backstop.terms.size if now.backstop else Decimal(0)
        return size == -net and not now.order_in_flight

    return await rig.until(in_step)


async def test_the_stop_follows_the_net_position_and_there_is_one_only(rig: Rig) -> None:
    opened = await rig.open(backstop=BACKSTOP)
    anchor = opened.anchor_price
    assert anchor is not None
    for unit in (0, -1, -2, -3, -4, -5, -4, -3, -2):
        if unit:
            await rig.price_at(anchor + 2 * unit)
        seen = await rested(rig)
        assert seen.ledger is not None
        (stop,) = await the_one_left(rig)
        assert stop.reduce_only
        assert (stop.size, stop.side) == (abs(seen.ledger.net), Side.SELL if seen.ledger.net > 0 else Side.BUY)
        assert stop.trigger_price is not None
        last_level = anchor - 10 if stop.side is Side.SELL else anchor
        assert abs(stop.trigger_price / last_level - (Decimal("0.99") if stop.side is Side.SELL else 1)) < Decimal(
            "0.02"
        )


async def test_it_sells_while_everything_here_is_dead_and_the_trade_ends_with_its_fill_in_the_ledger(rig: Rig) -> None:
    opened = await rig.open(backstop=BACKSTOP)
    assert opened.anchor_price is not None and opened.ledger is not None
    seen = await rested(rig)
    assert seen.backstop is not None
    await rig.stop_worker()
    below = seen.backstop.terms.trigger_price - 1
    await rig.market(below)
    assert await rig.net_position() == 0
    await rig.tell(below)
    await rig.start_worker()
    result = await rig.trade.result()
    assert result["reason"].startswith("the backstop fired: sold")
    fills = [line.entry for line in await rig.journal.history(rig.trade.id, kinds=["fill"])]
    assert sum(fill.size for fill in fills if fill.cloid == seen.backstop.cloid) == seen.backstop.terms.size  # type: ignore[union-attr]
    state = await rig.gateway.get_balance("USDC")
    assert abs(Decimal(result["equity"]) - 100 - (state.total - 1000)) < Decimal("0.01")


async def test_a_stop_that_somebody_took_off_is_placed_again(rig: Rig) -> None:
    await rig.open(backstop=BACKSTOP)
    await rested(rig)
    before = await stops(rig)
    await rig.gateway.cancel_orders(before)
    await rig.trade.signal("was_away", Outage(who="feed", from_ms=1, to_ms=1))
    await rig.until(lambda now: now.backstop is not None and now.backstop.cloid != before[0].cloid)
    (again,) = await the_one_left(rig)
    assert (again.size, again.trigger_price) == (before[0].size, before[0].trigger_price)


async def test_a_stop_whose_request_was_lost_is_due_until_it_is_placed(rig: Rig) -> None:
    opened = await rig.open(backstop=BACKSTOP)
    assert opened.anchor_price is not None
    await rested(rig)
    await rig.control("faults", kind="drop_request", match={"action": "order", "nth": 2})
    await rig.price_at(opened.anchor_price - 2)
    lost = await rig.until(lambda now: now.last_orders[-1].status == "not_executed")
    assert lost.order_due
    placed = await rig.until(lambda now: not now.order_due and not now.order_in_flight)
    assert placed.ledger is not None and placed.backstop is not None
    assert placed.backstop.terms.size == -placed.ledger.net


async def test_closing_takes_it_off(rig: Rig) -> None:
    await rig.open(backstop=BACKSTOP)
    await rested(rig)
    await rig.trade.execute_update("close", {})
    assert await stops(rig) == ()
    assert await rig.net_position() == 0


async def test_a_stop_beyond_liquidation_is_refused(rig: Rig) -> None:
    with pytest.raises(Exception, match="failed") as failed:
        await rig.open(leverage=25, backstop={"beyond": "0.2"})
    assert "backstop.beyond is 0.2" in str(failed.value.__cause__)


async def test_neither_a_version_nor_a_unit_may_bring_a_stop_beyond_liquidation(rig: Rig) -> None:
    opened = await rig.open(leverage=25)
    anchor = opened.anchor_price
    assert anchor is not None
    # Little is held at first, and its liquidation far away; 100% long it would not be.
    for unit in (-1, -2, -3):
        await rig.price_at(anchor + 2 * unit)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await edited(rig, backstop={"beyond": "0.04"})
    assert "backstop.beyond is 0.04" in str(refused.value.__cause__)
    assert (await rig.status()).plan_versions == ()
    await edited(rig, backstop=BACKSTOP)
    await rested(rig)
    for unit in (-2, -1, 0):
        await rig.price_at(anchor + 2 * unit)
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await rig.trade.execute_update("set_unit_size", {"unit_size": "10"})
    assert "backstop.beyond is 0.01" in str(refused.value.__cause__)
