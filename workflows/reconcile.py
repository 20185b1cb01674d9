"""Is the exchange where the ledger says? Asked on start, on resume, after every outcome that took asking, and by timer.

A difference that the trade did not cause stops it: a person says whether the exchange's position is adopted, hedged
anew, released or closed. Other trades on the coin have their part of the position: see `workflows.neighbours`.
"""

from datetime import timedelta
from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import Findings, NoticeKind
    from exchange.port import Fill
    from journal import entries
    from strategy.fold import adopted, corrected
    from strategy.state import TradeState
    from strategy.values import Execution, plain
    from workflows.asked import Answer
    from workflows.backstop import Backstop
    from workflows.contracts import Away, Difference, Mode, NeedsAttention, TradeRecord
    from workflows.desk import Desk, current_price
    from workflows.diary import Diary, now_ms
    from workflows.differing import difference_words
    from workflows.liquidation import is_near, nearness_words
    from workflows.messenger import Messenger
    from workflows.neighbours import Neighbours, sizes_by_name

LOOKS_EVERY = timedelta(minutes=5)
"""If nothing else made us look."""
LOOKS_AGAIN_AFTER = timedelta(seconds=10)
"""When another trade on the coin could not say what it has."""
SETTLES = timedelta(seconds=2)
"""A difference counts when it is still there after so long: what the exchange shows may lag behind a fill."""
FILLS_SHOWN = 10


