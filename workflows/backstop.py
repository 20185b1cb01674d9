"""The stop that rests on the exchange and works when nothing here does: kept in step with what the trade holds.

The new one is placed before the old one is taken off: between the two both are there, and reduce-only.
"""

import contextlib
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import Findings
    from exchange.port import Fill, Intent, OpenOrder, OutcomeStatus, Side
    from strategy.backstop import StopOrder, backstop_of
    from strategy.fold import corrected
    from strategy.values import Execution, plain
    from workflows.commands import Commands
    from workflows.contracts import Mode, RestingStop, TradeRecord
    from workflows.desk import Desk

KEPT_IN = (Mode.TRADING, Mode.PAUSED)
CLOIDS_KEPT = 50
RETRY_AFTER = timedelta(seconds=1)


class Backstop:
    def __init__(self, record: TradeRecord, desk: Desk, commands: Commands) -> None:
        self._record = record
        self._desk = desk
        self._commands = commands
        self._refused: StopOrder | None = None
        """Not asked for again before something else is wanted."""

    def is_due(self) -> bool:
        record = self._record
        if record.mode not in KEPT_IN or record.pending is not None or record.state is None:
            return False
        return record.pending_stop is not None or bool(record.former_stops) or self._is_out_of_step()

    async def keep(self) -> None:
        """One step: what is on its way first, then the new stop, then a former one off."""
        record = self._record
        if record.pending_stop is not None:
            await self._place(record.pending_stop)
        elif self._is_out_of_step():
            await self._replace()
        elif record.former_stops:
            await self._cancel(record.former_stops[0])

    def compare(self, findings: Findings) -> None:
        """Whether it still rests, what it did meanwhile, and whether others of ours rest that nobody remembers."""
        record, mine = self._record, frozenset(self._record.stop_cloids)
        self._find(tuple(fill for fill in findings.fills if fill.cloid in mine))
        if self.is_missing(findings):
            # Fired, or taken off by somebody else: one that is still wanted is placed again.
            record.stop = None
        known = {stop.cloid for stop in (record.stop, record.pending_stop, *record.former_stops) if stop is not None}
        forgotten = [order for order in findings.resting if order.cloid in mine - known]
        record.former_stops += [_as_resting(order, record.agreed_ms) for order in forgotten]
        self._refused = None

    def is_missing(self, findings: Findings) -> bool:
        stop = self._record.stop
        return stop is not None and stop.cloid not in {order.cloid for order in findings.resting}

    def is_reached(self, price: Decimal) -> bool:
        stop = self._record.stop
        if stop is None:
            return False
        trigger_price = stop.terms.trigger_price
        return price >= trigger_price if stop.terms.size > 0 else price <= trigger_price

    def _wanted(self) -> StopOrder | None:
        record = self._record
        if record.input.backstop is None or record.state is None or record.close_reason is not None:
            return None
        stop = backstop_of(record.state, record.input.backstop.beyond)
        return None if stop is None else self._desk.rounded(stop)

    def _is_out_of_step(self) -> bool:
        record, wanted = self._record, self._wanted()
        if wanted is None:
            return record.stop is not None
        if wanted == self._refused:
            return False
        if record.stop is None:
            return True
        assert record.input.backstop is not None
        # A paused trade holds what it held: its strategy's levels go on with the price, its stop must not.
        is_paused = record.mode is Mode.PAUSED
        return not record.stop.terms.still_serves(wanted, record.input.backstop.beyond / 2, may_be_nearer=is_paused)

    async def _replace(self) -> None:
        record, wanted = self._record, self._wanted()
        if wanted is None:
            self._retire()
            return
        intent = await self._desk.prepare_stop(wanted)
        if self._wanted() != wanted:
            return
        self._desk.note_intent(intent, _purpose(wanted))
        record.pending_stop = intent
        record.stop_cloids = [*record.stop_cloids, intent.cloid][-CLOIDS_KEPT:]
        await self._place(intent)

    async def _place(self, intent: Intent) -> None:
        record = self._record
        assert intent.trigger_price is not None
        terms = StopOrder(size=_signed(intent.side, intent.size), trigger_price=intent.trigger_price)
        outcome = await self._desk.send(intent, _purpose(terms))
        record.pending_stop = None
        match outcome.status:
            case OutcomeStatus.RESTING:
                self._retire()
                record.stop = RestingStop(cloid=intent.cloid, terms=terms, placed_ms=outcome.proof.established_at_ms)
                self._refused = None
            case OutcomeStatus.FILLED:
                self._book(outcome.fills)
            case OutcomeStatus.NOT_EXECUTED:
                await self._pause_before_next_try()
            case OutcomeStatus.REJECTED:
                self._refused = self._wanted()
                self._note_once(f"no backstop at {terms.trigger_price:f}: {outcome.text or outcome.status}")

    async def _pause_before_next_try(self) -> None:
        """Unless there is something more urgent."""
        record = self._record
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: bool(record.inbox) or record.close_reason is not None, timeout=RETRY_AFTER
            )

    def _note_once(self, text: str) -> None:
        if text not in self._record.notes:
            self._commands.note(text)

    def _retire(self) -> None:
        record = self._record
        if record.stop is not None:
            record.former_stops = [*record.former_stops, record.stop]
            record.stop = None

    async def _cancel(self, stop: RestingStop) -> None:
        record = self._record
        outcome = await self._desk.cancel(stop.cloid, since_ms=stop.placed_ms)
        record.former_stops = [each for each in record.former_stops if each.cloid != stop.cloid]
        if outcome.proof.established_by != "reply":
            record.look_due = "a former backstop was gone before it was taken off"
        self._find(outcome.fills)

    def _find(self, fills: tuple[Fill, ...]) -> None:
        """Fills that no outcome of ours told of."""
        for fill in self._news(fills):
            self._desk.note_fill(fill)
        self._book(fills)

    def _news(self, fills: tuple[Fill, ...]) -> tuple[Fill, ...]:
        return tuple(fill for fill in fills if fill.tid not in self._record.stop_tids)

    def _book(self, fills: tuple[Fill, ...]) -> None:
        """What it sold or covered is in the ledger, once; and the trade ends, for the stop lies beyond its strategy."""
        record = self._record
        news = self._news(fills)
        if not news or record.state is None:
            return
        size = sum((fill.size for fill in news), Decimal(0))
        cost_usd = sum((fill.size * fill.price for fill in news), Decimal(0))
        fee_usd = sum((fill.fee_usd for fill in news), Decimal(0))
        record.state = corrected(record.state, Execution(size=size, average_price=cost_usd / size, fee_usd=fee_usd))
        record.stop_tids = [*record.stop_tids, *(fill.tid for fill in news)]
        verb = "bought" if size > 0 else "sold"
        self._commands.end(f"the backstop fired: {verb} {plain(abs(size)):f} at {plain(cost_usd / size):.8g}")


def _as_resting(order: OpenOrder, since_ms: int) -> RestingStop:
    assert order.cloid is not None
    trigger_price = order.trigger_price or order.limit_price
    terms = StopOrder(size=_signed(order.side, order.size), trigger_price=trigger_price)
    return RestingStop(cloid=order.cloid, terms=terms, placed_ms=since_ms)


def _signed(side: Side, size: Decimal) -> Decimal:
    return size if side is Side.BUY else -size


def _purpose(stop: StopOrder) -> str:
    return f"backstop at {plain(stop.trigger_price):f}"
