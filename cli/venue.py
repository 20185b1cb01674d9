"""What the command line itself asks the exchange: public reads that need no key and not the weight of ccxt.

Everything that trades goes through `exchange.gateway`.
"""

import difflib
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any, TypeVar

import aiohttp
from pydantic import BaseModel

from cli.errors import CommandFailed, ExchangeAway
from exchange import shapes, weights
from exchange.errors import NotSent, Unknown
from exchange.governor import Governor
from exchange.network import endpoint
from exchange.port import MarketRules, OpenOrder, Position
from settings import Network, Settings

T = TypeVar("T")

TIMEOUT_S = 5.0
BASE_FEES = {"userCrossRate": "0.00045", "userAddRate": "0.00015"}


class Holdings(BaseModel):
    """What an account has in perpetuals: positions that are not flat, and resting orders. Spot orders stand apart."""

    at_ms: int
    """Our clock before it was asked."""
    positions: tuple[Position, ...]
    resting: tuple[OpenOrder, ...]
    spot_resting: tuple[OpenOrder, ...]

    @property
    def coins(self) -> list[str]:
        """In which anything is left."""
        return sorted({each.coin for each in self.positions} | {each.coin for each in self.resting})


class Venue:
    """Public reads over one connection. Every method raises ExchangeAway when the exchange does not answer."""

    def __init__(self, settings: Settings) -> None:
        self._at = endpoint(settings)
        self.governor = Governor.of(self._at, settings.command_weight)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def __aenter__(self) -> "Venue":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def coin_of(self, symbol: str) -> str:
        """The exchange's name for `ETH` or `ETH/USDC:USDC`, in any case. Raises CommandFailed if it lists none."""
        universe = (await self._info({"type": "meta"}))["universe"]
        coins = {row["name"].lower(): str(row["name"]) for row in universe if not row.get("isDelisted")}
        asked = symbol.split("/")[0]
        if (coin := coins.get(asked.lower())) is not None:
            return coin
        near = [coins[name] for name in difflib.get_close_matches(asked.lower(), coins, n=3, cutoff=0.5)]
        hint = f"did you mean {', '.join(near)}?" if near else f"{len(coins)} coins are, among them BTC and ETH"
        raise CommandFailed(f"coin {symbol} is not traded on {self._at.network}: {hint}")

    async def rules(self, coin: str) -> MarketRules:
        """Of a coin that is listed, its price in it. Fees are those of an account that has traded nothing yet."""
        meta, contexts = await self._info({"type": "metaAndAssetCtxs"})
        return _known(lambda: shapes.market_rules(meta, contexts, BASE_FEES, coin))

    async def free_usd(self, account: str) -> Decimal:
        """What a new position can use."""
        state = await self._info({"type": "clearinghouseState", "user": account})
        return _known(lambda: shapes.usd_balance(state)).free

    async def mid_prices(self) -> dict[str, Decimal]:
        """USD per coin, of every coin."""
        return {coin: Decimal(price) for coin, price in (await self._info({"type": "allMids"})).items()}

    async def holdings(self, account: str) -> Holdings:
        """Orders first: one that fills in between is seen as a position."""
        at_ms = time.time_ns() // 1_000_000
        orders = await self._info({"type": "frontendOpenOrders", "user": account})
        state = await self._info({"type": "clearinghouseState", "user": account})
        resting, positions = _known(lambda: shapes.open_orders(orders)), _known(lambda: shapes.positions(state))
        return Holdings(
            at_ms=at_ms,
            positions=positions,
            resting=tuple(order for order in resting if not _is_spot(order.coin)),
            spot_resting=tuple(order for order in resting if _is_spot(order.coin)),
        )

    async def _info(self, request: dict[str, str]) -> Any:
        try:
            async with self.governor.turn(weights.of_info(request)) as turn:
                async with self._session.post(f"{self._at.url}/info", json=request) as answer:
                    if answer.status == 429:
                        turn.was_not_let_in(over_limit=True)
                    answer.raise_for_status()
                    found = await answer.json()
                turn.came_to(found)
                return found
        except NotSent as error:
            raise ExchangeAway(f"the exchange was not asked: {error}; try again in a minute") from error
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            cure = "check the connection and try again"
            if self._at.network is Network.PAPER:
                cure = "start it with `hypertrader up`, or name another address in HYPERTRADER_EXCHANGE_URL"
            raise ExchangeAway(
                f"the exchange does not answer at {self._at.url}: {cure} ({type(error).__name__}: {error})"
            ) from error


