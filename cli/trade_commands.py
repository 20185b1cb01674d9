"""`hypertrader trade`: start a trade, look at it, tell it what to do, read what happened."""

import contextlib
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.table import Table
from temporalio.client import Client

from activities.messages import Message
from cli import screen, trades
from cli.common import (
    AsJson,
    Coin,
    Trade,
    console,
    decimal_option,
    echo_json,
    ladder_option,
    make_state_dir,
    moment_option,
    run,
    settings,
)
from cli.errors import BadOption, CommandFailed, ExchangeAway
from cli.history import entry_line, orders_table
from cli.names import as_typed, known_as, trade_called
from cli.venue import Venue
from cli.watch import on_interrupt, watch
from connection import connect
from journal.store import Journal
from settings import Settings
from strategy.ladder import AtReset
from strategy.units import UnitMode
from workflows.asked import Close, Pause, Resume, SetUnitSize, workflow_id
from workflows.granting import Leave
from workflows.status import TradeStatus

T = TypeVar("T")

Reason = Annotated[str, typer.Option(help="Kept in the journal.")]
Name = Annotated[
    str | None, typer.Option(help="Of one more trade on the coin: it is called COIN-NAME then.", metavar="NAME")
]

group = typer.Typer(help="Trades: one per coin, and more by names.", no_args_is_help=True)


@group.command()
def start(
    coin: Coin,
    unit_size: Annotated[str, typer.Option(help="Price movement of one unit, USD per coin.")],
    margin: Annotated[str, typer.Option(help="Given to the trade, USD.")] = "",
    portfolio: Annotated[str, typer.Option(help="Gives the margin instead, now and at every RESET.")] = "",
    leverage: Annotated[int | None, typer.Option(help="The market's maximum when not given.")] = None,
    preset: Annotated[str, typer.Option(help="v6, v7, or a YAML or JSON file with a ladder.")] = "v6",
    unit_mode: Annotated[UnitMode, typer.Option(help="full, or grid (memoryless, for comparison).")] = UnitMode.FULL,
    at_reset: Annotated[AtReset, typer.Option(help="What a new cycle does with the size.")] = AtReset.CAP,
    name: Name = None,
    yes: Annotated[bool, typer.Option("--yes", help="Accept units smaller than 3 round trips of costs.")] = False,
    as_json: AsJson = False,
) -> None:
    """Open a trade and wait until the position is bought. What is refused leaves nothing behind."""
    if bool(margin) == bool(portfolio):
        given = (
            f"--margin is {margin} and --portfolio is {portfolio}" if margin else "--margin and --portfolio are missing"
        )
        raise BadOption(f"{given}: one of them is needed")
    opened = run(
        trades.start_trade(
            coin,
            decimal_option("--margin", margin) if margin else None,
            decimal_option("--unit-size", unit_size),
            portfolio=portfolio or None,
            leverage=leverage,
            ladder=ladder_option(preset),
            unit_mode=unit_mode,
            at_reset=at_reset,
            name=name,
            yes=yes,
            settings=settings(),
        )
    )
    _show(opened, None, as_json)


@group.command("list")
def list_(
    ended: Annotated[bool, typer.Option("--all", help="Ended ones too.")] = False, as_json: AsJson = False
) -> None:
    """Running trades."""
    found = run(with_client(lambda client: trades.trades(client, ended=ended)))
    if as_json:
        echo_json(found)
        return
    table = Table("trade", "status", "phase", "unit", "cycle", "since", "workflow", box=None, header_style="dim")
    for trade in found:
        since = f"{trade.started_at:%Y-%m-%d %H:%M}"
        cells = (trade.name, trade.mode or trade.status, trade.phase, trade.unit, trade.cycle, since, trade.workflow_id)
        table.add_row(*("" if cell is None else str(cell) for cell in cells))
    console.print(table if found else "no trade runs: open one with `hypertrader trade start`")


@group.command()
def status(
    trade: Trade,
    as_json: AsJson = False,
    svg: Annotated[Path | None, typer.Option(help="Write the picture to this file, as SVG.")] = None,
) -> None:
    """Where a trade stands: phase, units, ledger, next triggers, last orders."""
    chosen = settings()

    async def ask(client: Client) -> tuple[TradeStatus, Decimal | None]:
        async with Venue(chosen) as venue:
            name, prices = as_typed(trade), dict[str, Decimal]()
            with contextlib.suppress(ExchangeAway):
                name = await known_as(trade, venue)
                prices = await venue.mid_prices()
        seen = await trades.status(client, name)
        return seen, prices.get(seen.coin)

    seen, price = run(with_client(ask))
    if svg is not None:
        svg.write_text(screen.svg(seen, price), "utf-8")
    _show(seen, price, as_json)


