"""Where the stop on the exchange has to lie: always at a price there is, and never nearer than the strategy acts."""

from decimal import Decimal

import pytest

from strategy.backstop import StopOrder, backstop_of, backstop_refusal, refusal_at_entry
from strategy.fibonacci import FIBONACCI
from strategy.ladder import V6
from strategy.risk import Limits
from tests.strategy.trading import Trader, open_trade

BEYOND = Decimal("0.01")
RATE = Decimal("0.02")
"""Maintenance margin, as a share of notional."""


def test_a_long_so_small_that_no_price_breaks_its_drawdown_needs_no_stop() -> None:
    """As after the first part of a re-entry's buy: half of it at 0 would not lose 23% of the equity."""
    limits = Limits(max_drawdown=Decimal("0.23"))
    state = open_trade(FIBONACCI, price="100", unit="0.5", margin="10000", leverage=1, limits=limits)
    tenth = state.changed(
        ledger=state.ledger.model_copy(update={"long_qty": Decimal(10)}), start_notional=Decimal(1000)
    )
    assert backstop_of(tenth, BEYOND) is None


@pytest.mark.parametrize(("at", "serves"), [("95.5", False), ("95", True), ("94.8", True), ("94.4", False)])
def test_a_stop_serves_while_it_is_not_nearer_and_little_further_than_wanted(at: str, serves: bool) -> None:
    wanted = StopOrder(size=Decimal(-10), trigger_price=Decimal(95))
    stop = StopOrder(size=Decimal(-10), trigger_price=Decimal(at))
    assert stop.still_serves(wanted, Decimal("0.005")) is serves


def test_a_nearer_stop_serves_where_it_may_not_be_moved_away() -> None:
    wanted = StopOrder(size=Decimal(-10), trigger_price=Decimal(95))
    nearer = StopOrder(size=Decimal(-10), trigger_price=Decimal(97))
    assert nearer.still_serves(wanted, Decimal("0.005"), may_be_nearer=True)
    assert not nearer.still_serves(
        wanted.model_copy(update={"size": Decimal(-9)}), Decimal("0.005"), may_be_nearer=True
    )


def test_a_stop_that_liquidation_comes_before_is_refused_of_a_long_and_of_a_short() -> None:
    """10x at 100 with 2% of maintenance: liquidated at 90 / 0.98 = 91.84; the last level is 95."""
    long = open_trade(V6, price="100", unit="1", margin="100", leverage=10)
    assert backstop_refusal(long, Decimal("0.033"), Decimal(100), RATE) is None
    assert refusal_at_entry(long.terms, Decimal(1), Decimal(100), Decimal(100), Decimal("0.033"), RATE) is None
    for refusal in (
        backstop_refusal(long, Decimal("0.034"), Decimal(100), RATE),
        refusal_at_entry(long.terms, Decimal(1), Decimal(100), Decimal(100), Decimal("0.034"), RATE),
    ):
        assert refusal is not None and "a stop at 91.77, and liquidation lies before it at 91.836735" in refusal
    # 7 short at 95 with 76 of equity: (76 + 7 x 95) / (7 x 1.02) = 103.78; the last level is 100.
    short = Trader(long).prices(99, 98, 97, 96, 95)
    assert short.ledger.net_qty == -7 and short.equity(Decimal(95)) == 76
    assert backstop_refusal(short, Decimal("0.037"), Decimal(95), RATE) is None
    refusal = backstop_refusal(short, Decimal("0.038"), Decimal(95), RATE)
    assert refusal is not None and "a stop at 103.8, and liquidation lies before it at 103.78151" in refusal


def test_nothing_held_is_guarded_by_no_stop_and_none_is_refused() -> None:
    state = open_trade(V6, price="100", unit="1", margin="100", leverage=10)
    flat = state.changed(ledger=state.ledger.model_copy(update={"long_qty": Decimal(0)}))
    assert backstop_refusal(flat, BEYOND, Decimal(100), RATE) is None
