"""The emergency stop that Temporal keeps: by the portfolios that run, or by a workflow of its own where none does."""

import asyncio
import time
from collections.abc import Sequence
from datetime import timedelta

from pydantic import BaseModel
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.common import WorkflowIDReusePolicy
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import TRADES_QUEUE
from cli import portfolios
from cli.trades import TASK_TIMEOUT
from connection import TemporalUnreachable, connect
from settings import Settings
from workflows.granting import portfolio_id
from workflows.portfolio.asked import EmergencyStop
from workflows.portfolio.record import Latch
from workflows.portfolio.stopping import StopRecord, emergency_stop_id

OWN_ID = emergency_stop_id("main")
RPC_TIMEOUT = timedelta(seconds=5)
LOOK_TIMEOUT = timedelta(seconds=2)
AGAIN_AFTER_S = 1.0
LOOKS_EVERY_S = 0.2


class DurableStop(BaseModel):
    """A workflow that was told, and how far it is; `latch` is None as long as it did not answer."""

    workflow_id: str
    latch: Latch | None = None

    @property
    def is_portfolio(self) -> bool:
        return self.workflow_id.startswith(portfolio_id(""))

    @property
    def is_flat(self) -> bool:
        return self.latch is not None and self.latch.proof is not None


class _Latched(BaseModel):
    """What their answers to `status` have in common."""

    latch: Latch | None = None


async def tell_until_taken(settings: Settings, asked: EmergencyStop, deadline_s: float) -> list[DurableStop]:
    """Nobody, if Temporal takes it from nobody until the deadline."""
    while True:
        try:
            return await tell(await connect(settings), asked, settings.network.value)
        except (TemporalUnreachable, RPCError):
            if time.monotonic() >= deadline_s:
                return []
        await asyncio.sleep(AGAIN_AFTER_S)


async def tell(client: Client, asked: EmergencyStop, network: str) -> list[DurableStop]:
    """Once Temporal has it, it is not lost. Raises RPCError."""
    told = [each for each in await portfolios.ids_running(client) if await _told(client, each, asked)]
    return [DurableStop(workflow_id=each) for each in told or [await _begun(client, asked, network)]]


async def _told(client: Client, portfolio: str, asked: EmergencyStop) -> bool:
    """False of one that ended since it was listed."""
    try:
        await client.get_workflow_handle(portfolio).signal("emergency_stop", asked, rpc_timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


async def _begun(client: Client, asked: EmergencyStop, network: str) -> str:
    """One that runs already hears of it too."""
    await client.start_workflow(
        "EmergencyStop",
        StopRecord(network=network, asked=asked),
        id=OWN_ID,
        task_queue=TRADES_QUEUE,
        task_timeout=TASK_TIMEOUT,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
        start_signal="emergency_stop",
        start_signal_args=[asked],
        static_summary="every trade is stopped",
        rpc_timeout=RPC_TIMEOUT,
    )
    return OWN_ID


async def until_flat(client: Client, told: Sequence[DurableStop], deadline_s: float) -> list[DurableStop]:
    """How far each is when all have their proof, or at the deadline."""
    while True:
        seen = [await _seen(client, each) for each in told]
        if all(each.is_flat for each in seen) or time.monotonic() >= deadline_s:
            return seen
        await asyncio.sleep(LOOKS_EVERY_S)


async def _seen(client: Client, told: DurableStop) -> DurableStop:
    handle = client.get_workflow_handle(told.workflow_id)
    try:
        found: _Latched = await handle.query("status", result_type=_Latched, rpc_timeout=LOOK_TIMEOUT)
    except (RPCError, WorkflowQueryFailedError):
        return told
    return told.model_copy(update={"latch": found.latch})


async def end_what_waits(client: Client, told: Sequence[DurableStop]) -> None:
    """Once another look has said that all is flat: what waits for a worker must not stop what is opened afterwards.
    Raises RPCError."""
    for each in told:
        if not each.is_portfolio and not each.is_flat:
            try:
                await client.get_workflow_handle(each.workflow_id).terminate("all is flat", rpc_timeout=RPC_TIMEOUT)
            except RPCError as error:
                # It has just ended by itself.
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise
