"""A trade gets old without growing: its run is renewed again and again, loses nothing it was told, and stays small."""

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from temporalio.client import Client
from temporalio.contrib.pydantic import pydantic_data_converter
from temporalio.testing import WorkflowEnvironment

from tests.workflows.conftest import SERVER_FLAGS, Rig, folded, rig_of
from worker import register_search_attributes
from workflows.contracts import TradeRecord
from workflows.status import TradeStatus

RENEWED_EVERY = 60
"""Events: the server suggests it then. Else it takes 250."""
HEARD_EVERY = 15
"""Signals."""
LINES_MAX = 6
"""From the anchor; the market itself stands still, and an order may be so far from it."""


@pytest.fixture(scope="module")
async def impatient() -> AsyncIterator[Client]:
    """A server that suggests to continue as new after few events."""
    binary = shutil.which("temporal", path=str(Path(sys.executable).parent)) or shutil.which("temporal")
    flags = (*SERVER_FLAGS, f"limit.historyCount.suggestContinueAsNew={RENEWED_EVERY}")
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary,
        data_converter=pydantic_data_converter,
        dev_server_extra_args=[word for flag in flags for word in ("--dynamic-config-value", flag)],
        dev_server_log_level="error",
    ) as environment:
        await register_search_attributes(environment.client)
        yield environment.client


@pytest.fixture(scope="module")
async def ageing(impatient: Client, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Rig]:
    async with rig_of(impatient, tmp_path_factory.mktemp("ageing")) as rig:
        yield rig


async def carried(rig: Rig) -> TradeRecord:
    """What the trade's newest run began with."""
    return (await began_with(rig, None))[0]


async def all_carried(rig: Rig) -> list[TradeRecord]:
    """What each of the trade's runs began with, the newest first."""
    record, former = await began_with(rig, None)
    records = [record]
    while former:
        record, former = await began_with(rig, former)
        records.append(record)
    return records


async def began_with(rig: Rig, run: str | None) -> tuple[TradeRecord, str]:
    """A run's record, and the run before it."""
    history = await rig.client.get_workflow_handle(rig.trade.id, run_id=run).fetch_history()
    started = history.events[0].workflow_execution_started_event_attributes
    (record,) = await rig.client.data_converter.decode(started.input.payloads, [TradeRecord])
    assert isinstance(record, TradeRecord)
    return record, started.continued_execution_run_id


async def run_id(rig: Rig) -> str:
    return (await rig.client.get_workflow_handle(rig.trade.id).describe()).run_id


def walk(steps: Sequence[int]) -> list[int]:
    """The lines of a path that stays near the anchor, and ends two units from where it was before."""
    lines = [0]
    for step in steps:
        line = lines[-1] + step
        lines.append(line if abs(line) <= LINES_MAX else lines[-1] - step)
    return lines[1:]


