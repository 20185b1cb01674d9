"""Several runs over the same prices beside each other: one table, one chart."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from backtest.plot import check_format
from backtest.result import Result
from backtest.summary import Summary

_COLOURS = ("#3b6cf6", "#0e9f6e", "#e0364c", "#f0a429", "#8b5cf6", "#0891b2", "#db2777", "#65a30d")
_HOLD = "#8a93a3"
_POINTS = 2_400


@dataclass(frozen=True, slots=True)
class Compared:
    """A run with the name its plan was given by."""

    name: str
    result: Result
    refused: tuple[str, ...]
    """Why it would not be opened live."""

    def figures(self) -> dict[str, Any]:
        """For programs: decimals as strings."""
        return {"plan": self.name, "refused": self.refused, **self.result.summary.model_dump(mode="json")}


def comparison_table(runs: Sequence[Compared]) -> Table:
    """One row a plan, and the same prices held at 1x."""
    table = Table(box=None, header_style="dim", padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("plan")
    for name in ("margin", "return", "drawdown", "Sharpe", "orders", "fees", "cycles"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("ended")
    for run in runs:
        summary = run.result.summary
        table.add_row(
            run.name,
            f"{summary.margin_usd:,.2f}",
            f"{summary.return_on_margin:+.2%}",
            f"{summary.max_drawdown:.2%}",
            "-" if summary.sharpe is None else f"{summary.sharpe:.2f}",
            f"{summary.orders:,}",
            f"{summary.fees_usd:,.2f}",
            f"{summary.cycles:,}",
            ended(summary),
        )
    longest = _longest(runs).summary
    held, until = longest.hold_1x, f"{datetime.fromtimestamp(longest.last_ts / 1000, UTC):%Y-%m-%d %H:%M}"
    sharpe = "-" if held.sharpe is None else f"{held.sharpe:.2f}"
    shares = (f"{held.return_on_margin:+.2%}", f"{held.max_drawdown:.2%}", sharpe)
    table.add_row("held at 1x", "", *shares, "1", "", "", f"held until {until} UTC", style="dim")
    return table


def _longest(runs: Sequence[Compared]) -> Result:
    """What was held ends with the run it is held beside."""
    return max((run.result for run in runs), key=lambda result: result.summary.last_ts)


def ended(summary: Summary) -> str:
    """What ended a run before its prices did."""
    if summary.liquidated:
        return f"liquidated at {summary.liquidated.price:f}"
    return summary.breach or ""


def write_comparison(runs: Sequence[Compared], path: Path) -> None:
    """Return on margin of each over time, as a PNG, SVG or PDF. Raises OSError, BadOptionError."""
    check_format("plot", path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 6.5), layout="constrained")
    axes = figure.subplots()
    for number, run in enumerate(runs):
        _draw(axes, run.result, run.name, _COLOURS[number % len(_COLOURS)], "equity")
    longest = _longest(runs)
    _draw(axes, longest, "held at 1x", _HOLD, "hold_1x")
    axes.axhline(0, color="#1d232e", linewidth=0.6)
    axes.set_ylabel("return on margin, %")
    axes.grid(alpha=0.25)
    axes.margins(x=0)
    axes.legend(loc="upper left", fontsize=9, framealpha=0.8)
    # A dollar sign would begin a formula.
    figure.suptitle(f"{longest.setup.coin}, {longest.source}".replace("$", r"\$"), x=0.01, ha="left", fontsize=12)
    figure.savefig(path, dpi=110, metadata={} if path.suffix.lower() == ".png" else None)


def _draw(axes: Any, result: Result, name: str, colour: str, band: str) -> None:
    samples = result.samples
    every = max(len(samples.time_ms) // _POINTS, 1)
    # From the end, so that the last value is there.
    shown = np.arange(len(samples.time_ms) - 1, -1, -every)[::-1]
    margin_usd = float(result.setup.margin_usd)
    gain = (getattr(samples, band).close[shown] / margin_usd - 1) * 100
    axes.plot(
        samples.time_ms[shown].astype("datetime64[ms]"),
        gain,
        color=colour,
        linewidth=1.2,
        label=name.replace("$", r"\$"),
    )
