"""Prices and sizes that a market accepts: the same rule on both sides, with other decimals.

A price has 5 significant figures and at most `max_price_decimals` - szDecimals decimals; integers are always allowed.
"""

from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from functools import cached_property
from typing import ClassVar

SIGNIFICANT_FIGURES = 5


class Listing:
    """What has a book: a perpetual or a spot pair. `reference_price` is where it stands until a price comes."""

    max_price_decimals: ClassVar[int]
    coin: str
    asset: int
    size_decimals: int
    reference_price: Decimal
    delisted: bool

    @cached_property
    def lot(self) -> Decimal:
        return Decimal(1).scaleb(-self.size_decimals)

    @property
    def price_decimals(self) -> int:
        return self.max_price_decimals - self.size_decimals

    def tick(self, price: Decimal) -> Decimal:
        """Smallest price step at `price`."""
        exponent = max(price.adjusted() - (SIGNIFICANT_FIGURES - 1), -self.price_decimals)
        return Decimal(1).scaleb(min(exponent, 0))

    def on_tick(self, price: Decimal) -> bool:
        return price % self.tick(price) == 0

    def on_lot(self, size: Decimal) -> bool:
        return size % self.lot == 0

    def round_price(self, price: Decimal, rounding: str = ROUND_HALF_EVEN) -> Decimal:
        return price.quantize(self.tick(price), rounding=rounding)

    def tick_below(self, price: Decimal) -> Decimal:
        """Largest price on the grid under `price`."""
        lower = self.round_price(price, ROUND_FLOOR)
        if lower < price:
            return lower
        return self.round_price(price - self.tick(price), ROUND_FLOOR)

    def tick_above(self, price: Decimal) -> Decimal:
        """Smallest price on the grid over `price`."""
        upper = self.round_price(price, ROUND_CEILING)
        if upper > price:
            return upper
        return self.round_price(price + self.tick(price), ROUND_CEILING)

    def round_size(self, size: Decimal) -> Decimal:
        """Down to a whole number of lots."""
        return size.quantize(self.lot, rounding=ROUND_FLOOR)
