"""`track_units` on a real Temporal server, its prices from the simulator's real WebSocket."""

import asyncio
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from temporalio.client import Client, WorkflowExecutionStatus, WorkflowHandle
from temporalio.worker import Worker

from activities.messages import Outage, Tracking, UnitsMoved
from connection import connect
from feed.stream import PriceStream
from feed.tasks import running
from feed.witness import OUTAGE_MIN_S, Witness, now_ms
from feed.worker import feed_worker, run
from settings import Settings
from simulator.matching import move_price
from simulator.server import Simulator
from simulator.stream_faults import STREAM_FAULT
from strategy.units import UnitGrid
from telemetry import tracing
from tests.feed.harness import FAST, Cable, ScriptedExchange, until, until_async
from tests.feed.recorder import RECORDERS_QUEUE, Recorder

GRID = UnitGrid(anchor_price=Decimal(3450), unit_size=Decimal(2))
START = Tracking(coin="ETH", grid=GRID, line=0, since_ms=0, last_tid=0)


class Trade:
    """A workflow that is followed."""

    def __init__(self, handle: WorkflowHandle[Any, Any]) -> None:
        self.handle = handle

    async def received(self) -> list[UnitsMoved]:
        received: list[UnitsMoved] = await self.handle.query("received", result_type=list[UnitsMoved])
        return received

    async def tracking(self) -> Tracking:
        tracking: Tracking = await self.handle.query("tracking", result_type=Tracking)
        return tracking

    async def told(self, *prices: str, timeout_s: float = 15.0) -> list[UnitsMoved]:
        """Wait until it was told as many prices; they are these, in order, each once."""
        deadline = time.monotonic() + timeout_s
        while True:
            received = await self.received()
            found = [tick.price for moved in received for tick in moved.ticks]
            if len(found) >= len(prices) or time.monotonic() > deadline:
                assert found == [Decimal(price) for price in prices]
                return received
            await asyncio.sleep(0.01)

    async def outages(self) -> list[Outage]:
        outages: list[Outage] = await self.handle.query("outages", result_type=list[Outage])
        return outages

    async def told_of(self, who: str) -> Outage:
        """Wait for the first outage it was told of; it is that one."""
        await until_async(self.outages, 30)
        first = (await self.outages())[0]
        assert first.who == who
        return first

    async def pending(self) -> list[Any]:
        """The activities Temporal has open for it."""
        return list((await self.handle.describe()).raw_description.pending_activities)


@pytest.fixture(autouse=True)
async def recorders(temporal: Client) -> AsyncIterator[None]:
    async with Worker(temporal, task_queue=RECORDERS_QUEUE, workflows=[Recorder]):
        yield


@asynccontextmanager
async def followed(client: Client, start: Tracking, *, missed_after_s: float = 2) -> AsyncIterator[Trade]:
    handle = await client.start_workflow(
        "Recorder", args=[start, missed_after_s], id=f"trade-{uuid.uuid4()}", task_queue=RECORDERS_QUEUE
    )
    try:
        yield Trade(handle)
    finally:
        if (await handle.describe()).status is WorkflowExecutionStatus.RUNNING:
            await handle.terminate()


@pytest.fixture
async def trade(temporal: Client, recorders: None) -> AsyncIterator[Trade]:
    async with followed(temporal, START) as trade:
        yield trade


@asynccontextmanager
async def feed(client: Client, simulator: Simulator, *, check_interval_s: float = 30.0) -> AsyncIterator[PriceStream]:
    timing, info_url, witness = replace(FAST, linger_s=60), f"{simulator.url}/info", Witness()
    async with PriceStream(simulator.ws_url, info_url=info_url, timing=timing, absence=witness.exchange) as stream:
        async with feed_worker(client, stream, witness, check_interval_s=check_interval_s):
            async with running(witness.watch_temporal(client)):
                yield stream


