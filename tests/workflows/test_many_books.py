"""Two trades on one coin: each has its own ledger, the exchange the sum, and nobody takes what is another's."""

import asyncio
import copy
import uuid
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle

from activities import neighbours
from exchange.port import OrderOutcome
from journal.entries import TradeRef
from strategy.ladder import V6
from strategy.state import Terms, opened
from strategy.values import Execution
from tests.workflows.conftest import Rig
from tests.workflows.test_trade_replay import replayer
from workflows import reconcile
from workflows.asked import TradeInput
from workflows.contracts import Mode, TradeRecord
from workflows.status import TradeStatus

NOW = {"who": "worker", "from_ms": 0, "to_ms": 0}
"""A worker's announcement: it makes a trade look."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator shows a fill at once."""
    monkeypatch.setattr(reconcile, "SETTLES", timedelta(milliseconds=50))
    monkeypatch.setattr(reconcile, "LOOKS_AGAIN_AFTER", timedelta(milliseconds=200))


@pytest.fixture
async def two(rig: Rig) -> tuple[Rig, Rig]:
    """Two open trades on ETH; each of the rigs has its own trade in hand."""
    other = copy.copy(rig)
    await rig.open(leverage=10)
    await other.open(leverage=10, margin_usd="200", unit_size="3")
    return rig, other


async def net(rig: Rig) -> Decimal:
    status = await rig.status()
    assert status.ledger is not None
    return status.ledger.net


async def looked(rig: Rig) -> TradeStatus:
    """After a look that came to agreement."""
    before_ms = (await rig.status()).agreed_ms
    await rig.trade.signal("was_away", NOW)
    return await rig.until(lambda now: now.agreed_ms > before_ms)


async def in_attention(rig: Rig) -> str:
    status = await rig.until(lambda now: now.mode is Mode.ATTENTION)
    return str(status.attention)


async def test_each_keeps_its_ledger_and_the_exchange_has_the_sum(two: tuple[Rig, Rig]) -> None:
    one, other = two
    anchor = (await one.status()).anchor_price
    assert anchor is not None
    for price, units in ((-2, (-1, 0)), (-4, (-2, -1)), (-6, (-3, -2)), (-2, (-1, -1))):
        await asyncio.gather(*(rig.price_at(anchor + price, unit) for rig, unit in zip(two, units, strict=True)))
        assert await one.net_position() == await net(one) + await net(other)
    for rig in two:
        seen = await looked(rig)
        assert (seen.mode, seen.difference) == (Mode.TRADING, None)


async def test_a_close_leaves_the_other_whole_and_a_stop_of_both_ends_flat(two: tuple[Rig, Rig]) -> None:
    one, other = two
    kept = await net(other)
    answer = await one.trade.execute_update("close", {})
    assert answer.startswith(f"closed: nothing of this trade is left; the exchange holds {kept:f} ETH (ETH-")
    assert await one.net_position() == kept == await net(other)
    await one.trade.result()
    assert (await looked(other)).mode is Mode.TRADING
    again = copy.copy(one)
    await again.open(leverage=10)
    await one.gateway.place_market_order("ETH", "buy", Decimal("0.01"))
    answers = await asyncio.gather(*(rig.trade.execute_update("stop", {}) for rig in (again, other)))
    assert await one.net_position() == 0, answers
    with pytest.raises(WorkflowFailureError) as refused:
        await one.open(leverage=10)
    assert "was stopped: release it first" in str(refused.value.cause)
    async for run in one.client.list_workflows(f"WorkflowId = '{other.trade.id}'"):
        await replayer().replay_workflow(
            await one.client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        )


