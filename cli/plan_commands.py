"""`hypertrader plan`: write a plan, check it, and see what it would do before anything is bought."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.common import AsJson, console, decimal_option, echo_json, make_state_dir, run, settings
from cli.errors import BadOption, CommandFailed
from cli.plan_market import EXPECTED_SLIPPAGE_BPS, Market, free_usd, market_of, previewed
from cli.plan_questions import COIN, NAME, QUESTIONS, Interview
from cli.plan_screen import plan_screen
from plans.files import ENDINGS, BadPlanError, dumped, read_plan, schema
from plans.plan import TradingPlan
from plans.preview import Preview
from plans.store import PlanStore
from settings import Settings

PlanName = Annotated[str, typer.Argument(help="A plan that is kept, or a YAML or JSON file.", metavar="PLAN")]
Price = Annotated[str, typer.Option(help="USD per coin; the exchange is asked for it when not given.")]
High = Annotated[str, typer.Option(help="Of a Fibonacci hedge: how far it rises first.")]
Free = Annotated[
    str,
    typer.Option(help="What the account has free, or a portfolio gives, USD; the exchange is asked when it matters."),
]
Version = Annotated[int | None, typer.Option(help="The newest when not given.")]

group = typer.Typer(help="Trading plans: what to trade, how large, and what would happen.", no_args_is_help=True)


@group.command()
def new(
    context: typer.Context,
    name: Annotated[str, typer.Option(help="Lower case letters, digits and hyphens.")] = "",
    coin: Annotated[str, typer.Option(help="The exchange's name of a coin.")] = "",
    strategy: Annotated[str, typer.Option(help="v6, v7, fibonacci, or a YAML or JSON file of one.")] = "",
    leverage: Annotated[str, typer.Option(help="Whole number.")] = "",
    unit_size: Annotated[str, typer.Option(help="USD of price to a unit.")] = "",
    size: Annotated[
        str, typer.Option(help='USD of margin; or "notional 3000", "risk 50", "share 0.2", "portfolio main".')
    ] = "",
    entry: Annotated[str, typer.Option(help="now, a price, or a rise of units such as +5.")] = "",
    take_profit: Annotated[str, typer.Option(help="As a share of the margin, or none.")] = "",
    stop_price: Annotated[str, typer.Option(help="USD per coin, or none.")] = "",
    expires: Annotated[str, typer.Option(help="A time such as 2027-01-31T00:00Z, or none.")] = "",
    max_drawdown: Annotated[str, typer.Option(help="As a share of the highest equity, off, or none.")] = "",
    max_loss: Annotated[str, typer.Option(help="USD, or none.")] = "",
    max_position: Annotated[str, typer.Option(help="USD of notional, or none.")] = "",
    max_orders: Annotated[str, typer.Option(help="A day, or none.")] = "",
    backstop: Annotated[str, typer.Option(help="As a share of the price beyond the last level, or none.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Accept units that costs eat up.")] = False,
    defaults: Annotated[
        bool, typer.Option("--defaults", help="Ask nothing: the default of what is not given.")
    ] = False,
    price: Price = "",
    high: High = "",
    free: Free = "",
    output: Annotated[Path | None, typer.Option(help="Write it to this file instead of keeping it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Write a plan step by step, and see what would happen at each level."""
    given = {name.replace("_", "-"): value for name, value in context.params.items() if value}
    chosen, at = settings(), _price(price)
    interview = Interview(given, ask=not defaults)
    interview.set(accepts_costs=yes)
    interview.put(NAME)
    market = _market_of_the_coin(interview, at, chosen)
    for question in QUESTIONS:
        interview.put(question, market)
    plan = interview.plan()
    kept = _written(plan, output) if output else store_of(chosen, make=True).save(plan)
    if not as_json:
        where = f"written to {output}" if output else f"kept as version {kept.version}"
        console.print(f"{where}; see it again with `hypertrader plan show {output or kept.name}`\n")
    _show(kept, _seen(kept, market, high, free, chosen), market, as_json)


