"""A simulated Hyperliquid put together: venue, prices, HTTP, WebSocket, control API, store.

`async with Simulator(SimulatorConfig(funded={address: Decimal(10_000)})) as sim:` runs one that answers at `sim.url`,
`sim.ws_url` and `sim.control_url`.
"""

import asyncio
import contextlib
import logging
from collections.abc import Coroutine
from decimal import Decimal
from types import TracebackType
from typing import Any, Self

from aiohttp import web

from simulator import funding
from simulator.candles import Candles
from simulator.config import SimulatorConfig
from simulator.control import Control
from simulator.control_faults import FaultControl
from simulator.events import Traded
from simulator.http import Endpoints
from simulator.info import Info
from simulator.limits import Limits
from simulator.liquidation import liquidate
from simulator.log import RequestLog
from simulator.markets import BY_COIN, MARKETS
from simulator.matching import move_price
from simulator.outage import Outage
from simulator.prices import Clock, PriceSource
from simulator.store import ClockState, Store
from simulator.streams import Streams
from simulator.striking import Faults
from simulator.triggers import fire_due
from simulator.venue import Venue

__all__ = ["Simulator", "SimulatorConfig", "serve"]

TICK_S = 1.0

_log = logging.getLogger(__name__)


class Simulator:
    """One venue while it runs. Raises StateInUse from `start` when the state folder is taken."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config = config
        self.faults = Faults(config.fault_seed)
        self.outage = Outage()
        self.venue: Venue
        self.clock: Clock
        self.streams: Streams
        self.request_log: RequestLog
        self.url = self.ws_url = self.control_url = ""
        self._store: Store | None = None
        self._source: PriceSource | None = None
        self._candles = Candles()
        self._running = contextlib.AsyncExitStack()

    async def start(self) -> None:
        """All of it or nothing: what was opened before a failure is closed again."""
        async with contextlib.AsyncExitStack() as opened:
            await self._open(opened)
            self._running = opened.pop_all()

    async def stop(self) -> None:
        """Close what `start` opened, last first; the file then holds where the path stands."""
        await self._running.aclose()

    async def _open(self, opened: contextlib.AsyncExitStack) -> None:
        config = self.config
        if config.state_dir is not None:
            self._store = Store(config.state_dir)
            opened.callback(self._store.close)
        self.clock = self._open_clock()
        self.venue = Venue(config, simulated_ms=self.clock.now_ms)
        info = Info(self.venue, self._candles)
        self.request_log = RequestLog(config.log_file)
        opened.callback(self.request_log.close)
        limits = Limits(config.weight_per_minute)
        endpoints = Endpoints(self.venue, info, self.faults, self.request_log, self.commit, limits)
        self.streams = Streams(info, config.idle_close_s, config.stream_interval_s, endpoints.act)
        if self._store is not None:
            self._store.load(self.venue)
            self.venue.drain()
        funding.begin(self.venue)
        self._open_prices()
        opened.callback(self.commit)
        self._fund()
        control = Control(self.venue, self.clock, self.streams, self.request_log, self.commit)
        await self._listen(endpoints, control, opened)
        opened.push_async_callback(self.streams.close)
        _run(self.streams.tick(), "streams", opened)
        _run(self._tick(), "clockwork", opened)
        if self._source is not None:
            opened.push_async_callback(self._source.close)
            _run(self._follow(self._source), "prices", opened)

    def _open_clock(self) -> Clock:
        """Where a former process left the path, and held if it was held: the configured pause is for a new one."""
        left = self._store.clock() if self._store else None
        if left is None:
            return Clock(speed=self.config.speed, paused=self.config.paused)
        return Clock(speed=self.config.speed, position=left.position_s, start_ms=left.start_ms, paused=left.paused)

    def _clock_state(self) -> ClockState:
        return ClockState(self.clock.elapsed_s(), self.clock.start_ms, self.clock.paused)

    def _open_prices(self) -> None:
        """First prints: what the source begins with, and the standing price of every other coin."""
        prices = {market.coin: self.venue.books[market.coin].mid for market in MARKETS if not market.delisted}
        if self.config.price_source is not None:
            self._source = self.config.price_source(self.clock)
            prices |= self._source.initial()
            for coin in set(prices) - set(BY_COIN):
                _log.warning("the price source has %s, which is not listed: ignored", coin)
        for coin, price in prices.items():
            self._print(coin, price)

    def _fund(self) -> None:
        for address, usd in self.config.funded.items():
            if address not in self.venue.accounts:
                self.venue.deposit(address, usd)
        self.commit()

    async def _listen(self, endpoints: Endpoints, control: Control, opened: contextlib.AsyncExitStack) -> None:
        public = web.Application(client_max_size=2**20, middlewares=[self.outage.gateway])
        public.add_routes(
            [
                web.post("/exchange", endpoints.exchange),
                web.post("/info", endpoints.info_request),
                web.get("/ws", self.streams.serve),
            ]
        )
        private = web.Application()
        private.add_routes(control.routes() + FaultControl(self.faults, self.streams, self.outage).routes())
        host = self.config.host
        port = await _bind(public, host, self.config.port, opened, self.outage)
        opened.callback(self.outage.end)
        control_port = await _bind(private, host, self.config.control_port, opened)
        self.url, self.ws_url = f"http://{host}:{port}", f"ws://{host}:{port}/ws"
        self.control_url = f"http://{host}:{control_port}"

    async def _tick(self) -> None:
        """Funding falls due, and a liquidation goes on, also while no price and no request comes."""
        while True:
            await asyncio.sleep(TICK_S)
            self.commit()

    async def _follow(self, source: PriceSource) -> None:
        async for point in source.stream():
            self._print(point.coin, point.price)

    def _print(self, coin: str, price: Decimal) -> None:
        if coin in BY_COIN:
            funding.pay_due(self.venue)
            move_price(self.venue, coin, price)
            self.commit()

    def commit(self) -> None:
        """Keep and publish what changed since the last commit, and what follows from it by the venue's rules.

        Before it returns, the change is in the file.
        """
        funding.pay_due(self.venue)
        fire_due(self.venue)
        liquidate(self.venue)
        changes, events = self.venue.drain()
        if self._store is not None:
            self._store.save(self.venue, changes, self._clock_state())
        for event in events:
            if isinstance(event, Traded):
                for trade in event.trades:
                    self._candles.add(trade.coin, trade.price, trade.size, trade.time_ms)
        self.streams.publish(events)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()


async def _bind(
    app: web.Application, host: str, port: int, opened: contextlib.AsyncExitStack, outage: Outage | None = None
) -> int:
    """Serve an application; connections to it pass the outage, if one is given. Returns the port."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    opened.push_async_callback(runner.cleanup)
    assert runner.server is not None
    if outage is not None:
        outage.guard(runner.server)
    accept = outage.accept if outage is not None else runner.server
    listening = await asyncio.get_running_loop().create_server(accept, host, port, backlog=128)
    opened.callback(listening.close)
    bound: int = listening.sockets[0].getsockname()[1]
    return bound


def _run(work: Coroutine[Any, Any, None], name: str, opened: contextlib.AsyncExitStack) -> None:
    """Run beside the server until it stops. If it fails before, the log says so: the venue itself goes on."""
    task = asyncio.create_task(work, name=f"simulator {name}")

    def report(done: asyncio.Task[None]) -> None:
        if not done.cancelled() and done.exception() is not None:
            _log.error("the simulator's %s stopped: %s", name, done.exception(), exc_info=done.exception())

    async def end() -> None:
        task.cancel()
        await asyncio.wait([task])

    task.add_done_callback(report)
    opened.push_async_callback(end)


async def serve(config: SimulatorConfig, stopped: asyncio.Event | None = None) -> None:
    """Run until `stopped` is set (for ever without it)."""
    async with Simulator(config):
        await (stopped or asyncio.Event()).wait()
