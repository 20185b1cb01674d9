"""One portfolio, for as long as its account is traded.

The handlers write down what is asked; one loop acts on it, one thing at a time. The watch over the account, an
emergency stop and the savings go on beside it: none of them waits for another.
"""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import TRADES_QUEUE, AccountIdentity
    from journal.entries import StoppedRecord, TradeRef
    from portfolio.book import Allocation
    from portfolio.curve import seen
    from workflows.diary import Diary, now_ms
    from workflows.handover import Handover
    from workflows.messenger import Messenger
    from workflows.portfolio.commands import Commands
    from workflows.portfolio.emergency import Emergency
    from workflows.portfolio.grants import ASK_AGAIN, Grants
    from workflows.portfolio.handlers import Handlers
    from workflows.portfolio.purchases import Purchases
    from workflows.portfolio.rebalancing import Rebalancing, survey
    from workflows.portfolio.record import Latch, PortfolioRecord, StopProof
    from workflows.portfolio.savings import try_again
    from workflows.portfolio.standing import PortfolioStandings
    from workflows.portfolio.status import details_markdown
    from workflows.portfolio.watch import Watch
    from workflows.renewal import Renewal


AGAIN_AFTER = timedelta(seconds=5)
"""After something that could not be done."""


@workflow.defn(name="Portfolio")
class Portfolio(Handlers):
    @workflow.init
    def __init__(self, record: PortfolioRecord) -> None:
        self._record = record
        self._diary = Diary(record, PortfolioStandings(record))
        self._messenger = Messenger(record, self._note)
        self._handover = Handover(record, self._diary, lambda name, text: self._commands.refused(name, text))
        self._renewal = Renewal(lambda: self._handover.is_confirmed)
        self._watch = Watch(record, self._diary, self._messenger, self._renewal, self._note)
        self._commands = Commands(record, self._diary, self._watch)
        self._grants = Grants(record, self._diary, self._messenger)
        self._rebalancing = Rebalancing(record)
        self._emergency = Emergency(record, self._proved)
        self._purchases = Purchases(record, self._diary, self._messenger)

    def _note(self, text: str) -> None:
        self._commands.note(text)

    def _proved(self, latch: Latch, proof: StopProof) -> None:
        self._diary.add(
            StoppedRecord,
            reason=latch.reason,
            trades=tuple(each.workflow_id for each in proof.trades),
            flat_at_ms=proof.at_ms,
            looks=proof.looks,
            left=proof.left.coins,
        )
        self._messenger.tell(f"everything is flat, {proof.words}: {latch.reason}")

    @workflow.run
    async def run(self, record: PortfolioRecord) -> None:
        if not record.account:
            await self._begin()
        beside = [
            asyncio.create_task(work)
            for work in (
                self._diary.write_forever(),
                self._messenger.deliver_forever(),
                self._watch.watch_forever(),
                self._emergency.stop_forever(),
                self._purchases.save_forever(),
                self._act_forever(),
                self._handover.confirm_forever(),
            )
        ]
        await workflow.wait_condition(
            lambda: self._may_be_renewed() or self._may_end() or any(task.done() for task in beside)
        )
        for task in beside:
            if task.done():
                # None of them ends: what it failed of is seen where people look.
                task.result()
        if self._may_end():
            await self._diary.written()
            await self._messenger.all_told()
            for task in beside:
                task.cancel()
            return
        if self._handover.is_confirmed:
            self._handover.take_over()
            # What the former key was not allowed, this one may be.
            try_again(record)
        workflow.continue_as_new(record)

    async def _act_forever(self) -> None:
        while True:
            workflow.set_current_details(details_markdown(self._record))
            await workflow.wait_condition(self._has_work)
            try:
                await self._act()
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                self._note(f"{error.cause or error}; it is tried again")
                await workflow.sleep(AGAIN_AFTER)

    async def _act(self) -> None:
        if self._grants.has_work():
            await self._grants.advance()
        elif self._rebalancing.has_work():
            await self._rebalancing.advance()

    def _has_work(self) -> bool:
        return self._grants.has_work() or self._rebalancing.has_work()

    def _may_be_renewed(self) -> bool:
        """What the watch has seen is in the record; what else is on its way is done again by the next run."""
        return self._renewal.can_be() and self._watch.is_between

    def _may_end(self) -> bool:
        return self._record.is_over and workflow.all_handlers_finished()

    async def _begin(self) -> None:
        """Whose account it is, what is in it, and which trades that run have it from this portfolio."""
        record = self._record
        found: AccountIdentity = await workflow.execute_activity(
            "identify_account",
            record.input.network,
            result_type=AccountIdentity,
            task_queue=TRADES_QUEUE,
            start_to_close_timeout=timedelta(seconds=10),
            retry_policy=ASK_AGAIN,
            summary="whose account, and what it is worth",
        )
        record.account, record.signer = found.account, found.signer
        info = workflow.info()
        record.trade = TradeRef(
            trade_id=f"{info.workflow_id}/{info.first_execution_run_id}",
            workflow_id=info.workflow_id,
            coin="",
            account=found.account,
            network=record.input.network,
            opened_at_ms=now_ms(),
            terms=record.terms.model_dump(mode="json"),
        )
        record.ledger_ms, record.ledger_hashes = found.ledger_ms, found.ledger_hashes
        record.curve = seen(record.curve, found.equity_usd)
        own = [each for each in (await survey(record)).trades if each.portfolio == record.input.name]
        open_usd = sum((each.equity_usd - each.allocation_usd for each in own), found.equity_usd * 0)
        allocations = {
            each.workflow_id: Allocation(coin=each.coin, margin_usd=each.allocation_usd)
            for each in own
            if each.allocation_usd > 0
        }
        record.book = record.book.model_copy(
            update={"capital_usd": found.equity_usd - open_usd, "allocations": allocations}
        )
