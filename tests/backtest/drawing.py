"""Random setups and recordings for properties of the backtest."""

from collections.abc import Sequence
from decimal import Decimal

from hypothesis import strategies as st

from backtest.columns import stretch_of
from backtest.funding import Funding
from backtest.markets import tiers_of
from backtest.prices import PriceBatch, Stretch
from backtest.setup import Setup
from strategy.ladder import AtReset
from strategy.risk import Limits
from strategy.units import UnitMode
from tests.strategy.trading import ladders, paths, strategies

FIRST_MS = 1_750_000_000_000
MINUTE_MS = 60_000

fundings = st.sampled_from([Funding(), Funding(Decimal("0.0000125")), Funding(Decimal("-0.001"))])


def limits() -> st.SearchStrategy[Limits]:
    """None, or near enough to be broken."""
    return st.just(Limits()) | st.builds(
        Limits,
        max_drawdown=st.sampled_from([None, Decimal("0.02"), Decimal("0.3")]),
        stop_price=st.sampled_from([None, Decimal(996), Decimal("950.5")]),
        take_profit=st.sampled_from([None, Decimal("0.01")]),
    )


@st.composite
def setups(draw: st.DrawFn, *, compiled: bool = False) -> Setup:
    """2,000 USD from a price of 1000, in units around 1: presets and drawn strategies, limits, costs, lots, leverage up
    to 25. `compiled`: only what runs compiled."""
    leverage = draw(st.sampled_from([1, 5, 25]))
    as_the_exchange = draw(st.booleans())
    return Setup(
        coin="ETH",
        margin_usd=Decimal(2000),
        leverage=leverage,
        unit_size=Decimal(draw(st.sampled_from(["1", "0.7", "3"]))),
        unit_mode=draw(st.sampled_from(UnitMode)),
        ladder=draw(ladders() if compiled else strategies()),
        limits=Limits() if compiled else draw(limits()),
        at_reset=draw(st.sampled_from(AtReset)),
        fee_bps=Decimal(draw(st.sampled_from(["0", "4.5"]))),
        slippage_bps=Decimal(draw(st.sampled_from(["0", "1", "12.5"]))),
        half_spread_usd=Decimal(draw(st.sampled_from(["0", "0.05"]))),
        lot=Decimal("0.0001") if as_the_exchange else Decimal("1e-18"),
        min_notional_usd=Decimal(10 if as_the_exchange else 0),
        money_step_usd=Decimal("0.000001") if as_the_exchange else Decimal(0),
        tiers=tiers_of("ETH", leverage),
    )


@st.composite
def recordings(draw: st.DrawFn, longest: int = 120) -> list[PriceBatch]:
    """Ticks or candles from 1000 on, seconds to half a day apart, in one batch or several."""
    prices = [Decimal(1000), *draw(paths(longest=longest)), *[Decimal(1000)] * 3]
    per_row = draw(st.sampled_from([1, 4]))
    if per_row == 4:
        fours = [prices[at : at + 4] for at in range(0, len(prices) - 3, 4)]
        prices = [price for four in fours for price in _candle(four)]
    rows = len(prices) // per_row
    apart_ms = draw(st.sampled_from([1_000, MINUTE_MS, 45 * MINUTE_MS, 700 * MINUTE_MS]))
    size = draw(st.integers(1, rows))
    return [
        PriceBatch(
            row,
            [FIRST_MS + k * apart_ms for k in range(row, min(row + size, rows))],
            prices[row * per_row : min(row + size, rows) * per_row],
            per_row,
        )
        for row in range(0, rows, size)
    ]


def _candle(prices: Sequence[Decimal]) -> tuple[Decimal, ...]:
    first, last, low, high = prices[0], prices[-1], min(prices), max(prices)
    return (first, low, high, last) if last >= first else (first, high, low, last)


def stretches(batches: Sequence[PriceBatch]) -> list[Stretch]:
    return [stretch_of(batch) for batch in batches]
