"""`hypertrader drill`: what must work on a bad day, tried on a good one, with paper money."""

import time
from typing import Annotated

import typer
from temporalio.client import Client

from cli import durable_stop, portfolios, trades
from cli.common import run, settings
from cli.durable_stop import DurableStop
from cli.errors import CommandFailed
from cli.portfolio_acts import show_stopped
from cli.trade_commands import with_client
from settings import Network
from workflows.granting import portfolio_id
from workflows.portfolio.asked import EmergencyStop

REASON = "drill"

group = typer.Typer(help="Drills, on paper only.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    app.add_typer(group, name="drill")


@group.callback()
def drills() -> None:
    """Drills, on paper only."""


@group.command("emergency-stop")
def emergency_stop(
    yes: Annotated[bool, typer.Option("--yes", help="Don't ask.")] = False,
    wait_s: Annotated[float, typer.Option(help="How long to wait for the exchange's word.", min=1)] = 120,
) -> None:
    """Stop everything for real on the paper stack that runs, and see how long it takes to be flat."""
    chosen = settings()
    if chosen.network is not Network.PAPER:
        raise CommandFailed(f"network is {chosen.network.value}; drills are for paper: `hypertrader stop-all` is real")
    names, held = run(with_client(_scene))
    typer.echo(f"every trade on paper is closed and latched, as in an emergency: {', '.join(names) or 'none runs'}")
    typer.echo(f"told by Temporal alone: {', '.join(held) or durable_stop.OWN_ID}")
    if not yes:
        typer.confirm("begin the drill?", abort=True)
    began_s = time.monotonic()
    told = run(with_client(lambda client: _stopped(client, chosen.network.value, began_s + wait_s)))
    took_s = time.monotonic() - began_s
    show_stopped(told)
    typer.echo(f"flat {took_s:.1f} s after the word")
    for line in _ways_back(names, held):
        typer.echo(line)


async def _scene(client: Client) -> tuple[list[str], list[str]]:
    """Trades that run, and portfolios."""
    return sorted(await trades.names_running(client)), await portfolios.ids_running(client)


async def _stopped(client: Client, network: str, deadline_s: float) -> list[DurableStop]:
    told = await durable_stop.tell(client, EmergencyStop(reason=REASON), network)
    return await durable_stop.until_flat(client, told, deadline_s)


def _ways_back(names: list[str], held: list[str]) -> list[str]:
    portfolios_of = [each.removeprefix(portfolio_id("")) for each in held]
    released = [f"portfolio release --name {name} --reason {REASON}" for name in portfolios_of]
    return [f"release it: hypertrader {words}" for words in [*released, *(f"trade release {name}" for name in names)]]
