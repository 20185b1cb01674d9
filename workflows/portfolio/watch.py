"""What the watch over the account reports, and what follows from it."""

from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import NoticeKind, WatchReport, WatchRequest, orders_queue
    from exchange.spot_port import LedgerUpdate
    from journal import entries
    from portfolio.book import counted_anew, paid_in
    from portfolio.risk import Breach, Consequence
    from workflows.diary import Diary, now_ms
    from workflows.messenger import Messenger
    from workflows.portfolio.emergency import stop_everything
    from workflows.portfolio.record import HeldBack, PortfolioRecord
    from workflows.portfolio.savings import moved_by_hand
    from workflows.renewal import Renewal

AGAIN_AFTER = timedelta(seconds=5)
HEARTBEAT = timedelta(seconds=6)
"""A worker that dies is noticed so soon: a breach must not wait for it."""
ASK_AGAIN = RetryPolicy(initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=3))


class Watch:
    def __init__(
        self,
        record: PortfolioRecord,
        diary: Diary,
        messenger: Messenger,
        renewal: Renewal,
        note: Callable[[str], None],
    ) -> None:
        self._record = record
        self._diary = diary
        self._messenger = messenger
        self._renewal = renewal
        self._note = note
        self._anew = False
        self.is_between = True
        """No look is on its way: what a run has seen is in the record, and the run may end."""

    def begin_anew(self) -> None:
        """The limits or the high are others now: what is being looked for is out of date."""
        self._anew = True

    async def watch_forever(self) -> None:
        while True:
            report = await self._report()
            if report is not None:
                self._take(report)
            self.is_between = True
            # The loop may begin a new run here.
            await workflow.sleep(timedelta(milliseconds=1))
            self.is_between = False

    async def _report(self) -> WatchReport | None:
        """None when it was looked for in vain."""
        record = self._record
        self._anew = self.is_between = False
        looking = workflow.start_activity(
            "watch_account",
            WatchRequest(
                network=record.input.network,
                account=record.account,
                curve=record.curve,
                limits=record.terms.limits,
                ledger_ms=record.ledger_ms,
                ledger_hashes=record.ledger_hashes,
                known=self._known(),
                # People look at a portfolio that has just begun.
                at_once=record.looked_ms == 0,
            ),
            result_type=WatchReport,
            task_queue=orders_queue(record.signer),
            start_to_close_timeout=timedelta(minutes=5),
            heartbeat_timeout=HEARTBEAT,
            retry_policy=ASK_AGAIN,
            # It has something to say even then.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            summary="equity, drawdown and money that moves",
        )
        await workflow.wait_condition(lambda: looking.done() or self._anew or self._renewal.can_be())
        if not looking.done():
            looking.cancel()
        try:
            report: WatchReport = await looking
        except ActivityError as error:
            if is_cancelled_exception(error):
                return None
            self._note(f"the account can't be watched: {error.cause or error}")
            await workflow.sleep(AGAIN_AFTER)
            return None
        return None if self._anew else report

    def _known(self) -> tuple[str, ...]:
        stopped = ("max_drawdown",) if self._record.latch is not None else ()
        return (*stopped, *(each.limit for each in self._record.held_back))

    def _take(self, report: WatchReport) -> None:
        record = self._record
        record.curve, record.exposure, record.looked_ms = report.curve, report.exposure, report.at_ms
        for update in report.updates:
            self._take_update(update)
        if not record.moves_unseen and record.purchase is None:
            # Only here equity is known to have in it what the book has.
            record.book = counted_anew(record.book, report.exposure.equity_usd)
        for text in report.warnings:
            self._messenger.tell(text, NoticeKind.DRAWDOWN)
        for breach in report.new_breaches:
            self._take_breach(breach)
        self._stop_again(report)

    def _take_update(self, update: LedgerUpdate) -> None:
        record = self._record
        same = update.time_ms == record.ledger_ms
        record.ledger_hashes = (*(record.ledger_hashes if same else ()), update.hash)
        record.ledger_ms = update.time_ms
        if update.perp_usd is None:
            self._messenger.tell(f"money moved in a way that is not known here ({update.kind}): look at the account")
            return
        if not update.perp_usd:
            return
        if update.usd == 0 and update.perp_usd in record.moves_unseen:
            record.moves_unseen.remove(update.perp_usd)
            return
        usd = update.perp_usd
        if update.usd == 0:
            usd = moved_by_hand(record, usd)
        record.book = paid_in(record.book, usd)
        self._diary.add(
            entries.MoneyRecord, movement=update.kind, usd=update.perp_usd, time_ms=update.time_ms, hash=update.hash
        )

    def _take_breach(self, breach: Breach) -> None:
        record = self._record
        self._diary.add(entries.AlertRecord, text=breach.text)
        match breach.consequence:
            case Consequence.STOP:
                stop_everything(record, breach.text)
                self._messenger.tell(f"EMERGENCY STOP: {breach.text}")
            case Consequence.NO_NEW_RISK:
                held = HeldBack(limit=breach.limit, since_ms=now_ms(), text=breach.text)
                record.held_back = [*record.held_back, held]
                self._messenger.tell(f"{breach.text}: nothing is opened or made larger until portfolio release")

    def _stop_again(self, report: WatchReport) -> None:
        """What came after everything was flat: a trade that nobody asked us for."""
        latch = self._record.latch
        if latch is None or latch.proof is None:
            return
        left = latch.proof.left.coins
        if any(usd and coin not in left for coin, usd in report.exposure.net_notional_usd.items()):
            self._record.latch = latch.model_copy(update={"proof": None})
