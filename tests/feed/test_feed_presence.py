"""What a worker tells its trades at its start, on a real Temporal server."""

import asyncio
import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

from activities.messages import Outage, orders_queue
from connection import connect
from feed.presence import Presence
from feed.tasks import running
from feed.witness import now_ms
from settings import Settings
from tests.feed.harness import Cable, until, until_async

TRADES = 3


@workflow.defn(name="Trade", sandboxed=False)
class Listener:
    def __init__(self) -> None:
        self._heard: list[Outage] = []

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def was_away(self, outage: Outage) -> None:
        self._heard.append(outage)

    @workflow.query
    def heard(self) -> list[Outage]:
        return self._heard


class Trades:
    """Open trades of one signer."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.signer = f"0x{secrets.token_hex(20)}"
        self.ids = [f"trade-{number}-{self.signer}" for number in range(TRADES)]

    async def heard(self) -> list[list[Outage]]:
        handles = [self.client.get_workflow_handle(workflow_id) for workflow_id in self.ids]
        return [await handle.query("heard", result_type=list[Outage]) for handle in handles]

    async def each_heard(self, count: int) -> Outage:
        """Wait until all were told so often; returns the last word, the same for all."""
        await until_async(lambda: self._have_heard(count), 30)
        (last,) = {outages[-1] for outages in await self.heard()}
        return last

    async def _have_heard(self, count: int) -> bool:
        return [len(outages) for outages in await self.heard()] == [count] * TRADES


@pytest.fixture
async def trades(temporal: Client) -> AsyncIterator[Trades]:
    trades = Trades(temporal)
    queue = orders_queue(trades.signer)
    async with Worker(temporal, task_queue=queue, workflows=[Listener]):
        handles = [await temporal.start_workflow("Trade", id=each, task_queue=queue) for each in trades.ids]
        query = f"WorkflowType = 'Trade' AND TaskQueue = '{queue}' AND ExecutionStatus = 'Running'"
        await until_async(lambda: _is(temporal, query, TRADES))
        yield trades
        for handle in handles:
            await handle.terminate()


async def _is(client: Client, query: str, count: int) -> bool:
    return (await client.count_workflows(query)).count == count


@asynccontextmanager
async def present(client: Client, folder: Path, signer: str) -> AsyncIterator[None]:
    async with running(Presence(client, folder, signer).run()):
        yield


async def test_a_worker_tells_its_trades_since_when_none_was_there(trades: Trades, tmp_path: Path) -> None:
    async with present(trades.client, tmp_path, trades.signer):
        first = await trades.each_heard(1)
    assert first.who == "worker" and first.from_ms == first.to_ms

    stamp = tmp_path / f"worker-{trades.signer}.alive"
    died_ms = now_ms() - 90_000
    os.utime(stamp, (died_ms / 1000, died_ms / 1000))
    async with present(trades.client, tmp_path, trades.signer):
        second = await trades.each_heard(2)
        assert abs(second.from_ms - died_ms) <= 1 and second.to_ms > died_ms + 89_000
        await until(lambda: stamp.stat().st_mtime * 1000 > died_ms + 89_000)
        # Another one beside a living one: nothing was missed.
        async with present(trades.client, tmp_path, trades.signer):
            third = await trades.each_heard(3)
            assert third.from_ms == third.to_ms


async def test_a_worker_that_was_frozen_tells_its_trades_when_it_goes_on(trades: Trades, tmp_path: Path) -> None:
    stamp = tmp_path / f"worker-{trades.signer}.alive"
    async with present(trades.client, tmp_path, trades.signer):
        await trades.each_heard(1)
        # What its next touch finds after it was frozen for so long, alone.
        froze_ms = now_ms() - 300_000
        os.utime(stamp, (froze_ms / 1000, froze_ms / 1000))
        word = await trades.each_heard(2)
    assert abs(word.from_ms - froze_ms) <= 1 and word.to_ms >= froze_ms + 300_000


async def test_a_stamp_that_can_not_be_touched_is_no_gap(
    trades: Trades, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stamp = tmp_path / f"worker-{trades.signer}.alive"
    long_ago = (now_ms() - 300_000) / 1000
    stamp.touch()
    os.utime(stamp, (long_ago, long_ago))
    touches: list[Path] = []

    def refused(path: Path) -> None:
        touches.append(path)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refused)
    async with present(trades.client, tmp_path, trades.signer):
        await trades.each_heard(1)
        await until(lambda: len(touches) >= 4)
        assert [len(outages) for outages in await trades.heard()] == [1] * TRADES


async def test_the_word_waits_for_temporal_and_life_is_shown_meanwhile(
    trades: Trades, temporal: Client, tmp_path: Path
) -> None:
    stamp = tmp_path / f"worker-{trades.signer}.alive"
    async with Cable(temporal.service_client.config.target_host) as cable:
        client = await connect(Settings(temporal_address=cable.address))
        cable.cut()
        async with present(client, tmp_path, trades.signer):
            await until(lambda: cable.refused >= 2 and stamp.exists(), 30)
            assert await trades.heard() == [[]] * TRADES
            cable.mend()
            await trades.each_heard(1)


async def test_a_state_folder_that_can_not_be_written_keeps_nobody_from_being_told(
    trades: Trades, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with present(trades.client, tmp_path / "missing", trades.signer):
        await trades.each_heard(1)
        await asyncio.sleep(0)
    assert any("no worker was there" in message for message in caplog.messages)
