import functools
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from backtest.funding import Funding
from backtest.many import figures
from backtest.optimise import Search
from backtest.optimise_rank import Metric, Trial, ranked
from backtest.optimise_space import Params, Space, read_space
from backtest.optimise_walk import Fold, stretches, walk
from backtest.optimise_workers import Run, Workers
from backtest.prices import Span, Stretch
from backtest.result import Figures
from backtest.setup import Setup
from cli.optimise import register
from strategy.ladder import PRESETS
from tests.backtest.results import market, setup
from tests.backtest.test_optimise_rank import NOTHING

PRICES = market(4_000)
WHOLE = Span(int(PRICES.times_ms[0]), int(PRICES.times_ms[-1]) + 1)


def space(unit_size: str = "10:40:10", preset: str = "v6,v7", leverage: str = "1,3") -> Space:
    return read_space(unit_size=unit_size, preset=preset, leverage=leverage, at_reset="cap")


def setup_of(params: Params) -> Setup:
    return setup(unit_size=params.unit_size, leverage=params.leverage, ladder=PRESETS[params.preset])


def hill(setups: Sequence[Setup], prices: Stretch) -> list[Figures]:
    """A made-up result with one top, at a unit of 123 and 4x."""
    return [
        replace(NOTHING, return_on_margin=-abs(float(s.unit_size) - 123) / 100 - abs(s.leverage - 4) / 10)
        for s in setups
    ]


def interrupted_after(count: int) -> Run:
    done = 0

    def run(setups: Sequence[Setup], prices: Stretch) -> list[Figures]:
        nonlocal done
        done += len(setups)
        if done > count:
            raise KeyboardInterrupt
        return hill(setups, prices)

    return run


def search(workers: Workers, where: Space, samples: int | None = None, metric: Metric = Metric.RETURN) -> Search:
    return Search(where, setup_of, workers, metric, samples)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_grid_tries_every_configuration_once_with_the_figures_of_a_run_of_its_own(jobs: int) -> None:
    with Workers(figures, PRICES, jobs) as workers:
        trials = list(search(workers, space()).over(WHOLE))
    assert sorted(map(str, (trial.params for trial in trials))) == sorted(map(str, space()))
    for trial in trials[::5]:
        assert [trial.figures] == figures([setup_of(trial.params)], PRICES)


def test_funding_is_paid_in_every_process() -> None:
    run = functools.partial(figures, funding=Funding(constant=Decimal("0.0001")))
    with Workers(run, PRICES, 2) as workers:
        trials = list(search(workers, space()).over(WHOLE))
    assert all(trial.figures and trial.figures.funding_usd for trial in trials)


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_that_cannot_be_opened_does_not_take_the_others_with_it(jobs: int) -> None:
    def small(params: Params) -> Setup:
        return setup_of(params).model_copy(update={"min_notional_usd": Decimal(2_000)})

    with Workers(figures, PRICES, jobs) as workers:
        trials = list(Search(space(), small, workers, Metric.RETURN).over(WHOLE))
    assert {trial.params.leverage for trial in trials if trial.figures is None} == {1}
    assert {trial.params.leverage for trial in trials if trial.figures} == {3}
    assert all("margin is 1000" in trial.refused for trial in trials if trial.figures is None)


@pytest.mark.parametrize("jobs", [1, 2])
def test_sampling_finds_the_top_with_a_fifteenth_of_the_runs_whatever_the_jobs(jobs: int) -> None:
    where = space("1:300:1", "v6", "1:10:1")
    with Workers(hill, PRICES, jobs) as workers:
        trials = list(search(workers, where, samples=200).over(WHOLE))
    assert len({trial.params for trial in trials}) == len(trials) <= 204
    best = ranked(trials, Metric.RETURN)[0]
    assert best.params.leverage == 4 and abs(best.params.unit_size - 123) <= 5
    near = {trial.params for trial in trials}
    assert near.issuperset(where.neighbours(best.params))


def test_sampling_tries_as_many_different_ones_as_it_was_told() -> None:
    where = space("1:30:1", "v6", "1:2:1")
    with Workers(hill, PRICES, 1) as workers:
        first = list(search(workers, where, samples=50).over(WHOLE))
        again = list(search(workers, where, samples=50).over(WHOLE))
        assert len(list(search(workers, where, samples=500).over(WHOLE))) == len(where)
    assert len(first) >= 50 and [trial.params for trial in first] == [trial.params for trial in again]