@asynccontextmanager
async def feed_process(client: Client, simulator: Simulator, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The real `hypertrader feed`."""
    env = os.environ | {
        "HYPERTRADER_EXCHANGE_URL": simulator.url,
        "HYPERTRADER_TEMPORAL_ADDRESS": client.service_client.config.target_host,
    }
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "cli.main", "feed", env=env, stdout=output, stderr=output
        )
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


def set_price(simulator: Simulator, *prices: str) -> None:
    for price in prices:
        move_price(simulator.venue, "ETH", Decimal(price))
        simulator.commit()


async def following(simulator: Simulator) -> None:
    """Until somebody is subscribed to ETH."""
    await until(lambda: any(("trades", "ETH") in it.subscriptions for it in simulator.streams.connections))


async def test_completed_units_reach_the_workflow_in_order(
    temporal: Client, simulator: Simulator, trade: Trade
) -> None:
    async with feed(temporal, simulator):
        await following(simulator)
        set_price(simulator, "3451.5", "3452.5")
        await trade.told("3452.5")
        set_price(simulator, "3453", "3451", "3450", "3455", "3445")
        received = await trade.told("3452.5", "3450", "3455", "3445")
        assert received[-1].tid == simulator.venue.tape["ETH"][-1].tid
        assert (await trade.tracking()).line == -2


async def test_a_feed_that_starts_late_catches_up_from_the_replay(
    temporal: Client, simulator: Simulator, trade: Trade
) -> None:
    set_price(simulator, "3452", "3455", "3451")
    async with feed(temporal, simulator):
        await trade.told("3452", "3455", "3451")


async def test_trades_up_to_the_workflows_last_are_history(temporal: Client, exchange: ScriptedExchange) -> None:
    """Several trades share a block's millisecond: what came after the last one told is news, even in the same one."""
    for price in ("3452", "3454", "3456", "3458"):
        await exchange.trade("ETH", price)
    for entry in exchange.tape["ETH"][:3]:
        entry["time"] = 1000
    exchange.tape["ETH"][3]["time"] = 1001
    start = START.model_copy(update={"line": 1, "since_ms": 1000, "last_tid": exchange.tape["ETH"][0]["tid"]})
    async with followed(temporal, start) as trade:
        async with PriceStream(exchange.ws_url, timing=FAST) as stream, feed_worker(temporal, stream, Witness()):
            await trade.told("3454", "3456", "3458")


async def test_an_unlisted_coin_is_tried_again_and_harms_nobody(
    temporal: Client, simulator: Simulator, trade: Trade
) -> None:
    wrong = START.model_copy(update={"coin": "NOPE"})
    async with feed(temporal, simulator), followed(temporal, wrong) as wrong_one:
        await following(simulator)
        set_price(simulator, "3452")
        await trade.told("3452")
        await until_async(lambda: _failed_as(wrong_one, "UnknownCoin", attempts=2))


async def _failed_as(trade: Trade, kind: str, *, attempts: int) -> bool:
    pending = await trade.pending()
    return bool(
        pending and pending[0].attempt > attempts and pending[0].last_failure.application_failure_info.type == kind
    )


async def test_signals_wait_for_temporal_and_none_is_lost(temporal: Client, simulator: Simulator, trade: Trade) -> None:
    async with Cable(temporal.service_client.config.target_host) as cable:
        client = await connect(Settings(temporal_address=cable.address))
        async with feed(client, simulator):
            await following(simulator)
            set_price(simulator, "3452")
            await trade.told("3452")
            cable.cut()
            set_price(simulator, "3454", "3450", "3456")
            await until(lambda: cable.refused >= 3)
            set_price(simulator, "3448")
            cable.mend()
            await trade.told("3452", "3454", "3450", "3456", "3448", timeout_s=30)


async def test_no_unit_of_a_long_outage_is_lost(temporal: Client, simulator: Simulator, trade: Trade) -> None:
    """Temporal is away for so long that the activity is over: the next one takes the prices from the tape."""
    async with Cable(temporal.service_client.config.target_host) as cable:
        client = await connect(Settings(temporal_address=cable.address))
        async with feed(client, simulator) as stream:
            await following(simulator)
            set_price(simulator, "3452")
            await trade.told("3452")
            began_ms = now_ms()
            cable.cut()
            set_price(simulator, "3454", "3450", "3456")
            await until(lambda: stream.health.coins == (), 30)
            swings = [str(price) for _ in range(30) for price in (3450, 3454)]
            set_price(simulator, *swings)
            cable.mend()
            await trade.told("3452", "3454", "3450", "3456", *swings, timeout_s=30)
            outage = await trade.told_of("temporal")
            assert began_ms - 2_000 <= outage.from_ms <= began_ms + 2_000 and outage.to_ms <= now_ms()


async def test_a_feed_ends_with_its_workflow(temporal: Client, simulator: Simulator, trade: Trade) -> None:
    async with feed(temporal, simulator) as stream:
        await until(lambda: stream.health.coins == ("ETH",))
        await trade.handle.signal("stop")
        await trade.handle.result()
        await until(lambda: stream.health.coins == ())


async def test_a_new_grid_is_followed_and_the_old_one_no_more(
    temporal: Client, simulator: Simulator, trade: Trade, caplog: pytest.LogCaptureFixture
) -> None:
    async with feed(temporal, simulator):
        await following(simulator)
        set_price(simulator, "3452")
        (first,) = await trade.told("3452")
        wide = UnitGrid(anchor_price=Decimal(3452), unit_size=Decimal(10))
        at = {"grid": wide, "line": 0, "since_ms": first.ticks[0].time_ms, "last_tid": first.tid}
        await trade.handle.signal("restart", START.model_copy(update=at))
        await until(lambda: caplog.messages[-1] == "Following from line 0 of 10 USD from 3452")
        set_price(simulator, "3456", "3462")
        await trade.told("3452", "3462")


async def test_the_workflows_own_count_is_adopted(
    temporal: Client, simulator: Simulator, trade: Trade, caplog: pytest.LogCaptureFixture
) -> None:
    """As when an operator resets the workflow to before a signal: it is told again."""
    async with feed(temporal, simulator, check_interval_s=0.1):
        await following(simulator)
        set_price(simulator, "3452")
        await trade.told("3452")
        await trade.handle.signal("change", START)
        await trade.told("3452", "3452")
        assert (await trade.tracking()).line == 1
        assert any("The workflow stands at line 0" in message for message in caplog.messages)


async def test_a_feed_waits_for_temporal_and_says_so_once(
    temporal: Client, simulator: Simulator, trade: Trade, caplog: pytest.LogCaptureFixture
) -> None:
    async with Cable(temporal.service_client.config.target_host) as cable:
        cable.cut()
        stop = asyncio.Event()
        settings = Settings(temporal_address=cable.address, exchange_url=simulator.url)
        running = asyncio.create_task(run(settings, stop=stop))
        await until(lambda: cable.refused >= 3)
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert "waiting for it" in caplog.messages[0] and cable.address in caplog.messages[0]
        cable.mend()
        await following(simulator)
        set_price(simulator, "3452")
        await trade.told("3452")
        stop.set()
        await asyncio.wait_for(running, 10)


async def test_a_killed_feed_is_taken_over_by_the_next_at_once(
    temporal: Client, simulator: Simulator, tmp_path: Path
) -> None:
    async with (
        followed(temporal, START, missed_after_s=600) as trade,
        feed_process(temporal, simulator, tmp_path / "first.log") as first,
    ):
        await following(simulator)
        set_price(simulator, "3452")
        await trade.told("3452")
        async with AsyncExitStack() as stack:
            first.kill()
            await first.wait()
            killed_ms = now_ms()
            set_price(simulator, "3456", "3451")
            # On a quick machine it would be back before its absence is worth a word.
            await until(lambda: now_ms() - killed_ms > OUTAGE_MIN_S * 1000)
            second = await stack.enter_async_context(feed_process(temporal, simulator, tmp_path / "second.log"))
            await trade.told("3452", "3456", "3451")
            assert second.returncode is None
            outage = await trade.told_of("feed")
            # Heartbeats come once a second.
            assert killed_ms - 5_000 <= outage.from_ms <= killed_ms < outage.to_ms


async def test_every_unit_of_an_outage_longer_than_the_replay_is_told_in_order(
    temporal: Client, simulator: Simulator, trade: Trade
) -> None:
    """The exchange is away for minutes; the turns of the price in between are in its candles only."""
    async with feed(temporal, simulator):
        await following(simulator)
        set_price(simulator, "3452")
        await trade.told("3452")
        simulator.outage.begin("refuse", None)
        await until(lambda: not simulator.streams.connections)
        away_minutes(simulator, 1, "3458", "3461", "3446", "3451")
        away_minutes(simulator, 1, "3451.5", "3470", "3451")
        away_minutes(simulator, 1, *["3451", "3451.5"] * 40)
        began_at = time.monotonic()
        await until(lambda: time.monotonic() - began_at > OUTAGE_MIN_S)
        simulator.outage.end()
        set_price(simulator, "3454")
        await trade.told("3452", "3458", "3461", "3446", "3451", "3470", "3451", "3454")
        await trade.told_of("exchange")


FAULTS: dict[str, dict[str, Any]] = {
    "kick": {},
    "stall": {"seconds": 60},
    "silent_close": {},
    "duplicate": {"count": 5},
    "replay": {},
    "out_of_order": {"count": 1},
    "garbage": {"count": 3},
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_fault_of_the_stream_loses_or_doubles_a_unit(
    temporal: Client, simulator: Simulator, trade: Trade, fault: str
) -> None:
    async with feed(temporal, simulator):
        await following(simulator)
        set_price(simulator, "3452")
        await trade.told("3452")
        simulator.streams.strike(STREAM_FAULT.validate_python({"fault": fault, **FAULTS[fault]}))
        set_price(simulator, "3456")
        # What is of one millisecond comes in one frame.
        struck_ms = simulator.clock.now_ms()
        await until(lambda: simulator.clock.now_ms() > struck_ms)
        set_price(simulator, "3454")
        await until_async(lambda: _stands_at(trade, 2))
        set_price(simulator, "3449", "3453", "3451.5")
        await until_async(lambda: _stands_at(trade, 1))
        set_price(simulator, "3448")
        await until_async(lambda: _stands_at(trade, -1))
        assert await _lines(trade) == [1, 2, 3, 2, 1, 0, 1, 0, -1]


async def _stands_at(trade: Trade, line: int) -> bool:
    return (await trade.tracking()).line == line


async def _lines(trade: Trade) -> list[int]:
    """All it was told to have completed, one by one."""
    line = 0
    lines: list[int] = []
    for tick in (tick for moved in await trade.received() for tick in moved.ticks):
        reached = GRID.line_reached(line, tick.price)
        lines.extend(range(line + 1, reached + 1) if reached > line else range(line - 1, reached - 1, -1))
        line = reached
    return lines


async def test_every_unit_before_a_takeover_is_told_however_many_prices_came_since(
    temporal: Client, simulator: Simulator, trade: Trade
) -> None:
    async with feed(temporal, simulator):
        await following(simulator)
        set_price(simulator, "3452")
        await trade.told("3452")
    away_minutes(simulator, 2, "3447", "3461", "3452")
    away_minutes(simulator, 1, *["3452", "3452.5"] * 40)
    async with feed(temporal, simulator):
        await trade.told("3452", "3447", "3461", "3452")


def away_minutes(simulator: Simulator, minutes: int, *prices: str) -> None:
    """So many minutes on, these prices, within one minute."""
    into_the_minute_s = simulator.clock.now_ms() % 60_000 / 1000
    simulator.clock.seek(simulator.clock.elapsed_s() + 60 * minutes - into_the_minute_s)
    set_price(simulator, *prices)


async def test_a_feed_that_is_stopped_hands_over(
    temporal: Client, simulator: Simulator, trade: Trade, tmp_path: Path
) -> None:
    async with feed_process(temporal, simulator, tmp_path / "first.log") as first:
        await following(simulator)
        set_price(simulator, "3452")
        await trade.told("3452")
        first.send_signal(signal.SIGTERM)
        began = time.monotonic()
        assert await asyncio.wait_for(first.wait(), 10) == 0
        assert time.monotonic() - began < 5
    set_price(simulator, "3456", "3451")
    async with feed(temporal, simulator):
        await trade.told("3452", "3456", "3451")
    await until_async(lambda: _failed_as(trade, "FeedStopping", attempts=1))


async def test_the_trace_begins_at_the_socket_and_goes_with_the_signal(
    temporal: Client, simulator: Simulator, trade: Trade, tmp_path: Path
) -> None:
    spans_file = tmp_path / "spans.jsonl"
    shutdown = tracing.configure("feed", Settings(trace_file=spans_file))
    try:
        async with feed(temporal, simulator):
            await following(simulator)
            before_ns = time.time_ns()
            set_price(simulator, "3452")
            (moved,) = await trade.told("3452")
    finally:
        shutdown()
    spans = {span["name"]: span for span in map(json.loads, spans_file.read_text().splitlines())}
    price, sent = spans["feed.price"], spans["feed.signal"]
    assert moved.traceparent is not None
    assert moved.traceparent.split("-")[1:3] == [price["trace_id"], sent["span_id"]]
    assert sent["parent_span_id"] == price["span_id"] and price["parent_span_id"] is None
    assert before_ns <= price["start_ns"] <= sent["start_ns"] <= sent["end_ns"] <= price["end_ns"]
    assert Decimal(price["attributes"]["price"]) == 3452
    assert price["attributes"]["tid"] == str(moved.tid)
