"""Whose key each workflow signs by, and a worker's word to those that sign by a former one.

A worker holds one key that signs from now on, and former ones by which is finished what began with them. It tells each
workflow of its account that has a former one `sign_by`, first of all before it takes up any work, and again until none
has: a word may come while a workflow can't take it, and trades that were just opening are found then.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from temporalio.client import Client, WorkflowExecution, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import TRADES_QUEUE, SignBy, SignedBy, orders_queue
from feed.courier import Undelivered, until_delivered

TOLD_AGAIN_AFTER_S = 5.0
"""It doubles."""
TOLD_AGAIN_AFTER_S_MAX = 300.0
RPC_TIMEOUT = timedelta(seconds=5)
ASKED_AT_ONCE = 20

SILENT = ""
ASKS_MAX = 5
ASKS_AGAIN_AFTER_S = 0.3

By = Mapping[str, Sequence[str]]
"""Workflow ids by signer."""

_RUNNING = "WorkflowType IN ('Trade', 'Portfolio', 'EmergencyStop') AND ExecutionStatus = 'Running'"
_log = logging.getLogger(__name__)


async def signing(client: Client, account: str, held: Collection[str]) -> By:
    """Which running workflows of the account need whose key: what they begin is signed by it, or what they began. Under
    SILENT those that do not answer just now.

    Those of keys that are not `held` can't answer: they are `stranded`. Raises RPCError.
    """
    listed = [each async for each in client.list_workflows(_RUNNING, rpc_timeout=RPC_TIMEOUT)]
    served = [each for each in listed if _signer_of(each.task_queue) in (None, *held)]
    at_once = asyncio.Semaphore(ASKED_AT_ONCE)

    async def asked(execution: WorkflowExecution) -> frozenset[str]:
        async with at_once:
            answer = await _answer(client, execution.id)
        if answer is None:
            return frozenset({SILENT})
        return answer.signers if answer.account == account else frozenset()

    found: dict[str, list[str]] = defaultdict(list)
    for execution, signers in zip(served, await asyncio.gather(*map(asked, served)), strict=True):
        for signer in signers:
            found[signer].append(execution.id)
    return found


async def stranded(client: Client, account: str, held: Collection[str]) -> By:
    """Open trades of the account that no worker here can serve: their signer's key is not held. Raises RPCError."""
    found: dict[str, list[str]] = defaultdict(list)
    async for execution in client.list_workflows(f"{_RUNNING} AND TaskQueue != '{TRADES_QUEUE}'"):
        signer = _signer_of(execution.task_queue)
        if signer is not None and signer not in held and await _account_of(client, execution) == account:
            found[signer].append(execution.id)
    return found


class FormerKeys:
    """Of one account."""

    def __init__(self, client: Client, account: str, signer: str, former: Sequence[str]) -> None:
        self._client = client
        self._word = SignBy(account=account, signer=signer)
        self._former = tuple(former)
        self._told = asyncio.Event()

    async def told(self, within_s: float) -> None:
        """Once all that are known by their queue were told; or after that time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), within_s)

    async def run(self) -> None:
        """Until cancelled. Waits for Temporal however long it takes."""
        if self._former:
            await until_delivered(self._tell_listed, _log)
        self._told.set()
        await until_delivered(self._warn_of_stranded, _log)
        pause_s = TOLD_AGAIN_AFTER_S
        while self._former:
            await asyncio.sleep(pause_s)
            await until_delivered(self._tell_those_left, _log)
            pause_s = min(2 * pause_s, TOLD_AGAIN_AFTER_S_MAX)

    async def _tell_listed(self) -> None:
        """Nobody can be asked yet: who has nothing to do with it takes no notice."""
        queues = ", ".join(f"'{orders_queue(each)}'" for each in self._former)
        query = f"{_RUNNING} AND (TaskQueue IN ({queues}) OR WorkflowType = 'Portfolio')"
        try:
            ids = [each.id async for each in self._client.list_workflows(query, rpc_timeout=RPC_TIMEOUT)]
        except RPCError as error:
            raise Undelivered(f"list of what former keys signed, {error.status.name}: {error}") from error
        await self._tell(ids)

    async def _tell_those_left(self) -> None:
        held = (self._word.signer, *self._former)
        try:
            found = await signing(self._client, self._word.account, held)
        except RPCError as error:
            raise Undelivered(f"list of what former keys sign, {error.status.name}: {error}") from error
        await self._tell(sorted({each for former in self._former for each in found.get(former, ())}))

    async def _tell(self, ids: Collection[str]) -> None:
        for workflow_id in ids:
            try:
                await self._client.get_workflow_handle(workflow_id).signal(
                    "sign_by", self._word, rpc_timeout=RPC_TIMEOUT
                )
            except RPCError as error:
                if error.status is not RPCStatusCode.NOT_FOUND:
                    raise Undelivered(f"{workflow_id}, {error.status.name}: {error}") from error
        if ids:
            _log.info("told to sign by %s: %s", self._word.signer, ", ".join(sorted(ids)))

    async def _warn_of_stranded(self) -> None:
        try:
            found = await stranded(self._client, self._word.account, (self._word.signer, *self._former))
        except RPCError as error:
            raise Undelivered(f"list of open trades, {error.status.name}: {error}") from error
        for signer, ids in found.items():
            _log.warning(
                "%s stand still: %s signs for them, and its key is not here; `hypertrader doctor` says what to do",
                ", ".join(ids),
                signer,
            )


def _signer_of(queue: str) -> str | None:
    of_orders = orders_queue("")
    return queue.removeprefix(of_orders) if queue.startswith(of_orders) else None


async def _answer(client: Client, workflow_id: str) -> SignedBy | None:
    """None of one that does not answer."""
    handle = client.get_workflow_handle(workflow_id)
    for _ in range(ASKS_MAX):
        try:
            answer: SignedBy = await handle.query("signed_by", result_type=SignedBy, rpc_timeout=RPC_TIMEOUT)
        except WorkflowQueryFailedError:
            # It is being taken up by a worker.
            await asyncio.sleep(ASKS_AGAIN_AFTER_S)
        except RPCError as error:
            # One that is over needs nobody.
            return SignedBy() if error.status is RPCStatusCode.NOT_FOUND else None
        else:
            return answer
    return None


async def _account_of(client: Client, execution: WorkflowExecution) -> str | None:
    """Of a trade that nobody here can ask: what its run began with says it. None where that can't be read."""
    handle = client.get_workflow_handle(execution.id, run_id=execution.run_id)
    async for event in handle.fetch_history_events(page_size=1, rpc_timeout=RPC_TIMEOUT):
        given = event.workflow_execution_started_event_attributes.input.payloads
        for record in await client.data_converter.decode(given):
            return record.get("account") if isinstance(record, dict) else None
    return None
