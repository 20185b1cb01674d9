# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

from decimal import Decimal
from typing import Any

import pytest

from plans.plan import Backstop
from plans.preview import Preview, preview
from strategy.checks import liquidation_price
from strategy.fibonacci import FIBONACCI
from strategy.ladder import V7
from strategy.values import Phase
from tests.plans.proposals import COSTS, asked, hedged

D = Decimal


def table(seen: Preview) -> list[tuple[Any, ...]]:
    return [(row.what, row.price, row.order, row.long, row.short, row.equity_usd) for row in seen.rows]


def test_every_step_of_a_ladder_and_the_recovery_from_its_low() -> None:
    rows = table(preview(asked()))
    assert rows[:8] == [
        ("entry", 100, 10, 10, 0, 100),
        ("step 1 of 5", 99, -2, 9, 1, 90),
        ("step 2 of 5", 98, -3, 7, 2, 82),
        ("step 3 of 5", 97, -3, 5, 3, 77),
        ("step 4 of 5", 96, -3, 3, 4, 75),
        ("step 5 of 5", 95, -6, 0, 7, 76),
        ("cover, 2 above the low", 97, D("4.51"), D("2.76"), D("5.25"), 62),
        ("cover, 3 above the low", 98, D("4.46"), D("5.47"), D("3.5"), D("59.51")),
    ]
    assert rows[-1][:2] == ("all into the long, 5 above the low: cycle 2 begins", 100)


def test_the_levels_of_the_hedge_say_where_they_lie_and_the_lines_they_act_at() -> None:
    seen = preview(hedged(), high_price=D(120))
    assert [(row.what, row.level_price, row.price) for row in seen.rows] == [
        ("entry", None, 100),
        ("high", None, 120),
        ("level at 23%", D("115.4"), 115),
        ("level at 38%", D("112.4"), 112),
        ("level at 50%", 110, 110),
        ("back at the entry", None, 100),
        ("trailing stop of the short", None, 102),
        ("new fractal, 2 units above the low", None, 103),
    ]
    assert [(row.order, row.long, row.short) for row in seen.rows[2:7]] == [
        (-100, 50, 50),
        (-25, 25, 50),
        (-25, 0, 50),
        (0, 0, 50),
        (50, 0, 0),
    ]
    assert [row.change_usd for row in seen.rows[1:7]] == [2000, 1500, 1500, 1550, 2050, 1950]
    assert seen.rows[-1].long == D("116.01")


def test_without_a_high_the_hedge_rises_to_where_it_is_just_armed() -> None:
    assert preview(hedged()).rows[1].price == 110
    with pytest.raises(
        ValueError, match=r"the high is 109.9; the hedge is armed 20 units above the entry, from 110 on"
    ):
        preview(hedged(), high_price=D("109.9"))


def test_levels_that_act_at_one_line_are_one_row() -> None:
    coarse = FIBONACCI.model_copy(update={"min_gain_units": 3, "short_trailing_stop": None})
    seen = preview(hedged(ladder=coarse))
    assert [(row.what, row.level_price, row.price) for row in seen.rows[2:4]] == [
        ("level at 23%", D("101.155"), 101),
        ("levels at 38% and 50%", D("100.75"), D("100.5")),
    ]
    assert [row.what for row in seen.rows[-2:]] == ["level at 50% undone", "levels at 23% and 38% undone"]


def test_a_limit_that_is_broken_on_the_way_closes_it_there_and_ends_the_rows() -> None:
    seen = preview(asked(limits={"max_drawdown": "0.2"}))
    last = seen.rows[-1]
    assert last.what == "max_drawdown is 20%; equity is 77, 23% below its peak of 100"
    assert (last.price, last.long, last.short, last.cash_usd, last.equity_usd) == (97, 0, 0, 77 + 900, 77)
    profit = preview(hedged(limits={"take_profit": "0.19"}), high_price=D(120)).rows[-1]
    assert (profit.price, profit.order, profit.change_usd) == (119, -100, 1900)


def test_each_row_has_its_costs_and_equity_pays_them() -> None:
    seen, free = preview(asked(ladder=V7, **COSTS)), preview(asked(ladder=V7))
    assert (seen.rows[0].fee_usd, seen.rows[0].slippage_usd) == (D("0.45"), D("0.1"))
    assert (seen.rows[1].fee_usd, seen.rows[1].slippage_usd) == (D("0.10692"), D("0.02376"))
    paid_usd = sum(row.fee_usd + row.slippage_usd for row in seen.rows[:6])
    assert free.rows[5].equity_usd - seen.rows[5].equity_usd == paid_usd
    assert seen.round_trip_usd == D("0.11")


def test_the_figures_around_the_table() -> None:
    seen = preview(asked(unit_size=2, margin_usd=4))
    assert seen.liquidation_price == liquidation_price(D(100), 10, D("0.02"))
    assert seen.worst.loss_usd > 0
    assert len(seen.refusals) == 1 and "lies inside the ladder" in seen.refusals[0]
    assert preview(hedged()).liquidation_price == 0
    assert [row.phase for row in seen.rows[:2]] == [Phase.ADVANCE, Phase.RETRACEMENT]


def test_the_stop_on_the_exchange_lies_beyond_the_last_level() -> None:
    beyond = Backstop(beyond=D("0.02"))
    assert preview(asked(), backstop=beyond).backstop_price == 95 * D("0.98")
    assert preview(hedged(), backstop=beyond).backstop_price == 77 * D("0.98")
    assert preview(asked()).backstop_price is None


def test_a_unit_of_more_digits_than_are_counted_with_comes_to_an_end() -> None:
    odd = D("0.1234567890123456789012345678901234567891")
    for margin_usd in (100, 7):
        assert preview(asked(unit_size=odd, margin_usd=margin_usd, price="3333.3333333333333331")).rows


def test_a_margin_that_buys_nothing_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"margin is 0.01: at 10x and a price of 100 it buys less than one lot of 0.01"
    ):
        preview(asked(margin_usd="0.01"))


def test_a_backstop_that_liquidation_comes_before_is_told_before_anything_is_started() -> None:
    """Liquidated at 91.84; the last of the steps is at 95."""
    assert preview(asked(), backstop=Backstop(beyond=D("0.03"))).refusals == ()
    (refusal,) = preview(asked(), backstop=Backstop(beyond=D("0.05"))).refusals
    assert refusal.startswith("backstop.beyond is 0.05: that is a stop at 90.25, and liquidation lies before it")
