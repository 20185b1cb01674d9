"""What the journal keeps of a portfolio is all that it is: with Temporal lost its promises are kept, each once."""

import asyncio
import json
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from activities import watching
from cli.rebuilding import survey
from cli.rebuilt import Goes, RebuiltPortfolio, Survey
from cli.recover import start_all
from exchange.port import Side
from journal.entries import OperatorRecord, OutcomeRecord, ProfitRecord, SavedRecord, Standing, TransferRecord
from journal.standings import LastKnown
from portfolio.terms import PortfolioLimits
from tests.workflows.asker import QUEUE, Asker
from tests.workflows.conftest import Rig
from tests.workflows.played import TERMS, PlayedPortfolio, played_portfolio
from tests.workflows.test_portfolio import floor_of
from tests.workflows.test_standing import forget, kept
from workflows import renewal
from workflows.contracts import Mode
from workflows.granting import MarginAsk, Occasion
from workflows.portfolio import emergency, grants
from workflows.portfolio.asked import PortfolioInput
from workflows.portfolio.record import DueSaving, Latch, PortfolioRecord, Saved, ToReview
from workflows.portfolio.savings import DUE_KEPT, SAVED_KEPT
from workflows.portfolio.standing import NOT_KEPT, SEEN_AGAIN, record_of, standing_of, taken_up

D = Decimal
ON_SPOT = {"ETH": D(1)}
"""Left over by a former purchase: with it 10 USD are above the exchange's minimum for one order."""
KEPT_BYTES_MAX = 5_000
LATE = {"kind": "slow", "seconds": 30}
"""The exchange does what it was asked, and its reply comes too late."""


@pytest.fixture(autouse=True)
def _sharp_eyes(monkeypatch: pytest.MonkeyPatch) -> None:
    for pace in ("LOOKS_EVERY_S", "GLANCES_EVERY_S", "REPORTS_EVERY_S"):
        monkeypatch.setattr(watching, pace, 0.5)


async def known(rig: Rig, portfolio: PlayedPortfolio) -> LastKnown:
    (found,) = [each for each in await rig.journal.last_known() if each.trade.workflow_id == portfolio.handle.id]
    return found


