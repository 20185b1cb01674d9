"""The emergency stop's hands: tell every trade, look what is left, close what nobody owns. No verb does harm twice."""

import asyncio
from collections.abc import Sequence
from datetime import timedelta

from temporalio import activity
from temporalio.client import Client, WorkflowQueryFailedError
from temporalio.exceptions import ApplicationError
from temporalio.service import RPCError, RPCStatusCode

from activities.failures import check_own, told_to_temporal
from activities.heartbeats import heartbeating
from activities.messages import (
    TRADES_QUEUE,
    AccountQuestion,
    LeftOver,
    StopRequest,
    StopRound,
    TradeSummary,
    orders_queue,
)
from exchange.errors import ExchangeError
from exchange.gateway import HyperliquidGateway
from exchange.nonces import wall_ms
from exchange.port import OutcomeStatus
from settings import Settings

RPC_TIMEOUT = timedelta(seconds=5)
ASKED_AT_ONCE = 20
ON_THEIR_WAY = ("closing", "stopped", "closed")
"""They need no word: closing is tried until it is proved."""


class StoppingActivities:
    """Bound to one account, and to the Temporal its trades run on."""

    def __init__(
        self, client: Client, gateway: HyperliquidGateway, settings: Settings, former: Sequence[str] = ()
    ) -> None:
        """`former`: signers of the account before this one."""
        self._client = client
        self._signers = (gateway.signer, *former)
        self._gateway = gateway
        self._settings = settings

    @activity.defn
    async def survey_trades(self, question: AccountQuestion) -> StopRound:
        """What every running trade of the account says of itself."""
        return await self._round(question, None)

    @activity.defn
    async def stop_trades(self, request: StopRequest) -> StopRound:
        """Tell every running trade of the account to stop that is not stopped yet, and ask each how far it is."""
        return await self._round(AccountQuestion(network=request.network, account=request.account), request.reason)

    async def _round(self, question: AccountQuestion, stop_reason: str | None) -> StopRound:
        self._check_own(question)
        at_once = asyncio.Semaphore(ASKED_AT_ONCE)
        async with heartbeating():
            trades = await self._running()
            found = await asyncio.gather(*(self._one(each, question, stop_reason, at_once) for each in trades))
        own = [each for each in found if isinstance(each, TradeSummary) and _is_of(each, question)]
        return StopRound(trades=tuple(own), silent=tuple(each for each in found if isinstance(each, str)))

    async def _running(self) -> list[str]:
        """Those that this worker's keys sign for, and those that are not open yet."""
        queues = ", ".join(f"'{each}'" for each in (*map(orders_queue, self._signers), TRADES_QUEUE))
        query = f"WorkflowType = 'Trade' AND ExecutionStatus = 'Running' AND TaskQueue IN ({queues})"
        try:
            listed = self._client.list_workflows(query, rpc_timeout=RPC_TIMEOUT)
            return sorted({execution.id async for execution in listed})
        except RPCError as error:
            raise ApplicationError(f"the list of trades: {error.status.name}", type="Unlisted") from error

    async def _one(
        self, workflow_id: str, question: AccountQuestion, stop_reason: str | None, at_once: asyncio.Semaphore
    ) -> TradeSummary | str | None:
        """None of a trade that is over; its id when it does not answer."""
        async with at_once:
            try:
                summary = await self._summary(workflow_id)
                if summary is None:
                    await self._stop(workflow_id, stop_reason)
                    return workflow_id
                if _is_of(summary, question) and summary.mode not in ON_THEIR_WAY:
                    await self._stop(workflow_id, stop_reason)
            except RPCError as error:
                return None if error.status is RPCStatusCode.NOT_FOUND else workflow_id
        return summary

    async def _summary(self, workflow_id: str) -> TradeSummary | None:
        """None of one that does not answer."""
        summary: TradeSummary
        try:
            summary = await self._client.get_workflow_handle(workflow_id).query(
                "summary", result_type=TradeSummary, rpc_timeout=RPC_TIMEOUT
            )
        except WorkflowQueryFailedError:
            return None
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise
            return None
        return summary

    async def _stop(self, workflow_id: str, reason: str | None) -> None:
        if reason is not None:
            handle = self._client.get_workflow_handle(workflow_id)
            await handle.signal("stop", {"reason": reason}, rpc_timeout=RPC_TIMEOUT)

    @activity.defn
    async def left_over(self, question: AccountQuestion) -> LeftOver:
        """What the account holds and has resting, on the perpetuals side."""
        self._check_own(question)
        async with heartbeating(), told_to_temporal():
            at_ms = wall_ms()
            resting = await self._gateway.open_orders()
            value = await self._gateway.account_value()
        return LeftOver(at_ms=at_ms, positions=value.positions, resting=resting)

    @activity.defn
    async def flatten(self, question: AccountQuestion) -> tuple[str, ...]:
        """Cancel every order and close every position, reduce-only, whoever's they are: one try at each. Returns what
        could not be done; what is left is seen by looking again."""
        left = await self.left_over(question)
        troubles: list[str] = []
        async with heartbeating():
            for coin in left.coins:
                try:
                    if resting := [order for order in left.resting if order.coin == coin]:
                        await self._gateway.cancel_orders(resting)
                    outcome = await self._gateway.close_position(coin)
                except ExchangeError as error:
                    troubles.append(f"{coin}: {error}")
                    continue
                if outcome is not None and outcome.status is not OutcomeStatus.FILLED:
                    troubles.append(f"{coin}: {outcome.text or outcome.status.value}")
        return tuple(troubles)

    def _check_own(self, question: AccountQuestion) -> None:
        check_own((question.network, question.account), (self._settings.network, self._gateway.account))


def _is_of(summary: TradeSummary, question: AccountQuestion) -> bool:
    """A trade that opens does not know its account yet: it would be this one's."""
    return summary.network == question.network and summary.account in ("", question.account)