@group.command()
def show(
    plan: PlanName,
    version: Version = None,
    price: Price = "",
    high: High = "",
    free: Free = "",
    as_json: AsJson = False,
) -> None:
    """What a plan says, and what it would do at each level. A plan that waits for a price is shown at that price."""
    chosen, found = settings(), plan_named(plan, version)
    market = run(market_of(found.coin, _price(price), chosen))
    if not price and found.entry.price is not None:
        market = market.model_copy(update={"price": found.entry.price})
    _show(found, _seen(found, market, high, free, chosen), market, as_json)


@group.command()
def validate(
    file: Annotated[Path, typer.Argument(help="A YAML or JSON file.", metavar="FILE")], as_json: AsJson = False
) -> None:
    """Say ok, or what is wrong with each field; exit code 1 then."""
    try:
        plan = read_plan(file)
    except BadPlanError as error:
        if not as_json:
            raise
        echo_json({"ok": False, "error": str(error)})
        raise typer.Exit(1) from error
    if as_json:
        echo_json({"ok": True, "plan": plan.model_dump(mode="json")})
    else:
        typer.echo("ok")


@group.command("schema")
def schema_() -> None:
    """JSON Schema of a plan, for editors and other programs."""
    typer.echo(json.dumps(schema(), indent=2))


@group.command("list")
def list_(as_json: AsJson = False) -> None:
    """The plans that are kept, with their versions."""
    store = store_of(settings())
    plans = [store.read(name) for name in store.names()]
    if as_json:
        echo_json([_listed(plan, store.versions(plan.name)) for plan in plans])
        return
    table = Table("plan", "version", "coin", "strategy", "leverage", "unit", box=None, header_style="dim")
    for plan in plans:
        cells = (plan.name, plan.version, plan.coin, plan.ladder.name, f"{plan.leverage}x", f"{plan.unit_size:f}")
        table.add_row(*map(str, cells))
    console.print(table if plans else "no plan is kept: write one with `hypertrader plan new`")


def _listed(plan: TradingPlan, versions: list[int]) -> dict[str, Any]:
    return {"name": plan.name, "versions": versions, "coin": plan.coin, "strategy": plan.ladder.name}


def _market_of_the_coin(interview: Interview, price: Decimal | None, chosen: Settings) -> Market:
    """Of a coin that the exchange lists; any, where it isn't asked."""
    while True:
        coin = interview.put(COIN)
        try:
            market = run(market_of(coin, price, chosen))
        except CommandFailed as error:
            if " is not traded on " not in str(error):
                raise
            interview.again(COIN, error)
            continue
        interview.set(coin=market.coin)
        return market


def plan_named(name: str, version: int | None) -> TradingPlan:
    if not name.lower().endswith(ENDINGS):
        return store_of(settings()).read(name, version)
    if version is not None:
        raise BadOption(f"--version is {version}; a file has but one")
    return read_plan(Path(name))


def store_of(chosen: Settings, *, make: bool = False) -> PlanStore:
    if make:
        make_state_dir(chosen)
    return PlanStore(chosen.state_dir / "plans")


def _written(plan: TradingPlan, path: Path) -> TradingPlan:
    if path.suffix.lower() not in (".yaml", ".yml"):
        raise BadOption(f"--output is {path}; its name must end in .yaml or .yml")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(dumped(plan))
    except OSError as error:
        raise BadOption(f"--output is {path}; it can't be written: {error.strerror or error}") from error
    return plan


def _price(text: str) -> Decimal | None:
    return decimal_option("--price", text) if text else None


def _seen(plan: TradingPlan, market: Market, high: str, free: str, chosen: Settings) -> Preview:
    free_now = run(free_usd(plan, decimal_option("--free", free) if free else None, chosen))
    high_price = decimal_option("--high", high) if high else None
    return previewed(plan, market, free_now, slippage_bps=EXPECTED_SLIPPAGE_BPS, high_price=high_price)


def _show(plan: TradingPlan, seen: Preview, market: Market, as_json: bool) -> None:
    if as_json:
        echo_json({"plan": plan.model_dump(mode="json"), "preview": seen.model_dump(mode="json")})
    else:
        console.print(plan_screen(plan, seen, market.source))
