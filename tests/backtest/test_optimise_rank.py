import csv
import io
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from backtest.optimise_files import COLUMNS, write_csv, write_heat_map
from backtest.optimise_rank import Metric, Trial, lonely_peak, ranked
from backtest.optimise_space import Params, Space, read_space
from backtest.optimise_table import ranking_table, walk_words
from backtest.optimise_walk import Fold, stretches, verdict
from backtest.options import BadOptionError
from backtest.prices import Span
from backtest.result import Figures

NOTHING = Figures(
    pnl_usd=0.0,
    return_on_margin=0.0,
    max_drawdown=0.0,
    max_drawdown_usd=0.0,
    sharpe=None,
    sortino=None,
    calmar=None,
    decisions=0,
    orders=1,
    resets=0,
    winning_cycles=0,
    fees_usd=0.0,
    funding_usd=0.0,
    slippage_usd=0.0,
    liquidated_ms=None,
    liquidated_price=None,
    hold_return=0.0,
)
SPACE = read_space(unit_size="10:50:10", preset="v6", leverage="1,3,5", at_reset="cap")


def trial(unit: int, returned: float | None, *, leverage: int = 3, **figures: Any) -> Trial:
    """A configuration that made `returned` of its margin; None could not be opened."""
    params = Params(Decimal(unit), "v6", leverage, "cap")
    if returned is None:
        return Trial(params, None, "margin is too small")
    return Trial(params, replace(NOTHING, return_on_margin=returned, pnl_usd=returned * 100, **figures))


def space_of(**texts: str) -> Space:
    return read_space(**({"unit_size": "10", "preset": "v6", "leverage": "3", "at_reset": "cap"} | texts))


def test_ranges_and_lists_make_every_combination_once_in_rising_order() -> None:
    space = space_of(unit_size="2.5,1:2:0.5,2", preset="v6,v7,v6", leverage="10,3:5:1", at_reset="cap,keep")
    assert space.unit_sizes == tuple(map(Decimal, ("1", "1.5", "2", "2.5")))
    assert space.leverages == (3, 4, 5, 10) and space.presets == ("v6", "v7")
    configurations = list(space)
    assert len(configurations) == len(space) == len(set(configurations)) == 4 * 4 * 2 * 2


@pytest.mark.parametrize(
    ("option", "text", "said"),
    [
        ("unit_size", "", "--unit-size has nothing; it must be numbers above 0 or ranges from:to:step"),
        ("unit_size", "1:50", "--unit-size has 1:50"),
        ("unit_size", "5:1:1", "--unit-size has 5:1:1"),
        ("unit_size", "1:5:0", "--unit-size has 1:5:0"),
        ("unit_size", "1:5:-1", "--unit-size has 1:5:-1"),
        ("unit_size", "0", "--unit-size has 0"),
        ("unit_size", "nan", "--unit-size has nan"),
        ("unit_size", "1:1e9:1e-9", "more than 10,000 values"),
        ("unit_size", ",".join(f"{k}:{k + 0.999}:0.001" for k in range(1, 20)), "more than 10,000 values"),
        ("leverage", "2.5", "--leverage has 2.5; it must be whole numbers"),
        ("leverage", "three", "--leverage has three"),
        ("preset", "v6,,v7", "--preset is v6,,v7; it must be names"),
        ("at_reset", "", "--at-reset is missing"),
    ],
)
def test_what_is_no_space_is_refused_in_one_line(option: str, text: str, said: str) -> None:
    with pytest.raises(BadOptionError) as refused:
        space_of(**{option: text})
    assert said in str(refused.value) and "\n" not in str(refused.value)


def test_neighbours_are_one_step_away_in_unit_size_and_in_leverage() -> None:
    near = SPACE.neighbours(Params(Decimal(10), "v6", 3, "cap"))
    assert {(params.unit_size, params.leverage) for params in near} == {(20, 3), (10, 1), (10, 5)}


@pytest.mark.parametrize(
    ("metric", "better", "worse"),
    [
        (Metric.RETURN, {"returned": 0.2}, {"returned": 0.1}),
        (Metric.SHARPE, {"returned": 0.1, "sharpe": 1.0}, {"returned": 0.9, "sharpe": 0.5}),
        (Metric.SORTINO, {"returned": 0.0, "sortino": 0.1}, {"returned": 0.9, "sortino": None}),
        (Metric.CALMAR, {"returned": 0.0, "calmar": -1.0}, {"returned": 0.9, "calmar": -2.0}),
        (Metric.DRAWDOWN, {"returned": 0.0, "max_drawdown": 0.1}, {"returned": 0.9, "max_drawdown": 0.2}),
        (Metric.BEYOND_HOLD, {"returned": 0.0, "hold_return": -0.5}, {"returned": 0.9, "hold_return": 0.8}),
    ],
)
def test_more_of_the_metric_ranks_higher(metric: Metric, better: dict[str, Any], worse: dict[str, Any]) -> None:
    low, high = trial(10, **worse), trial(20, **better)
    assert ranked([low, high], metric) == ranked([high, low], metric) == [high, low]


def test_the_liquidated_rank_after_all_that_lived_and_the_unopened_last() -> None:
    dead, unopened, poor = trial(10, 9.0, liquidated_ms=1), trial(20, None), trial(30, -0.99)
    for metric in Metric:
        assert ranked([unopened, dead, poor], metric) == [poor, dead, unopened]


def test_equal_results_prefer_less_leverage_then_larger_units() -> None:
    trials = [trial(10, 0.1, leverage=5), trial(10, 0.1, leverage=1), trial(20, 0.1, leverage=1)]
    assert [(t.params.unit_size, t.params.leverage) for t in ranked(trials, Metric.RETURN)] == [
        (20, 1),
        (10, 1),
        (10, 5),
    ]


