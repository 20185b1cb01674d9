"""Bringing the coins back to their shares: who shrinks is asked first, for it pays who grows."""

from collections.abc import Iterable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import RetryPolicy

with workflow.unsafe.imports_passed_through():
    from activities.messages import AccountQuestion, StopRound, TradeSummary, orders_queue
    from portfolio.rebalance import Resize, Worth, resizes
    from workflows.asked import Close
    from workflows.diary import now_ms
    from workflows.granting import Leave, Review
    from workflows.portfolio.asked import Exit, Rebalance
    from workflows.portfolio.record import Leaving, PortfolioRecord, ToReview
    from workflows.portfolio.telling import TradeGone, tell


class Rebalancing:
    """What trades are to be told: to ask anew, or to leave. The loop of the portfolio tells one at a time."""

    def __init__(self, record: PortfolioRecord) -> None:
        self._record = record

    def has_work(self) -> bool:
        record = self._record
        if now_ms() < record.trades_come_until_ms:
            # The watch reports every minute: it is seen then that they had their time.
            return False
        return record.rebalance is not None or bool(record.to_leave) or self._next() is not None

    async def advance(self) -> None:
        record = self._record
        if record.rebalance is not None:
            await self._plan(record.rebalance)
        elif record.to_leave:
            await self._tell_to_leave(record.to_leave[0])
        elif (review := self._next()) is not None:
            await self._tell_to_ask(review)

    async def _plan(self, asked: Rebalance) -> None:
        record = self._record
        seen = await survey(record)
        found = resizes(record.terms, record.book, worth_now(seen.trades))
        record.to_review = [_to_review(each, now=asked.now) for each in found]
        record.reviewed = [trade for trade in record.reviewed if trade not in {each.trade for each in found}]
        record.rebalance, record.rebalanced_ms = None, now_ms()

    def _next(self) -> ToReview | None:
        """None while those that shrink have not done so."""
        record = self._record
        review = next(iter(record.to_review), None)
        if review is None or (review.grows and any(trade != review.trade for trade in record.reviewed)):
            return None
        return review

    async def _tell_to_ask(self, review: ToReview) -> None:
        record = self._record
        # Before it is told: its ask may come before Temporal says that it heard.
        record.reviewed = [*(trade for trade in record.reviewed if trade != review.trade), review.trade]
        record.parts[review.trade] = review.part
        try:
            await tell(review.trade, "review", Review(now=review.now, reason="rebalanced"))
        except TradeGone:
            record.gone = [*record.gone, review.trade]
        # Not before: what a run tells as it ends may be lost, and is told again by the next.
        record.to_review = [each for each in record.to_review if each != review]

    async def _tell_to_leave(self, trade: str) -> None:
        record = self._record
        allocation = record.book.allocations.get(trade)
        leaving = record.leaving.get(allocation.coin) if allocation is not None else None
        if leaving is not None:
            try:
                if leaving.now:
                    await tell(trade, "close", Close(reason=leaving.leave.reason or "its coin is left"))
                else:
                    await tell(trade, "leave", leaving.leave)
            except TradeGone:
                record.gone = [*record.gone, trade]
        record.to_leave = [each for each in record.to_leave if each != trade]


def leave_coin(record: PortfolioRecord, asked: Exit) -> None:
    leave = Leave(profit_usd=asked.profit_usd, until_ms=asked.until_ms, reason=asked.reason)
    trades = [trade for trade, each in record.book.allocations.items() if each.coin == asked.coin]
    if not trades:
        record.left = [*record.left, asked.coin]
        return
    record.leaving[asked.coin] = Leaving(leave=leave, now=asked.now)
    record.to_leave = [*record.to_leave, *trades]


def _to_review(resize: Resize, *, now: bool) -> ToReview:
    return ToReview(trade=resize.trade, now=now, grows=resize.to_usd > resize.from_usd, part=resize.part)


def worth_now(trades: Iterable[TradeSummary]) -> dict[str, Worth]:
    """Of those that are open."""
    return {
        each.workflow_id: Worth(usd=each.equity_usd, open_usd=each.equity_usd - each.allocation_usd)
        for each in trades
        if each.allocation_usd
    }


async def survey(record: PortfolioRecord) -> StopRound:
    """What every trade of the account says of itself."""
    found: StopRound = await workflow.execute_activity(
        "survey_trades",
        AccountQuestion(network=record.input.network, account=record.account),
        result_type=StopRound,
        task_queue=orders_queue(record.signer),
        start_to_close_timeout=timedelta(seconds=20),
        heartbeat_timeout=timedelta(seconds=3),
        retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=5)),
        summary="what every trade says of itself",
    )
    return found
