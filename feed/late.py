"""A trade that arrives after a later one: put into its place, as long as no wrong unit is told by it."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

from feed.trades import TOLD_AGAIN, Trade
from strategy.units import UnitGrid

REMEMBERED = 256


class Recent:
    """The trades seen last and the line that was reached before each."""

    def __init__(self) -> None:
        self._seen: deque[tuple[Trade, int]] = deque(maxlen=REMEMBERED)

    def add(self, trade: Trade, line_before: int) -> None:
        self._seen.append((trade, line_before))

    def clear(self) -> None:
        self._seen.clear()

    def mending(self, late: Trade, grid: UnitGrid) -> Sequence[Trade] | None:
        """What is to be seen now so that the units told are those of the true order: the late trade and those after it
        again, or nothing if no unit depends on it. None if units were told that can't be taken back, or if its place is
        no longer remembered."""
        after = [(trade, line) for trade, line in self._seen if trade.time_ms > late.time_ms]
        if len(after) in (0, REMEMBERED):
            return None
        line_then = after[0][1]
        again = [late, *(trade for trade, _ in after)]
        told = _steps(grid, line_then, (trade.price for trade, _ in after))
        true = _steps(grid, line_then, (trade.price for trade in again))
        if true == told:
            return []
        if told + _steps(grid, [line_then, *told][-1], (trade.price for trade in again)) != true:
            return None
        # As news: a workflow drops what is older than what it knows, and what it knows by its number.
        now_ms = after[-1][0].time_ms
        return [replace(trade, time_ms=now_ms, tid=trade.tid | TOLD_AGAIN) for trade in again]


def _steps(grid: UnitGrid, line: int, prices: Iterable[Decimal]) -> list[int]:
    """The lines completed from `line` on, one by one."""
    steps: list[int] = []
    for price in prices:
        reached = grid.line_reached(line, price)
        direction = 1 if reached > line else -1
        steps.extend(range(line + direction, reached + direction, direction) if reached != line else ())
        line = reached
    return steps
