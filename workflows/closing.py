"""Closing a trade: tried until the exchange itself says that nothing is left, no position and no resting order.

Beside other trades on the coin nothing means nothing of this one: see `_close_own`.
"""

import contextlib
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import Findings, tag_in, tag_of
    from exchange.port import OutcomeStatus
    from journal.entries import AlertRecord, Closed
    from strategy.fold import Decision, booked
    from strategy.netting import order_to_close, shrinks_only, taken_by_exchange
    from strategy.state import TradeState
    from workflows.contracts import FlatProof, Mode, NeedsAttention, PendingOrder, TradeRecord
    from workflows.desk import WORTH_A_NEW_INTENT, Desk, current_price, execution_of, read_position
    from workflows.diary import Diary
    from workflows.neighbours import sizes_by_name
    from workflows.reconcile import Reconciler

RETRY_AFTER = timedelta(seconds=1)
"""After a try that came to nothing; it doubles."""
RETRY_AFTER_MAX = timedelta(seconds=30)


async def close_some(record: TradeRecord, desk: Desk, diary: Diary, reconciler: Reconciler) -> None:
    """One step towards flat: settle what is unknown, cancel what rests, sell or cover what is held, or see that it is
    done. Raises NeedsAttention with a refusal: it is tried again, and a person should know."""
    await desk.settle_pending()
    findings = await reconciler.look()
    record.close_looks += 1
    if findings.unsettled is not None or any(not each.is_stopped for each in findings.others):
        await _close_own(record, desk, diary, reconciler, findings)
        return
    await reconciler.take_over(findings)
    if findings.resting:
        record.close_cancelled += await desk.cancel_resting()
        record.stop, record.former_stops = None, []
    elif findings.position.size:
        await _reduce(record, desk)
    else:
        _end(record, diary, findings)


async def _close_own(record: TradeRecord, desk: Desk, diary: Diary, reconciler: Reconciler, findings: Findings) -> None:
    """One step of a trade that is not alone: its own orders and its own ledger, whatever becomes of the others."""
    held, state = findings.position.size, record.state
    assert state is not None
    if findings.unsettled is None:
        own = state.ledger.net_qty
        # What of it is not there any more (a liquidation, a hand) can't be sold once more.
        await reconciler.take(findings, -order_to_close(held, own, findings.others_size) - own)
    elif reconciler.unsettled_strange(findings):
        # It may be ours that somebody closed: then an order would open a position.
        record.attention = f"the close waits: {findings.unsettled}"
        await pause_before_next_try(record)
        return
    assert record.state is not None
    if any(tag_in(order.cloid) == desk.tag for order in findings.resting):
        record.close_cancelled += await desk.cancel_resting(desk.tag)
        record.stop, record.former_stops = None, []
    elif record.state.ledger.net_qty:
        await _reduce(record, desk, beside=held)
    elif _ends_last(desk, findings):
        await pause_before_next_try(record)
    else:
        _end(record, diary, findings)


def _ends_last(desk: Desk, findings: Findings) -> bool:
    """Where all trades of the coin close, the one of them that stays alone takes what nobody has."""
    if findings.unsettled is not None or findings.position.size == findings.others_size:
        return False
    return all(each.mode == Mode.CLOSING and desk.tag < tag_of(each.trade_id) for each in findings.others)


async def pause_before_next_try(record: TradeRecord) -> None:
    record.close_troubles += 1
    wait = min(RETRY_AFTER * 2 ** min(record.close_troubles - 1, 10), RETRY_AFTER_MAX)
    with contextlib.suppress(TimeoutError):
        await workflow.wait_condition(lambda: record.answer is not None, timeout=wait)


