"""What the journal keeps of how a trade stands is all that the trade is: with Temporal lost it goes on from there."""

import asyncio
import copy
import sqlite3
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from activities.messages import Outage
from cli.errors import CommandFailed
from cli.rebuilding import still_open, survey
from cli.rebuilt import Goes, Rebuilt, Survey
from cli.recover import start
from exchange.port import Fill, Side
from journal.entries import OperatorRecord, OutcomeRecord, Standing, TradeRef
from journal.standings import LastKnown
from strategy.fold import booked
from strategy.ladder import V6
from strategy.state import Terms
from strategy.state import opened as opened_at
from strategy.values import Execution, Phase, Tick
from tests.workflows.conftest import Rig
from workflows import reconcile
from workflows.asked import TradeInput
from workflows.contracts import Mode, TradeRecord
from workflows.standing import NOT_KEPT, PRICES_KEPT, record_of, standing_of, taken_up
from workflows.status import TradeStatus

DONE_AGAIN = {"looked_ms", "looked_for_ms", "agreed_ms", "look_due", "former_stops"}
"""The exchange is asked before anything else, and a stop that is off already is taken off once more."""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The simulator shows a fill at once."""
    monkeypatch.setattr(reconcile, "SETTLES", timedelta(milliseconds=50))


async def kept(rig: Rig) -> LastKnown:
    """Once the journal has it: it is written behind the trade."""
    async with asyncio.timeout(20):
        while True:
            for each in await rig.journal.last_known():
                if each.trade.workflow_id == rig.trade.id and each.standing is not None:
                    return each
            await asyncio.sleep(0.02)


async def assert_kept_as_it_is(rig: Rig) -> dict[str, Any]:
    """Every field of the record, as the journal has it and as the trade has it now."""
    await rig.until(lambda now: not now.order_in_flight and not now.order_due)
    differing: set[str] = set()
    for _ in range(200):
        live: Standing = await rig.trade.query("standing", result_type=Standing)
        in_journal = (await kept(rig)).standing
        assert in_journal is not None
        assert live.record.keys() == in_journal.record.keys()
        differing = {name for name in live.record if live.record[name] != in_journal.record[name]} - DONE_AGAIN
        if not differing and in_journal.seq == live.seq:
            return live.record
    raise AssertionError(f"not as it is: {differing}")


async def lose(rig: Rig) -> None:
    """As far as Temporal knows, the trade has never been."""
    await rig.trade.terminate("lost")


async def found_by(rig: Rig) -> Survey:
    return await survey(rig.journal, rig.gateway, rig.client, "paper")


async def only_trade(rig: Rig) -> Rebuilt:
    (trade,) = (await found_by(rig)).trades
    return trade


async def recover(rig: Rig, trade: Rebuilt) -> TradeStatus:
    assert trade.record is not None
    await start(rig.client, trade, trade.record)
    assert trade.started
    rig.trade = rig.client.get_workflow_handle(trade.workflow_id)
    return await rig.until(lambda now: now.agreed_ms > trade.as_of_ms or now.difference is not None)


def forget(journal: Path) -> None:
    with closing(sqlite3.connect(journal)) as database, database:
        database.execute("DELETE FROM standings")


async def test_what_is_kept_is_the_trade_field_by_field(rig: Rig) -> None:
    opened = await rig.open(leverage=5, backstop={"beyond": "0.1"}, limits={"max_orders_per_day": 100})
    anchor = opened.anchor_price
    assert anchor is not None
    seen = []
    for unit in (1, 0, -5, -3, 0):
        await rig.price_at(anchor + 2 * unit)
        seen.append((await assert_kept_as_it_is(rig))["state"])
    assert {state["phase"] for state in seen} == set(Phase)
    assert seen[-1]["cycle"] == 2

    await rig.trade.execute_update("set_unit_size", {"unit_size": "3"})
    record = await assert_kept_as_it_is(rig)
    assert record["state"]["grid"]["unit_size"] == "3"
    await rig.trade.execute_update("pause", {})
    await rig.price_at(anchor - 6)
    assert (await assert_kept_as_it_is(rig))["mode"] == "paused"
    # A hand on the exchange: what it did is in the ledger, without an entry of its own.
    await rig.gateway.place_market_order("ETH", Side.BUY, Decimal("0.01"))
    await rig.trade.execute_update("resume", {})
    await rig.until(lambda now: now.difference is not None)
    assert (await assert_kept_as_it_is(rig))["mode"] == "attention"
    await rig.trade.execute_update("rehedge", {})
    assert (await assert_kept_as_it_is(rig))["mode"] == "trading"

    live: Standing = await rig.trade.query("standing", result_type=Standing)
    rebuilt = record_of((await kept(rig)).trade, live)
    assert standing_of(rebuilt, live.at_ms) == live, "and all of it is read back"
    assert not NOT_KEPT & live.record.keys()
    rebuilt.inbox = [Tick(price=anchor, time_ms=number) for number in range(7, 8 + PRICES_KEPT)]
    shortened = standing_of(rebuilt, live.at_ms)
    assert shortened is not None and (shortened.record["inbox"], shortened.record["since_ms"]) == ([], 6)


async def test_a_lost_trade_goes_on_and_settles_the_order_that_was_on_its_way(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.price_at(anchor + 2)
    await assert_kept_as_it_is(rig)
    assert (await only_trade(rig)).goes is Goes.ALREADY, "a trade that runs is left alone"
    # Its order is executed, and nobody has heard so when the journal is written.
    await rig.control("faults", kind="slow", match={"action": "order"}, seconds=30)
    await rig.market(anchor)
    await rig.tell(anchor)
    before = (await kept(rig)).newest_seq
    while (await kept(rig)).newest_seq == before:
        await rig.status()
    await lose(rig)
    accepted = await rig.orders_accepted()

    trade = await only_trade(rig)
    assert (trade.goes, trade.net) == (Goes.ON, trade.held) and trade.net == await rig.net_position()
    (line,) = trade.unresolved
    assert ": filled, " in line
    seen = await recover(rig, trade)
    assert (seen.trade_id, seen.unit, seen.mode) == (opened.trade_id, 0, Mode.TRADING)
    assert seen.ledger is not None and seen.ledger.net == await rig.net_position()
    assert await rig.orders_accepted() == accepted, "the same order, and it was there already"
    await rig.price_at(anchor - 2, -1)
    assert len(await rig.orders_accepted()) == len(accepted) + 1
    await assert_kept_as_it_is(rig)
    entries = [line.entry for line in await rig.journal.history(opened.trade_id or "")]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), "the journal goes on without a gap"
    assert [entry.command for entry in entries if isinstance(entry, OperatorRecord)] == ["recover"]
    assert sum(isinstance(entry, OutcomeRecord) for entry in entries) == len(await rig.orders_accepted())


async def test_orders_after_the_last_that_was_kept_are_taken_over_and_told(rig: Rig, tmp_path: Path) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    await rig.price_at(anchor + 2)
    await assert_kept_as_it_is(rig)
    old = await kept(rig)
    before = await rig.price_at(anchor, 0)
    await assert_kept_as_it_is(rig)
    accepted = await rig.orders_accepted()
    await lose(rig)
    forget(tmp_path / "journal.db")
    await rig.journal.append(old.trade, [], old.standing)

    trade = await only_trade(rig)
    assert trade.goes is Goes.TO_ATTENTION and "were filled" in trade.why
    assert trade.net == trade.held == await rig.net_position()
    seen = await recover(rig, trade)
    assert seen.mode is Mode.ATTENTION and seen.difference is None
    await rig.tell(anchor)
    await rig.trade.execute_update("resume", {})
    seen = await rig.until(lambda now: now.unit == 0 and not now.order_in_flight and now.mode is Mode.TRADING)
    assert await rig.orders_accepted() == accepted, "the price told again asks for what is held already"
    assert seen.ledger is not None and before.ledger is not None
    assert (seen.ledger.long, seen.ledger.short) == (before.ledger.long, before.ledger.short)
    assert abs(seen.ledger.equity - before.ledger.equity) < Decimal("0.01")
    await assert_kept_as_it_is(rig)
    entries = [line.entry for line in await rig.journal.history(opened.trade_id or "")]
    assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1)), "the journal goes on without a gap"


async def test_what_can_not_go_on_by_itself_is_told_with_what_to_do(rig: Rig, tmp_path: Path) -> None:
    await rig.open()
    await assert_kept_as_it_is(rig)
    await lose(rig)
    await rig.gateway.place_market_order("ETH", Side.SELL, Decimal("0.01"))
    accepted = await rig.orders_accepted()
    trade = await only_trade(rig)
    assert trade.goes is Goes.TO_ATTENTION and "the exchange holds" in trade.why
    seen = await recover(rig, trade)
    assert seen.difference is not None and seen.mode is Mode.ATTENTION
    assert await rig.orders_accepted() == accepted, "as a running trade: nothing before a person has answered"
    await assert_kept_as_it_is(rig)
    await lose(rig)

    known = await kept(rig)
    assert known.standing is not None
    other = known.standing.model_copy(update={"record": known.standing.record | {"signer": "0x" + "ab" * 20}})
    newer = known.standing.model_copy(update={"record": known.standing.record | {"mood": "calm"}})
    for changed, told in ((other, "bring that key"), (newer, "mood was written by a newer release")):
        await rig.journal.append(known.trade, [], changed)
        found = await found_by(rig)
        assert [(trade.goes, trade.record) for trade in found.trades] == [(Goes.NOWHERE, None)]
        assert told in found.trades[0].why
        assert [each.coin for each in found.unexplained] == ["ETH"]
    ahead = known.standing.model_copy(update={"at_ms": known.standing.at_ms + 3_600_000})
    await rig.journal.append(known.trade, [], ahead)
    with pytest.raises(CommandFailed, match="set the clock, or try again in 3"):
        await found_by(rig)
    forget(tmp_path / "journal.db")
    assert "a former release wrote its journal" in (await only_trade(rig)).why


async def test_two_trades_on_one_coin_find_each_other_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "SETTLES", timedelta(seconds=1))
    other = copy.copy(rig)
    await rig.open(leverage=10)
    await assert_kept_as_it_is(rig)
    await other.open(leverage=10, margin_usd="200")
    await assert_kept_as_it_is(other)
    rigs = (rig, other)
    for each in rigs:
        await lose(each)
    # A third one whose opening order was refused; what is held is not its.
    refused = (await kept(rig)).trade.model_copy(update={"trade_id": "trade-ETH-c/1", "workflow_id": "trade-ETH-c"})
    await rig.journal.append(refused, [OperatorRecord(seq=1, at_ms=1, command="pause", arguments={}, result="")], None)

    found = (await found_by(rig)).trades
    began_ms = max(each.as_of_ms for each in found)
    assert {each.workflow_id: each.goes for each in found} == {each.trade.id: Goes.ON for each in rigs}
    assert sum(each.net or 0 for each in found) == found[0].held == await rig.net_position()
    for each in found:
        assert each.record is not None
        await start(rig.client, each, each.record)
    for each in rigs:
        each.trade = rig.client.get_workflow_handle(each.trade.id)
        seen = await each.until(lambda now: now.agreed_ms > began_ms or now.difference is not None)
        assert (seen.mode, seen.difference) == (Mode.TRADING, None)


def test_a_fill_that_is_the_order_due_after_a_reset_is_booked_as_that_order() -> None:
    terms = Terms(coin="ETH", leverage=5, ladder=V6)
    bought = opened_at(terms, Decimal(2), Decimal(100), Execution(size=Decimal(1), average_price=Decimal(500)))
    due = bought.changed(wanted_long=Decimal("1.5"), resizing=True)
    record = TradeRecord(
        input=TradeInput(coin="ETH", unit_size=Decimal(2)), mode=Mode.TRADING, state=due, end_told=True
    )
    fill = Fill(
        cloid="0x1",
        oid=1,
        tid=1,
        coin="ETH",
        price=Decimal(510),
        size=Decimal("0.5"),
        fee_usd=Decimal(0),
        time_ms=1,
    )
    lost = Outage(who="temporal", from_ms=1, to_ms=2)
    after = taken_up(record, lost, 8, missed=[fill], resting=["0x2"])
    assert after.state == booked(due, Execution(size=fill.size, average_price=fill.price))
    assert after.state is not None and not after.state.net_due and not after.state.resizing
    assert (after.mode, after.stop_cloids) == (Mode.ATTENTION, ["0x2"])
    assert [entry.seq for entry in after.outbox] == [8, 9] and after.next_seq == 10
    assert not after.end_told, "a portfolio that was rebuilt too may not know it"
    assert record.mode is Mode.TRADING and not record.outbox, "the one given is as it was"


def test_of_a_workflow_id_the_newest_trade_is_open_and_a_stopped_one_until_it_is_released() -> None:
    def known(number: int, mode: str | None, *, closed: bool, account: str = "0xa") -> LastKnown:
        trade = TradeRef(
            trade_id=f"{number}",
            workflow_id=f"trade-{number // 10}",
            coin="ETH",
            account=account,
            network="paper",
            opened_at_ms=number,
        )
        standing = None if mode is None else Standing(seq=1, at_ms=1, record={"mode": mode})
        return LastKnown(trade=trade, standing=standing, newest_seq=1, newest_ms=1, opened=True, closed=closed)

    story = [
        known(10, "trading", closed=False),
        known(11, "closed", closed=True),
        known(20, "stopped", closed=True),
        known(30, "trading", closed=True),
        known(40, None, closed=False),
        known(50, None, closed=True),
        known(60, "paused", closed=False),
        known(70, "trading", closed=False, account="0xb"),
    ]
    assert [each.trade.trade_id for each in still_open(story, "paper", "0xa")] == ["20", "40", "60"]
