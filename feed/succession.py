"""What a feed process had in hand when it was killed goes to the living at once, not when Temporal misses it.

Heartbeats cost Temporal a write each, of which a small machine has some hundreds a second. So they are few, and their
timeout is long; it is what is left for a process that hangs, or whose machine is gone.
"""

import logging
import os
import socket
from datetime import UTC, datetime, timedelta

from temporalio.api.enums.v1 import PendingActivityState
from temporalio.api.workflow.v1 import PendingActivityInfo
from temporalio.api.workflowservice.v1 import RespondActivityTaskFailedByIdRequest
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory
from temporalio.service import RPCError, RPCStatusCode

RPC_TIMEOUT = timedelta(seconds=5)
STARTED = datetime.now(UTC)

_log = logging.getLogger(__name__)


async def take_over_from_the_dead(client: Client) -> None:
    """Give up every attempt to follow a price whose process is no more on this machine: Temporal starts it anew.

    What can't be asked now is left to the heartbeats' timeout.
    """
    count = 0
    try:
        async for running in client.list_workflows("ExecutionStatus = 'Running'", rpc_timeout=RPC_TIMEOUT):
            found = await client.get_workflow_handle(running.id, run_id=running.run_id).describe(
                rpc_timeout=RPC_TIMEOUT
            )
            for pending in found.raw_description.pending_activities:
                if _is_orphan(pending, client.identity):
                    count += await _give_up(client, running.id, running.run_id, pending)
    except RPCError as error:
        _log.warning("Whom a former feed process followed could not be asked now: %s", error)
    if count:
        _log.info("Following %d trades of a process that is gone", count)


async def _give_up(client: Client, workflow_id: str, run_id: str, pending: PendingActivityInfo) -> bool:
    """False if it has ended meanwhile."""
    gone = ApplicationError("its process is gone", type="FeedGone", category=ApplicationErrorCategory.BENIGN)
    request = RespondActivityTaskFailedByIdRequest(
        namespace=client.namespace,
        workflow_id=workflow_id,
        run_id=run_id,
        activity_id=pending.activity_id,
        identity=client.identity,
        # The next attempt begins with what the last one knew: passed on as it is, sealed or not.
        last_heartbeat_details=pending.heartbeat_details,
    )
    await client.data_converter.encode_failure(gone, request.failure)
    try:
        await client.workflow_service.respond_activity_task_failed_by_id(request, timeout=RPC_TIMEOUT)
    except RPCError as error:
        if error.status is not RPCStatusCode.NOT_FOUND:
            raise
        return False
    return True


def _is_orphan(pending: PendingActivityInfo, own_identity: str) -> bool:
    """An identity is the SDK's own, `pid@host`. A process that runs under that number may be another one by now: then
    its attempt is left alone. A container's number is often the same again; its attempts are from before our start."""
    started = pending.state == PendingActivityState.PENDING_ACTIVITY_STATE_STARTED
    if not started or pending.activity_type.name != "track_units":
        return False
    if pending.last_worker_identity == own_identity:
        return pending.last_started_time.ToDatetime(UTC) < STARTED
    pid, _, host = pending.last_worker_identity.partition("@")
    return host == socket.gethostname() and pid.isdigit() and not _runs(int(pid))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
