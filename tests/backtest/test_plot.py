import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from backtest.options import BadOptionError
from backtest.plot import phase_bands, write_plot
from backtest.result import PHASES, Result
from strategy.values import Phase
from tests.backtest.results import liquidated, market, prices_of, run


@pytest.fixture(scope="module")
def result() -> Result:
    return run(market(5_000))


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml"), (".PDF", b"%PDF")])
def test_a_picture_is_drawn_in_the_format_of_its_name(
    result: Result, tmp_path: Path, suffix: str, begins: bytes
) -> None:
    path = tmp_path / f"run{suffix}"
    write_plot(result, path)
    assert path.read_bytes().startswith(begins)


def test_names_from_outside_are_no_formulas(tmp_path: Path) -> None:
    write_plot(run(market(300), source=r"$\frac{1$.csv", coin="$^{"), tmp_path / "run.svg")
    assert (tmp_path / "run.svg").stat().st_size > 10_000


def test_another_format_is_refused_with_what_is_allowed(result: Result, tmp_path: Path) -> None:
    with pytest.raises(BadOptionError, match=r"--plot is .*run\.gif; its name must end in \.png, \.svg or \.pdf"):
        write_plot(result, tmp_path / "run.gif")


def test_runs_that_ended_at_once_can_be_drawn(tmp_path: Path) -> None:
    for name, result in (("dead", liquidated()), ("single", run(prices_of(3000)))):
        write_plot(result, tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 10_000


def test_phase_bands_cover_the_run_without_gaps_and_follow_the_decisions(result: Result) -> None:
    bands = phase_bands(result, columns=5_000)
    assert bands[0][0] == result.summary.first_ts and bands[-1][1] == result.summary.last_ts
    assert all(end == start for (_, end, _), (start, _, _) in pairwise(bands))
    share = {phase: sum(end - start for start, end, name in bands if name is phase) for phase in Phase}
    span_ms = result.summary.last_ts - result.summary.first_ts
    for phase, ms in result.summary.phase_ms.items():
        assert share[phase] / span_ms == pytest.approx(ms / span_ms, abs=0.01)


def test_the_longest_phase_of_a_column_counts(result: Result) -> None:
    (start, end, phase), *rest = phase_bands(result, columns=1)
    assert not rest and end - start == result.summary.last_ts - result.summary.first_ts
    longest = max(result.summary.phase_ms, key=lambda name: result.summary.phase_ms[name])
    assert phase is longest and phase in PHASES
    assert np.isfinite(result.samples.drawdown).all()


def test_drawing_and_sampling_cost_nothing_until_they_are_asked_for() -> None:
    code = "import sys, cli.backtest, cli.optimise; print({'matplotlib', 'optuna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "set()"
