"""A worker's word to the trades it runs: it is here, and since when no worker was.

Every worker of a signer touches one file in the state folder as long as it runs. Whoever starts reads there when a
worker was last alive, and tells each running trade of the signer: so a trade looks at the exchange at once, not at the
next price.
"""

import asyncio
import logging
from datetime import timedelta
from functools import partial
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.messages import Outage, orders_queue
from feed.courier import Undelivered, until_delivered
from feed.tasks import until_one_ends
from feed.witness import OUTAGE_MIN_S, now_ms

TOUCH_EVERY_S = 1.0
FRESH_MS = round((OUTAGE_MIN_S + TOUCH_EVERY_S) * 1000)
"""A file touched so lately: another worker lives, or nothing worth a word was missed."""
RPC_TIMEOUT = timedelta(seconds=5)
TOLD_AT_ONCE = 50

_log = logging.getLogger(__name__)


class Presence:
    def __init__(self, client: Client, state_dir: Path, signer: str) -> None:
        self._client = client
        self._file = state_dir / f"worker-{signer}.alive"
        self._queue = orders_queue(signer)

    async def run(self) -> None:
        """Until cancelled. Waits for Temporal however long it takes."""
        alive_ms, here_ms = self._last_alive_ms(), now_ms()
        away = alive_ms is not None and here_ms - alive_ms > FRESH_MS
        outage = Outage(who="worker", from_ms=alive_ms if away and alive_ms else here_ms, to_ms=here_ms)
        await until_one_ends(self._touch_forever(), self._announce(outage))

    def _last_alive_ms(self) -> int | None:
        """None if no worker ever was."""
        try:
            return self._file.stat().st_mtime_ns // 1_000_000
        except OSError:
            return None

    async def _touch_forever(self) -> None:
        said = False
        while True:
            try:
                self._file.touch()
            except OSError as error:
                if not said:
                    said = True
                    _log.warning("trades won't be told since when no worker was there: %s", error)
            await asyncio.sleep(TOUCH_EVERY_S)

    async def _announce(self, outage: Outage) -> None:
        workflow_ids: list[str] = []
        await until_delivered(partial(self._list, workflow_ids), _log)
        at_once = asyncio.Semaphore(TOLD_AT_ONCE)
        async with asyncio.TaskGroup() as telling:
            for workflow_id in workflow_ids:
                telling.create_task(self._tell(workflow_id, outage, at_once))
        if workflow_ids:
            _log.info("told %d trades that a worker is here", len(workflow_ids))
        await asyncio.Event().wait()

    async def _list(self, workflow_ids: list[str]) -> None:
        """A trade that is opened now needs no word: it has looked at the exchange just before."""
        query = f"WorkflowType = 'Trade' AND TaskQueue = '{self._queue}' AND ExecutionStatus = 'Running'"
        try:
            found = [execution.id async for execution in self._client.list_workflows(query, rpc_timeout=RPC_TIMEOUT)]
        except RPCError as error:
            raise Undelivered(f"list of trades, {error.status.name}: {error}") from error
        workflow_ids[:] = sorted(found)

    async def _tell(self, workflow_id: str, outage: Outage, at_once: asyncio.Semaphore) -> None:
        async with at_once:
            await until_delivered(partial(self._signal, workflow_id, outage), _log)

    async def _signal(self, workflow_id: str, outage: Outage) -> None:
        try:
            await self._client.get_workflow_handle(workflow_id).signal("was_away", outage, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise Undelivered(f"{workflow_id}, {error.status.name}: {error}") from error
