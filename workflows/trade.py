"""One trade, from its opening to its close.

The handlers (`workflows.handlers`) write down what is asked; one loop acts on it, one thing at a time. Everything that
changes is in `TradeRecord`, so the workflow can continue as new between any two things and lose nothing.
"""

import asyncio
from typing import NoReturn

from temporalio import workflow
from temporalio.exceptions import ActivityError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import orders_queue
    from journal.entries import AlertRecord
    from workflows.away import Homecoming
    from workflows.backstop import Backstop
    from workflows.book import Book
    from workflows.closing import close_some, close_some_as_in_0_1, pause_before_next_try
    from workflows.commands import Commands
    from workflows.contracts import Mode, NeedsAttention, TradeRecord
    from workflows.desk import Desk
    from workflows.diary import Diary
    from workflows.display import Display, result_of
    from workflows.editing import take_edit, take_unit_size
    from workflows.entry import Entry, has_to_wait
    from workflows.expiry import close_at_expiry
    from workflows.following import Following
    from workflows.handlers import Handlers
    from workflows.handover import Handover
    from workflows.herald import Herald
    from workflows.leaving import has_earned_enough
    from workflows.messenger import Messenger
    from workflows.neighbours import Neighbours
    from workflows.opening import check_beforehand, open_trade
    from workflows.reconcile import Reconciler
    from workflows.renewal import Renewal
    from workflows.standing import TradeStandings
    from workflows.status import TradeResult
    from workflows.treasury import Treasury

WATCHED = (Mode.TRADING, Mode.PAUSED)
"""Modes in which prices are folded, and a limit may be broken."""
OUTBOX_MAX = 2_000
"""Entries the journal could not take, above which a trade sends no more orders: its state has to stay small."""


