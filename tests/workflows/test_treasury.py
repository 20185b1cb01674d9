"""A trade whose margin is its portfolio's: asked for at the opening and at every RESET, and told when it ends."""

import asyncio
from collections.abc import AsyncIterator
from decimal import Decimal

import pytest
from temporalio.client import WorkflowFailureError

from cli import opening, trades
from cli.errors import CommandFailed
from strategy.ladder import V7
from strategy.values import Phase
from tests.workflows.conftest import Rig
from tests.workflows.granter import OWN, SILENT, GranterHandle, Heard, granter
from tests.workflows.test_trade_replay import replayer
from workflows import herald, treasury
from workflows.asked import Close, TradeInput
from workflows.contracts import Mode
from workflows.granting import Granted, Occasion
from workflows.status import TradeStatus

FUNDED = {"portfolio": "main", "margin_usd": None, "leverage": 10, "ladder": V7.model_dump(mode="json")}
"""v7 begins a new cycle whenever a retracement is undone: two prices make one."""
LOT = Decimal("0.0001")


@pytest.fixture
async def main(rig: Rig) -> AsyncIterator[GranterHandle]:
    async with granter(rig.client, start="100", reset=OWN, review=OWN) as handle:
        yield handle


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(herald, "TELLS_AGAIN_MS", 300)
    monkeypatch.setattr(treasury, "HOLDS_MS", 900)


async def opened(rig: Rig, **asked: object) -> tuple[TradeStatus, Decimal]:
    await rig.open(**{**FUNDED, **asked})
    status = await rig.until(lambda now: now.mode is Mode.TRADING)
    assert status.anchor_price is not None
    return status, status.anchor_price


async def to_reset(rig: Rig, anchor: Decimal, cycle: int = 2) -> TradeStatus:
    await rig.price_at(anchor - 2, -1)
    await rig.market(anchor)
    await rig.tell(anchor)
    return await rig.until(lambda now: now.cycle == cycle)


async def at_rest(rig: Rig, cycle: int = 2) -> TradeStatus:
    """Nothing is asked for or ordered any more, and the ledger is the exchange's."""
    seen = await rig.until(
        lambda now: now.cycle == cycle and not (now.open_ask or now.order_in_flight or now.order_due)
    )
    assert seen.ledger is not None and seen.ledger.net == await rig.net_position()
    return seen


async def heard(main: GranterHandle, asks: int = 0, ended: int = 0) -> Heard:
    async with asyncio.timeout(20):
        while True:
            seen = await main.heard()
            if len(seen.asks) >= asks and len(seen.ended) >= ended:
                return seen
            await asyncio.sleep(0.02)


async def earned_on_the_exchange(rig: Rig) -> Decimal:
    ledger = await rig.read_control("ledger")
    return Decimal(ledger[rig.gateway.account]["accountValueUsd"]) - 1000


async def replays(rig: Rig) -> None:
    async for run in rig.client.list_workflows(f"WorkflowId = '{rig.trade.id}'"):
        handle = rig.client.get_workflow_handle(run.id, run_id=run.run_id)
        await replayer().replay_workflow(await handle.fetch_history())


async def test_the_margin_is_asked_for_granted_moved_and_told(rig: Rig, main: GranterHandle) -> None:
    await main.answers("reset", "-40")
    status, anchor = await opened(rig)
    assert (status.margin_usd, status.portfolio) == (100, "main")
    assert status.ledger is not None and 0 <= 1000 / anchor - status.ledger.net < LOT
    await to_reset(rig, anchor)
    seen = await at_rest(rig)
    assert seen.ledger is not None
    start, reset = (await heard(main, asks=2)).asks
    assert (start.occasion, start.cycle, start.equity_usd, start.profit_usd) == (Occasion.START, 0, 0, 0)
    assert (reset.occasion, reset.cycle, reset.coin, reset.trade) == (Occasion.RESET, 1, "ETH", rig.trade.id)
    assert reset.equity_usd == 100 + reset.profit_usd, "the cycle's result is in the allocation"
    assert seen.ledger.allocation == reset.equity_usd - 40
    assert (seen.ledger.taken_usd, seen.margin_usd) == (40, 100)
    # The position goes with the margin; v7 began the cycle with what it held.
    held = status.ledger.net * seen.ledger.allocation / reset.equity_usd
    assert abs(seen.ledger.net - held) < 3 * LOT
    assert seen.ledger.equity + 40 - 100 == await earned_on_the_exchange(rig)
    await rig.trade.execute_update("close", {})
    result = await rig.trade.result()
    (ended,) = (await heard(main, ended=1)).ended
    assert (ended.cycle, ended.trade) == (2, rig.trade.id)
    assert Decimal(result["pnl_usd"]) == await earned_on_the_exchange(rig) == reset.profit_usd + ended.profit_usd
    entries = [line.entry for line in await rig.journal.history(rig.trade.id, kinds=["margin", "closed"])]
    assert [entry.kind for entry in entries] == ["margin", "closed"]
    await replays(rig)


