"""How fast recorded prices are traded, by each path and beside three other backtesters, on this machine, now.

    python -m bench.backtest [--prices FILE] [--coin ETH] [--unit-size 25] [--ticks 100000000] [--others 50000]

The prices are minute candles: FILE, or HYPERTRADER_BENCH_PRICES, or a random walk made for the run. Rates are of
computing alone, after everything is loaded and compiled, in seconds of processor time: what else the machine does at
the same time counts as little as it can. Loading and searching, which use both cores, are in seconds of the clock.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from itertools import product
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtest import compiled, many
from backtest.columns import read_columns
from backtest.journal import Journal
from backtest.markets import MIN_NOTIONAL_USD, lot_of, tiers_of
from backtest.prices import PriceBatch, Stretch, joined
from backtest.run import run_fast, run_reference
from backtest.setup import Setup
from bench import backtest_others
from strategy.ladder import PRESETS

CANDLES = 1_336_320
YEAR = 525_600
REFERENCE_ROWS = 100_000
FIRST_MS = 1_704_067_200_000
MINUTE_MS = 60_000
TICKS_AT_ONCE = 1_000_000
CONFIGURATIONS = 1_000
PROCESSES = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prices", type=Path, default=os.environ.get("HYPERTRADER_BENCH_PRICES"))
    parser.add_argument("--coin", default="ETH")
    parser.add_argument("--unit-size", type=Decimal, default=Decimal(25))
    parser.add_argument("--ticks", type=int, default=100_000_000)
    parser.add_argument(
        "--others", type=int, default=50_000, help="candles for the other backtesters; 0 leaves them out"
    )
    parser.add_argument("--only-ticks", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.only_ticks:
        quiet_ticks(asked.ticks)
        return
    with tempfile.TemporaryDirectory(prefix="hypertrader-bench-") as folder:
        path = Path(asked.prices) if asked.prices else made_candles(Path(folder))
        setup = setup_for(asked.coin, asked.unit_size, 3, "v6")
        prices = paths(path, setup)
        # A process of its own, so that its memory is all its own.
        subprocess.run(
            [sys.executable, "-m", "bench.backtest", "--only-ticks", "--ticks", str(asked.ticks)], check=True
        )
        search(prices, asked.coin)
        if asked.others:
            side_by_side(prices.rows(0, asked.others), setup)


def setup_for(coin: str, unit_size: Decimal, leverage: int, preset: str) -> Setup:
    """As the exchange trades it, with so much margin that costs don't end it."""
    return Setup(
        coin=coin,
        margin_usd=Decimal(100_000),
        leverage=leverage,
        unit_size=unit_size,
        ladder=PRESETS[preset],
        fee_bps=Decimal("4.5"),
        slippage_bps=Decimal(1),
        lot=lot_of(coin),
        min_notional_usd=MIN_NOTIONAL_USD,
        money_step_usd=Decimal("0.000001"),
        tiers=tiers_of(coin, leverage),
    )


def made_candles(folder: Path) -> Path:
    """A random walk of minutes around 3000, in cents; the same every time."""
    random = np.random.default_rng(7)
    steps = random.normal(0, 1.2e-3, CANDLES)
    close = np.round(3000 * np.exp(np.cumsum(steps - 0.02 * np.cumsum(steps) / CANDLES)), 2)
    first = np.concatenate([[3000.0], close[:-1]])
    reach = np.abs(random.normal(0, 6e-4, (2, CANDLES)))
    high = np.round(np.maximum(first, close) * (1 + reach[0]), 2)
    low = np.round(np.minimum(first, close) * (1 - reach[1]), 2)
    path = folder / "random_walk_1m.parquet"
    times_ms = FIRST_MS + MINUTE_MS * np.arange(CANDLES)
    pq.write_table(pa.table({"ts": times_ms, "open": first, "high": high, "low": low, "close": close}), path)
    return path


