"""Orders as people ask about them: what was wanted, what came of it, and how that is known."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Literal

from pydantic import Field

from journal.entries import Entry, FillRecord, IntentRecord, OutcomeRecord, Record


class OrderRow(Record):
    """One order: its intent joined with its outcome and fills. Without an outcome yet, `status` is None."""

    trade_id: str
    seq: int
    """Of the intent."""
    at_ms: int
    cloid: str
    coin: str
    side: Literal["buy", "sell"]
    size: Decimal
    limit_price: Decimal
    reduce_only: bool
    purpose: str
    signer: str
    nonce: int
    expires_after_ms: int
    trigger_price: Decimal | None = Field(default=None, exclude_if=lambda price: price is None)
    """Of a stop; its `fills` are those after it fired."""
    status: Literal["filled", "resting", "rejected", "not_executed"] | None = None
    filled_size: Decimal = Decimal(0)
    """In coin, positive."""
    average_price: Decimal | None = None
    fee_usd: Decimal = Decimal(0)
    reason: str | None = None
    established_by: str | None = None
    asks: int | None = None
    """Requests until the outcome was definite, the sending included."""
    established_at_ms: int | None = None
    fills: tuple[FillRecord, ...] = ()


def orders_of(trade_id: str, entries: Iterable[Entry]) -> list[OrderRow]:
    """One row per intent of a trade, in the order of the entries. Fills of others' orders are left out."""
    intents: dict[str, IntentRecord] = {}
    outcomes: dict[str, OutcomeRecord] = {}
    fills: dict[str, list[FillRecord]] = {}
    for entry in entries:
        match entry:
            case IntentRecord():
                intents[entry.cloid] = entry
            case OutcomeRecord():
                outcomes[entry.cloid] = entry
            case FillRecord(cloid=str(cloid)):
                fills.setdefault(cloid, []).append(entry)
            case _:
                continue
    return [
        _row(trade_id, intent, outcomes.get(cloid), tuple(fills.get(cloid, ()))) for cloid, intent in intents.items()
    ]


def _row(trade_id: str, intent: IntentRecord, outcome: OutcomeRecord | None, fills: tuple[FillRecord, ...]) -> OrderRow:
    known: dict[str, object] = {}
    if outcome is not None:
        known = outcome.model_dump(exclude={"seq", "at_ms", "kind", "cloid", "total_size"})
        known["filled_size"] = outcome.total_size
    return OrderRow.model_validate(
        {"trade_id": trade_id, **intent.model_dump(exclude={"kind"}), **known, "fills": fills}
    )
