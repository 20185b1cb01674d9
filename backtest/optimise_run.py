"""One configuration in figures, for the search."""

from backtest.funding import NO_FUNDING, Funding
from backtest.journal import Journal
from backtest.prices import Stretch
from backtest.result import Figures
from backtest.run import run_fast
from backtest.setup import Setup
from backtest.summary import Summary

YEAR_MS = 365 * 86_400_000


def figures(setup: Setup, prices: Stretch, *, funding: Funding = NO_FUNDING) -> Figures:
    """What the fast path makes of all the prices, at least one. Raises CannotOpenError."""
    return figures_of(run_fast(setup, [prices], Journal(), funding))


def figures_of(summary: Summary) -> Figures:
    """The summary's figures as numbers to rank by."""
    taken, resets = summary.liquidated, summary.resets
    return Figures(
        pnl_usd=float(summary.pnl_usd),
        return_on_margin=float(summary.return_on_margin),
        max_drawdown=float(summary.max_drawdown),
        max_drawdown_usd=float(summary.max_drawdown_usd),
        sharpe=summary.sharpe,
        sortino=summary.sortino,
        calmar=_calmar(summary),
        decisions=summary.journal_lines,
        orders=summary.orders,
        resets=resets,
        winning_cycles=round((summary.win_rate or 0) * resets),
        fees_usd=float(summary.fees_usd),
        funding_usd=float(summary.funding_usd),
        slippage_usd=float(summary.slippage_usd),
        liquidated_ms=taken.ts if taken else None,
        liquidated_price=float(taken.price) if taken else None,
        hold_return=float(summary.hold.return_on_margin),
    )


def _calmar(summary: Summary) -> float | None:
    years = (summary.last_ts - summary.first_ts) / YEAR_MS
    if not years or not summary.max_drawdown:
        return None
    return float(summary.return_on_margin) / years / float(summary.max_drawdown)
