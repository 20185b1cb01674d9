"""A journal read back, and the grid its decisions were made on.

A journal doesn't say where the lines lay, but it fixes them: money and quantity at the first decision give the anchor,
and every completed unit narrows the unit's size down.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from strategy.values import ONE, ZERO, Action, Phase, exact

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

    def value(self, price: Decimal) -> Decimal:
        """Of what is held after it, USD."""
        return self.long * price + self.short * (2 * self.short_entry - price) + self.cash

    @property
    def is_closed(self) -> bool:
        """Nothing is held where something would be: a limit has closed the trade."""
        return not self.long and not self.short and self.phase is not Phase.DECLINE

    def opened(self) -> Decimal:
        """Of a journal's first line: what the opening bought, in coin. Its legs have moved the long since."""
        return self.long + self.moved(Action.SELL_LONG) - self.moved(Action.BUY_LONG)


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
    start_usd = first.allocation + first.value(first.price) - first.equity
    anchor_price = start_usd / first.opened()
    unit_size = unit_size or _unit_size(journal, anchor_price)
    return Lines(anchor_price, unit_size) if unit_size else None


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


def base_line(journal: Sequence[Line], cycle: int, grid: Lines) -> int:
    """The line at which the cycle's units began. A RESET happens on the way up, so the price is at or above it."""
    first = next(line for line in journal if line.cycle == cycle)
    if cycle == 1:
        return 0
    reached = (first.price - grid.anchor_price) / grid.unit_size
    return int(reached.to_integral_value(rounding=ROUND_FLOOR)) - first.unit
