"""The one gate through which a process's requests to the exchange leave, within its share of the rate budget.

async with governor.turn(weights.of_info(request)) as turn:    # waits until there is room
    answer = await send(request)
    turn.came_to(answer)

Who goes next is `exchange.budget`'s; this is the waiting.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from exchange.budget import Budget, Claim
from exchange.errors import NotSent
from exchange.network import Endpoint
from exchange.weights import Weight
from settings import WEIGHT_PER_MINUTE

READ_WITHIN_S = 8.0
"""A read that could not leave by then is not sent: a trade gives a question ten seconds, and asks again."""
RESERVED_SHARE = 4
"""A quarter is kept for orders and what settles them."""


class Timer(Protocol):
    """An event loop, as far as it is one's clock."""

    def time(self) -> float: ...
    def call_at(self, when: float, callback: Callable[[], object], /) -> Any: ...


class Turn:
    """One request under way. It weighs what was claimed for it until `came_to` says better."""

    def __init__(self, weight: Weight, claimed: int, waited_s: float = 0.0) -> None:
        self.waited_s = waited_s
        self.weight = claimed
        self.refused: bool | None = None
        """Whether the exchange said 429; None while it has not answered."""
        self._weight = weight

    def came_to(self, answer: Any) -> None:
        self.weight = self._weight.of(answer)
        self.refused = False

    def was_not_let_in(self, *, over_limit: bool) -> None:
        """It was refused by a 429, or never arrived."""
        self.weight = self._weight.base if over_limit else 0
        self.refused = True if over_limit else None


class Governor:
    """For one process and one event loop. Without a budget it lets everything pass at once."""

    @classmethod
    def of(cls, at: Endpoint, share: int) -> "Governor":
        """For a process that may use `share` of weight in a minute there; on paper only if it is told to keep to it."""
        return cls(Budget(share, reserved=share // RESERVED_SHARE) if at.budgeted else None)

    def __init__(self, budget: Budget | None, timer: Timer | None = None) -> None:
        self._budget = budget
        self._given_timer = timer
        self._waiting: dict[Claim, asyncio.Future[bool]] = {}
        self._alarm: Any = None

    @asynccontextmanager
    async def turn(
        self, weight: Weight, *, urgent: bool = False, within_s: float = READ_WITHIN_S
    ) -> AsyncIterator[Turn]:
        """Enter when there is room. Raises NotSent when there was none within `within_s`: nothing left then.

        `urgent` goes before everything that is not. NotSent by a 429 passes through, and holds everything for a moment.
        """
        claimed = weight.before(urgent=urgent)
        if self._budget is None:
            yield Turn(weight, claimed)
            return
        asked_s = self._timer.time()
        claim = await self._admitted(self._budget, Claim(claimed, urgent, asked_s + within_s), within_s)
        turn = Turn(weight, claimed, waited_s=self._timer.time() - asked_s)
        try:
            yield turn
        except NotSent as error:
            turn.was_not_let_in(over_limit=error.over_limit)
            raise
        finally:
            now_s = self._timer.time()
            self._budget.settle(claim, turn.weight, now_s)
            if turn.refused is not None:
                self._budget.answered(claim, now_s, refused=turn.refused)
            self._step(self._budget)

    def left(self) -> int | None:
        """Weight that may be used now; None where nothing is limited."""
        return None if self._budget is None else self._budget.left(self._timer.time())

    @property
    def waiting(self) -> int:
        """Requests in line."""
        return len(self._waiting)

    @property
    def _timer(self) -> Timer:
        return self._given_timer or asyncio.get_running_loop()

    async def _admitted(self, budget: Budget, claim: Claim, within_s: float) -> Claim:
        may_leave = asyncio.get_running_loop().create_future()
        self._waiting[claim] = may_leave
        budget.ask(claim)
        self._step(budget)
        try:
            in_time = await may_leave
        except asyncio.CancelledError:
            still_in_line = self._waiting.pop(claim, None) is not None
            if still_in_line or (not may_leave.cancelled() and may_leave.result()):
                budget.withdraw(claim)
            self._step(budget)
            raise
        if not in_time:
            raise NotSent(
                f"the rate budget is exhausted: in {within_s:.1f} s there was no room for a weight of {claim.weight}"
                f" in this process's {budget.per_minute} a minute ({WEIGHT_PER_MINUTE} for all behind one address)"
            )
        return claim

    def _step(self, budget: Budget) -> None:
        """Let go who may, turn away who is late, and come back when that can change by itself."""
        now_s = self._timer.time()
        leaving, late = budget.step(now_s)
        for claims, in_time in ((leaving, True), (late, False)):
            for claim in claims:
                may_leave = self._waiting.pop(claim)
                if not may_leave.done():
                    may_leave.set_result(in_time)
                elif in_time:
                    budget.withdraw(claim)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        next_s = budget.next_s(now_s)
        if next_s is not None:
            self._alarm = self._timer.call_at(next_s, lambda: self._step(budget))
