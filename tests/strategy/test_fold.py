# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

"""Orders and fills: what is due, what is dust, what a refusal or a partial fill leaves."""

from decimal import Decimal

import pytest

from strategy.fold import booked, decide, order_worth_sending, regridded, reset
from strategy.ladder import V6, AtReset
from strategy.ledger import Ledger
from strategy.risk import Limits
from strategy.values import ZERO, Action, Execution, Phase
from tests.strategy.trading import Trader, at_the_price, holdings, open_trade, tick

LOT = Decimal("0.01")


def test_units_done_and_undone_in_one_fold_cost_nothing() -> None:
    state = open_trade()
    decision = decide(state, [tick(98), tick(97), tick(98), tick(100)])
    assert (decision.legs, decision.order_qty) == ((), 0)
    assert decision.state == state
    assert len(decision.unit_changes) == 4


def test_an_undone_step_done_again_in_one_fold_costs_nothing() -> None:
    trader = Trader(open_trade())
    before = trader.prices(99, 98)
    decision = decide(before, [tick(99), tick(98)])
    assert (decision.legs, decision.order_qty) == ((), 0)
    assert decision.state == before


def test_what_was_done_and_undone_in_a_fold_spends_nothing_of_what_follows_in_it() -> None:
    trader = Trader(open_trade())
    trader.prices(95, 90)
    straight = decide(trader.state, [tick(95)])
    roundabout = decide(trader.state, [tick("93.9"), tick("90.5"), tick(95)])
    assert roundabout.state.wanted_long == straight.state.wanted_long > 0
    assert roundabout.legs == straight.legs


def test_several_units_in_one_price_are_one_order_of_all_their_legs() -> None:
    trader = Trader(open_trade())
    trader.prices(97)
    assert [(leg.action, leg.qty) for leg in trader.legs] == [
        (Action.SELL_LONG, 1),
        (Action.OPEN_SHORT, 1),
        (Action.SELL_LONG, 2),
        (Action.OPEN_SHORT, 1),
        (Action.SELL_LONG, 2),
        (Action.OPEN_SHORT, 1),
    ]
    assert trader.orders == [Execution(size=Decimal(-8), average_price=Decimal(97))]


def test_a_rejected_order_leaves_the_holdings_and_the_same_order_due() -> None:
    before = open_trade()
    decision = decide(before, [tick(99)])
    refused = decision.state
    assert (refused.ledger, refused.net_due) == (before.ledger, decision.order_qty)
    again = decide(refused, [tick("99.5")])
    assert (again.state, again.order_qty, again.unit_changes) == (refused, decision.order_qty, ())
    back = decide(refused, [tick(100)])
    assert (back.order_qty, back.state) == (0, before)


def test_what_a_partial_fill_leaves_is_due_and_undoing_returns_to_the_same_holdings() -> None:
    before = open_trade()
    decision = decide(before, [tick(99)])
    part = booked(decision.state, Execution(size=Decimal("-1.25"), average_price=Decimal(99)))
    assert (part.ledger.long_qty, part.ledger.short_qty) == (9, Decimal("0.25"))
    assert part.net_due == Decimal("-0.75")
    # Up again before the rest was sent: only what was really sold and shorted is taken back.
    back = decide(part, [tick(100)])
    assert back.order_qty == Decimal("1.25")
    after = booked(back.state, at_the_price(back.order_qty, Decimal(100)))
    assert holdings(after) == holdings(before)
    assert after.phase is Phase.ADVANCE


def test_units_go_on_over_a_partial_fill() -> None:
    decision = decide(open_trade(), [tick(99)])
    part = booked(decision.state, Execution(size=Decimal("-0.5"), average_price=Decimal(99)))
    further = decide(part, [tick(98)])
    assert further.order_qty == Decimal("-4.5")
    after = booked(further.state, at_the_price(further.order_qty, Decimal(98)))
    assert holdings(after) == (7, 2)


def test_a_fee_is_paid_from_cash() -> None:
    decision = decide(open_trade(), [tick(99)])
    state = booked(decision.state, Execution(size=Decimal(-2), average_price=Decimal(99), fee_usd=Decimal("0.09")))
    assert state.ledger.cash == Decimal("-0.09")


def test_dust_waits_and_goes_with_the_next_order() -> None:
    trader = Trader(open_trade(minimum="250"))
    trader.prices(99)
    assert (trader.orders, holdings(trader.state), trader.state.phase) == ([], (10, 0), Phase.RETRACEMENT)
    trader.prices(98)
    assert [order.size for order in trader.orders] == [-5]
    assert holdings(trader.state) == (7, 2)


def test_dust_that_is_undone_before_it_is_sent_costs_nothing() -> None:
    trader = Trader(open_trade(minimum="250"))
    before = trader.state
    trader.prices(99, 100)
    assert (trader.orders, trader.state) == ([], before)