def test_an_interrupt_keeps_what_was_done() -> None:
    found: list[Trial] = []
    with Workers(interrupted_after(16), PRICES, 1) as workers, pytest.raises(KeyboardInterrupt):
        found.extend(search(workers, space("1:20:1")).over(WHOLE))
    assert len(found) == 16


def test_walking_forward_tries_the_best_of_a_stretch_on_the_next_one_only() -> None:
    spans = stretches(WHOLE.from_ms, WHOLE.to_ms - 1, 3)
    with Workers(figures, PRICES, 1) as workers:
        steps = list(walk(search(workers, space()), spans))
    folds = [step for step in steps if isinstance(step, Fold)]
    assert [(fold.chosen_on, fold.tried_on) for fold in folds] == list(pairwise(spans))
    for fold in folds:
        there = [Trial(p, *figures([setup_of(p)], PRICES.between(fold.chosen_on))) for p in space()]
        assert fold.before == ranked(there, Metric.RETURN)[0]
        assert [fold.after.figures] == figures([setup_of(fold.before.params)], PRICES.between(fold.tried_on))


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("prices") / "eth.csv"
    rows = zip(PRICES.times_ms.tolist(), (PRICES.points.reshape(-1, 4) / 100).tolist(), strict=True)
    lines = (f"{time_ms},{o},{max(o, h, low, c)},{min(o, h, low, c)},{c}\n" for time_ms, (o, h, low, c) in rows)
    path.write_text("ts,open,high,low,close\n" + "".join(lines))
    return path


COMMON = ("--coin", "ETH", "--margin", "1000")
Command = Callable[..., Result]


@pytest.fixture
def optimise(recording: Path) -> Command:
    app = typer.Typer()
    register(app)

    def command(*options: str) -> Result:
        return CliRunner().invoke(app, [str(recording), *COMMON, *options])

    return command


def test_the_command_ranks_warns_walks_and_writes_its_files(optimise: Command, tmp_path: Path) -> None:
    files = ("--csv", str(tmp_path / "all.csv"), "--heat-map", str(tmp_path / "map.png"))
    done = optimise("--unit-size", "5:50:5", "--leverage", "1,5", "--metric", "return", "--walk-forward", "2", *files)
    assert done.exit_code == 0, done.stderr
    assert "best 10 of 40 by return" in done.stdout
    assert "walk-forward: the best by return of each stretch" in done.stdout
    assert "Out of sample the best made money on" in done.stdout
    assert len((tmp_path / "all.csv").read_text().splitlines()) == 41
    assert (tmp_path / "map.png").read_bytes().startswith(b"\x89PNG")


def test_json_has_every_trial_best_first(optimise: Command) -> None:
    done = optimise("--unit-size", "10,20", "--json", "--metric", "return", "--walk-forward", "1", "--jobs", "1")
    answer = json.loads(done.stdout)
    assert [answer["configurations"], answer["stopped"]] == [4, False]
    values = [trial["metric"] for trial in answer["trials"]]
    assert len(values) == 4 and values == sorted(values, reverse=True)
    (fold,) = answer["walk_forward"]
    assert fold["chosen_on"]["to_ms"] == fold["tried_on"]["from_ms"]
    assert fold["before"]["unit_size"] == fold["after"]["unit_size"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "--unit-size has nothing"),
        (("--unit-size", "5", "--metric", "luck"), "--metric is luck; it must be return or sharpe"),
        (("--unit-size", "5", "--preset", "v6,v8"), "--preset is v8"),
        (("--unit-size", "5", "--leverage", "3,60"), "--leverage is 60; ETH allows 1 to 25"),
        (("--unit-size", "5", "--at-reset", "cap,never"), "--at-reset is never"),
        (("--unit-size", "1:10000:1", "--leverage", "1:25:1"), "--trials is missing; of 500,000 configurations"),
        (("--unit-size", "5", "--trials", "-1"), "--trials is -1"),
        (("--unit-size", "5", "--top", "0"), "--top is 0; it must be a whole number from 1"),
        (("--unit-size", "5", "--half-spread", "-1"), "--half-spread is -1; it must be 0 or a number above 0"),
        (("--unit-size", "5", "--heat-map", "map.gif"), "--heat-map is map.gif; its name must end in .png"),
        (("--unit-size", "5", "--walk-forward", "100000"), "--walk-forward is 100000; of its stretches"),
        (("--unit-size", "5", "--csv", "/nowhere/all.csv"), "--csv is /nowhere/all.csv; it can't be written"),
    ],
)
def test_bad_options_are_one_line_that_names_them(optimise: Command, options: tuple[str, ...], said: str) -> None:
    done = optimise(*options)
    assert done.exit_code == 2
    assert done.stderr.count("\n") == 1 and done.stderr.startswith("error: ") and said in done.stderr
    assert done.stdout == ""


