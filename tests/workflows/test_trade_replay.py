"""A trade's history replays: a worker that takes it up decides what was decided."""

import asyncio
import contextlib
from decimal import Decimal

import pytest
from temporalio.client import WorkflowQueryFailedError, WorkflowUpdateFailedError
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.service import RPCError
from temporalio.worker import Replayer

from strategy.values import Phase
from tests.workflows.conftest import Rig
from tests.workflows.test_backstop import rested
from tests.workflows.test_trade_plan import HEDGE, edited, now_ms
from worker import workflow_runner
from workflows.contracts import Mode
from workflows.guard import SafeHandlers
from workflows.trade import Trade


async def test_every_run_of_a_trade_replays_to_the_same_commands(rig: Rig) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    for unit in (1, 0, -1, 0, -5, -3, -1, 0):
        await rig.price_at(anchor + 2 * unit)
    await rig.trade.signal("pause", "not an object")
    await rig.trade.execute_update("pause", {"reason": "a while"})
    await rig.price_at(anchor - 2)
    await rig.trade.execute_update("resume", {})
    await rig.trade.execute_update("close", {})
    await rig.trade.result()
    opening = rig.client.get_workflow_handle(rig.trade.id, run_id=rig.trade.first_execution_run_id)
    events = 0
    for run in (opening, rig.client.get_workflow_handle(rig.trade.id)):
        history = await run.fetch_history()
        events += len(history.events)
        await replayer().replay_workflow(history)
    assert events > 150


@pytest.mark.timeout(400)
@pytest.mark.drill
async def test_a_trade_that_is_watched_and_told_things_all_the_time_replays(rig: Rig) -> None:
    """Queries and signals come between any two steps of an order; what a replay sees must not depend on that."""
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None

    async def watch() -> None:
        while True:
            # The server takes so many questions at once, and no more.
            with contextlib.suppress(RPCError, WorkflowQueryFailedError):
                await rig.trade.query("status")

    async def tell_nonsense() -> None:
        while True:
            await rig.trade.signal("no_such_signal", {})
            await asyncio.sleep(0.01)

    others = asyncio.gather(watch(), watch(), tell_nonsense())
    for unit in (-1, 0) * 10:
        await rig.price_at(anchor + 2 * unit)
    others.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await others
    await rig.trade.execute_update("close", {})
    await rig.trade.result()
    async for run in rig.client.list_workflows(f"WorkflowId = '{rig.trade.id}'"):
        await replayer().replay_workflow(
            await rig.client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        )
    notes = [line.entry for line in await rig.journal.history(opened.trade_id or "")]
    assert [entry.seq for entry in notes] == list(range(1, len(notes) + 1)), "the journal is without a gap"


async def test_a_trade_of_a_plan_replays_from_its_wait_to_its_limit(rig: Rig) -> None:
    """What a plan adds: an entry, new versions, taken and refused, levels, a stop on the exchange, a limit."""
    await rig.open(**HEDGE, entry={"when": "at_price", "price": "3400"}, backstop={"beyond": "0.05"})
    await edited(rig, entry={"when": "at_price", "price": "3440"}, expires_ms=now_ms() + 3_600_000)
    await rig.market(Decimal(3440))
    await rig.tell(Decimal(3440))
    opened = await rig.until(lambda now: now.mode is Mode.TRADING)
    anchor = opened.anchor_price
    assert anchor is not None
    await edited(rig, unit_size="5", limits={"stop_price": "3400"}, expires_ms=None)
    with pytest.raises(WorkflowUpdateFailedError):
        await edited(rig, leverage=2)
    await rested(rig)
    phases = []
    for gain in (110, 75, 50, 110):
        phases.append((await rig.price_at(anchor + gain)).phase)
        await rested(rig)
    assert phases == [Phase.ADVANCE, Phase.RETRACEMENT, Phase.RETRACEMENT, Phase.ADVANCE]
    await rig.market(Decimal(3390))
    await rig.tell(Decimal(3390))
    assert (await rig.trade.result())["reason"].startswith("stop_price is 3400")
    async for run in rig.client.list_workflows(f"WorkflowId = '{rig.trade.id}'"):
        history = await rig.client.get_workflow_handle(run.id, run_id=run.run_id).fetch_history()
        await replayer().replay_workflow(history)


def replayer() -> Replayer:
    return Replayer(
        workflows=[Trade],
        workflow_runner=workflow_runner(),
        interceptors=[SafeHandlers()],
        data_converter=pydantic_data_converter,
    )
