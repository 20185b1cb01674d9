"""Units: the fixed steps of price a trade counts in."""

from decimal import ROUND_DOWN, Decimal
from enum import StrEnum

from pydantic import Field

from strategy.values import Value, exact


class UnitMode(StrEnum):
    FULL = "full"
    """A unit completes only by a full unit of movement from the line last completed."""
    GRID = "grid"
    """Memoryless: the distance from the anchor, truncated. For comparison."""


class UnitGrid(Value):
    """The lines of a trade. Fixed for its life: a RESET moves the zero of the counting, never a line."""

    anchor_price: Decimal = Field(gt=0)
    unit_size: Decimal = Field(gt=0)
    unit_mode: UnitMode = UnitMode.FULL

    @exact
    def line_price(self, line: int) -> Decimal:
        return self.anchor_price + line * self.unit_size

    @exact
    def line_reached(self, line: int, price: Decimal) -> int:
        """The line completed last when the price comes from `line`; a price exactly on a line completes it."""
        distance = price - self.anchor_price
        whole = int((distance / self.unit_size).to_integral_value(rounding=ROUND_DOWN))
        if self.unit_mode is UnitMode.GRID:
            return whole
        floor = whole - 1 if whole * self.unit_size > distance else whole
        ceiling = whole + 1 if whole * self.unit_size < distance else whole
        if floor > line:
            return floor
        if ceiling < line:
            return ceiling
        return line

    def next_lines(self, line: int) -> tuple[Decimal, Decimal]:
        """Prices that complete the next unit down and up from `line`."""
        if self.unit_mode is UnitMode.FULL or line != 0:
            down, up = line - 1, line + 1
            if self.unit_mode is UnitMode.GRID:
                # Truncation makes a positive line's band lie above it and a negative line's below it.
                down, up = (line, line + 1) if line > 0 else (line - 1, line)
            return self.line_price(down), self.line_price(up)
        return self.line_price(-1), self.line_price(1)
