"""A portfolio under test and one trade of it, whose RESETs the test says."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from typing import Any

from temporalio.client import Client, WorkflowHandle, WorkflowQueryFailedError
from temporalio.service import RPCError
from temporalio.worker import UnsandboxedWorkflowRunner, Worker

from activities.messages import TRADES_QUEUE
from cli.trades import TASK_TIMEOUT
from portfolio.terms import PortfolioTerms
from tests.workflows.asker import QUEUE, Asker
from workflows.granting import Granted, MarginAsk, Occasion, portfolio_id
from workflows.portfolio.asked import PortfolioInput
from workflows.portfolio.record import PortfolioRecord
from workflows.portfolio.status import PortfolioStatus

TERMS = PortfolioTerms(shares={"ETH": Decimal("0.4"), "BTC": Decimal("0.2"), "SOL": Decimal("0.2")})


class PlayedPortfolio:
    """`trade` is one on ETH that was given its margin; `earn` is its RESET."""

    def __init__(self, name: str, handle: WorkflowHandle[Any, Any], trade: WorkflowHandle[Any, Any]) -> None:
        self.name = name
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
            ask_id=f"{self.trade.id}/{self.cycle}",
            occasion=occasion,
            trade=self.trade.id,
            coin="ETH",
            cycle=self.cycle,
            **money,
        )
        granted: Granted = await self.trade.execute_update("ask", args=[ask, self.name], result_type=Granted)
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
async def played_portfolio(client: Client, **fields: Any) -> AsyncIterator[PlayedPortfolio]:
    """40% of the account are for ETH; `fields` are of its record."""
    name = f"p{uuid.uuid4().hex[:8]}"
    record = PortfolioRecord(input=PortfolioInput(name=name), **{"terms": TERMS, **fields})
    async with Worker(client, task_queue=QUEUE, workflows=[Asker], workflow_runner=UnsandboxedWorkflowRunner()):
        handle = await client.start_workflow(
            "Portfolio", record, id=portfolio_id(name), task_queue=TRADES_QUEUE, task_timeout=TASK_TIMEOUT
        )
        trade = await client.start_workflow(Asker.run, id=f"asker-{name}", task_queue=QUEUE)
        played = PlayedPortfolio(name, handle, trade)
        await played.open()
        try:
            yield played
        finally:
            await trade.terminate("end of the test")
            await played.handle.terminate("end of the test")
