"""When a plan's entry has come: by the price, counted in the plan's own units."""

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from plans.plan import EntryRule, When
from strategy.units import UnitGrid
from strategy.values import Value, exact


class EntryWatch(Value):
    """Where the price stands while an entry is waited for, in lines of a grid of its own."""

    grid: UnitGrid
    line: int
    start_line: int
    low_line: int

    def has_come(self, rule: EntryRule) -> bool:
        match rule.when:
            case When.NOW:
                return True
            case When.AT_PRICE:
                # The line of the price itself is 0: it is reached, or has been jumped over.
                return self.line * self.start_line <= 0
            case When.ON_RISE:
                assert rule.units is not None
                return self.line - self.low_line >= rule.units

    def moved(self, price: Decimal) -> "EntryWatch":
        line = self.grid.line_reached(self.line, price)
        return self.model_copy(update={"line": line, "low_line": min(self.low_line, line)})


@exact
def watch_from(rule: EntryRule, price: Decimal, unit_size: Decimal) -> EntryWatch:
    """Lines are laid from the price now, or so that one lies on the price that is waited for."""
    grid = UnitGrid(anchor_price=rule.price or price, unit_size=unit_size)
    distance = (price - grid.anchor_price) / unit_size
    # The line beyond: from there a full unit of movement completes the line of the price.
    line = int(distance.to_integral_value(rounding=ROUND_CEILING if distance > 0 else ROUND_FLOOR))
    return EntryWatch(grid=grid, line=line, start_line=line, low_line=line)


def entry_words(rule: EntryRule) -> str:
    """As a trader says it."""
    match rule.when:
        case When.NOW:
            words = "now"
        case When.AT_PRICE:
            words = f"once the price reaches {rule.price:f}"
        case When.ON_RISE:
            words = f"once the price has risen {rule.units} units from its low"
    return words if rule.not_before is None else f"{words}, not before {rule.not_before:%Y-%m-%d %H:%M %Z}"
