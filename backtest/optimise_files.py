"""What a search leaves behind: all its trials as JSON, as CSV, and as a heat map."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backtest.journal import as_text
from backtest.optimise_rank import Metric, Trial, lonely_peak, rank_of, ranked
from backtest.optimise_space import Params, Space
from backtest.optimise_walk import Fold
from backtest.plot import check_format
from backtest.result import Figures, Floats

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_WRITTEN_IN = 24
"""Up to so many columns the number is written into each cell."""
_SEEN = 80
"""With more the best cell is too narrow to be seen by its frame alone."""
_BEST = "#1d4ed8"
_NAMES = [field.name for field in fields(Figures)]
COLUMNS = ["rank", "unit_size", "preset", "leverage", "at_reset", *_NAMES, "refused"]


def search_json(trials: Sequence[Trial], folds: Sequence[Fold], space: Space, metric: Metric) -> dict[str, Any]:
    """The trials best first, and the walk forward."""
    best_first = ranked(trials, metric)
    return {
        "metric": str(metric),
        "configurations": len(space),
        "lonely_peak": lonely_peak(best_first[0], trials, space, metric) if best_first else None,
        "trials": [_trial_json(trial, metric) for trial in best_first],
        "walk_forward": [
            {
                "chosen_on": asdict(fold.chosen_on),
                "tried_on": asdict(fold.tried_on),
                "held": fold.held,
                "before": _trial_json(fold.before, metric),
                "after": _trial_json(fold.after, metric),
            }
            for fold in folds
        ],
    }


def _trial_json(trial: Trial, metric: Metric) -> dict[str, Any]:
    params, figures = trial.params, trial.figures
    return {
        "unit_size": as_text(params.unit_size),
        "preset": params.preset,
        "leverage": params.leverage,
        "at_reset": params.at_reset,
        "metric": metric.of(figures) if figures else None,
        "refused": trial.refused or None,
        **(asdict(figures) if figures else {}),
    }


def write_csv(trials: Iterable[Trial], metric: Metric, path: Path) -> None:
    """A line a trial, best first; money in USD, shares of 1, times in ms UTC; empty where something can't be told."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for rank, trial in enumerate(ranked(trials, metric), start=1):
            params = trial.params
            figures = [getattr(trial.figures, name) for name in _NAMES] if trial.figures else [None] * len(_NAMES)
            chosen = [as_text(params.unit_size), params.preset, params.leverage, params.at_reset]
            writer.writerow([rank, *chosen, *figures, trial.refused])


def write_heat_map(trials: Sequence[Trial], space: Space, metric: Metric, path: Path) -> None:
    """Unit sizes across, every other choice down, the metric as colour. Raises OSError, BadOptionError."""
    check_format("heat-map", path)
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch, Rectangle

    rows = list(dict.fromkeys((params.preset, params.at_reset, params.leverage) for params in space))
    values, dead = _cells(trials, space, rows, metric)
    columns = values.shape[1]
    figure = Figure(figsize=(min(20, 4 + 0.22 * columns) + 2, 1.6 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    known = values[np.isfinite(values)]
    # A few extreme cells would take all the colour: they are shown as the 2nd and the 98th of a hundred.
    low, high = np.percentile(known, (2, 98)) if len(known) else (0.0, 1.0)
    if low < 0 < high:
        low, high = -max(-low, high), max(-low, high)
    image = axes.imshow(values, cmap="RdYlGn", aspect="auto", vmin=low, vmax=high, interpolation="nearest")
    axes.imshow(np.where(dead, 0.0, np.nan), cmap="gray", vmin=-1, vmax=2, aspect="auto", interpolation="nearest")
    if columns <= _WRITTEN_IN:
        _write_numbers(axes, image, values, metric)
    best = ranked(trials, metric)[0].params
    at = space.unit_sizes.index(best.unit_size), rows.index((best.preset, best.at_reset, best.leverage))
    axes.add_patch(Rectangle((at[0] - 0.5, at[1] - 0.5), 1, 1, fill=False, edgecolor=_BEST, linewidth=2.5))
    if columns > _SEEN:
        axes.plot(*at, marker="o", markersize=16, markeredgewidth=2, markeredgecolor=_BEST, fillstyle="none")
    step = max(1, len(space.unit_sizes) // 24)
    axes.set_xticks(range(0, len(space.unit_sizes), step), [as_text(size) for size in space.unit_sizes[::step]])
    axes.set_yticks(range(len(rows)), [_row_name(*row, space) for row in rows])
    axes.set_xlabel("unit size, USD")
    axes.set_title(f"{metric}; best: {best}".replace("$", r"\$"), loc="left", fontsize=11)
    if dead.any():
        # Beside the title: over the cells it would cover some.
        dead_cell = Patch(color="#555555", label="liquidated")
        axes.legend(handles=[dead_cell], loc="lower right", bbox_to_anchor=(1, 1), fontsize=8, frameon=False)
    figure.colorbar(image, ax=axes, label=str(metric))
    figure.savefig(path, dpi=110)


def _write_numbers(axes: Axes, image: AxesImage, values: Floats, metric: Metric) -> None:
    # Of red, green and blue the eye sees green best.
    light = image.to_rgba(values)[..., :3] @ (0.3, 0.59, 0.11)
    for row, column in np.argwhere(np.isfinite(values)):
        ink = "#1d232e" if light[row, column] > 0.45 else "white"
        axes.text(column, row, metric.text(float(values[row, column])), ha="center", va="center", fontsize=7, color=ink)


def _row_name(preset: str, at_reset: str, leverage: int, space: Space) -> str:
    name = f"{Path(preset).stem} {leverage}x"
    return name if len(space.at_resets) == 1 else f"{name} {at_reset}"


def _cells(
    trials: Sequence[Trial], space: Space, rows: list[tuple[str, str, int]], metric: Metric
) -> tuple[np.ndarray, np.ndarray]:
    """The metric of each cell, NaN where nothing was tried or nothing can be told; and which were liquidated."""
    values = np.full((len(rows), len(space.unit_sizes)), np.nan)
    dead = np.zeros(values.shape, dtype=bool)
    row_of, column_of = ({key: at for at, key in enumerate(keys)} for keys in (rows, space.unit_sizes))
    for trial in trials:
        params: Params = trial.params
        cell = row_of[params.preset, params.at_reset, params.leverage], column_of[params.unit_size]
        group, value = rank_of(trial, metric)
        dead[cell] = group == 1
        values[cell] = value if group == 2 and np.isfinite(value) else np.nan
    return values, dead
