from decimal import Decimal
from typing import Any

import pytest

from strategy.checks import (
    Proposal,
    grid_refusal,
    liquidation_price,
    refusals,
    round_trip_cost,
    smallest_step_share,
)
from strategy.fibonacci import FIBONACCI
from strategy.ladder import V6, V7, Ladder

M = Decimal("0.02")


def plan(**changes: Any) -> Proposal:
    asked = {
        "coin": "ETH",
        "margin_usd": 100,
        "leverage": 10,
        "unit_size": 50,
        "ladder": V6,
        "price": 4000,
        "max_leverage": 25,
        "maintenance_rate": "0.02",
        "min_notional_usd": 10,
        "lot": "0.0001",
        "fee_rate": "0.00045",
        "slippage_bps": 1,
    }
    return Proposal.model_validate(asked | changes)


def test_a_sound_plan_is_not_refused() -> None:
    assert refusals(plan()) == ()


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({"margin_usd": 0}, ["margin is 0", "more than 0 USD"]),
        ({"margin_usd": -5}, ["margin is -5", "more than 0 USD"]),
        ({"unit_size": 0}, ["unit size is 0", "more than 0 USD"]),
        ({"unit_size": -2}, ["unit size is -2", "more than 0 USD"]),
        ({"leverage": 0}, ["leverage is 0", "ETH allows 1 to 25"]),
        ({"leverage": 26}, ["leverage is 26", "ETH allows 1 to 25"]),
        ({"unit_size": 700}, ["6 units below 4000", "-200", "less than 666.66"]),
        ({"leverage": 25}, ["leverage is 25", "liquidation at 3918.36", "ends at 3700", "lower leverage"]),
        ({"margin_usd": "4.9"}, ["margin is 4.9", "9.8 USD", "10 or more", "at least 5 USD"]),
        ({"unit_size": 10}, ["unit size is 10", "4.4 USD per coin", "13.2", "--yes"]),
    ],
)
def test_a_refusal_says_what_was_asked_and_what_is_allowed(changes: dict[str, Any], figures: list[str]) -> None:
    (refusal,) = refusals(plan(**changes))
    assert [figure for figure in figures if figure not in refusal] == []
    assert "\n" not in refusal


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(refusals(plan(margin_usd=0, unit_size=0, leverage=99))) == 3
    assert len(refusals(plan(margin_usd=1, unit_size=1, accepts_costs=False))) == 2


def test_a_trader_may_accept_that_a_small_unit_bleeds() -> None:
    assert refusals(plan(unit_size=10, accepts_costs=True)) == ()


def test_three_round_trips_of_costs_are_just_enough() -> None:
    cost = round_trip_cost(plan())
    assert cost == Decimal("4.4")
    assert refusals(plan(unit_size=3 * cost)) == ()


def test_fifty_dollars_of_notional_are_the_least_for_v6() -> None:
    assert smallest_step_share(V6) == Decimal("0.2")
    assert refusals(plan(margin_usd=5)) == ()
    assert len(refusals(plan(margin_usd="4.99"))) == 1


def test_the_smallest_step_may_be_the_first_cover_of_the_recovery() -> None:
    assert smallest_step_share(V7) == Decimal("0.16")
    gentle = V6.model_copy(update={"hedge_fragment": Decimal("0.05")})
    assert smallest_step_share(gentle) == Decimal("0.07")
    at_once = V6.model_copy(update={"hedge_fragment": Decimal("0.05"), "cover_from": 5})
    assert smallest_step_share(at_once) == Decimal("0.2")


def test_a_ladder_without_a_short_has_no_cover_to_be_too_small() -> None:
    steps = [{"sell_long": 4, "open_short": 0}, {"sell_long": "rest", "open_short": 0}]
    flat = Ladder.model_validate(V6.model_dump() | {"name": "flat", "retracement": steps})
    assert smallest_step_share(flat) == Decimal("0.4")


def test_the_liquidation_price_is_where_the_margin_is_down_to_the_maintenance() -> None:
    asked = plan(leverage=20)
    price, entry = liquidation_price(asked.price, asked.leverage, asked.maintenance_rate), asked.price
    margin_left_per_coin = entry / 20 + price - entry
    assert abs(margin_left_per_coin - price * asked.maintenance_rate) < Decimal("1e-9")
    assert liquidation_price(Decimal(4000), 1, M) == 0


def test_a_new_grid_has_to_fit_below_the_price() -> None:
    assert grid_refusal(Decimal(100), Decimal("16.6"), V6, 1, M) is None
    refusal = grid_refusal(Decimal(100), Decimal(20), V6, 1, M)
    assert refusal is not None and "unit size is 20" in refusal and "less than 16.666" in refusal
    assert grid_refusal(Decimal(120), Decimal(20), V6, 1, M) is not None


def test_a_new_grid_ends_above_the_liquidation_price() -> None:
    # 10x: liquidated 8.16% below; the ladder of v6 ends six units below.
    assert grid_refusal(Decimal(100), Decimal("1.36"), V6, 10, M) is None
    refusal = grid_refusal(Decimal(100), Decimal("1.37"), V6, 10, M)
    assert refusal is not None and "liquidation at 91.836735 lies inside the ladder, which ends at 91.78" in refusal


def test_a_grid_too_fine_to_walk_is_refused() -> None:
    assert grid_refusal(Decimal(3450), Decimal("0.345"), V6, 1, M) is None
    refusal = grid_refusal(Decimal(3450), Decimal("0.3449"), V6, 1, M)
    assert refusal is not None and "use at least 0.345 USD" in refusal


@pytest.mark.parametrize(
    ("changes", "figures"),
    [
        ({"leverage": 3}, ["leverage is 3", "liquidation lies at 27", "max_drawdown or stop_price"]),
        (
            {"leverage": 3, "limits": {"max_drawdown": "0.99"}},
            ["leverage is 3", "liquidation at 27", "lies above the exit at 2630"],
        ),
        ({"unit_size": 10}, ["armed after 20 units", "undone after 10 USD", "13.2", "--yes"]),
        ({"margin_usd": 39}, ["the smallest step of fibonacci is an order of 9.75 USD", "at least 40 USD"]),
        ({"leverage": 2, "limits": {"max_leverage": 1}}, ["leverage is 2", "max_leverage allows 1"]),
        ({"limits": {"max_position_usd": 99}}, ["that is 100 USD", "max_position_usd allows 99"]),
        ({"limits": {"stop_price": 4000}}, ["stop_price is 4000", "the price is 4000"]),
    ],
)
def test_a_hedge_is_refused_for_what_it_cannot_guard_pay_or_order(changes: dict[str, Any], figures: list[str]) -> None:
    (refusal,) = refusals(plan(**{"ladder": FIBONACCI, "leverage": 1} | changes))
    assert [figure for figure in figures if figure not in refusal] == []
    assert "\n" not in refusal


def test_a_hedge_whose_drawdown_closes_it_before_liquidation_is_not_refused() -> None:
    assert refusals(plan(ladder=FIBONACCI, leverage=1)) == ()
    assert refusals(plan(ladder=FIBONACCI, leverage=3, limits={"max_drawdown": "0.23"})) == ()
