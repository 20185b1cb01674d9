"""`hypertrader compare`: several plans over the same recorded prices."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from backtest.columns import read_columns
from backtest.comparison import Compared, comparison_table, write_comparison
from backtest.journal import Journal
from backtest.options import BadOptionError, check_writable, read_costs_of_holding, read_size, read_span
from backtest.plans import refused_live, setup_of
from backtest.plot import check_format
from backtest.prices import BadPricesError, joined
from backtest.run import run_whole
from backtest.setup import CannotOpenError
from cli import backtest_options as given
from cli.common import console, echo_json
from cli.errors import BadOption
from cli.plan_commands import plan_named
from plans.plan import TradingPlan
from strategy.values import ZERO


def register(app: typer.Typer) -> None:
    app.command("compare")(compare)


def compare(
    plans: Annotated[
        list[str], typer.Argument(help="Plans that are kept (NAME, or NAME@VERSION), or files.", metavar="PLAN...")
    ],
    prices: Annotated[Path, typer.Option(help="CSV or Parquet, as `hypertrader backtest` reads it.")],
    free: Annotated[str, typer.Option(help="What the account has free, USD: of plans that take a share.")] = "",
    fee_bps: given.FeeBps = "4.5",
    slippage_bps: given.SlippageBps = "1",
    half_spread: given.HalfSpread = "0",
    funding: given.Funding = "none",
    lot: given.Lot = "exchange",
    liquidation: given.Liquidation = "exchange",
    since: given.Since = "",
    until: given.Until = "",
    plot: Annotated[Path | None, typer.Option(help="Draw them to this PNG, SVG or PDF.")] = None,
    as_json: given.AsJson = False,
) -> None:
    """Backtest each plan from the first price on, and print them beside each other."""
    found = _plans(plans)
    try:
        check_format("plot", plot)
        check_writable("plot", plot)
        holding, span = read_costs_of_holding(funding), read_span(since, until)
        free_usd = read_size("free", free) if free else ZERO
        recorded = joined(read_columns(prices, span))
        first = recorded.price(0)
        runs: list[Compared] = []
        for name, plan in zip(plans, found, strict=True):
            setup = setup_of(
                plan,
                first,
                free_usd=free_usd,
                fee_bps=fee_bps,
                slippage_bps=slippage_bps,
                half_spread=half_spread,
                lot=lot,
                liquidation=liquidation,
            )
            result = run_whole(setup, recorded, Journal(), holding, source=prices.name)
            runs.append(Compared(name, result, refused_live(plan, setup, first)))
        if plot:
            write_comparison(runs, plot)
    except (BadOptionError, BadPricesError, CannotOpenError) as error:
        raise BadOption(str(error)) from error
    if as_json:
        echo_json([run.figures() for run in runs])
        return
    console.print(comparison_table(runs))
    for run in runs:
        for reason in run.refused:
            console.print(Text(f"{run.name} would be refused live: {reason}", style="red"))


def _plans(names: Sequence[str]) -> list[TradingPlan]:
    """All of one coin: so are the prices."""
    found = [_plan(name) for name in names]
    coins = sorted({plan.coin for plan in found})
    if len(coins) > 1:
        raise BadOption(f"PLAN is {', '.join(names)}: they trade {' and '.join(coins)}, and the prices are of one coin")
    return found


def _plan(name: str) -> TradingPlan:
    kept, at, version = name.rpartition("@")
    if not at or not version.isdigit():
        return plan_named(name, None)
    return plan_named(kept, int(version))
