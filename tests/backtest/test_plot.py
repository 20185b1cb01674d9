import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from backtest.options import BadOptionError
from backtest.plot import phase_bands, write_plot
from backtest.result import PHASES, Result
from cli.backtest import register
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


def test_the_command_refuses_another_format_before_it_reads_a_price(tmp_path: Path) -> None:
    app = typer.Typer()
    register(app)
    words = [str(tmp_path / "not there.csv"), "--coin", "ETH", "--margin", "100", "--unit-size", "2"]
    done = CliRunner().invoke(app, [*words, "--plot", "run.gif"])
    assert done.exit_code == 2
    assert done.stderr == "error: --plot is run.gif; its name must end in .png, .svg or .pdf\n"


def test_the_command_writes_both(tmp_path: Path) -> None:
    app = typer.Typer()
    register(app)
    rows = (f"{60_000 * k},{3000 + 7 * (k % 9)}\n" for k in range(500))
    (tmp_path / "eth.csv").write_text("ts,price\n" + "".join(rows))
    words = [str(tmp_path / "eth.csv"), "--coin", "ETH", "--margin", "1000", "--unit-size", "10"]
    done = CliRunner().invoke(
        app, [*words, "--report", str(tmp_path / "run.html"), "--plot", str(tmp_path / "run.png")]
    )
    assert done.exit_code == 0, done.stderr
    assert "eth.csv: 1970-01-01 00:00 to 1970-01-01 08:19 UTC" in (tmp_path / "run.html").read_text()
    assert (tmp_path / "run.png").read_bytes().startswith(b"\x89PNG")


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
    code = "import sys, cli.backtest, cli.optimise; print({'matplotlib', 'numba', 'optuna'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=100)
    assert done.stdout.strip() == "set()"
