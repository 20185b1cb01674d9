"""kill -9 of each process in the middle of a cycle: the cycle ends as if nothing had happened."""

from decimal import Decimal
from typing import Any

import pytest

from cli import trades
from cli.paper import wait_until_followed
from journal.entries import Decision, ResetRecord
from plans.plan import TradingPlan
from tests.feed.harness import until_async
from tests.stack import Floor, TradeUnderTest

PRICE = Decimal(2500)
CYCLE = (3, 1, 2, -3, 3, 2)
KILLED_AT = {1: "worker", -1: "feed", 0: "temporal"}
"""Which process dies as the price that completes this line is set, the first time it is."""


async def run_cycle(floor: Floor, kill: dict[int, str]) -> dict[str, Any]:
    """One cycle on ETH from the same price; what it decided, ended with, and had accepted."""
    trade = await floor.open("ETH", price=PRICE, margin=1000, unit_size=2, leverage=10)
    left = dict(kill)
    for turn in CYCLE:
        while trade.line != turn:
            await _step(floor, trade, trade.line + (1 if turn > trade.line else -1), left)
    assert not left, "every kill happened"
    decisions = [entry for entry in await trade.journal() if isinstance(entry, Decision)]
    assert any(isinstance(entry, ResetRecord) for entry in await trade.journal())
    orders = await trade.orders()
    found = {
        "decisions": [entry.model_dump(exclude={"seq", "at_ms", "cloid"}) for entry in decisions],
        "ledger": trade.ledger,
        "net": await trade.net_on_exchange(),
        "cloids": [row.cloid for row in orders],
    }
    await trade.close()
    return found


async def _step(floor: Floor, trade: TradeUnderTest, line: int, left: dict[int, str]) -> None:
    falling = line < trade.line
    await floor.control.set_price("ETH", trade.price_of(line))
    if falling and line in left:
        # The price is on its way through the processes now, and stands still until they are back.
        floor.stack.children[left.pop(line)].kill()
    await trade.rest_at(line)


@pytest.mark.timeout(240)
async def test_a_killed_process_changes_nothing_about_a_cycle(floor: Floor) -> None:
    undisturbed = await run_cycle(floor, {})
    disturbed = await run_cycle(floor, KILLED_AT)

    assert [floor.stack.children[name].starts for name in ("worker", "feed", "temporal")] == [2, 2, 2]
    assert disturbed["decisions"] == undisturbed["decisions"]
    assert disturbed["ledger"] == undisturbed["ledger"]
    assert disturbed["net"] == undisturbed["net"] == disturbed["ledger"].net
    accepted = [order["cloid"] for order in (await floor.books())["acceptedOrders"]]
    assert len(accepted) == len(set(accepted))
    assert set(undisturbed["cloids"] + disturbed["cloids"]) <= set(accepted)
    # The closing orders are the only others.
    assert len(accepted) == len(undisturbed["cloids"]) + len(disturbed["cloids"]) + 2


HEDGE = TradingPlan.model_validate(
    {
        "name": "long-term",
        "coin": "SOL",
        "size": {"margin_usd": "1500"},
        "leverage": 1,
        "unit_size": "0.75",
        "strategy": "fibonacci",
        "accepts_costs": True,
    }
)


@pytest.mark.timeout(240)
async def test_a_ladder_and_a_plan_on_one_coin_each_keep_their_book_through_a_kill(floor: Floor) -> None:
    ladder = await floor.open("SOL", price="149.9", margin=1000, unit_size=10, leverage=1)
    opened = await trades.start_plan(floor.client, HEDGE, floor.settings, "long-term")
    hedge = TradeUnderTest(floor, "SOL", opened)
    await wait_until_followed(floor.client, floor.control, "SOL-long-term")
    await hedge.reach(40)
    await ladder_at(ladder, 3)
    await hedge.reach(30)
    await floor.control.set_price("SOL", hedge.price_of(24))
    floor.stack.children["worker"].kill()
    await hedge.rest_at(24)
    await ladder_at(ladder, 2)
    short, long = hedge.ledger.net, ladder.ledger.net
    assert short < 0 < long
    assert await ladder.net_on_exchange() == long + short

    await ladder.close()
    assert await hedge.net_on_exchange() == short
    await hedge.rest_at(24)
    await hedge.close()
    books = await floor.books()
    assert "SOL" not in books["positions"]
    accepted = [order["cloid"] for order in books["acceptedOrders"]]
    assert len(accepted) == len(set(accepted))


async def ladder_at(trade: TradeUnderTest, unit: int) -> None:
    """Once it has acted on a price that completed no more than this unit."""

    async def there() -> bool:
        trade.status = await trades.any_status(trade.floor.client, trade.status.name)
        return trade.status.unit == unit and not trade.status.order_in_flight and not trade.status.order_due

    await until_async(there, timeout_s=30)
