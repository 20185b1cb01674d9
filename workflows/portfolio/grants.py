"""Margin, asked and given: every ask is booked once and answered as often as it is told."""

import contextlib
from datetime import timedelta
from decimal import Decimal

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.messages import AccountQuestion, NoticeKind, orders_queue
    from exchange.port import AccountValue
    from journal import entries
    from portfolio.book import (
        Allocation,
        Ask,
        Book,
        Grant,
        Refused,
        Shared,
        earned,
        grant,
        released,
        shared,
    )
    from portfolio.rebalance import Worth, valued
    from strategy.values import plain
    from workflows.diary import Diary, now_ms
    from workflows.granting import Granted, MarginAsk, Occasion, TradeEnded
    from workflows.messenger import Messenger
    from workflows.portfolio.rebalancing import survey, worth_now
    from workflows.portfolio.record import Answered, DueSaving, PortfolioRecord
    from workflows.portfolio.savings import told_in_one
    from workflows.portfolio.telling import TradeGone, tell

ANSWERS_WITHIN = timedelta(seconds=10)
JOURNAL_TAKES_AT_MOST = timedelta(seconds=10)
"""A trade goes on with its own margin after thirty."""
ASK_AGAIN = RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=timedelta(seconds=5))


class Grants:
    """The loop of the portfolio is its only user: one ask after the other, so nothing is given twice."""

    def __init__(self, record: PortfolioRecord, diary: Diary, messenger: Messenger) -> None:
        self._record = record
        self._diary = diary
        self._messenger = messenger

    def has_work(self) -> bool:
        return bool(self._record.asks or self._record.ended or self._record.gone)

    async def advance(self) -> None:
        """One trade's word."""
        if self._record.ended:
            self._end(self._record.ended.pop(0))
        elif self._record.gone:
            self._forget(self._record.gone.pop(0))
        else:
            await self._answer(self._record.asks[0])

    async def _answer(self, ask: MarginAsk) -> None:
        record = self._record
        if self._is_new(ask):
            value = await account_value(record)
            # A share is of all there is now, not of what there was when the cycles began.
            worth = worth_now((await survey(record)).trades) if ask.trade in record.reviewed else {}
            self._grant(ask, value, worth)
        granted = record.answered[ask.trade].granted
        if granted is not None and granted.ask_id == ask.ask_id:
            await self._kept()
            try:
                await tell(ask.trade, "granted", granted)
            except TradeGone:
                self._forget(ask.trade)
        # Not before: what a run tells as it ends may be lost, and is told again by the next.
        record.asks = [each for each in record.asks if each.ask_id != ask.ask_id]

    async def _kept(self) -> None:
        """A trade that was told asks no more: what it has then must be known whatever is lost. But no trade waits long
        for a journal that is away."""
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(self._diary.has_everything, timeout=JOURNAL_TAKES_AT_MOST)

    def _is_new(self, told: MarginAsk | TradeEnded) -> bool:
        """Not booked yet: a trade numbers what it asks, and says nothing after its end."""
        answered = self._record.answered.get(told.trade)
        if answered is None:
            return True
        run, number = _numbered(answered.ask_id)
        return run != _numbered(told.ask_id)[0] or _numbered(told.ask_id)[1] > number

    def _grant(self, ask: MarginAsk, value: AccountValue, worth: dict[str, Worth]) -> None:
        """Book it, and keep the answer: from here on it is only told."""
        record = self._record
        parts = self._book_profit(ask.trade, ask.coin, ask.cycle, ask.profit_usd)
        own_usd = ask.equity_usd - parts.reserve_usd - parts.savings_usd
        part = None
        if ask.trade in record.reviewed:
            record.reviewed.remove(ask.trade)
            # It is to have its share, and not what it has.
            kept_usd, part = None, record.parts.pop(ask.trade, None)
        else:
            kept_usd = None if ask.occasion is Occasion.START else own_usd
        answer = self._refusal(ask) or grant(
            record.terms,
            valued(record.book, worth),
            Ask(trade=ask.trade, coin=ask.coin, own_usd=kept_usd, part=part),
            value.free_usd,
        )
        match answer:
            case Grant():
                margin_usd = self._not_larger(ask, answer.margin_usd, own_usd)
                record.book = _given(record.book, ask.trade, ask.coin, margin_usd)
                granted = Granted(ask_id=ask.ask_id, margin_usd=margin_usd)
            case Refused():
                granted = Granted(ask_id=ask.ask_id, refusal=answer.text[:500])
        record.answered[ask.trade] = Answered(ask_id=ask.ask_id, granted=granted)
        self._diary.add(
            entries.GrantRecord,
            trade=ask.trade,
            occasion=ask.occasion.value,
            margin_usd=granted.margin_usd,
            refusal=granted.refusal,
        )

    def _refusal(self, ask: MarginAsk) -> Refused | None:
        """Why nothing new may begin. A trade that is open keeps what it has."""
        record = self._record
        if ask.occasion is not Occasion.START:
            return None
        if record.is_over:
            return Refused(text=f"portfolio {record.input.name} is over")
        if record.latch is not None:
            return Refused(text=f"everything is stopped: {record.latch.reason}; portfolio release allows trades again")
        if record.held_back:
            return Refused(text=f"{record.held_back[0].text}; portfolio release allows trades again")
        if ask.coin in (*record.leaving, *record.left):
            return Refused(text=f"{ask.coin} was left; portfolio apply gives it a share again")
        return None

    def _not_larger(self, ask: MarginAsk, margin_usd: Decimal, own_usd: Decimal) -> Decimal:
        """While a limit is broken no trade is made larger."""
        if ask.occasion is Occasion.START or not (self._record.latch or self._record.held_back):
            return margin_usd
        return min(margin_usd, own_usd) if own_usd > 0 else margin_usd

    def _end(self, ended: TradeEnded) -> None:
        record = self._record
        if not self._is_new(ended):
            return
        self._book_profit(ended.trade, ended.coin, ended.cycle, ended.profit_usd)
        record.answered[ended.trade] = Answered(ask_id=ended.ask_id)
        self._forget(ended.trade)

    def _forget(self, trade: str) -> None:
        """It is over: what it had is free."""
        record = self._record
        record.book = released(record.book, trade)
        record.reviewed = [each for each in record.reviewed if each != trade]
        record.parts.pop(trade, None)
        record.to_review = [each for each in record.to_review if each.trade != trade]
        record.asks = [each for each in record.asks if each.trade != trade]
        for coin in [each for each in record.leaving if each not in _coins(record.book)]:
            self._messenger.tell(f"{coin} is left: no trade of it runs any more", NoticeKind.RESET)
            record.left = [*record.left, coin]
            del record.leaving[coin]

    def _book_profit(self, trade: str, coin: str, cycle: int, profit_usd: Decimal) -> Shared:
        """Into its parts, once: the caller keeps the answer in the same breath."""
        record = self._record
        parts = shared(record.terms.split, profit_usd)
        savings_coin = record.terms.savings_coin or coin
        record.book = earned(record.book, profit_usd, parts, savings_coin)
        if parts.savings_usd:
            due = DueSaving(coin=savings_coin, usd=parts.savings_usd, trade=trade, cycle=cycle, at_ms=now_ms())
            record.due = told_in_one([*record.due, due], savings_coin)
        if profit_usd:
            fields = parts.model_dump()
            self._diary.add(entries.ProfitRecord, trade=trade, cycle=cycle, profit_usd=profit_usd, **fields)
        return parts


def _numbered(ask_id: str) -> tuple[str, int]:
    """The trade's first run, and the number of the ask."""
    run, _, number = ask_id.rpartition("/")
    return run, int(number)


def _given(book: Book, trade: str, coin: str, margin_usd: Decimal) -> Book:
    allocation = Allocation(coin=coin, margin_usd=plain(margin_usd))
    return book.model_copy(update={"allocations": {**book.allocations, trade: allocation}})


def _coins(book: Book) -> set[str]:
    return {each.coin for each in book.allocations.values()}


async def account_value(record: PortfolioRecord) -> AccountValue:
    found: AccountValue = await workflow.execute_activity(
        "account_value",
        AccountQuestion(network=record.input.network, account=record.account),
        result_type=AccountValue,
        task_queue=orders_queue(record.signer),
        start_to_close_timeout=ANSWERS_WITHIN,
        retry_policy=ASK_AGAIN,
        summary="equity and free margin",
    )
    return found
