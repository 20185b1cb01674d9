# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

from decimal import Decimal

from strategy.values import Action, Phase
from tests.strategy.trading import Trader, open_trade

SELL, SHORT, COVER, BUY = Action.SELL_LONG, Action.OPEN_SHORT, Action.COVER_SHORT, Action.BUY_LONG

# price, unit, phase, legs, long, short, short_entry, cash, equity
ROWS = [
    ("103", 3, Phase.ADVANCE, [], "10", "0", "0", "0", "130"),
    ("102", 2, Phase.RETRACEMENT, [(SELL, 1), (SHORT, 1)], "9", "1", "102", "0", "120"),
    ("101", 1, Phase.RETRACEMENT, [(SELL, 2), (SHORT, 1)], "7", "2", "101.5", "101", "112"),
    ("102", 2, Phase.RETRACEMENT, [(BUY, 2), (COVER, 1)], "9", "1", "101.5", "-2", "117"),
]


def test_the_worked_example() -> None:
    trader = Trader(open_trade(price="100", unit="1", margin="100", leverage=10))
    assert (trader.state.ledger.long_qty, trader.state.fragment_qty) == (10, 1)
    for price, unit, phase, legs, *figures in ROWS:
        trader.legs.clear()
        state = trader.prices(price)
        assert (state.current_unit, state.phase) == (unit, phase)
        assert sorted((leg.action, leg.qty) for leg in trader.legs) == sorted(legs)
        ledger = state.ledger
        found = (ledger.long_qty, ledger.short_qty, ledger.short_entry, ledger.cash, state.equity(Decimal(price)))
        assert found == tuple(Decimal(figure) for figure in figures)
