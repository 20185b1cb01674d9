"""Money that is paid in or out is neither gain nor loss."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.curve import Curve, begun_anew, seen

D = Decimal
START = seen(Curve(), D(1000))


def test_a_loss_of_23_percent_from_the_best_is_a_drawdown_of_23_percent() -> None:
    curve = seen(seen(START, D(2000)), D(1540))
    assert curve.drawdown == D("0.23")
    assert curve.high_water_usd == 2000


def test_a_withdrawal_of_half_is_no_drawdown_and_halves_the_high_water() -> None:
    curve = seen(seen(START, D(1200)), D(600), paid_in_usd=D(-600))
    assert curve.drawdown == 0
    assert curve.high_water_usd == 600


def test_a_deposit_hides_no_loss() -> None:
    curve = seen(START, D(1900), paid_in_usd=D(1000))
    assert curve.drawdown == D("0.1")
    assert seen(curve, D(1710)).drawdown == D("0.19")


def test_all_that_is_withdrawn_leaves_nothing_to_measure() -> None:
    gone = seen(seen(START, D(900)), D(0), paid_in_usd=D(-900))
    back = seen(gone, D(500), paid_in_usd=D(500))
    assert back.drawdown == 0
    assert back.equity_usd == 500


def test_all_that_is_lost_is_a_drawdown_of_everything() -> None:
    assert seen(START, D(-3)).drawdown == 1


def test_a_released_breach_is_measured_from_there() -> None:
    curve = begun_anew(seen(START, D(700)))
    assert curve.drawdown == 0
    assert seen(curve, D(630)).drawdown == D("0.1")


moves = st.decimals(min_value=D("0.5"), max_value=2, places=3)
flows = st.integers(-300, 300)


@given(steps=st.lists(st.tuples(moves, flows), max_size=30))
def test_drawdown_is_that_of_the_gains_alone_whatever_was_paid_in_or_out(steps: list[tuple[Decimal, int]]) -> None:
    curve, index, best = START, D(1), D(1)
    for factor, flow in steps:
        before_usd = curve.equity_usd * factor
        paid_usd = D(flow) if before_usd + flow > 1 else D(0)
        curve = seen(curve, before_usd + paid_usd, paid_usd)
        index *= factor
        best = max(best, index)
        assert curve.drawdown == pytest.approx(1 - index / best, abs=D("1e-9"))
        if curve.equity_usd > 1e9 or curve.equity_usd < 1:
            return
