"""Trades, as programs handle them: start one and wait until it is open, ask it, tell it, list them.

`trade` is what it is called: ETH, or ETH-hedge for one with a name.

Every function raises CommandFailed (one line, with what to do) for what a person can do something about.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from pydantic import BaseModel
from temporalio.client import (
    Client,
    WorkflowExecution,
    WorkflowExecutionStatus,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
    WorkflowUpdateRPCTimeoutOrCancelledError,
)
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import TRADES_QUEUE, Message, trade_name
from cli.errors import CommandFailed, CommandRefused
from cli.names import checked_name
from cli.opening import refusal, wait_until_open
from cli.venue import Venue
from connection import connect
from plans.plan import TradingPlan
from settings import Settings
from strategy.ladder import V6, AtReset, Ladder
from strategy.units import UnitMode
from workflows.asked import Edit, TradeInput, workflow_id
from workflows.contracts import Mode, TradeRecord
from workflows.status import ASK_AGAIN, TradeStatus

Number = Decimal | int | str

ANSWER_TIMEOUT_S = 15.0
TASK_TIMEOUT = timedelta(seconds=3)
"""So long a trade waits for a worker that died with its task in hand."""
ASK_TIMEOUT_S = 3.0
"""Of one question, of all that are asked within the other."""
ASKS_AGAIN_AFTER_S = 0.1
CLOSE_TIMEOUT_S = 120.0
LIST_TIMEOUT = timedelta(seconds=5)
SLOW = ("close", "stop", "adopt", "rehedge", "release")
"""Commands that ask the exchange before they answer."""
_RUNNING = "ExecutionStatus = 'Running'"
_ALL = "ExecutionStatus != 'ContinuedAsNew' AND ExecutionStatus != 'Failed'"
"""Only an opening ever fails, and a run that was continued has a newer one."""
_NO_WORKER = "is `hypertrader worker` running? (`hypertrader doctor` tells)"


async def start_trade(
    symbol: str,
    margin: Number | None,
    unit_size: Number,
    *,
    portfolio: str | None = None,
    leverage: int | None = None,
    ladder: Ladder = V6,
    unit_mode: UnitMode = UnitMode.FULL,
    at_reset: AtReset = AtReset.CAP,
    name: str | None = None,
    yes: bool = False,
    settings: Settings | None = None,
    client: Client | None = None,
) -> TradeStatus:
    """Open a trade: `margin` in USD, None with a portfolio; `unit_size` in USD per coin, leverage the market's maximum
    if not given.

    A coin's second trade needs a `name`; all functions call it ETH-NAME.

    Returns when the position is open. `yes` accepts units smaller than three times the cost of a round trip. Raises
    CommandFailed, with nothing opened, when it is refused or nobody answers.
    """
    settings = settings or Settings.from_env()
    async with Venue(settings) as venue:
        coin = await venue.coin_of(symbol)
    asked = TradeInput(
        coin=coin,
        margin_usd=None if margin is None else _decimal("margin", margin),
        portfolio=portfolio,
        unit_size=_decimal("unit size", unit_size),
        leverage=leverage,
        ladder=ladder,
        unit_mode=unit_mode,
        at_reset=at_reset,
        network=settings.network.value,
        accepts_costs=yes,
    )
    return await begin(client or await connect(settings), asked, name)


async def start_plan(client: Client, plan: TradingPlan, settings: Settings, name: str | None = None) -> TradeStatus:
    """Start the trade of a plan: it is open when this returns, or waits for its entry. Raises CommandFailed."""
    async with Venue(settings) as venue:
        coin = await venue.coin_of(plan.coin)
    return await begin(client, TradeInput.of(plan.model_copy(update={"coin": coin}), settings.network.value), name)


async def edit_plan(client: Client, trade: str, plan: TradingPlan, settings: Settings, reason: str = "") -> str:
    """Have the running trade follow this version. Raises CommandRefused; CommandFailed if nobody knows."""
    asked = Edit(input=TradeInput.of(plan, settings.network.value), reason=reason)
    return await command(client, trade, "edit", asked)


async def begin(client: Client, asked: TradeInput, name: str | None = None) -> TradeStatus:
    """Returns when the position is open, or is waited for. Raises CommandFailed, with nothing opened."""
    trade = trade_name(workflow_id(asked.coin, None if name is None else checked_name(name)))
    try:
        handle: WorkflowHandle[Any, Any] = await client.start_workflow(
            "Trade",
            TradeRecord(input=asked),
            id=workflow_id(trade),
            task_queue=TRADES_QUEUE,
            task_timeout=TASK_TIMEOUT,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            static_summary=_summary(asked),
        )
    except WorkflowAlreadyStartedError:
        raise CommandFailed(
            f"a trade on {trade} already runs: see `hypertrader trade status {trade}`, end it with "
            f"`hypertrader trade close {trade}` (`release` if it is stopped), or give the new one a name with --name"
        ) from None
    await wait_until_open(client.get_workflow_handle(handle.id, run_id=handle.first_execution_run_id), trade)
    return await status(client, trade)


def _summary(asked: TradeInput) -> str:
    what = f"{asked.coin} {asked.ladder.name}, units of {asked.unit_size:f} USD"
    plan = f"; plan {asked.plan.name}, version {asked.plan.version}" if asked.plan else ""
    margin = f", {asked.margin_usd:f} USD of margin" if asked.margin_usd is not None else ""
    portfolio = f", margin of portfolio {asked.portfolio}" if asked.portfolio is not None else ""
    return what + margin + portfolio + plan


async def status(client: Client, trade: str) -> TradeStatus:
    """Of the newest trade so called, running or ended. A start that came to nothing was no trade."""
    found = await any_status(client, trade)
    async with _sorted_failures(trade):
        if found.mode is Mode.OPENING and not await is_running(client, trade):
            why = await refusal(_handle(client, trade), trade)
            raise CommandFailed(f"no trade on {trade} is open; its last start failed: {why}")
    return found


async def any_status(client: Client, trade: str) -> TradeStatus:
    """Also of a start that came to nothing: it stays in mode `opening`."""
    deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
    async with _sorted_failures(trade):
        while True:
            try:
                found: TradeStatus = await _handle(client, trade).query(
                    "status", result_type=TradeStatus, rpc_timeout=timedelta(seconds=ASK_TIMEOUT_S)
                )
            except (RPCError, WorkflowQueryFailedError) as error:
                if not _is_worth_asking_again(error) or time.monotonic() > deadline_s:
                    raise
                await asyncio.sleep(ASKS_AGAIN_AFTER_S)
            else:
                return found


def _is_worth_asking_again(error: RPCError | WorkflowQueryFailedError) -> bool:
    """A question that a dead worker took with it is never answered, and the next one may be."""
    if isinstance(error, RPCError):
        return error.status in (RPCStatusCode.CANCELLED, RPCStatusCode.DEADLINE_EXCEEDED)
    return ASK_AGAIN in str(error)


async def command(client: Client, trade: str, name: str, asked: Message) -> str:
    """Send an operator's command as an update and wait for its answer; a refusal raises CommandFailed.

    After `close` and `release` the name is free for a new trade.
    """
    timeout_s = CLOSE_TIMEOUT_S if name in SLOW else ANSWER_TIMEOUT_S
    async with _sorted_failures(trade):
        answer: str = await _handle(client, trade).execute_update(
            name, asked, result_type=str, rpc_timeout=timedelta(seconds=timeout_s)
        )
        if answer.startswith("attention:"):
            raise CommandFailed(answer)
        if name in ("close", "release") and not answer.startswith("closing:"):
            # The answer comes when the exchange is flat; the trade ends when its journal is written too.
            await _handle(client, trade).result(rpc_timeout=timedelta(seconds=ANSWER_TIMEOUT_S))
    return answer


class TradeLine(BaseModel):
    """A trade in a list. Units and phase are as the server last heard them."""

    workflow_id: str
    name: str
    """What it is called: ETH, or ETH-hedge."""
    coin: str
    status: str
    mode: str | None
    phase: str | None
    unit: int | None
    cycle: int | None
    started_at: datetime
    closed_at: datetime | None


async def trades(client: Client, *, ended: bool = False) -> list[TradeLine]:
    """Running trades, newest first; with `ended` those that are over too, for as long as Temporal keeps them.

    A trade is there once, however many runs it took; a start that was refused is not there.
    """
    query = f"WorkflowType = 'Trade' AND {_ALL if ended else _RUNNING}"
    found: list[TradeLine] = []
    async with _sorted_failures("any coin"):
        async for execution in client.list_workflows(query):
            shown = {pair.key.name: pair.value for pair in execution.typed_search_attributes}
            found.append(
                TradeLine(
                    workflow_id=execution.id,
                    name=trade_name(execution.id),
                    coin=shown.get("Coin", trade_name(execution.id)),
                    status=execution.status.name.lower() if execution.status else "unknown",
                    mode=shown.get("Mode"),
                    phase=shown.get("Phase"),
                    unit=shown.get("Unit"),
                    cycle=shown.get("Cycle"),
                    started_at=await _opened_at(client, execution),
                    closed_at=execution.close_time,
                )
            )
    return found


async def _opened_at(client: Client, newest: WorkflowExecution) -> datetime:
    """When the trade's first run began; of its newest, once Temporal has forgotten the first."""
    try:
        # What is listed does not name it.
        described = await client.get_workflow_handle(newest.id, run_id=newest.run_id).describe()
        first_run_id = described.raw_info.first_run_id
        return (await client.get_workflow_handle(newest.id, run_id=first_run_id).describe()).start_time
    except RPCError as error:
        if error.status is RPCStatusCode.NOT_FOUND:
            return newest.start_time
        raise


