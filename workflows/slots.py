"""How much a worker has in hand at once: few workflow tasks that it must read first, many of trades it holds."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta

from temporalio.worker import (
    CustomSlotSupplier,
    FixedSizeSlotSupplier,
    SlotMarkUsedContext,
    SlotPermit,
    SlotReleaseContext,
    SlotReserveContext,
    WorkerTuner,
)

CACHED_TRADES_MAX = 500
"""More than one installation will ever hold open: a trade out of the cache is replayed on every price."""
CONCURRENT_ACTIVITIES_MAX = 3 * CACHED_TRADES_MAX
"""What each trade may ask, send and write at once: no order waits for a place behind the questions of others."""
READ_TASKS_MAX = 4
"""A worker that was started anew reads the histories of all its trades, one after the other: more at once would not be
done sooner, and each has to be done within its time, or it is done again."""
CACHED_TASKS_MAX = 16
"""A trade in the cache takes little of the processor; most of its task is Temporal writing down what was decided."""
TASK_POLLS_MAX = READ_TASKS_MAX + CACHED_TASKS_MAX
READ_POLLS_SHARE = READ_TASKS_MAX / TASK_POLLS_MAX
CACHED_TASK_WAITS_MAX = timedelta(seconds=3)
"""A task that waits longer for the worker that holds the trade is anybody's, and the whole history is read for it. It
is the price of a killed worker: its trades wait this long before another one takes them up."""


def tuner() -> WorkerTuner:
    unused = FixedSizeSlotSupplier(1)
    return WorkerTuner.create_composite(
        workflow_supplier=TaskSlots(),
        activity_supplier=FixedSizeSlotSupplier(CONCURRENT_ACTIVITIES_MAX),
        local_activity_supplier=unused,
        nexus_supplier=unused,
    )


class TaskSlots(CustomSlotSupplier):
    """Two kinds of place: a task comes from the worker's own queue, for trades it holds, or from the one of all."""

    def __init__(self, read_max: int = READ_TASKS_MAX, cached_max: int = CACHED_TASKS_MAX) -> None:
        self._read = asyncio.Semaphore(read_max)
        self._cached = asyncio.Semaphore(cached_max)

    async def reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit:
        places = self._cached if ctx.is_sticky else self._read
        await places.acquire()
        return _Permit(places)

    def try_reserve_slot(self, ctx: SlotReserveContext) -> SlotPermit | None:
        """For tasks that come without being polled for: none are asked for."""
        return None

    def mark_slot_used(self, ctx: SlotMarkUsedContext) -> None:
        """A place is counted from its reservation on."""

    def release_slot(self, ctx: SlotReleaseContext) -> None:
        assert isinstance(ctx.permit, _Permit)
        ctx.permit.places.release()


@dataclass(frozen=True)
class _Permit(SlotPermit):
    places: asyncio.Semaphore
