"""A trade's history replays: a worker that takes it up decides what was decided."""

from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.worker import Replayer

from tests.workflows.conftest import Rig
from worker import workflow_runner
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
    replayer = Replayer(
        workflows=[Trade],
        workflow_runner=workflow_runner(),
        interceptors=[SafeHandlers()],
        data_converter=pydantic_data_converter,
    )
    events = 0
    for run in (opening, rig.client.get_workflow_handle(rig.trade.id)):
        history = await run.fetch_history()
        events += len(history.events)
        await replayer.replay_workflow(history)
    assert events > 150