async def test_opposite_nets_close_one_by_one(two: tuple[Rig, Rig]) -> None:
    """The net on the exchange is smaller than either book, and a close goes through zero: reduce-only would cut it."""
    one, other = two
    anchor = (await one.status()).anchor_price
    assert anchor is not None
    await one.price_at(anchor - 10, -5)
    short, long = await net(one), await net(other)
    assert short < 0 < long
    assert await one.net_position() == short + long
    await other.trade.execute_update("close", {})
    assert await one.net_position() == short
    assert (await looked(one)).mode is Mode.TRADING
    await one.trade.execute_update("close", {})
    assert await one.net_position() == 0


async def test_a_hand_stops_all_trades_of_the_coin_and_one_takes_what_it_did(two: tuple[Rig, Rig]) -> None:
    one, other = two
    before = [await net(rig) for rig in two]
    sold = Decimal("0.01")
    await one.gateway.place_market_order("ETH", "sell", sold)
    await one.trade.signal("was_away", NOW)
    texts = [await in_attention(rig) for rig in two]
    for text in texts:
        assert f"its trades {sum(before):f}" in text and f"{before[0]:f}" in text and f"{before[1]:f}" in text
        assert text.count("by others: sold 0.01 ETH") == 1
    await other.trade.execute_update("adopt", {})
    assert [await net(rig) for rig in two] == [before[0], before[1] - sold]
    await one.trade.execute_update("resume", {})
    for rig in two:
        assert (await looked(rig)).mode is Mode.TRADING


async def test_what_was_liquidated_is_not_sold_once_more(two: tuple[Rig, Rig]) -> None:
    one, other = two
    await one.gateway.close_position("ETH")
    await one.trade.execute_update("close", {})
    assert await one.net_position() == 0, "nothing was there to be sold"
    assert "the exchange holds 0 ETH, the trade" in await in_attention_after_a_look(other)


async def in_attention_after_a_look(rig: Rig) -> str:
    await rig.trade.signal("was_away", NOW)
    return await in_attention(rig)


async def test_a_second_trade_has_the_leverage_of_the_first(rig: Rig) -> None:
    await rig.open(leverage=10)
    other = copy.copy(rig)
    with pytest.raises(WorkflowFailureError) as refused:
        await other.open(leverage=5)
    assert "leverage is 5; the exchange has one for a coin" in str(refused.value.cause)


async def test_two_that_open_at_once_find_each_other(rig: Rig) -> None:
    both = (rig, copy.copy(rig))
    await asyncio.gather(*(each.open(leverage=10) for each in both))
    assert await rig.net_position() == sum([await net(each) for each in both])
    for each in both:
        assert (await looked(each)).mode is Mode.TRADING


async def test_less_than_an_order_is_closed_all_the_same(two: tuple[Rig, Rig]) -> None:
    """The exchange takes nothing below 10 USD but a whole position: the close goes beyond, and comes back."""
    others = await net(two[0]) + await net(two[1])
    tiny = copy.copy(two[0])
    anchor = (await tiny.open(leverage=10, margin_usd="5")).anchor_price
    assert anchor is not None
    await tiny.price_at(anchor - 8, -4)
    assert 0 < abs(await net(tiny)) * anchor < 10
    await tiny.trade.execute_update("close", {})
    assert await tiny.net_position() == others
    closing = [order.size for order in (await tiny.status()).last_orders if order.purpose == "close"]
    assert len(closing) == 2


async def test_a_backstop_beside_an_opposite_trade_never_goes_past_flat(rig: Rig) -> None:
    """Reduce-only is of the account's net: the exchange sells less, and the trade the rest as it ends."""
    short, long = rig, copy.copy(rig)
    anchor = (await short.open(leverage=10)).anchor_price
    assert anchor is not None
    await long.open(leverage=10, margin_usd="200", unit_size="30", backstop={"beyond": "0.01"})
    await short.price_at(anchor - 10, -5)
    assert await net(short) < 0 < await rig.net_position()
    stop = (await long.until(lambda now: now.backstop is not None)).backstop
    assert stop is not None
    await rig.market(stop.terms.trigger_price - 5)
    assert await rig.net_position() == 0
    await short.trade.signal("was_away", NOW)
    await short.until(lambda now: now.unsettled is not None and "a backstop of" in now.unsettled)
    await long.trade.signal("was_away", NOW)
    result = await long.trade.result()
    assert "the backstop fired" in result["reason"]
    assert await rig.net_position() == await net(short)
    assert (await looked(short)).mode is Mode.TRADING


