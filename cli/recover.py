"""`hypertrader recover --from-exchange`: with everything lost but the key and the journal, all goes on."""

from typing import Annotated

import typer
from temporalio.client import Client
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from activities.messages import TRADES_QUEUE, orders_queue
from cli.common import AsJson, console, echo_json, run, settings
from cli.errors import BadOption
from cli.history import utc
from cli.portfolios import tell_to_stop
from cli.rebuilding import survey
from cli.rebuilt import Found, Goes, Rebuilt, RebuiltPortfolio, Survey
from cli.recover_screen import show
from cli.trades import TASK_TIMEOUT
from connection import connect
from exchange.gateway import HyperliquidGateway
from exchange.network import load_keys
from journal.store import Journal
from settings import Settings
from workflows.contracts import TradeRecord
from workflows.portfolio.asked import EmergencyStop
from workflows.portfolio.record import PortfolioRecord


def register(app: typer.Typer) -> None:
    app.command("recover")(recover)


def recover(
    from_exchange: Annotated[
        bool, typer.Option("--from-exchange", help="From the journal and what the exchange has: there is no other way.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Start them; without it nothing is changed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Rebuild portfolio and trades of the journal that nobody runs any more, compare with the exchange, start them.

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
    show(done, chosen)
    if not yes and any(each.goes in (Goes.ON, Goes.TO_ATTENTION) for each in (*done.portfolios, *done.trades)):
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
        await start_all(client, found)
    return found


async def start_all(client: Client, found: Survey) -> None:
    """The portfolio first: a trade tells it what it asks, and tells of its end but once."""
    for portfolio in found.portfolios:
        if portfolio.record is not None:
            await start_portfolio(client, portfolio, portfolio.record)
    for trade in found.trades:
        if trade.record is not None:
            await start(client, trade, trade.record)
    for portfolio in found.portfolios:
        if portfolio.started and portfolio.stopped:
            # Now that all are there: none of them may have missed it.
            await tell_to_stop(client, portfolio.name, EmergencyStop(reason="its trades are rebuilt"))


async def start_portfolio(client: Client, portfolio: RebuiltPortfolio, record: PortfolioRecord) -> None:
    """As `start`."""
    await _start(client, "Portfolio", portfolio, record, TRADES_QUEUE, f"portfolio {portfolio.name}")


async def start(client: Client, trade: Rebuilt, record: TradeRecord) -> None:
    """With what another run would have been continued with. One that was started meanwhile is left alone."""
    await _start(client, "Trade", trade, record, orders_queue(record.signer), trade.coin)


async def _start(
    client: Client,
    workflow: str,
    found: Found,
    record: TradeRecord | PortfolioRecord,
    queue: str,
    what: str,
) -> None:
    try:
        await client.start_workflow(
            workflow,
            record,
            id=found.workflow_id,
            task_queue=queue,
            task_timeout=TASK_TIMEOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=f"{what}, rebuilt from the journal as of {utc(found.as_of_ms)} UTC",
        )
    except WorkflowAlreadyStartedError:
        found.goes = Goes.ALREADY
    else:
        found.started = True
