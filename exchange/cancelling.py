"""How the cancel of a stop comes to a definite end, whatever gets lost on the way.

To cancel twice is to cancel once, since no two orders share a cloid: the cancel is sent until it is answered. When the
answer says that the stop is not open, its record says why.
"""

from typing import Protocol

from exchange.asking import WALL_CLOCK, Asking, Clock, Patience
from exchange.errors import Unknown
from exchange.port import CancelOutcome, CancelStatus, Fill, OrderRecord, Proof
from exchange.sorting import Removed

UNDER_WAY = ("open", "triggered")
"""Statuses that pass: what was not open to the cancel fires now, or ended and is not shown so yet."""


class Cancels(Protocol):
    """What ends a stop: one HTTP request each. All raise NotSent, Rejected or Unknown."""

    async def remove(self, coin: str, cloid: str) -> Removed: ...
    async def order_by_cloid(self, cloid: str) -> OrderRecord | None: ...
    async def fills(self, *, since_ms: int, cloid: str | None = None) -> tuple[Fill, ...]: ...


async def cancel(
    orders: Cancels,
    coin: str,
    cloid: str,
    *,
    since_ms: int,
    clock: Clock = WALL_CLOCK,
    patience: Patience | None = None,
) -> CancelOutcome:
    """Cancel a stop, and find out whether it had fired. `since_ms` is not after its placing.

    Raises Rejected when the exchange refuses cancels of this account, NotSent or Unknown when it could not be asked for
    long: the answer to both is to run this again.
    """
    return await _Cancelling(orders, cloid, since_ms, Asking(f"order {cloid}", clock, patience or Patience())).run(coin)


class _Cancelling:
    """One run."""

    def __init__(self, orders: Cancels, cloid: str, since_ms: int, asking: Asking) -> None:
        self._orders = orders
        self._cloid = cloid
        self._since_ms = since_ms
        self._asking = asking

    async def run(self, coin: str) -> CancelOutcome:
        match await self._asking.persist(lambda: self._orders.remove(coin, self._cloid)):
            case Removed.NOW:
                return self._outcome(CancelStatus.CANCELLED, "reply", text="canceled")
            case Removed.NOT_OPEN:
                return await self._look_up()

    async def _look_up(self) -> CancelOutcome:
        record = await self._settled_record()
        if record is None:
            # The exchange forgets old records sooner than fills.
            fills = await self._asking.read(self._fills)
            return self._outcome(CancelStatus.FIRED if fills else CancelStatus.NOT_FOUND, "fills", fills=fills)
        if record.status == "open":
            raise Unknown(f"order {self._cloid} could not be cancelled, and is still open at the exchange")
        fills = await self._asking.fills_until(record.original_size - record.remaining_size, self._fills)
        if record.status == "filled" and not fills:
            raise Unknown(f"order {self._cloid} is filled, but its fills can't be read yet")
        fired = fills or record.status == "triggered"
        status = CancelStatus.FIRED if fired else CancelStatus.CANCELLED
        return self._outcome(status, "order_status", fills=fills, text=record.status)

    async def _settled_record(self) -> OrderRecord | None:
        """The record once it says an end, or what it says when an end would have become visible."""
        started_ms = self._asking.clock.now_ms()
        pauses = self._asking.pauses()
        while True:
            record = await self._asking.read(self._record)
            ended = record is not None and record.status not in UNDER_WAY
            if ended or self._asking.since_s(started_ms) >= self._asking.patience.visible_after_s:
                return record
            await pauses.next()

    async def _record(self) -> OrderRecord | None:
        return await self._orders.order_by_cloid(self._cloid)

    async def _fills(self) -> tuple[Fill, ...]:
        return await self._orders.fills(since_ms=self._since_ms, cloid=self._cloid)

    def _outcome(
        self, status: CancelStatus, established_by: str, *, fills: tuple[Fill, ...] = (), text: str = ""
    ) -> CancelOutcome:
        proof = Proof(
            established_by=established_by, asks=self._asking.asks, established_at_ms=self._asking.clock.now_ms()
        )
        return CancelOutcome(cloid=self._cloid, status=status, proof=proof, fills=fills, text=text)
