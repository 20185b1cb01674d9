"""The smallest workflow a feed can serve: it keeps what it was told, and counts lines as a trade's workflow does."""

import asyncio
import contextlib
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.messages import FEED_QUEUE, Outage, Tracking, TrackRequest, UnitsMoved

RECORDERS_QUEUE = "recorders"


@workflow.defn(name="Recorder")
class Recorder:
    @workflow.init
    def __init__(self, tracking: Tracking, missed_after_s: float) -> None:
        self._tracking = tracking
        self._missed_after_s = missed_after_s
        self._received: list[UnitsMoved] = []
        self._outages: list[Outage] = []
        self._stopped = False
        self._restart = False

    @workflow.run
    async def run(self, tracking: Tracking, missed_after_s: float) -> None:
        while not self._stopped:
            self._restart = False
            following = asyncio.create_task(self._follow())
            await workflow.wait_condition(lambda: self._stopped or self._restart)
            following.cancel()

    async def _follow(self) -> None:
        with contextlib.suppress(ActivityError):
            await self._activity()

    async def _activity(self) -> None:
        await workflow.execute_activity(
            "track_units",
            TrackRequest(workflow_id=workflow.info().workflow_id, coin=self._tracking.coin),
            task_queue=FEED_QUEUE,
            start_to_close_timeout=timedelta(days=1),
            heartbeat_timeout=timedelta(seconds=self._missed_after_s),
            retry_policy=RetryPolicy(
                initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(milliseconds=500)
            ),
            cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
        )

    @workflow.query
    def tracking(self) -> Tracking:
        return self._tracking

    @workflow.query
    def received(self) -> list[UnitsMoved]:
        return self._received

    @workflow.query
    def outages(self) -> list[Outage]:
        return self._outages

    @workflow.signal
    def was_away(self, outage: Outage) -> None:
        self._outages.append(outage)

    @workflow.signal
    def units_moved(self, moved: UnitsMoved) -> None:
        self._received.append(moved)
        line = self._tracking.line
        for tick in moved.ticks:
            line = self._tracking.grid.line_reached(line, tick.price)
        seen = {"line": line, "since_ms": moved.ticks[-1].time_ms, "last_tid": moved.tid}
        self._tracking = self._tracking.model_copy(update=seen)

    @workflow.signal
    def change(self, tracking: Tracking) -> None:
        """Stand elsewhere, without a word to the feed."""
        self._tracking = tracking

    @workflow.signal
    def restart(self, tracking: Tracking) -> None:
        """Stand elsewhere, and be followed anew from there."""
        self._tracking = tracking
        self._restart = True

    @workflow.signal
    def stop(self) -> None:
        self._stopped = True
