"""The control API, on its own port: what a test may do to the venue, and what it may see of it.

Everything is JSON; a body that does not fit is answered with 400 and one line that says what is allowed.
"""

from collections.abc import Callable
from typing import Annotated, Any

from aiohttp import web
from pydantic import Field

from simulator.config import Depth
from simulator.control_wire import Amount, Coin, Follower, Perpetual, Strict, answer, read
from simulator.events import BookMoved
from simulator.funding import pay
from simulator.funding_rates import RATE_MAX
from simulator.ledger import ledger
from simulator.log import RequestLog
from simulator.matching import follow, move_price
from simulator.prices import Clock
from simulator.spot import PAIR_OF
from simulator.streams import Streams
from simulator.venue import Venue
from simulator.wire import Address, number


class SetPrice(Strict):
    """A new price, and optionally mark and oracle held apart from it; mark or oracle `null` lets them follow again."""

    coin: Coin
    price: Annotated[Amount, Field(gt=0)] | None = None
    mark: Annotated[Amount, Field(gt=0)] | None = None
    oracle: Annotated[Amount, Field(gt=0)] | None = None


class Fund(Strict):
    address: Address
    usd: Amount


class OpenSubAccount(Strict):
    master: Address
    name: str = Field(min_length=1, max_length=16)


class SetDepth(Depth):
    coin: Coin


class PayFunding(Strict):
    """One hour at this rate, now and beside the regular hours."""

    coin: Perpetual
    rate: Annotated[Amount, Field(ge=-RATE_MAX, le=RATE_MAX)]


class SetBasis(Strict):
    """How far a spot pair stands above its perpetual, as a share of its price."""

    coin: Follower
    basis: Annotated[Amount, Field(gt=-1, lt=1)]


class SetClock(Strict):
    paused: bool | None = None
    speed: Annotated[float, Field(gt=0)] | None = None
    seek_s: Annotated[float, Field(ge=0)] | None = None


class Control:
    def __init__(
        self,
        venue: Venue,
        clock: Clock,
        streams: Streams,
        log: RequestLog,
        commit: Callable[[], None],
    ) -> None:
        self.venue = venue
        self.clock = clock
        self.streams = streams
        self.log = log
        self._commit = commit

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/control/price", self.price),
            web.post("/control/fund", self.fund),
            web.post("/control/sub_account", self.sub_account),
            web.post("/control/depth", self.depth),
            web.post("/control/basis", self.basis),
            web.post("/control/funding", self.funding),
            web.post("/control/clock", self.set_clock),
            web.get("/control/requests", self.requests),
            web.get("/control/ledger", self.ledger),
            web.get("/control/state", self.state),
        ]

    async def price(self, request: web.Request) -> web.Response:
        body = await read(request, SetPrice.model_validate)
        for name, overrides in (("mark", self.venue.marks), ("oracle", self.venue.oracles)):
            if name in body.model_fields_set:
                value = getattr(body, name)
                if value is None:
                    overrides.pop(body.coin, None)
                else:
                    overrides[body.coin] = value
        if body.price is not None:
            move_price(self.venue, body.coin, body.price)
        self._commit()
        return answer({"coin": body.coin, "price": number(self.venue.books[body.coin].mid)})

    async def fund(self, request: web.Request) -> web.Response:
        body = await read(request, Fund.model_validate)
        account = self.venue.deposit(body.address, body.usd)
        self._commit()
        return answer({"address": account.address, "depositsUsd": number(account.deposits_usd)})

    async def sub_account(self, request: web.Request) -> web.Response:
        body = await read(request, OpenSubAccount.model_validate)
        master = self.venue.accounts.get(body.master)
        if master is None:
            raise web.HTTPBadRequest(text=f"master is {body.master}: allowed are funded addresses")
        opened = self.venue.open_sub_account(master, body.name)
        self._commit()
        return answer({"address": opened.address, "master": master.address})

    async def depth(self, request: web.Request) -> web.Response:
        body = await read(request, SetDepth.model_validate)
        depth = Depth.model_validate(body.model_dump(exclude={"coin"}))
        self.venue.books[body.coin].depth = depth
        self.venue.events.append(BookMoved(body.coin))
        self._commit()
        return answer(body.model_dump(mode="json"))

    async def basis(self, request: web.Request) -> web.Response:
        body = await read(request, SetBasis.model_validate)
        self.venue.bases[body.coin] = body.basis
        follow(self.venue, PAIR_OF[body.coin])
        self._commit()
        return answer({"coin": body.coin, "price": number(self.venue.books[body.coin].mid)})

    async def funding(self, request: web.Request) -> web.Response:
        body = await read(request, PayFunding.model_validate)
        paid = pay(self.venue, body.coin, body.rate, self.venue.market_ms())
        self._commit()
        return answer([{"user": each.user, "usd": number(each.usd)} for each in paid])

    async def set_clock(self, request: web.Request) -> web.Response:
        body = await read(request, SetClock.model_validate)
        if body.speed is not None:
            self.clock.set_speed(body.speed)
        if body.seek_s is not None:
            try:
                self.clock.seek(body.seek_s)
            except ValueError as error:
                raise web.HTTPBadRequest(text=str(error)) from error
        if body.paused is not None:
            (self.clock.pause if body.paused else self.clock.resume)()
        self._commit()
        return answer(self._clock())

    async def requests(self, request: web.Request) -> web.Response:
        """Filters: `type` (of the action or info request), `path`, `signer`, `verdict`, `since_ms`."""
        wanted = {name: request.query[name] for name in ("type", "path", "signer", "verdict") if name in request.query}
        since_ms = int(request.query.get("since_ms", "0"))
        found = [
            entry.model_dump()
            for entry in self.log.entries
            if entry.received_ms >= since_ms and all(getattr(entry, name) == value for name, value in wanted.items())
        ]
        return answer(found)

    async def ledger(self, request: web.Request) -> web.Response:
        return answer(ledger(self.venue, self.log))

    async def state(self, request: web.Request) -> web.Response:
        coins = {
            coin: {
                "mid": number(book.mid),
                "mark": number(self.venue.mark(coin)),
                "oracle": number(self.venue.oracle(coin)),
            }
            for coin, book in self.venue.books.items()
        }
        return answer(
            {
                "clock": self._clock(),
                "coins": coins,
                "accounts": sorted(self.venue.accounts),
                "connections": len(self.streams.connections),
                "subscriptions": sum(len(each.subscriptions) for each in self.streams.connections),
                "openOrders": sum(len(book.resting) for book in self.venue.books.values()),
                "requests": len(self.log.entries),
            }
        )

    def _clock(self) -> dict[str, Any]:
        return {
            "paused": self.clock.paused,
            "speed": self.clock.speed,
            "elapsedS": self.clock.elapsed_s(),
            "nowMs": self.clock.now_ms(),
            "wallMs": self.venue.wall_ms(),
        }
