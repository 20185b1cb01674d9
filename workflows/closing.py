"""Closing a trade: sell or cover until nothing of it is left, and see that the exchange says so too."""

from datetime import timedelta
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from exchange.port import OutcomeStatus
    from journal.entries import AlertRecord, Closed
    from strategy.fold import booked
    from strategy.state import TradeState
    from strategy.values import Execution
    from workflows.contracts import Mode, NeedsAttention, TradeRecord
    from workflows.desk import WORTH_A_NEW_INTENT, Desk, current_price, read_position
    from workflows.diary import Diary

RETRY_AFTER = timedelta(seconds=1)


async def close_some(record: TradeRecord, desk: Desk, diary: Diary) -> None:
    """One order towards flat, what was unknown settled first; CLOSED when the exchange holds nothing of the trade.

    Raises NeedsAttention with a refusal.
    """
    await _settle_pending(record, desk)
    state = record.state
    assert state is not None
    if state.ledger.net_qty:
        await _reduce(record, desk)
        return
    record.not_ours = (await read_position(record.input.network, record.input.coin)).size
    if record.not_ours:
        text = f"closed; the exchange still holds {record.not_ours:f} {record.input.coin} that is not of this trade"
        diary.add(AlertRecord, text=text)
    record.mode = Mode.CLOSED
    price = record.last_price
    assert price is not None
    pnl_usd = state.equity(price) - record.input.margin_usd
    diary.add(Closed, reason=record.close_reason or "", realized_pnl_usd=pnl_usd, price=price)


async def _settle_pending(record: TradeRecord, desk: Desk) -> None:
    """An intent whose outcome nobody knows yet comes before anything new."""
    if record.pending is None:
        return
    outcome = await desk.send(record.pending.intent, record.pending.purpose)
    if outcome.status is OutcomeStatus.FILLED and outcome.average_price is not None:
        record.state = booked(
            record.pending.decision.state,
            Execution(size=outcome.filled_size, average_price=outcome.average_price, fee_usd=outcome.fee_usd),
        )
    record.pending = None


async def _reduce(record: TradeRecord, desk: Desk) -> None:
    """One reduce-only order for all that is left."""
    state: TradeState | None = record.state
    assert state is not None
    price = await current_price(record.input.network, record.input.coin)
    wanted = state.changed(wanted_long=Decimal(0), wanted_short=Decimal(0), resizing=False, reset_due=False)
    record.last_price = price
    intent = await desk.prepare(wanted.net_due, price, "close", reduce_only=True)
    outcome = await desk.send(intent, "close")
    if outcome.status is OutcomeStatus.FILLED and outcome.average_price is not None:
        record.state = booked(
            wanted, Execution(size=outcome.filled_size, average_price=outcome.average_price, fee_usd=outcome.fee_usd)
        )
    elif outcome.status is OutcomeStatus.NOT_EXECUTED or outcome.reason in WORTH_A_NEW_INTENT:
        await workflow.sleep(RETRY_AFTER)
    else:
        raise NeedsAttention(f"closing was refused by the exchange: {outcome.text}")