@pytest.fixture
async def silent(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> WorkflowHandle[Any, Any]:
    """Another trade that nobody runs, and that the one in hand has heard of."""
    monkeypatch.setattr(neighbours, "RPC_TIMEOUT", timedelta(milliseconds=300))
    monkeypatch.setattr(neighbours, "ASKS_MAX", 1)
    await rig.open(leverage=10)
    asked = TradeInput(coin="ETH", unit_size=Decimal(2), margin_usd=Decimal(100))
    handle = await rig.client.start_workflow(
        "Trade", TradeRecord(input=asked), id="trade-ETH-silent", task_queue="served by nobody"
    )
    await rig.trade.signal("neighbour", {"trade_id": f"{handle.id}/{handle.first_execution_run_id}", "differs": True})
    await rig.until(lambda now: now.unsettled == "ETH-silent does not answer")
    return handle


async def test_where_one_can_not_be_asked_nothing_is_concluded(rig: Rig, silent: WorkflowHandle[Any, Any]) -> None:
    await rig.gateway.place_market_order("ETH", "sell", Decimal("0.01"))
    looked_until = (await rig.status()).agreed_ms
    await rig.trade.signal("was_away", NOW)
    # Done only after the look.
    await rig.trade.execute_update("set_unit_size", {"unit_size": "5"})
    status = await rig.status()
    assert (status.mode, status.difference, status.agreed_ms) == (Mode.TRADING, None, looked_until)
    await silent.terminate()
    assert "by others: sold 0.01 ETH" in await in_attention(rig)


async def test_a_close_does_not_wait_for_one_that_is_silent(rig: Rig, silent: WorkflowHandle[Any, Any]) -> None:
    await rig.trade.execute_update("close", {})
    assert await rig.net_position() == 0


async def test_a_trade_that_was_brought_back_asks_who_else_is_there_and_is_known_to_them(rig: Rig) -> None:
    """Its record comes from elsewhere, so it opened nothing and nobody has heard of it."""
    await rig.open(leverage=10)
    outcome = await rig.gateway.place_market_order("ETH", "buy", Decimal("0.05"))
    back = copy.copy(rig)
    back.trade = await rig.client.start_workflow("Trade", brought_back(rig, outcome), id=BACK, task_queue="trades")
    assert (await back.until(lambda now: now.agreed_ms > 1)).mode is Mode.TRADING
    for each in (rig, back):
        assert (await looked(each)).mode is Mode.TRADING


BACK = "trade-ETH-back"


def brought_back(rig: Rig, bought: OrderOutcome) -> TradeRecord:
    """Of an open trade that has just this, and has never looked."""
    assert bought.average_price is not None
    asked = TradeInput(coin="ETH", unit_size=Decimal(2), margin_usd=Decimal(20), leverage=10)
    held = Execution(size=bought.filled_size, average_price=bought.average_price)
    account, at_ms = rig.gateway.account, bought.proof.established_at_ms + 1
    trade_id = f"{BACK}/{uuid.uuid4()}"
    return TradeRecord(
        input=asked,
        trade=TradeRef(
            trade_id=trade_id, workflow_id=BACK, coin="ETH", account=account, network="paper", opened_at_ms=at_ms
        ),
        account=account,
        signer=rig.gateway.signer,
        asset=1,
        size_decimals=4,
        mode=Mode.TRADING,
        state=opened(Terms(coin="ETH", leverage=10, ladder=V6), Decimal(2), Decimal(20), held),
        since_ms=at_ms,
        last_price=held.average_price,
        opened_ms=at_ms,
        agreed_ms=1,
        funding_ms=at_ms,
        look_due="brought back",
    )
