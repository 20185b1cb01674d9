"""The search for parameters: every configuration of a space, or as many as are worth trying."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import isfinite
from typing import TYPE_CHECKING

from backtest.optimise_rank import Metric, Trial, rank_of, ranked
from backtest.optimise_space import Params, Space
from backtest.optimise_workers import Workers
from backtest.prices import Span
from backtest.setup import Setup

if TYPE_CHECKING:
    from optuna.trial import Trial as Draw

GRID_MAX = 100_000
"""Larger spaces are sampled only."""
_SEED = 1
_BATCH = 8
"""Samples drawn before the first of them is known: always as many, so that any number of jobs finds the same."""
_WORST = -1e12


@dataclass(frozen=True, slots=True)
class Search:
    """What is searched, how, and with whom. `samples` None tries every configuration."""

    space: Space
    setup_of: Callable[[Params], Setup]
    workers: Workers
    metric: Metric
    samples: int | None = None

    @property
    def runs(self) -> int:
        """How many configurations a search over one span tries."""
        return len(self.space) if self.samples is None else min(self.samples, len(self.space))

    def over(self, span: Span) -> Iterator[Trial]:
        """Every trial of a search over these times, as they are done; the last may be those around the best one."""
        if self.samples is None or self.samples >= len(self.space):
            yield from self._tried(self.space, span)
            return
        seen: dict[Params, Trial] = {}
        for trial in self._sampled(self.samples, span):
            seen[trial.params] = trial
            yield trial
        if seen:
            # What lies around the best is asked for in any case: a lonely peak is not to be taken for a hill.
            best = ranked(seen.values(), self.metric)[0]
            yield from self._tried([near for near in self.space.neighbours(best.params) if near not in seen], span)

    def tried(self, params: Params, span: Span) -> Trial:
        """One configuration."""
        return next(iter(self._tried([params], span)))

    def _tried(self, configurations: Iterable[Params], span: Span) -> Iterator[Trial]:
        return self.workers.trials((params, self.setup_of(params), span) for params in configurations)

    def _sampled(self, samples: int, span: Span) -> Iterator[Trial]:
        """New configurations, `samples` of them, each batch drawn by what is known of those before."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.TPESampler(seed=_SEED, n_startup_trials=max(10, samples // 5), constant_liar=True)
        study = optuna.create_study(direction="maximize", sampler=sampler)
        seen: dict[Params, Trial] = {}
        fruitless = 0
        while len(seen) < samples and fruitless < 20:
            draws = [study.ask() for _ in range(min(_BATCH, samples - len(seen)))]
            drawn = [self._params(draw) for draw in draws]
            new = [params for params in dict.fromkeys(drawn) if params not in seen]
            fruitless = 0 if new else fruitless + 1
            for trial in self._tried(new, span):
                seen[trial.params] = trial
                yield trial
            for draw, params in zip(draws, drawn, strict=True):
                study.tell(draw, _score(seen[params], self.metric))
        # The sampler has settled: what is left of the budget goes to configurations it never drew.
        rest = (params for params in self.space if params not in seen)
        yield from self._tried(list(islice(rest, samples - len(seen))), span)

    def _params(self, draw: "Draw") -> Params:
        space = self.space
        return Params(
            unit_size=space.unit_sizes[draw.suggest_int("unit_size", 0, len(space.unit_sizes) - 1)],
            preset=draw.suggest_categorical("preset", space.presets),
            leverage=space.leverages[draw.suggest_int("leverage", 0, len(space.leverages) - 1)],
            at_reset=draw.suggest_categorical("at_reset", space.at_resets),
        )


def _score(trial: Trial, metric: Metric) -> float:
    """The rank as one number for the sampler, which looks at the order only."""
    group, value = rank_of(trial, metric)
    return (value if isfinite(value) else _WORST / 2) + (2 - group) * _WORST
