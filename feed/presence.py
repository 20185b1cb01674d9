"""A worker's word to the trades it runs: it is here, and since when no worker was.

Every worker of a signer touches one file in the state folder as long as it runs. Whoever starts reads there when a
worker was last alive, and tells each running trade of the signer: so a trade looks at the exchange at once, not at the
next price. So does a worker that finds, when it touches the file, that none was there meanwhile: it was frozen.
"""

import asyncio
import contextlib
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
        self._untold: asyncio.Queue[Outage] = asyncio.Queue()
        self._told = asyncio.Event()

    async def announced(self, within_s: float) -> None:
        """Once every trade was told that a worker is here; or after that time."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._told.wait(), within_s)

    async def run(self) -> None:
        """Until cancelled. Waits for Temporal however long it takes."""
        here_ms = now_ms()
        self._untold.put_nowait(self._missed(here_ms) or Outage(who="worker", from_ms=here_ms, to_ms=here_ms))
        await until_one_ends(self._touch_forever(), self._announce_forever())

    def _missed(self, here_ms: int) -> Outage | None:
        """How long no worker was there until now; None if one was."""
        try:
            alive_ms = self._file.stat().st_mtime_ns // 1_000_000
        except OSError:
            return None
        return Outage(who="worker", from_ms=alive_ms, to_ms=here_ms) if here_ms - alive_ms > FRESH_MS else None

    async def _touch_forever(self) -> None:
        said, shown = False, False
        while True:
            try:
                if shown and (missed := self._missed(now_ms())):
                    _log.warning("no worker was there for %.1f s", (missed.to_ms - missed.from_ms) / 1000)
                    self._untold.put_nowait(missed)
                self._file.touch()
                shown = True
            except OSError as error:
                # A gap in what can't be written says nothing.
                shown = False
                if not said:
                    said = True
                    _log.warning("trades won't be told since when no worker was there: %s", error)
            await asyncio.sleep(TOUCH_EVERY_S)

    async def _announce_forever(self) -> None:
        while True:
            await self._announce(await self._untold.get())
            self._told.set()

    async def _announce(self, outage: Outage) -> None:
        workflow_ids: list[str] = []
        await until_delivered(partial(self._list, workflow_ids), _log)
        at_once = asyncio.Semaphore(TOLD_AT_ONCE)
        async with asyncio.TaskGroup() as telling:
            for workflow_id in workflow_ids:
                telling.create_task(self._tell(workflow_id, outage, at_once))
        if workflow_ids:
            _log.info("told %d trades that a worker is here", len(workflow_ids))

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
