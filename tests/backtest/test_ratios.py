import math
from decimal import Decimal

import pytest

from backtest.ratios import DAY_MS, calmar, cycle_figures, day_figures, growth_a_year, sharpe, sortino
from backtest.summary import CycleFigures
from tests.backtest.results import prices_of, run

DAYS_USD = (110, 99, 99)
"""From 100: a tenth more, a tenth less, nothing."""


def test_days_are_counted_and_their_ratios_are_a_years() -> None:
    found = day_figures(100, DAYS_USD)
    assert found and (found.won, found.lost) == (1, 1)
    assert (found.best, found.worst) == (pytest.approx(0.1), pytest.approx(-0.1))
    # Returns of 0.1, -0.1 and 0: mean 0, variance 0.02 / 2.
    assert found.volatility == pytest.approx(0.1 * math.sqrt(365))
    assert sharpe(100, DAYS_USD) == pytest.approx(0, abs=1e-12)
    # 0.1 and 0.2: mean 0.15, deviation 0.1 / sqrt(2).
    assert sharpe(100, (110, 132)) == pytest.approx(0.15 / (0.1 / math.sqrt(2)) * math.sqrt(365))
    # 0.2 and -0.1: mean 0.05, and the loss alone deviates, by 0.1 / sqrt(2).
    assert sortino(100, (120, 108)) == pytest.approx(0.05 / (0.1 / math.sqrt(2)) * math.sqrt(365))


@pytest.mark.parametrize("days", [(), (110,), (0, 0)])
def test_of_too_few_days_or_of_nothing_left_there_is_nothing_to_tell(days: tuple[int, ...]) -> None:
    assert sharpe(100, days) is None and sortino(100, days) is None and day_figures(100, days) is None


def test_cycles_are_summed_up() -> None:
    found = cycle_figures([Decimal(30), Decimal(-10), Decimal(-5)], [5, 10, 30])
    assert found == CycleFigures(
        mean_usd=Decimal(5),
        best_usd=Decimal(30),
        worst_usd=Decimal(-10),
        profit_factor=2.0,
        mean_ms=15,
        longest_ms=30,
    )
    won_only = cycle_figures([Decimal(3)], [1])
    assert won_only and won_only.profit_factor is None
    assert cycle_figures([], []) is None


def test_growth_is_compounded_and_calmar_is_not() -> None:
    half_a_year = 365 * DAY_MS // 2
    assert growth_a_year(0.1, half_a_year) == pytest.approx(1.1**2 - 1)
    assert calmar(0.1, half_a_year, 0.4) == pytest.approx(0.2 / 0.4)
    assert growth_a_year(0.1, 29 * DAY_MS) is None and growth_a_year(-1, half_a_year) is None
    assert calmar(0.1, half_a_year, 0) is None


def test_a_trade_too_small_for_orders_shows_in_when_the_last_one_was() -> None:
    # 12 USD at 1x open; what the first step sells is worth 1.20 USD, and no order of it is taken.
    summary = run(prices_of(3000, 2979, 3000), margin_usd=12, leverage=1, min_notional_usd=10).summary
    assert (summary.orders, summary.journal_lines) == (1, 2)
    assert summary.last_order_ts == summary.first_ts
    traded = run(prices_of(3000, 2979, 3000), margin_usd=1200, leverage=1, min_notional_usd=10).summary
    assert (traded.orders, traded.last_order_ts) == (3, traded.last_ts)
