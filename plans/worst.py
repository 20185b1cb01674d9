"""The worst case of a strategy: what it loses when the market does what it is worst at. docs/plans.md has the formulas.

Of a ladder: a fall from the entry through its last step; and a fall to any of its steps that turns and comes back to
the entry. Of the Fibonacci hedge: a fall before it is armed, to the limit that closes it and one unit beyond; and a
fall from where it is just armed, to any of its levels, that turns and comes back. It is the largest loss on the way,
costs included, were all closed there; the same again, or a gap, comes on top.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import assert_never

from plans.rehearsal import Moment, rehearsed, walked
from strategy.checks import Proposal
from strategy.fibonacci import Fibonacci
from strategy.hedge_steps import level_price
from strategy.ladder import Ladder
from strategy.values import ONE, ZERO, Value, exact, plain

LINES_TO_ARM_MAX = 50
"""A hedge armed only after more lines is looked at with coarser ones: they act later, so its loss is no smaller."""


class WorstCase(Value):
    loss_usd: Decimal
    """Of the margin; never more than all of it but for costs."""
    how: str
    """In words."""


@exact
def worst_case(asked: Proposal, *, whole_lots: bool = True) -> WorstCase:
    """Raises ValueError if the margin buys nothing."""
    match asked.ladder:
        case Ladder():
            return max(_of_the_ladder(asked, asked.ladder, whole_lots), key=lambda case: case.loss_usd)
        case Fibonacci():
            return max(_of_the_hedge(asked, asked.ladder, whole_lots), key=lambda case: case.loss_usd)
        case _:  # pragma: no cover
            assert_never(asked.ladder)


@exact
def loss_per_usd(asked: Proposal) -> Decimal:
    """Of the worst case, per USD of margin, whatever the margin: without limits that are amounts of money."""
    limits = asked.limits.model_copy(update={"max_loss_usd": None, "max_position_usd": None})
    return worst_case(asked.model_copy(update={"margin_usd": ONE, "limits": limits}), whole_lots=False).loss_usd


def _of_the_ladder(asked: Proposal, ladder: Ladder, whole_lots: bool) -> Iterator[WorstCase]:
    entry = rehearsed(asked, whole_lots=whole_lots)
    yield WorstCase(loss_usd=entry.loss_usd, how="closed at the entry")
    for depth, low in enumerate(walked(entry, -ladder.depth), start=1):
        yield _seen(low, f"a fall to {_short(low.price)}, {_steps(depth)} below the entry")
        yield from _turned(low, 0, f"a fall to {_short(low.price)} that turns")


def _of_the_hedge(asked: Proposal, hedge: Fibonacci, whole_lots: bool) -> Iterator[WorstCase]:
    entry = rehearsed(asked, whole_lots=whole_lots)
    yield _unarmed(entry, asked)
    lines = min(hedge.min_gain_units, LINES_TO_ARM_MAX)
    unit_size = asked.unit_size * hedge.min_gain_units / lines
    coarser = hedge.model_copy(update={"min_gain_units": lines})
    start = rehearsed(asked.model_copy(update={"unit_size": unit_size, "ladder": coarser}), whole_lots=whole_lots)
    armed = list(walked(start, lines))[-1]
    if armed.ended:
        return
    deepest = level_price(hedge, asked.price, armed.price, len(hedge.levels))
    for low in walked(armed, -lines):
        if low.size:
            how = f"a rise to {_short(armed.price)}, where it is armed, a fall to {_short(low.price)}"
            yield _seen(low, how)
            yield from _turned(low, lines, f"{how} that turns")
        if low.price <= deepest:
            return


def _turned(low: Moment, to_line: int, how: str) -> Iterator[WorstCase]:
    """Back up, until a new cycle begins."""
    for moment in walked(low, to_line):
        if moment.state.cycle > 1:
            return
        yield _seen(moment, f"{how} and comes back to {_short(moment.price)}")


def _unarmed(entry: Moment, asked: Proposal) -> WorstCase:
    """Equity is a straight line of the price until something is done."""
    limits, net_qty, margin_usd = asked.limits, entry.state.ledger.net_qty, entry.state.margin_usd

    def price_at(equity_usd: Decimal) -> Decimal:
        return entry.price - (entry.equity_usd - equity_usd) / net_qty

    exits: list[tuple[Decimal, str]] = []
    if limits.stop_price is not None:
        exits.append((limits.stop_price, "stop_price"))
    if limits.max_drawdown is not None:
        exits.append((price_at(margin_usd * (1 - limits.max_drawdown)), "max_drawdown"))
    if limits.max_loss_usd is not None:
        exits.append((price_at(margin_usd - limits.max_loss_usd), "max_loss_usd"))
    exit_price, name = max(exits, default=(ZERO, ""))
    if exit_price <= asked.unit_size:
        return WorstCase(loss_usd=margin_usd, how="a fall to 0 before it is armed: no limit closes it")
    lowest = Moment(entry.state, exit_price - asked.unit_size, entry.costs)
    return _seen(
        lowest, f"a fall before it is armed to {name} at {_short(exit_price)}, closed at {_short(lowest.price)}"
    )


def _seen(moment: Moment, how: str) -> WorstCase:
    ended = f", where {moment.ended}" if moment.ended else ""
    return WorstCase(loss_usd=plain(moment.loss_usd), how=how + ended)


def _steps(count: int) -> str:
    return f"{count} unit{'s' if count > 1 else ''}"


def _short(number: Decimal) -> str:
    return f"{plain(number):.8g}"
