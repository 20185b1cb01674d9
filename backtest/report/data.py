"""What the charts draw: samples, decisions and cycles, as columns for the page."""

from decimal import Decimal
from typing import Any

import numpy as np
from numpy.typing import NDArray

from backtest.report.packing import packed
from backtest.result import PHASES, Band, Cycle, Decisions, Result, Samples
from strategy.values import Action, Phase, round_down

DECISIONS_MAX = 120_000
"""More are thinned out: each takes some 30 bytes of the file, and no screen shows them apart."""

Columns = dict[str, list[str]]


def page_data(result: Result) -> dict[str, Any]:
    """Everything the page's script reads, ready for JSON."""
    summary, setup = result.summary, result.setup
    return {
        "meta": {
            "coin": setup.coin,
            "leverage": setup.leverage,
            "unit_size": float(setup.unit_size),
            "anchor_price": anchor_price(result),
            "liquidated_ms": summary.liquidated and summary.liquidated.ts,
            "liquidated_price": summary.liquidated and float(summary.liquidated.price),
        },
        "samples": _samples(result.samples),
        "decisions": _decisions(result),
        "cycles": _cycles(result.cycles),
    }


def anchor_price(result: Result) -> float:
    """Where the unit lines start: the opening fill, which is the first price, the slippage and half the spread."""
    setup, price = result.setup, result.cycles[0].start_price
    return price * (1 + float(setup.slippage_bps) / 10_000) + float(setup.half_spread_usd)


def _samples(samples: Samples) -> Columns:
    columns = {"time_ms": packed(samples.time_ms, "f8"), "drawdown": packed(-np.abs(samples.drawdown), "f4")}
    for name in ("price", "equity", "hold", "hold_1x"):
        band: Band = getattr(samples, name)
        columns[f"{name}_low"] = packed(band.low, "f4")
        columns[f"{name}_high"] = packed(band.high, "f4")
    return columns


def _cycles(cycles: tuple[Cycle, ...]) -> Columns:
    kinds = {
        "number": "i4", "start_ms": "f8", "end_ms": "f8", "start_price": "f8", "end_price": "f8", "orders": "i4",
        "pnl_usd": "f8", "fees_usd": "f8", "funding_usd": "f8", "finished": "u1",
    }  # fmt: skip
    return {name: packed(np.array([getattr(c, name) for c in cycles]), kind) for name, kind in kinds.items()}


def _decisions(result: Result) -> Columns:
    """All of them, between a first entry for the opening and a last one where the data ends."""
    kinds = {
        "time_ms": "f8", "price": "f8", "phase": "u1", "unit": "i4", "peak": "i4", "valley": "i4", "cycle": "i4",
        "order_qty": "f4", "long_qty": "f4", "short_qty": "f4", "short_entry": "f8", "cash_usd": "f4",
        "equity_usd": "f8",
    }  # fmt: skip
    decisions = result.decisions
    kept = thinned(decisions, DECISIONS_MAX)
    opened, ended = _opening(result), {"time_ms": result.summary.last_ts, "order_qty": 0}
    columns: Columns = {}
    for name, kind in kinds.items():
        values: NDArray[Any] = getattr(decisions, name)[kept]
        last = ended.get(name, values[-1] if len(values) else opened[name])
        columns[name] = packed(np.concatenate(([opened[name]], values, [last])), kind)
    return columns


def thinned(decisions: Decisions, most: int) -> NDArray[np.intp]:
    """Indexes of at most `most` decisions: all, or the last of each of `most` equal stretches of time."""
    times_ms = decisions.time_ms
    if len(times_ms) <= most:
        return np.arange(len(times_ms))
    edges = np.linspace(times_ms[0], times_ms[-1], most + 1)[1:]
    return np.unique(np.searchsorted(times_ms, edges, side="right") - 1)


def _opening(result: Result) -> dict[str, float]:
    """The trade before its first decision: 100% long."""
    decisions, summary, samples, setup = result.decisions, result.summary, result.samples, result.setup
    price = anchor_price(result)
    if len(decisions):
        # The first decision has moved the long by its legs; before them it was what the opening bought.
        moved = {Action.BUY_LONG: 1, Action.SELL_LONG: -1}
        long_qty = decisions.long_qty[0] - sum(moved.get(leg.action, 0) * float(leg.qty) for leg in decisions.legs[0])
    else:
        long_qty = float(round_down(setup.margin_usd * setup.leverage / Decimal(price), setup.lot))
    return {
        "time_ms": summary.first_ts,
        "price": price,
        "phase": PHASES.index(Phase.ADVANCE),
        "unit": 0,
        "peak": 0,
        "valley": 0,
        "cycle": 1,
        "order_qty": long_qty,
        "long_qty": long_qty,
        "short_qty": 0,
        "short_entry": 0,
        "cash_usd": -long_qty * price * float(setup.fee_bps) / 10_000,
        "equity_usd": samples.equity.low[0] if len(samples.equity.low) else float(summary.margin_usd),
    }
