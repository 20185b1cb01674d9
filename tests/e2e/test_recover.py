"""The drill: everything killed, all that was kept is gone but the key and the journal, and the price moves on.

The trade has its margin from a portfolio, which has put profit aside, owes some to savings and is below its best.
"""

import asyncio
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from activities.messages import TRADES_QUEUE
from cli import portfolios, trades
from exchange.network import PAPER_KEY
from journal.entries import Closed, Decision
from portfolio.book import Book
from portfolio.curve import Curve
from portfolio.terms import PortfolioTerms
from tests.cli.conftest import hypertrader
from tests.e2e.test_backup import accepted, stack_on
from tests.stack import FUNDED_USD, Floor, TradeUnderTest
from workflows.granting import portfolio_id
from workflows.portfolio.asked import PortfolioInput
from workflows.portfolio.record import DueSaving, PortfolioRecord
from workflows.portfolio.status import PortfolioStatus

PRICE = Decimal(2500)
BEFORE, MEANWHILE, AFTER = (1, -1), -4, (-2, -1)
"""Lines; the price goes to MEANWHILE in one go."""
KEPT = {PAPER_KEY, "journal.db", "journal.db-wal", "simulator.db", "simulator.db-wal"}
"""The simulator's books are the exchange's."""


OWED_USD, ASIDE_USD = Decimal(5), Decimal(7)
PROMISED = {
    "book": Book(reserve_usd=ASIDE_USD, owed={"ETH": OWED_USD}),
    "due": [DueSaving(coin="ETH", usd=OWED_USD, trade="trade-ETH", cycle=1, at_ms=1)],
    "curve": Curve(units=FUNDED_USD, high_usd=Decimal("1.25")),
}
"""Of a portfolio that is 20% below its best, and stops everything at 23%."""
SHARE = Decimal("0.001")
"""Of what there is to divide: the margin of a trade that brings its own."""


async def opened(floor: Floor, **margin: Any) -> TradeUnderTest:
    trade = await floor.open("ETH", price=PRICE, unit_size=2, leverage=10, **margin)
    await trade.to(*BEFORE)
    return trade


async def begin_portfolio(floor: Floor) -> None:
    """With as much to divide as there was before anything was traded."""
    value_usd = Decimal((await floor.books())["accountValueUsd"])
    await floor.control.fund(floor.account, FUNDED_USD + OWED_USD - value_usd)
    record = PortfolioRecord(input=PortfolioInput(), terms=PortfolioTerms(shares={"ETH": SHARE}), **PROMISED)
    await floor.client.start_workflow("Portfolio", record, id=portfolio_id("main"), task_queue=TRADES_QUEUE)


async def kept(floor: Floor) -> tuple[PortfolioStatus, dict[str, Any]]:
    """The portfolio, once the journal has it as it is, and its record there."""
    async with asyncio.timeout(20), floor.journal() as journal:
        while True:
            seen = await portfolios.status(floor.client, "main")
            found = {each.trade.workflow_id: each.standing for each in await journal.last_known()}
            standing = found.get(seen.workflow_id)
            if standing is not None and standing.record["book"] == seen.book.model_dump(mode="json"):
                return seen, standing.record
            await asyncio.sleep(0.05)


async def until_the_trade_is_over(floor: Floor) -> PortfolioStatus:
    async with asyncio.timeout(20):
        while True:
            seen = await portfolios.status(floor.client, "main")
            if not seen.book.allocations:
                return seen
            await asyncio.sleep(0.05)


async def ended(trade: TradeUnderTest) -> dict[str, Any]:
    """What it decided and ended with; closed."""
    await trade.to(*AFTER)
    decisions = [entry for entry in await trade.journal() if isinstance(entry, Decision)]
    found = {
        "decisions": [entry.model_dump(exclude={"seq", "at_ms", "cloid"}) for entry in decisions],
        "ledger": trade.ledger,
        "net": await trade.net_on_exchange(),
        "orders": len(await trade.orders()),
    }
    await trade.close()
    return found


async def recover(floor: Floor, *words: str) -> dict[str, Any]:
    done = await hypertrader("recover", "--from-exchange", "--json", *words, env=floor.environment())
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out)
    return found


def lose_all_but(folder: Path, kept: set[str]) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()


@pytest.mark.timeout(150)
@pytest.mark.drill
async def test_with_all_lost_but_key_and_journal_a_trade_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    async with stack_on(folder) as floor:
        await floor.control.fund(floor.account, FUNDED_USD)
        trade = await opened(floor, margin=SHARE * FUNDED_USD)
        await trade.reach(MEANWHILE)
        undisturbed = await ended(trade)
        await begin_portfolio(floor)
        trade = await opened(floor, margin=None, portfolio="main")
        promised, _ = await kept(floor)
        before = await accepted(floor)

    lose_all_but(folder, KEPT)
    async with stack_on(folder) as floor:
        trade.floor = floor
        await floor.control.set_price("ETH", trade.price_of(MEANWHILE))
        assert await trades.trades(floor.client) == []
        dry = await recover(floor)
        (row,), (portfolio,) = dry["trades"], dry["portfolios"]
        assert (portfolio["goes"], portfolio["started"], portfolio["free_again"]) == ("on", False, {})
        assert Decimal(portfolio["high_water_usd"]) == promised.high_water_usd
        assert (row["goes"], row["started"], dry["unexplained"]) == ("on", False, [])
        assert Decimal(row["net"]) == Decimal(row["held"]) == trade.ledger.net
        assert await trades.trades(floor.client) == [], "a dry run changes nothing"

        done = await recover(floor, "--yes")
        (row,), (portfolio,) = done["trades"], done["portfolios"]
        assert row["started"] and portfolio["started"]
        seen = await portfolios.status(floor.client, "main")
        assert (seen.book, seen.due, seen.terms) == (promised.book, promised.due, promised.terms)
        assert seen.high_water_usd == promised.high_water_usd and seen.drawdown > Decimal("0.19")
        assert (await trade.rest_at(MEANWHILE)).trade_id == row["trade_id"] == trade.status.trade_id
        (row,) = (await recover(floor, "--yes"))["trades"]
        assert (row["goes"], row["started"]) == ("already", False)
        disturbed = await ended(trade)
        seen = await until_the_trade_is_over(floor)
        (closed,) = [entry for entry in await trade.journal() if isinstance(entry, Closed)]
        assert abs(seen.book.capital_usd - promised.book.capital_usd - closed.realized_pnl_usd) < Decimal("0.01")
        assert (seen.book.reserve_usd, seen.book.owed) == (ASIDE_USD, {"ETH": OWED_USD}), "of a loss nothing is saved"
        _, record = await kept(floor)
        _, first_run = row["trade_id"].split("/")
        assert record["answered"]["trade-ETH"]["ask_id"] == f"{first_run}/2", (
            "what it tells has the same name ever after"
        )
        cloids = [cloid for cloid, _ in await accepted(floor)]

    assert disturbed == undisturbed
    assert cloids[: len(before)] == [cloid for cloid, _ in before]
    assert len(cloids) == len(set(cloids)) == undisturbed["orders"] + disturbed["orders"] + 2, "two closed"
