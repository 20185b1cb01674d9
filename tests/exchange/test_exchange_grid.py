from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.grid import limit_price, price_tick, round_price, round_size_down, wire
from exchange.port import Side

prices = st.decimals(min_value="0.0001", max_value="10000000", places=9).filter(lambda price: price > 0)
sizes = st.decimals(min_value="-1000000000", max_value="1000000000", places=12)
size_decimals = st.integers(0, 5)
sides = st.sampled_from(Side)


@pytest.mark.parametrize(
    ("price", "decimals", "side", "expected"),
    [
        ("3871.2345", 4, Side.BUY, "3871.2"),
        ("3871.2345", 4, Side.SELL, "3871.3"),
        ("110427.49", 5, Side.BUY, "110427"),
        ("99999.95", 5, Side.BUY, "99999"),
        ("99999.95", 5, Side.SELL, "100000"),
        ("123456", 5, Side.BUY, "123456"),
        ("0.186523456", 0, Side.BUY, "0.18652"),
        ("0.00012345678", 0, Side.BUY, "0.000123"),
        ("0.00012345678", 0, Side.SELL, "0.000124"),
        ("12.34567", 4, Side.BUY, "12.34"),
    ],
)
def test_price_is_rounded_to_five_figures_and_six_less_size_decimals(
    price: str, decimals: int, side: Side, expected: str
) -> None:
    assert wire(round_price(Decimal(price), decimals, side)) == expected


@given(prices, size_decimals, sides)
def test_rounded_price_is_on_the_grid_less_than_a_tick_away_and_no_worse_for_its_side(
    price: Decimal, decimals: int, side: Side
) -> None:
    tick = price_tick(price, decimals)
    if side is Side.BUY and price < tick:
        with pytest.raises(ValueError, match="price is"):
            round_price(price, decimals, side)
        return
    rounded = round_price(price, decimals, side)
    digits = rounded.normalize()
    exponent = digits.as_tuple().exponent
    assert isinstance(exponent, int)
    assert rounded == rounded.to_integral_value() or (len(digits.as_tuple().digits) <= 5 and -exponent <= 6 - decimals)
    assert rounded <= price if side is Side.BUY else rounded >= price
    assert abs(rounded - price) < tick
    assert round_price(rounded, decimals, side) == rounded


@given(sizes, size_decimals)
def test_rounded_size_never_exceeds_the_size_asked_for(size: Decimal, decimals: int) -> None:
    rounded = round_size_down(size, decimals)
    lot = Decimal(1).scaleb(-decimals)
    assert abs(rounded) <= abs(size)
    assert abs(size) - abs(rounded) < lot
    assert rounded % lot == 0
    assert rounded * size >= 0


@given(prices, size_decimals, sides, st.integers(0, 1000))
def test_limit_price_stays_within_the_slippage(price: Decimal, decimals: int, side: Side, slippage_bps: int) -> None:
    away = price * slippage_bps / 10_000
    if side is Side.BUY and price + away < price_tick(price + away, decimals):
        return
    limit = limit_price(price, side, Decimal(slippage_bps), decimals)
    assert limit <= price + away if side is Side.BUY else limit >= price - away


@pytest.mark.parametrize("slippage_bps", ["-1", "10000"])
def test_limit_price_refuses_a_slippage_that_is_none(slippage_bps: str) -> None:
    with pytest.raises(ValueError, match=f"slippage_bps is {slippage_bps}"):
        limit_price(Decimal(3450), Side.SELL, Decimal(slippage_bps), 4)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=8, min_value=-(10**9), max_value=10**9))
def test_wire_form_is_the_same_number_without_trailing_zeros(number: Decimal) -> None:
    text = wire(number)
    assert Decimal(text) == number
    assert "E" not in text
    assert not ("." in text and text.endswith(("0", ".")))


@pytest.mark.parametrize(
    ("number", "text"), [("3460.0", "3460"), ("1E+3", "1000"), ("0.0100", "0.01"), ("1E-5", "0.00001")]
)
def test_wire_form_of_known_numbers(number: str, text: str) -> None:
    assert wire(Decimal(number)) == text
