"""The page's tables and the cards above the charts, as HTML. Every text that comes from outside is escaped here."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from html import escape
from typing import assert_never

import numpy as np

from backtest.journal import as_text
from backtest.result import Days, Result
from backtest.setup import Setup
from backtest.summary import Hold, Liquidation, Summary
from strategy.fibonacci import Fibonacci
from strategy.ladder import Ladder
from strategy.risk import Limits

Fact = tuple[str, str]
"""A label and its text, neither escaped yet."""

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
DEEPEST = 0.20
"""A month of this return, either way, has the full colour."""


def utc(time_ms: int) -> str:
    """To the minute, as `2025-03-01 12:05`."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def usd(amount: Decimal | float) -> str:
    return f"{amount:,.2f} USD"


def signed(share: Decimal | float) -> str:
    return f"{share:+,.2%}"


def ratio(number: float | None) -> str:
    return "–" if number is None else f"{number:.2f}"


def _share(share: float | None) -> str:
    return "–" if share is None else signed(share)


def _hours(ms: int) -> str:
    return f"{ms / 3_600_000:,.1f} h"


def fact_rows(facts: Iterable[Fact]) -> str:
    return "".join(f"<tr><th>{escape(label)}</th><td>{escape(text)}</td></tr>" for label, text in facts)


def cards(result: Result) -> str:
    """The figures a trader looks for first."""
    summary = result.summary
    shown: list[tuple[str, str, str]] = [
        ("net profit", f"{summary.pnl_usd:+,.2f} USD", _tone(summary.pnl_usd)),
        ("return on margin", signed(summary.return_on_margin), _tone(summary.return_on_margin)),
        ("max. drawdown", f"{summary.max_drawdown:.2%}", "down"),
        ("Sharpe, daily", ratio(summary.sharpe), ""),
        *((f"held at {h.leverage}x", _held(h), _tone(h.return_on_margin)) for h in summary.holds),
        ("cycles won", "–" if summary.win_rate is None else f"{summary.win_rate:.0%} of {summary.resets:,}", ""),
        ("fees, slippage", usd(summary.fees_usd + summary.slippage_usd), ""),
    ]
    return "".join(
        f'<div><small>{escape(label)}</small><b class="{tone}">{escape(text)}</b></div>' for label, text, tone in shown
    )


def _held(hold: Hold) -> str:
    return "liquidated" if hold.liquidated else signed(hold.return_on_margin)


def _tone(number: Decimal | float) -> str:
    return "down" if number < 0 else "up"


def alarm(summary: Summary) -> str:
    """The band across the page of a run that the exchange or a limit ended; nothing for others."""
    if summary.breach is not None:
        said = f"Closed {utc(summary.last_ts)} UTC: {summary.breach}. The run ends there."
        return f'<section class="alarm">{escape(said)}</section>'
    if summary.liquidated is None:
        return ""
    return (
        f'<section class="alarm">Liquidated {escape(_liquidation(summary.liquidated))}. The run ends there.</section>'
    )


def _liquidation(event: Liquidation) -> str:
    return (
        f"{utc(event.ts)} UTC at {event.price:,f} USD: equity {usd(event.equity_usd)}, maintenance margin "
        f"{usd(event.maintenance_usd)}; {usd(event.left_usd)} left"
    )


