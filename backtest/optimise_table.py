"""A search and a walk forward as tables and sentences for people."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from rich import box
from rich.markup import escape
from rich.table import Table

from backtest.journal import as_text
from backtest.optimise_rank import Metric, Trial, ranked
from backtest.optimise_walk import Fold, verdict
from backtest.result import Figures
from strategy.ladder import AtReset


def ranking_table(trials: Sequence[Trial], metric: Metric, top: int) -> Table:
    """The `top` best ones; those that were liquidated or never opened say so."""
    shown = ranked(trials, metric)[:top]
    table = _table(f"best {len(shown):,} of {len(trials):,} by {metric}")
    rows = [_figures(trial, metric) for trial in shown]
    table.add_column("", no_wrap=True)
    for name in rows[0]:
        table.add_column(name, justify="right", no_wrap=True)
    for trial, figures in zip(shown, rows, strict=True):
        table.add_row(_name(trial), *figures.values())
    return table


def _figures(trial: Trial, metric: Metric) -> dict[str, str]:
    """By the column's name; the metric's own comes first where it is not one of the others."""
    columns: dict[str, Callable[[Figures], str]] = {
        "return": _return,
        "held": lambda f: f"{f.hold_return:+.1%}",
        "drawdown": lambda f: f"{f.max_drawdown:.1%}",
        "sharpe": lambda f: Metric.SHARPE.text(f.sharpe),
        "resets": lambda f: f"{f.resets:,}",
        "orders": lambda f: f"{f.orders:,}",
    }
    if metric not in columns:
        columns = {str(metric): lambda f: metric.text(metric.of(f)), **columns}
    if trial.figures is None:
        return dict.fromkeys(columns, "–") | {"return": "not opened"}
    return {name: text(trial.figures) for name, text in columns.items()}


def _return(figures: Figures) -> str:
    return f"{figures.return_on_margin:+.1%}" if figures.liquidated_ms is None else "liquidated"


def walk_table(folds: Sequence[Fold], metric: Metric) -> Table:
    """A row a fold: the best of one stretch, and how it did on the next, which begins where the first ends."""
    table = _table(f"walk-forward: the best by {metric} of each stretch, tried on the next")
    # By the return the metric of the stretch that was tried is its return already.
    after_too = [str(metric)] if metric is not Metric.RETURN else []
    for name in ("from", "best there"):
        table.add_column(name, no_wrap=True)
    table.add_column(str(metric), justify="right", no_wrap=True)
    table.add_column("then from", no_wrap=True)
    for name in (*after_too, "return", "held"):
        table.add_column(name, justify="right", no_wrap=True)
    for fold in folds:
        before, after = fold.before.figures, fold.after.figures
        came_to = metric.text(metric.of(after) if after else None)
        table.add_row(
            _day(fold.chosen_on.from_ms),
            _name(fold.before),
            metric.text(metric.of(before) if before else None),
            _day(fold.tried_on.from_ms),
            *(came_to for _ in after_too),
            _return(after) if after else "not opened",
            f"{after.hold_return:+.1%}" if after else "–",
        )
    return table


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False, padding=(0, 1))


def _name(trial: Trial) -> str:
    params = trial.params
    at_reset = "" if params.at_reset == AtReset.CAP else f" {params.at_reset}"
    return f"{as_text(params.unit_size)} {escape(Path(params.preset).stem)} {params.leverage}x{at_reset}"


def walk_words(folds: Sequence[Fold], metric: Metric) -> str:
    """What the walk says about choosing by the past, in a sentence or two."""
    said = verdict(folds, metric)
    before, after = metric.text(said.metric_before), metric.text(said.metric_after)
    return (
        f"Out of sample the best made money on {said.held} of {said.folds} stretches: {metric} {before} where chosen, "
        f"{after} where tried (means). One after the other: {said.return_after:+.1%}, holding {said.hold_return:+.1%}."
    )


def _day(time_ms: int) -> str:
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d}"
