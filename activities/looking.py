"""Looking at the account: what the exchange has, for a trade to compare with its ledger."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar

from temporalio import activity

from activities.failures import check_own, told_to_temporal
from activities.heartbeats import heartbeating
from activities.messages import Findings, LookRequest, tag_in
from activities.neighbours import Beside, NotReached, Own, asked_around, found_on, greet
from exchange.errors import ExchangeError
from exchange.gateway import HyperliquidGateway
from exchange.port import AccountFacts, Position, PriceRange
from settings import Settings

A = TypeVar("A")


class Since(NamedTuple):
    """Fills and funding payments from these moments on, ms UTC."""

    fills_ms: int
    funding_ms: int

    def or_earlier(self, other: "Since") -> "Since":
        return Since(min(self.fills_ms, other.fills_ms), min(self.funding_ms, other.funding_ms))


class Shared(Generic[A]):
    """One question for all that ask at the same time.

    Whoever asks while an answer is on its way waits for the next one: an answer never is of a question put before it
    was asked for. `Since` holds the earliest moments anybody in the round asked for.
    """

    def __init__(self, ask: Callable[[Since], Awaitable[A]]) -> None:
        self._ask = ask
        self._running: asyncio.Task[A] | None = None
        self._next: asyncio.Task[A] | None = None
        self._next_since = Since(0, 0)

    async def answer(self, since: Since) -> A:
        if self._next is None:
            self._next_since = since
            self._next = asyncio.create_task(self._after(self._running))
        self._next_since = self._next_since.or_earlier(since)
        # One that gives up waiting must not take the answer away from the others.
        return await asyncio.shield(self._next)

    async def _after(self, former: asyncio.Task[A] | None) -> A:
        if former is not None:
            await asyncio.wait({former})
        self._running, self._next = self._next, None
        return await self._ask(self._next_since)


class LookingActivities:
    """Bound to one account; the work of another one is for another worker."""

    def __init__(self, gateway: HyperliquidGateway, settings: Settings) -> None:
        self._gateway = gateway
        self._network = settings.network
        self._near_pct = settings.notify_liquidation_pct
        self._shared = Shared(self._facts)

    @activity.defn
    async def look(self, request: LookRequest) -> Findings:
        """What the exchange holds, rests, filled and paid in one coin, and how its price moved while we were away."""
        self._check_own(request)
        async with heartbeating(), told_to_temporal():
            found, beside = await self._beside_others(request)
        here = {"missed": await self._missed(request), "liquidation_within_pct": self._near_pct}
        return found.model_copy(update=here | beside._asdict())

    @activity.defn
    async def cancel_resting(self, request: LookRequest) -> int:
        """Take every resting order in the coin off the book, whoever placed it, or all with a tag; how many there
        were."""
        self._check_own(request)
        async with told_to_temporal():
            resting = await self._gateway.open_orders(request.coin)
            if request.own_tag is not None:
                resting = tuple(each for each in resting if tag_in(each.cloid) == request.own_tag)
            await self._gateway.cancel_orders(resting)
        return len(resting)

    async def _beside_others(self, request: LookRequest) -> tuple[Findings, Beside]:
        ids, not_listed = set(request.neighbours), None
        try:
            if request.find_neighbours:
                found_ids = await found_on(request.coin, request.trade_id)
                await greet(found_ids, request.trade_id)
                ids |= set(found_ids)
        except NotReached as error:
            not_listed = str(error)
        own = Own(request.coin, request.network, request.account)
        found, beside = await asked_around(
            sorted(ids), own, lambda: self._of_coin(request), lambda findings: findings.fills
        )
        return found, beside._replace(unsettled=not_listed or beside.unsettled)

    async def _of_coin(self, request: LookRequest) -> Findings:
        return _of_coin(await self._shared.answer(_since(request)), request)

    async def _missed(self, request: LookRequest) -> PriceRange | None:
        """Good to know, and nothing that a trade waits for."""
        if request.away is None:
            return None
        try:
            return await self._gateway.price_range(request.coin, from_ms=request.away.from_ms, to_ms=request.away.to_ms)
        except ExchangeError:
            return None

    def _check_own(self, request: LookRequest) -> None:
        check_own((request.network, request.account), (self._network, self._gateway.account))

    async def _facts(self, since: Since) -> AccountFacts:
        return await self._gateway.account_facts(since_ms=since.fills_ms, funding_since_ms=since.funding_ms)


def _since(request: LookRequest) -> Since:
    return Since(request.since_ms, request.funding_since_ms or request.since_ms)


def _of_coin(facts: AccountFacts, request: LookRequest) -> Findings:
    coin, since = request.coin, _since(request)
    held = (each for each in facts.positions if each.coin == coin)
    return Findings(
        at_ms=facts.at_ms,
        position=next(held, Position(coin=coin, size=Decimal(0))),
        resting=tuple(each for each in facts.resting if each.coin == coin),
        fills=tuple(each for each in facts.fills if each.coin == coin and each.time_ms >= since.fills_ms),
        funding=None
        if facts.funding is None
        else tuple(each for each in facts.funding if each.coin == coin and each.time_ms >= since.funding_ms),
    )
