"""How an intent comes to a definite end, exactly once, whatever gets lost on the way.

The exchange takes a nonce of a signer once. So the very same bytes can be sent any number of times, and a noop with the
same nonce settles what an answer did not: either the noop takes the nonce, and the order can never execute, or the
nonce is taken, and the order was there first. Every step is a question about a nonce that is fixed in the intent, so
`execute` can be run again, anywhere, at any time, and comes to the same end.

                 filled, or refused by name                     -> definite
    POST order   nonce already used                             -> look it up
                 nonce below the signer's window                -> look it up
                 anything else, or past its expiry              -> fence

    fence        noop took the nonce                            -> never executed
                 nonce already used, or below the window        -> look it up

    look it up   record by cloid, then fills by cloid           -> definite
                 neither, long enough after the expiry          -> never executed
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Protocol, TypeVar

from exchange.errors import NotSent, Rejected, RejectReason, Unknown
from exchange.nonces import wall_ms
from exchange.port import Fill, Intent, OrderOutcome, OrderRecord, OutcomeStatus, Proof
from exchange.sorting import Declined, Filled, NonceTooLow, NonceUsed, record_reason

T = TypeVar("T")


class Clock(Protocol):
    """Wall time and waiting."""

    def now_ms(self) -> int: ...
    async def sleep(self, seconds: float) -> None: ...


class WallClock:
    def now_ms(self) -> int:
        return wall_ms()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


WALL_CLOCK = WallClock()


class Orders(Protocol):
    """What settles an intent: one HTTP request each. All raise NotSent, Rejected or Unknown."""

    async def place(self, intent: Intent) -> Filled | Declined: ...
    async def fence(self, intent: Intent) -> None: ...
    async def order_by_cloid(self, cloid: str) -> OrderRecord | None: ...
    async def fills_of(self, intent: Intent) -> tuple[Fill, ...]: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each kind of uncertainty is waited out."""

    visible_after_s: float = 5.0
    """By then an admitted order and its fills can be read; a second and a half is the most that was seen."""
    skew_s: float = 2.0
    """How far the exchange's clock may be behind ours when we say that an order has expired."""
    give_up_after_s: float = 30.0
    """Without an answer for this long, execute raises Unknown and leaves the next try to its caller."""
    pause_s: float = 0.03
    pause_max_s: float = 0.5


async def execute(
    orders: Orders, intent: Intent, *, clock: Clock = WALL_CLOCK, patience: Patience | None = None
) -> OrderOutcome:
    """Send `intent`, unless it is too late for that, and find out what became of it.

    Raises NotSent or Unknown when the exchange could not be asked for long: neither says that the order did not
    execute, and the answer to both is to run this again with the same intent. Never raises Rejected.
    """
    return await _Execution(orders, intent, clock, patience or Patience()).run()


