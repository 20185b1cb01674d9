"""A portfolio under test, and a workflow that asks it for margin as a trade does."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.messages import TRADES_QUEUE
from cli.trades import TASK_TIMEOUT
from portfolio.terms import PortfolioTerms
from workflows.granting import Granted, MarginAsk, Occasion
from workflows.portfolio.asked import PortfolioInput
from workflows.portfolio.record import PortfolioRecord
from workflows.portfolio.status import PortfolioStatus

QUEUE = "played trades"
TERMS = PortfolioTerms(shares={"ETH": Decimal("0.4"), "BTC": Decimal("0.2"), "SOL": Decimal("0.2")})


@workflow.defn
class PlayedTrade:
    """It asks what it is told to ask, and keeps the answers."""

    def __init__(self) -> None:
        self._granted: dict[str, Granted] = {}

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.update
    async def ask(self, portfolio: str, ask: MarginAsk) -> Granted:
        await workflow.get_external_workflow_handle(portfolio).signal("ask_margin", ask)
        await workflow.wait_condition(lambda: ask.ask_id in self._granted)
        return self._granted[ask.ask_id]

    @workflow.signal
    def granted(self, granted: Granted) -> None:
        self._granted[granted.ask_id] = granted


class PlayedPortfolio:
    """`trade` is one on ETH that was given its margin; `earn` is its RESET."""

    def __init__(self, client: Client, handle: WorkflowHandle[Any, Any], trade: WorkflowHandle[Any, Any]) -> None:
        self.client = client
        self.handle = handle
        self.trade = trade
        self.margin_usd = Decimal(0)
        self.cycle = 0

    async def open(self) -> None:
        self.margin_usd = (await self._ask(Occasion.START)).margin_usd or Decimal(0)

    async def earn(self, profit_usd: int | str) -> Granted:
        """A cycle's profit; what the portfolio answers."""
        profit = Decimal(profit_usd)
        self.cycle += 1
        granted = await self._ask(Occasion.RESET, equity_usd=self.margin_usd + profit, profit_usd=profit)
        self.margin_usd = granted.margin_usd or self.margin_usd
        return granted

    async def _ask(self, occasion: Occasion, **money: Decimal) -> Granted:
        ask = MarginAsk(
            ask_id=uuid.uuid4().hex, occasion=occasion, trade=self.trade.id, coin="ETH", cycle=self.cycle, **money
        )
        granted: Granted = await self.trade.execute_update("ask", args=[self.handle.id, ask], result_type=Granted)
        return granted

    async def status(self) -> PortfolioStatus:
        found: PortfolioStatus = await self.handle.query(
            "status", result_type=PortfolioStatus, rpc_timeout=timedelta(seconds=5)
        )
        return found

    async def until(self, holds: Callable[[PortfolioStatus], object], within_s: float = 30) -> PortfolioStatus:
        status: PortfolioStatus | None = None
        try:
            async with asyncio.timeout(within_s):
                while True:
                    try:
                        status = await self.status()
                        if holds(status):
                            return status
                    except (RPCError, WorkflowQueryFailedError):
                        # A worker that is being killed, or a run that is being renewed.
                        pass
                    await asyncio.sleep(0.03)
        except TimeoutError:
            raise AssertionError(f"not within {within_s} s; the portfolio is {status}") from None


@asynccontextmanager
async def played_portfolio(client: Client, **record: Any) -> AsyncIterator[PlayedPortfolio]:
    """With 40% of the account for ETH."""
    name = f"main-{uuid.uuid4().hex[:8]}"
    worker = Worker(client, task_queue=QUEUE, workflows=[PlayedTrade], workflow_runner=UnsandboxedWorkflowRunner())
    async with worker:
        handle = await client.start_workflow(
            "Portfolio",
            PortfolioRecord(input=PortfolioInput(name=name), **{"terms": TERMS, **record}),
            id=f"portfolio-{name}",
            task_queue=TRADES_QUEUE,
            task_timeout=TASK_TIMEOUT,
        )
        trade = await client.start_workflow(PlayedTrade.run, id=f"played-{name}", task_queue=QUEUE)
        played = PlayedPortfolio(client, handle, trade)
        await played.open()
        try:
            yield played
        finally:
            await trade.terminate("end of the test")
            await handle.terminate("end of the test")
