"""The trade's dealings: fold the prices in the inbox, send the one order they take, book what it did."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import NoticeKind
    from exchange.port import Intent, OutcomeStatus
    from journal import entries
    from strategy.fibonacci import Fibonacci, Hedge
    from strategy.fold import Decision, Reset, booked, decide, order_worth_sending, reset, turning_points, unresized
    from strategy.margin import begun_anew
    from strategy.state import TradeState
    from strategy.values import Execution, Phase, plain
    from workflows.contracts import Mode, NeedsAttention, PendingOrder, TradeRecord, UnitsReached
    from workflows.desk import WORTH_A_NEW_INTENT, Desk, current_price, execution_of
    from workflows.diary import Diary, moment, now_ms
    from workflows.leaving import left_at_reset
    from workflows.messenger import Messenger
    from workflows.treasury import Treasury, check_size

RETRY_AFTER = timedelta(seconds=1)
"""Between an order that found nobody to trade with and the next; it doubles."""
RETRY_AFTER_MAX = timedelta(minutes=1)
DAY_MS = 86_400_000
LATE_MS = 3_000
"""Prices that were sent longer ago than this when their order is prepared waited for a worker."""
UNITS_REACHED_KEPT = 50
UNITS_AT_ONCE = 2_000
"""A workflow that thinks for two seconds without a pause is taken for stuck."""
A_BREATH = timedelta(milliseconds=1)
INBOX_MAX = 1_000
"""Above it the inbox keeps only the turning points of the price."""


class Book:
    def __init__(
        self,
        record: TradeRecord,
        desk: Desk,
        diary: Diary,
        messenger: Messenger,
        treasury: Treasury,
        end: Callable[[str], None],
    ) -> None:
        """`end` has the trade close, with the reason."""
        self._record = record
        self._desk = desk
        self._diary = diary
        self._messenger = messenger
        self._treasury = treasury
        self._end = end
        self._fresh_price: Decimal | None = None
        self._retries = 0
        self.taken = 0
        """Prices at the front of the inbox that a decision is being made of."""

    @property
    def order_in_flight(self) -> bool:
        return self._record.pending is not None or self._desk.preparing

    @property
    def order_due(self) -> bool:
        """It waits to be sent, or to be tried again."""
        record = self._record
        return record.mode is Mode.TRADING and record.state is not None and bool(self._order_due(record.state))

    def has_work(self) -> bool:
        """Prices to fold, or an order that is due."""
        record, state = self._record, self._state
        match record.mode:
            case Mode.TRADING:
                if self._treasury.holds:
                    return False
                return bool(record.inbox or record.pending or self._order_due(state))
            case Mode.PAUSED:
                return bool(record.inbox) and not self.is_held_up
            case _:
                return False

    @property
    def is_held_up(self) -> bool:
        """Paused, units are tracked without orders; but a RESET needs its fills, and an order whose outcome is unknown
        comes before all else: what is told after these waits in the inbox for the resume."""
        record, state = self._record, self._record.state
        if record.mode is not Mode.PAUSED or state is None:
            return False
        return state.reset_due or state.resizing or record.pending is not None

    async def advance(self) -> None:
        """One decision: all prices known so far, at most one order."""
        record = self._record
        if record.pending is None:
            if len(record.inbox) > INBOX_MAX:
                record.inbox[:] = turning_points(record.inbox)
            taken, sent_ms = len(record.inbox), record.sent_ms
            self.taken = taken
            decision = self._decide()
            if decision.state.reset_due and record.leave is not None:
                # What the last order would buy is not bought any more.
                self.taken = 0
                self._end(left_at_reset(record.leave))
                return
            if decision.unfinished:
                self._note_decision(decision, None)
                self._accept(decision, taken, None)
                await workflow.sleep(A_BREATH)
                return
            price = self._fresh_price or decision.price
            qty = self._order_due(decision.state, price) if record.mode is Mode.TRADING else Decimal(0)
            if not qty:
                self._note_decision(decision, None)
                self._accept(decision, taken, None)
                return
            purpose = _purpose(self._state, decision.state)
            self._count_order()
            intent = await self._desk.prepare(qty, price)
            if self._was_told_otherwise() or self._waited(intent, sent_ms) or self._has_to_look():
                self.taken = 0
                return
            self._desk.note_intent(intent, purpose)
            record.pending = PendingOrder(intent=intent, purpose=purpose, decision=decision, taken=taken)
            self._note_decision(decision, intent.cloid)
        await self._send(record.pending)

    def _count_order(self) -> None:
        """Raises NeedsAttention when the plan allows no more orders today; a person's word begins the count anew."""
        record, allowed = self._record, self._state.terms.limits.max_orders_per_day
        if allowed is None:
            return
        since_ms = now_ms() - DAY_MS
        record.order_times_ms = [at_ms for at_ms in record.order_times_ms if at_ms > since_ms]
        if len(record.order_times_ms) >= allowed:
            raise NeedsAttention(
                f"max_orders_per_day is {allowed}, and as many were sent since {moment(record.order_times_ms[0])}: "
                "resume allows as many again"
            )
        record.order_times_ms.append(now_ms())

    async def _send(self, pending: PendingOrder) -> None:
        # Should this fail, the outcome is not known and the intent stays pending: it, not a new one, is sent on resume.
        outcome = await self._desk.send(pending.intent, pending.purpose)
        self._record.pending = None
        if outcome.status is OutcomeStatus.FILLED:
            self._accept(pending.decision, pending.taken, execution_of(outcome))
        elif outcome.status is OutcomeStatus.NOT_EXECUTED or outcome.reason in WORTH_A_NEW_INTENT:
            await self._prepare_another_try()
        else:
            raise NeedsAttention(f"{pending.purpose} was refused by the exchange: {outcome.text}")

    @property
    def _state(self) -> TradeState:
        assert self._record.state is not None
        return self._record.state

    def _waited(self, intent: Intent, sent_ms: int | None) -> bool:
        """A price that waited for a worker: the exchange may hold something else by now, so it is looked at first. One
        that waited in the feed did not: more trades move than can be served at once, and looks would add to it.

        Told by the nonce, which is the time at which it was drawn: it is in the history, and a replay finds the same.
        """
        record = self._record
        newest_ms = record.inbox[self.taken - 1].time_ms if self.taken else 0
        waited_ms = intent.nonce - (newest_ms if sent_ms is None else sent_ms)
        if self._desk.as_in_0_1 or newest_ms <= record.looked_for_ms or waited_ms <= LATE_MS:
            return False
        record.looked_for_ms = newest_ms
        record.look_due = record.look_due or "a price waited"
        return True

    def _has_to_look(self) -> bool:
        """A worker came back while the order was prepared, maybe to a trade of a backup: the exchange may be ahead."""
        return self._desk.may_be_restored and self._record.look_due is not None

    def _was_told_otherwise(self) -> bool:
        """Paused or told to close while an order was being prepared: it was not sent, so it is not sent."""
        record = self._record
        return not self._desk.as_in_0_1 and (record.mode is not Mode.TRADING or record.close_reason is not None)

    def _order_due(self, state: TradeState, price: Decimal | None = None) -> Decimal:
        price = price if price is not None else self._record.last_price
        if price is None:
            return Decimal(0)
        if not self._desk.as_in_0_1:
            # The exchange's minimum is of the order's limit, which may be that much lower.
            price *= 1 - Decimal(self._record.slippage_bps) / 10_000
        return order_worth_sending(state, price)

    def _decide(self) -> Decision:
        record, state = self._record, self._state
        if record.inbox:
            return decide(state, tuple(record.inbox), units_max=UNITS_AT_ONCE)
        assert record.last_price is not None
        return Decision(state=state, legs=state.legs_due, unit_changes=(), price=record.last_price)

    def _accept(self, decision: Decision, taken: int, execution: Execution | None) -> None:
        """Units, phase and ledger move together, once what was ordered is known; a refused order moves nothing."""
        record, state = self._record, decision.state
        if execution is not None:
            state = booked(state, execution)
        elif not state.net_due and state.legs_due:
            state = booked(state, Execution(size=Decimal(0), average_price=decision.price))
        record.inbox[:] = [*decision.rest, *record.inbox[taken:]]
        self.taken = 0
        record.state, record.last_price = state, decision.price
        self._fresh_price, self._retries = None, 0
        for change in decision.unit_changes:
            workflow.logger.info("Unit change: %d -> %d", change.from_unit, change.to_unit)
            record.units_reached.append(UnitsReached(time_ms=change.time_ms, unit=change.to_unit))
        del record.units_reached[:-UNITS_REACHED_KEPT]
        if state.reset_due and not self._order_due(state):
            self._begin_next(reset(state, decision.price))
        elif state.resizing and record.mode is Mode.TRADING and not self._order_due(state):
            # Worth an order at the price, but not at its limit.
            record.state = unresized(state)

    async def end_cycle(self) -> None:
        """Where it is, as the portfolio wants it. No order is on its way."""
        record = self._record
        price = await current_price(record.input.network, record.input.coin)
        record.ends_cycle = False
        # What was told before is of the former cycle.
        record.inbox.clear()
        record.since_ms, record.last_price = max(record.since_ms, now_ms()), price
        self._begin_next(begun_anew(self._state, price))

    def _begin_next(self, ended: Reset) -> None:
        if (leave := self._record.leave) is not None:
            self._end(left_at_reset(leave))
            return
        self._record.state = ended.state
        workflow.logger.info("RESET TRIGGERED")
        self._diary.add(
            entries.ResetRecord,
            cycle=ended.cycle,
            price=ended.price,
            cycle_pnl_usd=ended.pnl_usd,
            allocation_usd=ended.state.allocation,
        )
        self._messenger.tell(
            f"RESET at {plain(ended.price):f}: cycle {ended.cycle} made {ended.pnl_usd:+.2f} USD; "
            f"the allocation is {ended.state.allocation:.2f} USD",
            NoticeKind.RESET,
        )
        self._treasury.cycle_ended(ended.pnl_usd)
        if not self._treasury.holds:
            check_size(ended.state, ended.price)

    async def _prepare_another_try(self) -> None:
        """Nothing moved. The market did: the next intent is priced from where it is now."""
        record = self._record
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                self._was_told_otherwise, timeout=min(RETRY_AFTER * 2**self._retries, RETRY_AFTER_MAX)
            )
        self._retries = min(self._retries + 1, 10)
        self._fresh_price = await current_price(record.input.network, record.input.coin)

    def _note_decision(self, decision: Decision, cloid: str | None) -> None:
        state = decision.state
        for change in decision.unit_changes:
            self._diary.add(entries.UnitChange, cycle=state.cycle, **change.model_dump(exclude={"time_ms"}))
        if not decision.unit_changes and cloid is None:
            return
        self._diary.add(
            entries.Decision,
            price=decision.price,
            unit=state.current_unit,
            phase=state.phase,
            peak=state.peak_unit,
            valley=state.valley_unit,
            cycle=state.cycle,
            legs=[leg.model_dump() for leg in decision.legs],
            order_qty=decision.order_qty,
            cloid=cloid,
        )


