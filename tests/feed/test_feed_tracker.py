import logging
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.tracker import UnitTracker
from strategy.units import UnitGrid

GRID = UnitGrid(anchor_price=Decimal(3450), unit_size=Decimal(2))


@pytest.mark.parametrize(
    ("price", "line", "logged"),
    [
        ("3452.50", 1, ["Unit change: 0 -> 1"]),
        ("3447.50", -1, ["Unit change: 0 -> -1"]),
        ("3451.50", None, []),
        ("3452", 1, ["Unit change: 0 -> 1"]),
        ("3448.01", None, []),
        ("3460.1", 5, ["Unit change: 0 -> 5"]),
    ],
)
def test_case_2_units_from_the_entry(
    price: str, line: int | None, logged: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="feed.tracker"):
        assert UnitTracker(GRID).observe(Decimal(price)) == line
    assert caplog.messages == logged


def test_a_price_that_trembles_on_a_line_counts_once(caplog: pytest.LogCaptureFixture) -> None:
    tracker = UnitTracker(GRID)
    with caplog.at_level(logging.INFO, logger="feed.tracker"):
        for price in ("3452.01", "3451.99", "3452.00", "3450.01", "3452.5", "3450"):
            tracker.observe(Decimal(price))
    assert caplog.messages == ["Unit change: 0 -> 1", "Unit change: 1 -> 0"]


@given(st.lists(st.integers(min_value=3000, max_value=3900), max_size=50), st.integers(-20, 20))
def test_a_change_is_told_exactly_when_the_line_changes(prices: list[int], line: int) -> None:
    tracker = UnitTracker(GRID, line)
    for price in prices:
        before = tracker.line
        told = tracker.observe(Decimal(price))
        assert (told is None) == (tracker.line == before)
        assert told in (None, tracker.line)
        assert abs(Decimal(price) - GRID.line_price(tracker.line)) < GRID.unit_size
