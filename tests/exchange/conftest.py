"""A simulator, a proxy in front of it that spoils answers, and gateways that go through the proxy."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from exchange.gateway import HyperliquidGateway
from exchange.nonces import wall_ms
from exchange.port import Intent, Side
from exchange.signing import PrivateKey
from settings import Settings
from simulator.server import Simulator, SimulatorConfig
from tests.exchange.spoiling import Spoil

# A busy machine is no failure of a property.

TEST_KEY = "0x" + "a1" * 32


async def start_server(handler: Callable[[web.Request], Awaitable[web.StreamResponse]]) -> tuple[str, web.AppRunner]:
    """An HTTP server for every path on a free port; its address and what stops it."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return f"http://127.0.0.1:{runner.addresses[0][1]}", runner


@dataclass
class Proxy:
    """Passes requests on to `target`; the next ones of a type are answered by what was put into `spoilt` for it."""

    target: str
    spoilt: dict[str, list[Spoil]] = field(default_factory=dict)
    seen: list[dict[str, Any]] = field(default_factory=list)

    def spoil(self, kind: str, *how: Spoil) -> None:
        self.spoilt.setdefault(kind, []).extend(how)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raw = await request.read()
        body = await request.json()
        kind = body["action"]["type"] if "action" in body else body["type"]
        self.seen.append(body)

        async def forward() -> bytes:
            async with aiohttp.ClientSession() as http:
                headers = {"Content-Type": "application/json"}
                async with http.post(self.target + request.path, data=raw, headers=headers) as answer:
                    return await answer.read()

        queue = self.spoilt.get(kind)
        if queue:
            return await queue.pop(0)(request, raw, forward)
        return web.Response(body=await forward(), content_type="application/json")


@dataclass
class Stage:
    """One simulator with a proxy, and a gateway on it."""

    sim: Simulator
    proxy: Proxy
    settings: Settings
    key: PrivateKey
    gateway: HyperliquidGateway
    _cloids: "itertools.count[int]" = field(default_factory=lambda: itertools.count(1))

    def intent(self, side: Side = Side.BUY, size: str = "0.01", price: str = "3460", **terms: Any) -> Intent:
        """A buy of 0.01 ETH that crosses the book at 3450, valid for 5 s, unless told otherwise."""
        fixed = {
            "cloid": f"0x{next(self._cloids):032x}",
            "account": self.gateway.account,
            "signer": self.gateway.signer,
            "nonce": self.gateway.draw_nonce(),
            "coin": "ETH",
            "asset": 1,
            "reduce_only": False,
            "expires_after_ms": wall_ms() + 5_000,
        }
        return Intent(side=side, size=Decimal(size), limit_price=Decimal(price), **(fixed | terms))

    def accepted(self) -> list[Any]:
        """The orders the venue itself says it accepted."""
        return [order for order in self.sim.venue.orders.values() if not order.status.endswith("Rejected")]

    def sent(self, kind: str) -> list[dict[str, Any]]:
        return [body for body in self.proxy.seen if body.get("action", {}).get("type") == kind]


StartStage = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def stage_of(tmp_path: Path) -> AsyncIterator[StartStage]:
    """`await stage_of(**simulator_config)`: ETH at 3450, the key's account funded with 10 000 USD."""
    stops: list[Callable[[], Awaitable[None]]] = []

    async def start(account: str | None = None, usd: str = "10000", **config: Any) -> Stage:
        key = PrivateKey(TEST_KEY)
        sim = Simulator(SimulatorConfig(**({"funded": {account or key.address: Decimal(usd)}} | config)))
        await sim.start()
        proxy = Proxy(sim.url)
        url, runner = await start_server(proxy.handle)
        settings = Settings(state_dir=tmp_path, exchange_url=url, account=account)
        gateway = HyperliquidGateway.connect(settings, key=key)
        stops.extend([sim.stop, runner.cleanup, gateway.close])
        return Stage(sim, proxy, settings, key, gateway)

    yield start
    for stop in reversed(stops):
        await stop()


@pytest.fixture
async def stage(stage_of: StartStage) -> Stage:
    return await stage_of()


async def control(sim: Simulator, path: str, **body: Any) -> Any:
    async with aiohttp.ClientSession() as http:
        async with http.post(f"{sim.control_url}/control/{path}", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()


@pytest.fixture
async def answering() -> AsyncIterator[Callable[[Spoil], Awaitable[str]]]:
    """`await answering(handler)`: the address of a server that answers everything with it."""
    runners: list[web.AppRunner] = []

    async def start(spoil: Spoil) -> str:
        async def handler(request: web.Request) -> web.StreamResponse:
            return await spoil(request, await request.read(), _nothing)

        url, runner = await start_server(handler)
        runners.append(runner)
        return url

    yield start
    await asyncio.gather(*(runner.cleanup() for runner in runners))


async def _nothing() -> bytes:
    return b""
