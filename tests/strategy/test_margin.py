# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

"""What a portfolio takes out or puts in is neither won nor lost; a cycle that it ends is one like any other."""

from decimal import Decimal, localcontext

from hypothesis import given
from hypothesis import strategies as st

from strategy.fibonacci import Fibonacci
from strategy.fold import watched
from strategy.ladder import AtReset, Ladder
from strategy.margin import begun_anew, paid_out
from strategy.risk import Limits
from strategy.state import TradeState
from strategy.values import ZERO, Execution, Phase
from tests.strategy.test_properties import START, at_resets, lots, poor_fills, trade
from tests.strategy.trading import (
    EXACT,
    PATIENT,
    TOLERANCE_USD,
    Fill,
    Trader,
    of_two_places,
    open_trade,
    paths,
    strategies,
)

payouts = st.lists(of_two_places("-300", "300"), min_size=1, max_size=6)


def settled(state: TradeState, price: Decimal, fill: Fill | None = None) -> Trader:
    """What is due is sent until nothing is."""
    trader = Trader(state, fill=fill) if fill else Trader(state)
    trader._send_all(price)
    return trader


@PATIENT
@given(strategies(), paths(), payouts, poor_fills(), lots, at_resets)
def test_the_account_has_what_the_trade_says_and_what_was_taken(
    strategy: Ladder | Fibonacci,
    path: list[Decimal],
    usd: list[Decimal],
    fill: Fill,
    lot: Decimal,
    at_reset: AtReset,
) -> None:
    trader, left = Trader(trade(strategy, lot, at_reset=at_reset), fill=fill), list(usd)
    account, paid_usd = Decimal(2000) - trader.state.start_notional, ZERO
    for price in path:
        trader.prices(price)
        if trader.state.fully_long and left:
            paid_usd += left[0]
            trader.state = paid_out(trader.state, left.pop(0), price)
            trader._send_all(price)
        with localcontext(EXACT):
            spent = sum((order.size * order.average_price + order.fee_usd for order in trader.orders), ZERO)
            worth = account - spent + trader.state.ledger.net_qty * price
            assert abs(trader.state.equity(price) + paid_usd - worth) < TOLERANCE_USD
        assert trader.state.taken_usd == paid_usd
        assert trader.state.ledger.long_qty >= 0 and trader.state.ledger.short_qty >= 0


@PATIENT
@given(strategies(), paths(), at_resets)
def test_a_grant_of_what_the_trade_has_changes_nothing(
    strategy: Ladder | Fibonacci, path: list[Decimal], at_reset: AtReset
) -> None:
    state = Trader(trade(strategy, at_reset=at_reset)).prices(*path)
    assert paid_out(state, ZERO, path[-1]) == state


@PATIENT
@given(strategies(), paths(), st.integers(-200, 95), at_resets)
def test_a_payout_is_no_drawdown_and_takes_its_share_of_the_position(
    strategy: Ladder | Fibonacci, path: list[Decimal], percent: int, at_reset: AtReset
) -> None:
    price = path[-1]
    before = watched(state := Trader(trade(strategy, at_reset=at_reset)).prices(*path), price, state.ledger)
    equity_usd = before.equity(price)
    if not before.fully_long or equity_usd <= 0 or not before.wanted_long:
        return
    with localcontext(EXACT):
        usd = equity_usd * percent / 100
        trader = settled(paid_out(before, usd, price), price)
        after = trader.state
        share = 1 - Decimal(percent) / 100
        assert abs(after.equity(price) - equity_usd * share) < TOLERANCE_USD
        assert abs(after.equity_peak_usd - before.equity_peak_usd * share) < TOLERANCE_USD
        assert abs(after.ledger.long_qty - before.ledger.long_qty * share) < Decimal("1e-15")
        assert len(trader.orders) == (percent != 0)