def _purpose(before: TradeState, after: TradeState) -> str:
    """What the order is for, as a trader says it."""
    if after.resizing:
        return "resize after RESET"
    if after.hedge is not None and before.hedge is not None:
        return _hedge_purpose(after.hedge, before.hedge, after)
    depth, height = after.current_unit - after.peak_unit, after.current_unit - after.valley_unit
    undone = len(after.steps) < len(before.steps) and before.steps[: len(after.steps)] == after.steps
    match after.phase:
        case Phase.ADVANCE:
            return "retracement undone"
        case Phase.RETRACEMENT:
            return f"back to retracement {depth}" if undone else f"retracement {depth}"
        case Phase.DECLINE:
            return "recovery undone" if before.phase is Phase.RECOVERY else f"retracement {depth}, DECLINE"
        case Phase.RECOVERY if after.reset_due:
            return f"recovery +{height}, RESET"
        case Phase.RECOVERY:
            return f"back to recovery +{height}" if undone else f"recovery +{height}"


def _hedge_purpose(after: Hedge, before: Hedge, state: TradeState) -> str:
    hedge = state.terms.ladder
    assert isinstance(hedge, Fibonacci)
    if after.short_stopped and not before.short_stopped:
        return "stop of the short"
    if after.long_stopped and not before.long_stopped:
        return "stop of the long"
    if after.level > before.level:
        return f"level {after.level}, {plain(100 * hedge.levels[after.level - 1].at):f}% of the gain given back"
    if state.current_unit == state.peak_unit:
        return "new high, 100% long"
    return f"level {before.level} released"
