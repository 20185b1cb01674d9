"""Several trades over one net position: nothing is closed that is another's, and nothing is left of one's own."""

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from strategy.netting import order_to_close, part_of_funding, shrinks_only, taken_by_exchange

LOT = Decimal("0.001")
SIZES = st.integers(-5_000, 5_000).map(lambda lots: lots * LOT)


@given(own=SIZES, others=SIZES)
def test_where_the_ledgers_add_up_all_of_ones_own_is_closed(own: Decimal, others: Decimal) -> None:
    assert order_to_close(own + others, own, others) == -own


@given(held=SIZES, own=SIZES, others=SIZES)
def test_a_close_never_takes_more_than_its_own_nor_goes_past_what_the_others_have(
    held: Decimal, own: Decimal, others: Decimal
) -> None:
    order = order_to_close(held, own, others)
    assert order * own <= 0 and abs(order) <= abs(own)
    assert abs(held + order - others) <= abs(held - others)
    assert order in (-own, 0) or held + order == others


@given(sizes=st.lists(SIZES, min_size=1, max_size=4), strange=SIZES)
def test_closed_one_after_the_other_only_what_nobody_has_is_left(sizes: list[Decimal], strange: Decimal) -> None:
    held = sum(sizes, strange)
    for index, own in enumerate(sizes):
        others = sum(sizes[index + 1 :], Decimal(0))
        held += order_to_close(held, own, others)
    assert abs(held) <= abs(strange)


@given(held=SIZES, order=SIZES)
def test_reduce_only_protects_where_it_changes_nothing(held: Decimal, order: Decimal) -> None:
    executed = max(Decimal(0), min(abs(order), abs(held))) if held * order < 0 else Decimal(0)
    assert shrinks_only(held, order) == (executed == abs(order) != 0)


@given(
    order=st.integers(1, 5_000).map(lambda lots: lots * LOT),
    buys=st.booleans(),
    price=st.decimals("0.5", "90000", places=2),
)
def test_an_order_below_the_minimum_goes_beyond_and_the_one_back_is_taken(
    order: Decimal, buys: bool, price: Decimal
) -> None:
    asked, minimum = order if buys else -order, Decimal(10)
    sent = taken_by_exchange(asked, price, LOT, minimum)
    assert sent * asked > 0 and sent % LOT == 0 and abs(sent) * price >= minimum
    if sent != asked:
        back = asked - sent
        assert taken_by_exchange(back, price * Decimal("0.9"), LOT, minimum) == back


@given(sizes=st.lists(SIZES, min_size=1, max_size=4), rate=st.decimals("-5", "5", places=4))
def test_funding_is_shared_as_if_each_were_alone(sizes: list[Decimal], rate: Decimal) -> None:
    net = sum(sizes, Decimal(0))
    parts = [part_of_funding(net * rate, net, own) for own in sizes]
    if net:
        assert all(abs(part - own * rate) < Decimal("1e-9") for part, own in zip(parts, sizes, strict=True))
    else:
        assert not any(parts)
