"""Why a backtest did what it did, in words, from its journal alone.

A journal doesn't say where the lines lay, but it fixes them: money and quantity at the first decision give the anchor,
and every completed unit narrows the unit's size down.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from backtest.journal import as_text
from strategy.values import ONE, ZERO, Action, Phase, exact

_QTY_SHOWN = Decimal("1e-8")
_NARROW = Decimal("0.01")
"""How closely the unit's size has to be known, as a share of it, to be taken for the roundest number near."""


class BadJournalError(ValueError):
    """One line: the file, its line and what is wrong."""


class Line(BaseModel):
    """A line of the journal, as `backtest.journal` writes it."""

    model_config = ConfigDict(frozen=True)

    i: int
    ts: int
    price: Decimal
    phase: Phase
    unit: int
    peak: int
    valley: int
    cycle: int
    legs: tuple[tuple[Action, Decimal], ...]
    order_qty: Decimal
    long: Decimal
    short: Decimal
    short_entry: Decimal
    cash: Decimal
    allocation: Decimal
    equity: Decimal

    def moved(self, *actions: Action) -> Decimal:
        """Together, in coin."""
        return sum((qty for action, qty in self.legs if action in actions), ZERO)


@dataclass(frozen=True, slots=True)
class Lines:
    """Where the grid's lines lie."""

    anchor_price: Decimal
    unit_size: Decimal

    def price_of(self, line: int) -> Decimal:
        return self.anchor_price + line * self.unit_size


