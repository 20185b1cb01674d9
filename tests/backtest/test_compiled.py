"""The compiled ladder against the strategy itself: where both go, what they hold, what they came to."""

import os
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from backtest.columns import read_columns, stretch_of
from backtest.funding import Funding, read_funding
from backtest.journal import Journal
from backtest.many import figures, rates_of, walked
from backtest.markets import tiers_of
from backtest.prices import PriceBatch, Span, Stretch, joined
from backtest.ratios import calmar
from backtest.result import Result
from backtest.run import run_whole
from backtest.setup import Setup, TooFineError
from strategy.ladder import PRESETS
from tests.backtest.drawing import fundings, recordings, setups, stretches
from tests.strategy.trading import PATIENT

RECORDED = Path(os.environ.get("HYPERTRADER_RECORDED", "no recorded prices"))
"""A folder of real candles, ticks and funding, if there is one."""
CLOSE = 1e-9


def assert_same(setup: Setup, prices: Stretch, funding: Funding) -> Result:
    """Every decision of both, and their figures."""
    result = run_whole(setup, prices, Journal(), funding)
    exact, summary = result.decisions, result.summary
    run = walked(setup, prices, rates_of(prices, funding), room=len(exact) + 1)
    columns = [exact.row, exact.phase, exact.unit, exact.peak, exact.valley, exact.cycle]
    assert [list(row) for row in run.trace[:, [0, 1, 2, 3, 4, 6]]] == [
        [int(number) for number in row] for row in zip(*columns, strict=True)
    ]
    held = np.array([exact.long_qty, exact.short_qty, exact.cash_usd, exact.allocation_usd, exact.equity_usd])
    whole = np.array([[1.0], [1.0], *[[float(prices.price(0))]] * 3]) * float(summary.margin_usd) * setup.leverage
    tolerance = CLOSE * np.maximum(np.abs(held), whole / float(prices.price(0)))
    assert (np.abs(run.figures[:, [0, 1, 3, 4, 5]].T - held) <= tolerance).all()
    (found,) = figures([setup], prices, funding)
    assert (found.orders, found.resets, found.decisions) == (summary.orders, summary.resets, summary.journal_lines)
    taken = summary.liquidated
    assert found.liquidated_ms == (taken.ts if taken else None)
    assert found.liquidated_price == (pytest.approx(float(taken.price)) if taken else None)
    for name in ("return_on_margin", "max_drawdown", "max_drawdown_usd", "fees_usd", "funding_usd", "slippage_usd"):
        assert getattr(found, name) == pytest.approx(float(getattr(summary, name)), rel=CLOSE, abs=2e-6), name
    for name in ("sharpe", "sortino"):
        exactly = getattr(summary, name)
        assert getattr(found, name) == (pytest.approx(exactly, rel=1e-6, abs=1e-6) if exactly else exactly), name
    # In seconds a cent is a fortune a year: of the same gain over the same span, not of one to 1e-9.
    assert found.calmar == calmar(found.return_on_margin, summary.last_ts - summary.first_ts, found.max_drawdown)
    if taken is None:
        assert found.hold_return == pytest.approx(float(summary.hold.return_on_margin), rel=CLOSE, abs=1e-9)
    return result


@PATIENT
@given(setups(compiled=True), recordings(), fundings)
def test_the_compiled_ladder_is_the_strategy(setup: Setup, recording: list[PriceBatch], funding: Funding) -> None:
    if setup.lot < Decimal("1e-9"):
        # Without lots the strategy may order the 19th decimal that a division left over; floats can't know of it.
        setup = setup.model_copy(update={"min_notional_usd": Decimal("0.001")})
    assert_same(setup, joined(stretches(recording)), funding)


def test_lines_finer_than_integers_can_tell_are_refused() -> None:
    setup = Setup(coin="X", margin_usd=Decimal(10), unit_size=Decimal(1), slippage_bps=Decimal("1e-10"))
    with pytest.raises(TooFineError, match="decimals"):
        figures([setup], stretch_of(PriceBatch(0, [0, 1], [Decimal("100000.5"), Decimal(100001)])), Funding())


CASES: list[dict[str, Any]] = [
    {"preset": "v6", "leverage": 3, "unit_size": 20},
    {"preset": "v7", "leverage": 10, "unit_size": "37.5"},
    {"preset": "v6", "leverage": 25, "unit_size": 15, "at_reset": "relever"},
    {"preset": "v7", "leverage": 1, "unit_size": 100, "unit_mode": "grid", "at_reset": "keep"},
]


@pytest.mark.skipif(not RECORDED.is_dir(), reason="HYPERTRADER_RECORDED names a folder of recorded prices")
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case['preset']}-{case['leverage']}x")
def test_on_recorded_candles_with_recorded_funding_too(case: dict[str, Any]) -> None:
    span = Span(to_ms=1_749_000_000_000)
    prices = joined(read_columns(RECORDED / "candles" / "binance_usdm_ETHUSDT_1m_2025-05_06.parquet", span))
    funding = read_funding(str(RECORDED / "funding" / "hl_funding_ETH.parquet"))
    terms = {name: value for name, value in case.items() if name != "preset"}
    setup = Setup.model_validate(
        {
            "coin": "ETH",
            "margin_usd": 1000,
            "ladder": PRESETS[case["preset"]],
            "fee_bps": "4.5",
            "slippage_bps": 1,
            "lot": "0.0001",
            "min_notional_usd": 10,
            "money_step_usd": "0.000001",
            "tiers": tiers_of("ETH", case["leverage"]),
        }
        | terms
    )
    assert len(assert_same(setup, prices, funding).decisions) >= 5
