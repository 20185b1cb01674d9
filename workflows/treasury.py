"""The trade's side of `workflows.granting`: what it asks its portfolio for, and what a grant does to it.

What is asked is told by `workflows.herald`. Of a trade without a portfolio nothing here ever happens.
"""

from decimal import Decimal

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.failures import refused
    from journal.entries import MarginRecord
    from strategy.margin import paid_out
    from strategy.state import TradeState
    from strategy.values import money
    from workflows.commands import Commands
    from workflows.contracts import Mode, NeedsAttention, OpenAsk, TradeRecord
    from workflows.diary import Diary, now_ms
    from workflows.granting import MarginAsk, Occasion
    from workflows.messenger import Messenger

CENT = Decimal("0.01")
"""A portfolio gives whole ones: what is less is what it rounded off."""
HOLDS_MS = 30_000
"""So long a new cycle waits for its margin before it begins with its own."""


class Treasury:
    def __init__(self, record: TradeRecord, diary: Diary, messenger: Messenger, commands: Commands) -> None:
        self._record = record
        self._diary = diary
        self._messenger = messenger
        self._commands = commands

    @property
    def holds(self) -> bool:
        """A cycle has ended and the next one's margin is not known: prices wait, and so does the order to its size."""
        return self._record.open_ask is not None and self._record.open_ask.holds

    def ask_for_the_opening(self) -> None:
        """Raises Refused for a trade that brings a margin of its own."""
        asked = self._record.input
        if asked.margin_usd is not None or asked.size is not None:
            raise refused(f"portfolio is {asked.portfolio}; with it the trade has no margin_usd and no size of its own")
        self._ask(Occasion.START)

    @property
    def is_answered(self) -> bool:
        return self._record.open_ask is not None and self._record.open_ask.answer is not None

    def take_for_the_opening(self) -> None:
        """Raises Refused with the portfolio's words."""
        record, open_ask = self._record, self._record.open_ask
        if open_ask is None or open_ask.answer is None:
            return
        record.open_ask = None
        if open_ask.answer.margin_usd is None:
            raise refused(open_ask.answer.refusal or f"portfolio {record.input.portfolio} grants nothing")
        record.granted_usd = open_ask.answer.margin_usd

    def cycle_ended(self, profit_usd: Decimal) -> None:
        """Its result is in the allocation; the order to the next one's size comes after the answer."""
        record = self._record
        if record.input.portfolio is None:
            return
        record.untold_usd += profit_usd
        record.ask_due = Occasion.RESET
        if record.open_ask is None:
            self._ask(Occasion.RESET)

    def has_work(self) -> bool:
        """An answer to act on, or an ask to make; at 100% long, and with no order on its way."""
        record, state = self._record, self._record.state
        if state is None or record.mode is not Mode.TRADING or record.pending is not None:
            return False
        if record.open_ask is None:
            return record.ask_due is not None and _is_whole(state)
        if record.open_ask.answer is not None:
            return _is_whole(state)
        return record.open_ask.holds and now_ms() >= waits_enough_at_ms(record.open_ask)

    def advance(self) -> None:
        """Raises NeedsAttention when there is too little to go on with."""
        record = self._record
        if record.open_ask is None:
            assert record.ask_due is not None
            self._ask(record.ask_due)
        elif record.open_ask.answer is not None:
            self._take(record.open_ask)
        else:
            self._go_on_without(record.open_ask)

    def _ask(self, occasion: Occasion) -> None:
        record, state = self._record, self._record.state
        equity_usd = state.equity(record.last_price) if state and record.last_price is not None else Decimal(0)
        ask = MarginAsk(
            ask_id=next_id(record),
            occasion=occasion,
            trade=workflow.info().workflow_id,
            coin=record.input.coin,
            cycle=0 if state is None else state.cycle - (occasion is Occasion.RESET),
            equity_usd=money(equity_usd),
            profit_usd=money(record.untold_usd),
        )
        record.open_ask = OpenAsk(ask=ask, asked_at_ms=now_ms(), holds=occasion is Occasion.RESET)
        record.ask_due, record.untold_usd = None, Decimal(0)

    def _take(self, open_ask: OpenAsk) -> None:
        record, answer, state = self._record, open_ask.answer, self._state
        assert answer is not None and record.last_price is not None
        record.open_ask = None
        if answer.margin_usd is None:
            self._commands.note(f"portfolio {record.input.portfolio} grants nothing anew: {answer.refusal}")
        elif abs(taken_usd := open_ask.ask.equity_usd - answer.margin_usd) >= CENT:
            # As a difference: the trade may be worth something else by now.
            record.state = paid_out(state, taken_usd, record.last_price)
            self._diary.add(
                MarginRecord,
                portfolio=record.input.portfolio,
                occasion=open_ask.ask.occasion.value,
                taken_usd=taken_usd,
                allocation_usd=record.state.allocation,
            )
        check_size(self._state, record.last_price)

    def _go_on_without(self, open_ask: OpenAsk) -> None:
        record = self._record
        record.open_ask = open_ask.model_copy(update={"holds": False})
        text = (
            f"portfolio {record.input.portfolio} has not answered for {HOLDS_MS / 1000:g} s: the cycle begins with the "
            f"trade's own {self._state.allocation:.2f} USD; what is granted later is taken when all is long"
        )
        self._commands.note(text)
        self._messenger.tell(text)
        assert record.last_price is not None
        check_size(self._state, record.last_price)

    @property
    def _state(self) -> TradeState:
        assert self._record.state is not None
        return self._record.state


def _is_whole(state: TradeState) -> bool:
    """100% long, or about to be resized as such."""
    return state.fully_long or state.resizing


def waits_enough_at_ms(open_ask: OpenAsk) -> int:
    return open_ask.asked_at_ms + HOLDS_MS


def next_id(record: TradeRecord) -> str:
    """Of a message to the portfolio: the same in every replay and of a trade that was rebuilt, and no other's."""
    record.asks += 1
    trade = record.trade
    first_run = workflow.info().first_execution_run_id if trade is None else trade.trade_id.rpartition("/")[2]
    return f"{first_run}/{record.asks}"


def check_size(state: TradeState, price: Decimal) -> None:
    """Raises NeedsAttention when what is left does not buy what the exchange takes."""
    terms, left_usd = state.terms, state.equity(price)
    if left_usd * terms.leverage < terms.min_notional_usd:
        raise NeedsAttention(
            f"the allocation is down to {left_usd:.2f} USD: at {terms.leverage}x that is less than "
            f"the smallest order of {terms.min_notional_usd:f} USD; close the trade"
        )
