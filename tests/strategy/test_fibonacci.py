# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

"""The Fibonacci hedge: the worked example of the rules, line by line, and what holds on every path."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from strategy.fibonacci import FIBONACCI, Fibonacci
from strategy.risk import Limits
from strategy.state import TradeState
from strategy.values import ZERO, Execution, Phase
from tests.strategy.trading import EXACT, PATIENT, TOLERANCE_USD, Trader, holdings, open_trade


def trader(
    ladder: Fibonacci = FIBONACCI, *, limits: Limits | None = None, lot: str = "0.01", minimum: str = "0"
) -> Trader:
    """100 coins at 100, unit 0.5."""
    opened = open_trade(
        ladder,
        price="100",
        unit="0.5",
        margin="10000",
        leverage=1,
        lot=Decimal(lot),
        minimum=minimum,
        limits=limits,
    )
    return Trader(opened)


def walked(trader: Trader, to: str) -> TradeState:
    """Line by line, each a decision of its own."""
    grid, target = trader.state.grid, Decimal(to)
    while (line := trader.state.grid.line_price(trader.state.line)) != target:
        trader.prices(line + grid.unit_size * (1 if target > line else -1))
    return trader.state


def test_the_levels_of_the_worked_example_act_at_the_first_line_at_or_beyond_them() -> None:
    example = trader()
    assert walked(example, "120").phase is Phase.ADVANCE
    assert holdings(walked(example, "115.5")) == (100, 0)
    assert holdings(walked(example, "115")) == (50, 50)
    assert holdings(walked(example, "112.5")) == (50, 50)
    assert holdings(walked(example, "112")) == (25, 50)
    assert holdings(walked(example, "110")) == (0, 50)
    assert [order.size for order in example.orders] == [-100, -25, -25]
    assert [order.average_price for order in example.orders] == [115, 112, 110]


def test_the_short_is_covered_2_percent_above_the_low_and_the_re_entry_is_two_units_above_the_next() -> None:
    example = trader()
    walked(example, "120")
    low = walked(example, "100")
    assert (low.phase, holdings(low)) == (Phase.RETRACEMENT, (0, 50))
    assert holdings(walked(example, "101.5")) == (0, 50)
    stopped = walked(example, "102")
    assert (stopped.phase, holdings(stopped), stopped.cycle) == (Phase.DECLINE, (0, 0), 1)
    assert walked(example, "102.5").cycle == 1
    again = walked(example, "103")
    assert (again.cycle, again.phase, again.current_unit) == (2, Phase.ADVANCE, 0)
    # 100 at 100; sold 50 at 115, 25 at 112, 25 at 110; shorted 50 at 115, covered at 102.
    assert again.allocation == 10000 + 50 * 15 + 25 * 12 + 25 * 10 + 50 * 13
    assert again.ledger.long_qty == Decimal("116.01")
    assert again.hedge is not None and again.hedge.entry_price == 103


def test_levels_are_undone_in_reverse_only_beyond_the_release() -> None:
    example = trader(FIBONACCI.model_copy(update={"short_trailing_stop": None}))
    walked(example, "120")
    walked(example, "110")
    assert holdings(walked(example, "110.5")) == (0, 50)
    assert holdings(walked(example, "111")) == (25, 50)
    assert holdings(walked(example, "113")) == (25, 50)
    assert holdings(walked(example, "113.5")) == (50, 50)
    assert holdings(walked(example, "116")) == (50, 50)
    assert holdings(walked(example, "116.5")) == (100, 0)
    assert example.state.losses.whipsaw_usd == 25 * 1 + 25 * Decimal("1.5") + 50 * Decimal("1.5") * 2


def test_after_its_stop_there_is_no_short_until_a_new_high() -> None:
    example = trader()
    walked(example, "120")
    walked(example, "110")
    stopped = walked(example, "112.5")
    assert (stopped.phase, holdings(stopped)) == (Phase.RECOVERY, (25, 0))
    assert holdings(walked(example, "113.5")) == (50, 0)
    assert holdings(walked(example, "116.5")) == (100, 0)
    assert holdings(walked(example, "115")) == (50, 0)
    assert holdings(walked(example, "120")) == (100, 0)
    assert holdings(walked(example, "115")) == (50, 50)


def test_a_gap_goes_straight_to_the_deepest_level_with_one_order_and_is_counted() -> None:
    example = trader()
    walked(example, "120")
    state = example.prices("110")
    assert (holdings(state), [order.size for order in example.orders]) == ((0, 50), [-150])
    # 100 should have gone at 115, 25 at 112; what acts at 110 lost nothing.
    assert state.losses.gap_usd == 100 * 5 + 25 * 2


def test_what_was_undone_and_done_again_before_any_order_is_still_sold_at_its_own_price() -> None:
    example = trader()
    walked(example, "120")
    before = walked(example, "115").hedge
    state = example.batch(["116.5", "113"])
    assert len(example.orders) == 1
    assert before is not None and state.hedge is not None
    assert state.hedge.sold == before.sold


def test_nothing_is_armed_before_the_gain_is_min_gain_units() -> None:
    example = trader()
    walked(example, "109.5")
    assert holdings(walked(example, "100")) == (100, 0)
    walked(example, "110")
    assert holdings(walked(example, "107.5")) == (50, 50)


def test_the_stop_of_the_long_follows_the_highest_line() -> None:
    example = trader(FIBONACCI.model_copy(update={"long_trailing_stop": Decimal("0.04")}))
    walked(example, "105")
    assert holdings(walked(example, "101")) == (100, 0)
    stopped = walked(example, "100.5")
    assert (stopped.phase, holdings(stopped), stopped.valley_unit) == (Phase.DECLINE, (0, 0), 1)
    walked(example, "99")
    assert walked(example, "100").cycle == 2


def test_a_drawdown_of_23_percent_of_equity_ends_the_trade_without_an_order_of_its_own() -> None:
    example = trader(limits=Limits(max_drawdown=Decimal("0.23")))
    walked(example, "108")
    assert walked(example, "83.5").breach is None
    state = walked(example, "83")
    assert state.breach == "max_drawdown is 23%; equity is 8300, 23.15% below its peak of 10800"
    assert (state.legs_due, holdings(state)) == ((), (100, 0))
    assert example.prices("120").breach == state.breach
    assert holdings(example.state) == (100, 0)


@pytest.mark.parametrize(
    ("limits", "price", "words"),
    [
        (Limits(max_loss_usd=Decimal(500)), "95", "max_loss_usd is 500; 500 of the margin is lost"),
        (Limits(stop_price=Decimal("96.2")), "96", "stop_price is 96.2; the price is 96"),
        (Limits(take_profit=Decimal("0.1")), "110", "take_profit is 10% of the margin; 1000 USD is earned"),
    ],
)
def test_each_limit_ends_the_trade_at_the_unit_that_breaks_it(limits: Limits, price: str, words: str) -> None:
    example = trader(limits=limits)
    assert walked(example, price).breach == words
    short_of_it = trader(limits=limits)
    before = Decimal(price) + (Decimal("0.5") if Decimal(price) < 100 else Decimal("-0.5"))
    assert walked(short_of_it, str(before)).breach is None


def test_a_new_fractal_is_no_larger_than_the_position_limit() -> None:
    example = trader(limits=Limits(max_position_usd=Decimal(10_300)))
    walked(example, "120")
    walked(example, "100")
    assert walked(example, "103").ledger.long_qty == 100


def test_a_resize_that_fills_in_parts_has_the_average_of_all_as_its_entry() -> None:
    example = trader()
    parts = iter([Decimal("0.5"), Decimal(1)])
    prices = iter([Decimal(103), Decimal(104)])

    def in_two(size: Decimal, price: Decimal) -> Execution:
        if example.state.cycle == 1:
            return Execution(size=size, average_price=price)
        return Execution(size=size * next(parts), average_price=next(prices))

    example.fill = in_two
    walked(example, "120")
    walked(example, "100")
    hedge = walked(example, "103").hedge
    assert hedge is not None
    assert abs(hedge.entry_price - Decimal("103.5")) < TOLERANCE_USD


def test_a_short_too_small_to_be_covered_alone_is_covered_with_the_re_entry() -> None:
    example = trader(minimum="10")

    def leaves_a_little(size: Decimal, price: Decimal) -> Execution:
        return Execution(size=size - Decimal("0.05") if price == 102 else size, average_price=price)

    example.fill = leaves_a_little
    walked(example, "120")
    walked(example, "100")
    assert holdings(walked(example, "102")) == (0, Decimal("0.05"))
    again = walked(example, "103")
    equity_usd = 10000 + 50 * 15 + 25 * 12 + 25 * 10 + Decimal("49.95") * 13 + Decimal("0.05") * 12
    assert (again.cycle, again.ledger.short_qty, again.ledger.cash) == (2, 0, 0)
    assert again.hedge is not None and again.hedge.full_qty == again.ledger.long_qty == Decimal("116.01")
    assert abs(again.equity(Decimal(103)) - equity_usd) < TOLERANCE_USD


@pytest.mark.parametrize("reentry_units", [1, 2])
def test_a_re_entry_that_can_buy_nothing_waits_for_the_next_one(reentry_units: int) -> None:
    hedge = FIBONACCI.model_copy(update={"reentry_units": reentry_units})
    example = trader(hedge, minimum="10")
    walked(example, "120")
    walked(example, "102")
    limits = Limits(max_position_usd=Decimal(5))
    example.state = example.state.changed(terms=example.state.terms.model_copy(update={"limits": limits}))
    walked(example, "100")
    for to in ("105", "101", "108"):
        state = walked(example, to)
        assert (state.phase, holdings(state), state.legs_due) == (Phase.DECLINE, (0, 0), ())
    example.state = example.state.changed(terms=example.state.terms.model_copy(update={"limits": Limits()}))
    assert walked(example, "110").ledger.long_qty > 100


armed_gains = st.integers(20, 400)


@PATIENT
@given(armed_gains, st.integers(1, 500), st.sampled_from(["0.01", "0.0001"]))
def test_a_fall_without_a_turn_gives_back_at_most_23_percent_of_the_gain_and_one_unit(
    gain_units: int, fall_units: int, lot: str
) -> None:
    example = trader(lot=lot)
    high = walked(example, str(100 + Decimal(gain_units) / 2))
    low_line = max(gain_units - fall_units, -190)
    with localcontext(EXACT):
        peak_usd = high.equity(100 + Decimal(gain_units) / 2)
        low = walked(example, str(100 + Decimal(low_line) / 2))
        given_back = peak_usd - low.equity(low.grid.line_price(low.line))
        gain_usd = peak_usd - 10_000
        assert given_back <= gain_usd * Decimal("0.23") + 100 * low.grid.unit_size


@PATIENT
@given(armed_gains, st.lists(st.sampled_from([-1, 1]), max_size=80))
def test_what_is_held_at_a_line_without_stops_depends_on_the_level_alone(gain_units: int, moves: list[int]) -> None:
    example = trader(FIBONACCI.model_copy(update={"short_trailing_stop": None}))
    walked(example, str(100 + Decimal(gain_units) / 2))
    at_level: dict[int, tuple[Decimal, Decimal]] = {}
    line = example.state.grid.line_price(example.state.line)
    for move in moves:
        line += move * example.state.grid.unit_size * 3
        if line <= 1 or example.state.cycle > 1:
            break
        state = walked(example, str(line))
        assert state.hedge is not None
        assert holdings(state) == at_level.setdefault(state.hedge.level, holdings(state))
        assert at_level.setdefault(0, (state.hedge.full_qty, ZERO)) == (state.hedge.full_qty, 0)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"levels": []}, "at least 1 item"),
        ({"levels": [{"at": "0.38", "long": 0.5, "short": 0.5}, {"at": "0.23", "long": 0, "short": 0.5}]}, "must rise"),
        ({"levels": [{"at": "0.2", "long": "0.1", "short": 0}, {"at": "0.3", "long": "0.2", "short": 0}]}, "at most"),
        ({"levels": [{"at": "0.2", "long": 0, "short": "0.5"}, {"at": "0.3", "long": 0, "short": 0}]}, "at least the"),
        ({"levels": [{"at": f"0.{n}", "long": 0, "short": 0} for n in range(11, 23)]}, "at most 10 items"),
        ({"release": "0.23"}, "less than the first level's 0.23"),
        ({"short_trailing_stop": "1"}, "less than 1"),
        ({"reentry_units": 0}, "greater than or equal to 1"),
    ],
)
def test_a_hedge_that_cannot_be_executed_is_refused_with_the_level_and_what_is_allowed(
    fields: dict[str, object], words: str
) -> None:
    with pytest.raises(ValidationError, match=words):
        Fibonacci.model_validate({**FIBONACCI.model_dump(), **fields})
