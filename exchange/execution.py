"""How an intent comes to a definite end, exactly once, whatever gets lost on the way.

The exchange takes a nonce of a signer once. So the very same bytes can be sent any number of times, and a noop with the
same nonce settles what an answer did not: either the noop takes the nonce, and the order can never execute, or the
nonce is taken, and the order was there first. Every step is a question about a nonce that is fixed in the intent, so
`execute` can be run again, anywhere, at any time, and comes to the same end.

                 filled, resting (a stop), or refused by name   -> definite
    POST order   nonce already used                             -> look it up
                 nonce below the signer's window                -> look it up
                 anything else, or past its expiry              -> fence

    fence        noop took the nonce                            -> never executed
                 nonce already used, or below the window        -> look it up

    look it up   record by cloid, then fills by cloid           -> definite: a stop that waits is at rest
                 neither, long enough after the expiry          -> never executed
"""

from decimal import Decimal
from typing import Protocol

from exchange.asking import WALL_CLOCK, Asking, Clock, Patience, size_of
from exchange.errors import NotSent, Rejected, RejectReason, Unknown
from exchange.port import Fill, Intent, OrderOutcome, OrderRecord, OutcomeStatus, Proof
from exchange.sorting import Declined, Filled, NonceTooLow, NonceUsed, Resting, record_reason

WAITING = "open"
"""Status of a stop's record before its trigger is reached."""
FIRED = "triggered"
"""And when it was: its fills follow."""
CLOCKS_APART_MS = 1_000
"""Rarely more. An account of many trades has thousands of fills in a minute, and the answer has those of all."""


class Orders(Protocol):
    """What settles an intent: one HTTP request each. All raise NotSent, Rejected or Unknown."""

    async def place(self, intent: Intent) -> Filled | Resting | Declined: ...
    async def fence(self, intent: Intent) -> None: ...
    async def order_by_cloid(self, cloid: str) -> OrderRecord | None: ...
    async def fills_of(self, intent: Intent, *, margin_ms: int = ...) -> tuple[Fill, ...]: ...


async def execute(
    orders: Orders, intent: Intent, *, clock: Clock = WALL_CLOCK, patience: Patience | None = None
) -> OrderOutcome:
    """Send `intent`, unless it is too late for that, and find out what became of it.

    Raises NotSent or Unknown when the exchange could not be asked for long: neither says that the order did not
    execute, and the answer to both is to run this again with the same intent. Never raises Rejected.
    """
    return await _Execution(orders, intent, clock, patience or Patience()).run()


class _Execution:
    """One run."""

    def __init__(self, orders: Orders, intent: Intent, clock: Clock, patience: Patience) -> None:
        self._orders = orders
        self._intent = intent
        self._clock = clock
        self._patience = patience
        self._asking = Asking(f"order {intent.cloid}", clock, patience)
        self._is_stop = intent.trigger_price is not None
        self._refusal: Rejected | None = None

    async def run(self) -> OrderOutcome:
        if self._clock.now_ms() < self._intent.expires_after_ms:
            match await self._send():
                case Filled() as filled:
                    return self._executed(await self._fills_adding_up_to(filled.size), "reply")
                case Declined(reason, text):
                    return self._outcome(OutcomeStatus.REJECTED, "reply", reason=reason, text=text)
                case Resting(oid):
                    return self._outcome(OutcomeStatus.RESTING, "reply", oid=oid)
        if not isinstance(self._refusal, NonceUsed | NonceTooLow) and await self._fence():
            return self._never("noop_fence")
        return await self._look_up()

    async def _send(self) -> Filled | Resting | Declined | None:
        """None when the reply doesn't end it. A request that had no effect is sent again while the order is valid."""
        pauses = self._asking.pauses()
        while True:
            self._asking.asks += 1
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
            await self._asking.persist(lambda: self._orders.fence(self._intent))
        except Rejected as refusal:
            if self._refusal is None or isinstance(refusal, NonceTooLow):
                self._refusal = refusal
            return False
        return True

    async def _look_up(self) -> OrderOutcome:
        started_ms = self._clock.now_ms()
        pauses = self._asking.pauses()
        while True:
            record = await self._asking.read(lambda: self._orders.order_by_cloid(self._intent.cloid))
            outcome = await self._judge(record) if record is not None else None
            if outcome is not None:
                return outcome
            if self._is_settled(started_ms):
                break
            await pauses.next()
        if record is not None:
            raise Unknown(f"order {self._intent.cloid} is still {record.status} at the exchange after its expiry")
        # The exchange forgets old records sooner than fills.
        fills = await self._asking.read(self._fills)
        return self._executed(fills, "fills") if fills else self._never("expired_without_record")

    def _is_settled(self, started_ms: int) -> bool:
        """Whether an order would have shown up: it had the time to become visible and can't be admitted any more."""
        visible = self._asking.since_s(started_ms) >= self._patience.visible_after_s
        expired = self._clock.now_ms() - self._intent.expires_after_ms > self._patience.skew_s * 1000
        # The exchange's own word on it counts too: our clock may be late.
        told_so = self._refusal is not None and (
            self._refusal.reason is RejectReason.EXPIRED or isinstance(self._refusal, NonceTooLow)
        )
        return visible and (expired or told_so)

    async def _judge(self, record: OrderRecord) -> OrderOutcome | None:
        """None while the record is of an order under way."""
        status = record.status
        if self._is_stop and status in (WAITING, FIRED):
            return await self._at_rest(record)
        if status == "filled" or status.endswith(("anceled", "Cancel")):
            # An IOC that filled in part can read as filled whole: less is believed once nothing more can show up.
            fills = await self._asking.fills_until(record.original_size - record.remaining_size, self._fills)
            if fills:
                return self._executed(fills, "order_status")
            if status == "filled":
                raise Unknown(f"order {self._intent.cloid} is filled, but its fills can't be read yet")
        elif not status.lower().endswith("rejected"):
            return None
        return self._outcome(OutcomeStatus.REJECTED, "order_status", reason=record_reason(status), text=status)

    async def _at_rest(self, record: OrderRecord) -> OrderOutcome:
        """The outcome of a stop the exchange took. One that has fired may have filled: then the fills are the end."""
        fills: tuple[Fill, ...] = ()
        if record.status == FIRED:
            fills = await self._asking.fills_until(record.original_size, self._fills)
        if fills:
            return self._executed(fills, "order_status")
        return self._outcome(OutcomeStatus.RESTING, "order_status", text=record.status, oid=record.oid)

    async def _fills(self) -> tuple[Fill, ...]:
        return await self._orders.fills_of(self._intent)

    async def _fills_adding_up_to(self, size: Decimal) -> tuple[Fill, ...]:
        """All fills of what the reply called filled. Raises Unknown when they don't appear."""
        fills = await self._asking.read(lambda: self._orders.fills_of(self._intent, margin_ms=CLOCKS_APART_MS))
        if size_of(fills) < size:
            fills = await self._asking.fills_until(size, self._fills)
        if size_of(fills) != size:
            raise Unknown(f"order {self._intent.cloid} filled {size}, but only {size_of(fills)} of it can be read yet")
        return fills

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
        oid: int | None = None,
    ) -> OrderOutcome:
        proof = Proof(established_by=established_by, asks=self._asking.asks, established_at_ms=self._clock.now_ms())
        return OrderOutcome(
            cloid=self._intent.cloid, status=status, proof=proof, fills=fills, reason=reason, text=text, oid=oid
        )
