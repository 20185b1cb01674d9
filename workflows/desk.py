"""From a quantity to a definite outcome: the intent is fixed in history before anything is sent."""

from datetime import timedelta
from decimal import Decimal
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.messages import (
        CancelRequest,
        Findings,
        LeverageChange,
        LookRequest,
        MarketFacts,
        MarketQuestion,
        OrderRequest,
        Outage,
        orders_queue,
        tag_in,
        tag_of,
    )
    from exchange.errors import RejectReason
    from exchange.grid import limit_price, round_price
    from exchange.port import CancelOutcome, Fill, Intent, OrderOutcome, OutcomeStatus, Position, Side
    from journal.entries import FillRecord, IntentRecord, OutcomeRecord
    from strategy.backstop import StopOrder
    from strategy.fold import booked
    from strategy.values import Execution, plain
    from telemetry.tracing import child_traceparent, emit_span
    from workflows.contracts import LastOrder, TradeRecord
    from workflows.diary import Diary, now_ms

T = TypeVar("T")

EXPIRY_MS = 5_000
"""An order that reaches the exchange later than this is refused by it."""
LAST_ORDERS_KEPT = 10
STOP_SLIPPAGE_BPS = Decimal(1_000)
ANSWERS_WITHIN = timedelta(seconds=10)
"""A question to the exchange; one that a dead worker took is asked again after it."""
CLOCKS_DIFFER_MS = 60_000
"""By so much more than what is asked for is looked through: the exchange's clock is not ours."""
JOURNAL_WAITS_S = 3.0
WORTH_A_NEW_INTENT = frozenset({RejectReason.NO_MATCH, RejectReason.EXPIRED, RejectReason.NONCE})

_ASK_AGAIN = RetryPolicy(
    initial_interval=timedelta(milliseconds=200), backoff_coefficient=2, maximum_interval=timedelta(seconds=20)
)

_LOOK_AGAIN = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=5))


