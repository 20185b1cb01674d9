"""Walk-forward: what was best on one stretch of time, tried on the next, which it has never seen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod

from backtest.optimise import Search
from backtest.optimise_rank import Metric, Trial, ranked
from backtest.prices import Span


@dataclass(frozen=True, slots=True)
class Fold:
    """The best of one stretch, and what the same configuration came to on the next."""

    chosen_on: Span
    tried_on: Span
    before: Trial
    after: Trial

    @property
    def held(self) -> bool:
        """It made money where it was not chosen, and lived."""
        figures = self.after.figures
        return figures is not None and figures.liquidated_ms is None and figures.pnl_usd > 0


def stretches(first_ms: int, last_ms: int, folds: int) -> list[Span]:
    """`folds` + 1 spans of equal time that cover all from the first to the last price."""
    length = (last_ms + 1 - first_ms) / (folds + 1)
    edges = [first_ms + round(k * length) for k in range(folds + 1)] + [last_ms + 1]
    return [Span(start, end) for start, end in pairwise(edges)]


def walk(search: Search, spans: Sequence[Span]) -> Iterator[Trial | Fold]:
    """Each trial as it is done, and after those of a stretch the fold they led to."""
    for chosen_on, tried_on in pairwise(spans):
        trials: list[Trial] = []
        for trial in search.over(chosen_on):
            trials.append(trial)
            yield trial
        best = ranked(trials, search.metric)[0]
        after = search.tried(best.params, tried_on)
        yield after
        yield Fold(chosen_on, tried_on, best, after)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Over all folds: what the choosing was worth."""

    folds: int
    held: int
    metric_before: float | None
    """Mean over the stretches chosen on, of those where it can be told."""
    metric_after: float | None
    return_after: float
    """The stretches tried on, one after the other, the whole margin put into each."""
    hold_return: float


def verdict(folds: Sequence[Fold], metric: Metric) -> Verdict:
    """Of at least one fold."""
    after = [fold.after.figures for fold in folds if fold.after.figures]
    return Verdict(
        folds=len(folds),
        held=sum(fold.held for fold in folds),
        metric_before=_mean([fold.before for fold in folds], metric),
        metric_after=_mean([fold.after for fold in folds], metric),
        return_after=prod(max(0.0, 1 + figures.return_on_margin) for figures in after) - 1,
        hold_return=prod(max(0.0, 1 + figures.hold_return) for figures in after) - 1,
    )


def _mean(trials: Sequence[Trial], metric: Metric) -> float | None:
    values = [metric.of(trial.figures) for trial in trials if trial.figures]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
