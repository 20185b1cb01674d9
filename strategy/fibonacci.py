"""The Fibonacci hedge's parameters: data, not code. Retracement is of the position's own unrealised gain.

With the entry E and the highest completed line H since then, a line's retracement is (H - line) / (H - E). See
docs/strategy.md, The Fibonacci hedge.
"""

from decimal import Decimal
from itertools import pairwise

from pydantic import Field, model_validator

from strategy.values import Value


class Level(Value):
    """From a retracement of `at` on, these shares of the whole position's quantity are held."""

    at: Decimal = Field(gt=0, le=1)
    long: Decimal = Field(ge=0, lt=1)
    short: Decimal = Field(ge=0, le=1)


class Fibonacci(Value):
    name: str = Field(min_length=1, max_length=40)
    levels: tuple[Level, ...] = Field(min_length=1, max_length=10)
    release: Decimal = Field(default=Decimal("0.05"), ge=0)
    """A level is undone only when the retracement is this far below it."""
    min_gain_units: int = Field(default=20, ge=1, le=10_000)
    """Nothing is armed before the high is this many units above the entry."""
    short_trailing_stop: Decimal | None = Field(default=Decimal("0.02"), gt=0, lt=1)
    """The short is covered at a line this share above the lowest one since it was opened."""
    long_trailing_stop: Decimal | None = Field(default=None, gt=0, lt=1)
    """The long is sold at a line this share below the highest one since the entry, armed or not."""
    reentry_units: int = Field(default=2, ge=1, le=10_000)
    """With nothing held: units up from the lowest line since then that begin a new fractal."""

    @model_validator(mode="after")
    def _can_be_executed(self) -> "Fibonacci":
        for number, (before, level) in enumerate(pairwise(self.levels), start=2):
            if level.at <= before.at:
                raise ValueError(f"level {number}: at is {level.at}; levels must rise, it follows {before.at}")
            if level.long > before.long:
                raise ValueError(f"level {number}: long is {level.long}; at most the {before.long} before it")
            if level.short < before.short:
                raise ValueError(f"level {number}: short is {level.short}; at least the {before.short} before it")
            if (level.long, level.short) == (before.long, before.short):
                raise ValueError(f"level {number}: it holds what the level before it holds")
        if self.release >= self.levels[0].at:
            raise ValueError(f"release is {self.release}; it must be less than the first level's {self.levels[0].at}")
        return self


def _levels(*rows: tuple[str, str, str]) -> tuple[Level, ...]:
    return tuple(Level(at=Decimal(at), long=Decimal(long), short=Decimal(short)) for at, long, short in rows)


FIBONACCI = Fibonacci(
    name="fibonacci",
    levels=_levels(("0.23", "0.50", "0.50"), ("0.38", "0.25", "0.50"), ("0.50", "0.00", "0.50")),
)


class Sold(Value):
    """Coin of the long that was sold and is not bought back."""

    qty: Decimal
    price: Decimal


class Hedge(Value):
    """What a trade of the Fibonacci hedge remembers of its fractal."""

    entry_price: Decimal
    """Of the fills that opened it."""
    full_qty: Decimal
    """What 100% long is, in coin."""
    level: int = 0
    """How many levels are acted on."""
    short_stopped: bool = False
    """No short until a new high."""
    long_stopped: bool = False
    """No long until a new high."""
    sold: tuple[Sold, ...] = ()
    """The last is bought back first."""