class Desk:
    """One order in flight at a time; the workflow's loop is its only user."""

    def __init__(self, record: TradeRecord, diary: Diary) -> None:
        self._record = record
        self._diary = diary
        self.as_in_0_1 = False
        """In a run that release 0.1.0 began: it replays as it was."""
        self.preparing = False
        self.may_be_restored = False
        """An intent is made so that it is right too in a trade that goes on from a backup."""

    @property
    def tag(self) -> str:
        assert self._record.trade is not None
        return tag_of(self._record.trade.trade_id)

    def is_ours(self, fill: Fill) -> bool:
        record = self._record
        if fill.cloid is None:
            return False
        # Orders of release 0.1.0 had no tag.
        return tag_in(fill.cloid) == self.tag or fill.cloid in {order.cloid for order in record.last_orders}

    async def prepare(self, qty: Decimal, price: Decimal, *, reduce_only: bool = False) -> Intent:
        """Fix an order for good: buy (`qty` > 0) or sell, not further from `price` than the trade's slippage."""
        record = self._record
        side = Side.BUY if qty > 0 else Side.SELL
        self.preparing = True
        try:
            nonce = await self.draw_nonce()
        finally:
            self.preparing = False
        self.may_be_restored = not self.as_in_0_1 and workflow.patched("may be restored from a backup")
        return Intent(
            cloid=f"0x{self.tag}{self._own(nonce)}",
            account=record.account,
            signer=record.signer,
            nonce=nonce,
            coin=record.input.coin,
            asset=record.asset,
            side=side,
            size=abs(qty),
            limit_price=limit_price(price, side, Decimal(record.slippage_bps), record.size_decimals),
            reduce_only=reduce_only,
            expires_after_ms=now_ms() + EXPIRY_MS,
            traceparent=self._trace_decision(qty, price),
        )

    def _own(self, nonce: int) -> str:
        """The second half of a cloid. A trade that goes on from a backup draws the same random numbers once more, but
        never the same nonce: an order must not find the fills of another, which the exchange alone remembers."""
        return f"{nonce:016x}" if self.may_be_restored else workflow.uuid4().hex[:16]

    async def prepare_stop(self, stop: StopOrder) -> Intent:
        """Fix a stop for good, reduce-only; once triggered it may fill far from its price rather than not at all."""
        intent = await self.prepare(stop.size, stop.trigger_price, reduce_only=True)
        limit = limit_price(stop.trigger_price, intent.side, STOP_SLIPPAGE_BPS, self._record.size_decimals)
        return intent.model_copy(update={"limit_price": limit, "trigger_price": stop.trigger_price})

    def rounded(self, stop: StopOrder) -> StopOrder | None:
        """At a price the exchange takes, further away rather than nearer; None where it has none so low."""
        side = Side.SELL if stop.size > 0 else Side.BUY
        try:
            price = round_price(stop.trigger_price, self._record.size_decimals, side)
        except ValueError:
            return None
        return stop.model_copy(update={"trigger_price": plain(price)})

    async def cancel(self, cloid: str, *, since_ms: int) -> CancelOutcome:
        """Take one of our stops off; asked again until it is definite."""
        record = self._record
        asked = CancelRequest(
            network=record.input.network,
            account=record.account,
            coin=record.input.coin,
            cloid=cloid,
            since_ms=since_ms - CLOCKS_DIFFER_MS,
        )
        outcome: CancelOutcome = await workflow.execute_activity(
            "cancel_order",
            asked,
            result_type=CancelOutcome,
            task_queue=orders_queue(record.signer),
            start_to_close_timeout=timedelta(minutes=2),
            heartbeat_timeout=timedelta(seconds=2),
            retry_policy=_ASK_AGAIN,
            summary="the former backstop off",
        )
        return outcome

    def note_intent(self, intent: Intent, purpose: str) -> None:
        """For the journal, when it is certain that it will be sent."""
        fields = intent.model_dump(exclude={"account", "asset", "traceparent"})
        self._diary.add(IntentRecord, purpose=purpose, **fields)

    async def send(self, intent: Intent, purpose: str) -> OrderOutcome:
        """Have it executed and wait until it is definite what came of it. Sending the same intent again is safe."""
        verb = f"{intent.side.upper()} {intent.size:f} {intent.coin}, {purpose}"
        self._diary.held = True
        execution = workflow.start_activity(
            "execute_order",
            OrderRequest(network=self._record.input.network, intent=intent),
            result_type=OrderOutcome,
            task_queue=orders_queue(intent.signer),
            start_to_close_timeout=timedelta(minutes=2),
            heartbeat_timeout=timedelta(seconds=2),
            retry_policy=_ASK_AGAIN,
            summary=verb,
        )
        # The intent of an order that takes longer is what people look for in the journal.
        try:
            await workflow.wait([execution], timeout=JOURNAL_WAITS_S)
        finally:
            self._diary.held = False
        outcome: OrderOutcome = await execution
        self._note_outcome(intent, outcome, purpose)
        if outcome.proof.established_by != "reply":
            self._record.look_due = f"order {intent.cloid} had no answer"
        return outcome

    async def settle_pending(self) -> None:
        """An intent whose outcome nobody knows yet comes before anything new."""
        record, pending = self._record, self._record.pending
        if pending is None:
            return
        outcome = await self.send(pending.intent, pending.purpose)
        if outcome.status is OutcomeStatus.FILLED and outcome.average_price is not None:
            record.state = booked(pending.decision.state, execution_of(outcome))
            record.inbox[:] = [*pending.decision.rest, *record.inbox[pending.taken :]]
        record.pending = None

    async def set_leverage(self, leverage: int) -> None:
        """Cross margin at this leverage."""
        change = LeverageChange(
            network=self._record.input.network,
            coin=self._record.input.coin,
            leverage=leverage,
            nonce=await self.draw_nonce(),
        )
        await workflow.execute_activity(
            "set_leverage",
            change,
            task_queue=orders_queue(self._record.signer),
            start_to_close_timeout=ANSWERS_WITHIN,
            summary=f"cross margin at {leverage}x",
        )

    async def look(self, away: Outage | None = None) -> Findings:
        """What the exchange has in the coin, and what happened there since it last agreed with the ledger."""
        found: Findings = await workflow.execute_activity(
            "look",
            self._look_request(away),
            result_type=Findings,
            # Of days of fills there are many pages, and the exchange lets one read so many a minute.
            start_to_close_timeout=timedelta(minutes=2),
            heartbeat_timeout=timedelta(seconds=2),
            retry_policy=_LOOK_AGAIN,
            summary=f"what the exchange holds of {self._record.input.coin}",
        )
        return found

    async def cancel_resting(self, own_tag: str | None = None) -> int:
        """Take all resting orders in the coin off the book, or those with the tag; how many there were."""
        cancelled: int = await workflow.execute_activity(
            "cancel_resting",
            self._look_request(None).model_copy(update={"own_tag": own_tag}),
            result_type=int,
            start_to_close_timeout=ANSWERS_WITHIN,
            retry_policy=_LOOK_AGAIN,
            summary=f"cancel resting orders in {self._record.input.coin}",
        )
        return cancelled

    def _look_request(self, away: Outage | None) -> LookRequest:
        record = self._record
        since_ms = max(record.agreed_ms - CLOCKS_DIFFER_MS, record.opened_ms)
        return LookRequest(
            network=record.input.network,
            account=record.account,
            coin=record.input.coin,
            since_ms=since_ms,
            funding_since_ms=record.funding_ms,
            away=away,
            trade_id=record.trade.trade_id if record.trade is not None else "",
            neighbours=tuple(record.neighbours),
            find_neighbours=not record.neighbours_found,
        )

    async def draw_nonce(self) -> int:
        signer, name, within = self._record.signer, "draw_nonce", timedelta(seconds=5)
        nonce: int
        if self.as_in_0_1:
            # docs/adr/0008 says why no longer.
            nonce = await workflow.execute_local_activity(name, signer, result_type=int, start_to_close_timeout=within)
        else:
            nonce = await workflow.execute_activity(
                name,
                signer,
                result_type=int,
                task_queue=orders_queue(signer),
                start_to_close_timeout=within,
                retry_policy=_ASK_AGAIN,
                summary="a nonce for the next order",
            )
        return nonce

    def _trace_decision(self, qty: Decimal, price: Decimal) -> str | None:
        """One span for the decision, child of the price's; its number is drawn so that a replay draws the same."""
        span_id = workflow.random().getrandbits(64) or 1
        parent = self._record.traceparent
        if parent is None:
            return None
        if not workflow.unsafe.is_replaying():
            at_ns = workflow.time_ns()
            emit_span(
                "workflow.decision",
                traceparent=parent,
                span_id=span_id,
                start_ns=at_ns,
                end_ns=at_ns,
                attributes={"workflow_id": workflow.info().workflow_id, "order_qty": str(qty), "price": str(price)},
            )
        return child_traceparent(parent, span_id)

    def note_fill(self, fill: Fill) -> None:
        fields = fill.model_dump(include={"cloid", "oid", "tid", "price", "size", "fee_usd", "time_ms"})
        self._diary.add(FillRecord, **fields)

    def _note_outcome(self, intent: Intent, outcome: OrderOutcome, purpose: str) -> None:
        self._diary.add(
            OutcomeRecord,
            cloid=intent.cloid,
            status=outcome.status,
            total_size=abs(outcome.filled_size),
            average_price=outcome.average_price,
            fee_usd=outcome.fee_usd,
            reason=outcome.text or None,
            established_by=outcome.proof.established_by,
            asks=outcome.proof.asks,
            established_at_ms=outcome.proof.established_at_ms,
        )
        for fill in outcome.fills:
            self.note_fill(fill.model_copy(update={"cloid": intent.cloid}))
        last = LastOrder(
            time_ms=now_ms(),
            sent_ms=intent.expires_after_ms - EXPIRY_MS,
            established_by=outcome.proof.established_by,
            asks=outcome.proof.asks,
            purpose=purpose,
            size=outcome.filled_size if outcome.status is OutcomeStatus.FILLED else Decimal(0),
            price=outcome.average_price,
            status=outcome.status if not outcome.text else f"{outcome.status}: {outcome.text}",
            cloid=intent.cloid,
        )
        self._record.last_orders = [*self._record.last_orders, last][-LAST_ORDERS_KEPT:]


