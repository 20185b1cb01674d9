"""Runs of a made-up market, for what is drawn and searched."""

from typing import Any

import numpy as np

from backtest.journal import Journal
from backtest.markets import tiers_of
from backtest.prices import Stretch
from backtest.result import Result
from backtest.run import run_whole
from backtest.setup import Setup

FIRST_MS = 1_735_689_600_000
"""The beginning of 2025."""
MINUTE_MS = 60_000


def market(minutes: int, *, seed: int = 1, start: float = 3_000, volatility: float = 0.0008) -> Stretch:
    """Minute candles of a random walk in cents; the same for the same seed."""
    random = np.random.default_rng(seed)
    steps = random.normal(0, volatility / 2, size=minutes * 4)
    cents = np.rint(start * 100 * np.exp(np.cumsum(steps))).astype(np.int64)
    return Stretch(0, FIRST_MS + MINUTE_MS * np.arange(minutes, dtype=np.int64), cents, 2, 4)


def prices_of(*usd: float) -> Stretch:
    """A price a minute."""
    points = np.array([round(price * 100) for price in usd], dtype=np.int64)
    return Stretch(0, FIRST_MS + MINUTE_MS * np.arange(len(points), dtype=np.int64), points, 2)


def setup(**changes: Any) -> Setup:
    given = {"coin": "ETH", "margin_usd": 1000, "leverage": 3, "unit_size": 20, "fee_bps": "4.5"}
    return Setup.model_validate(given | changes)


def run(prices: Stretch, *, source: str = "prices.csv", **changes: Any) -> Result:
    return run_whole(setup(**changes), prices, Journal(), source=source)


def liquidated(**changes: Any) -> Result:
    """A long at 25x that falls by a tenth at once."""
    given = {"leverage": 25, "tiers": tiers_of("ETH", 25)}
    return run(prices_of(3000, 3001, 3002, 2700, 2900), **(given | changes))