def timed(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    began_s = clock()
    work()
    return clock() - began_s


def told(what: str, count: int, things: str, seconds: float, note: str = "") -> None:
    print(f"{what:34} {count / seconds / 1e6:10.3f} M {things}/s  ({count:,} in {seconds:.4f} s{note})", flush=True)


def paths(path: Path, setup: Setup) -> Stretch:
    """Each path over the file; returns its prices."""
    loaded: list[Stretch] = []
    load_s = timed(lambda: loaded.append(joined(read_columns(path))), time.perf_counter)
    prices = loaded[0]
    rows, per_row = len(prices.times_ms), prices.per_row
    print(f"{path.name}: {rows:,} rows, {setup.ladder.name} in units of {setup.unit_size} USD")
    told("loading the file", rows, "candles", load_s)

    some = prices.rows(0, REFERENCE_ROWS)
    batch = PriceBatch(0, some.times_ms.tolist(), [some.price(k) for k in range(len(some.points))], per_row)
    reference_s = timed(lambda: run_reference(setup, [batch], Journal()))
    told("reference path", len(batch.times_ms), "candles", reference_s)
    told("reference path", len(batch.prices), "ticks", reference_s)

    journal = Journal()
    fast_s = timed(lambda: run_fast(setup, [prices], journal))
    told("fast path, decisions in Decimal", rows, "candles", fast_s, f", {journal.lines:,} decisions")
    told("fast path, loading included", rows, "candles", load_s + fast_s)

    rates = np.zeros(0)
    compile_s = timed(lambda: many.walked(setup, prices.rows(0, 2), rates), time.perf_counter)
    compiled_s = min(timed(lambda: many.walked(setup, prices, rates)) for _ in range(3))
    seen = int(many.walked(setup, prices, rates).wholes[compiled.PRICES])
    assert seen == len(prices.points), (
        f"liquidated after {seen:,} prices: a search may stop there, a benchmark must not"
    )
    told("compiled, for searches", rows, "candles", compiled_s, f"; begun in {compile_s:.1f} s, once a process")
    told("compiled, loading included", rows, "candles", load_s + compiled_s)
    return prices


def quiet_ticks(count: int) -> None:
    """Ticks that tremble within a unit, streamed: what the fast path does where nothing crosses, and its memory."""
    random = np.random.default_rng(7)
    tremble = random.integers(300_000 - 90, 300_000 + 90, TICKS_AT_ONCE)
    spent_s, making_s = 0.0, 0.0

    def stretches() -> Iterator[Stretch]:
        nonlocal making_s
        for first in range(0, count, TICKS_AT_ONCE):
            began_s = time.process_time()
            times_ms = FIRST_MS + np.arange(first, first + TICKS_AT_ONCE, dtype=np.int64) * 10
            # Another order of the same prices each time, and the first is the entry.
            points = np.roll(tremble, first // TICKS_AT_ONCE * 7919)
            points[0] = 300_000
            making_s += time.process_time() - began_s
            yield Stretch(first, times_ms, points, 2)

    setup = setup_for("ETH", Decimal(2), 3, "v6")
    journal = Journal()
    spent_s = timed(lambda: run_fast(setup, stretches(), journal)) - making_s
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    note = f", {journal.lines} decisions, peak memory {peak_mb:,.0f} MB"
    told("fast path where nothing crosses", count, "ticks", spent_s, note)


_prices: Stretch | None = None


def _figures(setups: list[Setup]) -> int:
    """How many of them lived to the end."""
    assert _prices is not None
    return sum(each.liquidated_ms is None for each in many.figures(setups, _prices))


def search(prices: Stretch, coin: str) -> None:
    """A grid over a year of minutes, by as many processes as there are cores here."""
    global _prices
    _prices = prices.rows(0, YEAR)
    leverages = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
    grid = [
        setup_for(coin, Decimal(unit), leverage, preset)
        for leverage, preset, unit in product(leverages, PRESETS, range(2, 102, 2))
    ][:CONFIGURATIONS]
    chunks = [grid[at : at + 20] for at in range(0, len(grid), 20)]
    with ProcessPoolExecutor(PROCESSES, mp_context=get_context("fork")) as pool:
        lived: list[int] = []
        seconds = timed(lambda: lived.extend(pool.map(_figures, chunks)), time.perf_counter)
    told("search", len(grid) * len(_prices.times_ms), "candles", seconds, f" on {PROCESSES} processes")
    print(f"{'':34} {len(grid):,} configurations, {len(grid) - sum(lived):,} of them liquidated on the way", flush=True)


def side_by_side(prices: Stretch, setup: Setup) -> None:
    """The same candles through others, each doing the nearest thing it can."""
    rates = np.zeros(0)
    rows = len(prices.times_ms)
    ours = {
        "compiled": min(timed(lambda: many.walked(setup, prices, rates)) for _ in range(3)),
        "fast path": timed(lambda: run_fast(setup, [prices], Journal())),
    }
    print(f"\nbeside others, on the first {rows:,} of these candles:")
    for name, seconds in ours.items():
        told(f"HyperTrader, {name}", rows, "candles", seconds)
    for other in backtest_others.ALL:
        try:
            seconds, orders = other.run(prices, float(setup.unit_size))
        except Exception as error:  # noqa: BLE001  # Whatever another's package does wrong is news, not our end.
            print(f"{other.name:34} did not run here: {type(error).__name__}: {str(error).splitlines()[0][:80]}")
            continue
        told(other.name, rows, "candles", seconds, f", {orders:,} orders")
        print(f"{'':34} {other.does}")
        ratios = ", ".join(f"{name} {seconds / mine:,.1f} times as fast" for name, mine in ours.items())
        print(f"{'':34} HyperTrader {ratios}")


if __name__ == "__main__":
    main()