@PATIENT
@given(strategies(), paths(), lots, at_resets)
def test_a_cycle_ended_anywhere_leaves_one_order_to_the_next_ones_position(
    strategy: Ladder | Fibonacci, path: list[Decimal], lot: Decimal, at_reset: AtReset
) -> None:
    trader = Trader(trade(strategy, lot, at_reset=at_reset))
    before, price = trader.prices(*path), path[-1]
    if before.equity(price) <= 0:
        return
    ended = begun_anew(before, price)
    with localcontext(EXACT):
        assert abs(ended.state.equity(price) - before.equity(price)) < TOLERANCE_USD
        assert abs(ended.state.allocation - before.equity(price)) < TOLERANCE_USD
    trader = settled(ended.state, price)
    after = trader.state
    assert len(trader.orders) <= 1
    assert (after.ledger.short_qty, after.cycle, after.resizing) == (0, before.cycle + 1, False)
    assert after.line == after.grid.line_reached(before.line, price)
    with localcontext(EXACT):
        assert abs(after.allocation * 5 - after.ledger.long_qty * price) < lot * price + TOLERANCE_USD
        assert abs(after.equity(price) - before.equity(price)) < TOLERANCE_USD


def test_cap_keeps_its_smaller_position_and_a_grant_moves_it_in_proportion() -> None:
    """At 200 after a fall the ladder's 8 coins are 1600 of the 2000 that 200 USD at 10x would buy."""
    state = open_trade(at_reset=AtReset.CAP).changed(allocation=Decimal(200), start_notional=Decimal(800))
    smaller = state.changed(ledger=state.ledger.model_copy(update={"long_qty": Decimal(8)}), wanted_long=Decimal(8))
    assert settled(paid_out(smaller, Decimal(50), Decimal(100)), Decimal(100)).state.ledger.long_qty == 6
    assert settled(paid_out(smaller, Decimal(-100), Decimal(100)), Decimal(100)).state.ledger.long_qty == 12


def test_a_grant_keeps_to_the_largest_position_that_the_plan_allows() -> None:
    state = open_trade(limits=Limits(max_position_usd=Decimal(1200)))
    after = settled(paid_out(state, Decimal(-100), Decimal(100)), Decimal(100)).state
    assert (after.ledger.long_qty, after.allocation) == (12, 200)


def test_what_was_taken_counts_as_earned_for_the_limits() -> None:
    state = open_trade(limits=Limits(take_profit=Decimal("0.5"), max_loss_usd=Decimal(60)))
    paid = settled(paid_out(state, Decimal(50), Decimal(100)), Decimal(100)).state
    assert paid.ledger.long_qty == 5
    assert watched(paid, Decimal(100), paid.ledger).breach is None
    assert "50 USD is earned" in str(watched(paid, Decimal(110), paid.ledger).breach)


def test_a_payout_below_the_smallest_order_moves_money_alone() -> None:
    state = open_trade(minimum="10")
    after = paid_out(state, Decimal("0.5"), Decimal(100))
    assert (after.resizing, after.wanted_long, after.allocation) == (False, 10, Decimal("99.5"))


def test_money_put_into_a_trade_that_lost_all_buys_a_position_anew() -> None:
    state = open_trade()
    gone = state.changed(ledger=state.ledger.model_copy(update={"long_qty": ZERO}), wanted_long=ZERO)
    gone = gone.changed(allocation=ZERO, start_notional=ZERO)
    after = settled(paid_out(gone, Decimal(-50), Decimal(100)), Decimal(100)).state
    assert (after.ledger.long_qty, after.equity(Decimal(100)), after.equity_peak_usd) == (5, 50, 50)


def test_the_rest_of_a_short_that_cant_be_ordered_stays_due() -> None:
    state = open_trade()
    worn = state.changed(
        ledger=state.ledger.model_copy(update={"short_qty": Decimal("0.01"), "short_entry": Decimal(100)})
    )
    after = paid_out(worn, Decimal(10), Decimal(100))
    assert (after.resizing, after.wanted_long, after.allocation, after.phase) == (False, 10, 90, Phase.ADVANCE)


def test_a_paid_out_order_that_fills_in_part_is_sent_on() -> None:
    def half(size: Decimal, price: Decimal) -> Execution:
        return Execution(size=size / 2 if abs(size) > Decimal("0.5") else size, average_price=price)

    trader = settled(paid_out(open_trade(minimum="10"), Decimal(50), START / 10), START / 10, half)
    assert trader.state.ledger.long_qty == 5
    assert len(trader.orders) > 2
