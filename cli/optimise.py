"""`hypertrader optimise`: which parameters would have done best, and whether that means anything."""

import functools
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.text import Text

from backtest.columns import read_columns
from backtest.journal import as_text
from backtest.optimise import GRID_MAX, Search
from backtest.optimise_files import search_json, write_csv, write_heat_map
from backtest.optimise_rank import Metric, Trial, lonely_peak, ranked
from backtest.optimise_space import Params, Space, read_space
from backtest.optimise_table import ranking_table, walk_table, walk_words
from backtest.optimise_walk import Fold, stretches, walk
from backtest.optimise_workers import Workers
from backtest.options import BadOptionError, check_writable, read_choice, read_costs_of_holding, read_setup, read_span
from backtest.plans import setup_of as plan_setup
from backtest.plot import check_format
from backtest.prices import BadPricesError, Span, Stretch, joined
from backtest.setup import Setup
from cli import backtest_options as given
from plans.plan import TradingPlan
from strategy.ladder import AtReset
from strategy.values import ZERO

STOPPED = 130
"""The exit code after Ctrl-C, as a shell has it."""


def register(app: typer.Typer) -> None:
    """Add the command to the `hypertrader` app."""
    app.command("optimise")(optimise)


def optimise(
    prices: given.Prices,
    coin: given.Coin = "",
    margin: given.Margin = "",
    unit_size: Annotated[
        str, typer.Option(help="USD to a unit: 5,10,20 or 1:50:1 (from, to, step); required.", show_default=False)
    ] = "",
    preset: Annotated[str, typer.Option(help="v6, v7, fibonacci or files, with commas between.")] = "v6,v7",
    leverage: Annotated[str, typer.Option(help="Whole numbers: 3,5,10 or 1:10:1; 1, or the plan's.")] = "",
    at_reset: Annotated[str, typer.Option(help="cap, relever, keep, with commas between; cap, or the plan's.")] = "",
    plan: Annotated[str, typer.Option(help="A plan that is kept, or a file, instead of coin, margin and preset.")] = "",
    unit_mode: given.UnitMode = "full",
    metric: Annotated[str, typer.Option(help=f"What is best: {', '.join(Metric)}.")] = "calmar",
    walk_forward: Annotated[
        int, typer.Option(help="Choose on each of so many stretches of time, try on the next.", show_default=False)
    ] = 0,
    trials: Annotated[
        int, typer.Option(help="Sample so many configurations; 0 tries every one.", show_default=False)
    ] = 0,
    jobs: Annotated[int, typer.Option(help="Processes; 0 is one for each core.", show_default=False)] = 0,
    top: Annotated[int, typer.Option(help="Rows of the table, at least 1.")] = 10,
    csv: Annotated[Path | None, typer.Option(help="Write every configuration's figures to this file.")] = None,
    heat_map: Annotated[Path | None, typer.Option(help="Draw them to this PNG, SVG or PDF.")] = None,
    fee_bps: given.FeeBps = "4.5",
    slippage_bps: given.SlippageBps = "1",
    half_spread: given.HalfSpread = "0",
    funding: given.Funding = "none",
    lot: given.Lot = "exchange",
    liquidation: given.Liquidation = "exchange",
    since: given.Since = "",
    until: given.Until = "",
    as_json: given.AsJson = False,
) -> None:
    """Run many configurations over the same prices and rank them. Ctrl-C ranks what is done by then."""
    costs_of = {"fee_bps": fee_bps, "slippage_bps": slippage_bps, "half_spread": half_spread}
    costs_of |= {"lot": lot, "liquidation": liquidation}
    same = {"coin": coin, "margin": margin, "unit_mode": unit_mode, **costs_of}
    try:
        followed = _plan(plan, coin, margin) if plan else None
        if followed is not None:
            unit_size, leverage = unit_size or as_text(followed.unit_size), leverage or str(followed.leverage)
            preset, at_reset = followed.ladder.name, at_reset or followed.at_reset
        space = read_space(
            unit_size=unit_size, preset=preset, leverage=leverage or "1", at_reset=at_reset or AtReset.CAP
        )
        chosen, costs = read_choice("metric", metric, Metric), read_costs_of_holding(funding)
        folds, processes = _count("walk-forward", walk_forward), _count("jobs", jobs) or os.cpu_count() or 1
        samples, rows = _samples(trials, space), _count("top", top, least=1)
        check_format("heat-map", heat_map)
        for name, file in (("csv", csv), ("heat-map", heat_map)):
            check_writable(name, file)
        if followed is not None:
            setup_of = _setup_of_the_plan(followed, _first_price(prices, read_span(since, until)), costs_of)
        else:
            setup_of = _setup_of(same)
        _refuse_early(space, setup_of)
        recording = joined(read_columns(prices, read_span(since, until)))
        spans = _stretches(recording, folds)
        if missing := costs.missing_hours(int(recording.times_ms[0]), int(recording.times_ms[-1])):
            typer.echo(f"warning: {costs} has no rate for {missing:,} hours of the prices: they cost nothing", err=True)
        # Half a second to import, and only for those who search.
        from backtest.many import figures

        with Workers(functools.partial(figures, funding=costs), recording, processes) as workers:
            found = _search(Search(space, setup_of, workers, chosen, samples), recording, spans)
        # The figures first: whatever becomes of the files, they are not lost.
        _tell(found, space, chosen, rows, as_json)
        if found.trials:
            _write(found.trials, space, chosen, csv, heat_map)
    except (BadOptionError, BadPricesError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from error
    if found.stopped:
        raise typer.Exit(STOPPED)


@dataclass
class _Found:
    """What is done so far, over all the prices and walking forward."""

    trials: list[Trial] = field(default_factory=list)
    folds: list[Fold] = field(default_factory=list)
    stopped: bool = False


def _count(option: str, number: int, least: int = 0) -> int:
    if not least <= number <= 1_000_000:
        raise BadOptionError(f"--{option} is {number}; it must be a whole number from {least} to 1,000,000")
    return number


def _samples(trials: int, space: Space) -> int | None:
    """None tries every configuration."""
    samples = _count("trials", trials) or None
    if samples is None and len(space) > GRID_MAX:
        raise BadOptionError(
            f"--trials is missing; of {len(space):,} configurations not all can be tried, only up to {GRID_MAX:,}"
        )
    return samples


def _setup_of(same: Mapping[str, str]) -> Callable[[Params], Setup]:
    """What to trade a configuration with; `same` are the texts that all of them have in common."""

    def setup_of(params: Params) -> Setup:
        return read_setup(
            leverage=str(params.leverage),
            unit_size=as_text(params.unit_size),
            preset=params.preset,
            at_reset=params.at_reset,
            **same,
        )

    return setup_of


def _plan(name: str, coin: str, margin: str) -> TradingPlan:
    """Raises BadOptionError for what the plan says itself."""
    from cli.plan_commands import plan_named

    for option, text in (("coin", coin), ("margin", margin)):
        if text:
            raise BadOptionError(f"--{option} is {text}; with --plan it must be left out")
    return plan_named(name, None)


def _first_price(prices: Path, span: Span) -> Decimal:
    return next(read_columns(prices, span)).price(0)


def _setup_of_the_plan(plan: TradingPlan, price: Decimal, costs: Mapping[str, str]) -> Callable[[Params], Setup]:
    """Its margin is reckoned anew for each configuration: a risk is another margin in other units."""

    def setup_of(params: Params) -> Setup:
        tried = plan.model_copy(
            update={"unit_size": params.unit_size, "leverage": params.leverage, "at_reset": AtReset(params.at_reset)}
        )
        return plan_setup(tried, price, free_usd=ZERO, **costs)

    return setup_of


def _refuse_early(space: Space, setup_of: Callable[[Params], Setup]) -> None:
    """Every value once, before the prices are read: a wrong one is not to be found after a minute's work."""
    first = next(iter(space))
    for preset in space.presets:
        setup_of(Params(first.unit_size, preset, first.leverage, first.at_reset))
    for leverage in space.leverages:
        setup_of(Params(first.unit_size, first.preset, leverage, first.at_reset))
    for at_reset in space.at_resets:
        setup_of(Params(first.unit_size, first.preset, first.leverage, at_reset))


def _stretches(recording: Stretch, folds: int) -> list[Span]:
    if not folds:
        return []
    spans = stretches(int(recording.times_ms[0]), int(recording.times_ms[-1]), folds)
    for span in spans:
        if not len(recording.between(span).times_ms):
            raise BadOptionError(f"--walk-forward is {folds}; of its stretches {span} has no prices: use fewer")
    return spans


def _search(search: Search, recording: Stretch, spans: list[Span]) -> _Found:
    """Over all the prices, then walking forward; Ctrl-C ends it with what there is."""
    found = _Found()
    folds = max(0, len(spans) - 1)
    everything = Span(int(recording.times_ms[0]), int(recording.times_ms[-1]) + 1)
    try:
        with _progress(search.runs * (1 + folds) + folds) as done_one:
            for trial in search.over(everything):
                found.trials.append(trial)
                done_one()
            for one in walk(search, spans):
                if isinstance(one, Fold):
                    found.folds.append(one)
                else:
                    done_one()
    except KeyboardInterrupt:
        found.stopped = True
    return found


@contextmanager
def _progress(runs: int) -> Iterator[Callable[[], None]]:
    """A bar on stderr, gone when it is full; on what is no terminal, nothing."""
    columns = (
        TextColumn("configurations"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("left"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True, disable=not _is_terminal()) as progress:
        bar = progress.add_task("", total=runs)
        yield lambda: progress.advance(bar)


def _is_terminal() -> bool:
    return Console(stderr=True).is_terminal


def _write(trials: list[Trial], space: Space, metric: Metric, csv: Path | None, heat_map: Path | None) -> None:
    if csv:
        _written("csv", csv, lambda: write_csv(trials, metric, csv))
    if heat_map:
        _written("heat-map", heat_map, lambda: write_heat_map(trials, space, metric, heat_map))


def _written(option: str, path: Path, write: Callable[[], None]) -> None:
    try:
        write()
    except OSError as error:
        raise BadOptionError(f"--{option} is {path}; it can't be written: {error.strerror or error}") from error


def _tell(found: _Found, space: Space, metric: Metric, top: int, as_json: bool) -> None:
    if as_json:
        answer = search_json(found.trials, found.folds, space, metric) | {"stopped": found.stopped}
        typer.echo(json.dumps(answer, allow_nan=False))
    else:
        _show(found, space, metric, top)


def _show(found: _Found, space: Space, metric: Metric, top: int) -> None:
    console = Console()
    if found.stopped:
        typer.echo(f"stopped: {len(found.trials):,} configurations of {len(space):,} are done", err=True)
    if not found.trials:
        return
    console.print(ranking_table(found.trials, metric, top))
    if not any(trial.figures for trial in found.trials):
        console.print(Text(f"none could be opened: {found.trials[0].refused}"))
    elif warning := lonely_peak(ranked(found.trials, metric)[0], found.trials, space, metric):
        console.print(Text.assemble(("warning: ", "bold yellow"), warning))
    if found.folds:
        console.print(walk_table(found.folds, metric))
        console.print(Text(walk_words(found.folds, metric)))