async def test_its_own_or_nothing_orders_nothing_and_more_buys(rig: Rig, main: GranterHandle) -> None:
    _, anchor = await opened(rig, at_reset="keep")
    # As a portfolio rounds it.
    await main.answers("reset", "-0.009")
    await to_reset(rig, anchor)
    await at_rest(rig)
    assert len(await rig.orders_accepted()) == 3, "the opening, a step and its undoing"
    await main.answers("reset", "no: all is spoken for")
    await to_reset(rig, anchor, cycle=3)
    before = await at_rest(rig, cycle=3)
    assert before.ledger is not None and before.ledger.taken_usd == 0
    assert before.notes[-1] == "portfolio main grants nothing anew: all is spoken for"
    assert len(await rig.orders_accepted()) == 5
    assert not await rig.journal.history(rig.trade.id, kinds=["margin"])
    await main.answers("review", "+50")
    await rig.trade.signal("review", {})
    more = (
        await rig.until(lambda now: now.ledger is not None and now.ledger.taken_usd == -50 and not now.order_due)
    ).ledger
    assert more is not None and more.net == await rig.net_position()
    assert abs(more.net / before.ledger.net - more.allocation / before.ledger.allocation) < Decimal("0.002")


async def test_prices_wait_for_the_answer_and_are_folded_after_it(rig: Rig, main: GranterHandle) -> None:
    await main.answers("reset", SILENT)
    _, anchor = await opened(rig)
    await to_reset(rig, anchor)
    orders = len(await rig.orders_accepted())
    await rig.market(anchor - 4)
    await rig.tell(anchor - 2, anchor - 4)
    await rig.trade.signal("granted", Granted(ask_id="another/1", margin_usd=Decimal(7)))
    # A query is answered after the signals before it were handled.
    waiting = await rig.status()
    assert (waiting.unit, waiting.price, waiting.phase) == (0, anchor, Phase.ADVANCE)
    assert waiting.open_ask is not None and waiting.open_ask.answer is None
    await rig.stop_worker()
    await main.says("-40")
    await rig.start_worker()
    await rig.until(lambda now: now.ledger is not None and now.ledger.taken_usd == 40)
    await main.says("-70")
    seen = await rig.until(lambda now: now.price == anchor - 4 and not now.order_in_flight)
    assert seen.ledger is not None and (seen.unit, seen.ledger.taken_usd) == (-2, 40), "the first answer counts"
    assert seen.ledger.net == await rig.net_position()
    assert len(await rig.orders_accepted()) == orders + 2, "the resize, and the units that waited"
    await replays(rig)


async def test_without_an_answer_the_cycle_goes_on_and_takes_it_at_100_percent_long(
    rig: Rig, main: GranterHandle, impatient: None
) -> None:
    await main.answers("reset", SILENT)
    _, anchor = await opened(rig)
    await to_reset(rig, anchor)
    await rig.tell(anchor - 2)
    await rig.market(anchor - 2)
    alone = await rig.until(lambda now: now.unit == -1 and not now.order_in_flight)
    assert alone.open_ask is not None and "has not answered for 0.9 s" in alone.notes[-1]
    told = (await heard(main, asks=3)).asks[1:]
    assert len({ask.ask_id for ask in told}) == 1, "the same ask, told again"
    await main.says("-40")
    late = await rig.until(lambda now: now.open_ask is not None and now.open_ask.answer is not None)
    assert late.ledger is not None and (late.ledger.taken_usd, late.phase) == (0, Phase.RETRACEMENT)
    await main.answers("reset", OWN)
    await rig.market(anchor)
    await rig.tell(anchor)
    seen = await at_rest(rig, cycle=3)
    assert seen.ledger is not None and seen.ledger.taken_usd == 40
    last = (await heard(main, asks=4)).asks[-1]
    assert (last.occasion, last.cycle, last.equity_usd) == (Occasion.RESET, 2, seen.ledger.allocation)
    assert seen.ledger.equity + 40 - 100 == await earned_on_the_exchange(rig)
    await replays(rig)


