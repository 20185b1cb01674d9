"""What a backtest hands to others: the report, the plots, the search for parameters.

Arrays are NumPy, one entry per thing, all of a class equally long. Money is USD, quantities coin, times ms UTC, shares
of 1. They are floats: the exact decimals are in the journal and in the summary.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest.setup import Setup
from backtest.summary import Summary
from strategy.values import Leg, Phase

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
PHASES = tuple(Phase)
"""What `Decisions.phase` counts in."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """One entry per line of the journal: every price at which the unit changed, and the trade after it."""

    row: Ints
    """Of the input, 0-based."""
    time_ms: Ints
    price: Floats
    phase: NDArray[np.int8]
    """Index into PHASES."""
    unit: Ints
    peak: Ints
    valley: Ints
    cycle: Ints
    order_qty: Floats
    """Net of the price's orders, buys positive; 0 when nothing was traded."""
    long_qty: Floats
    short_qty: Floats
    short_entry: Floats
    cash_usd: Floats
    allocation_usd: Floats
    equity_usd: Floats
    legs: tuple[tuple[Leg, ...], ...]

    def __len__(self) -> int:
        return len(self.time_ms)


@dataclass(frozen=True, slots=True)
class Cycle:
    """From one RESET to the next. The last one may be unfinished: it ends with the recording."""

    number: int
    start_ms: int
    end_ms: int
    start_price: float
    end_price: float
    orders: int
    pnl_usd: float
    """After its fees and funding."""
    fees_usd: float
    funding_usd: float
    """Paid; negative when received."""
    finished: bool


@dataclass(frozen=True, slots=True)
class Band:
    """The lowest, the highest and the last value of each bucket of time."""

    low: Floats
    high: Floats
    close: Floats


@dataclass(frozen=True, slots=True)
class Samples:
    """The whole run in a few thousand buckets of equal time. Nothing is left out: a bucket has the extremes of every
    price in it. Buckets without a price are not there."""

    time_ms: Ints
    """Of the first price in the bucket."""
    price: Band
    equity: Band
    hold: Band
    """Buy-and-hold at the same leverage, flat once it was liquidated."""
    hold_1x: Band
    drawdown: Floats
    """Deepest fall of equity from its peak so far, as a share of that peak, within the bucket."""


@dataclass(frozen=True, slots=True)
class Days:
    """Equity at the end of each UTC day, the last one at the end of the run. A day without prices repeats the one
    before."""

    day_ms: Ints
    """Midnight at which the day begins."""
    equity_usd: Floats
    hold_usd: Floats
    hold_1x_usd: Floats


@dataclass(frozen=True, slots=True)
class Result:
    """A whole run: `summary` in figures, the rest to draw."""

    setup: Setup
    source: str
    """Name of the prices' file."""
    funding: str
    """What it cost to hold, in words."""
    summary: Summary
    decisions: Decisions
    cycles: tuple[Cycle, ...]
    samples: Samples
    days: Days


@dataclass(frozen=True, slots=True)
class Figures:
    """What a search ranks by: the summary of a run that kept nothing else, counted in floats."""

    pnl_usd: float
    return_on_margin: float
    max_drawdown: float
    max_drawdown_usd: float
    sharpe: float | None
    """Daily, annualised by sqrt(365); None with fewer than two days or nothing moving."""
    sortino: float | None
    calmar: float | None
    """Return per year (simple, on margin) by maximum drawdown."""
    decisions: int
    orders: int
    resets: int
    winning_cycles: int
    fees_usd: float
    funding_usd: float
    slippage_usd: float
    liquidated_ms: int | None
    liquidated_price: float | None
    hold_return: float
    """Buy-and-hold at the same leverage, on margin, over the same prices."""
