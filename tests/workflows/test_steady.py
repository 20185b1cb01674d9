"""Who asks decides nothing: queries that waited for a worker meet signals that no task has handled."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import PollWorkflowTaskQueueRequest
from temporalio.client import Client, RPCError, WorkflowHandle, WorkflowQueryFailedError
from temporalio.worker import Replayer, Worker

from tests.workflows.punctual import LATE_S, Punctual, in_time, late
from worker import workflow_runner
from workflows.steady import COMES_WITHIN_S

Runs = list[WorkflowHandle[Any, Any]]


async def test_a_query_that_waited_for_a_worker_decides_nothing(temporal: Client) -> None:
    queue = uuid.uuid4().hex
    runs = await _started(temporal, queue, 6)
    questions = await _asked_and_told(runs, 2)
    await asyncio.sleep(2 * LATE_S)
    await _answered_and_replayed(temporal, queue, runs, questions)


async def test_a_query_that_outlived_the_worker_of_a_task_decides_nothing(temporal: Client) -> None:
    queue = uuid.uuid4().hex
    runs = await _started(temporal, queue, 1)
    # The dead worker takes some of them too.
    questions = await _asked_and_told(runs, 40)
    await _taken_by_a_worker_that_dies(temporal, queue, len(runs))
    await asyncio.sleep(COMES_WITHIN_S + LATE_S)
    await _answered_and_replayed(temporal, queue, runs, questions)


async def _started(temporal: Client, queue: str, number: int) -> Runs:
    async with _worker(temporal, queue):
        runs = [
            await temporal.start_workflow(
                "Punctual", id=uuid.uuid4().hex, task_queue=queue, task_timeout=timedelta(seconds=3)
            )
            for _ in range(number)
        ]
        for run in runs:
            await _answered(run, 0)
    return runs


async def _asked_and_told(runs: Runs, times: int) -> list[asyncio.Task[None]]:
    questions = [asyncio.create_task(_asked(run)) for run in runs for _ in range(times)]
    # The questions have to be there before the signals.
    await asyncio.sleep(0.1)
    for run in runs:
        await run.signal("told", time.time())
    return questions


async def _taken_by_a_worker_that_dies(client: Client, queue: str, tasks: int) -> None:
    """Every task that there is, so that it has begun, and no answer."""
    poll = PollWorkflowTaskQueueRequest(namespace=client.namespace, task_queue=TaskQueue(name=queue), identity="dead")
    while tasks:
        given = await client.workflow_service.poll_workflow_task_queue(poll, timeout=timedelta(seconds=5))
        tasks -= not given.HasField("query")


async def _answered_and_replayed(client: Client, queue: str, runs: Runs, questions: list[asyncio.Task[None]]) -> None:
    async with _worker(client, queue):
        for run in runs:
            await _answered(run, 1)
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
