"""`hypertrader backtest`: the strategy over recorded prices."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.console import Console
from rich.table import Table

from backtest.journal import Journal
from backtest.options import BadOptionError, read_setup
from backtest.prices import BadPricesError, read_prices
from backtest.run import CannotOpenError, run
from backtest.summary import Summary


def register(app: typer.Typer) -> None:
    """Add the command to the `hypertrader` app."""
    app.command("backtest")(backtest)


def backtest(
    prices: Annotated[
        Path, typer.Argument(help="CSV or Parquet with columns ts (ms UTC) and price; the first is the entry.")
    ],
    coin: Annotated[str, typer.Option(help="The exchange's name of the coin; required.", show_default=False)] = "",
    margin: Annotated[str, typer.Option(help="Given to the trade, USD; required.", show_default=False)] = "",
    unit_size: Annotated[str, typer.Option(help="USD of price to a unit; required.", show_default=False)] = "",
    leverage: Annotated[str, typer.Option(help="Whole number.")] = "1",
    preset: Annotated[str, typer.Option(help="v6, v7, or a YAML or JSON file with a ladder.")] = "v6",
    unit_mode: Annotated[str, typer.Option(help="full, or grid (memoryless, for comparison).")] = "full",
    at_reset: Annotated[str, typer.Option(help="cap, relever or keep.")] = "cap",
    fee_bps: Annotated[str, typer.Option(help="Of an order's notional.")] = "4.5",
    slippage_bps: Annotated[str, typer.Option(help="Beyond the tick's price, for every order.")] = "1",
    funding: Annotated[str, typer.Option(help="none.")] = "none",
    lot: Annotated[
        str, typer.Option(help="exchange (its size steps and $10 minimum), none (exact), or a size step in coin.")
    ] = "exchange",
    journal: Annotated[Path | None, typer.Option(help="Write a JSON line per unit change to this file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Run a trade over recorded prices with the code that trades live. Liquidation is not modelled."""
    try:
        setup = read_setup(
            coin=coin,
            margin=margin,
            leverage=leverage,
            unit_size=unit_size,
            preset=preset,
            unit_mode=unit_mode,
            at_reset=at_reset,
            fee_bps=fee_bps,
            slippage_bps=slippage_bps,
            funding=funding,
            lot=lot,
        )
        with _written_whole(journal) as file:
            summary = run(setup, read_prices(prices), Journal(file))
    except (BadOptionError, BadPricesError, CannotOpenError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    if as_json:
        typer.echo(summary.model_dump_json())
    else:
        Console().print(_table(summary))


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


def _table(summary: Summary) -> Table:
    table = Table(
        title=f"{summary.coin} {summary.ladder} at {summary.leverage}x", show_header=False, title_justify="left"
    )
    table.add_column(style="bold")
    table.add_column(justify="right")
    for name, text in _figures(summary):
        table.add_row(name, text)
    return table


def _figures(summary: Summary) -> Iterator[tuple[str, str]]:
    yield "margin", f"{summary.margin_usd:,.2f} USD"
    yield "equity", f"{summary.equity_usd:,.2f} USD"
    yield "profit or loss", f"{summary.pnl_usd:+,.2f} USD ({summary.return_on_margin:+.2%} of margin)"
    yield "maximum drawdown", f"{summary.max_drawdown_usd:,.2f} USD, {summary.max_drawdown:.2%}"
    if summary.lowest_equity_usd <= 0:
        yield "lowest equity", f"{summary.lowest_equity_usd:,.2f} USD: liquidated before that; not modelled"
    yield "cycles, resets", f"{summary.cycles:,}, {summary.resets:,}"
    yield "orders", f"{summary.orders:,}"
    yield "fees", f"{summary.fees_usd:,.2f} USD"
    yield "slippage", f"{summary.slippage_usd:,.2f} USD"
    for phase, ticks in summary.phase_ticks.items():
        hours = summary.phase_ms[phase] / 3_600_000
        yield f"in {phase}", f"{ticks / summary.rows:.1%} of prices, {hours:,.1f} h"
    yield "now", f"{summary.phase}, unit {summary.unit}"
    yield "prices", f"{summary.rows:,}"
    yield "decisions", summary.decisions_sha256[:16]
