"""A summary as a table for people."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.table import Table

from backtest.summary import Hold, Liquidation, Summary


def summary_table(summary: Summary) -> Table:
    """Two columns: what, and how much of it."""
    title = f"{summary.coin} {summary.ladder} at {summary.leverage}x, units of {summary.unit_size:f} USD"
    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(justify="right")
    for rows in (_money(summary), _risk(summary), _doings(summary)):
        for name, text in rows:
            table.add_row(name, text)
        table.add_section()
    return table


def _money(summary: Summary) -> Iterator[tuple[str, str]]:
    if summary.liquidated:
        yield "LIQUIDATED", _liquidation(summary.liquidated)
    if summary.breach:
        yield "CLOSED BY A LIMIT", f"{_day(summary.last_ts)}: {summary.breach}"
    yield "margin", f"{summary.margin_usd:,.2f} USD"
    yield "equity", f"{summary.equity_usd:,.2f} USD"
    yield "net profit", f"{summary.pnl_usd:+,.2f} USD"
    yield "return on margin", f"{summary.return_on_margin:+.2%}"
    for hold in summary.holds:
        yield f"buy and hold at {hold.leverage}x", _hold(hold)
    yield "fees", f"{summary.fees_usd:,.2f} USD"
    missing = summary.funding_hours_missing
    free = f", and nothing in {missing:,} hours that the file doesn't have" if missing else ""
    yield "funding paid", f"{summary.funding_usd:,.2f} USD{free}"
    yield "slippage", f"{summary.slippage_usd:,.2f} USD"
    if summary.gap_loss_usd or summary.whipsaw_loss_usd:
        yield "lost to gaps, whipsaws", f"{summary.gap_loss_usd:,.2f}, {summary.whipsaw_loss_usd:,.2f} USD"


def _risk(summary: Summary) -> Iterator[tuple[str, str]]:
    span = f"{_day(summary.drawdown_from_ts)} to {_day(summary.drawdown_to_ts)}" if summary.max_drawdown else "never"
    yield "maximum drawdown", f"{summary.max_drawdown:.2%}, {span}"
    yield "in USD", f"{summary.max_drawdown_usd:,.2f} USD"
    if summary.lowest_equity_usd <= 0 and not summary.liquidated:
        yield "lowest equity", f"{summary.lowest_equity_usd:,.2f} USD: more than the margin was lost"
    yield "highest equity", f"{summary.highest_equity_usd:,.2f} USD"
    yield "growth a year (CAGR)", _share(summary.growth_a_year)
    yield "Calmar", _ratio(summary.calmar)
    yield "Sharpe, Sortino", f"{_ratio(summary.sharpe)}, {_ratio(summary.sortino)} (daily, x sqrt(365))"
    if day := summary.per_day:
        yield "days", f"{day.won:,} won, {day.lost:,} lost, {day.worst:+.2%} to {day.best:+.2%}"
        yield "volatility a year", f"{day.volatility:.1%}"
    yield "win rate of cycles", f"{summary.win_rate:.1%}" if summary.win_rate is not None else "no cycle finished"
    if cycle := summary.per_cycle:
        yield "profit factor", _ratio(cycle.profit_factor)
        yield "a cycle made", f"{cycle.mean_usd:+,.2f} USD, {cycle.worst_usd:+,.2f} to {cycle.best_usd:+,.2f}"
        yield "a cycle took", f"{_hours(cycle.mean_ms)}, the longest {_hours(cycle.longest_ms)}"
    yield "exposure", f"{summary.exposure:.1%} of the time"


def _doings(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "cycles, resets", f"{summary.cycles:,}, {summary.resets:,}"
    yield "orders", f"{summary.orders:,}, the last {_day(summary.last_order_ts)}"
    if summary.orders_beyond_margin:
        yield "beyond the margin", f"{summary.orders_beyond_margin:,} orders: they need other money in the account"
    for phase, ticks in summary.phase_ticks.items():
        yield f"in {phase}", f"{ticks / summary.prices:.1%} of prices, {_hours(summary.phase_ms[phase])}"
    yield "now", f"{summary.phase}, unit {summary.unit}"
    yield "rows, prices", f"{summary.rows:,}, {summary.prices:,}"
    yield "span", f"{_day(summary.first_ts)} to {_day(summary.last_ts)} UTC"
    yield "decisions", summary.decisions_sha256[:16]


def _hold(hold: Hold) -> str:
    taken = f", liquidated {_day(hold.liquidated.ts)}" if hold.liquidated else ""
    return f"{hold.return_on_margin:+.2%}{taken} (drawdown {hold.max_drawdown:.2%})"


def _liquidation(taken: Liquidation) -> str:
    return f"{_day(taken.ts)} at {taken.price:f}, {taken.left_usd:,.2f} USD left"


def _ratio(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.2f}"


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:+.2%}"


def _hours(ms: int) -> str:
    return f"{ms / 3_600_000:,.1f} h"


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M}"
