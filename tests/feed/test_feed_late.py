from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feed.late import REMEMBERED, Recent
from feed.tracker import UnitTracker
from feed.trades import LATE_MS_MAX, Tape, Trade
from strategy.units import UnitGrid

GRID = UnitGrid(anchor_price=Decimal(100), unit_size=Decimal(2))


def trade(time_ms: int, price: int) -> Trade:
    return Trade("ETH", Decimal(price), Decimal(1), time_ms, time_ms, 0)


def steps(lines: list[int]) -> list[int]:
    """Line by line."""
    found: list[int] = []
    for before, after in zip([0, *lines], lines, strict=False):
        found.extend(range(before + 1, after + 1) if after > before else range(before - 1, after - 1, -1))
    return found


def seen(prices: list[int], late: int) -> tuple[list[int], bool]:
    """The lines told when the price of that index arrives last, and whether it was counted."""
    tracker, recent = UnitTracker(GRID), Recent()
    lines: list[int] = []

    def see(trade: Trade) -> None:
        recent.add(trade, tracker.line)
        if (line := tracker.observe(trade.price)) is not None:
            lines.append(line)

    trades = [trade(time_ms, price) for time_ms, price in enumerate(prices, 1)]
    for each in trades[:late] + trades[late + 1 :]:
        see(each)
    mending = recent.mending(trades[late], GRID)
    if late == len(prices) - 1:
        mending = [trades[late]]  # It is not late at all.
    for each in mending or ():
        see(each)
    return lines, mending is not None


@pytest.mark.parametrize(
    ("prices", "late", "told"),
    [
        ([101, 104, 101], 1, [2, 1]),  # A turn nobody had seen: told now.
        ([104, 102], 0, [1, 2, 1]),  # A peak before the unit that was told.
        ([102, 104, 106], 1, [1, 3]),  # On the way: no unit depends on it.
        ([102, 102, 102], 1, [1]),
    ],
)
def test_a_late_trade_completes_the_units_it_would_have(prices: list[int], late: int, told: list[int]) -> None:
    lines, counted = seen(prices, late)
    assert counted and lines == told


def test_a_late_trade_that_contradicts_what_was_told_is_not_counted() -> None:
    assert seen([104, 97], 0) == ([-1], False)


def test_a_late_trade_whose_place_is_forgotten_is_not_counted() -> None:
    recent = Recent()
    assert recent.mending(trade(1, 104), GRID) is None
    for time_ms in range(2, 2 + REMEMBERED):
        recent.add(trade(time_ms, 100), 0)
    assert recent.mending(trade(1, 104), GRID) is None
    recent.clear()
    assert recent.mending(trade(1, 104), GRID) is None


@given(st.lists(st.integers(90, 110), min_size=2, max_size=12), st.data())
def test_whatever_is_counted_late_gives_the_units_of_the_true_order(prices: list[int], data: st.DataObject) -> None:
    late = data.draw(st.integers(0, len(prices) - 1))
    lines, counted = seen(prices, late)
    tracker = UnitTracker(GRID)
    true = [line for price in prices if (line := tracker.observe(Decimal(price))) is not None]
    if counted:
        assert steps(lines) == steps(true)


def test_a_tape_takes_a_late_trade_into_its_place_and_a_replay_not_at_all() -> None:
    tape = Tape("ETH")
    tape.news([trade(1_000, 100), trade(9_000, 101)])
    assert tape.news([trade(8_000, 102)]) == [trade(8_000, 102)]
    assert tape.news([trade(999, 103), trade(9_000 - LATE_MS_MAX - 1, 104)]) == []
    assert [each.time_ms for each in tape.recent] == [1_000, 8_000, 9_000]
