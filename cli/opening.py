"""Waiting for a trade to open: open, refused, or given up with nothing left behind."""

import asyncio
import time
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.client import (
    WorkflowExecutionDescription,
    WorkflowExecutionStatus,
    WorkflowFailureError,
    WorkflowHandle,
)
from temporalio.common import SearchAttributeKey
from temporalio.service import RPCError

from cli.errors import CommandFailed
from cli.names import coin_in

POLL_S = 0.05
PATIENCE_S = 15.0
"""For a worker to begin, and for the exchange to answer it."""
_MODE = SearchAttributeKey.for_keyword("Mode")


async def wait_until_open(handle: WorkflowHandle[Any, Any], trade: str) -> None:
    """Returns when the position is open. Raises CommandFailed with the refusal, or with what does not answer; a trade
    that had sent nothing to the exchange by then is ended, one whose order may be on its way goes on by itself."""
    deadline_s = time.monotonic() + PATIENCE_S
    while True:
        seen = await _describe(handle)
        if seen.status is WorkflowExecutionStatus.CONTINUED_AS_NEW:
            # It is open, and has moved to its signer's queue.
            return
        if seen.status is not WorkflowExecutionStatus.RUNNING:
            raise CommandFailed(await refusal(handle, trade))
        mode = seen.typed_search_attributes.get(_MODE)
        if mode not in (None, "opening", "asking"):
            return
        if time.monotonic() > deadline_s and mode == "asking":
            raise CommandFailed(
                f"the portfolio has not answered in {PATIENCE_S:.0f} s; the trade on {trade} waits on, with nothing "
                f"held: end it with `hypertrader trade close {trade}`"
            )
        if time.monotonic() > deadline_s:
            await _give_up(handle, trade, _obstacle(seen))
        await asyncio.sleep(POLL_S)


async def _describe(handle: WorkflowHandle[Any, Any]) -> WorkflowExecutionDescription:
    try:
        return await handle.describe()
    except RPCError as error:
        raise CommandFailed(
            f"Temporal stopped answering while {handle.id} was opening ({error.message}): look at it with "
            f"`hypertrader trade list` when it is back"
        ) from error


async def refusal(handle: WorkflowHandle[Any, Any], trade: str) -> str:
    """Why an opening that is over came to nothing."""
    try:
        await handle.result()
    except WorkflowFailureError as error:
        reason: BaseException = error
        while (cause := getattr(reason, "cause", None)) is not None:
            reason = cause
        return f"{getattr(reason, 'message', reason)}"
    return f"the trade on {trade} ended at once"


def _obstacle(seen: WorkflowExecutionDescription) -> str:
    """What the opening waits for, as a sentence."""
    raw = seen.raw_description
    task = raw.pending_workflow_task
    if raw.HasField("pending_workflow_task") and task.attempt > 1 and task.HasField("started_time"):
        return "the worker fails to run the trade: see its log"
    for pending in raw.pending_activities:
        if pending.HasField("last_failure"):
            return f"the exchange does not answer the worker: {_innermost(pending)}"
    if raw.pending_activities:
        return f"{raw.pending_activities[0].activity_type.name} is waited for: see the worker's log"
    return (
        f"no worker answered in {PATIENCE_S:.0f} s: start one with `hypertrader worker` (or all with `hypertrader up`)"
    )


def _innermost(pending: PendingActivityInfo) -> str:
    failure = pending.last_failure
    while failure.HasField("cause") and failure.cause.message:
        failure = failure.cause
    return failure.message


async def _give_up(handle: WorkflowHandle[Any, Any], trade: str, obstacle: str) -> None:
    if await _may_have_ordered(handle):
        raise CommandFailed(
            f"{obstacle}. The opening order of {trade} may be on its way, so it goes on by itself: watch it with "
            f"`hypertrader trade status {trade}`"
        )
    await handle.terminate(f"given up: {obstacle}")
    # It may have gone on between the look and the end.
    coin = coin_in(trade)
    if await _may_have_ordered(handle):
        raise CommandFailed(
            f"{obstacle}. The trade on {trade} was ended as its order went out: see what is held with "
            f"`hypertrader exchange position {coin}`, and close it with `hypertrader exchange close {coin}` if no "
            f"other trade is on {coin}"
        )
    raise CommandFailed(f"{obstacle}. Nothing was opened on {trade}")


async def _may_have_ordered(handle: WorkflowHandle[Any, Any]) -> bool:
    async for event in handle.fetch_history_events():
        scheduled = event.activity_task_scheduled_event_attributes
        is_activity = event.event_type == EventType.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED
        if is_activity and scheduled.activity_type.name == "execute_order":
            return True
    return False
