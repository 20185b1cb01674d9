"""A backtest as one picture: price with phases and orders, equity against buy-and-hold, drawdown."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.journal import as_text
from backtest.options import BadOptionError
from backtest.result import PHASES, Band, Ints, Result
from strategy.values import Phase

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS = (".png", ".svg", ".pdf")

COLOURS = {
    Phase.ADVANCE: "#0e9f6e",
    Phase.RETRACEMENT: "#f0a429",
    Phase.DECLINE: "#e0364c",
    Phase.RECOVERY: "#3b82f6",
}
_BUY, _SELL, _INK, _OWN, _HOLD, _HOLD_1X = "#0e9f6e", "#e0364c", "#1d232e", "#3b6cf6", "#b0722f", "#8a93a3"
_COLUMNS = 1_200
"""As many stretches of time as the picture can show apart."""
_POINTS = 2_400
"""To a line: two to a column, more would only make large files of SVG and PDF."""


def check_format(option: str, path: Path | None) -> None:
    """Raises BadOptionError if a picture can't be drawn to a file of this name."""
    if path and path.suffix.lower() not in FORMATS:
        raise BadOptionError(f"--{option} is {path}; its name must end in {', '.join(FORMATS[:-1])} or {FORMATS[-1]}")


def write_plot(result: Result, path: Path) -> None:
    """Draw the run into `path`, by its suffix PNG, SVG or PDF. Raises OSError, BadOptionError for another suffix."""
    check_format("plot", path)
    # Half a second to import, and only for those who draw. A Figure of its own needs no window and no global state.
    from matplotlib.dates import ConciseDateFormatter
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 9), layout="constrained")
    price, equity, drawdown = figure.subplots(3, 1, sharex=True, height_ratios=(5, 3, 1.5))
    _draw_price(price, result)
    _draw_equity(equity, result)
    starts = _starts(len(result.samples.time_ms))
    deepest = np.maximum.reduceat(np.abs(result.samples.drawdown), starts) * 100
    times = _times(result.samples.time_ms[starts])
    drawdown.fill_between(times, -deepest, 0, color=_SELL, alpha=0.35, linewidth=0)
    drawdown.set_ylabel("drawdown, %")
    for axes in (price, equity, drawdown):
        axes.grid(alpha=0.25)
        axes.margins(x=0)
    # The times once as they differ, what they share once at the end.
    concise = ConciseDateFormatter(drawdown.xaxis.get_major_locator())  # type: ignore[no-untyped-call]
    drawdown.xaxis.set_major_formatter(concise)
    figure.suptitle(_title(result), x=0.01, ha="left", fontsize=12)
    figure.savefig(path, dpi=110, metadata={} if path.suffix.lower() == ".png" else None)


def _title(result: Result) -> str:
    setup, summary = result.setup, result.summary
    text = (
        f"{setup.coin} {setup.ladder.name} at {setup.leverage}x, unit {as_text(setup.unit_size)} USD: "
        f"{summary.return_on_margin:+,.1%} of margin, drawdown {summary.max_drawdown:.1%}, {summary.resets:,} resets"
    )
    if summary.liquidated:
        text += f", liquidated at {as_text(summary.liquidated.price)} USD"
    # A dollar sign would begin a formula.
    return f"{text}\n{result.source}, decisions {summary.decisions_sha256[:16]}".replace("$", r"\$")


def _times(times_ms: Ints) -> Any:
    return times_ms.astype("datetime64[ms]")


def _draw_price(axes: Axes, result: Result) -> None:
    samples, decisions = result.samples, result.decisions
    bands = phase_bands(result)
    axes.xaxis_date()
    over_all: Any = {"transform": axes.get_xaxis_transform(), "linewidth": 0}
    for phase, colour in COLOURS.items():
        # In the axis's own days: bars of dates and durations are not drawn by every version alike.
        spans = [(start / 86_400_000, (end - start) / 86_400_000) for start, end, name in bands if name is phase]
        axes.broken_barh(spans, (0, 1), color=colour, alpha=0.18, label=str(phase), **over_all)
    _draw_band(axes, samples.time_ms, samples.price, _INK, "price")
    for label, marker, colour, which in (
        ("buy", "^", _BUY, decisions.order_qty > 0),
        ("sell", "v", _SELL, decisions.order_qty < 0),
    ):
        # Smaller the more there are, so that thousands do not cover the price.
        size = float(np.clip(12_000 / max(1, int(which.sum())), 2, 40))
        at, prices = _times(decisions.time_ms[which]), decisions.price[which]
        axes.scatter(at, prices, s=size, c=colour, marker=marker, linewidths=0, zorder=3, label=label)
    if result.summary.liquidated:
        event = result.summary.liquidated
        axes.scatter(_times(np.array([event.ts])), [float(event.price)], s=120, c=_SELL, marker="X", zorder=4)
    axes.set_ylabel("price, USD")
    _legend(axes)


def _draw_equity(axes: Axes, result: Result) -> None:
    samples, leverage = result.samples, result.setup.leverage
    _draw_band(axes, samples.time_ms, samples.hold_1x, _HOLD_1X, "held at 1x")
    if leverage != 1:
        _draw_band(axes, samples.time_ms, samples.hold, _HOLD, f"held at {leverage}x")
    _draw_band(axes, samples.time_ms, samples.equity, _OWN, "this trade")
    axes.set_ylabel("equity, USD")
    _legend(axes)


def _legend(axes: Axes) -> None:
    """In one line above: nothing that is drawn lies under it."""
    axes.legend(loc="lower left", bbox_to_anchor=(-0.005, 1), ncols=7, fontsize=8, frameon=False, borderpad=0)


def _draw_band(axes: Axes, time_ms: Ints, band: Band, colour: str, label: str) -> None:
    starts = _starts(len(time_ms))
    times, low, high = (
        _times(time_ms[starts]),
        np.minimum.reduceat(band.low, starts),
        np.maximum.reduceat(band.high, starts),
    )
    ends = np.append(starts[1:], len(time_ms)) - 1
    axes.fill_between(times, low, high, color=colour, alpha=0.5, linewidth=0)
    axes.plot(times, band.close[ends], color=colour, linewidth=0.9, label=label)


def _starts(samples: int) -> Ints:
    """Where each point of a line begins; its extremes are those of all its samples."""
    return np.arange(0, samples, -(-samples // _POINTS))


def phase_bands(result: Result, columns: int = _COLUMNS) -> list[tuple[int, int, Phase]]:
    """(start ms, end ms, phase), in order and without gaps; where phases change within a column of time, the one that
    took most of it counts."""
    first_ms, last_ms = result.summary.first_ts, max(result.summary.last_ts, result.summary.first_ts + 1)
    starts = np.concatenate(([first_ms], result.decisions.time_ms)).astype(np.float64)
    phases = np.concatenate(([PHASES.index(Phase.ADVANCE)], result.decisions.phase))
    edges = np.linspace(first_ms, last_ms, columns + 1)
    lengths = np.diff(np.append(starts, last_ms))
    # Time spent in a phase up to any moment is a straight line between the decisions.
    knots = np.append(starts, last_ms)
    spent = [
        np.diff(np.interp(edges, knots, np.concatenate(([0.0], np.cumsum(lengths * (phases == k))))))
        for k in range(len(PHASES))
    ]
    longest = np.argmax(spent, axis=0)
    begins = np.flatnonzero(np.append(True, longest[1:] != longest[:-1]))
    ends = np.append(begins[1:], columns)
    return [(int(edges[a]), int(edges[b]), PHASES[longest[a]]) for a, b in zip(begins, ends, strict=True)]
