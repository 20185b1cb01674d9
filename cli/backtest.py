"""`hypertrader backtest`: the strategy over recorded prices."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.console import Console

from backtest.columns import read_columns
from backtest.funding import Funding
from backtest.journal import Journal
from backtest.options import BadOptionError, check_writable, read_choice, read_costs_of_holding, read_setup, read_span
from backtest.plans import setup_of
from backtest.plot import check_format, write_plot
from backtest.prices import BadPricesError, Span, joined
from backtest.report.page import write_report
from backtest.rows import read_prices
from backtest.run import PricePath, run_fast, run_reference, run_whole
from backtest.setup import CannotOpenError, Setup
from backtest.summary import Summary
from backtest.table import summary_table
from cli import backtest_options as given
from strategy.values import ZERO


def register(app: typer.Typer) -> None:
    """Add the command to the `hypertrader` app."""
    app.command("backtest")(backtest)


def backtest(
    prices: given.Prices,
    coin: given.Coin = "",
    margin: given.Margin = "",
    unit_size: Annotated[str, typer.Option(help="USD of price to a unit; required.", show_default=False)] = "",
    leverage: Annotated[str, typer.Option(help="Whole number.")] = "1",
    preset: Annotated[str, typer.Option(help="v6, v7, fibonacci, or a YAML or JSON file of one.")] = "v6",
    unit_mode: given.UnitMode = "full",
    at_reset: Annotated[str, typer.Option(help="cap, relever or keep.")] = "cap",
    plan: Annotated[str, typer.Option(help="A plan that is kept, or a file, instead of all options above.")] = "",
    fee_bps: given.FeeBps = "4.5",
    slippage_bps: given.SlippageBps = "1",
    half_spread: given.HalfSpread = "0",
    funding: given.Funding = "none",
    lot: given.Lot = "exchange",
    liquidation: given.Liquidation = "exchange",
    since: given.Since = "",
    until: given.Until = "",
    path: Annotated[str, typer.Option(help="fast, or reference: price by price; both decide the same.")] = "fast",
    journal: Annotated[Path | None, typer.Option(help="Write a JSON line per unit change to this file.")] = None,
    report: Annotated[Path | None, typer.Option(help="Write one HTML file to look at.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw it to this PNG, SVG or PDF.")] = None,
    as_json: given.AsJson = False,
) -> None:
    """Run a trade over recorded prices with the code that trades live."""
    try:
        span, holding = read_span(since, until), read_costs_of_holding(funding)
        costs = {
            "fee_bps": fee_bps,
            "slippage_bps": slippage_bps,
            "half_spread": half_spread,
            "lot": lot,
            "liquidation": liquidation,
        }
        terms = {"coin": coin, "margin": margin, "unit_size": unit_size, "leverage": leverage, "preset": preset}
        ways = {"unit_mode": unit_mode, "at_reset": at_reset}
        setup = _of_the_plan(plan, terms, prices, span, costs) if plan else read_setup(**terms, **ways, **costs)
        chosen = read_choice("path", path, PricePath)
        check_format("plot", plot)
        for name, file in (("journal", journal), ("report", report), ("plot", plot)):
            check_writable(name, file)
        if chosen is PricePath.REFERENCE and (report or plot):
            raise BadOptionError("--path is reference; with --report or --plot it must be fast: both decide the same")
        with _written_whole(journal) as lines:
            record = Journal(lines)
            if report or plot:
                summary = _drawn(setup, prices, span, holding, record, report, plot)
            elif chosen is PricePath.FAST:
                summary = run_fast(setup, read_columns(prices, span), record, holding)
            else:
                summary = run_reference(setup, read_prices(prices, span), record, holding)
    except (BadOptionError, BadPricesError, CannotOpenError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(summary.model_dump_json())
    else:
        Console().print(summary_table(summary))


def _of_the_plan(name: str, terms: dict[str, str], prices: Path, span: Span, costs: dict[str, str]) -> Setup:
    """The plan's trade at the first price. Raises BadOptionError for what the plan says itself."""
    from cli.plan_commands import plan_named

    for option in ("coin", "margin", "unit_size"):
        if terms[option]:
            raise BadOptionError(f"--{option.replace('_', '-')} is {terms[option]}; with --plan it must be left out")
    first = next(read_columns(prices, span)).price(0)
    return setup_of(plan_named(name, None), first, free_usd=ZERO, **costs)


def _drawn(
    setup: Setup, prices: Path, span: Span, funding: Funding, record: Journal, report: Path | None, plot: Path | None
) -> Summary:
    """Run with everything kept, and write what was asked for."""
    result = run_whole(setup, joined(read_columns(prices, span)), record, funding, source=prices.name)
    if report:
        _draw("report", report, lambda: write_report(result, report))
    if plot:
        _draw("plot", plot, lambda: write_plot(result, plot))
    return result.summary


def _draw(option: str, path: Path, write: Callable[[], object]) -> None:
    try:
        write()
    except OSError as error:
        raise BadOptionError(f"--{option} is {path}; it can't be written: {error.strerror or error}") from error


@contextmanager
def _written_whole(path: Path | None) -> Iterator[IO[str] | None]:
    """A file that takes its name only when all of it is written: a journal that is there is a complete one."""
    if path is None:
        yield None
        return
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        file = partial.open("w", encoding="utf-8", newline="\n")
    except OSError as error:
        raise BadOptionError(f"--journal is {path}; it can't be written: {error.strerror or error}") from error
    try:
        with file:
            yield file
        partial.replace(path)
    except OSError as error:
        raise BadOptionError(f"--journal is {path}; it can't be written: {error.strerror or error}") from error
    finally:
        partial.unlink(missing_ok=True)
