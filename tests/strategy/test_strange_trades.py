"""Trades of others on the exchange, booked into the ledger; and a cycle that begins with what is there."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.fold import adopted, corrected, order_worth_sending
from strategy.state import TradeState
from strategy.values import Execution, Phase
from tests.strategy.trading import PATIENT, TOLERANCE_USD, Trader, open_trade

PRICE = Decimal(100)
SIZES = st.decimals("-30", "30", places=2).filter(bool)
DEPTHS = st.integers(min_value=0, max_value=7)
STRANGE_PRICES = st.decimals("80", "120", places=2)


def at_depth(depth: int) -> TradeState:
    """A trade of 10 ETH that many units below its peak, everything filled."""
    trader = Trader(open_trade(lot=Decimal("0.01"), minimum="10"))
    return trader.prices(*(PRICE - down for down in range(1, depth + 1)))


@PATIENT
@given(DEPTHS, SIZES, STRANGE_PRICES)
def test_the_ledger_follows_a_trade_of_others_and_what_is_wanted_stays(
    depth: int, size: Decimal, price: Decimal
) -> None:
    state = at_depth(depth)
    after = corrected(state, Execution(size=size, average_price=price, fee_usd=Decimal("0.5")))
    assert after.ledger.net_qty == state.ledger.net_qty + size
    assert abs(after.ledger.value(price) - state.ledger.value(price) + Decimal("0.5")) < TOLERANCE_USD
    assert (after.wanted_long, after.wanted_short) == (state.wanted_long, state.wanted_short)
    assert after.net_due == -size, "the way back is one order"


@PATIENT
@given(DEPTHS, SIZES, STRANGE_PRICES)
def test_an_adopted_position_is_the_100_percent_long_of_a_new_cycle(depth: int, size: Decimal, price: Decimal) -> None:
    state = corrected(at_depth(depth), Execution(size=size, average_price=price))
    if state.ledger.net_qty <= 0:
        with pytest.raises(ValueError, match="a cycle begins with a long"):
            adopted(state, price, 5)
        return
    fresh = adopted(state, price, 5)
    assert (fresh.phase, fresh.current_unit, fresh.steps, fresh.cycle) == (Phase.ADVANCE, 0, (), state.cycle + 1)
    assert fresh.ledger.net_qty == fresh.ledger.long_qty == fresh.wanted_long == state.ledger.net_qty
    assert order_worth_sending(fresh, price) == 0
    assert abs(fresh.equity(price) - state.equity(price)) < TOLERANCE_USD
    assert fresh.terms.leverage == 5
    assert fresh.line == fresh.grid.line_reached(state.line, price)


def test_a_trade_of_others_during_a_resize_ends_the_resize() -> None:
    state = at_depth(0).changed(wanted_long=Decimal(8), resizing=True)
    after = corrected(state, Execution(size=Decimal(-5), average_price=PRICE))
    assert not after.resizing
    assert (after.wanted_long, after.net_due) == (Decimal(10), Decimal(5))
