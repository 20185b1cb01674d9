"""What a Temporal Schedule starts: a word to the portfolio that it is time to rebalance."""

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.granting import portfolio_id
    from workflows.portfolio.asked import PortfolioInput, Rebalance


def schedule_id(account_name: str) -> str:
    """Of the Schedule, and of what it starts, with the moment behind it."""
    return f"rebalance-{account_name}"


@workflow.defn(name="Rebalancing")
class ScheduledRebalancing:
    """It fails, where people see it, when no portfolio of that name runs."""

    @workflow.run
    async def run(self, asked: PortfolioInput) -> None:
        portfolio = workflow.get_external_workflow_handle(portfolio_id(asked.name))
        await portfolio.signal("rebalance", Rebalance(reason="scheduled"))