def test_an_order_of_exactly_the_minimum_is_sent() -> None:
    state = decide(open_trade(minimum="198"), [tick(99)]).state
    assert order_worth_sending(state, Decimal(99)) == -2
    assert order_worth_sending(state, Decimal("98.99")) == 0


def test_orders_are_whole_lots_and_undoing_restores_exactly() -> None:
    trader = Trader(open_trade(price="97", margin="33.33", lot=LOT))
    assert trader.state.ledger.long_qty == Decimal("3.43")
    before = holdings(trader.state)
    trader.prices(96, 95, 94, 93)
    trader.prices(94, 95, 96, 97)
    assert holdings(trader.state) == before
    assert len(trader.orders) == 8
    assert all(order.size % LOT == 0 for order in trader.orders)


def test_the_last_slice_closes_the_whole_rest_of_the_long() -> None:
    trader = Trader(open_trade(V6, price="97", margin="33.33", lot=LOT))
    trader.prices(96, 95, 94, 93, 92)
    ledger = trader.state.ledger
    assert ledger.long_qty == 0
    assert ledger.short_qty % LOT == 0 and ledger.short_qty > 2


def test_a_reset_stops_the_fold_and_leaves_the_tick_it_happened_in() -> None:
    trader = Trader(open_trade())
    trader.prices(95)
    ticks = [tick(97, 1), tick(103, 2), tick(102, 3)]
    decision = decide(trader.state, ticks)
    assert decision.state.reset_due
    assert (decision.rest, decision.price, decision.state.current_unit) == (tuple(ticks[1:]), 103, 0)
    # Nothing more is folded until the RESET is made.
    waiting = decide(decision.state, ticks[1:])
    assert (waiting.state, waiting.unit_changes, waiting.rest) == (decision.state, (), tuple(ticks[1:]))
    assert waiting.order_qty == decision.order_qty


def test_the_units_left_after_a_reset_belong_to_the_next_cycle() -> None:
    trader = Trader(open_trade())
    trader.prices(95, 103, 102)
    state = trader.state
    assert (state.cycle, state.base_unit, state.peak_unit, state.current_unit) == (2, 0, 3, 2)
    assert state.phase is Phase.RETRACEMENT


RISEN = [95, 100]
"""A whole cycle with a loss: sold from 99 to 95 at 95, bought back at 100."""


def test_cap_sells_down_to_the_allocation_with_an_order_of_its_own() -> None:
    trader = Trader(open_trade(at_reset=AtReset.CAP))
    trader.prices(*RISEN)
    (state,) = trader.starts
    sale = trader.orders[-1]
    assert sale.size < 0
    assert state.ledger.long_qty * 100 - state.allocation * 10 < Decimal("1e-12")
    assert state.start_notional == state.ledger.long_qty * 100
    assert (state.ledger.cash, state.equity(Decimal(100)), state.resizing) == (0, state.allocation, False)
    assert abs(state.fragment_qty - state.ledger.long_qty / 10) < Decimal("1e-17")


def test_keep_leaves_the_position_as_the_sweep_left_it() -> None:
    kept, capped = Trader(open_trade(at_reset=AtReset.KEEP)), Trader(open_trade(at_reset=AtReset.CAP))
    kept.prices(*RISEN)
    capped.prices(*RISEN)
    assert len(kept.orders) == len(capped.orders) - 1
    assert kept.starts[0].allocation == capped.starts[0].allocation
    assert kept.starts[0].ledger.long_qty > capped.starts[0].ledger.long_qty


@pytest.mark.parametrize(("at_reset", "bought"), [(AtReset.RELEVER, True), (AtReset.CAP, False), (AtReset.KEEP, False)])
def test_only_relever_buys_up_to_the_allocation(at_reset: AtReset, bought: bool) -> None:
    trader = Trader(open_trade(at_reset=at_reset))
    trader.prices(95, 80, 85)
    (state,) = trader.starts
    assert state.allocation > 100
    assert len(trader.orders) == (3 if bought else 2)
    assert (abs(state.ledger.long_qty * 85 - state.allocation * 10) < Decimal("1e-12")) == bought


def test_a_resize_below_the_minimum_waits_for_the_next_reset() -> None:
    trader = Trader(open_trade(at_reset=AtReset.CAP, minimum="1000"))
    trader.prices(*RISEN)
    (state,) = trader.starts
    assert not state.resizing
    assert 0 < state.ledger.long_qty * 100 - state.allocation * 10 < 1000