@workflow.defn(name="Trade")
class Trade(Handlers):
    @workflow.init
    def __init__(self, record: TradeRecord) -> None:
        self._record = record
        self._diary = Diary(record, TradeStandings(record))
        self._desk = Desk(record, self._diary)
        self._commands = Commands(record, self._diary)
        self._messenger = Messenger(record, self._commands.note)
        self._treasury = Treasury(record, self._diary, self._messenger, self._commands)
        self._herald = Herald(record, self._commands)
        self._book = Book(record, self._desk, self._diary, self._messenger, self._treasury, self._end)
        self._backstop = Backstop(record, self._desk, self._commands)
        self._neighbours = Neighbours(record)
        self._reconciler = Reconciler(
            record, self._desk, self._diary, self._backstop, self._messenger, self._neighbours
        )
        self._reconciles = False
        """False only in a run that release 0.1.0 began: it replays as it was, and is renewed as soon as it is live."""
        self._display = Display(record)
        self._handover = Handover(record, self._diary, self._commands.refused)
        self._renewal = Renewal(lambda: self._handover.is_confirmed)
        self._following = Following(record, self._commands.note)
        self._entry = Entry(record, follow=self._following.begin, can_renew=self._renewal.can_be)

    @workflow.run
    async def run(self, record: TradeRecord) -> TradeResult:
        self._reconciles = workflow.patched("reconcile")
        self._desk.as_in_0_1 = self._renewal.as_in_0_1 = not self._reconciles
        life = asyncio.create_task(self._live())
        while True:
            try:
                # Cancel in Temporal asks for a close; it must not cut off an order on its way.
                return await asyncio.shield(life) if self._reconciles else await life
            except asyncio.CancelledError:
                # The worker cancels too, when it drops a trade from its cache: then there is no reason.
                if life.done() or workflow.cancellation_reason() is None:
                    raise
                self._commands.cancelled()

    async def _live(self) -> TradeResult:
        record = self._record
        background = self._in_the_background()
        await self._enter()
        if record.mode not in (Mode.STOPPED, Mode.CLOSED):
            self._following.begin()
        while record.mode is not Mode.CLOSED:
            try:
                await self._turn()
            except (FailureError, asyncio.CancelledError) as error:
                # Only of a run that 0.1.0 began: nothing else is cancelled here.
                if not is_cancelled_exception(error) or workflow.cancellation_reason() is None:
                    raise
                self._commands.cancelled()
        self._display.show()
        self._following.end()
        await self._diary.written()
        self._herald.ended()
        await self._herald.all_told()
        if self._reconciles:
            await self._messenger.all_told()
        for task in background:
            task.cancel()
        await workflow.wait_condition(workflow.all_handlers_finished)
        return result_of(record)

    async def _enter(self) -> None:
        """From the start to an open position, or to the end if the trade is told so before."""
        record = self._record
        if record.mode is Mode.OPENING and has_to_wait(record.input.entry):
            await check_beforehand(record.input)
            record.mode = Mode.WAITING
        while record.mode is Mode.WAITING:
            self._display.show()
            if record.new_input is not None:
                await self._take_edit()
            if self._renewal.can_be():
                workflow.continue_as_new(record)
            await self._entry.advance()
        self._following.end()
        if record.mode is Mode.OPENING and record.input.portfolio is not None:
            self._treasury.ask_for_the_opening()
            record.mode = Mode.ASKING
        while record.mode is Mode.ASKING:
            await self._ask_for_margin()
        if record.mode is Mode.OPENING:
            await self._open()
            await self._move_to_the_signers_queue()

    async def _ask_for_margin(self) -> None:
        """One step. Then the mode may be OPENING, for the margin is granted, or CLOSED, for it was told to close."""
        record = self._record
        self._display.show()
        if self._renewal.can_be():
            workflow.continue_as_new(record)
        await workflow.wait_condition(
            lambda: record.close_reason is not None or self._treasury.is_answered or self._renewal.can_be()
        )
        if record.close_reason is not None:
            record.mode = Mode.CLOSED
        elif self._treasury.is_answered:
            record.mode = Mode.OPENING
            self._display.show()

    def _in_the_background(self) -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(self._diary.write_forever())]
        if self._reconciles:
            homecoming = Homecoming(self._record, self._diary, self._messenger, self._display.show)
            tasks += [
                asyncio.create_task(work)
                for work in (
                    self._reconciler.look_now_and_then(),
                    self._reconciler.look_again_when_unsettled(),
                    homecoming.report_forever(),
                    self._messenger.deliver_forever(),
                    close_at_expiry(self._record, self._end),
                    self._herald.tell_forever(),
                )
            ]
        return tasks

    async def _turn(self) -> None:
        self._display.show()
        await workflow.wait_condition(lambda: self._has_work() or self._renewal.is_due() or self._handover.is_asked)
        if self._handover.is_asked:
            # Before any work: the former key may be no good any more.
            await self._handover.confirm()
        # Also between one piece of work and the next: the inbox and what is pending go on in the next run. No await
        # between this check and the renewal, so a signal that comes later is the next run's.
        if self._renewal.can_be():
            self._renew()
        if self._has_work():
            await self._act_or_ask_for_help()
        else:
            await workflow.wait_condition(lambda: self._has_work() or workflow.all_handlers_finished())

    def _renew(self) -> NoReturn:
        """Where the key is that signs from now on, if it is another one."""
        if self._handover.is_confirmed:
            self._handover.take_over()
            workflow.continue_as_new(self._record, task_queue=orders_queue(self._record.signer))
        workflow.continue_as_new(self._record)

    async def _act_or_ask_for_help(self) -> None:
        """One thing, the most urgent. Whatever can't be done leaves the trade open and in the hands of a person."""
        closing = self._is_closing()
        try:
            await self._act()
        except NeedsAttention as need:
            await self._in_trouble(str(need), closing=closing)
        except ActivityError as error:
            if is_cancelled_exception(error):
                raise
            await self._in_trouble(str(error.cause or error), closing=closing)

    async def _act(self) -> None:
        record = self._record
        if record.answer is not None:
            await self._settle_answer()
        elif self._is_closing():
            await self._close_some()
        elif (broken := self._broken_limit()) is not None:
            self._end(broken)
        elif self._look_is_due():
            await self._reconciler.compare()
        elif record.new_input is not None or record.new_unit_size is not None:
            await self._desk.settle_pending()
            await self._take_what_is_new()
        elif self._ends_cycle():
            await self._desk.settle_pending()
            await self._book.end_cycle()
            self._following.begin()
        elif self._treasury.has_work():
            self._treasury.advance()
        elif len(record.outbox) > OUTBOX_MAX and record.mode is Mode.TRADING:
            raise NeedsAttention(f"the journal can't be written: {len(record.outbox)} entries wait")
        elif self._book.has_work():
            await self._book.advance()
        else:
            await self._backstop.keep()

    async def _settle_answer(self) -> None:
        """A cycle that begins anew is followed anew."""
        record, before = self._record, self._record.state
        await self._reconciler.settle_answer()
        if before and record.state and record.state.cycle != before.cycle:
            self._treasury.cycle_ended(record.state.allocation - before.allocation)
            self._following.begin()

    def _end(self, reason: str) -> None:
        """By a limit of the plan, or at its last moment."""
        self._commands.end(reason)
        self._messenger.tell(reason)
        if self._record.trade is not None:
            self._diary.add(AlertRecord, text=reason)

    async def _take_what_is_new(self) -> None:
        if self._record.new_input is not None:
            await self._take_edit()
        elif refusal := await take_unit_size(self._record):
            self._commands.note(f"set_unit_size refused: {refusal}")
        else:
            self._following.begin()

    async def _take_edit(self) -> None:
        if refusal := await take_edit(self._record):
            self._commands.note(f"edit refused: {refusal}")
        elif self._record.mode is not Mode.WAITING:
            self._following.begin()

    async def _close_some(self) -> None:
        if not self._reconciles:
            await close_some_as_in_0_1(self._record, self._desk, self._diary)
            return
        await close_some(self._record, self._desk, self._diary, self._reconciler)
        if self._record.mode is Mode.STOPPED:
            self._herald.ended()
            self._following.end()

    async def _in_trouble(self, text: str, *, closing: bool) -> None:
        """No orders until a person says how it goes on; but a close that was asked for is tried again, for ever."""
        record = self._record
        workflow.logger.error("ATTENTION: %s", text)
        record.new_unit_size = record.new_input = None
        if text != record.attention:
            self._diary.add(AlertRecord, text=text)
            self._messenger.tell(text)
        if record.mode is Mode.STOPPED:
            self._commands.note(text)
        elif closing and self._reconciles:
            record.attention = text
            await pause_before_next_try(record)
        elif closing or record.close_reason is None:
            record.mode, record.attention, record.close_reason = Mode.ATTENTION, text, None
        else:
            # One who asked for the close meanwhile has decided.
            self._commands.note(text)

    async def _open(self) -> None:
        try:
            self._treasury.take_for_the_opening()
            await open_trade(self._record, self._desk, self._diary)
        except FailureError as error:
            await self._diary.written()
            self._herald.ended()
            await self._herald.all_told()
            if has_to_wait(self._record.input.entry):
                await self._tell_of_no_entry(error)
            raise

    async def _tell_of_no_entry(self, error: FailureError) -> None:
        """Nobody is looking any more."""
        self._messenger.tell(f"the entry came, and nothing was opened: {error.cause or error}")
        await self._messenger.all_told()

    async def _move_to_the_signers_queue(self) -> None:
        """From here on the trade runs only where its signer's key is, in the very processes that send its orders. One
        that was told to close meanwhile closes where it is."""
        self._display.show()
        await workflow.wait_condition(lambda: self._is_closing() or workflow.all_handlers_finished())
        if not self._is_closing():
            workflow.continue_as_new(self._record, task_queue=orders_queue(self._record.signer))

    def _has_work(self) -> bool:
        record = self._record
        asked = record.answer is not None or record.new_unit_size is not None or record.new_input is not None
        return (
            asked
            or self._broken_limit() is not None
            or self._is_closing()
            or self._look_is_due()
            or self._ends_cycle()
            or self._treasury.has_work()
            or self._book.has_work()
            or self._backstop.is_due()
        )

    def _broken_limit(self) -> str | None:
        record = self._record
        if record.state is None or record.mode not in WATCHED:
            return None
        return record.state.breach or has_earned_enough(record)

    def _ends_cycle(self) -> bool:
        return self._record.ends_cycle and self._record.mode is Mode.TRADING

    def _is_closing(self) -> bool:
        record = self._record
        return record.close_reason is not None and record.mode not in (Mode.STOPPED, Mode.CLOSED)

    def _look_is_due(self) -> bool:
        return self._reconciles and self._reconciler.has_work()
