"""Tells the portfolio what the trade asks, until it is answered, and that the trade has ended, once."""

import contextlib
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow
from temporalio.exceptions import ApplicationError, FailureError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from strategy.values import money
    from workflows.commands import Commands
    from workflows.contracts import OpenAsk, TradeRecord
    from workflows.diary import now_ms
    from workflows.granting import Granted, MarginAsk, Occasion, TradeEnded, portfolio_id
    from workflows.treasury import next_id, waits_enough_at_ms

TELLS_AGAIN_MS = 10_000
TELLS_AGAIN_MS_MAX = 60_000
"""To a portfolio that has not answered for long."""
END_IS_TOLD_WITHIN = timedelta(minutes=1)
NOT_FOUND = "ExternalWorkflowExecutionNotFound"
"""How Temporal says that nobody has the id that was signalled."""


class _NobodyThere(Exception):
    """The text is for people."""


class Herald:
    def __init__(self, record: TradeRecord, commands: Commands) -> None:
        self._record = record
        self._commands = commands

    def ended(self) -> None:
        """Flat, or let go, or never opened: told once, whatever comes after."""
        record, state = self._record, self._record.state
        if record.input.portfolio is None or record.ended is not None:
            return
        unfinished_usd = Decimal(0)
        if state is not None and record.last_price is not None:
            unfinished_usd = state.equity(record.last_price) - state.allocation
        record.ended = TradeEnded(
            ask_id=next_id(record),
            trade=workflow.info().workflow_id,
            coin=record.input.coin,
            cycle=0 if state is None else state.cycle,
            profit_usd=money(record.untold_usd + unfinished_usd),
        )

    async def all_told(self) -> None:
        """Before the trade is gone; but it does not wait long."""
        if self._end_is_untold():
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: not self._end_is_untold(), timeout=END_IS_TOLD_WITHIN)

    async def tell_forever(self) -> None:
        """One after the other, so that the end comes after every ask. Told again until answered: what a run that is
        renewed was just telling may be lost."""
        record = self._record
        while True:
            await workflow.wait_condition(lambda: self._waits_for_an_answer() or self._end_is_untold())
            open_ask = record.open_ask
            try:
                # An ask that nobody heard yet goes before the end.
                if open_ask is None or open_ask.answer is not None or (open_ask.told and self._end_is_untold()):
                    await self._tell_end()
                else:
                    await self._tell_ask(open_ask)
            except FailureError as error:
                if is_cancelled_exception(error):
                    raise
                workflow.logger.warning("portfolio %s was not told: %s", record.input.portfolio, error)
                await workflow.sleep(timedelta(milliseconds=TELLS_AGAIN_MS))

    def _waits_for_an_answer(self) -> bool:
        return self._record.open_ask is not None and self._record.open_ask.answer is None

    def _end_is_untold(self) -> bool:
        return self._record.ended is not None and not self._record.end_told

    async def _tell_ask(self, open_ask: OpenAsk) -> None:
        try:
            await self._signal("ask_margin", open_ask.ask)
        except _NobodyThere as nobody:
            self._was_unheard(open_ask.ask, str(nobody))
        if (now_open := self._record.open_ask) is None or now_open.ask != open_ask.ask:
            # Answered, and another one made, before the signal was known to have arrived.
            return
        self._record.open_ask = now_open.model_copy(update={"told": True})
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: not self._waits_for_an_answer() or self._end_is_untold(), timeout=_until_told_again(open_ask)
            )

    def _was_unheard(self, ask: MarginAsk, why: str) -> None:
        """Of a trade that is to open this is the answer; one that runs goes on, and asks on."""
        if ask.occasion is Occasion.START:
            self._commands.granted(Granted(ask_id=ask.ask_id, refusal=why))
        elif why not in self._record.notes:
            self._commands.note(why)

    async def _tell_end(self) -> None:
        record = self._record
        assert record.ended is not None
        try:
            await self._signal("trade_ended", record.ended)
        except _NobodyThere as nobody:
            self._commands.note(str(nobody))
        record.end_told, record.open_ask = True, None

    async def _signal(self, name: str, said: MarginAsk | TradeEnded) -> None:
        """Returns when Temporal has it in the portfolio's history. Raises _NobodyThere, or FailureError for what may be
        otherwise soon."""
        portfolio = self._record.input.portfolio
        assert portfolio is not None
        try:
            await workflow.get_external_workflow_handle(portfolio_id(portfolio)).signal(name, said)
        except ApplicationError as error:
            if error.type != NOT_FOUND:
                raise
            raise _NobodyThere(f"no portfolio {portfolio} runs: hypertrader portfolio apply FILE") from error


def _until_told_again(open_ask: OpenAsk) -> timedelta:
    age_ms = now_ms() - open_ask.asked_at_ms
    waits_ms = min(max(age_ms, TELLS_AGAIN_MS), TELLS_AGAIN_MS_MAX)
    if open_ask.holds:
        # The loop of the trade is woken when it has waited enough.
        waits_ms = min(waits_ms, max(waits_enough_at_ms(open_ask) - now_ms(), 1))
    return timedelta(milliseconds=waits_ms)
