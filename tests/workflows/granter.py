"""The other party: a small workflow that says of each ask what a test wants it to, and remembers all that it heard."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowHandle
from temporalio.worker import Worker

from activities.messages import Message
from workflows.granting import Granted, MarginAsk, TradeEnded, portfolio_id

QUEUE = "granters"
SILENT = "silent"
OWN = "own"


class Heard(Message):
    asks: tuple[MarginAsk, ...] = ()
    """As often as they were told."""
    ended: tuple[TradeEnded, ...] = ()


@workflow.defn(name="Granter", sandboxed=False)
class Granter:
    """Answers by occasion: an amount of USD, `own`, one more or less than the trade has (`+50`, `-25`), a refusal
    (`no: why`), or `silent`."""

    @workflow.init
    def __init__(self, answers: dict[str, str]) -> None:
        self._answers = answers
        self._heard = Heard()
        self._over = False

    @workflow.run
    async def run(self, answers: dict[str, str]) -> None:
        await workflow.wait_condition(lambda: self._over)

    @workflow.signal
    async def ask_margin(self, ask: MarginAsk) -> None:
        self._heard = self._heard.model_copy(update={"asks": (*self._heard.asks, ask)})
        answer = self._answers.get(ask.occasion, SILENT)
        if answer != SILENT:
            await self._tell(ask, answer)

    @workflow.signal
    def trade_ended(self, ended: TradeEnded) -> None:
        self._heard = self._heard.model_copy(update={"ended": (*self._heard.ended, ended)})

    @workflow.signal
    def answer(self, occasion: str, how: str) -> None:
        self._answers[occasion] = how

    @workflow.signal
    async def say(self, how: str) -> None:
        """To the ask heard last."""
        await self._tell(self._heard.asks[-1], how)

    @workflow.signal
    def go(self) -> None:
        self._over = True

    @workflow.query
    def heard(self) -> Heard:
        return self._heard

    async def _tell(self, ask: MarginAsk, how: str) -> None:
        trade = workflow.get_external_workflow_handle(ask.trade)
        if how.startswith("no: "):
            await trade.signal("granted", Granted(ask_id=ask.ask_id, refusal=how.removeprefix("no: ")))
            return
        own_usd = ask.equity_usd if how == OWN or how[0] in "+-" else Decimal(0)
        margin_usd = own_usd + (Decimal(0) if how == OWN else Decimal(how))
        await trade.signal("granted", Granted(ask_id=ask.ask_id, margin_usd=margin_usd))


class GranterHandle:
    def __init__(self, handle: WorkflowHandle[Any, Any]) -> None:
        self._handle = handle

    async def heard(self) -> Heard:
        heard: Heard = await self._handle.query("heard", result_type=Heard)
        return heard

    async def answers(self, occasion: str, how: str) -> None:
        await self._handle.signal("answer", args=[occasion, how])

    async def says(self, how: str) -> None:
        await self._handle.signal("say", how)

    async def go(self) -> None:
        await self._handle.signal("go")
        await self._handle.result()


@asynccontextmanager
async def granter(client: Client, name: str = "main", **answers: str) -> AsyncIterator[GranterHandle]:
    async with Worker(client, task_queue=QUEUE, workflows=[Granter]):
        handle = await client.start_workflow("Granter", answers, id=portfolio_id(name), task_queue=QUEUE)
        yield GranterHandle(handle)
