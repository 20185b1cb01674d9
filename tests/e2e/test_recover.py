"""The drill: everything killed, all that was kept is gone but the key and the journal, and the price moves on."""

import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from cli import trades
from exchange.network import PAPER_KEY
from journal.entries import Decision
from tests.cli.conftest import hypertrader
from tests.e2e.test_backup import accepted, stack_on
from tests.stack import FUNDED_USD, Floor, TradeUnderTest

PRICE = Decimal(2500)
BEFORE, MEANWHILE, AFTER = (1, -1), -4, (-2, -1)
"""Lines; the price goes to MEANWHILE in one go."""
KEPT = {PAPER_KEY, "journal.db", "journal.db-wal", "simulator.db", "simulator.db-wal"}
"""The simulator's books are the exchange's."""


async def opened(floor: Floor) -> TradeUnderTest:
    trade = await floor.open("ETH", price=PRICE, margin=1000, unit_size=2, leverage=10)
    await trade.to(*BEFORE)
    return trade


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
async def test_with_all_lost_but_key_and_journal_a_trade_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    async with stack_on(folder) as floor:
        await floor.control.fund(floor.account, FUNDED_USD)
        trade = await opened(floor)
        await trade.reach(MEANWHILE)
        undisturbed = await ended(trade)
        trade = await opened(floor)
        before = await accepted(floor)

    lose_all_but(folder, KEPT)
    async with stack_on(folder) as floor:
        trade.floor = floor
        await floor.control.set_price("ETH", trade.price_of(MEANWHILE))
        assert await trades.trades(floor.client) == []
        dry = await recover(floor)
        (row,) = dry["trades"]
        assert (row["goes"], row["started"], dry["unexplained"]) == ("on", False, [])
        assert Decimal(row["net"]) == Decimal(row["held"]) == trade.ledger.net
        assert await trades.trades(floor.client) == [], "a dry run changes nothing"

        (row,) = (await recover(floor, "--yes"))["trades"]
        assert row["started"]
        assert (await trade.rest_at(MEANWHILE)).trade_id == row["trade_id"] == trade.status.trade_id
        (row,) = (await recover(floor, "--yes"))["trades"]
        assert (row["goes"], row["started"]) == ("already", False)
        disturbed = await ended(trade)
        cloids = [cloid for cloid, _ in await accepted(floor)]

    assert disturbed == undisturbed
    assert cloids[: len(before)] == [cloid for cloid, _ in before]
    assert len(cloids) == len(set(cloids)) == undisturbed["orders"] + disturbed["orders"] + 2, "two closed"
