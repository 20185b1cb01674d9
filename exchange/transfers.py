"""How a transfer between an account's sides comes to a definite end, exactly once, whatever gets lost on the way.

The exchange takes a nonce of a signer once, for whatever action, so the very same bytes are sent until they are
answered: unlike an order, a transfer is never too late. What the answer can't say, the account's ledger does.

                 done, or refused by name                       -> definite
    POST         nonce already used, or below the window        -> the ledger
                 body not understood                            -> fence
                 anything else                                  -> the same again

    fence        noop took the nonce                            -> never done
                 nonce already used, or the noop is refused     -> the ledger

    the ledger   has such a transfer that was not seen before   -> done
                 has none, long enough after                    -> never done

A like transfer by hand in the same minutes can't be told from ours where the answer was lost: it counts as ours, and
the money is where it was to be. One at a time, then: two like ones can't be told apart when the second is prepared
before the ledger shows the first.
"""

from typing import Protocol

from exchange.asking import WALL_CLOCK, Asking, Clock, Patience
from exchange.errors import Rejected, RejectReason
from exchange.port import Proof
from exchange.sorting import Declined, NonceTooLow, NonceUsed
from exchange.spot_port import LedgerUpdate, TransferIntent, TransferOutcome, TransferStatus

LOOK_BACK_MS = 600_000
"""From how long before its nonce a transfer may stand in the ledger, for clocks that differ."""


class Transfers(Protocol):
    """What settles a transfer: one HTTP request each. All raise NotSent, Rejected or Unknown."""

    async def send(self, intent: TransferIntent) -> Declined | None: ...
    async def fence_transfer(self, intent: TransferIntent) -> None: ...
    async def ledger_updates(self, *, since_ms: int) -> tuple[LedgerUpdate, ...]: ...


async def transfer(
    transfers: Transfers, intent: TransferIntent, *, clock: Clock = WALL_CLOCK, patience: Patience | None = None
) -> TransferOutcome:
    """Send `intent` and find out what became of it.

    Raises NotSent or Unknown when the exchange could not be asked for long: neither says that nothing moved, and the
    answer to both is to run this again with the same intent. Never raises Rejected.
    """
    asking = Asking(f"transfer {intent.nonce}", clock, patience or Patience())
    return await _Transferring(transfers, intent, asking).run()


def like(updates: tuple[LedgerUpdate, ...], intent: TransferIntent) -> tuple[LedgerUpdate, ...]:
    """Those that moved the same amount the same way, within the account."""
    moved = intent.usd if intent.to_perp else -intent.usd
    return tuple(each for each in updates if each.usd == 0 and each.perp_usd == moved)


class _Transferring:
    """One run."""

    def __init__(self, transfers: Transfers, intent: TransferIntent, asking: Asking) -> None:
        self._transfers = transfers
        self._intent = intent
        self._asking = asking

    async def run(self) -> TransferOutcome:
        try:
            declined = await self._asking.persist(lambda: self._transfers.send(self._intent))
        except (NonceUsed, NonceTooLow) as refusal:
            return await self._look_up(refusal)
        except Rejected as refusal:
            return await self._fenced(refusal)
        if declined is None:
            return self._outcome(TransferStatus.DONE, "reply")
        return self._outcome(TransferStatus.NOT_DONE, "reply", reason=declined.reason, text=declined.text)

    async def _fenced(self, refusal: Rejected) -> TransferOutcome:
        """Of these bytes as they arrived now: a copy sent before may have been admitted."""
        try:
            await self._asking.persist(lambda: self._transfers.fence_transfer(self._intent))
        except Rejected:
            return await self._look_up(refusal)
        return self._outcome(TransferStatus.NOT_DONE, "noop_fence", reason=refusal.reason, text=str(refusal))

    async def _look_up(self, refusal: Rejected) -> TransferOutcome:
        started_ms = self._asking.clock.now_ms()
        pauses = self._asking.pauses()
        while True:
            updates = await self._asking.read(self._updates)
            if any(each.hash not in self._intent.seen for each in like(updates, self._intent)):
                return self._outcome(TransferStatus.DONE, "ledger")
            if self._asking.since_s(started_ms) >= self._asking.patience.visible_after_s:
                break
            await pauses.next()
        if isinstance(refusal, NonceUsed):
            # Admitted once and refused, in words that were lost.
            return self._outcome(TransferStatus.NOT_DONE, "not_in_ledger")
        return self._outcome(TransferStatus.NOT_DONE, "not_in_ledger", reason=refusal.reason, text=str(refusal))

    async def _updates(self) -> tuple[LedgerUpdate, ...]:
        return await self._transfers.ledger_updates(since_ms=self._intent.nonce - LOOK_BACK_MS)

    def _outcome(
        self, status: TransferStatus, established_by: str, *, reason: RejectReason | None = None, text: str = ""
    ) -> TransferOutcome:
        asking = self._asking
        proof = Proof(established_by=established_by, asks=asking.asks, established_at_ms=asking.clock.now_ms())
        return TransferOutcome(status=status, proof=proof, reason=reason, text=text)