@pytest.mark.parametrize(
    ("returns", "lonely"),
    [
        ((-0.2, -0.2, 0.5, -0.2, -0.2), True),
        ((-0.2, 0.3, 0.5, 0.4, -0.2), False),
        ((-0.9, -0.5, -0.1, -0.4, -0.9), False),
        ((-0.9, -0.9, -0.1, -0.8, -0.9), True),
        ((0.1, 0.1, 0.1, 0.1, 0.1), False),
        ((0.1, 0.1, 0.1 + 1e-9, 0.1, 0.1), False),
    ],
)
def test_a_peak_whose_neighbours_fall_off_is_called_lonely(returns: tuple[float, ...], lonely: bool) -> None:
    trials = [trial(10 * (k + 1), value) for k, value in enumerate(returns)]
    best = max(trials, key=lambda t: t.figures.return_on_margin if t.figures else 0)
    warning = lonely_peak(best, trials, SPACE, Metric.RETURN)
    assert (warning is not None) is lonely
    if warning and lonely:
        assert "lonely peak" in warning and "one step away" in warning


def test_a_peak_next_to_a_liquidation_is_called_lonely() -> None:
    trials = [trial(10, 0.4), trial(20, 0.5), trial(20, 0.9, leverage=5, liquidated_ms=1)]
    warning = lonely_peak(trials[1], trials, SPACE, Metric.RETURN)
    assert warning == "the best is a lonely peak: next to it, unit 20, v6, 5x, cap was liquidated"


def test_a_single_configuration_has_no_neighbours_to_warn_of() -> None:
    assert lonely_peak(trial(10, 0.5), [trial(10, 0.5)], SPACE, Metric.RETURN) is None


def test_stretches_cover_the_span_with_no_gap_and_no_overlap() -> None:
    spans = stretches(1_000, 7_999, 6)
    assert len(spans) == 7 and spans[0].from_ms == 1_000 and spans[-1].to_ms == 8_000
    assert all(one.to_ms == two.from_ms for one, two in pairwise(spans))
    assert {span.to_ms - span.from_ms for span in spans} == {1_000}


def test_the_verdict_chains_the_stretches_that_were_tried() -> None:
    spans = stretches(0, 2_999, 2)
    folds = [
        Fold(spans[0], spans[1], trial(10, 0.5), trial(10, 0.1, hold_return=0.2)),
        Fold(spans[1], spans[2], trial(20, 0.3), trial(20, -0.5, hold_return=-1.0)),
    ]
    said = verdict(folds, Metric.RETURN)
    assert (said.folds, said.held) == (2, 1)
    assert said.metric_before == pytest.approx(0.4) and said.metric_after == pytest.approx(-0.2)
    assert said.return_after == pytest.approx(1.1 * 0.5 - 1) and said.hold_return == -1
    words = walk_words(folds, Metric.RETURN)
    assert "made money on 1 of 2 stretches: return +40.0% where chosen, -20.0% where tried" in words


def test_a_liquidated_stretch_did_not_hold_even_with_money_left() -> None:
    span = Span(0, 1)
    assert not Fold(span, span, trial(10, 0.5), trial(10, 0.1, liquidated_ms=1)).held
    assert not Fold(span, span, trial(10, 0.5), trial(10, None)).held
    assert Fold(span, span, trial(10, 0.5), trial(10, 0.1)).held


def test_the_csv_has_every_trial_and_figure_best_first(tmp_path: Path) -> None:
    trials = [trial(10, -0.1), trial(20, None), trial(30, 0.25, sharpe=1.5), trial(40, 0.3, liquidated_ms=7)]
    write_csv(trials, Metric.RETURN, tmp_path / "trials.csv")
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == COLUMNS
    assert [(row["rank"], row["unit_size"]) for row in rows] == [("1", "30"), ("2", "10"), ("3", "40"), ("4", "20")]
    assert (rows[0]["return_on_margin"], rows[0]["sharpe"], rows[0]["liquidated_ms"]) == ("0.25", "1.5", "")
    assert rows[3]["refused"] == "margin is too small" and rows[3]["pnl_usd"] == ""


@pytest.mark.parametrize(
    "trials",
    [
        [trial(10, -0.1), trial(20, None), trial(30, 0.25), trial(40, 0.3, liquidated_ms=7)],
        [trial(10, None)],
        [trial(50, 0.1, leverage=5)],
    ],
)
def test_a_heat_map_is_drawn_whatever_is_missing(tmp_path: Path, trials: list[Trial]) -> None:
    write_heat_map(trials, SPACE, Metric.RETURN, tmp_path / "map.png")
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_a_ladder_file_with_brackets_in_its_name_is_shown_as_it_is() -> None:
    params = Params(Decimal(10), "ladders/[red]mine.yaml", 3, "keep")
    table = ranking_table([Trial(params, NOTHING)], Metric.RETURN, 1)
    console = Console(width=100, file=io.StringIO())
    console.print(table)
    assert "10 [red]mine 3x keep" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_says_who_died_and_who_never_opened() -> None:
    table = ranking_table([trial(10, None), trial(20, -1.0, liquidated_ms=7), trial(30, 0.1)], Metric.CALMAR, 5)
    by_name = {str(column.header): list(column.cells) for column in table.columns}
    assert by_name["return"] == ["+10.0%", "liquidated", "not opened"]
    assert by_name[""] == ["30 v6 3x", "20 v6 3x", "10 v6 3x"]
    assert next(iter(list(by_name)[1:])) == "calmar"
