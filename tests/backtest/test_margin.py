"""When the exchange takes a position: against the simulator's own arithmetic, and in a run."""

import io
from decimal import ROUND_DOWN, Context, Decimal, localcontext

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backtest.columns import stretch_of
from backtest.funding import Funding
from backtest.journal import Journal
from backtest.margin import liquidation_prices, maintenance_usd
from backtest.markets import SIZE_DECIMALS, lot_of, tiers_of
from backtest.prices import PriceBatch
from backtest.run import run_fast, run_reference
from backtest.setup import MarginTier, Setup
from backtest.summary import Summary
from simulator import margin
from simulator.markets import BY_COIN, Market, Tier
from simulator.records import Account, Leverage, Position
from tests.strategy.trading import PATIENT

EXACT = Context(prec=40)
HOUR_MS = 3_600_000
FIRST_MS = 1_750_000_000_000 // HOUR_MS * HOUR_MS + 1

tables = st.sampled_from([tiers_of(coin, 1) for coin in SIZE_DECIMALS] + [tiers_of("NEW", 50), tiers_of("NEW", 1)])
cents = st.integers(1, 10**13).map(lambda whole: Decimal(whole) / 100)


def as_simulated(tiers: tuple[MarginTier, ...]) -> Market:
    table = tuple(Tier(tier.lower_bound_usd, tier.max_leverage) for tier in tiers)
    return Market("ETH", 1, 4, 0, table, Decimal(1))


@PATIENT
@given(tables, cents)
def test_the_maintenance_margin_is_the_simulators(tiers: tuple[MarginTier, ...], notional_usd: Decimal) -> None:
    with localcontext(EXACT):
        assert abs(maintenance_usd(tiers, notional_usd) - as_simulated(tiers).maintenance_usd(notional_usd)) < 1e-9


@PATIENT
@given(tables, st.integers(-(10**9), 10**12).map(Decimal), st.integers(-(10**9), 10**9).map(Decimal))
def test_equity_meets_maintenance_at_the_liquidation_price(
    tiers: tuple[MarginTier, ...], offset: Decimal, net_qty: Decimal
) -> None:
    assume(net_qty)
    with localcontext(EXACT):
        # A long is bought with money, a short is sold for some.
        offset = -abs(offset) if net_qty > 0 else abs(offset)
        below, above = liquidation_prices(tiers, offset, net_qty)
        price = below if net_qty > 0 else above
        assume(price > 0)
        for nearby in (price * Decimal("0.999"), price, price * Decimal("1.001")):
            short_of = offset + net_qty * nearby - maintenance_usd(tiers, abs(net_qty) * nearby)
            if nearby == price:
                assert abs(short_of) < Decimal("1e-20") * abs(offset)
            else:
                assert (short_of < 0) == (nearby < below or nearby > above)


@pytest.mark.parametrize("size", ["2.5", "-2.5"])
def test_the_liquidation_price_is_the_simulators(size: str) -> None:
    account = Account(address="0x0")
    account.leverages["ETH"] = Leverage(is_cross=True, value=10)
    position = Position(coin="ETH", size=Decimal(size))
    account.positions["ETH"] = position
    account.cross_usd = Decimal(900) - Decimal(size) * 3000
    with localcontext(EXACT):
        marks = {"ETH": Decimal(3000)}
        simulated = margin.liquidation_price(account, position, marks, margin.cross_spare(account, marks))
        market = BY_COIN["ETH"]
        tiers = tuple(
            MarginTier(lower_bound_usd=tier.lower_bound_usd, max_leverage=tier.max_leverage) for tier in market.tiers
        )
        below, above = liquidation_prices(tiers, account.cross_usd, Decimal(size))
    assert simulated is not None
    assert abs(simulated - (below if Decimal(size) > 0 else above)) < Decimal("1e-20")


@pytest.mark.parametrize("coin", SIZE_DECIMALS)
def test_the_markets_are_those_of_the_simulator(coin: str) -> None:
    """Lots and highest leverages; the simulator makes up where the tiers lie."""
    assert lot_of(coin) == BY_COIN[coin].lot
    assert [tier.max_leverage for tier in tiers_of(coin, 1)] == [tier.max_leverage for tier in BY_COIN[coin].tiers]