def test_what_every_order_costs_is_asked_for_as_in_a_backtest(optimise: Command) -> None:
    def slippage_usd(half_spread: str) -> float:
        options = ("--unit-size", "20", "--preset", "v6", "--jobs", "1", "--half-spread", half_spread, "--json")
        (trial,) = json.loads(optimise(*options).stdout)["trials"]
        return float(trial["slippage_usd"])

    assert slippage_usd("0.5") > slippage_usd("0") > 0


def test_a_plan_is_tried_in_other_units_with_its_own_margin_and_limits(recording: Path, tmp_path: Path) -> None:
    plan = tmp_path / "tried.yaml"
    plan.write_text(
        "name: tried\ncoin: ETH\nsize: {notional_usd: 3000}\nleverage: 2\nunit_size: 15\nstrategy: fibonacci\n"
        "limits: {max_drawdown: 0.00001}\n"
    )
    app = typer.Typer()
    register(app)
    words = [str(recording), "--plan", str(plan), "--unit-size", "10,15", "--metric", "return", "--json", "--jobs", "1"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.stderr
    trials = json.loads(done.stdout)["trials"]
    tried = {(trial["unit_size"], trial["preset"], trial["leverage"]) for trial in trials}
    assert tried == {("10", "fibonacci", 2), ("15", "fibonacci", 2)}
    # The opening, and the close by the first unit's drawdown.
    assert {trial["orders"] for trial in trials} == {2}
    refused = CliRunner().invoke(app, [*words, "--margin", "5"])
    assert (refused.exit_code, refused.stderr) == (2, "error: --margin is 5; with --plan it must be left out\n")


def test_hours_that_the_funding_file_lacks_are_told_of(optimise: Command, tmp_path: Path) -> None:
    rates = tmp_path / "rates.csv"
    rates.write_text(f"ts,rate\n{WHOLE.from_ms + 3_600_000},0.00001\n")
    done = optimise("--unit-size", "20", "--preset", "v6", "--jobs", "1", "--funding", str(rates))
    # 4,000 minutes are 66 full hours.
    assert (done.exit_code, done.stderr) == (
        0,
        "warning: rates.csv has no rate for 65 hours of the prices: they cost nothing\n",
    )


def test_a_file_that_cannot_be_written_in_the_end_costs_no_figures(
    optimise: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cli.optimise.write_csv", full)
    done = optimise("--unit-size", "20", "--preset", "v6", "--jobs", "1", "--csv", str(tmp_path / "all.csv"))
    assert done.exit_code == 2 and "it can't be written: No space left on device" in done.stderr
    assert "best 1 of 1 by calmar" in done.stdout


def said_on(terminal: int) -> bytes:
    """What comes next, nothing at the end."""
    try:
        return os.read(terminal, 4096)
    except OSError:  # how a terminal ends whose other side is closed
        return b""


def test_ctrl_c_shows_what_is_done_by_then(recording: Path) -> None:
    options = ("--unit-size", "0.5:500:0.05", "--leverage", "1:5:1", "--jobs", "2")
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "cli.main", "optimise", str(recording), *COMMON, *options]
    process = subprocess.Popen(
        words,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
        env={**os.environ, "TERM": "xterm"},
        # A suite that runs in the background of a shell ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    os.close(theirs)
    seen = b""
    # The bar counts: once it is past its first trials, there is something to keep.
    while not re.search(rb"[1-9][0-9]*/99910", seen):
        part = said_on(ours)
        assert part, f"ended before it was stopped: {seen!r}"
        seen = seen[-200:] + part
    process.send_signal(signal.SIGINT)
    while said_on(ours):
        pass
    stdout, _ = process.communicate(timeout=100)
    assert process.returncode == 130
    assert "by calmar" in stdout and "of 99,910" not in stdout
