"""`hypertrader portfolio`: its terms as a file or field by field, and how it stands."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from temporalio.client import Client

from activities.messages import TradeSummary
from cli import portfolios
from cli.common import AsJson, console, echo_json, run, settings
from cli.errors import BadOption, CommandFailed
from cli.portfolio_file import changed, changes, first_terms, read_terms
from cli.portfolio_schedule import next_time
from cli.portfolio_screen import changes_table, line, portfolio_screen
from cli.trade_commands import with_client
from cli.venue import Venue
from plans.files import dumped
from portfolio.terms import PortfolioTerms
from settings import Settings
from workflows.portfolio.asked import Apply
from workflows.portfolio.status import PortfolioStatus

Name = Annotated[str, typer.Option(help="Of the account, as you call it: letters, digits and dashes.")]
Yes = Annotated[bool, typer.Option("--yes", help="Don't ask.")]
Reason = Annotated[str, typer.Option(help="Kept in the journal.")]

Picture = tuple[PortfolioStatus, dict[str, TradeSummary], datetime | None]

group = typer.Typer(help="The account as a whole: shares, reserve, savings and limits.", no_args_is_help=True)


@group.command()
def new(
    file: Annotated[Path, typer.Argument(help="To be written; YAML.", metavar="FILE")],
    shares: Annotated[list[str], typer.Argument(help="As ETH=40% or BTC=0.2.", metavar="COIN=SHARE...")],
) -> None:
    """Write a first file: these shares, everything else as it is by default."""
    if file.suffix.lower() not in (".yaml", ".yml"):
        raise BadOption(f"FILE is {file}; its name must end in .yaml or .yml")
    terms = first_terms(shares)
    try:
        with file.open("x", encoding="utf-8") as out:
            out.write(dumped(terms))
    except OSError as error:
        raise BadOption(f"FILE is {file}; it can't be written: {error.strerror or error}") from error
    typer.echo(f"written to {file}; apply it with `hypertrader portfolio apply {file}`")


@group.command()
def schema() -> None:
    """JSON Schema of a portfolio's file, for editors and other programs."""
    found = {"$schema": "https://json-schema.org/draft/2020-12/schema", **PortfolioTerms.model_json_schema()}
    typer.echo(json.dumps(found, indent=2))


@group.command()
def apply(
    file: Annotated[Path, typer.Argument(help="YAML or JSON.", metavar="FILE")],
    name: Name = "main",
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    reason: Reason = "",
) -> None:
    """Have these terms hold: shows what changes, asks, and begins the portfolio if none runs."""
    asked, chosen = read_terms(file), settings()
    before = run(with_client(lambda client: portfolios.running(client, name)))
    asked = run(_with_coins_named(asked, before.terms if before else None, chosen))
    if _agreed(name, before, asked, yes=yes, dry_run=dry_run):
        typer.echo(run(with_client(lambda client: _have_hold(client, name, before, asked, reason, chosen))))


@group.command("set")
def set_(
    fields: Annotated[list[str], typer.Argument(help="As reserve_share=25% or shares.ETH=0.3; none takes away.")],
    name: Name = "main",
    yes: Yes = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")] = False,
    reason: Reason = "",
) -> None:
    """Change single fields of the terms that hold; else as `apply`."""
    chosen = settings()
    before = run(with_client(lambda client: portfolios.status(client, name)))
    asked = run(_with_coins_named(changed(before.terms, fields), before.terms, chosen))
    if _agreed(name, before, asked, yes=yes, dry_run=dry_run):
        typer.echo(run(with_client(lambda client: _have_hold(client, name, before, asked, reason, chosen))))


@group.command()
def show(
    name: Name = "main",
    as_json: AsJson = False,
    as_file: Annotated[bool, typer.Option("--file", help="Print its terms alone, as the file they can be.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Follow it until Ctrl-C.")] = False,
) -> None:
    """How it stands: equity and drawdown, every coin, reserve, savings, what is stopped and why."""
    if watch:
        run(with_client(lambda client: _follow(client, name)))
        return
    seen, trades, due = run(with_client(lambda client: look(client, name)))
    if as_json:
        echo_json(_shown(seen, trades, due))
    elif as_file:
        typer.echo(dumped(seen.terms), nl=False)
    else:
        console.print(portfolio_screen(seen, trades, due))


async def look(client: Client, name: str) -> Picture:
    """The portfolio, its trades, and when it is rebalanced next."""
    seen = await portfolios.status(client, name)
    trades = [trade for coin in seen.coins for trade in coin.trades]
    found, due = await asyncio.gather(portfolios.summaries(client, trades), next_time(client, name))
    return seen, found, due


def _shown(seen: PortfolioStatus, trades: dict[str, TradeSummary], due: datetime | None) -> dict[str, Any]:
    return {
        "portfolio": seen.model_dump(mode="json"),
        "trades": {trade: each.model_dump(mode="json") for trade, each in trades.items()},
        "next_rebalance": due.isoformat() if due else None,
    }


async def _follow(client: Client, name: str) -> None:
    # What follows prices takes its time to load.
    from cli.watch import follow, on_interrupt

    # One that is not there is refused now; one that stops answering later is waited for.
    await portfolios.status(client, name)

    async def picture() -> tuple[Any, str]:
        seen, trades, due = await look(client, name)
        return portfolio_screen(seen, trades, due), line(seen, trades)

    await follow(picture, on_interrupt())


def _agreed(name: str, before: PortfolioStatus | None, asked: PortfolioTerms, *, yes: bool, dry_run: bool) -> bool:
    """Whether the trader wants it, seeing what changes."""
    found = changes(before.terms if before else None, asked)
    if not found:
        typer.echo(f"portfolio {name} holds these terms already: version {before.terms_version if before else 1}")
        return False
    typer.echo(f"portfolio {name}, changes to version {before.terms_version}:" if before else f"portfolio {name}, new:")
    console.print(changes_table(found))
    return not dry_run and (yes or typer.confirm("apply?"))


async def _have_hold(
    client: Client, name: str, before: PortfolioStatus | None, asked: PortfolioTerms, reason: str, chosen: Settings
) -> str:
    if before is not None:
        return await portfolios.command(client, name, "apply", Apply(terms=asked, reason=reason))
    begun = await portfolios.begin(client, name, asked, chosen)
    worth = f"{begun.equity_usd:,.2f} USD, {begun.investable_usd:,.2f} of them for trades"
    return f"portfolio {name} runs for {begun.account}: {worth}"


async def _with_coins_named(asked: PortfolioTerms, before: PortfolioTerms | None, chosen: Settings) -> PortfolioTerms:
    """New coins as the exchange calls them. It is not asked for those that have a share already: limits can be changed
    while it does not answer. Raises CommandFailed."""
    known = before.shares if before is not None else {}
    if not asked.shares.keys() - known.keys():
        return asked
    async with Venue(chosen) as venue:
        names = {coin: coin if coin in known else await venue.coin_of(coin) for coin in asked.shares}
    if len(set(names.values())) < len(names):
        raise CommandFailed(f"shares names {', '.join(names)}; two of them are the same coin")
    return asked.model_copy(update={"shares": {names[coin]: share for coin, share in asked.shares.items()}})
