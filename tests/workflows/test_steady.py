"""Who asks decides nothing: queries that waited for a worker meet signals that no task has handled."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.client import Client, RPCError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.worker import Replayer, Worker

from tests.workflows.punctual import LATE_S, Punctual, in_time, late
from worker import workflow_runner

ROUNDS = 1
RUNS = 6


async def test_a_query_that_waited_for_a_worker_decides_nothing(temporal: Client) -> None:
    queue = uuid.uuid4().hex
    async with _worker(temporal, queue):
        runs = [
            await temporal.start_workflow(
                "Punctual", id=uuid.uuid4().hex, task_queue=queue, task_timeout=timedelta(seconds=1)
            )
            for _ in range(RUNS)
        ]
        for run in runs:
            await _answered(run, 0)
    for round_ in range(1, ROUNDS + 1):
        questions = [asyncio.create_task(_asked(run)) for run in runs for _ in range(2)]
        # The questions have to be there before the signals.
        await asyncio.sleep(0.1)
        for run in runs:
            await run.signal("told", time.time())
        await asyncio.sleep(2 * LATE_S)
        async with _worker(temporal, queue):
            for run in runs:
                await _answered(run, round_)
        await asyncio.gather(*questions)
    replayer = Replayer(workflows=[Punctual], workflow_runner=workflow_runner())
    for run in runs:
        await replayer.replay_workflow(await run.fetch_history())
        await run.terminate("end of the test")


@asynccontextmanager
async def _worker(client: Client, queue: str) -> AsyncIterator[None]:
    async with Worker(
        client,
        task_queue=queue,
        workflows=[Punctual],
        activities=[in_time, late],
        workflow_runner=workflow_runner(),
        sticky_queue_schedule_to_start_timeout=timedelta(seconds=1),
    ):
        yield


async def _asked(run: WorkflowHandle[Any, Any]) -> None:
    with contextlib.suppress(RPCError, WorkflowQueryFailedError):
        await run.query("done", rpc_timeout=timedelta(seconds=3))


async def _answered(run: WorkflowHandle[Any, Any], done: int) -> None:
    async with asyncio.timeout(20):
        while True:
            with contextlib.suppress(RPCError, WorkflowQueryFailedError):
                if await run.query("done", rpc_timeout=timedelta(seconds=5)) == done:
                    return
            await asyncio.sleep(0.02)
