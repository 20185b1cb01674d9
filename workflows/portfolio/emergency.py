"""The emergency stop: tell every trade, look, and do so until the exchange itself says that nothing is left."""

import contextlib
from datetime import timedelta
from typing import TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import AccountQuestion, LeftOver, Message, StopRequest, StopRound, orders_queue
    from journal import entries
    from workflows.diary import Diary, now_ms
    from workflows.messenger import Messenger
    from workflows.portfolio.record import Latch, PortfolioRecord, StopProof

T = TypeVar("T")

FLAT = ("stopped", "closed")
CALM_ROUNDS = 2
"""In a row: a trade that was started just before the first is in the next."""
AGAIN_AFTER = timedelta(seconds=1)
"""It doubles."""
AGAIN_AFTER_MAX = timedelta(seconds=20)
PATIENCE = timedelta(seconds=30)
"""For one question of a round; then the round begins anew, with those that are told by then."""


def stop_everything(record: PortfolioRecord, reason: str, *, everything: bool = False) -> None:
    """Latch it. One that is on its way goes on, and may get more to do."""
    before = record.latch
    if before is not None:
        more = everything and not before.everything
        changes: dict[str, object] = {"everything": True, "proof": None} if more else {}
        record.latch = before.model_copy(update=changes)
        return
    record.latch = Latch(since_ms=now_ms(), reason=reason, everything=everything)


class Emergency:
    def __init__(self, record: PortfolioRecord, diary: Diary, messenger: Messenger) -> None:
        self._record = record
        self._diary = diary
        self._messenger = messenger

    @property
    def _is_on(self) -> bool:
        return self._record.latch is not None and self._record.latch.proof is None

    async def stop_forever(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._is_on)
            await self._until_flat()

    async def _until_flat(self) -> None:
        calm, wait = 0, AGAIN_AFTER
        while self._is_on:
            try:
                proof = await self._round()
                calm = calm + 1 if proof else 0
            except ActivityError as error:
                if is_cancelled_exception(error):
                    raise
                calm = 0
                self._say(str(error.cause or error))
                proof = None
            if proof is not None and calm >= CALM_ROUNDS:
                self._prove(proof)
                return
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(lambda: not self._is_on, timeout=AGAIN_AFTER if calm else wait)
            wait = min(wait * 2, AGAIN_AFTER_MAX)

    async def _round(self) -> StopProof | None:
        """None while anything may be held still."""
        record, latch = self._record, self._record.latch
        assert latch is not None
        request = StopRequest(network=record.input.network, account=record.account, reason=latch.reason[:500])
        told = await self._ask("stop_trades", request, StopRound, "tell every trade to stop")
        left = await self._ask("left_over", self._question, LeftOver, "what the account still holds")
        looks = latch.looks + 1
        if self._record.latch is None:
            return None
        self._record.latch = self._record.latch.model_copy(update={"looks": looks})
        open_trades = [each for each in told.trades if each.mode not in FLAT]
        if open_trades or told.silent:
            names = ", ".join([*(f"{each.workflow_id} is {each.mode}" for each in open_trades), *told.silent])
            self._say(f"not flat yet: {names}")
            return None
        if self._record.latch.everything and left.coins:
            troubles = await self._ask("flatten", self._question, tuple[str, ...], "close what is left")
            self._say("; ".join(troubles) or "what no trade holds is being closed")
            return None
        return StopProof(at_ms=left.at_ms, looks=looks, trades=told.trades, left=left)

    async def _ask(self, activity: str, question: Message, answer: type[T], what: str) -> T:
        found: T = await workflow.execute_activity(
            activity,
            question,
            result_type=answer,
            task_queue=orders_queue(self._record.signer),
            start_to_close_timeout=timedelta(seconds=20),
            schedule_to_close_timeout=PATIENCE,
            heartbeat_timeout=timedelta(seconds=3) if activity != "left_over" else None,
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=AGAIN_AFTER),
            summary=what,
        )
        return found

    @property
    def _question(self) -> AccountQuestion:
        return AccountQuestion(network=self._record.input.network, account=self._record.account)

    def _say(self, text: str) -> None:
        latch = self._record.latch
        if latch is not None and latch.trouble != text:
            self._record.latch = latch.model_copy(update={"trouble": text[:500]})

    def _prove(self, proof: StopProof) -> None:
        record, latch = self._record, self._record.latch
        assert latch is not None
        record.latch = latch.model_copy(update={"proof": proof, "trouble": None})
        names = tuple(each.workflow_id for each in proof.trades)
        self._diary.add(
            entries.StoppedRecord,
            reason=latch.reason,
            trades=names,
            flat_at_ms=proof.at_ms,
            looks=proof.looks,
            left=proof.left.coins,
        )
        others = f"; no trade here holds {', '.join(proof.left.coins)}" if proof.left.coins else ""
        self._messenger.tell(f"everything is flat, {len(names)} trades are stopped{others}: {latch.reason}")