def _known(read: Callable[[], T]) -> T:
    try:
        return read()
    except Unknown as error:
        raise CommandFailed(str(error)) from error


def _is_spot(coin: str) -> bool:
    """`PURR/USDC` and `@107`: the exchange lists orders of both sides together."""
    return coin.startswith("@") or "/" in coin


class ControlApi:
    """The simulator's control API: prices, the clock, deposits, faults and the exchange's own books."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=TIMEOUT_S))

    async def close(self) -> None:
        await self._session.close()

    async def answers(self) -> bool:
        try:
            await self.state()
        except CommandFailed:
            return False
        return True

    async def state(self) -> dict[str, Any]:
        """Clock, prices, accounts, number of WebSocket connections."""
        found: dict[str, Any] = await self._ask("GET", "state")
        return found

    async def ledger(self, account: str) -> dict[str, Any]:
        """The exchange's own books of an account; empty for one it never saw."""
        found: dict[str, Any] = (await self._ask("GET", "ledger")).get(account.lower(), {})
        return found

    async def requests(self, **filters: str) -> list[dict[str, Any]]:
        """The requests it got since it started: by `type`, `path`, `signer`, `verdict`, `since_ms`."""
        found: list[dict[str, Any]] = await self._ask("GET", "requests", params=filters)
        return found

    async def set_price(self, coin: str, price: Decimal) -> None:
        await self._ask("POST", "price", json={"coin": coin, "price": f"{price:f}"})

    async def fund(self, account: str, usd: Decimal) -> None:
        await self._ask("POST", "fund", json={"address": account, "usd": f"{usd:f}"})

    async def hold_prices(self) -> None:
        await self._ask("POST", "clock", json={"paused": True})

    async def let_prices_move(self) -> None:
        await self._ask("POST", "clock", json={"paused": False})

    async def arm(self, kind: str, match: dict[str, Any] | None = None, **what: Any) -> int:
        """Arm a fault, as `arm("delay", {"action": "order"}, seconds=3)`. Returns its id; kinds: docs/simulator.md."""
        armed = await self._ask("POST", "faults", json={"kind": kind, "match": match or {}, **what})
        return int(armed["id"])

    async def faults(self) -> list[dict[str, Any]]:
        """The armed faults; `hit` is how often each struck."""
        found: list[dict[str, Any]] = await self._ask("GET", "faults")
        return found

    async def disarm(self) -> None:
        await self._ask("DELETE", "faults")

    async def seed(self, seed: int) -> None:
        """Begin the chance anew by which faults with a probability strike."""
        await self._ask("POST", "seed", json={"seed": seed})

    async def begin_outage(self, mode: str = "refuse", seconds: float | None = None) -> None:
        """`refuse`, `hang` or `bad_gateway`; until `end_outage` if no seconds are given."""
        await self._ask("POST", "outage", json={"mode": mode, "seconds": seconds})

    async def end_outage(self) -> None:
        await self._ask("DELETE", "outage")

    async def strike_streams(self, fault: str, **what: Any) -> None:
        """`kick`, `stall` (seconds), `silent_close`, `duplicate`, `out_of_order`, `garbage` (count) or `replay`."""
        await self._ask("POST", "streams", json={"fault": fault, **what})

    async def pay_funding(self, coin: str, rate: Decimal) -> None:
        """One hour of funding, now."""
        await self._ask("POST", "funding", json={"coin": coin, "rate": f"{rate:f}"})

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """Anything else it can do: `depth`, `sub_account`."""
        return await self._ask("POST", path, json=body)

    async def _ask(self, method: str, path: str, **arguments: Any) -> Any:
        try:
            async with self._session.request(method, f"{self.url}/control/{path}", **arguments) as answer:
                if answer.status == 400:
                    raise CommandFailed(f"the simulator refused {path}: {await answer.text()}")
                answer.raise_for_status()
                return await answer.json()
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise CommandFailed(f"the simulator's control API does not answer at {self.url}: {error}") from error
