"""The fast path and the reference: the same journal byte for byte, the same figures to the last digit."""

import io
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from backtest.columns import read_columns
from backtest.funding import Funding, read_funding
from backtest.journal import Journal
from backtest.markets import tiers_of
from backtest.prices import PriceBatch, Span, joined
from backtest.record import BUCKETS, samples_of
from backtest.rows import read_prices
from backtest.run import run_fast, run_reference, run_whole
from backtest.session import Session
from backtest.setup import Setup
from backtest.summary import Summary
from strategy.ladder import PRESETS
from tests.backtest.drawing import fundings, recordings, setups, stretches
from tests.strategy.trading import PATIENT

RECORDED = Path(os.environ.get("HYPERTRADER_RECORDED", "no recorded prices"))
"""A folder of real candles, ticks and funding, if there is one."""
OWN_FILE = os.environ.get("HYPERTRADER_BACKTEST_FILE")
"""Any file of prices, to hold both paths to each other on."""


@PATIENT
@given(setups(), recordings(), fundings)
def test_both_paths_come_to_the_same(setup: Setup, recording: list[PriceBatch], funding: Funding) -> None:
    slow, fast = io.StringIO(), io.StringIO()
    summary = run_reference(setup, recording, Journal(slow), funding)
    assert run_fast(setup, stretches(recording), Journal(fast), funding) == summary
    assert slow.getvalue() == fast.getvalue()


@PATIENT
@given(setups(), recordings(), fundings)
def test_what_is_kept_to_draw_agrees_with_the_summary(
    setup: Setup, recording: list[PriceBatch], funding: Funding
) -> None:
    prices = joined(stretches(recording))
    result = run_whole(setup, prices, Journal(), funding, source="x.csv")
    summary, samples = result.summary, result.samples
    assert summary == run_fast(setup, [prices], Journal(), funding)
    assert len(result.decisions) == summary.journal_lines
    assert result.decisions.row.tolist() == sorted(result.decisions.row.tolist())
    assert [cycle.finished for cycle in result.cycles] == [True] * summary.resets + [False]
    assert sum(cycle.orders for cycle in result.cycles) == summary.orders
    assert sum(cycle.pnl_usd for cycle in result.cycles) == pytest.approx(float(summary.pnl_usd), abs=1e-6)
    assert sum(cycle.fees_usd for cycle in result.cycles) == pytest.approx(float(summary.fees_usd), abs=1e-6)
    assert samples.drawdown.max() == pytest.approx(float(summary.max_drawdown), abs=1e-9)
    start = float(setup.margin_usd)
    assert min(samples.equity.low.min(), start) == pytest.approx(float(summary.lowest_equity_usd), abs=1e-6)
    for band, last in (
        (samples.equity, summary.equity_usd),
        (samples.hold, summary.hold.equity_usd),
        (samples.hold_1x, summary.hold_1x.equity_usd),
    ):
        assert band.close[-1] == pytest.approx(float(last), abs=1e-6)
        assert (band.low <= band.close).all() and (band.close <= band.high).all()
    assert result.days.equity_usd[-1] == pytest.approx(float(summary.equity_usd))
    assert (np.diff(result.days.day_ms) == 86_400_000).all()


@PATIENT
@given(setups(), recordings())
def test_few_buckets_lose_no_extreme(setup: Setup, recording: list[PriceBatch]) -> None:
    prices = joined(stretches(recording))
    session = Session(setup, prices.price(0), int(prices.times_ms[0]), Journal(), keep=True)
    few, many = (samples_of(session, prices, buckets) for buckets in (2, BUCKETS))
    assert len(few.time_ms) <= 2
    for name in ("price", "equity", "hold", "hold_1x"):
        assert getattr(few, name).low.min() == getattr(many, name).low.min()
        assert getattr(few, name).high.max() == getattr(many, name).high.max()


def both(path: Path, setup: Setup, funding: Funding, span: Span) -> Summary:
    slow, fast = io.StringIO(), io.StringIO()
    summary = run_reference(setup, read_prices(path, span), Journal(slow), funding)
    assert run_fast(setup, read_columns(path, span), Journal(fast), funding) == summary
    assert slow.getvalue() == fast.getvalue()
    return summary


def as_the_exchange(coin: str, leverage: int, unit_size: str, preset: str) -> Setup:
    return Setup(
        coin=coin,
        margin_usd=Decimal(1000),
        leverage=leverage,
        unit_size=Decimal(unit_size),
        ladder=PRESETS[preset],
        fee_bps=Decimal("4.5"),
        slippage_bps=Decimal(1),
        lot=Decimal("0.00001"),
        min_notional_usd=Decimal(10),
        money_step_usd=Decimal("0.000001"),
        tiers=tiers_of(coin, leverage),
    )


@pytest.mark.skipif(not RECORDED.is_dir(), reason="HYPERTRADER_RECORDED names a folder of recorded prices")
@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize(
    ("coin", "leverage", "unit_size", "file", "span"),
    [
        ("ETH", 3, "20", "candles/binance_usdm_ETHUSDT_1m_2025-05_06.parquet", Span(to_ms=1_747_500_000_000)),
        ("ETH", 10, "50", "candles/binance_usdm_ETHUSDT_1m_2021.parquet", Span(1_621_200_000_000, 1_621_600_000_000)),
        ("BTC", 10, "25", "ticks/hl_BTC_trades.parquet", Span()),
        ("BTC", 20, "100", "ticks/standx_BTC-USD_trades_2026-01-05_08.parquet", Span(to_ms=1_767_700_000_000)),
    ],
    ids=["candles", "crash", "trades", "ticks"],
)
def test_both_paths_come_to_the_same_on_recorded_prices(
    coin: str, leverage: int, unit_size: str, file: str, span: Span, preset: str
) -> None:
    funding = read_funding(str(RECORDED / "funding" / f"hl_funding_{coin}.parquet"))
    summary = both(RECORDED / file, as_the_exchange(coin, leverage, unit_size, preset), funding, span)
    assert summary.journal_lines > 5


@pytest.mark.skipif(not OWN_FILE, reason="HYPERTRADER_BACKTEST_FILE names a file of prices to try")
def test_both_paths_come_to_the_same_on_a_file_of_ones_own() -> None:
    path = Path(OWN_FILE or "")
    price = next(read_prices(path)).prices[0]
    both(path, as_the_exchange("ETH", 5, str(price / 100), "v6"), Funding(), Span())
