"""A seeded random walk: the same seed gives the same path on every machine and every Python.

Steps are sums of twelve uniform integers (close to normal, variance 1) and the arithmetic is Decimal, so no maths
library and no platform's floating point has a say in the path.
"""

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from itertools import count

from simulator.paths import Print, rounded_price

_ARITHMETIC = Context(prec=28)
_UNIFORM_BITS = 32
_UNIFORMS = 12


@dataclass(frozen=True, slots=True)
class Walk:
    """One coin: where it starts, in USD, and how far it typically moves, in bps per square root of a second."""

    start_price: Decimal
    volatility_bps: Decimal


# About 0.8 bps per root second is 45% a year, the order of what majors do.
DEFAULT_WALKS: Mapping[str, Walk] = {
    "BTC": Walk(Decimal(85000), Decimal("0.7")),
    "ETH": Walk(Decimal(3450), Decimal("0.9")),
    "SOL": Walk(Decimal(180), Decimal("1.1")),
    "HYPE": Walk(Decimal(40), Decimal("1.5")),
    "DOGE": Walk(Decimal("0.21"), Decimal("1.3")),
}


@dataclass(frozen=True, slots=True)
class RandomWalk:
    """Geometric random walks without an end; each coin's path depends on the seed and its own name only."""

    seed: int
    walks: Mapping[str, Walk] = field(default_factory=lambda: DEFAULT_WALKS)
    step_s: Decimal = Decimal("0.25")

    @property
    def coins(self) -> tuple[str, ...]:
        return tuple(self.walks)

    def prices_at(self, position_s: float) -> dict[str, Decimal]:
        prices = {coin: rounded_price(walk.start_price) for coin, walk in self.walks.items()}
        for elapsed_s, coin, price in self._prints():
            if elapsed_s > position_s:
                break
            prices[coin] = price
        return prices

    def prints_after(self, position_s: float) -> Iterator[Print]:
        return (each for each in self._prints() if each.elapsed_s > position_s)

    def _prints(self) -> Iterator[Print]:
        paths = {coin: self._path(coin, walk) for coin, walk in self.walks.items()}
        for step in count(1):
            elapsed_s = float(step * self.step_s)
            for coin, path in paths.items():
                yield Print(elapsed_s, coin, next(path))

    def _path(self, coin: str, walk: Walk) -> Iterator[Decimal]:
        draw = random.Random(f"{self.seed}:{coin}").getrandbits
        per_step = _ARITHMETIC.multiply(walk.volatility_bps / 10_000, _ARITHMETIC.sqrt(self.step_s))
        # Scales a sum of integers to standard deviations without a division in the loop.
        unit = _ARITHMETIC.multiply(per_step, Decimal(2) ** -_UNIFORM_BITS)
        middle = _UNIFORMS << (_UNIFORM_BITS - 1)
        price = walk.start_price
        while True:
            total = sum(draw(_UNIFORM_BITS) for _ in range(_UNIFORMS)) - middle
            price = _ARITHMETIC.fma(price, _ARITHMETIC.multiply(unit, total), price)
            yield rounded_price(price)
