"""The emergency stop: tell every trade, look, and do so until the exchange itself says that nothing is left."""

import contextlib
from collections.abc import Callable
from datetime import timedelta
from typing import Protocol, TypeVar

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.messages import AccountQuestion, LeftOver, Message, StopRequest, StopRound, orders_queue
    from workflows.diary import now_ms
    from workflows.portfolio.record import Latch, StopProof

T = TypeVar("T")

FLAT = ("stopped", "closed")
CALM_ROUNDS = 2
"""In a row: a trade that was started just before the first is in the next."""
AGAIN_AFTER = timedelta(seconds=1)
"""It doubles."""
AGAIN_AFTER_MAX = timedelta(seconds=20)
PATIENCE = timedelta(seconds=30)
"""For one question of a round; then the round begins anew, with those that are told by then."""


class Stopping(Protocol):
    """The part of a workflow's state that is its emergency stop's."""

    latch: Latch | None
    account: str
    signer: str

    @property
    def network(self) -> str: ...


def stop_everything(record: Stopping, reason: str, *, everything: bool = False) -> None:
    """Latch it. One that is on its way goes on and may get more to do; one that is done looks again."""
    before = record.latch
    if before is None:
        record.latch = Latch(since_ms=now_ms(), reason=reason, everything=everything)
        return
    record.latch = before.model_copy(update={"everything": everything or before.everything, "proof": None})


class Emergency:
    """`proved` hears of it each time that everything is flat."""

    def __init__(self, record: Stopping, proved: Callable[[Latch, StopProof], None]) -> None:
        self._record = record
        self._proved = proved

    @property
    def _is_on(self) -> bool:
        return self._record.latch is not None and self._record.latch.proof is None

    async def stop_forever(self) -> None:
        while True:
            await workflow.wait_condition(lambda: self._is_on)
            await self.until_flat()

    async def until_flat(self) -> None:
        """Or until it is released."""
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
        request = StopRequest(network=record.network, account=record.account, reason=latch.reason[:500])
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
            heartbeat_timeout=timedelta(seconds=3),
            retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_interval=AGAIN_AFTER),
            summary=what,
        )
        return found

    @property
    def _question(self) -> AccountQuestion:
        return AccountQuestion(network=self._record.network, account=self._record.account)

    def _say(self, text: str) -> None:
        latch = self._record.latch
        if latch is not None and latch.trouble != text:
            self._record.latch = latch.model_copy(update={"trouble": text[:500]})

    def _prove(self, proof: StopProof) -> None:
        latch = self._record.latch
        assert latch is not None
        self._record.latch = latch.model_copy(update={"proof": proof, "trouble": None})
        self._proved(latch, proof)
