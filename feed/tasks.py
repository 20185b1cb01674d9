"""Coroutines that live and die together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

_log = logging.getLogger(__name__)


async def until_one_ends(*coroutines: Coroutine[Any, Any, None]) -> None:
    """Run all until the first one returns or raises; end the others, then return or raise as it did."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await end(*tasks)
    for task in done:
        task.result()


async def end(*tasks: asyncio.Task[None]) -> None:
    """Cancel and wait until they are over; what they raise now no longer matters to anybody."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def running(coroutine: Coroutine[Any, Any, None]) -> AsyncIterator[asyncio.Task[None]]:
    """It runs beside the block and ends with it. If it fails before, that is logged: the block goes on without it."""
    task = asyncio.create_task(coroutine)
    task.add_done_callback(_say_if_failed)
    try:
        yield task
    finally:
        await end(task)


def _say_if_failed(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()):
        _log.critical("%s failed", task.get_coro(), exc_info=error)