def test_a_resize_filled_in_parts_begins_the_cycle_with_what_it_leaves() -> None:
    trader = Trader(open_trade(at_reset=AtReset.CAP))
    trader.prices(95)
    due = decide(trader.state, [tick(100)])
    swept = booked(due.state, at_the_price(due.order_qty, Decimal(100)))
    began = reset(swept, Decimal(100))
    state = began.state
    assert state.resizing and began.pnl_usd < 0
    assert began.cycle == 1 and state.cycle == 2
    nothing_folded = decide(state, due.rest)
    assert (nothing_folded.state, nothing_folded.rest) == (state, due.rest)
    half = state.net_due / 2
    state = booked(state, Execution(size=half, average_price=Decimal(100), fee_usd=Decimal("0.5")))
    assert state.resizing and state.net_due == half
    state = booked(state, Execution(size=half, average_price=Decimal(99), fee_usd=ZERO))
    assert not state.resizing
    assert state.ledger.cash == 0
    assert state.equity(Decimal(100)) == began.state.allocation - Decimal("0.5") + half


def test_a_short_too_small_to_order_is_closed_against_the_long_at_a_reset() -> None:
    held = Ledger(long_qty=Decimal(9), short_qty=Decimal("0.001"), short_entry=Decimal(90), cash=Decimal(100))
    state = open_trade(minimum="10").changed(ledger=held, reset_due=True, wanted_long=Decimal(10), wanted_short=ZERO)
    began = reset(state, Decimal(100))
    assert began.state.ledger == Ledger(long_qty=Decimal("8.999"))
    assert began.state.ledger.net_qty == held.net_qty
    assert began.state.equity(Decimal(100)) == state.equity(Decimal(100))


def test_a_trade_worn_down_to_less_than_one_order_carries_its_short_over_a_reset() -> None:
    held = Ledger(short_qty=Decimal("0.05"), short_entry=Decimal(101), cash=Decimal(2))
    state = open_trade(minimum="10", at_reset=AtReset.RELEVER).changed(
        ledger=held, reset_due=True, wanted_long=Decimal("0.04"), wanted_short=ZERO, start_notional=Decimal(100)
    )
    began = reset(state, Decimal(100)).state
    assert began.ledger == Ledger(short_qty=Decimal("0.05"), short_entry=Decimal(100))
    assert (began.ledger.net_qty, began.net_due) == (held.net_qty, Decimal("0.05"))
    # 71 dollars of allocation at 10x would be bought, but not by an order that has a cover in it.
    assert began.allocation * 10 == 71 and not began.resizing
    for price in (90, 100, 220):
        assert began.equity(Decimal(price)) == state.equity(Decimal(price))
    # Its cover goes when an order of it is worth sending.
    assert order_worth_sending(began, Decimal(199)) == 0
    assert order_worth_sending(began, Decimal(200)) == Decimal("0.05")


def test_a_new_grid_starts_where_the_price_is_and_only_when_fully_long() -> None:
    trader = Trader(open_trade())
    state = regridded(trader.prices(103), Decimal("103.4"), Decimal(5))
    assert (state.grid.anchor_price, state.grid.unit_size) == (Decimal("103.4"), 5)
    assert (state.line, state.current_unit, state.peak_unit, state.valley_unit) == (0, 0, 0, 0)
    assert (state.ledger, state.allocation, state.cycle) == (trader.state.ledger, trader.state.allocation, 1)
    assert state.fragment_usd == Decimal("103.4")
    trader.prices(102)
    with pytest.raises(ValueError, match="the trade is in RETRACEMENT"):
        regridded(trader.state, Decimal(102), Decimal(5))


@pytest.mark.parametrize("unit_size", ["0", "-1", "NaN"])
def test_a_new_grid_needs_a_unit_above_zero(unit_size: str) -> None:
    with pytest.raises(ValueError, match="unit_size"):
        regridded(open_trade(), Decimal(100), Decimal(unit_size))


def test_a_new_grid_counts_what_is_still_due_as_filled() -> None:
    trader = Trader(open_trade())
    trader.prices(99)
    back = decide(trader.state, [tick(100)])
    part = booked(back.state, Execution(size=Decimal("1.5"), average_price=Decimal(100)))
    assert part.fully_long and part.ledger.long_qty < 10
    assert regridded(part, Decimal(100), Decimal(2)).fragment_qty == 1


def test_a_limit_is_broken_by_what_is_held_not_by_orders_that_were_never_sent() -> None:
    """Prices of an outage come at once, and a paused trade sends nothing: it holds 10 all the way down to 95."""
    state = open_trade(limits=Limits(max_loss_usd=Decimal(45)))
    down = [tick(price) for price in (99, 98, 97, 96)]
    assert decide(state, down).state.breach is None
    assert decide(state, [*down, tick(95)]).state.breach == "max_loss_usd is 45; 50 of the margin is lost"
