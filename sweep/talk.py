"""Talk with a trade while the server, its worker or its feed may be gone: tell it until it has heard, ask it until it
rests."""

import asyncio
import contextlib
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError

from activities.messages import Tracking
from workflows.asked import workflow_id
from workflows.contracts import Mode
from workflows.status import TradeStatus

BESIDE = ("track_units", "record", "notify")
"""Activities that trading does not wait for."""
POLL_S = 0.02
FIRST_EVENTS = 2
"""Started, and its first workflow task scheduled."""
ANSWER_TIMEOUT = timedelta(seconds=2)


class Stuck(Exception):
    """The trade does not go on by itself."""


class Talk:
    def __init__(self, client: Client, coin: str, *, patience_s: float) -> None:
        self._client = client
        self._coin = coin
        self._patience_s = patience_s
        self.events_max = 0
        """The longest history of the trade's runs."""

    @property
    def handle(self) -> WorkflowHandle[Any, Any]:
        return self._client.get_workflow_handle(workflow_id(self._coin))

    async def tell(self, signal: str, what: BaseModel) -> None:
        """What was acknowledged is kept. What was not is told again, and refused by a trade that has heard it."""
        while True:
            try:
                await self.handle.signal(signal, what, rpc_timeout=ANSWER_TIMEOUT)
            except RPCError as error:
                if "completed" in str(error):
                    return
                await asyncio.sleep(POLL_S)
            else:
                return

    async def until_ended(self) -> None:
        """Raises Stuck."""
        deadline_s = time.monotonic() + self._patience_s
        while time.monotonic() < deadline_s:
            with contextlib.suppress(RPCError):
                if (
                    await self.handle.describe(rpc_timeout=ANSWER_TIMEOUT)
                ).status is not WorkflowExecutionStatus.RUNNING:
                    return
            await asyncio.sleep(POLL_S)
        raise Stuck(await self._why())

    async def until_rest(self, arrived: Callable[[TradeStatus], bool], *, in_attention: bool = False) -> TradeStatus:
        """Until the trade has arrived, and nothing that trading waits for is pending with Temporal. Raises Stuck.

        `in_attention` is for who waits for that, or for its end.
        """
        deadline_s = time.monotonic() + self._patience_s
        while time.monotonic() < deadline_s:
            with contextlib.suppress(RPCError, WorkflowQueryFailedError):
                if await self._is_at_rest():
                    status = await self._ask()
                    if status.mode is Mode.ATTENTION and not in_attention:
                        raise Stuck(f"the trade needs attention: {status.attention}")
                    ordering = status.order_in_flight or status.order_due
                    if arrived(status) and not ordering and await self._is_at_rest():
                        return status
            await asyncio.sleep(POLL_S)
        raise Stuck(await self._why())

    async def until_told_of(self, line: int) -> None:
        """Until the trade knows of a price that completed `line`, whether or not it has acted on it. Raises Stuck."""
        deadline_s = time.monotonic() + self._patience_s
        while time.monotonic() < deadline_s:
            with contextlib.suppress(RPCError, WorkflowQueryFailedError):
                found = await self.handle.query("tracking", result_type=Tracking, rpc_timeout=ANSWER_TIMEOUT)
                if found.line == line:
                    return
            await asyncio.sleep(POLL_S)
        raise Stuck(f"nobody told the trade of line {line}: {await self._why()}")

    async def _is_at_rest(self) -> bool:
        description = await self.handle.describe(rpc_timeout=ANSWER_TIMEOUT)
        if description.status is not WorkflowExecutionStatus.RUNNING:
            raise Stuck(f"the trade ended by itself: {description.status}")
        raw = description.raw_description
        self.events_max = max(self.events_max, description.history_length)
        busy = any(pending.activity_type.name not in BESIDE for pending in raw.pending_activities)
        # The server holds back the first task of a run that follows the one before within a second.
        begun = description.history_length > FIRST_EVENTS
        return begun and not busy and not raw.HasField("pending_workflow_task")

    async def _ask(self) -> TradeStatus:
        status: TradeStatus = await self.handle.query("status", result_type=TradeStatus, rpc_timeout=ANSWER_TIMEOUT)
        return status

    async def _why(self) -> str:
        """What the trade looks like now, for whoever looks into it."""
        try:
            status = await self._ask()
            raw = (await self.handle.describe()).raw_description
        except (RPCError, WorkflowQueryFailedError) as error:
            return f"the trade does not answer: {error}"
        pending = ", ".join(f"{each.activity_type.name} (try {each.attempt})" for each in raw.pending_activities)
        return (
            f"no rest in {self._patience_s:.0f} s: mode {status.mode}, price {status.price}, "
            f"attention {status.attention}, order in flight {status.order_in_flight}, due {status.order_due}, "
            f"pending: {pending}, workflow task pending {raw.HasField('pending_workflow_task')}"
        )
