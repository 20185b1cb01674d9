"""Many setups over the same prices: only the figures a search ranks by, a thousand times faster.

    found = figures(setups, joined(read_columns(path)))

The ladder runs compiled (`backtest.compiled`), in floats. The first call in a process loads it, and the first one ever
compiles it, some seconds: call it before forking. The Fibonacci hedge, and a ladder with limits, take the fast path.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

import numpy as np

from backtest import compiled as c
from backtest.funding import HOUR_MS, NO_FUNDING, Funding
from backtest.journal import Journal
from backtest.margin import tier_bands
from backtest.prices import Stretch
from backtest.ratios import DAY_MS, calmar, sharpe, sortino
from backtest.result import Figures, Floats, Ints
from backtest.run import run_fast
from backtest.setup import Setup, TooFineError
from backtest.summary import Summary
from backtest.trading import Fills, opening
from strategy.ladder import V6, AtReset, Ladder
from strategy.risk import Limits
from strategy.state import TradeState
from strategy.units import UnitMode
from strategy.values import exact

_AT_RESET = {AtReset.KEEP: c.KEEP, AtReset.CAP: c.CAP, AtReset.RELEVER: c.RELEVER}
_LARGEST = 2**61


@dataclass(frozen=True, slots=True)
class Walked:
    """A run's raw outcome; `trace` and `figures` hold the decisions that there was room for."""

    equity_usd: float
    floats: Floats
    wholes: Ints
    days: Floats
    trace: Ints
    figures: Floats


def figures(
    setups: Sequence[Setup],
    prices: Stretch,
    funding: Funding = NO_FUNDING,
    *,
    done: Callable[[], object] = lambda: None,
) -> list[Figures]:
    """One for each setup, in order; `done` is called after each. Raises CannotOpenError, TooFineError."""
    rates = rates_of(prices, funding)
    holds: dict[Setup, float] = {}
    found: list[Figures] = []
    for setup in setups:
        # What holding makes of the money depends on neither the ladder nor its units.
        same = {
            "ladder": V6,
            "limits": Limits(),
            "unit_size": prices.price(0),
            "unit_mode": UnitMode.FULL,
            "at_reset": AtReset.KEEP,
        }
        alike = setup.model_copy(update=same)
        if alike not in holds:
            holds[alike] = walked(alike, prices, rates, holding=True).equity_usd / float(setup.margin_usd) - 1
        if isinstance(setup.ladder, Ladder) and setup.limits == Limits():
            found.append(_figures(setup, prices, walked(setup, prices, rates), holds[alike]))
        else:
            found.append(_figures_of(run_fast(setup, [prices], Journal(), funding), holds[alike]))
        done()
    return found


def _figures_of(summary: Summary, hold_return: float) -> Figures:
    taken = summary.liquidated
    return Figures(
        pnl_usd=float(summary.pnl_usd),
        return_on_margin=float(summary.return_on_margin),
        max_drawdown=float(summary.max_drawdown),
        max_drawdown_usd=float(summary.max_drawdown_usd),
        sharpe=summary.sharpe,
        sortino=summary.sortino,
        calmar=summary.calmar,
        decisions=summary.journal_lines,
        orders=summary.orders,
        resets=summary.resets,
        winning_cycles=round((summary.win_rate or 0) * summary.resets),
        fees_usd=float(summary.fees_usd),
        funding_usd=float(summary.funding_usd),
        slippage_usd=float(summary.slippage_usd),
        liquidated_ms=taken.ts if taken else None,
        liquidated_price=float(taken.price) if taken else None,
        hold_return=hold_return,
    )


def _figures(setup: Setup, prices: Stretch, run: Walked, hold_return: float) -> Figures:
    margin_usd = float(setup.margin_usd)
    gain = run.equity_usd / margin_usd - 1
    s, u = run.floats, run.wholes
    row = int(u[c.LIQUIDATED_ROW])
    end_ms = int(prices.times_ms[row])
    drawdown = float(s[c.DRAWDOWN])
    days = [float(usd) for usd in run.days]
    return Figures(
        pnl_usd=run.equity_usd - margin_usd,
        return_on_margin=gain,
        max_drawdown=drawdown,
        max_drawdown_usd=float(s[c.DRAWDOWN_USD]),
        sharpe=sharpe(margin_usd, days),
        sortino=sortino(margin_usd, days),
        calmar=calmar(gain, end_ms - int(prices.times_ms[0]), drawdown),
        decisions=int(u[c.DECISIONS]),
        orders=int(u[c.ORDERS]),
        resets=int(u[c.CYCLE]) - 1,
        winning_cycles=int(u[c.WINS]),
        fees_usd=float(s[c.FEES]),
        funding_usd=float(s[c.FUNDING]),
        slippage_usd=float(s[c.SLIPPAGE]),
        liquidated_ms=end_ms if row >= 0 else None,
        liquidated_price=float(s[c.PRICE_TAKEN]) if row >= 0 else None,
        hold_return=hold_return,
    )