def figures(summary: Summary) -> Iterator[Fact]:
    """All of the summary, in the words of the command line."""
    span_ms = max(1, sum(summary.phase_ms.values()))
    yield "equity", usd(summary.equity_usd)
    yield "net profit", f"{usd(summary.pnl_usd)}, {signed(summary.return_on_margin)} of margin"
    yield "maximum drawdown", f"{summary.max_drawdown:.2%}, {usd(summary.max_drawdown_usd)}"
    yield "drawdown from, to", f"{utc(summary.drawdown_from_ts)}, {utc(summary.drawdown_to_ts)}"
    yield "lowest, highest equity", f"{usd(summary.lowest_equity_usd)}, {usd(summary.highest_equity_usd)}"
    yield "closed by a limit", summary.breach or "no"
    yield "liquidated", _liquidation(summary.liquidated) if summary.liquidated else "no"
    yield "Sharpe, Sortino (daily, × √365)", f"{ratio(summary.sharpe)}, {ratio(summary.sortino)}"
    yield "growth a year (CAGR), Calmar", f"{_share(summary.growth_a_year)}, {ratio(summary.calmar)}"
    if day := summary.per_day:
        yield "days won, lost", f"{day.won:,}, {day.lost:,}"
        yield "best, worst day, volatility", f"{signed(day.best)}, {signed(day.worst)}, {day.volatility:.1%} a year"
    for hold in summary.holds:
        end = f", liquidated {_liquidation(hold.liquidated)}" if hold.liquidated else ""
        drawdown = f"drawdown {hold.max_drawdown:.2%}, Sharpe {ratio(hold.sharpe)}"
        yield f"held at {hold.leverage}x", f"{signed(hold.return_on_margin)}, {drawdown}{end}"
    yield "cycles, resets", f"{summary.cycles:,}, {summary.resets:,}"
    yield "finished cycles that won", "–" if summary.win_rate is None else f"{summary.win_rate:.1%}"
    if cycle := summary.per_cycle:
        yield "profit factor, mean of a cycle", f"{ratio(cycle.profit_factor)}, {usd(cycle.mean_usd)}"
        yield "best, worst cycle", f"{usd(cycle.best_usd)}, {usd(cycle.worst_usd)}"
        yield "mean, longest cycle", f"{_hours(cycle.mean_ms)}, {_hours(cycle.longest_ms)}"
    yield "orders", f"{summary.orders:,}, the last {utc(summary.last_order_ts)}"
    if summary.orders_beyond_margin:
        yield "orders beyond the margin", f"{summary.orders_beyond_margin:,}"
    yield "fees", usd(summary.fees_usd)
    yield "slippage", usd(summary.slippage_usd)
    if summary.gap_loss_usd or summary.whipsaw_loss_usd:
        yield "lost to gaps, whipsaws", f"{usd(summary.gap_loss_usd)}, {usd(summary.whipsaw_loss_usd)}"
    yield "funding paid", usd(summary.funding_usd)
    if summary.funding_hours_missing:
        yield "hours without a rate in the file", f"{summary.funding_hours_missing:,}"
    yield "time with a net position", f"{summary.exposure:.1%}"
    for phase, ms in summary.phase_ms.items():
        yield f"time in {phase}", f"{ms / span_ms:.1%}, {_hours(ms)}"
    yield "at the end", f"{summary.phase}, unit {summary.unit}"


def parameters(result: Result) -> Iterator[Fact]:
    """What was run on what."""
    setup, summary = result.setup, result.summary
    yield "prices", result.source
    yield "from, to", f"{utc(summary.first_ts)}, {utc(summary.last_ts)}"
    yield "rows, prices", f"{summary.rows:,}, {summary.prices:,}"
    yield "coin", setup.coin
    yield "margin", usd(setup.margin_usd)
    yield "leverage", f"{setup.leverage}x"
    yield "unit size", f"{as_text(setup.unit_size)} USD"
    yield "unit mode", str(setup.unit_mode)
    yield from _strategy(setup.ladder)
    yield "at RESET", str(setup.at_reset)
    yield from _limits(setup.limits)
    yield from _costs(setup, result.funding)


def _strategy(strategy: Ladder | Fibonacci) -> Iterator[Fact]:
    match strategy:
        case Ladder():
            yield from _ladder(strategy)
        case Fibonacci():
            yield from _hedge(strategy)
        case _:  # pragma: no cover
            assert_never(strategy)