def execution_of(outcome: OrderOutcome) -> Execution:
    """Of an order that was filled, wholly or in part."""
    assert outcome.average_price is not None
    return Execution(size=outcome.filled_size, average_price=outcome.average_price, fee_usd=outcome.fee_usd)


async def inspect_market(network: str, coin: str) -> MarketFacts:
    """Also makes this trade known to the others on the coin."""
    question = MarketQuestion(network=network, coin=coin, trade_id=own_trade_id())
    return await _ask("inspect_market", question, MarketFacts, "rules, position and margin")


async def current_price(network: str, coin: str) -> Decimal:
    return await _ask("current_price", MarketQuestion(network=network, coin=coin), Decimal, "price")


async def read_position(network: str, coin: str) -> Position:
    return await _ask("read_position", MarketQuestion(network=network, coin=coin), Position, "position")


def own_trade_id() -> str:
    info = workflow.info()
    # The workflow id comes again with the next trade of its name; its first run's id never does.
    return f"{info.workflow_id}/{info.first_execution_run_id}"


async def _ask(activity: str, question: MarketQuestion, answer: type[T], what: str) -> T:
    """A question to the exchange, asked again until it is answered."""
    found: T = await workflow.execute_activity(
        activity,
        question,
        result_type=answer,
        start_to_close_timeout=ANSWERS_WITHIN,
        retry_policy=_ASK_AGAIN,
        summary=f"{what} of {question.coin}",
    )
    return found
