"""A portfolio on a real server, its account on the simulator: nothing is given twice, and a broken limit stops all."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import WorkflowHandle, WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from cli.trades import TASK_TIMEOUT
from portfolio.terms import PortfolioLimits, PortfolioTerms
from tests.workflows.asker import QUEUE, Asker
from tests.workflows.conftest import Rig
from workflows.contracts import Mode
from workflows.granting import Granted, MarginAsk, Occasion, TradeEnded, portfolio_id
from workflows.portfolio.asked import PortfolioInput
from workflows.portfolio.record import PortfolioRecord
from workflows.portfolio.status import PortfolioStatus
from workflows.status import ASK_AGAIN

D = Decimal
TERMS = PortfolioTerms(shares={"ETH": D("0.4"), "BTC": D("0.2"), "SOL": D("0.2")})


class Floor:
    """A portfolio that runs, and workflows that ask it as trades do."""

    def __init__(self, rig: Rig, name: str) -> None:
        self.rig = rig
        self.name = name
        self.portfolio: WorkflowHandle[Any, Any] = rig.client.get_workflow_handle(portfolio_id(name))

    async def begin(self, terms: PortfolioTerms) -> None:
        record = PortfolioRecord(input=PortfolioInput(name=self.name), terms=terms)
        await self.rig.client.start_workflow(
            "Portfolio", record, id=portfolio_id(self.name), task_queue="trades", task_timeout=TASK_TIMEOUT
        )
        await self.until(lambda status: status.equity_usd > 0)

    async def asker(self, coin: str) -> WorkflowHandle[Any, Any]:
        return await self.rig.client.start_workflow(
            "Asker", id=f"asker-{coin}-{uuid.uuid4().hex[:8]}", task_queue=QUEUE
        )

    async def ask(self, asker: WorkflowHandle[Any, Any], coin: str, **fields: Any) -> Granted:
        ask = MarginAsk.model_validate(
            {
                "ask_id": f"{asker.id}/1",
                "occasion": Occasion.START,
                "trade": asker.id,
                "coin": coin,
                "cycle": 0,
                **fields,
            }
        )
        granted: Granted = await asker.execute_update("ask", args=[ask, self.name], result_type=Granted)
        return granted

    async def status(self) -> PortfolioStatus:
        while True:
            try:
                return await self.portfolio.query("status", result_type=PortfolioStatus)
            except WorkflowQueryFailedError as error:
                if ASK_AGAIN not in str(error):
                    raise
                await asyncio.sleep(0.05)

    async def until(self, holds: Callable[[PortfolioStatus], bool], within_s: float = 20) -> PortfolioStatus:
        status: PortfolioStatus | None = None
        try:
            async with asyncio.timeout(within_s):
                while True:
                    status = await self.status()
                    if holds(status):
                        return status
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"not within {within_s} s; the portfolio is {status}") from None


@asynccontextmanager
async def floor_of(rig: Rig, terms: PortfolioTerms = TERMS) -> AsyncIterator[Floor]:
    floor = Floor(rig, f"p{uuid.uuid4().hex[:8]}")
    async with Worker(rig.client, task_queue=QUEUE, workflows=[Asker], workflow_runner=UnsandboxedWorkflowRunner()):
        await floor.begin(terms)
        yield floor


@pytest.fixture
async def floor(rig: Rig) -> AsyncIterator[Floor]:
    async with floor_of(rig) as ready:
        yield ready


async def test_three_that_ask_at_once_get_their_shares_and_a_fourth_is_refused(floor: Floor) -> None:
    askers = {coin: await floor.asker(coin) for coin in ("ETH", "BTC", "SOL", "DOGE")}
    answers = await asyncio.gather(*(floor.ask(each, coin) for coin, each in askers.items()))
    granted = dict(zip(askers, answers, strict=True))
    assert [granted[coin].margin_usd for coin in ("ETH", "BTC", "SOL")] == [400, 200, 200]
    assert granted["DOGE"].refusal == "coin is DOGE; ETH, BTC, SOL have a share"
    assert (await floor.status()).reserve_usd == 200


async def test_twenty_that_ask_at_once_share_what_there_is(floor: Floor) -> None:
    askers = [await floor.asker("ETH") for _ in range(20)]
    granted = await asyncio.gather(*(floor.ask(each, "ETH") for each in askers))
    assert sum((each.margin_usd or D(0) for each in granted), D(0)) == 400
    assert sum(each.margin_usd is not None for each in granted) == 1


async def test_a_profit_is_shared_once_however_often_the_trade_asks(floor: Floor) -> None:
    asker = await floor.asker("ETH")
    await floor.ask(asker, "ETH")
    reset = {"ask_id": f"{asker.id}/2", "occasion": Occasion.RESET, "cycle": 1, "equity_usd": "450", "profit_usd": "50"}
    first = await floor.ask(asker, "ETH", **reset)
    again = await floor.ask(asker, "ETH", **reset)
    assert first == again and first.margin_usd == 425
    book = (await floor.status()).book
    assert (book.capital_usd, book.reserve_usd, book.owed) == (1050, 15, {"ETH": 10})


async def test_what_was_asked_before_is_not_booked_after_it(floor: Floor) -> None:
    asker = await floor.asker("ETH")
    await floor.ask(asker, "ETH")
    reset = {"occasion": Occasion.RESET, "cycle": 1, "equity_usd": "450", "profit_usd": "50"}
    await floor.ask(asker, "ETH", ask_id=f"{asker.id}/3", **reset)
    late = MarginAsk.model_validate({"ask_id": f"{asker.id}/2", "trade": asker.id, "coin": "ETH", **reset})
    await floor.portfolio.signal("ask_margin", late)
    await floor.ask(asker, "ETH", ask_id=f"{asker.id}/3", **reset)
    assert (await floor.status()).book.capital_usd == 1050


async def test_runs_are_renewed_and_every_profit_is_in_the_book_once(floor: Floor) -> None:
    asker = await floor.asker("ETH")
    await floor.ask(asker, "ETH")
    first_run_id = (await floor.portfolio.describe()).run_id
    told = 1
    while (await floor.portfolio.describe()).run_id == first_run_id:
        assert told < 200
        for _ in range(10):
            told += 1
            own_usd = 400 + told - 1
            await floor.ask(
                asker, "ETH", ask_id=f"{asker.id}/{told}", occasion=Occasion.RESET, equity_usd=own_usd, profit_usd="0.1"
            )
    book = (await floor.status()).book
    assert book.owed_usd == D("0.02") * (told - 1) and book.reserve_usd == D("0.03") * (told - 1)


async def test_a_trade_that_ended_gives_its_margin_back_once(floor: Floor) -> None:
    asker = await floor.asker("ETH")
    await floor.ask(asker, "ETH")
    ended = TradeEnded(ask_id=f"{asker.id}/2", trade=asker.id, coin="ETH", cycle=1, profit_usd=D(-30))
    for _ in range(2):
        await floor.portfolio.signal("trade_ended", ended)
    status = await floor.until(lambda status: not status.book.allocations)
    assert status.book.capital_usd == 970
    other = await floor.asker("ETH")
    assert (await floor.ask(other, "ETH")).margin_usd == 388


async def test_it_ends_when_no_trade_has_anything_and_not_before(floor: Floor) -> None:
    asker = await floor.asker("ETH")
    await floor.ask(asker, "ETH")
    with pytest.raises(WorkflowUpdateFailedError) as refused:
        await floor.portfolio.execute_update("end", {})
    assert f"{asker.id} have their margin from it" in str(refused.value.cause)
    ended = TradeEnded(ask_id=f"{asker.id}/2", trade=asker.id, coin="ETH", cycle=1, profit_usd=D(10))
    await floor.portfolio.signal("trade_ended", ended)
    await floor.until(lambda status: not status.book.allocations)
    assert "is over; 2 USD that were to be saved stay" in await floor.portfolio.execute_update(
        "end", {"reason": "enough"}
    )
    await floor.portfolio.result()


async def test_while_nobody_has_anything_what_the_exchange_shows_is_divided(floor: Floor) -> None:
    await floor.until(lambda status: status.looked_ms > 0)
    ended = TradeEnded(ask_id="long gone/2", trade="trade-ETH", coin="ETH", cycle=1, profit_usd=D(-30))
    await floor.portfolio.signal("trade_ended", ended)
    await floor.until(lambda status: status.book.capital_usd == 970)
    # Any look that has something to tell will do.
    await floor.rig.control("fund", address=floor.rig.gateway.account, usd="500")
    # Limits that change are looked for at once.
    limits = {"max_drawdown": "0.22"}
    await floor.portfolio.execute_update("apply", {"terms": {**TERMS.model_dump(mode="json"), "limits": limits}})
    await floor.until(lambda status: status.book.capital_usd == 1500)


async def test_a_fall_of_23_percent_stops_every_trade_until_a_person_releases(rig: Rig) -> None:
    async with floor_of(rig) as floor:
        opened = await rig.open(margin_usd="400", leverage=5, unit_size="50")
        assert opened.mode is Mode.TRADING
        # 2000 USD of ETH: 12% down takes 240 of 1000.
        await rig.market(D(3450) * D("0.88"))
        stopped = await floor.until(lambda status: status.latch is not None and status.latch.proof is not None)
        assert stopped.latch is not None and "max_drawdown is 23%" in stopped.latch.reason
        assert await rig.net_position() == 0
        assert (await rig.status()).mode is Mode.STOPPED
        asker = await floor.asker("BTC")
        await rig.stop_worker()
        await rig.start_worker()
        assert "everything is stopped" in (await floor.ask(asker, "BTC")).refusal
        with pytest.raises(WorkflowUpdateFailedError):
            await floor.portfolio.execute_update("release", {"reason": ""})
        await floor.portfolio.execute_update("release", {"reason": "looked at it"})
        assert (await floor.ask(asker, "BTC", ask_id=f"{asker.id}/2")).margin_usd is not None


async def test_a_withdrawal_of_half_triggers_nothing_and_is_divided_no_more(rig: Rig) -> None:
    async with floor_of(rig) as floor:
        await rig.control("fund", address=rig.gateway.account, usd="-500")
        status = await floor.until(lambda status: status.book.capital_usd == 500, within_s=40)
        assert (status.latch, status.drawdown, status.equity_usd) == (None, 0, 500)


async def test_the_button_works_whatever_its_words_are(rig: Rig) -> None:
    async with floor_of(rig) as floor:
        await rig.open()
        await floor.portfolio.signal("emergency_stop", "NOW!!!")
        await floor.until(lambda status: status.latch is not None and status.latch.proof is not None)
        assert await rig.net_position() == 0


async def test_what_nobody_owns_goes_only_when_everything_is_to_go(rig: Rig) -> None:
    async with floor_of(rig) as floor:
        await rig.gateway.place_market_order("ETH", "buy", D("0.1"))
        await floor.portfolio.signal("emergency_stop", {"reason": "drill"})
        status = await floor.until(lambda status: status.latch is not None and status.latch.proof is not None)
        assert status.latch is not None and status.latch.proof is not None
        assert status.latch.proof.left.coins == ("ETH",)
        answer = await floor.portfolio.execute_update("emergency_stop", {"reason": "drill", "everything": True})
        assert answer.startswith("flat") and await rig.net_position() == 0


async def test_a_limit_that_is_broken_holds_new_trades_back(rig: Rig) -> None:
    limits = PortfolioLimits(max_net_notional_usd=D(100))
    async with floor_of(rig, TERMS.model_copy(update={"limits": limits})) as floor:
        await rig.gateway.place_market_order("ETH", "buy", D("0.1"))
        await floor.until(lambda status: bool(status.held_back), within_s=40)
        asker = await floor.asker("BTC")
        assert "max_net_notional_usd is 100" in (await floor.ask(asker, "BTC")).refusal


async def test_nonsense_is_refused_and_the_portfolio_goes_on(floor: Floor) -> None:
    for signal, payload in (
        ("apply", {"terms": {"shares": {}}}),
        ("skim", {"usd": "-1"}),
        ("nonsense", 1),
        ("exit", []),
    ):
        await floor.portfolio.signal(signal, payload)
    status = await floor.until(lambda status: len(status.notes) == 4)
    assert "skim refused: usd is '-1'" in status.notes[1]
    asker = await floor.asker("ETH")
    assert (await floor.ask(asker, "ETH")).margin_usd == 400
