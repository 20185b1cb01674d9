"""What is laid before the judge: the exchange's books and requests of a run, and what the trade says of itself."""

from decimal import Decimal
from typing import Any

from journal.entries import Closed, Decision
from journal.store import Journal
from sweep.checker import Evidence
from sweep.cycle import Run, Terms
from sweep.rig import Rig


async def evidence_of(rig: Rig, terms: Terms, run: Run, before: dict[str, Any], since_ms: int) -> Evidence:
    """Of a run that is over; `before` is the account's ledger from before it."""
    books = await rig.books()
    decisions, pnl_usd = await _told(rig, run)
    return Evidence(
        coin=terms.coin,
        signer=rig.signer,
        ledger=books,
        at_ms=(await rig.exchange.state())["clock"]["wallMs"],
        requests=await rig.exchange.requests(path="/exchange", since_ms=str(since_ms)),
        account=await rig.account_state(),
        steps=tuple(run.steps),
        oids_before=frozenset(order["oid"] for order in [*before["acceptedOrders"], *before["refusedOrders"]]),
        told_pnl_usd=pnl_usd,
        earned_usd=Decimal(books["accountValueUsd"]) - Decimal(before["accountValueUsd"]),
        decisions=decisions,
    )


async def _told(rig: Rig, run: Run) -> tuple[tuple[dict[str, Any], ...], Decimal | None]:
    """The journal's decisions, without what differs from run to run, and the profit it closed with."""
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
    closed = [entry.realized_pnl_usd for entry in entries if isinstance(entry, Closed)]
    return tuple(decisions), closed[-1] if closed else None
