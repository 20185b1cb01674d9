"""What a killed feed process followed is given up by the next one, with what it knew; nothing else is."""

import os
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from temporalio import workflow
from temporalio.api.common.v1 import Payloads
from temporalio.api.taskqueue.v1 import TaskQueue
from temporalio.api.workflowservice.v1 import (
    PollActivityTaskQueueRequest,
    PollActivityTaskQueueResponse,
    RecordActivityTaskHeartbeatRequest,
)
from temporalio.client import Client
from temporalio.common import RetryPolicy
from temporalio.converter import DataConverter
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from encryption import PayloadKey, SealingCodec, new_key
from feed.succession import take_over_from_the_dead


@workflow.defn
class Followed:
    @workflow.run
    async def run(self, queue: str) -> None:
        await workflow.execute_activity(
            "track_units",
            task_queue=queue,
            start_to_close_timeout=timedelta(hours=1),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=10)),
        )


@dataclass(frozen=True)
class Attempts:
    client: Client
    queue: str

    async def next(self, identity: str) -> PollActivityTaskQueueResponse:
        """As the process of that identity would take it."""
        asked = PollActivityTaskQueueRequest(
            namespace=self.client.namespace, task_queue=TaskQueue(name=self.queue), identity=identity
        )
        return await self.client.workflow_service.poll_activity_task_queue(asked, timeout=timedelta(seconds=20))

    async def in_hand(self) -> tuple[int, str]:
        """Which attempt is on, and whose it is."""
        found = await self.client.get_workflow_handle(self.queue).describe()
        [pending] = found.raw_description.pending_activities
        return pending.attempt, pending.last_worker_identity

    async def knows(self, attempt: PollActivityTaskQueueResponse, what: str) -> None:
        details = Payloads(payloads=await self.client.data_converter.encode([what]))
        await self.client.workflow_service.record_activity_task_heartbeat(
            RecordActivityTaskHeartbeatRequest(
                namespace=self.client.namespace, task_token=attempt.task_token, details=details
            )
        )


@pytest.fixture
async def attempts(temporal: Client) -> AsyncIterator[Attempts]:
    queue = f"succession-{uuid.uuid4()}"
    async with Worker(temporal, task_queue=queue, workflows=[Followed], workflow_runner=UnsandboxedWorkflowRunner()):
        followed = await temporal.start_workflow(Followed.run, queue, id=queue, task_queue=queue)
        yield Attempts(temporal, queue)
        await followed.terminate()


def with_converter(client: Client, converter: DataConverter) -> Client:
    return Client(**{**client.config(), "data_converter": converter})


def of_a_dead_process() -> str:
    with subprocess.Popen(["true"]) as process:
        process.wait()
    return f"{process.pid}@{socket.gethostname()}"


async def test_the_attempt_of_a_dead_process_is_given_up_and_the_next_knows_what_it_knew(attempts: Attempts) -> None:
    first = await attempts.next(of_a_dead_process())
    await attempts.knows(first, "up to 17")
    await take_over_from_the_dead(attempts.client)
    second = await attempts.next("the next")
    assert second.attempt == 2
    assert await attempts.client.data_converter.decode(second.heartbeat_details.payloads) == ["up to 17"]


@pytest.mark.parametrize("identity", [f"{os.getppid()}@{socket.gethostname()}", "7@another-machine"])
async def test_the_attempt_of_a_process_that_may_live_is_left_alone(attempts: Attempts, identity: str) -> None:
    await attempts.next(identity)
    await take_over_from_the_dead(attempts.client)
    assert await attempts.in_hand() == (1, identity)


async def test_what_it_knew_is_passed_on_also_where_it_cant_be_read(attempts: Attempts) -> None:
    plain = attempts.client
    lost, own = (replace(plain.data_converter, payload_codec=SealingCodec([PayloadKey.parse(new_key())])) for _ in "12")
    first = await attempts.next(of_a_dead_process())
    await Attempts(with_converter(plain, lost), attempts.queue).knows(first, "up to 17")
    await take_over_from_the_dead(with_converter(plain, own))
    second = await attempts.next("the next")
    assert await lost.decode(second.heartbeat_details.payloads) == ["up to 17"]
