"""The account falls by 23%: everything is flat, whatever dies meanwhile, and stays so until a person releases it."""

import asyncio
from decimal import Decimal

import pytest

from cli.trades import TASK_TIMEOUT
from portfolio.terms import PortfolioTerms
from tests.stack import FUNDED_USD, Floor
from workflows.contracts import Mode
from workflows.granting import portfolio_id
from workflows.portfolio.asked import PortfolioInput
from workflows.portfolio.record import PortfolioRecord
from workflows.portfolio.status import PortfolioStatus

PRICES = {"ETH": Decimal(2500), "SOL": Decimal(150)}
TERMS = PortfolioTerms(shares={"ETH": Decimal("0.4"), "SOL": Decimal("0.4")})


async def status_where(floor: Floor, what: str, within_s: float) -> PortfolioStatus:
    """Of the portfolio, once `latch` or `proof` is there."""
    handle = floor.client.get_workflow_handle(portfolio_id("main"))
    async with asyncio.timeout(within_s):
        while True:
            status: PortfolioStatus = await handle.query("status", result_type=PortfolioStatus)
            if status.latch is not None and (what == "latch" or status.latch.proof is not None):
                return status
            await asyncio.sleep(0.1)


@pytest.mark.timeout(240)
async def test_a_fall_of_23_percent_ends_flat_though_the_worker_dies_and_the_exchange_is_away(floor: Floor) -> None:
    await floor.control.fund(floor.account, Decimal(1000) - FUNDED_USD)
    await floor.client.start_workflow(
        "Portfolio",
        PortfolioRecord(input=PortfolioInput(), terms=TERMS),
        id=portfolio_id("main"),
        task_queue="trades",
        task_timeout=TASK_TIMEOUT,
    )
    trades = [
        await floor.open(coin, price=price, margin=400, unit_size=price / 50, leverage=5)
        for coin, price in PRICES.items()
    ]
    for coin, price in PRICES.items():
        await floor.control.set_price(coin, price * Decimal("0.93"))
    await status_where(floor, "latch", within_s=30)
    floor.stack.children["worker"].kill()
    await floor.control.begin_outage("hang", seconds=3)

    stopped = await status_where(floor, "proof", within_s=90)
    assert stopped.latch is not None and "max_drawdown is 23%" in stopped.latch.reason
    books = await floor.books()
    assert not any(Decimal(size) for size in books["positions"].values())
    cloids = [order["cloid"] for order in books["acceptedOrders"]]
    assert len(cloids) == len(set(cloids))
    for trade in trades:
        assert (await trade.handle.query("status"))["mode"] == Mode.STOPPED
    answer: str = await floor.client.get_workflow_handle(portfolio_id("main")).execute_update(
        "release", {"reason": "seen"}, result_type=str
    )
    assert answer == "trades may begin again"
