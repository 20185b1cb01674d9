"""`hypertrader demo`: one whole cycle as fast as it stays right, on ports and in a folder of its own.

Every price is set when all that the one before led to is done, so the demo decides the same on any machine.
"""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from rich.table import Table
from temporalio.client import Client
from temporalio.service import RPCError

from cli import trades
from cli.common import AsJson, console, echo_json, run, settings
from cli.errors import CommandFailed
from cli.paper import control_of, fund_once, paper_account, wait_until_followed
from cli.ports import Ports
from cli.process_commands import set_up_logs
from cli.stack import Stack
from cli.venue import ControlApi
from exchange.network import KEY_VARIABLE
from journal import entries
from journal.store import Journal
from settings import Settings
from strategy.values import Phase
from workflows.asked import workflow_id
from workflows.status import TradeStatus

COIN = "ETH"
MARGIN_USD = Decimal(1000)
UNIT_SIZE = Decimal(2)
# Up to a peak at 3, a step undone on the way down, a valley five units below DECLINE, up through RESET, and a new peak.
TURNS = (3, 1, 2, -4, 1, 3, 2)
"""Lines, counted from the anchor, at which the price turns."""
BEYOND = Decimal("0.1")
"""How far past a line the price that completes it stands, in units."""
TICK = Decimal("0.1")
TO_THE_CENT = Decimal("0.01")
SETTLE_TIMEOUT_S = 60.0
POLL_S = 0.01


class DecisionView(BaseModel):
    """A decision of the trade and what its order came to. Sizes are signed, buys positive."""

    price: Decimal
    unit: int
    phase: Phase
    peak: int
    valley: int
    cycle: int
    legs: list[tuple[str, Decimal]]
    order_qty: Decimal
    order_cloid: str | None
    fill_average: Decimal | None


class ExchangeView(BaseModel):
    """The exchange's own books."""

    net_position: Decimal
    account_value: Decimal
    deposits: Decimal
    accepted_orders: int
    order_requests: int


class LedgerShown(BaseModel):
    long: Decimal
    short: Decimal
    short_entry: Decimal
    cash: Decimal
    allocation: Decimal
    equity: Decimal


class DemoResult(BaseModel):
    decisions: list[DecisionView]
    ledger: LedgerShown
    exchange: ExchangeView
    resets: int
    seconds: float
    ok: bool


def register(app: typer.Typer) -> None:
    app.command("demo")(demo)


def demo(as_json: AsJson = False) -> None:
    """Run one accelerated cycle on paper and compare our ledger with the exchange's; exit code 0 only if they agree."""
    chosen = settings()
    set_up_logs("ERROR" if chosen.log_level == "INFO" else chosen.log_level)
    # The account is the demo's own, whatever key is around.
    os.environ.pop(KEY_VARIABLE, None)
    with tempfile.TemporaryDirectory(prefix="hypertrader-demo-") as folder:
        own = Settings(state_dir=Path(folder), log_level=chosen.log_level, trace_file=chosen.trace_file)
        result = run(_demo(own))
    if as_json:
        echo_json(result)
    else:
        _print(result)
    if not result.ok:
        raise CommandFailed("the ledger and the exchange do not agree")


async def _demo(chosen: Settings) -> DemoResult:
    began_s = time.monotonic()
    async with Stack(chosen, Ports.free(), simulator_options=["--still"]) as stack:
        await fund_once(stack, MARGIN_USD)
        opened = await trades.start_trade(
            COIN, MARGIN_USD, UNIT_SIZE, yes=True, settings=stack.settings, client=stack.client
        )
        await wait_until_followed(stack.client, control_of(stack), COIN)
        seen = await drive(stack.client, control_of(stack), COIN, opened, TURNS)
        return await _compare(stack, seen, time.monotonic() - began_s)


async def drive(
    client: Client, control: ControlApi, coin: str, opened: TradeStatus, turns: Sequence[int], *, tick: Decimal = TICK
) -> TradeStatus:
    """Move the price over every line between the turns, one at a time; returns the status after the last."""
    assert opened.anchor_price is not None
    line, seen = 0, opened
    for turn in turns:
        while line != turn:
            step = 1 if turn > line else -1
            line += step
            price = price_beyond(opened.anchor_price, opened.unit_size, line, step, tick)
            await control.set_price(coin, price)
            seen = await settled(client, coin, price)
    return seen


def price_beyond(anchor: Decimal, unit_size: Decimal, line: int, step: int, tick: Decimal = TICK) -> Decimal:
    """A price on the tick that completes `line` coming from its neighbour, and no line more."""
    exact = anchor + (line + step * BEYOND) * unit_size
    return (exact / tick).to_integral_value(rounding=ROUND_CEILING if step > 0 else ROUND_FLOOR) * tick


