"""What a search may choose from: unit sizes, ladders, leverages, and what happens at a RESET."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from backtest.journal import as_text
from backtest.options import BadOptionError

VALUES_MAX = 10_000
"""In one dimension; a range with more of them is a slip of the keyboard."""


@dataclass(frozen=True, slots=True)
class Params:
    """One configuration."""

    unit_size: Decimal
    preset: str
    leverage: int
    at_reset: str

    def __str__(self) -> str:
        return f"unit {as_text(self.unit_size)}, {self.preset}, {self.leverage}x, {self.at_reset}"


@dataclass(frozen=True, slots=True)
class Space:
    """Every combination of these. Unit sizes and leverages rise; no value is there twice."""

    unit_sizes: tuple[Decimal, ...]
    presets: tuple[str, ...]
    leverages: tuple[int, ...]
    at_resets: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.unit_sizes) * len(self.presets) * len(self.leverages) * len(self.at_resets)

    def __iter__(self) -> Iterator[Params]:
        for preset, at_reset, leverage, unit_size in itertools.product(
            self.presets, self.at_resets, self.leverages, self.unit_sizes
        ):
            yield Params(unit_size, preset, leverage, at_reset)

    def neighbours(self, params: Params) -> list[Params]:
        """One step away in unit size or in leverage, the dimensions that have an order."""
        near: list[Params] = []
        at = self.unit_sizes.index(params.unit_size)
        for unit_size in (*self.unit_sizes[max(0, at - 1) : at], *self.unit_sizes[at + 1 : at + 2]):
            near.append(Params(unit_size, params.preset, params.leverage, params.at_reset))
        at = self.leverages.index(params.leverage)
        for leverage in (*self.leverages[max(0, at - 1) : at], *self.leverages[at + 1 : at + 2]):
            near.append(Params(params.unit_size, params.preset, leverage, params.at_reset))
        return near


def read_space(*, unit_size: str, preset: str, leverage: str, at_reset: str) -> Space:
    """The space of these texts: values and ranges `from:to:step`, comma between. Raises BadOptionError.

    Presets, leverages and what is done at a RESET are checked where a setup is made of them.
    """
    leverages = _numbers("leverage", leverage)
    for value in leverages:
        if value != value.to_integral_value():
            raise BadOptionError(f"--leverage has {as_text(value)}; it must be whole numbers from 1 to 100")
    return Space(
        unit_sizes=_numbers("unit-size", unit_size),
        presets=_names("preset", preset),
        leverages=tuple(int(value) for value in leverages),
        at_resets=_names("at-reset", at_reset),
    )


def _names(option: str, text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",")))
    if not all(names):
        raise BadOptionError(f"--{option} is {text or 'missing'}; it must be names with commas between them")
    return names


def _numbers(option: str, text: str) -> tuple[Decimal, ...]:
    """Rising, each once."""
    values: set[Decimal] = set()
    for part in text.split(","):
        values.update(_range(option, part.strip()))
        if len(values) > VALUES_MAX:
            raise BadOptionError(f"--{option} is {text}; that is more than {VALUES_MAX:,} values")
    return tuple(sorted(values))


def _range(option: str, text: str) -> Iterator[Decimal]:
    allowed = "numbers above 0 or ranges from:to:step, with commas between them"
    bounds = [_number(part) for part in text.split(":")]
    match bounds:
        case [Decimal() as value]:
            yield value
        case [Decimal() as first, Decimal() as last, Decimal() as step] if first <= last:
            if (last - first) / step > VALUES_MAX:
                raise BadOptionError(f"--{option} has {text}; that is more than {VALUES_MAX:,} values")
            while first <= last:
                yield first
                first += step
        case _:
            raise BadOptionError(f"--{option} has {text or 'nothing'}; it must be {allowed}")


def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and 0 < number < 10**12 else None