async def test_a_trade_is_refused_where_no_portfolio_runs(rig: Rig) -> None:
    with pytest.raises(WorkflowFailureError) as failure:
        await opened(rig)
    assert "no portfolio main runs: hypertrader portfolio apply FILE" in str(failure.value.cause)
    assert not await rig.orders_accepted()


@pytest.mark.parametrize(
    ("answer", "asked", "why"),
    [
        ("no: ETH has no share", {}, "ETH has no share"),
        ("0.5", {}, "margin is 0.5: at 10x the smallest step"),
        ("2000", {}, "margin is 2000; the account has 1000 USD free"),
        ("100", {"margin_usd": "50"}, "with it the trade has no margin_usd"),
    ],
)
async def test_what_is_refused_with_the_margin_gives_it_back(
    rig: Rig, main: GranterHandle, answer: str, asked: dict[str, str], why: str
) -> None:
    await main.answers("start", answer)
    with pytest.raises(WorkflowFailureError) as failure:
        await opened(rig, **asked)
    assert why in str(failure.value.cause)
    seen = await main.heard()
    assert [(ended.cycle, ended.profit_usd) for ended in seen.ended] == ([] if asked else [(0, 0)])


@pytest.mark.parametrize("word", ["close", "stop", "leave"])
async def test_a_trade_that_waits_for_its_margin_can_be_told_to_end(
    rig: Rig, main: GranterHandle, impatient: None, word: str
) -> None:
    await main.answers("start", SILENT)
    assert (await rig.open(**FUNDED)).mode is Mode.ASKING
    assert len({ask.ask_id for ask in (await heard(main, asks=3)).asks}) == 1, "the same, told again"
    await rig.trade.signal(word, {})
    result = await rig.trade.result()
    assert result["cycles"] == 0
    await main.says("100")
    assert len((await heard(main, ended=1)).ended) == 1
    assert not await rig.orders_accepted()


async def test_a_portfolio_that_is_gone_is_no_trouble(rig: Rig, main: GranterHandle) -> None:
    _, anchor = await opened(rig)
    await main.go()
    await to_reset(rig, anchor)
    waiting = await rig.until(lambda now: "no portfolio main runs: hypertrader portfolio apply FILE" in now.notes)
    assert waiting.open_ask is not None
    assert await rig.trade.execute_update("close", {}) == "closed: ETH is flat"
    await rig.trade.result()


async def test_a_review_asks_when_all_is_long_again(rig: Rig, main: GranterHandle) -> None:
    await main.answers("review", "-40")
    _, anchor = await opened(rig, ladder={**FUNDED["ladder"], "reset_on_full_reversal": False})  # type: ignore[dict-item]
    await rig.price_at(anchor + 2, 1)
    hedged = await rig.price_at(anchor, 0)
    await rig.trade.signal("review", {"reason": "weekly"})
    await rig.status()
    assert hedged.phase is Phase.RETRACEMENT and len((await main.heard()).asks) == 1
    await rig.price_at(anchor + 2, 1)
    seen = await rig.until(lambda now: now.ledger is not None and now.ledger.taken_usd == 40 and not now.order_due)
    review = (await heard(main, asks=2)).asks[-1]
    assert seen.ledger is not None
    assert (review.occasion, review.cycle, review.profit_usd, seen.cycle) == (Occasion.REVIEW, 1, 0, 1)
    assert abs(seen.ledger.equity - review.equity_usd + 40) < Decimal("0.5"), "but for the cost of the order"
    assert seen.ledger.net == await rig.net_position()
    assert (await rig.price_at(anchor, 0)).phase is Phase.RETRACEMENT


