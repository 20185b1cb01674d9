"""Places for workflow tasks: those that have to be read first are few and stand in nobody's way."""

import asyncio
from types import SimpleNamespace
from typing import Any

from temporalio.worker import SlotReleaseContext

from workflows.slots import TaskSlots

TO_BE_READ: Any = SimpleNamespace(is_sticky=False)
CACHED: Any = SimpleNamespace(is_sticky=True)


async def test_tasks_that_wait_to_be_read_leave_the_places_of_cached_trades_free() -> None:
    slots = TaskSlots(read_max=1, cached_max=2)
    first = await slots.reserve_slot(TO_BE_READ)
    second = asyncio.ensure_future(slots.reserve_slot(TO_BE_READ))
    await slots.reserve_slot(CACHED)
    await slots.reserve_slot(CACHED)
    assert not second.done()
    slots.release_slot(SlotReleaseContext(slot_info=None, permit=first))
    await second


async def test_a_place_that_nobody_waits_for_any_more_is_not_lost() -> None:
    slots = TaskSlots(read_max=1, cached_max=1)
    first = await slots.reserve_slot(CACHED)
    gone = asyncio.ensure_future(slots.reserve_slot(CACHED))
    await asyncio.sleep(0)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    slots.release_slot(SlotReleaseContext(slot_info=None, permit=first))
    await slots.reserve_slot(CACHED)
