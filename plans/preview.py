"""What a plan would do at each of its levels, told before anything is bought.

Of a ladder: every step of a fall from the entry, and the recovery from there. Of the Fibonacci hedge: a rise to a high
at which it is armed, the fall through its levels back to the entry, and the rise from there, to a new fractal if
nothing is held by then. A limit that is broken on the way ends it.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import assert_never

from plans.plan import Backstop
from plans.rehearsal import Moment, rehearsed, walked
from plans.worst import WorstCase, worst_case
from strategy.backstop import backstop_of, refusal_at_entry
from strategy.checks import UNITS_TO_ZERO_MAX, Proposal, liquidation_price, refusals, round_trip_cost
from strategy.fibonacci import Fibonacci, Hedge
from strategy.hedge_steps import level_price
from strategy.ladder import AtReset, Ladder
from strategy.risk import Limits
from strategy.units import UnitMode
from strategy.values import Leg, Phase, Value, exact, plain


class Row(Value):
    """A line at which something is done, and the trade after it. Money in USD, quantities in coin."""

    what: str
    level_price: Decimal | None = None
    """Where a level of the Fibonacci hedge lies; it acts at the first line at or below."""
    price: Decimal
    """The line."""
    unit: int
    phase: Phase
    order: Decimal
    """Signed, in coin; 0 for none."""
    legs: tuple[Leg, ...]
    long: Decimal
    short: Decimal
    short_entry: Decimal
    cash_usd: Decimal
    equity_usd: Decimal
    change_usd: Decimal
    """Of equity, from the margin."""
    fee_usd: Decimal
    slippage_usd: Decimal


class Preview(Value):
    coin: str
    strategy: str
    price: Decimal
    margin_usd: Decimal
    leverage: int
    unit_size: Decimal
    rows: tuple[Row, ...]
    """The first is the entry."""
    worst: WorstCase
    liquidation_price: Decimal
    """Of the position as it is opened, were its margin all the account has; 0 for none."""
    round_trip_usd: Decimal
    """Fees and slippage of selling and buying one coin."""
    limits: Limits
    backstop_price: Decimal | None
    """Where the stop on the exchange rests at first; None without one."""
    refusals: tuple[str, ...]
    """Why it would not be opened at this price."""


@exact
def preview(
    asked: Proposal,
    *,
    at_reset: AtReset = AtReset.CAP,
    unit_mode: UnitMode = UnitMode.FULL,
    backstop: Backstop | None = None,
    high_price: Decimal | None = None,
) -> Preview:
    """`high_price`: how far the Fibonacci hedge rises first; to where it is just armed unless given.

    Raises ValueError for a margin that buys nothing and a high at which it is not armed.
    """
    entry = rehearsed(asked, at_reset=at_reset, unit_mode=unit_mode)
    match asked.ladder:
        case Ladder():
            path = _down_the_ladder(entry, asked.ladder)
        case Fibonacci():
            path = _through_the_levels(entry, asked.ladder, _high_line(entry, asked.ladder, high_price))
        case _:  # pragma: no cover
            assert_never(asked.ladder)
    return Preview(
        coin=asked.coin,
        strategy=asked.ladder.name,
        price=plain(asked.price),
        margin_usd=plain(asked.margin_usd),
        leverage=asked.leverage,
        unit_size=asked.unit_size,
        rows=(_row("entry", entry), *path),
        worst=worst_case(asked),
        liquidation_price=liquidation_price(asked.price, asked.leverage, asked.maintenance_rate),
        round_trip_usd=round_trip_cost(asked),
        limits=asked.limits,
        backstop_price=_backstop_price(entry, backstop),
        refusals=refusals(asked) or _of_the_backstop(entry, asked, backstop),
    )


def _of_the_backstop(entry: Moment, asked: Proposal, backstop: Backstop | None) -> tuple[str, ...]:
    if backstop is None:
        return ()
    refusal = refusal_at_entry(
        entry.state.terms, asked.unit_size, asked.margin_usd, asked.price, backstop.beyond, asked.maintenance_rate
    )
    return () if refusal is None else (refusal,)


def _backstop_price(entry: Moment, backstop: Backstop | None) -> Decimal | None:
    stop = backstop_of(entry.state, backstop.beyond) if backstop else None
    return plain(stop.trigger_price) if stop else None


def _down_the_ladder(entry: Moment, ladder: Ladder) -> Iterator[Row]:
    low = entry
    for low in walked(entry, -ladder.depth):
        depth = -low.state.line
        yield _row(low.ended or f"step {depth} of {ladder.depth}", low)
    for moment in walked(low, low.state.line + ladder.sweep_at):
        height = moment.state.line - low.state.line
        if moment.state.cycle > 1:
            yield _row(f"all into the long, {height} above the low: cycle 2 begins", moment)
            return
        if moment.size or moment.ended:
            yield _row(moment.ended or f"cover, {height} above the low", moment)


def _through_the_levels(entry: Moment, hedge: Fibonacci, high_line: int) -> Iterator[Row]:
    moment = entry
    for line, what in ((high_line, "high"), (0, "back at the entry"), (high_line, "back at the high")):
        for after in walked(moment, line):
            before, moment = moment, after
            done = _done(before, after, hedge)
            if done or moment.state.line == line:
                yield _row(done or what, moment, _level_price(moment, before, hedge))
            if moment.state.cycle > 1:
                return
        if moment.ended:
            return


def _high_line(entry: Moment, hedge: Fibonacci, high_price: Decimal | None) -> int:
    if high_price is None:
        return hedge.min_gain_units
    line = entry.state.grid.line_reached(0, high_price)
    if line < hedge.min_gain_units:
        armed = entry.state.grid.line_price(hedge.min_gain_units)
        raise ValueError(
            f"the high is {high_price:f}; the hedge is armed {hedge.min_gain_units} units above the entry, from "
            f"{plain(armed):f} on"
        )
    if line > UNITS_TO_ZERO_MAX:
        raise ValueError(
            f"the high is {high_price:f}, {line} units above the entry; at most {UNITS_TO_ZERO_MAX} are walked"
        )
    return line


def _done(before: Moment, after: Moment, hedge: Fibonacci) -> str:
    """What acts between two lines; empty for nothing."""
    if after.ended:
        return after.ended
    if after.state.cycle > before.state.cycle:
        return f"new fractal, {hedge.reentry_units} units above the low"
    was, now = _hedge_of(before), _hedge_of(after)
    done: list[str] = []
    if now.level > was.level:
        done.append(_levels(was.level + 1, now.level, hedge))
    if now.level < was.level:
        done.append(f"{_levels(now.level + 1, was.level, hedge)} undone")
    if now.short_stopped and not was.short_stopped:
        done.append("trailing stop of the short")
    if now.long_stopped and not was.long_stopped:
        done.append("trailing stop of the long")
    return ", ".join(done)


def _levels(first: int, last: int, hedge: Fibonacci) -> str:
    shares = " and ".join(f"{plain(100 * level.at):f}%" for level in hedge.levels[first - 1 : last])
    return f"level{'s' if last > first else ''} at {shares}"


def _level_price(after: Moment, before: Moment, hedge: Fibonacci) -> Decimal | None:
    """Of the deepest level that has just been reached."""
    was, now = _hedge_of(before), _hedge_of(after)
    if now.level <= was.level:
        return None
    high = after.state.grid.line_price(after.state.base_unit + after.state.peak_unit)
    return plain(level_price(hedge, now.entry_price, high, now.level))


def _hedge_of(moment: Moment) -> Hedge:
    assert moment.state.hedge is not None
    return moment.state.hedge


def _row(what: str, moment: Moment, level: Decimal | None = None) -> Row:
    state, ledger = moment.state, moment.state.ledger
    return Row(
        what=what,
        level_price=level,
        price=plain(moment.price),
        unit=state.current_unit,
        phase=state.phase,
        order=plain(moment.size),
        legs=moment.legs,
        long=plain(ledger.long_qty),
        short=plain(ledger.short_qty),
        short_entry=plain(ledger.short_entry),
        cash_usd=plain(ledger.cash),
        equity_usd=plain(moment.equity_usd),
        change_usd=plain(moment.equity_usd - state.margin_usd),
        fee_usd=plain(moment.fee_usd),
        slippage_usd=plain(moment.slippage_usd),
    )
