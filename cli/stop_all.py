"""`hypertrader stop-all`: every trade closed and latched, and the exchange's own word that the account is flat."""

import asyncio
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from cli import trades
from cli.common import AsJson, echo_json, make_state_dir, run, settings
from cli.errors import CommandFailed
from cli.history import utc
from connection import connect
from exchange.errors import ExchangeError
from exchange.gateway import HyperliquidGateway
from exchange.network import load_key
from exchange.port import AccountFacts, OpenOrder, Position
from settings import Settings
from strategy.values import plain
from workflows.contracts import FlatProof, Mode, Stop, workflow_id

ASKS_EVERY_S = 0.5
SIGNAL_TIMEOUT = timedelta(seconds=5)


class StoppedTrade(BaseModel):
    """`proof` is None while the exchange has not confirmed that the coin is flat."""

    coin: str
    mode: Mode | None = None
    proof: FlatProof | None = None
    trouble: str | None = None


class StopReport(BaseModel):
    """What was stopped, and what the account held at the end. Kept as a file in the state folder."""

    asked_at_ms: int
    trades: list[StoppedTrade]
    flat: bool
    """Every trade proved flat, and no position and no resting order in the whole account."""
    account: str
    checked_at_ms: int
    positions: tuple[Position, ...]
    resting: tuple[OpenOrder, ...]


def register(app: typer.Typer) -> None:
    app.command("stop-all")(stop_all)


def stop_all(
    reason: Annotated[str, typer.Option(help="Kept in the journal.")] = "",
    others_too: Annotated[
        bool, typer.Option("--others-too", help="Close also what the account holds outside of trades.")
    ] = False,
    wait_s: Annotated[float, typer.Option(help="How long to wait for the exchange's word.", min=1)] = 600,
    as_json: AsJson = False,
) -> None:
    """Emergency: close every trade, and order nothing for it until it is released. Exit code 0 when all is flat.

    What is asked is kept by Temporal: a trade whose worker is down stops as soon as one is back.
    """
    chosen = settings()
    report = run(_stop_all(chosen, Stop(reason=reason), others_too, wait_s))
    make_state_dir(chosen)
    file = chosen.state_dir / f"stop-all-{report.asked_at_ms}.json"
    file.write_text(report.model_dump_json(indent=1), "utf-8")
    if as_json:
        echo_json(report)
    else:
        _print(report, file)
    if not report.flat:
        raise CommandFailed(f"not everything is flat: {_left(report)}; what was asked is kept and tried on")


async def _stop_all(chosen: Settings, asked: Stop, others_too: bool, wait_s: float) -> StopReport:
    asked_at_ms = time.time_ns() // 1_000_000
    client = await connect(chosen)
    running = [trade.coin for trade in await trades.trades(client)]
    deadline_s = time.monotonic() + wait_s
    stopped = await asyncio.gather(*(_stop(client, coin, asked, deadline_s) for coin in running))
    gateway = HyperliquidGateway.connect(chosen, key=load_key(chosen))
    try:
        if others_too:
            await _close_others(gateway)
        facts = await _facts(gateway, deadline_s)
        return StopReport(
            asked_at_ms=asked_at_ms,
            trades=list(stopped),
            flat=all(trade.proof for trade in stopped) and not facts.positions and not facts.resting,
            account=gateway.account,
            checked_at_ms=facts.at_ms,
            positions=facts.positions,
            resting=facts.resting,
        )
    finally:
        await gateway.close()


async def _stop(client: Client, coin: str, asked: Stop, deadline_s: float) -> StoppedTrade:
    """Tell one trade, and wait for its proof. A signal that Temporal took is never lost; until then it is repeated."""
    told, seen = False, StoppedTrade(coin=coin)
    while time.monotonic() < deadline_s:
        try:
            if not told:
                await client.get_workflow_handle(workflow_id(coin)).signal("stop", asked, rpc_timeout=SIGNAL_TIMEOUT)
                told = True
            status = await trades.status(client, coin)
            seen = StoppedTrade(coin=coin, mode=status.mode, proof=status.flat_proof, trouble=status.attention)
            if status.mode in (Mode.STOPPED, Mode.CLOSED):
                break
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                # It ended by itself since it was listed; the account is looked at in the end.
                return seen
            seen = seen.model_copy(update={"trouble": f"Temporal: {error}"})
        except CommandFailed as error:
            seen = seen.model_copy(update={"trouble": str(error)})
        await asyncio.sleep(ASKS_EVERY_S)
    return seen


async def _close_others(gateway: HyperliquidGateway) -> None:
    """What no trade holds any more: reduce-only, at the market."""
    facts = await gateway.account_facts(since_ms=time.time_ns() // 1_000_000)
    if facts.resting:
        await gateway.cancel_orders(facts.resting)
    for position in facts.positions:
        await gateway.close_position(position.coin)


async def _facts(gateway: HyperliquidGateway, deadline_s: float) -> AccountFacts:
    while True:
        try:
            return await gateway.account_facts(since_ms=time.time_ns() // 1_000_000)
        except ExchangeError as error:
            if time.monotonic() >= deadline_s:
                raise CommandFailed(f"the exchange does not say what the account holds: {error}") from error
        await asyncio.sleep(ASKS_EVERY_S)


def _print(report: StopReport, file: Path) -> None:
    for trade in report.trades:
        if trade.proof is not None:
            proof = f"flat, as the exchange said at {utc(trade.proof.asked_at_ms)} after {trade.proof.looks} looks"
            typer.echo(f"{trade.coin}: {trade.mode}, {proof}, {trade.proof.cancelled_orders} orders cancelled")
        else:
            typer.echo(f"{trade.coin}: {trade.mode or 'not heard of'}: {trade.trouble or 'not flat yet'}")
    held = "nothing" if report.flat else _left(report)
    typer.echo(f"account {report.account} at {utc(report.checked_at_ms)}: {held} left; record: {file}")


def _left(report: StopReport) -> str:
    left = [f"{plain(position.size):+f} {position.coin}" for position in report.positions]
    left += [f"a resting order in {order.coin}" for order in report.resting]
    left += [f"the trade on {trade.coin}" for trade in report.trades if trade.proof is None]
    return ", ".join(left)
