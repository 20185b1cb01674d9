"""`hypertrader portfolio`, for what it does: rebalance, save, leave a coin, stop, and begin again."""

import time
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import typer
from temporalio.client import Client

from activities.messages import Message
from cli import durable_stop, portfolio_schedule, portfolios
from cli.common import console, decimal_option, moment_option, run, settings
from cli.durable_stop import DurableStop
from cli.errors import BadOption, CommandFailed
from cli.history import utc
from cli.names import trade_called
from cli.portfolio_commands import Name, Reason, group
from cli.portfolio_screen import plan_table
from cli.trade_commands import with_client
from workflows.granting import portfolio_id
from workflows.portfolio.asked import EmergencyStop, End, Exit, Rebalance, ReleaseAll, Skim


class Every(StrEnum):
    WEEKLY = "weekly"
    DAILY = "daily"
    OFF = "off"


def register(app: typer.Typer) -> None:
    """The whole group, with what `cli.portfolio_commands` has in it."""
    app.add_typer(group, name="portfolio")


@group.command()
def rebalance(
    name: Name = "main",
    now: Annotated[
        bool, typer.Option("--now", help="End the cycles where they are; else each waits until it is 100% long.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; without, only what would be done is shown.")] = False,
    reason: Reason = "",
) -> None:
    """Bring the coins back to their shares: those that are off by more than the band."""

    async def plan(client: Client) -> bool:
        seen = await portfolios.status(client, name)
        trades = await portfolios.summaries(client, list(seen.book.allocations))
        found = portfolios.planned(seen, trades)
        if found:
            console.print(plan_table(found, trades, now=now))
        else:
            typer.echo(f"every coin is within {100 * seen.terms.band:f}% of its share: nothing is to be done")
        silent = seen.book.allocations.keys() - trades.keys()
        if silent:
            typer.echo(f"left out, since they don't answer: {', '.join(sorted(silent))}")
        return bool(found)

    if not run(with_client(plan)):
        return
    if yes:
        _tell(name, "rebalance", Rebalance(now=now, reason=reason))
    else:
        typer.echo("nothing was done: --yes does it")


@group.command()
def schedule(
    every: Annotated[Every, typer.Argument(help="weekly, daily or off.", show_default=False)],
    at: Annotated[str, typer.Option(help='UTC: "mon 06:00", or "06:00" for daily.')] = "",
    name: Name = "main",
) -> None:
    """Rebalance by itself, or no longer: kept by Temporal, whatever runs here."""
    chosen = settings()
    if every is Every.OFF:
        was = run(with_client(lambda client: portfolio_schedule.drop(client, name)))
        typer.echo(f"portfolio {name} is rebalanced by hand alone{'' if was else ', as it was'}")
        return
    when = portfolio_schedule.calendar(every.value, at or ("mon 06:00" if every is Every.WEEKLY else "06:00"))

    async def keep(client: Client) -> datetime | None:
        # One that does not run can't be rebalanced: said now, and not every week.
        await portfolios.status(client, name)
        await portfolio_schedule.keep(client, name, chosen.network.value, when)
        return await portfolio_schedule.next_time(client, name)

    due = run(with_client(keep))
    typer.echo(
        f"portfolio {name} is rebalanced {when.comment} UTC" + (f", next {due:%a %Y-%m-%d %H:%M}" if due else "")
    )


@group.command()
def skim(
    usd: Annotated[str, typer.Argument(help="Of what no trade has.", metavar="USD")],
    coin: Annotated[str, typer.Option(help="To buy; the terms' savings_coin when not given.")] = "",
    name: Name = "main",
    reason: Reason = "",
) -> None:
    """Put free money into savings, beside what profits bring."""
    amount = decimal_option("USD", usd)
    if amount <= 0:
        raise BadOption(f"USD is {usd}; it must be more than 0")
    named = run(trade_called(coin, settings())) if coin else None
    _tell(name, "skim", Skim(usd=amount, coin=named, reason=reason))


