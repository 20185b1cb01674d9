from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategy.fold import decide
from strategy.units import UnitGrid, UnitMode
from tests.strategy.trading import EXACT, PATIENT, Trader, open_trade, tick

GRID = UnitGrid(anchor_price=Decimal(3450), unit_size=Decimal(2))
MEMORYLESS = GRID.model_copy(update={"unit_mode": UnitMode.GRID})


def counted(grid: UnitGrid, line: int, price: Decimal) -> int:
    """The rule as it is written: a unit at a time."""
    while price >= grid.anchor_price + (line + 1) * grid.unit_size:
        line += 1
    while price <= grid.anchor_price + (line - 1) * grid.unit_size:
        line -= 1
    return line


@pytest.mark.parametrize(
    ("line", "price", "reached"),
    [
        (0, "3452.50", 1),
        (0, "3447.50", -1),
        (0, "3451.50", 0),
        (0, "3452", 1),
        (0, "3448", -1),
        (0, "3448.01", 0),
        (1, "3450.01", 1),
        (1, "3451.99", 1),
        (1, "3450", 0),
        (-1, "3449.99", -1),
        (-1, "3450", 0),
        (5, "3449", 0),
        (-5, "3451", 0),
        (0, "3460.10", 5),
        (3, "3440", -5),
    ],
)
def test_a_unit_takes_a_full_unit_of_movement_from_the_line_last_completed(line: int, price: str, reached: int) -> None:
    assert GRID.line_reached(line, Decimal(price)) == reached


@PATIENT
@given(
    line=st.integers(-50, 50),
    cents=st.integers(330_000, 360_000),
    unit_size=st.decimals("0.01", 40, places=2).filter(lambda size: size > 0),
)
def test_lines_reached_are_those_counted_unit_by_unit(line: int, cents: int, unit_size: Decimal) -> None:
    grid = GRID.model_copy(update={"unit_size": unit_size})
    price = Decimal(cents) / 100
    assert grid.line_reached(line, price) == counted(grid, line, price)


@PATIENT
@given(line=st.integers(-50, 50), cents=st.integers(330_000, 360_000))
def test_the_next_lines_are_exactly_where_the_unit_changes(line: int, cents: int) -> None:
    down, up = GRID.next_lines(line)
    price = Decimal(cents) / 100
    assert (GRID.line_reached(line, price) == line) == (down < price < up)


@pytest.mark.parametrize("unit_size", ["3", "7", "0.7", "1.1"])
def test_a_price_a_hair_short_of_a_line_does_not_complete_it(unit_size: str) -> None:
    grid = UnitGrid(anchor_price=Decimal(100), unit_size=Decimal(unit_size))
    with localcontext(EXACT):
        # So close that the quotient of distance and unit rounds to the whole number.
        below, above = grid.line_price(7) - Decimal("1e-37"), grid.line_price(-7) + Decimal("1e-37")
    assert (grid.line_reached(0, below), grid.line_reached(0, grid.line_price(7))) == (6, 7)
    assert (grid.line_reached(0, above), grid.line_reached(0, grid.line_price(-7))) == (-6, -7)


@PATIENT
@given(line=st.integers(-50, 50), cents=st.integers(330_000, 360_000))
def test_the_memoryless_grid_is_the_distance_truncated(line: int, cents: int) -> None:
    price = Decimal(cents) / 100
    assert MEMORYLESS.line_reached(line, price) == int((price - 3450) / 2)


@PATIENT
@given(line=st.integers(-50, 50), cents=st.integers(330_000, 360_000))
def test_between_its_next_lines_the_memoryless_grid_stands_still(line: int, cents: int) -> None:
    price = Decimal(cents) / 100
    down, up = MEMORYLESS.next_lines(line)
    if down < price < up:
        assert MEMORYLESS.line_reached(line, price) == line
    elif not down <= price <= up:
        assert MEMORYLESS.line_reached(line, price) != line


def test_a_price_that_trembles_on_a_line_trades_once() -> None:
    trader = Trader(open_trade())
    trader.prices("101", "100.99", "101.01", "100.99", "101", "100.01")
    assert (trader.state.current_unit, trader.orders) == (1, [])
    trader.prices("100", "100.4", "99.9", "100.4", "99.9")
    assert (trader.state.current_unit, len(trader.orders)) == (0, 1)


def test_the_memoryless_grid_keeps_its_wide_zero_at_the_anchor_after_a_reset() -> None:
    state = open_trade(unit_mode=UnitMode.GRID).changed(base_unit=-2, current_unit=0)
    assert decide(state, [tick("98.5")]).state.line == -1
    assert decide(state, [tick("100.5")]).state.line == 0
    assert decide(state, [tick("100.5")]).state.current_unit == 2


def test_unit_changes_carry_the_price_and_time_that_completed_them() -> None:
    state = open_trade(price="3450", unit="2")
    changes = decide(state, [tick("3451", 1), tick("3454", 2), tick("3453", 3), tick("3452", 4)]).unit_changes
    assert [(c.from_unit, c.to_unit, c.price, c.time_ms) for c in changes] == [
        (0, 2, Decimal(3454), 2),
        (2, 1, Decimal(3452), 4),
    ]
