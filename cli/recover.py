"""`hypertrader recover --from-exchange`: with everything lost but the key and the journal, the trades go on."""

from typing import Annotated

import typer
from rich.table import Table
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.messages import orders_queue
from cli.common import AsJson, console, echo_json, run, settings
from cli.errors import BadOption
from cli.history import utc
from cli.rebuilding import Goes, Rebuilt, Survey, survey
from cli.trades import TASK_TIMEOUT
from connection import connect
from exchange.gateway import HyperliquidGateway
from exchange.network import load_keys
from journal.engine import parse_url
from journal.store import Journal
from settings import Settings
from strategy.values import plain
from workflows.contracts import TradeRecord

WORDS = {
    Goes.ON: "goes on",
    Goes.TO_ATTENTION: "needs you",
    Goes.NOWHERE: "can't be rebuilt",
    Goes.ALREADY: "runs already",
}


def register(app: typer.Typer) -> None:
    app.command("recover")(recover)


def recover(
    from_exchange: Annotated[
        bool, typer.Option("--from-exchange", help="From the journal and what the exchange has: there is no other way.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Start the trades; without it nothing is changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild the trades of the journal that nobody runs any more, compare them with the exchange, and start them.

    For when Temporal's database is lost and there is no backup of it. Shows what would be done; --yes does it. Worker,
    feed and Temporal have to run, with the former key and journal.
    """
    if not from_exchange:
        raise BadOption("recover takes --from-exchange; of a backup, use `hypertrader restore`")
    chosen = settings()
    done = run(_recover(chosen, really=yes))
    if as_json:
        echo_json(done)
        return
    _show(done, chosen)
    if not yes and any(each.record is not None for each in done.trades):
        console.print("\nnothing was changed: --yes starts them")


async def _recover(chosen: Settings, *, really: bool) -> Survey:
    keys = load_keys(chosen, make=False)
    client = await connect(chosen)
    journal, gateway = Journal(chosen.journal), HyperliquidGateway.connect(chosen, key=keys[0])
    try:
        await journal.open()
        found = await survey(journal, gateway, client, chosen.network.value, {key.address for key in keys})
    finally:
        await gateway.close()
        await journal.close()
    if really:
        for trade in found.trades:
            if trade.record is not None:
                await start(client, trade, trade.record)
    return found


async def start(client: Client, trade: Rebuilt, record: TradeRecord) -> None:
    """With what another run would have been continued with. One that was started meanwhile is left alone."""
    try:
        await client.start_workflow(
            "Trade",
            record,
            id=trade.workflow_id,
            task_queue=orders_queue(record.signer),
            task_timeout=TASK_TIMEOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"{trade.coin}, rebuilt from the journal as of {utc(trade.as_of_ms)} UTC",
        )
    except WorkflowAlreadyStartedError:
        trade.goes = Goes.ALREADY
    else:
        trade.started = True


def _show(done: Survey, chosen: Settings) -> None:
    if done.trades:
        console.print(_table(done))
    else:
        url = parse_url(chosen.journal).render_as_string(hide_password=True)
        console.print(f"{url} has no open trade of account {done.account} on {done.network}")
    for trade in done.trades:
        for line in [*trade.unresolved, trade.why]:
            if line:
                console.print(f"{trade.workflow_id}: {line}", soft_wrap=True)
    for each in done.unexplained:
        console.print(
            f"{each.coin}: the exchange holds {plain(each.size):f}, and no trade that goes on explains it "
            f"(hypertrader exchange position {each.coin})",
            soft_wrap=True,
        )
    if started := [trade.workflow_id for trade in done.trades if trade.started]:
        console.print(f"\nstarted: {', '.join(started)}; each looks at the exchange before it orders anything")


def _table(done: Survey) -> Table:
    table = Table(box=None, header_style="dim")
    for name in ("trade", "as of (UTC)", "mode", "phase", "unit", "cycle", "long", "short", "net", "exchange", ""):
        table.add_column(
            name, justify="right" if name in ("unit", "cycle", "long", "short", "net", "exchange") else "left"
        )
    for trade in done.trades:
        sizes = (trade.long, trade.short, trade.net, trade.held)
        table.add_row(
            trade.workflow_id,
            utc(trade.as_of_ms),
            trade.mode or "-",
            trade.phase or "-",
            *("-" if count is None else str(count) for count in (trade.unit, trade.cycle)),
            *("-" if size is None else f"{plain(size):f}" for size in sizes),
            WORDS[trade.goes],
        )
    return table
