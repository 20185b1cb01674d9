"""Which configuration is the best, and whether to believe it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from math import inf, isfinite
from statistics import fmean, median

from backtest.optimise_space import Params, Space
from backtest.result import Figures


class Metric(StrEnum):
    """More is better, in all of them."""

    RETURN = "return"
    """On margin, over the whole span."""
    SHARPE = "sharpe"
    SORTINO = "sortino"
    CALMAR = "calmar"
    DRAWDOWN = "drawdown"
    """The smallest maximum drawdown; shown as minus its share."""
    BEYOND_HOLD = "beyond-hold"
    """The return less that of holding at the same leverage."""

    def of(self, figures: Figures) -> float | None:
        """None where it can't be told, as a Sharpe ratio of one day."""
        return _METRICS[self](figures)

    def text(self, value: float | None) -> str:
        if value is None:
            return "–"
        return f"{value:.2f}" if self in (Metric.SHARPE, Metric.SORTINO, Metric.CALMAR) else f"{value:+.1%}"


_METRICS: Mapping[Metric, Callable[[Figures], float | None]] = {
    Metric.RETURN: lambda figures: figures.return_on_margin,
    Metric.SHARPE: lambda figures: figures.sharpe,
    Metric.SORTINO: lambda figures: figures.sortino,
    Metric.CALMAR: lambda figures: figures.calmar,
    Metric.DRAWDOWN: lambda figures: -figures.max_drawdown,
    Metric.BEYOND_HOLD: lambda figures: figures.return_on_margin - figures.hold_return,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A configuration and what it came to; without figures it could not be opened, for the reason in `refused`."""

    params: Params
    figures: Figures | None
    refused: str = ""


Rank = tuple[int, float]


def rank_of(trial: Trial, metric: Metric) -> Rank:
    """Greater is better: by the metric among those that lived, then the liquidated, then those that could not open."""
    if trial.figures is None:
        return 0, -inf
    value = metric.of(trial.figures)
    alive = trial.figures.liquidated_ms is None
    return 1 + alive, value if value is not None and isfinite(value) else -inf


def ranked(trials: Iterable[Trial], metric: Metric) -> list[Trial]:
    """Best first; of equal ones that with less leverage, then that with larger units."""

    def key(trial: Trial) -> tuple[Rank, int, Decimal]:
        return rank_of(trial, metric), -trial.params.leverage, trial.params.unit_size

    return sorted(trials, key=key, reverse=True)


KEPT = 0.5
"""Of the best one's lead over the rest, its neighbours on average have to have this share."""


def lonely_peak(best: Trial, trials: Sequence[Trial], space: Space, metric: Metric) -> str | None:
    """A warning when a small change of the best configuration's numbers would lose most of its lead; else None.

    The lead is over the median of those that are neither the best nor next to it, so the test needs no scale and works
    for losses too.
    """
    beside = set(space.neighbours(best.params))
    near = [trial for trial in trials if trial.params in beside]
    rest = [_value(trial, metric) for trial in trials if trial.params not in beside and trial.params != best.params]
    broken = [trial for trial in near if rank_of(trial, metric)[0] < rank_of(best, metric)[0]]
    if broken:
        return f"the best is a lonely peak: next to it, {broken[0].params} {_end(broken[0])}"
    if not near or not rest:
        return None
    top, around, elsewhere = _value(best, metric), fmean(_value(trial, metric) for trial in near), median(rest)
    if top <= elsewhere or around >= elsewhere + KEPT * (top - elsewhere):
        return None
    if metric.text(top) == metric.text(around):
        # A lead of rounding.
        return None
    return (
        f"the best is a lonely peak: {metric} is {metric.text(top)} there, {metric.text(around)} on average one step "
        f"away, {metric.text(elsewhere)} at the median of the rest: it may be luck"
    )


def _end(trial: Trial) -> str:
    return "could not be opened" if trial.figures is None else "was liquidated"


def _value(trial: Trial, metric: Metric) -> float:
    """A number to average with: what can't be told counts as nothing made."""
    value = metric.of(trial.figures) if trial.figures else None
    return value if value is not None and isfinite(value) else 0.0
