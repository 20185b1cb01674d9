"""The emergency stop of an account without a portfolio: a workflow that ends with the proof."""

import time
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle
from temporalio.testing import ActivityEnvironment

from activities.messages import TRADES_QUEUE, AccountQuestion
from activities.stopping import StoppingActivities
from cli import durable_stop, portfolios
from cli.errors import CommandFailed
from cli.portfolio_file import first_terms
from tests.feed.harness import until_async
from tests.workflows.conftest import Rig
from workflows.contracts import Mode
from workflows.portfolio.asked import EmergencyStop
from workflows.portfolio.record import StopProof


def own(rig: Rig) -> WorkflowHandle[Any, StopProof]:
    return rig.client.get_workflow_handle(durable_stop.OWN_ID, result_type=StopProof)


async def test_what_was_asked_while_no_worker_ran_is_done_and_proved_by_the_next(rig: Rig) -> None:
    await rig.open()
    await rig.stop_worker()
    # As by the Temporal CLI.
    stop: WorkflowHandle[Any, StopProof] = await rig.client.start_workflow(
        "EmergencyStop", {"network": "paper"}, id=durable_stop.OWN_ID, task_queue=TRADES_QUEUE, result_type=StopProof
    )
    await rig.start_worker()
    proof = await stop.result()
    assert [(each.workflow_id, each.mode) for each in proof.trades] == [(rig.trade.id, "stopped")]
    assert proof.looks >= 2 and not proof.left.coins
    assert (await rig.status()).mode is Mode.STOPPED
    assert not await rig.net_position()


async def test_whatever_it_asks_of_a_worker_that_dies_another_one_is_asked_within_seconds(rig: Rig) -> None:
    await durable_stop.tell(rig.client, EmergencyStop(), "paper")
    await own(rig).result()
    asked = [event.activity_task_scheduled_event_attributes async for event in own(rig).fetch_history_events()]
    missed_after = {each.activity_type.name: each.heartbeat_timeout.ToTimedelta() for each in asked}
    assert all(missed_after[name] == timedelta(seconds=3) for name in ("stop_trades", "left_over"))

    beats: list[object] = []
    environment = ActivityEnvironment()
    environment.on_heartbeat = lambda *details: beats.append(details)
    question = AccountQuestion(network="paper", account=rig.gateway.account)
    await environment.run(StoppingActivities(rig.client, rig.gateway, rig.settings).left_over, question)
    assert beats


async def test_it_closes_what_nobody_owns_only_when_asked_and_may_be_asked_on_its_way(rig: Rig) -> None:
    await rig.gateway.place_market_order("ETH", "buy", Decimal("0.01"))
    [told] = await durable_stop.tell(rig.client, EmergencyStop(reason="fire"), "paper")
    assert (told.workflow_id, (await own(rig).result()).left.coins) == (durable_stop.OWN_ID, ("ETH",))
    assert await rig.net_position()

    # The first look is held up: the second word comes while it is on its way.
    await rig.control("faults", kind="delay", match={"info": "clearinghouseState"}, seconds=1, when="before")
    told_twice = [
        *await durable_stop.tell(rig.client, EmergencyStop(reason="fire"), "paper"),
        *await durable_stop.tell(rig.client, EmergencyStop(everything=True), "paper"),
    ]
    await own(rig).signal("emergency_stop", "in words that can't be read")
    assert not (await own(rig).result()).left.coins
    assert not await rig.net_position()
    [first, second] = await durable_stop.until_flat(rig.client, told_twice, time.monotonic() + 5)
    assert first == second and first.is_flat and first.latch is not None
    assert (first.latch.reason, first.latch.everything) == ("fire", True)


async def test_a_portfolio_is_told_while_no_worker_runs_and_one_that_is_not_there_is_named(rig: Rig) -> None:
    await portfolios.begin(rig.client, "main", first_terms(["ETH=40%"]), rig.settings)
    await rig.stop_worker()
    await portfolios.tell_to_stop(rig.client, "main", EmergencyStop(reason="fire"))
    await rig.start_worker()
    told = [durable_stop.DurableStop(workflow_id="portfolio-main")]
    [seen] = await durable_stop.until_flat(rig.client, told, time.monotonic() + 20)
    assert seen.is_flat
    with pytest.raises(CommandFailed, match="no portfolio other runs"):
        await portfolios.tell_to_stop(rig.client, "other", EmergencyStop())


async def test_one_that_waits_for_a_worker_is_ended_once_all_is_known_to_be_flat(rig: Rig) -> None:
    await rig.stop_worker()
    told = await durable_stop.tell(rig.client, EmergencyStop(), "paper")
    await durable_stop.end_what_waits(rig.client, told)
    await durable_stop.end_what_waits(rig.client, told)
    assert (await own(rig).describe()).status is WorkflowExecutionStatus.TERMINATED
    await rig.start_worker()
    await rig.open()


async def test_another_accounts_worker_is_waited_for_and_named(rig: Rig) -> None:
    await durable_stop.tell(rig.client, EmergencyStop(), "testnet")

    async def waits() -> bool:
        described = await own(rig).describe()
        failures = [each.last_failure.message for each in described.raw_description.pending_activities]
        return any("this worker serves" in each and "testnet" in each for each in failures)

    await until_async(waits)
