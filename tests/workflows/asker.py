"""A workflow that asks a portfolio for margin, as a trade does, and keeps what it is told."""

from datetime import timedelta
from typing import Any

from pydantic import BaseModel
from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.granting import Granted, MarginAsk, portfolio_id

QUEUE = "askers"


class Told(BaseModel):
    answers: list[Granted] = []
    reviews: list[dict[str, Any]] = []
    leaves: list[dict[str, Any]] = []
    stopped: bool = False


@workflow.defn(name="Asker")
class Asker:
    def __init__(self) -> None:
        self._told = Told()
        self._over = False

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: self._over, timeout=timedelta(minutes=5))

    @workflow.update
    async def ask(self, ask: MarginAsk, name: str) -> Granted:
        """Tell it, and wait for one more answer to it than there is."""
        before = self._answers(ask)
        await workflow.get_external_workflow_handle(portfolio_id(name)).signal("ask_margin", ask)
        await workflow.wait_condition(lambda: self._answers(ask) > before)
        return self._told.answers[-1]

    def _answers(self, ask: MarginAsk) -> int:
        return sum(each.ask_id == ask.ask_id for each in self._told.answers)

    @workflow.signal
    def granted(self, granted: Granted) -> None:
        self._told.answers.append(granted)

    @workflow.signal
    def review(self, review: dict[str, Any]) -> None:
        self._told.reviews.append(review)

    @workflow.signal
    def leave(self, leave: dict[str, Any]) -> None:
        self._told.leaves.append(leave)

    @workflow.signal
    def close(self, _: dict[str, Any]) -> None:
        self._over = True

    @workflow.query
    def told(self) -> Told:
        return self._told