async def names_running(client: Client) -> set[str]:
    """What the trades that run are called, as far as the server lists them yet; one request a page."""
    query = f"WorkflowType = 'Trade' AND {_RUNNING}"
    async with _sorted_failures("any coin"):
        listed = client.list_workflows(query, rpc_timeout=LIST_TIMEOUT)
        return {trade_name(execution.id) async for execution in listed}


async def running_on(client: Client, trade: str) -> str | None:
    """The id of the first run of the trade that runs under the name now; None when none does."""
    async with _sorted_failures(trade):
        try:
            found = await _handle(client, trade).describe(rpc_timeout=LIST_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
    if found.status is not WorkflowExecutionStatus.RUNNING:
        return None
    return found.raw_info.first_run_id


async def is_running(client: Client, trade: str) -> bool:
    return await running_on(client, trade) is not None


def _handle(client: Client, trade: str) -> WorkflowHandle[Any, Any]:
    return client.get_workflow_handle(workflow_id(trade))


@asynccontextmanager
async def _sorted_failures(trade: str) -> AsyncIterator[None]:
    """What Temporal and the trade answer, as one line each."""
    began_s = time.monotonic()
    try:
        yield
    except WorkflowUpdateFailedError as error:
        raise CommandRefused(_innermost(error)) from error
    except WorkflowQueryFailedError as error:
        raise CommandFailed(f"the trade on {trade} can't answer: {error}") from error
    except (WorkflowUpdateRPCTimeoutOrCancelledError, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError):
            raise
        raise CommandFailed(
            f"the trade on {trade} did not answer in {time.monotonic() - began_s:.0f} s: {_NO_WORKER}; "
            f"what was asked may still be done when one is back"
        ) from error
    except RPCError as error:
        kind = CommandRefused if error.status is RPCStatusCode.NOT_FOUND else CommandFailed
        raise kind(_rpc_line(error, trade)) from error


def _rpc_line(error: RPCError, trade: str) -> str:
    match error.status:
        case RPCStatusCode.NOT_FOUND if "completed" in str(error):
            return f"the trade on {trade} has ended: see `hypertrader trade history {trade}`"
        case RPCStatusCode.NOT_FOUND:
            return f"no trade on {trade} is known: `hypertrader trade list` shows those that run"
        case RPCStatusCode.DEADLINE_EXCEEDED | RPCStatusCode.CANCELLED:
            return f"the trade on {trade} did not answer: {_NO_WORKER}"
        case RPCStatusCode.UNAVAILABLE:
            return "Temporal does not answer: start it with `hypertrader up`, or name its address with --temporal"
        case _:
            return f"Temporal: {error}"


def _innermost(error: BaseException) -> str:
    while (cause := getattr(error, "cause", None)) is not None:
        error = cause
    return str(getattr(error, "message", error))


def _decimal(name: str, value: Number) -> Decimal:
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite():
        raise CommandFailed(f"{name} is {value}; it must be a number of USD")
    return number
