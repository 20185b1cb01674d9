"""`step(state, direction, price)` is the whole strategy, whichever it is: one completed unit, and the legs it takes.

It treats the ledger as if every leg filled exactly at `price`; `strategy.fold` tells what was wanted from what was
filled.
"""

from decimal import Decimal
from typing import assert_never

from strategy.fibonacci import Fibonacci
from strategy.hedge_steps import hedge_step
from strategy.ladder import Ladder
from strategy.state import TradeState
from strategy.unit_steps import ladder_step
from strategy.values import Direction, Leg, exact


@exact
def step(state: TradeState, direction: Direction, price: Decimal) -> tuple[TradeState, tuple[Leg, ...]]:
    """The state one unit on, and the legs it takes. After `reset_due` a `reset` has to come first."""
    assert not state.reset_due, "a unit was given before the RESET that is due"
    match state.terms.ladder:
        case Ladder():
            return ladder_step(state, direction, price)
        case Fibonacci():
            return hedge_step(state, direction, price)
        case _:  # pragma: no cover
            assert_never(state.terms.ladder)