class Reconciler:
    def __init__(
        self,
        record: TradeRecord,
        desk: Desk,
        diary: Diary,
        backstop: Backstop,
        messenger: Messenger,
        neighbours: Neighbours,
    ) -> None:
        self._record = record
        self._neighbours = neighbours
        self._desk = desk
        self._diary = diary
        self._backstop = backstop
        self._messenger = messenger

    def has_work(self) -> bool:
        """A look is due, and no order is on its way: until its outcome is known, the two may well differ."""
        record = self._record
        looks = record.mode in (Mode.TRADING, Mode.PAUSED, Mode.ATTENTION, Mode.STOPPED)
        return record.look_due is not None and record.pending is None and looks

    async def look_now_and_then(self) -> None:
        record = self._record
        await workflow.wait_condition(lambda: record.state is not None)
        # Also of a trade that was opened by a release which did not look.
        record.looked_ms = record.looked_ms or now_ms()
        record.agreed_ms = record.agreed_ms or now_ms()
        while True:
            waits_ms = record.looked_ms + LOOKS_EVERY // timedelta(milliseconds=1) - now_ms()
            if waits_ms > 0:
                await workflow.sleep(waits_ms / 1000)
                continue
            record.look_due = record.look_due or "a few minutes have passed"
            await workflow.sleep(LOOKS_EVERY)

    async def look_again_when_unsettled(self) -> None:
        record = self._record
        while True:
            await workflow.wait_condition(lambda: record.unsettled is not None and record.look_due is None)
            await workflow.sleep(LOOKS_AGAIN_AFTER)
            record.look_due = record.look_due or record.unsettled

    async def compare(self) -> None:
        """One look. Raises NeedsAttention with a difference nobody was told of yet."""
        record = self._record
        record.look_due = record.unsettled = None
        findings = await self.look()
        if findings.unsettled is not None:
            # No verdict: what is not known is no difference, and no agreement.
            return
        told = record.difference
        record.difference = self._difference(findings)
        self._note_strange(findings)
        if record.difference is None:
            record.agreed_ms = findings.at_ms
            self._settle_strange(findings)
        elif told is None or not told.same_as(record.difference):
            text = difference_words(record.difference, record.input.coin, self._neighbours.name)
            fields = record.difference.model_dump(include={"wanted_size", "held_size", "wanted_leverage", "leverage"})
            self._diary.add(entries.DifferenceRecord, text=text, **fields)
            await self._neighbours.tell_of_a_difference()
            raise NeedsAttention(text)

    async def look(self) -> Findings:
        """What the exchange has, looked at twice if it differs; funding is booked, prices missed are noted."""
        record = self._record
        away = next((each for each in record.away if not each.looked), None)
        findings = await self._found(away)
        if self._difference(findings) is not None or self._backstop.is_missing(findings):
            await workflow.sleep(SETTLES)
            findings = await self._found(away)
        record.looked_ms, record.unsettled = now_ms(), findings.unsettled
        self._book_funding(findings)
        self._backstop.compare(findings)
        self._warn_of_liquidation(findings)
        if findings.unsettled is not None:
            return findings
        if away is not None:
            seen = away.model_copy(update={"looked": True, "missed": findings.missed})
            record.away = [seen if each == away else each for each in record.away]
        if any(not each.looked for each in record.away):
            record.look_due = "prices missed"
        return findings

    async def _found(self, away: Away | None) -> Findings:
        """With all trades that have a part in the position, those that came meanwhile too."""
        while True:
            asked = self._neighbours.known
            findings = await self._desk.look(away.outage if away else None)
            if self._neighbours.known == asked:
                break
        self._neighbours.seen(findings)
        return findings

    def _warn_of_liquidation(self, findings: Findings) -> None:
        record, position = self._record, findings.position
        near = is_near(position, findings.liquidation_within_pct, was_near=record.near_liquidation)
        if near and not record.near_liquidation:
            self._messenger.tell(nearness_words(position), NoticeKind.LIQUIDATION)
        record.near_liquidation = near

    async def settle_answer(self) -> None:
        """Do what a person decided. Raises NeedsAttention when it can't be done."""
        record, answer = self._record, self._record.answer
        try:
            await self._desk.settle_pending()
            match answer:
                case Answer.ADOPT:
                    await self._adopt()
                case Answer.REHEDGE:
                    await self._rehedge()
                case Answer.RELEASE:
                    self._release()
        finally:
            # Another answer that was given meanwhile is the next to be settled.
            if record.answer is answer:
                record.answer = None

    async def take_over(self, findings: Findings) -> None:
        """Book what others traded: the ledger's net is the exchange's then, but for what other trades have."""
        await self.take(findings, findings.position.size - findings.others_size - self._state.ledger.net_qty)

    async def take(self, findings: Findings, size: Decimal) -> None:
        """Book so much (signed) of what others traded."""
        self._note_strange(findings)
        if size:
            execution = await self._strange_execution(findings, size)
            self._record.state = corrected(self._state, execution)
        self._settle_strange(findings)

    async def _adopt(self) -> None:
        record = self._record
        findings = await self._settled_look()
        held = findings.position.size - findings.others_size
        if held <= 0:
            beside = f" beside {', '.join(each.name for each in findings.others)}" if findings.others else ""
            raise NeedsAttention(
                f"adopt is for a long; the exchange holds {plain(held):f} {record.input.coin}{beside}: "
                "answer rehedge, release or close"
            )
        await self.take_over(findings)
        price = await current_price(record.input.network, record.input.coin)
        ended = self._state
        record.state = adopted(ended, price, findings.position.leverage or ended.terms.leverage)
        record.inbox.clear()
        record.since_ms, record.last_price = max(record.since_ms, now_ms()), price
        self._diary.add(
            entries.ResetRecord,
            cycle=ended.cycle,
            price=price,
            cycle_pnl_usd=record.state.allocation - ended.allocation,
            allocation_usd=record.state.allocation,
        )
        self._agree(findings)

    async def _rehedge(self) -> None:
        record = self._record
        findings = await self._settled_look()
        leverage = self._state.terms.leverage
        if findings.position.leverage not in (None, leverage):
            await self._desk.set_leverage(leverage)
        await self.take_over(findings)
        if record.last_price is not None and not record.inbox:
            record.last_price = await current_price(record.input.network, record.input.coin)
        self._agree(findings)

    async def _settled_look(self) -> Findings:
        """Raises NeedsAttention when another trade can't say what it has."""
        findings = await self.look()
        if findings.unsettled is not None:
            raise NeedsAttention(f"{findings.unsettled}: nothing was done; answer again in a moment")
        return findings

    def _release(self) -> None:
        record = self._record
        price = record.last_price
        assert price is not None
        was_stopped = record.mode is Mode.STOPPED
        record.mode, record.attention = Mode.CLOSED, None
        record.new_unit_size = record.new_input = None
        if not was_stopped:
            record.close_reason = "released by the operator"
            pnl_usd = record.earned_usd(price)
            self._diary.add(entries.Closed, reason=record.close_reason, realized_pnl_usd=pnl_usd, price=price)

    def _agree(self, findings: Findings) -> None:
        record = self._record
        record.attention = record.difference = None
        if record.close_reason is None:
            record.mode = Mode.TRADING
        record.agreed_ms = findings.at_ms

    @property
    def _state(self) -> TradeState:
        assert self._record.state is not None
        return self._record.state

    def _difference(self, findings: Findings) -> Difference | None:
        """None also where it can't be said."""
        wanted, held = self._state.ledger.net_qty, findings.position.size
        wanted_leverage = self._state.terms.leverage
        # Beside others a stopped trade has no say in the leverage.
        is_theirs = self._record.mode is Mode.STOPPED and bool(findings.others)
        leverage = wanted_leverage if is_theirs else findings.position.leverage or wanted_leverage
        if findings.unsettled is not None or (wanted + findings.others_size, wanted_leverage) == (held, leverage):
            return None
        strange = self.strange(findings)
        return Difference(
            wanted_size=wanted,
            held_size=held,
            wanted_leverage=wanted_leverage,
            leverage=leverage,
            fills=strange[-FILLS_SHOWN:],
            liquidated=any(fill.liquidation for fill in strange),
            at_ms=findings.at_ms,
            others=sizes_by_name(findings.others),
        )

    def strange(self, findings: Findings) -> tuple[Fill, ...]:
        """Fills that no order of a trade on the coin made."""
        return tuple(
            fill for fill in findings.fills if not self._desk.is_ours(fill) and not self._neighbours.is_theirs(fill)
        )

    def unsettled_strange(self, findings: Findings) -> tuple[Fill, ...]:
        """Those that no ledger has yet."""
        settled = frozenset(self._record.settled_tids)
        return tuple(fill for fill in self.strange(findings) if fill.tid not in settled)

    def _note_strange(self, findings: Findings) -> None:
        """Each fill of others once."""
        record, strange = self._record, self.strange(findings)
        told = frozenset(record.strange_tids)
        # What is asked for only moves on: a fill that is not among them any more never comes again.
        record.strange_tids = [fill.tid for fill in strange]
        for fill in strange:
            if fill.tid in told:
                continue
            fields = fill.model_dump(include={"tid", "price", "size", "fee_usd", "time_ms"})
            if fill.liquidation:
                self._diary.add(entries.LiquidationRecord, **fields)
            else:
                self._diary.add(entries.FillRecord, cloid=fill.cloid, oid=fill.oid, **fields)

    async def _strange_execution(self, findings: Findings, size: Decimal) -> Execution:
        """At the prices of the fills that explain it; at the market's where none do."""
        strange = self.unsettled_strange(findings)
        if sum((fill.size for fill in strange), Decimal(0)) == size:
            value = sum((fill.size * fill.price for fill in strange), Decimal(0))
            fee_usd = sum((fill.fee_usd for fill in strange), Decimal(0))
            return Execution(size=size, average_price=value / size, fee_usd=fee_usd)
        price = await current_price(self._record.input.network, self._record.input.coin)
        return Execution(size=size, average_price=price)

    def _settle_strange(self, findings: Findings) -> None:
        """What others did up to now is in the ledger, or came to nothing."""
        self._record.settled_tids = [fill.tid for fill in self.strange(findings)]

    def _book_funding(self, findings: Findings) -> None:
        record = self._record
        if findings.unsettled is not None:
            return
        for payment in findings.funding or ():
            if payment.time_ms <= record.funding_ms:
                continue
            record.funding_ms = payment.time_ms
            usd = self._neighbours.part_of(payment.usd, payment.size)
            record.state = self._state.changed(ledger=self._state.ledger.charged(-usd))
            self._diary.add(entries.FundingRecord, usd=usd, time_ms=payment.time_ms)