@group.command("watch")
def watch_(trade: Trade) -> None:
    """Follow a trade until it ends or Ctrl-C: a live screen, or a line per change where there is no terminal."""
    chosen = settings()

    async def follow(client: Client) -> None:
        name = await trade_called(trade, chosen)
        # A trade that is not there is refused now; one that stops answering later is waited for.
        await trades.status(client, name)
        await watch(client, name, chosen, on_interrupt())

    run(with_client(follow))


@group.command()
def pause(trade: Trade, reason: Reason = "") -> None:
    """Track units without orders."""
    tell(trade, "pause", Pause(reason=reason))


@group.command()
def resume(trade: Trade, reason: Reason = "") -> None:
    """Trade on: one order takes the position to where the price is now."""
    tell(trade, "resume", Resume(reason=reason))


@group.command()
def close(trade: Trade, reason: Reason = "") -> None:
    """Close the position and end the trade; answers when the exchange is flat."""
    tell(trade, "close", Close(reason=reason))


@group.command()
def leave(
    trade: Trade,
    profit: Annotated[str, typer.Option(help="USD earned since the opening, at which it closes at once.")] = "",
    until: Annotated[str, typer.Option(help="A time such as 2027-01-31T00:00Z, at which it closes at last.")] = "",
    reason: Reason = "",
) -> None:
    """No new cycle: the trade closes at its next RESET, or when one of these comes before it."""
    profit_usd = decimal_option("--profit", profit) if profit else None
    if profit_usd is not None and profit_usd <= 0:
        raise BadOption(f"--profit is {profit}; it must be more than 0 USD")
    until_ms = moment_option("--until", until) if until else None
    tell(trade, "leave", Leave(profit_usd=profit_usd, until_ms=until_ms, reason=reason))


@group.command("set-unit-size")
def set_unit_size(
    trade: Trade, unit_size: Annotated[str, typer.Argument(help="USD per coin.")], reason: Reason = ""
) -> None:
    """A new grid at the current price; only at 100% long."""
    size = decimal_option("UNIT_SIZE", unit_size)
    if size <= 0:
        raise CommandFailed(f"unit size is {size}; it must be more than 0 USD")
    tell(trade, "set_unit_size", SetUnitSize(unit_size=size, reason=reason))


@group.command()
def history(
    trade: Trade,
    kind: Annotated[list[str] | None, typer.Option(help="Only these: decision, reset, fill, ...")] = None,
    limit: Annotated[int | None, typer.Option(help="The newest N entries.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """What happened, oldest first: from the journal, which outlives the trade."""
    chosen = settings()

    async def read(journal: Journal) -> None:
        lines = await journal.history(workflow_id(await trade_called(trade, chosen)), kinds=kind, limit=limit)
        if as_json:
            echo_json([{"trade_id": each.trade_id, **each.entry.model_dump(mode="json")} for each in lines])
            return
        for each in lines:
            typer.echo(entry_line(each.entry))
        if not lines:
            typer.echo(f"the journal has nothing of a trade on {trade}")

    run(with_journal(chosen, read))


@group.command()
def orders(trade: Trade, as_json: AsJson = False) -> None:
    """Every order: what was wanted, what came of it, how that is known, and after how many requests (asks)."""
    chosen = settings()

    async def read(journal: Journal) -> None:
        rows = await journal.orders(workflow_id(await trade_called(trade, chosen)))
        if as_json:
            echo_json(rows)
        else:
            console.print(orders_table(rows) if rows else f"the journal has no order of a trade on {trade}")

    run(with_journal(chosen, read))


def tell(trade: str, name: str, asked: Message) -> None:
    """Send a command, print its answer."""
    chosen = settings()

    async def command(client: Client) -> str:
        return await trades.command(client, await trade_called(trade, chosen), name, asked)

    typer.echo(run(with_client(command)))


async def with_client(work: Callable[[Client], Awaitable[T]]) -> T:
    return await work(await connect(settings()))


async def with_journal(chosen: Settings, work: Callable[[Journal], Awaitable[T]]) -> T:
    if chosen.journal_url is None:
        make_state_dir(chosen)
    journal = Journal(chosen.journal)
    await journal.open()
    try:
        return await work(journal)
    finally:
        await journal.close()


def _show(seen: TradeStatus, price: Decimal | None, as_json: bool) -> None:
    if as_json:
        echo_json(seen)
    else:
        console.print(screen.screen(seen, price))
