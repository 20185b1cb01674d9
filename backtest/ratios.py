"""What a run's days and cycles tell of it, in the ratios that other backtesters print."""

import math
from collections.abc import Sequence
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

from backtest.summary import CycleFigures, DayFigures
from strategy.values import ZERO

DAY_MS = 86_400_000
DAYS_PER_YEAR = 365
_YEAR_MS = DAYS_PER_YEAR * DAY_MS
_LEAST_MS = 30 * DAY_MS
"""What grew for less than a month says nothing of a year."""
_STILL = 1e-12
"""A deviation below it is what floats make of none."""
Usd = Decimal | float


def sharpe(start_usd: Usd, days: Sequence[Usd]) -> float | None:
    """Mean by deviation of the daily returns, a year's; None with fewer than two days or nothing moving."""
    returns = daily_returns(start_usd, days)
    deviation = 0.0 if returns is None else float(returns.std(ddof=1))
    if returns is None or deviation < _STILL:
        return None
    return float(returns.mean()) / deviation * math.sqrt(DAYS_PER_YEAR)


def sortino(start_usd: Usd, days: Sequence[Usd]) -> float | None:
    """As `sharpe`, by the deviation of the losing days only; None without one."""
    returns = daily_returns(start_usd, days)
    deviation = 0.0 if returns is None else math.sqrt(float((np.minimum(returns, 0) ** 2).mean()))
    if returns is None or deviation < _STILL:
        return None
    return float(returns.mean()) / deviation * math.sqrt(DAYS_PER_YEAR)


def daily_returns(start_usd: Usd, days: Sequence[Usd]) -> NDArray[np.float64] | None:
    """None with fewer than two days, or once all is lost: from nothing there is no return."""
    equity = np.array([float(start_usd), *map(float, days)])
    if len(days) < 2 or (equity[:-1] <= 0).any():
        return None
    return np.asarray(equity[1:] / equity[:-1] - 1, dtype=np.float64)


def day_figures(start_usd: Usd, days: Sequence[Usd]) -> DayFigures | None:
    """None with fewer than two days, as `daily_returns`."""
    returns = daily_returns(start_usd, days)
    if returns is None:
        return None
    return DayFigures(
        volatility=float(returns.std(ddof=1)) * math.sqrt(DAYS_PER_YEAR),
        best=float(returns.max()),
        worst=float(returns.min()),
        won=int((returns > 0).sum()),
        lost=int((returns < 0).sum()),
    )


def cycle_figures(pnl_usd: Sequence[Decimal], lengths_ms: Sequence[int]) -> CycleFigures | None:
    """Of finished cycles; None without one."""
    if not pnl_usd:
        return None
    won, lost = sum((usd for usd in pnl_usd if usd > 0), ZERO), sum((usd for usd in pnl_usd if usd < 0), ZERO)
    return CycleFigures(
        mean_usd=sum(pnl_usd, ZERO) / len(pnl_usd),
        best_usd=max(pnl_usd),
        worst_usd=min(pnl_usd),
        profit_factor=float(won / -lost) if lost else None,
        mean_ms=round(sum(lengths_ms) / len(lengths_ms)),
        longest_ms=max(lengths_ms),
    )


def growth_a_year(gain: float, span_ms: int) -> float | None:
    """Compounded; None for less than a month, or when all was lost."""
    if span_ms < _LEAST_MS or gain <= -1:
        return None
    return float((1 + gain) ** (_YEAR_MS / span_ms) - 1)


def calmar(gain: float, span_ms: int, drawdown: float) -> float | None:
    """Return a year, not compounded, by maximum drawdown; None without one."""
    return gain / (max(span_ms, 1) / _YEAR_MS) / drawdown if drawdown else None