async def test_a_review_at_once_ends_the_cycle_where_it_is(rig: Rig, main: GranterHandle) -> None:
    await main.answers("reset", "-40")
    _, anchor = await opened(rig)
    declined = await rig.price_at(anchor - 12, -6)
    assert declined.phase is Phase.DECLINE and await rig.net_position() < 0
    orders = len(await rig.orders_accepted())
    await rig.trade.signal("review", {"now": True})
    seen = await at_rest(rig)
    reset = (await heard(main, asks=2)).asks[-1]
    assert seen.ledger is not None and seen.price is not None
    assert (reset.occasion, reset.cycle, reset.equity_usd) == (Occasion.RESET, 1, 100 + reset.profit_usd)
    assert (seen.unit, seen.phase, seen.ledger.allocation) == (0, Phase.ADVANCE, reset.equity_usd - 40)
    assert abs(seen.ledger.net * seen.price - 10 * seen.ledger.allocation) < 2
    assert len(await rig.orders_accepted()) == orders + 1
    assert seen.ledger.equity + 40 - 100 == await earned_on_the_exchange(rig)
    assert (await rig.price_at(anchor - 14, -1)).phase is Phase.RETRACEMENT
    await replays(rig)


async def test_an_adopted_cycle_is_told_too(rig: Rig, main: GranterHandle) -> None:
    await main.answers("reset", "-10")
    await opened(rig)
    await rig.gateway.place_market_order("ETH", "sell", Decimal("0.05"))
    await rig.trade.signal("pause", {})
    await rig.trade.execute_update("resume", {})
    await rig.until(lambda now: now.mode is Mode.ATTENTION)
    await rig.trade.execute_update("adopt", {})
    seen = await at_rest(rig)
    reset = (await heard(main, asks=2)).asks[-1]
    assert seen.ledger is not None
    assert (reset.occasion, reset.cycle, reset.equity_usd) == (Occasion.RESET, 1, 100 + reset.profit_usd)
    assert seen.ledger.allocation == reset.equity_usd - 10


async def test_a_stopped_trade_tells_its_end_once(rig: Rig, main: GranterHandle) -> None:
    _, anchor = await opened(rig)
    await rig.price_at(anchor - 2, -1)
    await rig.trade.execute_update("stop", {})
    (ended,) = (await heard(main, ended=1)).ended
    assert ended.profit_usd == await earned_on_the_exchange(rig)
    await rig.trade.execute_update("release", {})
    await rig.trade.result()
    assert len((await main.heard()).ended) == 1


async def test_an_open_ask_goes_on_in_a_renewed_run(rig: Rig, main: GranterHandle) -> None:
    await main.answers("reset", SILENT)
    _, anchor = await opened(rig)
    await to_reset(rig, anchor)
    before = (await rig.client.get_workflow_handle(rig.trade.id).describe()).run_id
    while (await rig.client.get_workflow_handle(rig.trade.id).describe()).run_id == before:
        await asyncio.gather(*(rig.trade.signal("granted", {"ask_id": "another/1"}) for _ in range(60)))
    await main.says("-40")
    seen = await at_rest(rig)
    assert seen.ledger is not None and seen.ledger.taken_usd == 40
    resets = {ask.ask_id for ask in (await main.heard()).asks if ask.occasion is Occasion.RESET}
    assert len(resets) == 1


async def test_the_command_waits_for_the_portfolio_and_leaves_the_trade_waiting(
    rig: Rig, main: GranterHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = TradeInput(coin="ETH", unit_size=Decimal(2), portfolio="main", accepts_costs=True)
    assert (await trades.begin(rig.client, asked)).margin_usd == 100
    rig.trade = rig.client.get_workflow_handle("trade-ETH")
    await trades.command(rig.client, "ETH", "close", Close())
    monkeypatch.setattr(opening, "PATIENCE_S", 0.5)
    await main.answers("start", SILENT)
    with pytest.raises(CommandFailed) as unanswered:
        await trades.begin(rig.client, asked)
    assert "the portfolio has not answered in 0 s; the trade on ETH waits on, with nothing held" in str(
        unanswered.value
    )
    assert (await rig.status()).mode is Mode.ASKING
    assert await trades.command(rig.client, "ETH", "close", Close()) == "closed: nothing was opened on ETH"
