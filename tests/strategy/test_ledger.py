# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.ledger import Ledger, filled_legs, legs_between, settled
from strategy.values import Action, Execution, Leg, fit_to_lot, legs_of, net_qty
from tests.strategy.trading import EXACT, PATIENT, TOLERANCE_USD, of_two_places

quantities = of_two_places("0", "20")
prices = of_two_places("1", "500")


def leg(action: Action, qty: str | int) -> Leg:
    return Leg(action=action, qty=Decimal(qty))


def test_legs_move_long_short_and_cash() -> None:
    ledger = Ledger(long_qty=Decimal(10))
    ledger = ledger.moved(leg(Action.SELL_LONG, 3), Decimal(100))
    assert (ledger.long_qty, ledger.cash) == (7, 300)
    ledger = ledger.moved(leg(Action.OPEN_SHORT, 1), Decimal(100)).moved(leg(Action.OPEN_SHORT, 1), Decimal(90))
    assert (ledger.short_qty, ledger.short_entry, ledger.cash) == (2, 95, 110)
    ledger = ledger.moved(leg(Action.COVER_SHORT, 1), Decimal(80))
    # Its reserve of 95 and its profit of 15.
    assert (ledger.short_qty, ledger.short_entry, ledger.cash) == (1, 95, 220)
    ledger = ledger.moved(leg(Action.COVER_SHORT, 1), Decimal(110))
    assert (ledger.short_qty, ledger.short_entry, ledger.cash) == (0, 0, 300)
    ledger = ledger.moved(leg(Action.BUY_LONG, 2), Decimal(150))
    assert (ledger.long_qty, ledger.cash, ledger.net_qty) == (9, 0, 9)


@PATIENT
@given(st.lists(st.tuples(st.sampled_from(Action), quantities, prices), max_size=30), prices)
def test_no_leg_changes_what_the_book_is_worth_at_its_price(
    moves: list[tuple[Action, Decimal, Decimal]], last: Decimal
) -> None:
    ledger, paid = Ledger(long_qty=Decimal(10)), Decimal(0)
    with localcontext(EXACT):
        for action, qty, price in moves:
            held = {Action.SELL_LONG: ledger.long_qty, Action.COVER_SHORT: ledger.short_qty}
            leg = Leg(action=action, qty=min(qty, held.get(action, qty)))
            worth = ledger.value(price)
            ledger = ledger.moved(leg, price)
            paid += leg.signed_qty * price
            assert abs(ledger.value(price) - worth) < TOLERANCE_USD
            assert ledger.long_qty >= 0 and ledger.short_qty >= 0
        # The book against one account that only knows net purchases: the same worth at any price.
        assert abs(ledger.value(last) - (ledger.net_qty * last - paid)) < TOLERANCE_USD


@pytest.mark.parametrize("action", [Action.SELL_LONG, Action.COVER_SHORT])
def test_more_than_is_held_cannot_be_closed(action: Action) -> None:
    with pytest.raises(AssertionError, match="takes more than"):
        Ledger().moved(leg(action, 1), Decimal(100))


def test_fees_and_funding_are_paid_from_cash() -> None:
    ledger = Ledger(long_qty=Decimal(1)).charged(Decimal("0.5")).charged(Decimal("-0.2"))
    assert ledger.cash == Decimal("-0.3")


SELL_AND_SHORT = (leg(Action.SELL_LONG, 2), leg(Action.OPEN_SHORT, 1))
COVER_AND_BUY = (leg(Action.COVER_SHORT, 2), leg(Action.BUY_LONG, 3))
SELL_AND_COVER = (leg(Action.SELL_LONG, 5), leg(Action.COVER_SHORT, 2))


@pytest.mark.parametrize(
    ("legs", "size", "filled"),
    [
        (SELL_AND_SHORT, "-3", SELL_AND_SHORT),
        (SELL_AND_SHORT, "-2.5", (leg(Action.SELL_LONG, 2), leg(Action.OPEN_SHORT, "0.5"))),
        (SELL_AND_SHORT, "-2", (leg(Action.SELL_LONG, 2),)),
        (SELL_AND_SHORT, "-1.5", (leg(Action.SELL_LONG, "1.5"),)),
        (SELL_AND_SHORT, "0", ()),
        (COVER_AND_BUY, "5", COVER_AND_BUY),
        (COVER_AND_BUY, "2.5", (leg(Action.COVER_SHORT, 2), leg(Action.BUY_LONG, "0.5"))),
        (COVER_AND_BUY, "1", (leg(Action.COVER_SHORT, 1),)),
        # The cover is paid inside the order by part of the sale: what is missing is missing from the sale.
        (SELL_AND_COVER, "-3", SELL_AND_COVER),
        (SELL_AND_COVER, "-1", (leg(Action.SELL_LONG, 3), leg(Action.COVER_SHORT, 2))),
        (SELL_AND_COVER, "0", (leg(Action.SELL_LONG, 2), leg(Action.COVER_SHORT, 2))),
    ],
)
def test_a_fill_goes_to_the_closing_legs_first(legs: tuple[Leg, ...], size: str, filled: tuple[Leg, ...]) -> None:
    assert filled_legs(legs, Decimal(size)) == filled


@pytest.mark.parametrize("size", ["-3.1", "1"])
def test_a_fill_beyond_or_against_its_order_is_refused(size: str) -> None:
    with pytest.raises(ValueError, match=r"a fill of .* does not belong to an order of -3"):
        filled_legs(SELL_AND_SHORT, Decimal(size))


@PATIENT
@given(quantities, quantities, quantities, quantities, prices, st.integers(0, 100))
def test_whatever_part_fills_net_and_worth_are_what_the_exchange_says(
    long: Decimal, short: Decimal, long_wanted: Decimal, short_wanted: Decimal, price: Decimal, percent: int
) -> None:
    ledger = Ledger(long_qty=long, short_qty=short, short_entry=price)
    legs = legs_between(ledger, long_wanted, short_wanted)
    size = net_qty(legs) * percent / 100
    fee = Decimal("0.25")
    after = settled(ledger, legs, Execution(size=size, average_price=price, fee_usd=fee))
    assert after.net_qty == ledger.net_qty + size
    assert abs(after.value(price) - ledger.value(price) + fee) < TOLERANCE_USD
    if percent == 100:
        assert (after.long_qty, after.short_qty) == (long_wanted, short_wanted)


def test_the_last_leg_takes_the_rounding_to_the_lot() -> None:
    legs = legs_of((Action.SELL_LONG, Decimal("1.27")), (Action.OPEN_SHORT, Decimal("0.58")))
    assert fit_to_lot(legs, Decimal("0.1")) == (leg(Action.SELL_LONG, "1.27"), leg(Action.OPEN_SHORT, "0.53"))
    tiny_last = legs_of((Action.COVER_SHORT, Decimal("1.27")), (Action.BUY_LONG, Decimal("0.02")))
    assert fit_to_lot(tiny_last, Decimal("0.1")) == (leg(Action.COVER_SHORT, "1.2"),)
    assert fit_to_lot(legs_of((Action.SELL_LONG, Decimal("0.07"))), Decimal("0.1")) == ()


def test_quantities_below_the_quantum_are_no_legs() -> None:
    assert legs_of((Action.BUY_LONG, Decimal("9e-19")), (Action.SELL_LONG, Decimal("1e-18"))) == (
        leg(Action.SELL_LONG, "1e-18"),
    )
