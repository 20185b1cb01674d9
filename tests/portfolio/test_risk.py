"""A limit that is broken is named with its figures, and a warning is told once on the way down."""

from decimal import Decimal

from portfolio.curve import Curve, seen
from portfolio.risk import Consequence, Exposure, breaches, warnings
from portfolio.terms import PortfolioLimits

D = Decimal
START = seen(Curve(), D(1000))


def test_at_23_percent_everything_stops() -> None:
    found = breaches(PortfolioLimits(), seen(START, D(770)), Exposure(equity_usd=D(770)))
    assert [each.consequence for each in found] == [Consequence.STOP]
    assert found[0].text == "max_drawdown is 23%; equity of 770 USD is 23% below 1000"
    assert not breaches(PortfolioLimits(), seen(START, D("770.01")), Exposure(equity_usd=D("770.01")))


def test_every_broken_limit_is_named_the_gravest_first() -> None:
    limits = PortfolioLimits(
        max_leverage=D(5), max_net_notional_usd=D(3000), max_open_orders=10, min_requests_left=1000
    )
    exposure = Exposure(
        equity_usd=D(500),
        net_notional_usd={"ETH": D(4000), "BTC": D(-500)},
        open_orders=11,
        requests_left=999,
    )
    found = breaches(limits, seen(START, D(500)), exposure)
    assert [each.limit for each in found] == [
        "max_drawdown", "max_leverage", "max_net_notional_usd", "max_open_orders", "min_requests_left"
    ]  # fmt: skip
    assert found[1].text == "max_leverage is 5; 4500 USD are held on 500"
    assert {each.consequence for each in found[1:]} == {Consequence.NO_NEW_RISK}


def test_an_account_with_nothing_in_it_breaks_nothing_by_being_empty() -> None:
    assert not breaches(PortfolioLimits(max_leverage=D(5)), Curve(), Exposure(equity_usd=D(0)))


def test_each_warning_is_told_once_and_the_last_words_are_the_breach() -> None:
    limits = PortfolioLimits(max_drawdown=D("0.2"), warn_at=(D("0.5"), D("0.8")))
    curve, told = START, []
    for equity in (950, 900, 890, 840, 850, 835, 799):
        now = seen(curve, D(equity))
        told.append(warnings(limits, curve, now))
        curve = now
    assert [len(each) for each in told] == [0, 1, 0, 1, 0, 1, 0]
    assert told[1] == ("drawdown is 10%, 50% of the 20% allowed",)
