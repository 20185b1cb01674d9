"""One trade, from its opening to its close.

The handlers (`workflows.handlers`) write down what is asked; one loop acts on it, one thing at a time. Everything that
changes is in `TradeRecord`, so the workflow can continue as new between any two things and lose nothing.
"""

import asyncio
from datetime import timedelta
from typing import NoReturn

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import FEED_QUEUE, TrackRequest, orders_queue
    from journal.entries import AlertRecord
    from strategy.fold import regridded
    from workflows.book import Book
    from workflows.closing import close_some
    from workflows.commands import Commands, new_grid_refusal
    from workflows.contracts import Mode, NeedsAttention, TradeRecord, TradeResult
    from workflows.desk import Desk, current_price
    from workflows.diary import Diary, now_ms
    from workflows.display import details_markdown, search_attributes
    from workflows.handlers import Handlers
    from workflows.opening import open_trade

HISTORY_EVENTS_MAX = 1_000
"""The run is renewed above it: a restarted worker reads that much in a moment."""
OUTBOX_MAX = 2_000
"""Entries the journal could not take, above which a trade sends no more orders: its state has to stay small."""


@workflow.defn(name="Trade")
class Trade(Handlers):
    @workflow.init
    def __init__(self, record: TradeRecord) -> None:
        self._record = record
        self._diary = Diary(record)
        self._desk = Desk(record, self._diary)
        self._book = Book(record, self._desk, self._diary)
        self._commands = Commands(record, self._diary)
        self._shown = search_attributes(record)
        self._tracking: asyncio.Task[None] | None = None

    @workflow.run
    async def run(self, record: TradeRecord) -> TradeResult:
        writing = asyncio.create_task(self._diary.write_forever())
        if record.mode is Mode.OPENING:
            await self._open()
            await self._move_to_the_signers_queue()
        self._follow()
        while record.mode is not Mode.CLOSED:
            try:
                await self._turn()
            except (FailureError, asyncio.CancelledError) as error:
                # The worker cancels too, when it drops a trade from its cache: then there is no reason.
                if not is_cancelled_exception(error) or workflow.cancellation_reason() is None:
                    raise
                self._commands.cancelled()
        self._show()
        self._follow(False)
        await self._diary.written()
        writing.cancel()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self._result()

    async def _turn(self) -> None:
        self._show()
        await workflow.wait_condition(lambda: self._has_work() or self._time_to_renew())
        # Also between one piece of work and the next: the inbox and what is pending go on in the next run. No await
        # between this check and the renewal, so a signal that comes later is the next run's.
        if self._time_to_renew() and workflow.all_handlers_finished():
            workflow.continue_as_new(self._record)
        if self._has_work():
            await self._act_or_ask_for_help()
        else:
            await workflow.wait_condition(lambda: self._has_work() or workflow.all_handlers_finished())

    async def _act_or_ask_for_help(self) -> None:
        """One thing, the most urgent. Whatever can't be done leaves the trade open and in the hands of a person."""
        record = self._record
        closing = record.close_reason is not None
        try:
            if closing:
                await close_some(record, self._desk, self._diary)
            elif record.new_unit_size is not None:
                await self._regrid()
            elif len(record.outbox) > OUTBOX_MAX and record.mode is Mode.TRADING:
                raise NeedsAttention(f"the journal can't be written: {len(record.outbox)} entries wait")
            else:
                await self._book.advance()
        except NeedsAttention as need:
            self._call_for_attention(str(need), closing=closing)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            self._call_for_attention(str(error.cause or error), closing=closing)

    def _call_for_attention(self, text: str, *, closing: bool) -> None:
        """No orders until a person resumes or closes the trade. One who asked for the close meanwhile has decided."""
        record = self._record
        workflow.logger.error("ATTENTION: %s", text)
        self._diary.add(AlertRecord, text=text)
        record.new_unit_size = None
        if closing or record.close_reason is None:
            record.mode, record.attention, record.close_reason = Mode.ATTENTION, text, None
        else:
            self._commands.note(text)

    async def _open(self) -> None:
        try:
            await open_trade(self._record, self._desk, self._diary)
        except FailureError:
            await self._diary.written()
            raise

    async def _move_to_the_signers_queue(self) -> NoReturn:
        """From here on the trade runs only where its signer's key is, in the very processes that send its orders."""
        self._show()
        await workflow.wait_condition(workflow.all_handlers_finished)
        workflow.continue_as_new(self._record, task_queue=orders_queue(self._record.signer))

    def _has_work(self) -> bool:
        record = self._record
        return record.close_reason is not None or record.new_unit_size is not None or self._book.has_work()

    def _time_to_renew(self) -> bool:
        info = workflow.info()
        return info.is_continue_as_new_suggested() or info.get_current_history_length() > HISTORY_EVENTS_MAX

    def _follow(self, wanted: bool = True) -> None:
        """Begin to follow the price, anew if need be, or stop."""
        if self._tracking is not None:
            self._tracking.cancel()
        self._tracking = asyncio.create_task(self._track()) if wanted else None

    async def _track(self) -> None:
        """Keep a feed process following the price for us; Temporal finds another one when it dies."""
        request = TrackRequest(workflow_id=workflow.info().workflow_id, coin=self._record.input.coin)
        while True:
            try:
                await workflow.execute_activity(
                    "track_units",
                    request,
                    task_queue=FEED_QUEUE,
                    start_to_close_timeout=timedelta(days=3650),
                    heartbeat_timeout=timedelta(seconds=3),
                    retry_policy=RetryPolicy(
                        initial_interval=timedelta(milliseconds=100), maximum_interval=timedelta(seconds=5)
                    ),
                    cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
                    summary=f"follow {request.coin}",
                )
            except ActivityError as error:
                if is_cancelled_exception(error):
                    return
                self._commands.note(f"the feed gave up: {error.cause}; starting it again")
            await workflow.sleep(timedelta(seconds=5))

    async def _regrid(self) -> None:
        """A new grid at the current price, if the trade is still 100% long."""
        record = self._record
        unit_size = record.new_unit_size
        assert unit_size is not None and record.state is not None
        price = await current_price(record.input.network, record.input.coin)
        record.new_unit_size = None
        if refusal := new_grid_refusal(record, price, unit_size):
            self._commands.note(f"set_unit_size refused: {refusal}")
            return
        record.state = regridded(record.state, price, unit_size)
        record.inbox.clear()
        record.since_ms, record.last_price = max(record.since_ms, now_ms()), price
        self._follow()

    def _show(self) -> None:
        """Keep the Web UI telling the story."""
        workflow.set_current_details(details_markdown(self._record))
        attributes = search_attributes(self._record)
        if attributes != self._shown:
            workflow.upsert_search_attributes([pair.key.value_set(pair.value) for pair in attributes])
            self._shown = attributes

    def _result(self) -> TradeResult:
        record = self._record
        assert record.state is not None and record.last_price is not None
        equity = record.state.equity(record.last_price)
        return TradeResult(
            coin=record.input.coin,
            reason=record.close_reason or "",
            cycles=record.state.cycle,
            equity=equity,
            pnl_usd=equity - record.input.margin_usd,
        )
