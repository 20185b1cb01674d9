"""Where the stop on the exchange has to lie: always at a price there is, and never nearer than the strategy acts."""

from decimal import Decimal

import pytest

from strategy.backstop import StopOrder, backstop_of
from strategy.fibonacci import FIBONACCI
from strategy.risk import Limits
from tests.strategy.trading import open_trade

BEYOND = Decimal("0.01")


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
