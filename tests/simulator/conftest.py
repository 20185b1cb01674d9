"""A running simulator and an account on it, driven by raw signed requests (signed by the official SDK's code)."""

import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import aiohttp
import pytest
from eth_account import Account as Key
from eth_account.signers.local import LocalAccount
from hyperliquid.utils.signing import sign_l1_action

from simulator.server import Simulator, SimulatorConfig

MASTER_KEY = "0x" + "11" * 32
AGENT_KEY = "0x" + "22" * 32
OTHER_KEY = "0x" + "33" * 32


@dataclass
class Client:
    """One key that talks to the simulator without any client library."""

    sim: Simulator
    http: aiohttp.ClientSession
    key: LocalAccount
    _nonces: "itertools.count[int]" = field(default_factory=lambda: itertools.count(int(time.time() * 1000)))

    @property
    def address(self) -> str:
        return str(self.key.address).lower()

    def signed(
        self,
        action: dict[str, Any],
        *,
        nonce: int | None = None,
        vault: str | None = None,
        expires_after: int | None = None,
    ) -> dict[str, Any]:
        nonce = next(self._nonces) if nonce is None else nonce
        signature = sign_l1_action(self.key, action, vault, nonce, expires_after, is_mainnet=False)
        body = {"action": action, "nonce": nonce, "signature": signature, "vaultAddress": vault}
        return body if expires_after is None else body | {"expiresAfter": expires_after}

    async def post(self, body: dict[str, Any]) -> dict[str, Any]:
        async with self.http.post(f"{self.sim.url}/exchange", json=body) as response:
            assert response.status == 200, await response.text()
            answer: dict[str, Any] = await response.json()
            return answer

    async def act(self, action: dict[str, Any], **how: Any) -> dict[str, Any]:
        return await self.post(self.signed(action, **how))

    async def order(self, is_buy: bool, size: str, price: str, **more: Any) -> Any:
        """The order's status object, or the text of an action-level error."""
        answer = await self.act(order_action(is_buy, size, price, **more))
        if answer["status"] == "err":
            return answer["response"]
        return answer["response"]["data"]["statuses"][0]

    async def info(self, kind: str, **fields: Any) -> Any:
        async with self.http.post(f"{self.sim.url}/info", json={"type": kind, **fields}) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def state(self) -> Any:
        return await self.info("clearinghouseState", user=self.address)

    async def size(self, coin: str = "ETH") -> Decimal:
        positions = {each["position"]["coin"]: each["position"] for each in (await self.state())["assetPositions"]}
        return Decimal(positions[coin]["szi"]) if coin in positions else Decimal(0)

    async def control(self, path: str, **body: Any) -> Any:
        async with self.http.post(f"{self.sim.control_url}/control/{path}", json=body) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def seen(self, what: str, **query: str) -> Any:
        async with self.http.get(f"{self.sim.control_url}/control/{what}", params=query) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def price(self, price: str, coin: str = "ETH") -> None:
        await self.control("price", coin=coin, price=price)


def order_action(
    is_buy: bool,
    size: str,
    price: str,
    *,
    tif: str = "Ioc",
    asset: int = 1,
    reduce_only: bool = False,
    cloid: str | None = None,
) -> dict[str, Any]:
    order: dict[str, Any] = {
        "a": asset,
        "b": is_buy,
        "p": price,
        "s": size,
        "r": reduce_only,
        "t": {"limit": {"tif": tif}},
    }
    if cloid:
        order["c"] = cloid
    return {"type": "order", "orders": [order], "grouping": "na"}


Connect = Callable[..., Awaitable[Client]]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def connect(http: aiohttp.ClientSession) -> AsyncIterator[Connect]:
    """`await connect(**config)` starts a simulator of its own, ETH at 3450, and gives its funded account's client."""
    running: list[Simulator] = []

    async def start(*, key: str = MASTER_KEY, usd: str = "10000", **config: Any) -> Client:
        owner = Key.from_key(key)
        sim = Simulator(SimulatorConfig(**({"funded": {owner.address: Decimal(usd)}} | config)))
        await sim.start()
        running.append(sim)
        return Client(sim, http, owner)

    yield start
    for sim in running:
        await sim.stop()


@pytest.fixture
async def client(connect: Connect) -> Client:
    return await connect()


@pytest.fixture
def as_key(http: aiohttp.ClientSession) -> Callable[[Client, str], Client]:
    """Another key's client on the same simulator."""
    return lambda client, key: Client(client.sim, http, Key.from_key(key))