def rates_of(prices: Stretch, funding: Funding) -> Floats:
    """Funding per full hour after the first time, up to the last; empty when there is none."""
    if not funding:
        return np.zeros(0)
    first, last = (int(time_ms) // HOUR_MS for time_ms in (prices.times_ms[0], prices.times_ms[-1]))
    return np.array([float(funding.rate(hour * HOUR_MS)) for hour in range(first + 1, last + 1)])


@exact
def walked(setup: Setup, prices: Stretch, rates: Floats, *, holding: bool = False, room: int = 0) -> Walked:
    """One setup, compiled. `holding`: only its opening order. `room`: for so many decisions in the trace."""
    fills = Fills(setup)
    state = opening(setup, fills, prices.price(0))
    s, u = np.zeros(c.FLOATS), np.zeros(c.INTS, dtype=np.int64)
    ledger, margin_usd = state.ledger, float(setup.margin_usd)
    s[c.LONG], s[c.CASH] = float(ledger.long_qty), float(ledger.cash)
    s[c.WANTED_LONG], s[c.ALLOCATION], s[c.START] = s[c.LONG], margin_usd, float(state.start_notional)
    s[c.FRAGMENT_QTY], s[c.FRAGMENT_USD], s[c.HEDGE] = float(state.fragment_qty), float(state.fragment_usd), -1
    s[c.PEAK_USD] = s[c.DEEPER] = margin_usd
    s[c.FEES], s[c.SLIPPAGE] = float(fills.fees_usd), float(fills.slippage_usd)
    u[c.ORDERS], u[c.CYCLE], u[c.PRICES], u[c.LIQUIDATED_ROW] = 1, 1, 1, -1
    t, w = _terms(setup, state, prices, holding)
    first, last = int(prices.times_ms[0]) // DAY_MS, int(prices.times_ms[-1]) // DAY_MS
    days = np.full(last - first + 1, np.nan)
    trace, kept = np.zeros((room, 8), dtype=np.int64), np.zeros((room, 6))
    equity_usd = c.walk(
        prices.points, prices.times_ms, rates, s, u, t, w, _rules(setup), _tiers(setup), days, trace, kept
    )
    lived = days[: int(np.count_nonzero(~np.isnan(days)))]
    count = min(room, int(u[c.DECISIONS]))
    return Walked(equity_usd, s, u, lived, trace[:count], kept[:count])


def _terms(setup: Setup, state: TradeState, prices: Stretch, holding: bool) -> tuple[Floats, Ints]:
    ladder, grid = _ladder_of(setup), state.grid
    decimals = max(prices.decimals, _decimals(grid.anchor_price), _decimals(grid.unit_size))
    finer = 10 ** (decimals - prices.decimals)
    anchor, unit = (int(number.scaleb(decimals)) for number in (grid.anchor_price, grid.unit_size))
    if holding:
        # Lines so far apart that none is ever reached.
        anchor, unit, finer = 0, _LARGEST, 1
    elif max(int(prices.points.max()) * finer, anchor, unit) >= _LARGEST // 4:
        raise TooFineError(f"the price and a unit of {setup.unit_size} have {decimals} decimals together; use fewer")
    t = np.zeros(13)
    t[c.T_SPREAD] = float(setup.half_spread_usd)
    t[c.T_FRAGMENT], t[c.T_HEDGE] = float(ladder.fragment), float(ladder.hedge_fragment)
    t[c.T_FEE], t[c.T_SLIPPAGE] = float(setup.fee_bps) / 10_000, float(setup.slippage_bps) / 10_000
    t[c.T_LOT], t[c.T_MINIMUM] = float(setup.lot), float(setup.min_notional_usd)
    t[c.T_MONEY_STEP], t[c.T_LEVERAGE] = float(setup.money_step_usd), setup.leverage
    t[c.T_ANCHOR], t[c.T_UNIT] = float(grid.anchor_price), float(grid.unit_size)
    t[c.T_SCALE], t[c.T_NOTHING] = 10.0**prices.decimals, float(state.ledger.long_qty) * 1e-12
    w = np.zeros(10, dtype=np.int64)
    w[c.T_DEPTH], w[c.T_COVER_FROM] = ladder.depth, ladder.cover_from
    w[c.T_COVER_REST], w[c.T_SWEEP] = ladder.cover_rest_at, ladder.sweep_at
    w[c.T_REVERSAL], w[c.T_AT_RESET] = ladder.reset_on_full_reversal, _AT_RESET[setup.at_reset]
    w[c.T_GRID] = setup.unit_mode is UnitMode.GRID and not holding
    w[c.T_ANCHOR_INT], w[c.T_UNIT_INT], w[c.T_FINER] = anchor, unit, finer
    return t, w


def _decimals(number: Decimal) -> int:
    return max(-int(number.normalize().as_tuple().exponent), 0)


def _rules(setup: Setup) -> Floats:
    return np.array(
        [
            (
                c.REST if rule.sell_long == "rest" else float(rule.sell_long),
                c.SAME if rule.open_short == "same" else float(rule.open_short),
            )
            for rule in _ladder_of(setup).retracement
        ]
    )


def _ladder_of(setup: Setup) -> Ladder:
    assert isinstance(setup.ladder, Ladder), "only ladders are compiled"
    return setup.ladder


def _tiers(setup: Setup) -> Floats:
    return np.array([[float(number) for number in band] for band in tier_bands(setup.tiers)]).reshape(-1, 4)
