"""`hypertrader stop-all`: every trade closed and latched, and the exchange's own word that the account is flat."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import typer
from pydantic import BaseModel
from temporalio.service import RPCError

from cli import durable_stop, leftovers
from cli.common import AsJson, echo_json, make_state_dir, run, settings
from cli.durable_stop import DurableStop
from cli.errors import CommandFailed
from cli.history import utc
from cli.stopping import StoppedTrade, stop_trades
from cli.venue import Holdings, Venue
from connection import TemporalUnreachable, connect
from exchange.network import SetupRefused, load_key
from exchange.signing import PrivateKey
from settings import Settings
from strategy.values import plain
from workflows.asked import Stop
from workflows.portfolio.asked import EmergencyStop

DURABLE_GRACE_S = 5.0
"""For the workflow's own proof, when ours is there."""


class AccountAtEnd(BaseModel):
    """What an account held when all was done; `held` is None if the exchange could not be asked: see `trouble`."""

    account: str
    held: Holdings | None = None
    not_closed: dict[str, str] = {}
    """With --others-too: why a coin is left, as far as the exchange said."""
    trouble: str | None = None

    def not_closed_because(self, why: str) -> "AccountAtEnd":
        coins = self.held.coins if self.held else []
        return self.model_copy(update={"not_closed": dict.fromkeys(coins, why)})


class StopReport(BaseModel):
    """What was stopped, and what the accounts held at the end. Kept as a file in the state folder."""

    asked_at_ms: int
    trades: list[StoppedTrade]
    accounts: list[AccountAtEnd]
    durable: list[DurableStop]
    """What stops them beside this command, and goes on when it is gone: portfolios, or a workflow of its own."""
    troubles: list[str]
    """What could not be asked, or not be done."""
    flat: bool
    """Every trade is proved flat or over, no account has a position or a resting order, nothing was left unasked."""


def register(app: typer.Typer) -> None:
    app.command("stop-all")(stop_all)


def stop_all(
    reason: Annotated[str, typer.Option(help="Kept in the journal.")] = "",
    others_too: Annotated[
        bool, typer.Option("--others-too", help="Close also what the account holds outside of trades; takes the key.")
    ] = False,
    wait_s: Annotated[float, typer.Option(help="How long to wait for the exchange's word.", min=1)] = 600,
    as_json: AsJson = False,
) -> None:
    """Emergency: close every trade, and order nothing for it until it is released. Exit code 0 when all is flat.

    What is asked is kept by Temporal: a trade whose worker is down stops as soon as one is back. A portfolio that runs
    begins nothing until it is released.
    """
    chosen = settings()
    report = run(_stop_all(chosen, Stop(reason=reason), others_too, wait_s))
    record = _keep(report, chosen)
    if as_json:
        echo_json(report)
    else:
        _print(report, record)
    if not report.flat:
        unsettled = any(not trade.proof and not trade.ended for trade in report.trades)
        kept = "; what the trades were told is kept and tried on" if unsettled else ""
        raise CommandFailed(f"not everything is known to be flat: {'; '.join(_left(report))}{kept}")


async def _stop_all(chosen: Settings, asked: Stop, others_too: bool, wait_s: float) -> StopReport:
    asked_at_ms, deadline_s = time.time_ns() // 1_000_000, time.monotonic() + wait_s
    key, no_key = _key(chosen)
    if others_too and no_key:
        _say(f"what no trade holds can be closed by the worker alone: {no_key}")
    # Whatever else is amiss, the trades are told first.
    stopped, told = await asyncio.gather(
        stop_trades(chosen, asked, deadline_s, _say),
        durable_stop.tell_until_taken(chosen, EmergencyStop(everything=others_too, reason=asked.reason), deadline_s),
    )
    if others_too and no_key:
        told = await _heard(chosen, told, deadline_s)
    troubles = [stopped.trouble] if stopped.trouble else []
    addresses = _addresses(chosen, key, stopped.trades)
    if not addresses:
        troubles.append(
            f"no account was looked at: no trade names one, HYPERTRADER_ACCOUNT is not set, and {no_key or 'no key'}"
        )
    at_end = [await _account_at_end(chosen, each, key if others_too else None, deadline_s) for each in addresses]
    if others_too and no_key:
        at_end = [each.not_closed_because(no_key) for each in at_end]
    looked_at = {each.account for each in at_end if each.held is not None}
    troubles += _unsettled(stopped.trades, looked_at, chosen)
    flat = not troubles and all(each.held is not None and not each.held.coins for each in at_end)
    return StopReport(
        asked_at_ms=asked_at_ms,
        trades=list(stopped.trades),
        accounts=at_end,
        durable=await _heard(chosen, told, time.monotonic() + DURABLE_GRACE_S, is_done=flat),
        troubles=troubles,
        flat=flat,
    )


