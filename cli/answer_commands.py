"""`hypertrader trade`, for a trade that needs a person: what it waits for, and the report of what it went through."""

import typer
from temporalio.client import Client

from cli import trades
from cli.common import AsJson, Trade, echo_json, run, settings
from cli.history import entry_line, utc
from cli.names import trade_called
from cli.trade_commands import Reason, group, tell, with_client, with_journal
from journal.store import Journal
from workflows.asked import Adopt, Rehedge, Release, Stop, workflow_id
from workflows.status import TradeStatus

REPORT_KINDS = ["away", "difference", "liquidation", "alert", "closed"]


def register(app: typer.Typer) -> None:
    """The whole group, with what `cli.trade_commands` has in it."""
    app.add_typer(group, name="trade")


@group.command()
def adopt(trade: Trade, reason: Reason = "") -> None:
    """In attention: begin a new cycle with what the exchange holds."""
    tell(trade, "adopt", Adopt(reason=reason))


@group.command()
def rehedge(trade: Trade, reason: Reason = "") -> None:
    """In attention: one order makes the exchange hold what the ladder wants."""
    tell(trade, "rehedge", Rehedge(reason=reason))


@group.command()
def release(trade: Trade, reason: Reason = "") -> None:
    """End the trade without an order: what the exchange holds is yours. Also ends a stopped trade."""
    tell(trade, "release", Release(reason=reason))


@group.command()
def stop(trade: Trade, reason: Reason = "") -> None:
    """Emergency: close, and never order again until released; answers when the exchange is flat."""
    tell(trade, "stop", Stop(reason=reason))


@group.command()
def report(trade: Trade, as_json: AsJson = False) -> None:
    """While you were away: outages and what they meant, differences, liquidations, the proof of a close."""
    chosen = settings()

    async def read(journal: Journal) -> list[str]:
        name = await trade_called(trade, chosen)
        lines = await journal.history(workflow_id(name), kinds=REPORT_KINDS)
        if as_json:
            echo_json([{"trade_id": each.trade_id, **each.entry.model_dump(mode="json")} for each in lines])
            return []
        return [entry_line(each.entry) for each in lines] or [f"nothing to report of a trade on {name}"]

    for line in run(with_journal(chosen, read)):
        typer.echo(line)
    if not as_json:
        typer.echo(_standing(run(with_client(lambda client: _status(client, trade)))))


async def _status(client: Client, trade: str) -> TradeStatus:
    return await trades.status(client, await trade_called(trade, settings()))


def _standing(seen: TradeStatus) -> str:
    """Where it is now, on one line."""
    if seen.attention:
        return f"now: {seen.mode}: {seen.attention}"
    if seen.flat_proof is not None:
        return f"now: {seen.mode}, flat as the exchange said at {utc(seen.flat_proof.asked_at_ms)}"
    unsettled = f"; since then {seen.unsettled}" if seen.unsettled else ""
    return f"now: {seen.mode}; exchange and ledger agreed at {utc(seen.agreed_ms)}{unsettled}"