def _hedge(hedge: Fibonacci) -> Iterator[Fact]:
    yield "hedge", hedge.name
    levels = (f"({as_text(level.at)}, {as_text(level.long)}, {as_text(level.short)})" for level in hedge.levels)
    yield "levels (at, long, short)", " ".join(levels)
    for name in ("release", "min_gain_units", "short_trailing_stop", "long_trailing_stop", "reentry_units"):
        value = getattr(hedge, name)
        yield name.replace("_", " "), "none" if value is None else str(value)


def _limits(limits: Limits) -> Iterator[Fact]:
    """Those that are set."""
    for name, value in limits:
        if value is not None:
            yield name.replace("_", " "), f"{value:f}" if isinstance(value, Decimal) else str(value)


def _ladder(ladder: Ladder) -> Iterator[Fact]:
    yield "ladder", ladder.name
    yield "fragment", as_text(ladder.fragment)
    steps = (f"({_quantity(step.sell_long)}, {_quantity(step.open_short)})" for step in ladder.retracement)
    yield "retracement (sell long, open short)", " ".join(steps)
    yield "hedge fragment", as_text(ladder.hedge_fragment)
    yield "cover from, rest at, sweep at", f"{ladder.cover_from}, {ladder.cover_rest_at}, {ladder.sweep_at}"
    yield "RESET on full reversal", "yes" if ladder.reset_on_full_reversal else "no"


def _quantity(share: Decimal | str) -> str:
    return as_text(share) if isinstance(share, Decimal) else str(share)


def _costs(setup: Setup, funding: str) -> Iterator[Fact]:
    yield "fee", f"{as_text(setup.fee_bps)} bps"
    yield "slippage", f"{as_text(setup.slippage_bps)} bps"
    if setup.half_spread_usd:
        yield "half spread", f"{as_text(setup.half_spread_usd)} USD"
    yield "funding", funding
    yield "lot", f"{as_text(setup.lot)} {setup.coin}"
    yield "smallest order", usd(setup.min_notional_usd)
    tiers = ", ".join(f"{tier.max_leverage}x from {tier.lower_bound_usd:,f} USD" for tier in setup.tiers)
    yield "margin tiers", tiers or "none: nothing is ever liquidated"


def monthly_returns(days: Days, start_usd: float) -> dict[tuple[int, int], float]:
    """{(year, month): equity at its end / equity at its start - 1}. None of a month that began with nothing left."""
    months = np.asarray(days.day_ms, dtype="datetime64[ms]").astype("datetime64[M]")
    ends = np.flatnonzero(np.append(months[1:] != months[:-1], True)) if len(months) else np.array([], dtype=int)
    returns: dict[tuple[int, int], float] = {}
    before = start_usd
    for end in ends:
        year, month = divmod(int(months[end].astype(int)) + 1970 * 12, 12)
        equity_usd = float(days.equity_usd[end])
        if before > 0:
            returns[year, month + 1] = equity_usd / before - 1
        before = equity_usd
    return returns


def months_table(days: Days, start_usd: float) -> str:
    """A row a year, a column a month, and the year's return, compounded."""
    returns = monthly_returns(days, start_usd)
    head = "".join(f"<th>{name}</th>" for name in (*MONTHS, "year"))
    rows = []
    for year in sorted({year for year, _ in returns}):
        shares = [returns.get((year, month)) for month in range(1, 13)]
        whole = float(np.prod([1 + share for share in shares if share is not None])) - 1
        cells = "".join(_month(share) for share in (*shares, whole))
        rows.append(f"<tr><th>{year}</th>{cells}</tr>")
    return f'<table id="months"><tr><th></th>{head}</tr>{"".join(rows)}</table>'


def _month(share: float | None) -> str:
    if share is None:
        return "<td></td>"
    depth = round(min(1.0, abs(share) / DEEPEST) * 60)
    return f'<td class="{"loss" if share < 0 else "gain"}" style="--depth:{depth}">{share:+.1%}</td>'