def read_journal(path: Path) -> list[Line]:
    """Raises BadJournalError for a file that can't be read, is empty, or has a line that is not a journal's."""
    lines: list[Line] = []
    try:
        with path.open(encoding="utf-8") as file:
            for number, text in enumerate(file, 1):
                try:
                    lines.append(Line.model_validate_json(text))
                except ValidationError as error:
                    problem = error.errors(include_url=False)[0]
                    where = ".".join(map(str, problem["loc"])) or "it"
                    raise BadJournalError(
                        f"{path} line {number}: {where}: {problem['msg']}; it must be a line of `backtest --journal`"
                    ) from error
    except OSError as error:
        raise BadJournalError(f"{path}: can't be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BadJournalError(f"{path}: is not a journal of text") from error
    if not lines:
        raise BadJournalError(f"{path}: has no decisions; no unit was completed in that run")
    return lines


def decisions_at(lines: Sequence[Line], time_ms: int) -> list[int]:
    """Those at the time, or else the last one before it; empty before the first."""
    before = [k for k, line in enumerate(lines) if line.ts <= time_ms]
    return [k for k in before if lines[k].ts == lines[before[-1]].ts] if before else []


@exact
def lines_of(journal: Sequence[Line], unit_size: Decimal | None = None) -> Lines | None:
    """The grid the journal was traded on; None when it can't be told and `unit_size` is not given."""
    first = journal[0]
    if first.cycle != 1:
        return None
    start_usd = first.allocation + _value(first) - first.equity
    opened = first.long + first.moved(Action.SELL_LONG) - first.moved(Action.BUY_LONG)
    anchor_price = start_usd / opened
    unit_size = unit_size or _unit_size(journal, anchor_price)
    return Lines(anchor_price, unit_size) if unit_size else None


def _value(line: Line) -> Decimal:
    return line.long * line.price + line.short * (2 * line.short_entry - line.price) + line.cash


def _unit_size(journal: Sequence[Line], anchor_price: Decimal) -> Decimal | None:
    """The roundest size that every unit of the first cycle allows."""
    least, most, before = ZERO, Decimal("Infinity"), 0
    for line in journal:
        if line.cycle != 1:
            break
        # Going up, the price lies at or above the line reached and below the next; going down, the other way round.
        side = 1 if line.unit > before else -1
        moved, near, far = side * (line.price - anchor_price), side * line.unit, side * line.unit + 1
        if near > 0:
            most = min(most, moved / near)
        if far > 0:
            least = max(least, moved / far)
        if far < 0:
            most = min(most, moved / far)
        if near < 0:
            least = max(least, moved / near)
        before = line.unit
    if not ZERO < least <= most <= least * (1 + _NARROW):
        return None
    return _roundest(least, most)


def _roundest(least: Decimal, most: Decimal) -> Decimal:
    """The number between them with the fewest digits."""
    step = ONE.scaleb(most.adjusted())
    while True:
        for part in (step, step / 2, step / 4):
            whole = (least / part).to_integral_value(rounding=ROUND_CEILING) * part
            if least <= whole <= most:
                return whole
        step /= 10


@exact
def explanation(journal: Sequence[Line], at: int, grid: Lines | None) -> str:
    """The decision with this index, in a few paragraphs."""
    now, before = journal[at], journal[at - 1] if at else None
    base = _base_line(journal, now.cycle, grid) if grid else 0
    return "\n".join(
        [*_headline(now, before), *_why(now, before, grid, base), "", *_ledger(now, before), "", *_order(now)]
    )


def _base_line(journal: Sequence[Line], cycle: int, grid: Lines) -> int:
    """The line at which the cycle's units began. A RESET happens on the way up, so the price is at or above it."""
    first = next(line for line in journal if line.cycle == cycle)
    if cycle == 1:
        return 0
    reached = (first.price - grid.anchor_price) / grid.unit_size
    return int(reached.to_integral_value(rounding=ROUND_FLOOR)) - first.unit


def _headline(now: Line, before: Line | None) -> Iterator[str]:
    unit, phase = (before.unit, before.phase) if before else (0, Phase.ADVANCE)
    moment = f"{datetime.fromtimestamp(now.ts / 1000, UTC):%Y-%m-%d %H:%M:%S}"
    yield f"{moment} UTC, row {now.i}, price {now.price:f}"
    cycle = f", cycle {now.cycle}" if before is None or before.cycle == now.cycle else ""
    yield f"unit {unit} -> {now.unit}, {phase} -> {now.phase}, peak {now.peak}, valley {now.valley}{cycle}"
    yield ""


def _why(now: Line, before: Line | None, grid: Lines | None, base: int) -> Iterator[str]:
    if before is not None and now.cycle != before.cycle:
        earned = now.allocation - before.allocation
        yield (
            f"The last step of cycle {now.cycle - 1} was done, and the trade RESET: {earned:+.2f} USD went into the "
            f"allocation, now {now.allocation:.2f} USD, and units count from here."
        )
        if now.moved(Action.COVER_SHORT):
            yield f"On the way to it the short was covered and its money bought long ({_legs(now)})."
        return
    unit, phase = (before.unit, before.phase) if before else (0, Phase.ADVANCE)
    if grid:
        yield _line_words(now, base + now.unit, grid, up=now.unit > unit)
    if abs(now.unit - unit) > 1:
        yield f"That one price completed {abs(now.unit - unit)} units; each was gone through in turn, as one order."
    yield _rule(now, phase, up=now.unit > unit)


def _line_words(now: Line, line: int, grid: Lines, *, up: bool) -> str:
    side = "at or above" if up else "at or below"
    return (
        f"The price stood {side} the line of unit {now.unit}, {grid.price_of(line):.8g} (the anchor "
        f"{grid.anchor_price:.8g} and {line} units of {as_text(grid.unit_size)} USD). The next lines from there: "
        f"{grid.price_of(line + 1):.8g} up, {grid.price_of(line - 1):.8g} down."
    )


def _rule(now: Line, phase: Phase, *, up: bool) -> str:
    depth, height = now.peak - now.unit, now.unit - now.valley
    match phase, now.phase:
        case Phase.ADVANCE, Phase.ADVANCE:
            return "A new peak: nothing is traded, the position fragment is measured here anew."
        case Phase.ADVANCE | Phase.RETRACEMENT, Phase.RETRACEMENT if not up:
            trigger = " The first full unit off the peak is the whole trigger." if phase is Phase.ADVANCE else ""
            return f"That is {depth} below the peak of {now.peak}: step {depth} of the retracement.{trigger}"
        case Phase.RETRACEMENT, Phase.RETRACEMENT:
            return f"Back up to {depth} below the peak: the last step was undone, in coin."
        case Phase.RETRACEMENT, Phase.ADVANCE:
            return "Back at the peak with every step undone: 100% long again."
        case Phase.ADVANCE | Phase.RETRACEMENT, Phase.DECLINE:
            return (
                f"{depth} below the peak the ladder is at its end: the rest of the long is sold. "
                "From here the valley follows."
            )
        case Phase.DECLINE, Phase.DECLINE if not up:
            return "A new valley: nothing is traded in a DECLINE."
        case Phase.DECLINE, Phase.DECLINE:
            return f"{height} above the valley is not yet high enough to cover: nothing is traded."
        case Phase.DECLINE | Phase.RECOVERY, Phase.RECOVERY if up:
            return f"That is {height} above the valley of {now.valley}: short is covered, and what it frees buys long."
        case Phase.RECOVERY, Phase.RECOVERY:
            return f"Down to {height} above the valley: the last step was undone, in coin."
        case Phase.RECOVERY, Phase.DECLINE:
            return "Below the first cover again, with every step undone: back in the DECLINE, the valley stays."
        case _:
            return f"One price led from {phase} to {now.phase}, through every step between."


def _ledger(now: Line, before: Line | None) -> Iterator[str]:
    yield f"{'':12}{'before':>18}{'after':>18}"
    for name in ("long", "short", "net", "cash", "allocation"):
        yield f"{name:12}{_figure(before, name):>18}{_figure(now, name):>18}"
    yield f"{'equity':12}{'':>18}{now.equity:>18.2f}"


def _figure(line: Line | None, name: str) -> str:
    if line is None:
        return "-"
    if name in ("cash", "allocation"):
        return f"{getattr(line, name):.2f}"
    qty: Decimal = line.long - line.short if name == "net" else getattr(line, name)
    return as_text(qty.quantize(_QTY_SHOWN))


def _order(now: Line) -> Iterator[str]:
    if not now.legs:
        yield "No order."
        return
    side = "buy" if now.order_qty > 0 else "sell"
    yield f"Legs: {_legs(now)}."
    if now.order_qty:
        yield f"On the exchange, where only the net exists: {side} {as_text(abs(now.order_qty))}."
    else:
        yield "They cancel each other: nothing was sent."


def _legs(now: Line) -> str:
    return ", ".join(f"{action.replace('_', ' ')} {as_text(qty)}" for action, qty in now.legs)
