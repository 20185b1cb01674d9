"""The worked example of the Fibonacci hedge on everything real: 40 units up, down through every level, up again.

The example's entry is 100 in units of 0.5. Here all is half as much again: at 100 the exchange's tick changes.
"""

from decimal import Decimal

from cli import trades
from cli.paper import wait_until_followed
from plans.plan import TradingPlan
from strategy.values import Phase
from tests.stack import Floor, TradeUnderTest

D = Decimal


async def started(floor: Floor, coin: str, **fields: object) -> TradeUnderTest:
    """The trade of a plan on `coin`, bought a hair below 150: 2% of it are four units then, and not a cent more."""
    await floor.control.set_price(coin, D("149.9"))
    asked = {
        "name": "example",
        "coin": coin,
        "size": {"margin_usd": "1500"},
        "leverage": 1,
        "unit_size": "0.75",
        "strategy": "fibonacci",
        "accepts_costs": True,
        **fields,
    }
    plan = TradingPlan.model_validate(asked)
    status = await trades.start_plan(floor.client, plan, floor.settings)
    await wait_until_followed(floor.client, floor.control, coin)
    assert status.anchor_price is not None and D("149.8") < status.anchor_price <= 150
    return TradeUnderTest(floor, coin, status)


async def holds(trade: TradeUnderTest, line: int, long: str, short: str) -> None:
    """At `line`, in shares of the whole position; the exchange has the difference."""
    seen = await trade.reach(line)
    assert seen.hedge is not None and seen.ledger is not None
    full_qty = seen.hedge.full_qty
    lot = D("0.01")
    expected = [share * full_qty // lot * lot for share in (D(long), D(short))]
    assert [seen.ledger.long, seen.ledger.short] == expected
    assert await trade.net_on_exchange() == expected[0] - expected[1]


async def test_the_worked_example_from_its_first_hedge_to_the_next_fractal(floor: Floor) -> None:
    trade = await started(floor, "SOL")
    await holds(trade, 40, "1", "0")
    await holds(trade, 31, "1", "0")
    await holds(trade, 30, "0.50", "0.50")
    await holds(trade, 25, "0.50", "0.50")
    await holds(trade, 24, "0.25", "0.50")
    await holds(trade, 20, "0", "0.50")
    await holds(trade, 0, "0", "0.50")
    await holds(trade, 3, "0", "0.50")
    await holds(trade, 4, "0", "0")
    assert trade.status.phase is Phase.DECLINE
    await holds(trade, 5, "0", "0")
    await holds(trade, 6, "1", "0")
    assert (trade.status.phase, trade.status.cycle, trade.status.unit) == (Phase.ADVANCE, 2, 0)
    await trade.close()


async def test_what_a_fall_did_is_undone_in_reverse_beyond_the_release(floor: Floor) -> None:
    """Without a stop of the short, so that it lives to be undone."""
    strategy = {
        "name": "patient",
        "levels": [
            {"at": "0.23", "long": "0.50", "short": "0.50"},
            {"at": "0.38", "long": "0.25", "short": "0.50"},
            {"at": "0.50", "long": "0", "short": "0.50"},
        ],
        "short_trailing_stop": None,
    }
    trade = await started(floor, "HYPE", strategy=strategy)
    await trade.reach(40)
    await holds(trade, 20, "0", "0.50")
    await holds(trade, 21, "0", "0.50")
    await holds(trade, 22, "0.25", "0.50")
    await holds(trade, 27, "0.50", "0.50")
    await holds(trade, 33, "1", "0")
    assert trade.status.losses.whipsaw_usd > 0
    await trade.close()


async def test_a_drawdown_of_23_percent_of_equity_ends_the_trade(floor: Floor) -> None:
    trade = await started(floor, "DOGE", strategy="fibonacci")
    await trade.reach(-40)
    await floor.control.set_price("DOGE", trade.price_of(-47))
    result = await trade.handle.result()
    assert result["reason"].startswith("max_drawdown is 23%")
    assert await trade.net_on_exchange() == 0
