import io
import json
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from backtest.columns import stretch_of
from backtest.explain import explanation
from backtest.journal import Journal
from backtest.journal_lines import lines_of, read_journal
from backtest.prices import PriceBatch
from backtest.run import run_fast
from backtest.setup import Setup
from cli.explain import register
from strategy.ladder import V7
from tests.strategy.trading import PATIENT, ladders, paths

app = typer.Typer()
app.callback()(lambda: None)
register(app)

FIRST_MS, STEP_MS = 1_750_000_000_000, 1_000


def journal_of(prices: Sequence[Decimal | int | str], **changes: Any) -> str:
    """Of 100 USD at 10x with units of 1."""
    file = io.StringIO()
    setup = Setup.model_validate({"coin": "ETH", "margin_usd": 100, "leverage": 10, "unit_size": 1} | changes)
    times_ms = [FIRST_MS + STEP_MS * row for row in range(len(prices))]
    run_fast(setup, [stretch_of(PriceBatch(0, times_ms, [Decimal(price) for price in prices]))], Journal(file))
    return file.getvalue()


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    path = tmp_path / "decisions.jsonl"
    path.write_text(journal_of([100, "100.5", 103, 102, 101, "101.5", 102, 97, 94, 96, 99]))
    return path


def explained(journal: Path, at: object, *more: str) -> Result:
    return CliRunner().invoke(app, ["explain", str(journal), "--at", str(at), *more])


def test_a_step_is_told_with_its_lines_its_legs_and_the_ledger_before_and_after(journal: Path) -> None:
    result = explained(journal, FIRST_MS + 4 * STEP_MS)
    assert result.exit_code == 0
    for words in (
        "row 4, price 101",
        "unit 2 -> 1, RETRACEMENT -> RETRACEMENT, peak 3, valley 0, cycle 1",
        "at or below the line of unit 1, 101 (the anchor 100 and 1 unit of 1 USD)",
        "That is 2 below the peak of 3: step 2 of the retracement.",
        "Legs: sell long 2, open short 1.",
        "sell 3",
    ):
        assert words in result.stdout
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["long", "9", "7"] in rows and ["net", "8", "5"] in rows and ["cash", "0.00", "101.00"] in rows
    # 10 bought at 100, one sold and one shorted at 102, and then 101: no costs, so the step changes no equity.
    assert ["equity", "112.00", "112.00"] in rows


def test_before_the_first_decision_there_is_what_the_opening_bought(journal: Path) -> None:
    rows = [line.split() for line in explained(journal, FIRST_MS + 2 * STEP_MS).stdout.splitlines()]
    assert ["long", "10", "10"] in rows and ["net", "10", "10"] in rows and ["equity", "-", "130.00"] in rows


def test_what_a_step_cost_lies_between_the_equities(tmp_path: Path) -> None:
    path = tmp_path / "paid.jsonl"
    path.write_text(journal_of([100, 101, "99.5", 103, 102], fee_bps=10, ladder=V7))
    lines = read_journal(path)
    rows = [line.split() for line in explanation(lines, 1, lines_of(lines)).splitlines()]
    (equity,) = [row[1:] for row in rows if row[:1] == ["equity"]]
    # 1.2 sold and 1.2 shorted at 99.5, for a fee of 0.1%.
    assert Decimal(equity[0]) - Decimal(equity[1]) == pytest.approx(Decimal("0.24"), abs=Decimal("0.01"))


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (2, "A new peak: nothing is traded"),
        (3, "The first full unit off the peak is the whole trigger."),
        (6, "Back up to 1 below the peak: the last step was undone"),
        (7, "That one price completed 5 units"),
        (7, "6 below the peak the ladder is at its end"),
        (8, "A new valley"),
        (9, "That is 2 above the valley of -6: short is covered"),
        (10, "The last step of cycle 1 was done, and the trade RESET"),
    ],
)
def test_each_decision_has_its_reason(journal: Path, row: int, says: str) -> None:
    assert says in explained(journal, FIRST_MS + row * STEP_MS).stdout


def test_between_decisions_the_last_one_is_told(journal: Path) -> None:
    result = explained(journal, FIRST_MS + 5 * STEP_MS)
    assert result.stdout.startswith("Nothing was decided at that time.") and "row 4," in result.stdout
    assert "row 10," in explained(journal, "2030-01-01").stdout


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("", "--at is missing; it must be a UTC date"),
        ("noon", "--at is noon; it must be a UTC date"),
        (FIRST_MS, f"--at is {FIRST_MS}; the first decision is at 2025-06-15 15:06:42 UTC, before it"),
    ],
)
def test_a_time_without_a_decision_is_refused(journal: Path, at: object, says: str) -> None:
    result = explained(journal, at)
    assert (result.exit_code, result.stdout) == (2, "") and says in result.stderr and result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "has no decisions"),
        ("{}\n", "line 1: i: Field required"),
        ("words\n", "line 1: it: Invalid JSON"),
        (None, "can't be read: No such file"),
    ],
)
def test_a_file_that_is_no_journal_is_refused(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "j.jsonl"
    if text is not None:
        path.write_text(text)
    result = explained(path, FIRST_MS)
    assert result.exit_code == 2 and says in result.stderr and result.stderr.count("\n") == 1


def test_the_unit_can_be_given_when_the_journal_is_too_short_to_tell(tmp_path: Path) -> None:
    path = tmp_path / "short.jsonl"
    path.write_text(journal_of([100, "101.7"]))
    assert "the line of unit" not in explained(path, FIRST_MS + STEP_MS).stdout
    assert "1 unit of 1 USD" in explained(path, FIRST_MS + STEP_MS, "--unit-size", "1").stdout


def test_a_later_cycle_counts_from_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "cycles.jsonl"
    path.write_text(journal_of([100, 101, 100, 101, 102, 101, "99.5"], ladder=V7))
    text = explained(path, FIRST_MS + 4 * STEP_MS, "--unit-size", "1").stdout
    assert "cycle 2" in text and "at or above the line of unit 1, 102 (the anchor 100 and 2 units" in text


@PATIENT
@given(ladders(), paths(longest=80), st.sampled_from(["0", "1"]), st.sampled_from(["1", "0.75"]))
def test_anchor_and_unit_are_read_from_the_journal_and_every_line_is_explained(
    tmp_path_factory: pytest.TempPathFactory, ladder: Any, path: list[Decimal], slippage: str, unit: str
) -> None:
    text = journal_of([1000, *path], ladder=ladder, slippage_bps=slippage, unit_size=unit, margin_usd=2000, fee_bps=4)
    if not text:
        return
    file = tmp_path_factory.mktemp("explain") / "j.jsonl"
    file.write_text(text)
    lines = read_journal(file)
    grid = lines_of(lines)
    if grid:
        assert abs(grid.anchor_price - (1000 + Decimal(slippage) / 10)) < Decimal("1e-9")
        assert abs(grid.unit_size - Decimal(unit)) <= Decimal(unit) / 100
    for at, line in enumerate(text.splitlines()):
        told = explanation(lines, at, lines_of(lines, Decimal(unit)))
        assert f"-> {json.loads(line)['unit']}," in told
