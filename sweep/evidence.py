"""What is laid before the judge: the exchange's books and requests of a run, and what the trade says of itself."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from journal.entries import Closed, Decision, LiquidationRecord
from journal.store import Journal
from simulator.markets import BY_COIN
from sweep.cycle import Run
from sweep.judged import Evidence
from sweep.rig import Rig
from sweep.story import ELSEWHERE, Ending
from sweep.terms import Terms


async def evidence_of(rig: Rig, terms: Terms, run: Run, before: dict[str, Any], since_ms: int) -> Evidence:
    """Of a run that is over; `before` is the account's ledger from before it."""
    books = await rig.books()
    told = await _told(rig, run)
    # The last word of a trade that was released is that of a position it left.
    pnl_usd = told.closed.realized_pnl_usd if told.closed and run.ends_flat else None
    return Evidence(
        coin=terms.coin,
        signer=rig.signer,
        ledger=books,
        at_ms=await rig.exchange_ms(),
        requests=await rig.exchange.requests(path="/exchange", since_ms=str(since_ms)),
        account=await rig.account_state(),
        steps=tuple(run.steps),
        oids_before=_oids(before),
        told_pnl_usd=pnl_usd,
        earned_usd=_earned_usd(before, books) - _others_usd(run, before, books),
        decisions=told.decisions,
        guarded=terms.backstop is not None,
        asset=BY_COIN[terms.coin].asset,
        touches=tuple(run.touches),
        flat_at_ms=told.closed.flat_at_ms if told.closed else None,
        proof_due=run.ends_flat,
        told_liquidated=told.liquidated,
        account_proof=run.account_proof,
        account_proof_due=run.ending.is_emergency,
    )


def _oids(books: dict[str, Any]) -> frozenset[int]:
    orders = [*books["acceptedOrders"], *books["refusedOrders"]]
    return frozenset([*(order["oid"] for order in orders), *books["liquidationOids"]])


def _earned_usd(before: dict[str, Any], after: dict[str, Any]) -> Decimal:
    """What was put in or taken out is not earned."""
    values = [Decimal(books["accountValueUsd"]) - Decimal(books["depositsUsd"]) for books in (before, after)]
    return values[1] - values[0]


def _others_usd(run: Run, before: dict[str, Any], after: dict[str, Any]) -> Decimal:
    """What came of somebody else's position, where the run has one: it is flat before it and after it."""
    if run.ending is not Ending.EVERYTHING:
        return Decimal(0)
    tids = {fill["tid"] for fill in before["fills"]}
    fills = [fill for fill in after["fills"] if fill["coin"] == ELSEWHERE and fill["tid"] not in tids]
    return sum((Decimal(fill["closedPnl"]) - Decimal(fill["fee"]) for fill in fills), Decimal(0))


@dataclass(frozen=True)
class _Told:
    """What the journal has. Decisions are without what differs from run to run."""

    decisions: tuple[dict[str, Any], ...]
    closed: Closed | None
    liquidated: Decimal


async def _told(rig: Rig, run: Run) -> _Told:
    assert run.status is not None and run.status.trade_id is not None
    journal = Journal(rig.settings.journal)
    await journal.open()
    try:
        entries = [line.entry for line in await journal.history(run.status.trade_id)]
    finally:
        await journal.close()
    decisions = [entry.model_dump(mode="json") for entry in entries if isinstance(entry, Decision)]
    for decision in decisions:
        for varying in ("seq", "at_ms", "cloid"):
            del decision[varying]
    closed = [entry for entry in entries if isinstance(entry, Closed)]
    liquidated = sum((entry.size for entry in entries if isinstance(entry, LiquidationRecord)), Decimal(0))
    return _Told(tuple(decisions), closed[-1] if closed else None, liquidated)
