"""The prices of a live run, backtested: the same decisions, the same fills to the cent."""

import io
import json
from collections.abc import Iterator
from decimal import Decimal
from itertools import groupby
from typing import Any

import pytest

from backtest.columns import stretch_of
from backtest.journal import Journal
from backtest.markets import MIN_NOTIONAL_USD
from backtest.prices import PriceBatch
from backtest.run import run_fast
from backtest.setup import Setup
from backtest.trading import Fills
from journal.entries import Decision, Entry, OutcomeRecord, ResetRecord
from simulator.config import Depth, Fees
from simulator.markets import BY_COIN
from strategy.ladder import V6, V7, Ladder
from strategy.values import Action, Execution, Phase
from tests.stack import Floor, TradeUnderTest

CENT = Decimal("0.01")
MARGIN_USD, LEVERAGE = 1000, 5
TURNS = (3, 1, 2, -5, -4, -7, -3, -4, -2, 1, 0)
"""Lines at which the price turns; over every line between, one price at a time."""
GAPS = (4, -3, 3)
"""Then in leaps, each completing several units with one price."""


def backtested(
    coin: str, ladder: Ladder, unit_size: Decimal, prices: list[Decimal], monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Any], list[Execution], dict[str, Decimal]]:
    """The journal's lines, what was executed, and the end."""
    executed: list[Execution] = []
    execute = Fills.execute

    def noted(self: Fills, order_qty: Decimal, price: Decimal) -> Execution:
        execution = execute(self, order_qty, price)
        # The first is the trade's; after it come those of buying and holding, which are the first of their own.
        if not executed or self.orders > 1:
            executed.append(execution)
        return execution

    monkeypatch.setattr(Fills, "execute", noted)
    market = BY_COIN[coin]
    setup = Setup(
        coin=coin,
        margin_usd=Decimal(MARGIN_USD),
        leverage=LEVERAGE,
        unit_size=unit_size,
        ladder=ladder,
        fee_bps=Fees().taker * 10_000,
        half_spread_usd=Depth().half_spread_ticks * market.tick(prices[0]),
        lot=market.lot,
        min_notional_usd=MIN_NOTIONAL_USD,
        money_step_usd=Decimal("0.000001"),
    )
    file = io.StringIO()
    summary = run_fast(setup, [stretch_of(PriceBatch(0, list(range(len(prices))), prices))], Journal(file))
    monkeypatch.undo()
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    return lines, executed, {"equity": summary.equity_usd, "fees": summary.fees_usd}


def by_price(entries: list[Entry]) -> Iterator[tuple[Decimal, list[Decision | ResetRecord]]]:
    """A price may lead to several decisions and a RESET between them."""
    steps = [entry for entry in entries if isinstance(entry, Decision | ResetRecord)]
    for price, group in groupby(steps, lambda each: each.price):
        yield price, list(group)


def where(last: Decision | ResetRecord) -> tuple[Phase, int, int, int, int]:
    """Phase, unit, peak, valley and cycle after it."""
    if isinstance(last, ResetRecord):
        return Phase.ADVANCE, 0, 0, 0, last.cycle + 1
    return last.phase, last.unit, last.peak, last.valley, last.cycle


async def driven(trade: TradeUnderTest, start: Decimal) -> list[Decimal]:
    """Moves the price; returns all of them, the opening one first."""
    prices = [start]
    for turn in TURNS:
        while trade.line != turn:
            line = trade.line + (1 if turn > trade.line else -1)
            prices.append(trade.price_of(line))
            await trade.reach(line)
    for line in GAPS:
        prices.append(trade.price_of(line))
        await trade.reach(line)
    return prices


@pytest.mark.parametrize(
    ("coin", "price", "unit_size", "ladder"),
    [("HYPE", "40", "0.2", V6), ("SOL", "200", "1.5", V7)],
    ids=["v6", "v7"],
)
async def test_a_live_run_and_its_backtest_decide_and_fill_the_same(
    floor: Floor, monkeypatch: pytest.MonkeyPatch, coin: str, price: str, unit_size: str, ladder: Ladder
) -> None:
    start, unit = Decimal(price), Decimal(unit_size)
    trade = await floor.open(coin, price=start, margin=MARGIN_USD, unit_size=unit, leverage=LEVERAGE, ladder=ladder)
    prices = await driven(trade, start)
    entries = await trade.journal()
    lines, executed, end = backtested(coin, ladder, unit, prices, monkeypatch)

    live = list(by_price(entries))
    assert [price for price, _ in live] == [Decimal(line["price"]) for line in lines]
    for (_, steps), line in zip(live, lines, strict=True):
        assert where(steps[-1]) == tuple(line[name] for name in ("phase", "unit", "peak", "valley", "cycle"))
        decisions = [step for step in steps if isinstance(step, Decision)]
        legs = [(leg.action, leg.qty) for decision in decisions for leg in decision.legs]
        assert legs == [(Action(action), Decimal(qty)) for action, qty in line["legs"]]
        assert sum(decision.order_qty for decision in decisions) == Decimal(line["order_qty"])
    assert lines[-1]["cycle"] > 1

    fills = [entry for entry in entries if isinstance(entry, OutcomeRecord)]
    assert len(fills) == len(executed)
    for fill, execution in zip(fills, executed, strict=True):
        assert fill.average_price is not None
        assert abs(fill.average_price - execution.average_price) < CENT
        assert fill.total_size == abs(execution.size)
        assert abs(fill.fee_usd - execution.fee_usd) < CENT

    ledger, last = trade.ledger, lines[-1]
    assert (ledger.long, ledger.short) == (Decimal(last["long"]), Decimal(last["short"]))
    for live_usd, usd in ((ledger.cash, last["cash"]), (ledger.allocation, last["allocation"])):
        assert abs(live_usd - Decimal(usd)) < CENT
    assert abs(ledger.equity - end["equity"]) < CENT
    await trade.close()
