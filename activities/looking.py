"""Looking at the account: what the exchange has, for a trade to compare with its ledger."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Generic, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import told_to_temporal
from activities.messages import Findings, LookRequest
from exchange.gateway import HyperliquidGateway
from exchange.port import AccountFacts, Position
from settings import Settings

A = TypeVar("A")


class Shared(Generic[A]):
    """One question for all that ask at the same time.

    Whoever asks while an answer is on its way waits for the next one: an answer never is of a question put before it
    was asked for. `since_ms` is the earliest anybody in the round asked for.
    """

    def __init__(self, ask: Callable[[int], Awaitable[A]]) -> None:
        self._ask = ask
        self._running: asyncio.Task[A] | None = None
        self._next: asyncio.Task[A] | None = None
        self._next_since_ms = 0

    async def answer(self, since_ms: int) -> A:
        if self._next is None:
            self._next_since_ms = since_ms
            self._next = asyncio.create_task(self._after(self._running))
        self._next_since_ms = min(self._next_since_ms, since_ms)
        # One that gives up waiting must not take the answer away from the others.
        return await asyncio.shield(self._next)

    async def _after(self, former: asyncio.Task[A] | None) -> A:
        if former is not None:
            await asyncio.wait({former})
        self._running, self._next = self._next, None
        return await self._ask(self._next_since_ms)


class LookingActivities:
    """Bound to one account; the work of another one is for another worker."""

    def __init__(self, gateway: HyperliquidGateway, settings: Settings) -> None:
        self._gateway = gateway
        self._network = settings.network
        self._shared = Shared(self._facts)

    @activity.defn
    async def look(self, request: LookRequest) -> Findings:
        """What the exchange holds, rests, filled and paid in one coin, and how its price moved while we were away."""
        self._check_own(request)
        async with told_to_temporal():
            facts = await self._shared.answer(request.since_ms)
            away = request.away
            missed = None
            if away is not None:
                missed = await self._gateway.price_range(request.coin, from_ms=away.from_ms, to_ms=away.to_ms)
        return _of_coin(facts, request).model_copy(update={"missed": missed})

    @activity.defn
    async def cancel_resting(self, request: LookRequest) -> int:
        """Take every resting order in the coin off the book, whoever placed it; how many there were."""
        self._check_own(request)
        async with told_to_temporal():
            resting = await self._gateway.open_orders(request.coin)
            await self._gateway.cancel_orders(resting)
        return len(resting)

    def _check_own(self, request: LookRequest) -> None:
        own = (self._network, self._gateway.account)
        if (request.network, request.account) != own:
            raise ApplicationError(
                f"the trade is of account {request.account} on {request.network}; this worker serves {own[1]} on"
                f" {own[0]}",
                type="WrongAccount",
            )

    async def _facts(self, since_ms: int) -> AccountFacts:
        return await self._gateway.account_facts(since_ms=since_ms)


def _of_coin(facts: AccountFacts, request: LookRequest) -> Findings:
    coin, since_ms = request.coin, request.since_ms
    held = (each for each in facts.positions if each.coin == coin)
    return Findings(
        at_ms=facts.at_ms,
        position=next(held, Position(coin=coin, size=Decimal(0))),
        resting=tuple(each for each in facts.resting if each.coin == coin),
        fills=tuple(each for each in facts.fills if each.coin == coin and each.time_ms >= since_ms),
        funding=tuple(each for each in facts.funding if each.coin == coin and each.time_ms >= since_ms),
    )
