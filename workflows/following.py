"""Keeps a feed process following the price for the trade; Temporal finds another one when it dies."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import FEED_QUEUE, TrackRequest
    from workflows.contracts import TradeRecord

MISSED_AFTER = timedelta(seconds=12)
"""A feed that hangs, or whose machine is gone. One that is started again takes over at once: feed.succession."""


class Following:
    def __init__(self, record: TradeRecord, note: Callable[[str], None]) -> None:
        self._record = record
        self._note = note
        self._tracking: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Or begin anew, from where the trade stands now."""
        self.end()
        self._tracking = asyncio.create_task(self._track())

    def end(self) -> None:
        if self._tracking is not None:
            self._tracking.cancel()
        self._tracking = None

    async def _track(self) -> None:
        request = TrackRequest(workflow_id=workflow.info().workflow_id, coin=self._record.input.coin)
        while True:
            try:
                await workflow.execute_activity(
                    "track_units",
                    request,
                    task_queue=FEED_QUEUE,
                    start_to_close_timeout=timedelta(days=3650),
                    heartbeat_timeout=MISSED_AFTER,
                    retry_policy=RetryPolicy(
                        initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=5)
                    ),
                    cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
                    summary=f"follow {request.coin}",
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    return
                self._note(f"the feed gave up: {error.cause}; starting it again")
            await workflow.sleep(timedelta(seconds=5))
