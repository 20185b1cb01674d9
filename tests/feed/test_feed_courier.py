import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from activities.messages import UnitsMoved
from feed.courier import BATCH_MAX, Courier, Undelivered, backoff_s
from feed.tasks import end, until_one_ends
from feed.trades import Trade
from tests.feed.harness import until


def trade(tid: int) -> Trade:
    return Trade("ETH", Decimal(3450 + tid), Decimal(1), 1000 + tid, tid, 1)


class Workflow:
    """Takes signals; fails those it is told to, after or without having taken them, and can be slow."""

    def __init__(self) -> None:
        self.sent: list[UnitsMoved] = []
        self.failures = 0
        self.open = asyncio.Event()
        self.open.set()

    async def deliver(self, moved: UnitsMoved) -> None:
        self.sent.append(moved)
        await self.open.wait()
        if self.failures:
            self.failures -= 1
            raise Undelivered("UNAVAILABLE: tcp connect error")

    @property
    def tids(self) -> list[int]:
        return [moved.tid for moved in self.sent]


@asynccontextmanager
async def carrying(workflow: Workflow, turns: asyncio.Semaphore | None = None) -> AsyncIterator[Courier]:
    courier = Courier("trade-ETH", workflow.deliver, turns=turns)
    running = asyncio.create_task(courier.run())
    yield courier
    await end(running)


async def test_a_unit_goes_out_at_once_and_later_ones_together() -> None:
    workflow = Workflow()
    workflow.open.clear()
    async with carrying(workflow) as courier:
        courier.take(trade(1))
        await until(lambda: workflow.tids == [1])
        for tid in (2, 3, 4):
            courier.take(trade(tid))
        assert not courier.idle
        workflow.open.set()
        await courier.all_delivered()
        assert workflow.tids == [1, 4]
        assert [tick.price for tick in workflow.sent[1].ticks] == [3452, 3453, 3454]
        assert [tick.time_ms for tick in workflow.sent[1].ticks] == [1002, 1003, 1004]
        assert courier.idle and courier.carried == 4


async def test_a_failed_batch_is_sent_again_unchanged_before_newer_ones(caplog: pytest.LogCaptureFixture) -> None:
    workflow = Workflow()
    workflow.failures = 3
    async with carrying(workflow) as courier:
        courier.take(trade(1))
        await until(lambda: len(workflow.sent) == 1)
        courier.take(trade(2))
        await courier.all_delivered()
    assert workflow.tids == [1, 1, 1, 1, 2]
    assert workflow.sent[:4] == [workflow.sent[0]] * 4
    assert caplog.messages[0] == "Signal not delivered (UNAVAILABLE: tcp connect error): sending it again"
    assert caplog.messages[1].startswith("Signal delivered after 3 failures")


async def test_a_long_queue_goes_in_batches_of_bounded_size() -> None:
    workflow = Workflow()
    async with carrying(workflow) as courier:
        for tid in range(2 * BATCH_MAX + 1):
            courier.take(trade(tid))
        await courier.all_delivered()
    assert [len(moved.ticks) for moved in workflow.sent] == [BATCH_MAX, BATCH_MAX, 1]
    told = [tick.price for moved in workflow.sent for tick in moved.ticks]
    assert told == [trade(tid).price for tid in range(2 * BATCH_MAX + 1)]


async def test_what_completes_while_another_trade_has_the_turn_goes_out_together() -> None:
    turns, slow, waiting = asyncio.Semaphore(1), Workflow(), Workflow()
    slow.open.clear()
    async with carrying(slow, turns) as first, carrying(waiting, turns) as second:
        first.take(trade(1))
        await until(lambda: slow.tids == [1])
        for tid in (2, 3, 4):
            second.take(trade(tid))
            await asyncio.sleep(0)
        assert not waiting.sent
        slow.open.set()
        await second.all_delivered()
    assert waiting.tids == [4]


async def test_a_trade_whose_signals_fail_keeps_nobody_waiting() -> None:
    turns, refused, other = asyncio.Semaphore(1), Workflow(), Workflow()
    refused.failures = 1_000
    async with carrying(refused, turns) as first, carrying(other, turns) as second:
        first.take(trade(1))
        await until(lambda: len(refused.sent) == 3)
        second.take(trade(2))
        await second.all_delivered()
    assert other.tids == [2]


async def test_what_no_retry_can_mend_ends_the_courier() -> None:
    async def refuse(_: UnitsMoved) -> None:
        raise LookupError("workflow execution already completed")

    courier = Courier("trade-ETH", refuse)
    courier.take(trade(1))
    with pytest.raises(LookupError):
        await until_one_ends(courier.run(), asyncio.sleep(10))


def test_backoff_grows_to_its_limit() -> None:
    assert [backoff_s(n) <= limit for n, limit in ((1, 0.1), (2, 0.2), (6, 3.2), (7, 5), (1000, 5))] == [True] * 5
    assert backoff_s(1000) >= 2.5
