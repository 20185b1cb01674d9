"""The stop that rests on the exchange and works when nothing here does: kept in step with what the trade holds.

The new one is placed before the old one is taken off: between the two both are there, and reduce-only.
"""

from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import Findings
    from exchange.port import CancelStatus, Fill, OutcomeStatus
    from strategy.backstop import StopOrder, backstop_of
    from strategy.fold import corrected
    from strategy.values import Execution, plain
    from workflows.commands import Commands
    from workflows.contracts import Mode, RestingStop, TradeRecord
    from workflows.desk import Desk

KEPT_IN = (Mode.TRADING, Mode.PAUSED)
TIDS_KEPT = 50


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
        if record.pending_stop is not None:
            return True
        wanted = self._wanted()
        if wanted is None or record.stop is None:
            return (wanted is not None and wanted != self._refused) or record.stop is not None
        slack = record.input.backstop.beyond / 2 if record.input.backstop else Decimal(0)
        return not record.stop.terms.still_serves(wanted, slack) and wanted != self._refused

    async def keep(self) -> None:
        """One step: what is on its way first, then the new stop, then the old one off."""
        record = self._record
        if record.pending_stop is None and (wanted := self._wanted()) is not None:
            intent = await self._desk.prepare_stop(wanted)
            self._desk.note_intent(intent, _purpose(wanted))
            record.pending_stop = intent
        replaced = record.stop
        if record.pending_stop is not None:
            await self._place()
        if replaced is not None and (record.stop is not replaced or self._wanted() is None):
            await self._cancel(replaced)

    async def _place(self) -> None:
        record, intent = self._record, self._record.pending_stop
        assert intent is not None and intent.trigger_price is not None
        size = intent.size if intent.side == "buy" else -intent.size
        terms = StopOrder(size=size, trigger_price=intent.trigger_price)
        outcome = await self._desk.send(intent, _purpose(terms))
        record.pending_stop = None
        match outcome.status:
            case OutcomeStatus.RESTING:
                record.stop = RestingStop(cloid=intent.cloid, terms=terms, placed_ms=outcome.proof.established_at_ms)
                record.stop_cloids = [*record.stop_cloids, intent.cloid][-TIDS_KEPT:]
                self._refused = None
            case OutcomeStatus.FILLED:
                self._book(outcome.fills)
            case _:
                self._refused = self._wanted()
                self._commands.note(f"no backstop at {terms.trigger_price:f}: {outcome.text or outcome.status}")

    async def _cancel(self, stop: RestingStop) -> None:
        record = self._record
        outcome = await self._desk.cancel(stop.cloid, since_ms=stop.placed_ms)
        if record.stop is stop:
            record.stop = None
        if outcome.status is CancelStatus.FIRED:
            self._book(outcome.fills)

    def compare(self, findings: Findings) -> None:
        """Whether it still rests, and what it did meanwhile."""
        record = self._record
        mine = frozenset(record.stop_cloids)
        self._book(tuple(fill for fill in findings.fills if fill.cloid in mine))
        if record.stop is not None and record.stop.cloid not in {order.cloid for order in findings.resting}:
            # Fired, or taken off by somebody else: one that is still wanted is placed again.
            record.stop = None

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

    def _book(self, fills: tuple[Fill, ...]) -> None:
        """What it sold or covered is in the ledger, once; and the trade ends, for the stop lies beyond its strategy."""
        record = self._record
        news = [fill for fill in fills if fill.tid not in record.stop_tids]
        if not news or record.state is None:
            return
        size = sum((fill.size for fill in news), Decimal(0))
        cost_usd = sum((fill.size * fill.price for fill in news), Decimal(0))
        fee_usd = sum((fill.fee_usd for fill in news), Decimal(0))
        record.state = corrected(record.state, Execution(size=size, average_price=cost_usd / size, fee_usd=fee_usd))
        record.stop_tids = [*record.stop_tids, *(fill.tid for fill in news)][-TIDS_KEPT:]
        verb = "bought" if size > 0 else "sold"
        self._commands.end(f"the backstop fired: {verb} {plain(abs(size)):f} at {plain(cost_usd / size):.8g}")


def _purpose(stop: StopOrder) -> str:
    return f"backstop at {plain(stop.trigger_price):f}"
