"""Why the Fibonacci hedge did what it did. A journal has no levels: the legs say which kind of step it was."""

from collections.abc import Sequence
from typing import Protocol

from backtest.journal_lines import Line
from strategy.values import Action, Phase


class Rule(Protocol):
    """The rule that led to a line from the phase before it."""

    def __call__(self, now: Line, phase: Phase, *, up: bool) -> str: ...


NEW_FRACTAL = "Nothing was held, and the price had risen far enough from its low: a new fractal begins"


def is_of_a_hedge(journal: Sequence[Line]) -> bool:
    """A ladder is never 100% long below its peak; a hedge is, whenever it has not reached its first level."""
    return any(line.phase is Phase.ADVANCE and line.unit < line.peak for line in journal)


def hedge_rule(now: Line, phase: Phase, *, up: bool) -> str:
    sold, shorted, covered, bought = (bool(now.moved(action)) for action in _ORDER)
    match sold, shorted, covered, bought:
        case False, False, False, False:
            return _nothing_done(now, up)
        case True, True, _, _:
            return f"A level was reached, {now.peak - now.unit} units below the high: long is sold, a short is opened."
        case True, False, False, False:
            return "A deeper level, or the trailing stop of the long, was reached: long is sold."
        case False, False, True, False:
            return (
                "The trailing stop of the short was reached: all of it is covered, and there is none until a new high."
            )
        case False, _, _, True:
            return "The gain given back is less again, by the release or with a new high: what was sold is bought back."
        case _:
            return f"One price led from {phase} to {now.phase}, through every level between."


_ORDER = (Action.SELL_LONG, Action.OPEN_SHORT, Action.COVER_SHORT, Action.BUY_LONG)


def _nothing_done(now: Line, up: bool) -> str:
    match now.phase:
        case Phase.ADVANCE if now.unit == now.peak:
            return "A new high: nothing is traded, the gain is measured from here."
        case Phase.ADVANCE:
            below = now.peak - now.unit
            return f"{below} units below the high: not armed yet, or above the first level. Nothing is traded."
        case Phase.DECLINE if up:
            return f"{now.unit - now.valley} above the low is not yet high enough for a new fractal: nothing is traded."
        case Phase.DECLINE:
            return "A new low with nothing held: it is followed."
        case _:
            return "Between two levels: nothing is traded."