async def _reduce(record: TradeRecord, desk: Desk, *, beside: Decimal | None = None) -> None:
    """One order for all that is left, reduce-only; `beside` other trades, which with it have so much on the exchange,
    only where that changes nothing: the net may be smaller than what is left, or on the other side."""
    state = record.state
    assert state is not None
    price = await current_price(record.input.network, record.input.coin)
    wanted = state.changed(wanted_long=Decimal(0), wanted_short=Decimal(0), resizing=False, reset_due=False)
    if beside is not None:
        wanted = _as_exchange_takes(record, wanted, price, beside)
    record.last_price = price
    reduce_only = beside is None or shrinks_only(beside, wanted.net_due)
    intent = await desk.prepare(wanted.net_due, price, reduce_only=reduce_only)
    desk.note_intent(intent, "close")
    flat = Decision(state=wanted, legs=wanted.legs_due, unit_changes=(), price=price)
    # Should this fail, the outcome is not known: the next try settles it before anything else is sent.
    record.pending = PendingOrder(intent=intent, purpose="close", decision=flat, taken=0)
    outcome = await desk.send(intent, "close")
    record.pending = None
    if outcome.status is OutcomeStatus.FILLED:
        record.state = booked(wanted, execution_of(outcome))
        record.close_troubles, record.attention = 0, None
    elif outcome.status is OutcomeStatus.NOT_EXECUTED or outcome.reason in WORTH_A_NEW_INTENT:
        await pause_before_next_try(record)
    else:
        raise NeedsAttention(f"closing was refused by the exchange: {outcome.text}")


def _as_exchange_takes(record: TradeRecord, flat: TradeState, price: Decimal, held: Decimal) -> TradeState:
    """An order below the exchange's minimum goes beyond flat, and the next one leads back."""
    closing = flat.net_due
    if closing == -held:
        # The exchange lets a whole position go, however small.
        return flat
    lowest_price = price * (1 - Decimal(record.slippage_bps) / 10_000)
    beyond = taken_by_exchange(closing, lowest_price, flat.terms.lot, flat.terms.min_notional_usd) - closing
    return flat.changed(wanted_long=max(beyond, Decimal(0)), wanted_short=max(-beyond, Decimal(0)))


def _end(record: TradeRecord, diary: Diary, findings: Findings) -> None:
    """Flat: proved by what the exchange said last, and by what the others say is theirs."""
    assert record.state is not None and record.last_price is not None
    record.flat_proof = FlatProof(
        asked_at_ms=findings.at_ms,
        looks=record.close_looks,
        cancelled_orders=record.close_cancelled,
        left_size=findings.position.size,
        others={name: size for name, size in sizes_by_name(findings.others).items() if size},
    )
    record.mode = Mode.STOPPED if record.stopping else Mode.CLOSED
    record.attention, record.difference = None, None
    record.inbox.clear()
    diary.add(
        Closed,
        reason=record.close_reason or "",
        realized_pnl_usd=record.earned_usd(record.last_price),
        price=record.last_price,
        flat_at_ms=findings.at_ms,
        flat_looks=record.close_looks,
        cancelled_orders=record.close_cancelled,
    )


async def close_some_as_in_0_1(record: TradeRecord, desk: Desk, diary: Diary) -> None:
    """What runs begun by release 0.1.0 did: kept so that they replay. It can go when none of them is left."""
    await desk.settle_pending()
    state = record.state
    assert state is not None
    if state.ledger.net_qty:
        price = await current_price(record.input.network, record.input.coin)
        wanted = state.changed(wanted_long=Decimal(0), wanted_short=Decimal(0), resizing=False, reset_due=False)
        record.last_price = price
        intent = await desk.prepare(wanted.net_due, price, reduce_only=True)
        desk.note_intent(intent, "close")
        outcome = await desk.send(intent, "close")
        if outcome.status is OutcomeStatus.FILLED:
            record.state = booked(wanted, execution_of(outcome))
        elif outcome.status is OutcomeStatus.NOT_EXECUTED or outcome.reason in WORTH_A_NEW_INTENT:
            await workflow.sleep(RETRY_AFTER)
        else:
            raise NeedsAttention(f"closing was refused by the exchange: {outcome.text}")
        return
    left = (await read_position(record.input.network, record.input.coin)).size
    if left:
        text = f"closed; the exchange still holds {left:f} {record.input.coin} that is not of this trade"
        diary.add(AlertRecord, text=text)
    record.mode = Mode.CLOSED
    assert record.last_price is not None
    pnl_usd = record.earned_usd(record.last_price)
    diary.add(Closed, reason=record.close_reason or "", realized_pnl_usd=pnl_usd, price=record.last_price)