def traded(*prices: str, funding: Funding | None = None, **changes: object) -> tuple[list[str], Summary]:
    """100 USD at 10x from the first price, an hour between any two."""
    setup = Setup.model_validate(
        {"coin": "ETH", "margin_usd": 100, "leverage": 10, "unit_size": 50, "tiers": tiers_of("ETH", 10)} | changes
    )
    times_ms = [FIRST_MS + HOUR_MS * row for row in range(len(prices))]
    batch = PriceBatch(0, times_ms, [Decimal(price) for price in prices])
    slow, fast = io.StringIO(), io.StringIO()
    summary = run_reference(setup, [batch], Journal(slow), funding or Funding())
    assert run_fast(setup, [stretch_of(batch)], Journal(fast), funding or Funding()) == summary
    assert slow.getvalue() == fast.getvalue()
    return slow.getvalue().splitlines(), summary


def test_a_run_stops_where_it_is_liquidated() -> None:
    # 10 coins at 100 with 100 USD: worth 2% of their notional at 900 / 9.8 = 91.84.
    lines, summary = traded("100", "91.9", "91.8", "300")
    taken = summary.liquidated
    assert taken is not None
    assert (taken.price, taken.ts, taken.method) == (Decimal("91.8"), FIRST_MS + 2 * HOUR_MS, "market")
    assert (taken.equity_usd, taken.maintenance_usd, taken.left_usd) == (18, Decimal("18.36"), 18)
    assert (summary.equity_usd, summary.rows, summary.last_ts) == (18, 3, taken.ts)
    assert lines == []
    # Holding did the same, and is liquidated itself; at 1x there is nothing to take.
    assert summary.hold.liquidated == taken and summary.hold_1x.liquidated is None


def test_closing_a_liquidated_position_costs_fees_and_slippage() -> None:
    _, summary = traded("100", "91.8", fee_bps=10, slippage_bps=10, margin_usd=101)
    taken = summary.liquidated
    assert taken is not None and taken.left_usd < taken.equity_usd - Decimal("1.8")


def test_below_two_thirds_of_maintenance_nothing_is_left() -> None:
    _, summary = traded("100", "80")
    taken = summary.liquidated
    assert taken is not None and (taken.method, taken.equity_usd, taken.left_usd) == ("backstop", -100, 0)
    assert (summary.equity_usd, summary.return_on_margin, summary.max_drawdown) == (0, -1, 1)


def test_a_short_is_liquidated_above_its_price() -> None:
    # Down the ladder a short of 17.5 is left with 40 USD; at 95.4 it needs 33.4.
    prices = ("100", "99", "98", "97", "96", "95", "95.3", "95.5", "90")
    lines, summary = traded(*prices, unit_size=1, leverage=25, tiers=tiers_of("ETH", 25))
    taken = summary.liquidated
    assert '"phase":"DECLINE"' in lines[-1] and len(lines) == 5
    assert taken is not None and (taken.price, taken.method) == (Decimal("95.5"), "market")


def test_without_a_margin_table_nothing_is_liquidated() -> None:
    _, summary = traded("100", "80", "100", tiers=())
    assert summary.liquidated is None and summary.equity_usd == 100 and summary.lowest_equity_usd == -100


def test_funding_is_paid_each_full_hour_on_the_price_before_it() -> None:
    rate = Decimal("0.0001")
    _, summary = traded("100", "110", "120", funding=Funding(rate), money_step_usd="0.000001")
    expected = sum((10 * Decimal(price) * rate).quantize(Decimal("1e-6"), ROUND_DOWN) for price in (100, 110))
    assert summary.funding_usd == expected
    assert summary.equity_usd == 300 - expected
    assert summary.hold.equity_usd == summary.equity_usd


def test_a_short_earns_what_longs_pay_and_an_hour_without_a_rate_is_free() -> None:
    hours = {FIRST_MS // HOUR_MS * HOUR_MS + 2 * HOUR_MS: Decimal("0.001")}
    lines, summary = traded("100", "95", "95", "95", unit_size=1, tiers=(), funding=Funding(by_hour=hours))
    assert '"short":"7"' in lines[0]
    assert summary.funding_usd == -7 * 95 * Decimal("0.001")


def test_orders_that_need_other_money_are_counted() -> None:
    # Down a unit and back: what was sold is bought back with less equity than the leverage asks for.
    _, summary = traded("100", "99", "100", unit_size=1, tiers=())
    assert summary.orders == 3 and summary.orders_beyond_margin == 1
    assert traded("100", "99", unit_size=1, tiers=())[1].orders_beyond_margin == 0