@pytest.mark.timeout(400)
@settings(
    max_examples=3,
    derandomize=True,
    deadline=None,
    # What fails, fails with what it was given: making it smaller would take an hour.
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
@given(
    steps=st.lists(st.integers(-3, 3).filter(bool), min_size=60, max_size=90),
    batches=st.lists(st.integers(1, 4), min_size=90, max_size=90),
)
@pytest.mark.drill
async def test_nothing_told_is_lost_however_often_the_run_is_renewed(
    impatient: Client, tmp_path_factory: pytest.TempPathFactory, steps: list[int], batches: list[int]
) -> None:
    async with rig_of(impatient, tmp_path_factory.mktemp("ageing")) as rig:
        await told_throughout(rig, steps, batches)


async def told_throughout(rig: Rig, steps: list[int], batches: list[int]) -> None:
    opened = await rig.open()
    anchor = opened.anchor_price
    assert anchor is not None
    lines = walk(steps)
    waiting, strangers = list(lines), 0
    for size in batches:
        batch, waiting = waiting[:size], waiting[size:]
        if not batch:
            break
        await rig.tell(*(anchor + 2 * line for line in batch))
        await rig.trade.signal(f"stranger-{strangers}", "told throughout")
        strangers += 1
        if strangers % HEARD_EVERY == 0:
            # However slow the machine is: it must not hear all of it in a few tasks.
            await rig.until(lambda now, told=strangers: _has_heard(now, told), within_s=60)  # type: ignore[misc]
    expected, last = folded(opened, lines), anchor + 2 * lines[-1]
    units = (expected.phase, expected.current_unit, expected.peak_unit, expected.valley_unit, expected.cycle)

    def all_done(now: TradeStatus) -> bool:
        # The path may have been at its last price before: what was told after it has to be there too.
        there = (now.phase, now.unit, now.peak, now.valley, now.cycle) == units and now.price == last
        return _has_heard(now, strangers) and there and not now.order_in_flight

    status = await rig.until(all_done, within_s=60)
    assert status.ledger is not None
    assert status.ledger.net == await rig.net_position()
    await rig.trade.execute_update("close", {})
    await rig.trade.result()
    history = [line.entry for line in await rig.journal.history(status.trade_id or "")]
    assert [entry.seq for entry in history] == list(range(1, len(history) + 1))
    refused = [entry.name for entry in history if entry.kind == "rejected_input"]
    assert refused == [f"stranger-{number}" for number in range(strangers)], "each signal once, in order"
    intents = [order.cloid for order in await rig.journal.orders(status.trade_id or "")]
    assert len(set(intents)) == len(intents)
    runs = await all_carried(rig)
    assert len(runs) > 3, "the run was hardly renewed"
    assert any(record.inbox for record in runs), "no run was renewed with prices in its inbox"


def _has_heard(now: TradeStatus, strangers: int) -> bool:
    """The newest of so many."""
    return any(f"stranger-{strangers - 1} " in note for note in now.notes)


async def eventually(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(60):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.1)


ROUND_TRIP = (-1, -2, -3, -2, -1, 0)
"""Lines down the ladder and up again: no order is due in the end."""
CHANGES_PER_SIGNAL = 996


async def aged(rig: Rig, opened: TradeStatus, signals: int) -> TradeRecord:
    """So many signals full of unit changes, each in the journal; then what the next run begins with."""
    assert opened.anchor_price is not None and opened.trade_id is not None
    trade_id, written = opened.trade_id, await changes_written(rig, opened.trade_id)
    ticks = [opened.anchor_price + 2 * ROUND_TRIP[number % 6] for number in range(CHANGES_PER_SIGNAL)]
    for number in range(1, signals + 1):
        # One after the other: of more than a thousand prices that wait, only the turning points are kept.
        await rig.tell(*ticks)

        async def all_written(due: int = written + number * len(ticks)) -> bool:
            return await changes_written(rig, trade_id) == due

        await eventually(all_written)
    return await renewed(rig)


async def changes_written(rig: Rig, trade_id: str) -> int:
    return len(await rig.journal.history(trade_id, kinds=["unit_change"]))


async def renewed(rig: Rig) -> TradeRecord:
    """What the next run begins with, but for what it was told just now and has not written down yet."""
    before = await run_id(rig)
    for _ in range(RENEWED_EVERY):
        await rig.trade.signal("stranger", "again")

    async def is_another() -> bool:
        return await run_id(rig) != before

    await eventually(is_another)
    return (await carried(rig)).model_copy(update={"inbox": [], "outbox": []})


@pytest.mark.timeout(400)
@pytest.mark.drill
async def test_the_state_does_not_grow_with_age(ageing: Rig) -> None:
    opened = await ageing.open()
    young, old = [len((await aged(ageing, opened, signals)).model_dump_json()) for signals in (1, 5)]
    assert old < young * 1.1 + 500
    assert old < 40_000
    await ageing.trade.execute_update("close", {})
    await ageing.trade.result()
    assert (await ageing.net_position()) == Decimal(0)