class _Execution:
    """One run. `asks` counts the requests, for the proof."""

    def __init__(self, orders: Orders, intent: Intent, clock: Clock, patience: Patience) -> None:
        self._orders = orders
        self._intent = intent
        self._clock = clock
        self._patience = patience
        self._asks = 0
        self._refusal: Rejected | None = None

    async def run(self) -> OrderOutcome:
        if self._clock.now_ms() < self._intent.expires_after_ms:
            match await self._send():
                case Filled() as filled:
                    return self._executed(await self._fills_adding_up_to(filled.size), "reply")
                case Declined(reason, text):
                    return self._outcome(OutcomeStatus.REJECTED, "reply", reason=reason, text=text)
        if not isinstance(self._refusal, NonceUsed | NonceTooLow) and await self._fence():
            return self._never("noop_fence")
        return await self._look_up()

    async def _send(self) -> Filled | Declined | None:
        """None when the reply doesn't end it. A request that had no effect is sent again while the order is valid."""
        pauses = _Pauses(self._clock, self._patience)
        while True:
            self._asks += 1
            try:
                return await self._orders.place(self._intent)
            except NotSent:
                await pauses.next()
                if self._clock.now_ms() >= self._intent.expires_after_ms:
                    return None
            except Rejected as refusal:
                # Of these bytes as they arrived now; a copy sent before may have been admitted.
                self._refusal = refusal
                return None
            except Unknown:
                return None

    async def _fence(self) -> bool:
        """True when our noop took the nonce; False when it can't: the nonce is used, or the noop is refused as well."""
        try:
            await self._persist(lambda: self._orders.fence(self._intent))
        except Rejected as refusal:
            if self._refusal is None or isinstance(refusal, NonceTooLow):
                self._refusal = refusal
            return False
        return True

    async def _look_up(self) -> OrderOutcome:
        started_ms = self._clock.now_ms()
        pauses = _Pauses(self._clock, self._patience)
        while True:
            record = await self._read(lambda: self._orders.order_by_cloid(self._intent.cloid))
            outcome = await self._judge(record) if record is not None else None
            if outcome is not None:
                return outcome
            if self._is_settled(started_ms):
                break
            await pauses.next()
        if record is not None:
            raise Unknown(f"order {self._intent.cloid} is still {record.status} at the exchange after its expiry")
        # The exchange forgets old records sooner than fills.
        fills = await self._read(lambda: self._orders.fills_of(self._intent))
        return self._executed(fills, "fills") if fills else self._never("expired_without_record")

    def _is_settled(self, started_ms: int) -> bool:
        """Whether an order would have shown up: it had the time to become visible and can't be admitted any more."""
        now_ms = self._clock.now_ms()
        visible = now_ms - started_ms >= self._patience.visible_after_s * 1000
        expired = now_ms - self._intent.expires_after_ms > self._patience.skew_s * 1000
        # The exchange's own word on it counts too: our clock may be late.
        told_so = self._refusal is not None and (
            self._refusal.reason is RejectReason.EXPIRED or isinstance(self._refusal, NonceTooLow)
        )
        return visible and (expired or told_so)

    async def _judge(self, record: OrderRecord) -> OrderOutcome | None:
        """None while the record is of an order under way."""
        status = record.status
        if status == "filled" or status.endswith(("anceled", "Cancel")):
            # An IOC that filled in part can read as filled whole: less is believed once nothing more can show up.
            fills = await self._fills_until(record.original_size - record.remaining_size)
            if fills:
                return self._executed(fills, "order_status")
            if status == "filled":
                raise Unknown(f"order {self._intent.cloid} is filled, but its fills can't be read yet")
        elif not status.lower().endswith("rejected"):
            return None
        return self._outcome(OutcomeStatus.REJECTED, "order_status", reason=record_reason(status), text=status)

    async def _fills_adding_up_to(self, size: Decimal) -> tuple[Fill, ...]:
        """All fills of what the reply called filled. Raises Unknown when they don't appear."""
        fills = await self._fills_until(size)
        if _size(fills) != size:
            raise Unknown(f"order {self._intent.cloid} filled {size}, but only {_size(fills)} of it can be read yet")
        return fills

    async def _fills_until(self, size: Decimal) -> tuple[Fill, ...]:
        """The fills when they add up to `size`, or what there is after the time in which they become visible."""
        started_ms = self._clock.now_ms()
        pauses = _Pauses(self._clock, self._patience)
        while True:
            fills = await self._read(lambda: self._orders.fills_of(self._intent))
            waited_s = (self._clock.now_ms() - started_ms) / 1000
            if _size(fills) >= size or waited_s >= self._patience.visible_after_s:
                return fills
            await pauses.next()

    async def _read(self, ask: Callable[[], Awaitable[T]]) -> T:
        """The answer to a question. That a question was refused says nothing of the order."""
        try:
            return await self._persist(ask)
        except Rejected as refusal:
            raise Unknown(f"what became of order {self._intent.cloid} could not be asked: {refusal}") from refusal

    async def _persist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask until there is an answer: repeating any of these requests changes nothing.

        Raises Rejected as it comes, and Unknown when there was no answer for `give_up_after_s`.
        """
        started_ms = self._clock.now_ms()
        pauses = _Pauses(self._clock, self._patience)
        while True:
            self._asks += 1
            try:
                return await ask()
            except (NotSent, Unknown) as error:
                if self._clock.now_ms() - started_ms > self._patience.give_up_after_s * 1000:
                    raise Unknown(f"what became of order {self._intent.cloid} is not established: {error}") from error
                await pauses.next()

    def _executed(self, fills: tuple[Fill, ...], established_by: str) -> OrderOutcome:
        return self._outcome(OutcomeStatus.FILLED, established_by, fills=fills)

    def _never(self, established_by: str) -> OrderOutcome:
        refusal = self._refusal
        if refusal is None or isinstance(refusal, NonceUsed):
            return self._outcome(OutcomeStatus.NOT_EXECUTED, established_by)
        return self._outcome(OutcomeStatus.REJECTED, established_by, reason=refusal.reason, text=str(refusal))

    def _outcome(
        self,
        status: OutcomeStatus,
        established_by: str,
        *,
        fills: tuple[Fill, ...] = (),
        reason: RejectReason | None = None,
        text: str = "",
    ) -> OrderOutcome:
        proof = Proof(established_by=established_by, asks=self._asks, established_at_ms=self._clock.now_ms())
        return OrderOutcome(cloid=self._intent.cloid, status=status, proof=proof, fills=fills, reason=reason, text=text)


class _Pauses:
    """Waits that double, from `pause_s` to `pause_max_s`."""

    def __init__(self, clock: Clock, patience: Patience) -> None:
        self._clock = clock
        self._next_s = patience.pause_s
        self._max_s = patience.pause_max_s

    async def next(self) -> None:
        await self._clock.sleep(self._next_s)
        self._next_s = min(self._next_s * 2, self._max_s)


def _size(fills: tuple[Fill, ...]) -> Decimal:
    return sum((abs(fill.size) for fill in fills), Decimal(0))
