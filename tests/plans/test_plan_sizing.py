# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plans.plan import Size
from plans.rehearsal import moved, rehearsed
from plans.sizing import margin_for
from plans.worst import loss_per_usd, worst_case
from strategy.fibonacci import FIBONACCI
from strategy.ladder import V6, V7, AtReset, Ladder
from strategy.values import ZERO
from tests.plans.proposals import COSTS, asked, hedged
from tests.strategy.trading import PATIENT, Trader, ladders, open_trade

D = Decimal


def driven(ladder: Ladder) -> Decimal:
    """The largest loss over every fall that turns and comes back, by the driver of the strategy's own tests."""
    worst = ZERO
    for depth in range(1, ladder.depth + 1):
        trader = Trader(open_trade(ladder, price="100", unit="1", at_reset=AtReset.CAP))
        for price in [*range(99, 99 - depth, -1), *range(101 - depth, 101)]:
            state = trader.prices(price)
            if state.cycle > 1:
                break
            worst = max(worst, 100 - state.equity(D(price)))
    return worst


@PATIENT
@given(st.sampled_from([V6, V7]) | ladders())
def test_the_worst_case_of_a_ladder_is_the_worst_of_its_falls_and_turns(ladder: Ladder) -> None:
    free_of_lots = asked(ladder=ladder, min_notional_usd=0, lot="1e-18")
    assert abs(worst_case(free_of_lots).loss_usd - driven(ladder)) < D("1e-9")


def test_the_worst_case_says_which_fall_it_is() -> None:
    worst = worst_case(asked())
    assert (worst.loss_usd, worst.how) == (D("40.49"), "a fall to 95 that turns and comes back to 98")


def test_a_limit_that_ends_the_fall_bounds_the_loss() -> None:
    worst = worst_case(asked(limits={"stop_price": 98}))
    assert worst.loss_usd == 18
    assert worst.how.endswith("where stop_price is 98; the price is 98")


@pytest.mark.parametrize(
    ("limits", "loss_usd", "words"),
    [
        # 23% of 10,000 are lost at 77; a unit of 0.5 more on 100 coins is 50.
        ({"max_drawdown": "0.23"}, 2350, "max_drawdown at 77, closed at 76.5"),
        ({"stop_price": 90}, 1050, "stop_price at 90, closed at 89.5"),
        ({"stop_price": 90, "max_drawdown": "0.23"}, 1050, "stop_price at 90"),
        ({"max_loss_usd": 500}, 550, "max_loss_usd at 95"),
        ({}, 10_000, "no limit closes it"),
        ({"take_profit": 1}, 10_000, "no limit closes it"),
    ],
)
def test_the_worst_case_of_a_hedge_is_the_fall_before_it_is_armed(
    limits: dict[str, Any], loss_usd: int, words: str
) -> None:
    worst = worst_case(hedged(limits=limits))
    assert worst.loss_usd == loss_usd
    assert words in worst.how


def test_costs_come_on_top_of_the_drawdown_only_where_it_is_closed() -> None:
    # The drawdown counts what the entry cost: its line lies higher for it.
    worst = worst_case(hedged(**COSTS))
    closing = (D(77) + D("0.055") - D("0.5")) * 100 * D("0.00055")
    assert worst.loss_usd == 2350 + closing


def test_with_a_near_stop_a_whipsaw_from_where_it_is_armed_may_be_worse() -> None:
    level = {"at": 1, "long": 0, "short": 1}
    late = {"name": "late", "levels": [level], "release": "0.95", "short_trailing_stop": "0.12"}
    worst = worst_case(hedged(ladder=FIBONACCI.model_validate(late), limits={"stop_price": "99.5"}))
    # At 100 all of the gain is given back and 100 coins are short; they are covered at 109.5.
    assert worst.loss_usd == 950
    assert worst.how == "a rise to 110, where it is armed, a fall to 100 that turns and comes back to 109.5"


def test_a_hedge_armed_late_is_looked_at_with_coarser_lines() -> None:
    late = FIBONACCI.model_copy(update={"min_gain_units": 10_000})
    assert worst_case(hedged(ladder=late, unit_size="0.01")).loss_usd == 2301


@PATIENT
@given(st.lists(st.sampled_from([-1, 1]), min_size=1, max_size=120), st.sampled_from([3, 8]))
def test_no_path_without_gaps_loses_more_than_the_worst_case_of_a_hedge_with_a_drawdown(
    moves: list[int], arming: int
) -> None:
    """Up to the costs of one order: they are paid after equity has been looked at."""
    plan = hedged(
        ladder=FIBONACCI.model_copy(update={"min_gain_units": arming}), limits={"max_drawdown": "0.05"}, **COSTS
    )
    allowed_usd = worst_case(plan).loss_usd + 200 * D(105) * D("0.00055")
    moment = rehearsed(plan)
    for move in moves:
        line = moment.state.line + move
        moment = moved(moment, moment.state.grid.line_price(line))
        assert moment.loss_usd <= allowed_usd
        if moment.ended:
            return


def test_the_margin_by_each_kind_of_size() -> None:
    plan = asked(leverage=3)
    assert margin_for(Size(margin_usd=D("1000.105")), plan, D(0)) == D("1000.105")
    assert margin_for(Size(notional_usd=D(1000)), plan, D(0)) == D("333.33")
    assert margin_for(Size(portfolio_share=D("0.25")), plan, D("1000.1")) == D("250.02")
    assert margin_for(Size(risk_usd=D(235)), hedged(), D(0)) == 1000
    assert margin_for(Size(portfolio="main"), plan, D("1000.105")) == D("1000.10"), "more it can't give"


@pytest.mark.parametrize("plan", [asked(**COSTS), asked(ladder=V7, price=3450, unit_size=30, **COSTS), hedged(**COSTS)])
def test_a_margin_by_risk_loses_that_much_in_the_worst_case_and_no_more(plan: Any) -> None:
    margin_usd = margin_for(Size(risk_usd=D(500)), plan, D(0))
    sized = plan.model_copy(update={"margin_usd": margin_usd})
    assert D("499.9") < worst_case(sized, whole_lots=False).loss_usd <= 500


def test_an_amount_as_limit_does_not_make_a_margin_by_risk_larger() -> None:
    assert loss_per_usd(hedged(limits={"max_loss_usd": 1})) == 1
    assert margin_for(Size(risk_usd=D(50)), hedged(limits={"max_loss_usd": 1}), D(0)) == 50


def test_what_is_reckoned_keeps_to_the_position_limit_and_what_is_given_does_not() -> None:
    plan = asked(limits={"max_position_usd": 900})
    assert margin_for(Size(risk_usd=D(500)), plan, D(0)) == 90
    assert margin_for(Size(portfolio_share=D(1)), plan, D(5000)) == 90
    assert margin_for(Size(notional_usd=D(2000)), plan, D(5000)) == 200


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (Size(portfolio_share=D("0.2")), "size.portfolio_share is 0.2, of 0 USD free: that is a margin of 0 USD"),
        (Size(portfolio="main"), "size.portfolio is main, and 0 USD are free: that is a margin of 0 USD"),
        (Size(risk_usd=D("0.001")), "size.risk_usd is 0.001: that is a margin of 0 USD; at least one cent is needed"),
    ],
)
def test_a_size_that_is_no_margin_is_refused_in_one_line(size: Size, said: str) -> None:
    with pytest.raises(ValueError) as refused:
        margin_for(size, asked(), ZERO)
    assert str(refused.value).startswith(said)