async def settled(client: Client, coin: str, price: Decimal) -> TradeStatus:
    """The trade when it has acted on `price` and is at rest: nothing pending with Temporal but what goes on beside it.

    Waits through outages. Raises CommandFailed when it stops for attention or does not come to rest.
    """
    deadline_s = time.monotonic() + SETTLE_TIMEOUT_S
    while True:
        with contextlib.suppress(CommandFailed, RPCError):
            if (await trades.status(client, coin)).price == price and await _is_at_rest(client, coin):
                seen = await trades.status(client, coin)
                if seen.attention is None:
                    return seen
                break
        if time.monotonic() > deadline_s:
            raise CommandFailed(f"the trade on {coin} did not act on {price:f} in {SETTLE_TIMEOUT_S:.0f} s")
        await asyncio.sleep(POLL_S)
    raise CommandFailed(f"the trade on {coin} stopped at {price:f}: {seen.attention}")


BESIDE = ("track_units", "notify")
"""What goes on while a trade rests: a person who can't be told is tried for an hour."""


async def _is_at_rest(client: Client, coin: str) -> bool:
    raw = (await client.get_workflow_handle(workflow_id(coin)).describe()).raw_description
    busy = any(pending.activity_type.name not in BESIDE for pending in raw.pending_activities)
    return not busy and not raw.HasField("pending_workflow_task")


async def _compare(stack: Stack, seen: TradeStatus, seconds: float) -> DemoResult:
    assert seen.ledger is not None
    books = await control_of(stack).ledger(paper_account(stack.settings))
    exchange = ExchangeView(
        net_position=Decimal(books["positions"].get(COIN, "0")),
        account_value=Decimal(books["accountValueUsd"]),
        deposits=Decimal(books["depositsUsd"]),
        accepted_orders=len(books["acceptedOrders"]),
        order_requests=books["orderRequests"],
    )
    found = await _read_journal(stack.settings)
    intents = [entry for entry in found if isinstance(entry, entries.IntentRecord)]
    resets = sum(isinstance(entry, entries.ResetRecord) for entry in found)
    # Both valued at the same price: the last one set.
    earned = seen.ledger.equity - seen.margin_usd + seen.ledger.taken_usd
    same_value = abs((exchange.account_value - exchange.deposits) - earned) < TO_THE_CENT
    ok = (
        exchange.net_position == seen.ledger.net
        and same_value
        and resets >= 1
        and exchange.accepted_orders == exchange.order_requests == len(intents)
    )
    return DemoResult(
        decisions=_decisions(found),
        ledger=LedgerShown.model_validate(seen.ledger.model_dump(exclude={"net", "price"})),
        exchange=exchange,
        resets=resets,
        seconds=round(seconds, 1),
        ok=ok,
    )


async def _read_journal(chosen: Settings) -> list[entries.Entry]:
    journal = Journal(chosen.journal)
    await journal.open()
    try:
        return [line.entry for line in await journal.history(workflow_id(COIN))]
    finally:
        await journal.close()


def _decisions(found: Sequence[entries.Entry]) -> list[DecisionView]:
    averages = {entry.cloid: entry.average_price for entry in found if isinstance(entry, entries.OutcomeRecord)}
    return [
        DecisionView(
            **entry.model_dump(include={"price", "unit", "phase", "peak", "valley", "cycle", "order_qty"}),
            legs=[(leg.action.value, leg.qty) for leg in entry.legs],
            order_cloid=entry.cloid,
            fill_average=averages.get(entry.cloid or ""),
        )
        for entry in found
        if isinstance(entry, entries.Decision)
    ]


def _print(result: DemoResult) -> None:
    table = Table("price", "unit", "phase", "peak", "valley", "cycle", "legs", "order", "filled at", box=None)
    for each in result.decisions:
        cells: list[Any] = [f"{each.price:f}", each.unit, each.phase.value, each.peak, each.valley, each.cycle]
        cells.append(", ".join(f"{action} {qty:.4f}" for action, qty in each.legs))
        cells.append(f"{each.order_qty:+.4f}" if each.order_cloid else "")
        cells.append(f"{each.fill_average:.2f}" if each.fill_average is not None else "")
        table.add_row(*map(str, cells))
    console.print(table)
    ledger, exchange = result.ledger, result.exchange
    console.print(
        f"ledger    long {ledger.long:f} short {ledger.short:f} cash {ledger.cash:.2f} equity {ledger.equity:.2f}"
    )
    console.print(
        f"exchange  net {exchange.net_position:f} account value {exchange.account_value:.2f}, "
        f"{exchange.accepted_orders} orders accepted of {exchange.order_requests} sent"
    )
    console.print(f"{'agree' if result.ok else 'DIFFER'}, {result.resets} RESET, {result.seconds} s")
