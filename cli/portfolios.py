"""Portfolios, as programs handle them: begin one, ask it, tell it, and what its trades say of themselves.

Every function raises CommandFailed (one line, with what to do) for what a person can do something about.
"""

import asyncio
import time
from collections.abc import Sequence

from temporalio.client import Client, WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import TRADES_QUEUE, Message, TradeSummary
from cli.asking import ANSWER_TIMEOUT_S, ASK_TIMEOUT_S, Asked, ask, sorted_failures, told
from cli.errors import CommandFailed
from cli.trades import LIST_TIMEOUT, TASK_TIMEOUT
from portfolio.rebalance import Resize, resizes
from portfolio.terms import PortfolioTerms
from settings import Settings
from workflows.granting import portfolio_id
from workflows.portfolio.asked import EmergencyStop, PortfolioInput
from workflows.portfolio.rebalancing import worth_now
from workflows.portfolio.record import PortfolioRecord
from workflows.portfolio.status import PortfolioStatus

POLL_S = 0.1


async def status(client: Client, name: str) -> PortfolioStatus:
    asked = _asked(name)
    seen = await ask(client.get_workflow_handle(portfolio_id(name)), "status", PortfolioStatus, asked)
    if seen.is_over:
        raise CommandFailed(asked.ended)
    return seen


async def running(client: Client, name: str) -> PortfolioStatus | None:
    """None when none of that name runs."""
    async with sorted_failures(_asked(name)):
        try:
            found = await client.get_workflow_handle(portfolio_id(name)).describe(rpc_timeout=LIST_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return None
            raise
    return await status(client, name) if found.status is WorkflowExecutionStatus.RUNNING else None


async def ids_running(client: Client) -> list[str]:
    """Of the workflows of all portfolios, as far as the server lists them yet."""
    listed = client.list_workflows(
        "WorkflowType = 'Portfolio' AND ExecutionStatus = 'Running'", rpc_timeout=LIST_TIMEOUT
    )
    return sorted({execution.id async for execution in listed})


async def begin(client: Client, name: str, terms: PortfolioTerms, settings: Settings) -> PortfolioStatus:
    """Returns when it knows its account and what there is to divide."""
    record = PortfolioRecord(input=PortfolioInput(name=name, network=settings.network.value), terms=terms)
    try:
        async with sorted_failures(_asked(name)):
            await client.start_workflow(
                "Portfolio",
                record,
                id=portfolio_id(name),
                task_queue=TRADES_QUEUE,
                task_timeout=TASK_TIMEOUT,
                id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
                id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
                static_summary=f"portfolio {name}: {', '.join(terms.shares)}",
            )
    except WorkflowAlreadyStartedError:
        raise CommandFailed(f"portfolio {name} runs since a moment ago: apply again to see what would change") from None
    deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
    while True:
        seen = await status(client, name)
        if seen.account and (seen.book.capital_usd or not seen.equity_usd):
            return seen
        if time.monotonic() > deadline_s:
            raise CommandFailed(
                f"portfolio {name} is begun, and waits for a worker of {settings.network.value} that tells it its "
                f"account: see the worker's log, then `hypertrader portfolio show`"
            )
        await asyncio.sleep(POLL_S)


async def command(client: Client, name: str, update: str, message: Message) -> str:
    """Its answer. A refusal raises CommandFailed."""
    async with sorted_failures(_asked(name)):
        return await told(client.get_workflow_handle(portfolio_id(name)), update, message, ANSWER_TIMEOUT_S)


async def tell_to_stop(client: Client, name: str, asked: EmergencyStop) -> None:
    """By signal: one that Temporal took is never lost, while an update waits for a worker to take it."""
    async with sorted_failures(_asked(name)):
        await client.get_workflow_handle(portfolio_id(name)).signal("emergency_stop", asked)


async def summaries(client: Client, trades: Sequence[str]) -> dict[str, TradeSummary]:
    """What each trade says of itself, by its workflow's id; those that don't answer are left out."""

    async def summary(trade: str) -> TradeSummary | None:
        asked = Asked(name=trade, unknown=f"{trade} is not known", ended=f"{trade} has ended")
        try:
            return await ask(client.get_workflow_handle(trade), "summary", TradeSummary, asked, ASK_TIMEOUT_S)
        except CommandFailed:
            return None

    found = await asyncio.gather(*(summary(trade) for trade in trades))
    return {trade: each for trade, each in zip(trades, found, strict=True) if each is not None}


def planned(seen: PortfolioStatus, trades: dict[str, TradeSummary]) -> tuple[Resize, ...]:
    """What a rebalance would do now, reckoned as the portfolio does it."""
    return resizes(seen.terms, seen.book, worth_now(trades.values()))


def _asked(name: str) -> Asked:
    return Asked(
        name=f"portfolio {name}",
        unknown=f"no portfolio {name} runs: begin it with `hypertrader portfolio apply FILE`",
        ended=f"portfolio {name} has ended: begin it anew with `hypertrader portfolio apply FILE`",
    )