async def _heard(
    chosen: Settings, told: Sequence[DurableStop], deadline_s: float, *, is_done: bool = False
) -> list[DurableStop]:
    """How far each is, as long as Temporal says it; with `is_done` nothing goes on afterwards."""
    if not told:
        return []
    try:
        client = await connect(chosen)
        seen = await durable_stop.until_flat(client, told, deadline_s)
        if is_done:
            await durable_stop.end_what_waits(client, seen)
    except (TemporalUnreachable, RPCError) as error:
        _say(f"{', '.join(each.workflow_id for each in told)} was told, and not heard of again: {error}")
        return list(told)
    return seen


def _key(chosen: Settings) -> tuple[PrivateKey | None, str | None]:
    """The key, or why there is none. On paper none is made: a new one's account is not the trades'."""
    try:
        return load_key(chosen, make=False), None
    except SetupRefused as error:
        return None, str(error)


def _addresses(chosen: Settings, key: PrivateKey | None, stopped: Iterable[StoppedTrade]) -> list[str]:
    """Whose positions are traded: the trades know it. Without any, it is the one a trade would be opened for."""
    found = {trade.account for trade in stopped if trade.account and trade.network == chosen.network}
    if chosen.account:
        found.add(chosen.account)
    elif not found and key is not None:
        found.add(key.address)
    return sorted(found)


async def _account_at_end(chosen: Settings, account: str, key: PrivateKey | None, deadline_s: float) -> AccountAtEnd:
    """After what was asked: with a key all that is left there is closed first."""
    not_closed: dict[str, str] = {}
    try:
        async with Venue(chosen) as venue:
            if key is not None:
                not_closed = await leftovers.close_leftovers(chosen, key, venue, account, deadline_s)
            held = await leftovers.holdings(venue, account, deadline_s)
    except (CommandFailed, SetupRefused) as error:
        return AccountAtEnd(account=account, trouble=str(error))
    return AccountAtEnd(account=account, held=held, not_closed=not_closed)


def _unsettled(stopped: Iterable[StoppedTrade], looked_at: set[str], chosen: Settings) -> Iterator[str]:
    """Trades of which nobody said that they are flat. For one that is over, its account says it."""
    for trade in stopped:
        elsewhere = f": it is on {trade.network}, this command on {chosen.network} (HYPERTRADER_NETWORK)"
        hint = elsewhere if trade.network not in ("", chosen.network) else ""
        if trade.proof is None and not trade.ended:
            yield f"the trade on {trade.name} is not flat yet: {trade.trouble or trade.mode or 'it did not answer'}"
        elif trade.proof is None and not trade.never_ordered and (hint or trade.account not in looked_at):
            yield f"the trade on {trade.name} is over, and its account was not looked at{hint}"


def _keep(report: StopReport, chosen: Settings) -> str:
    """The record's place; a folder that can't be written takes nothing else away."""
    file = chosen.state_dir / f"stop-all-{report.asked_at_ms}.json"
    try:
        make_state_dir(chosen)
        file.write_text(report.model_dump_json(indent=1), "utf-8")
    except OSError as error:
        _say(f"no record was kept in {file}: {error.strerror}")
        return "none"
    return str(file)


def _print(report: StopReport, record: str) -> None:
    for trade in report.trades:
        if trade.proof is not None:
            proof = f"flat, as the exchange said at {utc(trade.proof.asked_at_ms)} after {trade.proof.looks} looks"
            typer.echo(f"{trade.name}: {trade.mode}, {proof}, {trade.proof.cancelled_orders} orders cancelled")
        else:
            word = "ended by itself" if trade.ended else trade.mode or "not heard of"
            typer.echo(f"{trade.name}: {word}: {trade.trouble or 'see the account'}")
    for each in report.accounts:
        if each.held is not None:
            left = ", ".join(_held(each.held)) or "nothing"
            typer.echo(f"account {each.account} at {utc(each.held.at_ms)}: {left} left")
            spot = ", ".join(sorted({order.coin for order in each.held.spot_resting}))
            if spot:
                typer.echo(f"account {each.account}: spot orders rest in {spot}; they move no perpetual: left alone")
    for told in report.durable:
        typer.echo(f"{told.workflow_id}: {_heard_of(told)}")
    typer.echo(f"record: {record}")


def _heard_of(told: DurableStop) -> str:
    proof = told.latch.proof if told.latch else None
    word = f"flat, {proof.words}" if proof else (told.latch.trouble if told.latch else None) or "no proof yet"
    return f"{word}; it begins nothing until `hypertrader portfolio release`" if told.is_portfolio else word


def _left(report: StopReport) -> Iterator[str]:
    for each in report.accounts:
        if each.held is None:
            yield f"account {each.account} could not be looked at: {each.trouble}"
            continue
        yield from _held(each.held)
        yield from (f"{coin} could not be closed: {why}" for coin, why in each.not_closed.items())
    yield from report.troubles


def _held(held: Holdings) -> Iterator[str]:
    yield from (f"{plain(position.size):+f} {position.coin}" for position in held.positions)
    yield from (f"a resting order in {order.coin}" for order in held.resting)


def _say(text: str) -> None:
    """At once, and beside the report."""
    typer.echo(text, err=True)