@group.command("exit")
def exit_(
    coin: Annotated[str, typer.Argument(metavar="COIN")],
    now: Annotated[bool, typer.Option("--now", help="Close its trades at once.")] = False,
    profit: Annotated[str, typer.Option(help="Close each once it has earned so much, USD.")] = "",
    until: Annotated[str, typer.Option(help="A time such as 2027-01-31T00:00Z, at which they close at last.")] = "",
    name: Name = "main",
    reason: Reason = "",
) -> None:
    """Leave a coin: its trades begin no new cycle, and close at their next RESET."""
    if now and (profit or until):
        raise BadOption("--now closes at once; --profit and --until are for an exit that waits")
    asked = Exit(
        coin=run(trade_called(coin, settings())),
        now=now,
        profit_usd=_profit(profit) if profit else None,
        until_ms=moment_option("--until", until) if until else None,
        reason=reason,
    )
    _tell(name, "exit", asked)


@group.command("stop-all")
def stop_all(
    name: Name = "main",
    everything: Annotated[bool, typer.Option("--everything", help="Close also what no trade here holds.")] = False,
    wait_s: Annotated[float, typer.Option(help="How long to wait for the exchange's word.", min=1)] = 120,
    reason: Reason = "",
) -> None:
    """Emergency: close every trade, begin none until released. Exit code 0 when the exchange says that all is flat."""

    async def stop(client: Client) -> list[DurableStop]:
        await portfolios.tell_to_stop(client, name, EmergencyStop(everything=everything, reason=reason))
        told = [DurableStop(workflow_id=portfolio_id(name))]
        return await durable_stop.until_flat(client, told, time.monotonic() + wait_s)

    show_stopped(run(with_client(stop)))
    typer.echo(f"nothing begins before `hypertrader portfolio release --name {name} --reason ...`")


@group.command()
def release(
    reason: Annotated[str, typer.Option(help="Kept in the journal.")],
    old_high: Annotated[
        bool, typer.Option("--old-high", help="Measure drawdown from the old high on, not from today's equity.")
    ] = False,
    name: Name = "main",
) -> None:
    """A person has looked: trades may begin again, and limits that were broken count anew."""
    if not reason.strip():
        raise BadOption("--reason is empty; say what was looked at")
    _tell(name, "release", ReleaseAll(reason=reason, new_high=not old_high))


@group.command()
def end(name: Name = "main", reason: Reason = "") -> None:
    """End it: the account is traded without a portfolio. For one that has no trade; see `exit`."""

    async def finish(client: Client) -> str:
        answer = await portfolios.command(client, name, "end", End(reason=reason))
        await portfolio_schedule.drop(client, name)
        return answer

    typer.echo(run(with_client(finish)))


def show_stopped(told: list[DurableStop]) -> None:
    """The proof of each. Raises CommandFailed for what is not flat yet."""
    for each in told:
        proof = each.latch.proof if each.latch is not None else None
        if proof is None:
            why = (each.latch and each.latch.trouble) or "it did not answer: is `hypertrader worker` running?"
            raise CommandFailed(f"{each.workflow_id} has no proof yet that all is flat: {why}; it is kept and tried on")
        typer.echo(f"{each.workflow_id}: flat, as the exchange said at {utc(proof.at_ms)} after {proof.looks} looks")
        for trade in proof.trades:
            typer.echo(f"  {trade.workflow_id}: {trade.mode}, {trade.pnl_usd:+,.2f} USD since its opening")
        if proof.left.coins:
            typer.echo(f"  no trade here holds {', '.join(proof.left.coins)}: left alone without --everything")


def _tell(name: str, update: str, message: Message) -> None:
    typer.echo(run(with_client(lambda client: portfolios.command(client, name, update, message))))


def _profit(text: str) -> Decimal:
    profit = decimal_option("--profit", text)
    if profit <= 0:
        raise BadOption(f"--profit is {text}; it must be more than 0 USD")
    return profit