async def kept_when(rig: Rig, portfolio: PlayedPortfolio, holds: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The record as the journal has it, once it is so."""
    async with asyncio.timeout(20):
        while True:
            standing = (await known(rig, portfolio)).standing
            if standing is not None and holds(standing.record):
                return standing.record
            await asyncio.sleep(0.02)


async def assert_kept_as_it_is(rig: Rig, portfolio: PlayedPortfolio) -> dict[str, Any]:
    """Every field of the record, as the journal has it and as the portfolio has it now."""
    differing: set[str] = set()
    for _ in range(100):
        live: Standing = await portfolio.handle.query("standing", result_type=Standing)
        in_journal = (await known(rig, portfolio)).standing
        if in_journal is not None:
            assert live.record.keys() == in_journal.record.keys() == PortfolioRecord.model_fields.keys() - NOT_KEPT
            differing = {name for name in live.record if live.record[name] != in_journal.record[name]} - SEEN_AGAIN
            if not differing and in_journal.seq == live.seq and _high(live.record) == _high(in_journal.record):
                return live.record
        await asyncio.sleep(0.02)
    raise AssertionError(f"not as it is: {differing}")


def _high(record: dict[str, Any]) -> tuple[str, str]:
    return record["curve"]["units"], record["curve"]["high_usd"]


async def lose(portfolio: PlayedPortfolio) -> None:
    """As far as Temporal knows, it has never been."""
    await portfolio.handle.terminate("lost")


async def found_by(rig: Rig) -> tuple[Survey, RebuiltPortfolio]:
    found = await survey(rig.journal, rig.gateway, rig.client, "paper")
    (portfolio,) = found.portfolios
    return found, portfolio


async def recover(rig: Rig, portfolio: PlayedPortfolio) -> RebuiltPortfolio:
    found, rebuilt = await found_by(rig)
    await start_all(rig.client, found)
    assert rebuilt.started
    portfolio.handle = rig.client.get_workflow_handle(rebuilt.workflow_id)
    return rebuilt


async def by_hand(rig: Rig, usd: int) -> None:
    spot = rig.gateway.spot
    await spot.transfer(await spot.prepare_transfer(D(usd), to_perp=False))


async def moves(rig: Rig) -> list[Decimal]:
    """What left the margin, as the exchange has it."""
    return [each.perp_usd or D(0) for each in (await rig.gateway.spot.ledger_updates(since_ms=0))[1:]]


async def bought(rig: Rig) -> list[str]:
    ledger = await rig.read_control("ledger")
    return [each["sz"] for each in ledger[rig.gateway.account]["spot"]["fills"]]


async def until_it_shows(look: Callable[[], Awaitable[object]], wanted: object) -> None:
    async with asyncio.timeout(20):
        while True:
            if await look() == wanted:
                return
            await asyncio.sleep(0.02)


async def test_what_is_kept_is_the_portfolio_field_by_field(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    # Another run would write it in any case.
    monkeypatch.setattr(renewal, "HISTORY_EVENTS_MAX", 100_000)
    limits = PortfolioLimits(max_net_notional_usd=D(100))
    async with played_portfolio(rig.client, terms=TERMS.model_copy(update={"limits": limits})) as portfolio:
        # Nothing has happened that an entry would tell of.
        assert (await assert_kept_as_it_is(rig, portfolio))["book"]["capital_usd"] == "1000"
        await portfolio.earn(25)
        await portfolio.handle.execute_update("skim", {"usd": "2", "coin": "BTC"})
        record = await assert_kept_as_it_is(rig, portfolio)
        assert (record["book"]["reserve_usd"], record["book"]["owed"]) == ("7.5", {"ETH": "5", "BTC": "2"})
        await kept_when(rig, portfolio, lambda record: record["savings_waits"].keys() == {"ETH", "BTC"})
        # A new high is kept though nobody tells of it.
        await rig.gateway.place_market_order("ETH", Side.BUY, D("0.02"))
        await rig.market(D(3700))
        await kept_when(rig, portfolio, lambda record: D(record["curve"]["high_usd"]) > 1)
        await rig.gateway.place_market_order("ETH", Side.BUY, D("0.1"))
        await portfolio.until(lambda now: now.held_back)
        await portfolio.handle.execute_update("exit", {"coin": "ETH"})
        record = await assert_kept_as_it_is(rig, portfolio)
        assert (record["held_back"][0]["limit"], list(record["leaving"])) == ("max_net_notional_usd", ["ETH"])
        await portfolio.handle.signal("emergency_stop", {"reason": "enough"})
        record = await kept_when(rig, portfolio, lambda record: record["latch"])
        assert record["latch"]["reason"] == "enough" and len(json.dumps(record)) < KEPT_BYTES_MAX

        live: Standing = await portfolio.handle.query("standing", result_type=Standing)
        read_back = record_of((await known(rig, portfolio)).trade, live)
        assert standing_of(read_back, live.at_ms) == live, "and all of it is read back"


async def test_a_purchase_that_was_lost_at_each_of_its_steps_moves_once_and_buys_once(rig: Rig) -> None:
    await by_hand(rig, 1)
    await rig.control("faults", **LATE, match={"action": "usdClassTransfer"})
    await rig.control("faults", **LATE, match={"action": "order"})
    async with played_portfolio(rig.client, spot_usd=ON_SPOT) as portfolio:
        await portfolio.earn(50)
        await until_it_shows(lambda: moves(rig), [-1, -10])
        assert (await found_by(rig))[1].goes is Goes.ALREADY, "one that runs is left alone"
        await lose(portfolio)
        rebuilt = await recover(rig, portfolio)
        assert rebuilt.purchase == "savings in ETH: 10 USD move to the spot side"
        assert (rebuilt.reserve_usd, rebuilt.owed) == (15, {"ETH": 10})

        await until_it_shows(lambda: bought(rig), ["0.0031"])
        await lose(portfolio)
        rebuilt = await recover(rig, portfolio)
        assert rebuilt.purchase.startswith("savings in ETH: 0.0031 are bought at ") and rebuilt.owed == {}
        status = await portfolio.until(lambda now: now.saved)
        await assert_kept_as_it_is(rig, portfolio)
        assert (await moves(rig), await bought(rig)) == ([-1, -10], ["0.0031"])
        assert (status.spot_usd, status.book.capital_usd) == ({"ETH": D("0.30469")}, 999 + 50 - 10)
        entries = [line.entry for line in await rig.journal.history(portfolio.handle.id)]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), "the journal goes on without a gap"
    assert [entry.command for entry in entries if isinstance(entry, OperatorRecord)] == ["recover", "recover"]
    for kind in (TransferRecord, OutcomeRecord, SavedRecord):
        assert len([entry for entry in entries if isinstance(entry, kind)]) == 1


async def test_no_money_moves_before_the_journal_has_it_but_margin_is_given(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants, "JOURNAL_TAKES_AT_MOST", timedelta(milliseconds=200))
    await by_hand(rig, 1)
    async with played_portfolio(rig.client, spot_usd=ON_SPOT) as portfolio:
        with closing(sqlite3.connect(tmp_path / "journal.db", isolation_level=None)) as database:
            database.execute("BEGIN IMMEDIATE")
            assert (await portfolio.earn(50)).margin_usd == D("399.6") + 25
            seen = await portfolio.until(lambda now: now.purchase and now.purchase.transfer)
            await portfolio.until(lambda now: now.looked_ms > seen.looked_ms + 500)
            assert await moves(rig) == [-1]
        await portfolio.until(lambda now: now.saved)
    assert await moves(rig) == [-1, -10]


async def test_a_profit_told_again_is_booked_once_and_what_a_lost_trade_had_is_free(rig: Rig) -> None:
    async with played_portfolio(rig.client) as portfolio:
        granted = await portfolio.earn(25)
        lost = await rig.client.start_workflow(Asker.run, id=f"lost-{portfolio.name}", task_queue=QUEUE)
        ask = MarginAsk(ask_id=f"{lost.id}/1", occasion=Occasion.START, trade=lost.id, coin="BTC", cycle=0)
        await lost.execute_update("ask", args=[ask, portfolio.name])
        record = await assert_kept_as_it_is(rig, portfolio)
        assert record["book"]["allocations"].keys() == {portfolio.trade.id, lost.id}
        for each in (portfolio.handle, lost):
            await each.terminate("lost")

        rebuilt = await recover(rig, portfolio)
        assert rebuilt.free_again == {lost.id: D(record["book"]["allocations"][lost.id]["margin_usd"])}
        status = await portfolio.until(lambda now: lost.id not in now.book.allocations)
        assert status.book.model_dump(mode="json") | {"allocations": {}} == record["book"] | {"allocations": {}}
        portfolio.cycle -= 1
        portfolio.margin_usd -= 12
        again = await portfolio.earn(25)
        assert again.margin_usd == granted.margin_usd
        status = await portfolio.status()
        assert (status.book.capital_usd, status.book.reserve_usd, status.book.owed) == (1025, D("7.5"), {"ETH": 5})
        entries = [line.entry for line in await rig.journal.history(portfolio.handle.id)]
    assert sum(isinstance(entry, ProfitRecord) for entry in entries) == 1


async def test_an_emergency_stop_stays_latched_and_strikes_trades_that_had_not_heard_of_it(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(emergency, "AGAIN_AFTER", timedelta(milliseconds=200))
    async with played_portfolio(rig.client, latch=Latch(since_ms=1, reason="enough")) as portfolio:
        await kept_when(rig, portfolio, lambda record: record["latch"])
        await lose(portfolio)
        await rig.open(margin_usd="400")
        await kept(rig)
        await rig.trade.terminate("lost")

        rebuilt = await recover(rig, portfolio)
        assert rebuilt.stopped == "enough"
        rig.trade = rig.client.get_workflow_handle(rig.trade.id)
        await rig.until(lambda now: now.mode is Mode.STOPPED)
        status = await portfolio.until(lambda now: now.latch and now.latch.proof)
        assert status.latch is not None and status.latch.reason == "enough"
        assert await rig.net_position() == 0


async def test_what_can_not_go_on_is_told_with_what_to_do(rig: Rig, tmp_path: Path) -> None:
    async with played_portfolio(rig.client) as portfolio:
        await assert_kept_as_it_is(rig, portfolio)
        await lose(portfolio)
        now = await known(rig, portfolio)
        assert now.standing is not None
        for changed, told in (({"signer": "0x" + "ab" * 20}, "bring that key"), ({"mood": 1}, "mood was written by")):
            standing = now.standing.model_copy(update={"record": now.standing.record | changed})
            await rig.journal.append(now.trade, [], standing)
            _, rebuilt = await found_by(rig)
            assert (rebuilt.goes, rebuilt.record) == (Goes.NOWHERE, None) and told in rebuilt.why
        forget(tmp_path / "journal.db")
        _, rebuilt = await found_by(rig)
        assert "kept no record beside it: hypertrader portfolio apply" in rebuilt.why
        await rig.journal.append(now.trade, [], now.standing)
        await recover(rig, portfolio)


async def test_one_that_was_ended_stays_so(rig: Rig) -> None:
    async def portfolios() -> list[Goes]:
        return [each.goes for each in (await survey(rig.journal, rig.gateway, rig.client, "paper")).portfolios]

    async with floor_of(rig) as floor:
        await until_it_shows(portfolios, [Goes.ALREADY])
        await floor.portfolio.execute_update("end", {})
        await floor.portfolio.result()
        assert await portfolios() == []


def test_trades_that_were_told_to_ask_anew_and_did_not_are_told_again_before_those_that_wait_for_them() -> None:
    grows = ToReview(trade="trade-BTC", now=False, grows=True)
    record = PortfolioRecord(
        input=PortfolioInput(),
        terms=TERMS,
        to_review=[grows],
        reviewed=["trade-ETH", "trade-SOL"],
        parts={"trade-ETH": D("0.5"), "trade-SOL": D(1)},
        gone=["trade-SOL"],
        next_seq=3,
    )
    after = taken_up(record, 1, 2, 7, ["trade-SOL", "trade-XRP"])
    assert [(each.trade, each.part) for each in after.to_review] == [
        ("trade-ETH", D("0.5")),
        ("trade-SOL", 1),
        ("trade-BTC", 1),
    ]
    assert (after.reviewed, after.gone) == (record.reviewed, ["trade-SOL", "trade-XRP"])
    assert ([entry.seq for entry in after.outbox], after.next_seq) == ([7], 8)
    assert record.to_review == [grows] and not record.outbox, "the one given is as it was"


def test_what_was_bought_is_kept_without_the_many_cycles_it_came_from() -> None:
    due = DueSaving(coin="ETH", usd=D("0.2"), trade="trade-ETH", cycle=1, at_ms=1)
    saved = Saved(at_ms=1, coin="ETH", size=D("0.003"), price=D(3000), usd=D(10), of=(due,) * DUE_KEPT)
    record = PortfolioRecord(input=PortfolioInput(), terms=TERMS, due=[due] * DUE_KEPT, saved=[saved] * SAVED_KEPT)
    kept = standing_of(record, 1).record
    assert len(json.dumps(kept)) < 3 * KEPT_BYTES_MAX
    assert kept["saved"] == [saved.model_dump(mode="json", exclude={"of"})] * SAVED_KEPT
