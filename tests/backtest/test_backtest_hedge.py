"""The Fibonacci hedge and limits in a backtest: the example of the rules, what ends a run, and all that shows it."""

import io
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backtest.explain import explanation
from backtest.journal import Journal
from backtest.journal_lines import Line, lines_of, read_journal
from backtest.many import figures
from backtest.plot import write_plot
from backtest.prices import Stretch
from backtest.report.page import write_report
from backtest.result import Result
from backtest.run import run_whole
from backtest.setup import Setup
from backtest.table import summary_table
from strategy.fibonacci import FIBONACCI
from strategy.ladder import V6
from strategy.values import Phase
from tests.backtest.results import market, prices_of, setup

EXAMPLE = {"ladder": FIBONACCI, "margin_usd": 10_000, "leverage": 1, "unit_size": "0.5", "lot": "0.01", "fee_bps": 0}


def path(*turns: float) -> Stretch:
    """Every line of 0.5 from 100 through the turns."""
    prices = [100.0]
    for turn in turns:
        while prices[-1] != turn:
            prices.append(prices[-1] + (0.5 if turn > prices[-1] else -0.5))
    return prices_of(*prices)


def hedged(prices: Stretch, journal: Journal | None = None, **changes: Any) -> Result:
    return run_whole(setup(**EXAMPLE | changes), prices, journal or Journal(), source="prices.csv")


def lines(prices: Stretch, folder: Path, **changes: Any) -> list[Line]:
    text = io.StringIO()
    hedged(prices, Journal(text), **changes)
    file = folder / "journal.jsonl"
    file.write_text(text.getvalue(), "utf-8")
    return read_journal(file)


def test_the_example_trades_at_its_lines() -> None:
    summary = hedged(path(120, 100, 103)).summary
    assert (summary.orders, summary.cycles, summary.phase) == (6, 2, Phase.ADVANCE)
    assert (summary.equity_usd, summary.breach) == (11_950, None)
    assert (summary.gap_loss_usd, summary.whipsaw_loss_usd) == (0, 0)


def test_a_gap_is_counted_and_shown() -> None:
    result = hedged(prices_of(100, 120, 110))
    assert result.summary.gap_loss_usd == 550
    assert "550.00, 0.00 USD" in str(
        [cell for column in summary_table(result.summary).columns for cell in column.cells]
    )


@pytest.mark.parametrize("ladder", [FIBONACCI, V6])
def test_a_limit_closes_the_trade_with_an_order_and_ends_the_run(ladder: Any) -> None:
    result = hedged(path(108, 80, 120), ladder=ladder, limits={"stop_price": 99}, fee_bps="4.5")
    summary = result.summary
    assert summary.breach == "stop_price is 99; the price is 99"
    assert summary.prices == 1 + 16 + 18
    last = result.decisions
    assert (last.long_qty[-1], last.short_qty[-1], last.price[-1]) == (0, 0, 99)
    assert summary.equity_usd == Decimal(str(last.equity_usd[-1])).quantize(summary.equity_usd)
    assert sum(last.order_qty) == pytest.approx(-100)
    assert result.days.equity_usd[-1] == pytest.approx(float(summary.equity_usd))


def test_every_decision_of_a_hedge_is_explained_in_its_own_words(tmp_path: Path) -> None:
    journal = lines(path(120, 110, 111, 100, 103), tmp_path)
    grid = lines_of(journal)
    said = [explanation(journal, at, grid) for at in range(len(journal))]
    for words in (
        "not armed yet, or above the first level",
        "A level was reached, 10 units below the high: long is sold, a short is opened.",
        "A deeper level, or the trailing stop of the long, was reached",
        "what was sold is bought back",
        "The trailing stop of the short was reached",
        "is not yet high enough for a new fractal",
        "a new fractal begins, and the trade RESET: +1",
    ):
        assert any(words in each for each in said), words
    assert not any("fragment" in each or "ladder" in each for each in said)


def test_what_a_limit_closed_is_explained_as_that(tmp_path: Path) -> None:
    journal = lines(path(99), tmp_path, ladder=V6, limits={"stop_price": 99})
    assert "A limit of the trade was broken" in explanation(journal, len(journal) - 1, None)


def test_report_and_plot_show_a_hedge_and_what_closed_it(tmp_path: Path) -> None:
    result = hedged(path(120, 100), limits={"max_drawdown": "0.04"})
    assert result.summary.breach is not None
    write_report(result, tmp_path / "run.html")
    page = (tmp_path / "run.html").read_text("utf-8")
    for words in ("(0.23, 0.5, 0.5) (0.38, 0.25, 0.5) (0.5, 0, 0.5)", "max drawdown", "Closed 20", "below its peak"):
        assert words in page
    write_plot(result, tmp_path / "run.png")


def test_a_search_finds_what_the_fast_path_finds_for_what_is_not_compiled() -> None:
    candles = market(3_000)
    prices = Stretch(0, candles.times_ms, candles.points[3::4], candles.decimals)
    asked: list[Setup] = [
        setup(ladder=FIBONACCI, leverage=1, unit_size=4),
        setup(limits={"max_drawdown": "0.02"}),
        setup(),
    ]
    found = figures(asked, prices)
    for each, seen in zip(asked, found, strict=True):
        summary = run_whole(each, prices, Journal()).summary
        assert (seen.orders, seen.decisions, seen.resets) == (summary.orders, summary.journal_lines, summary.resets)
        assert seen.pnl_usd == pytest.approx(float(summary.pnl_usd))
        assert seen.max_drawdown == pytest.approx(float(summary.max_drawdown))
        # A run that ends early holds no longer; a search holds over all of the prices.
        assert summary.breach or seen.hold_return == pytest.approx(float(summary.hold.return_on_margin))
