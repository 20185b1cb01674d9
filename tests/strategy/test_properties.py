# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

"""What holds whatever the price does: section 5 of the strategy's rules, over random ladders, paths and fills."""

from decimal import Decimal, localcontext
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from strategy.fibonacci import Fibonacci
from strategy.fold import decide, turning_points
from strategy.ladder import AtReset, Ladder
from strategy.state import TradeState
from strategy.values import QUANTUM, ZERO, Execution, Phase
from tests.strategy.trading import (
    EXACT,
    PATIENT,
    TOLERANCE_USD,
    Fill,
    Trader,
    holdings,
    ladders,
    of_two_places,
    open_trade,
    paths,
    refined,
    strategies,
    tick,
    units,
)

START = Decimal(1000)
lots = st.sampled_from([QUANTUM, Decimal("0.0001"), Decimal("0.01"), Decimal(1)])
at_resets = st.sampled_from(AtReset)


def trade(
    ladder: Ladder | Fibonacci, lot: Decimal = QUANTUM, minimum: str = "0", at_reset: AtReset = AtReset.CAP
) -> TradeState:
    return open_trade(ladder, price="1000", margin="2000", leverage=5, lot=lot, minimum=minimum, at_reset=at_reset)


@PATIENT
@given(strategies(), paths(), lots, st.sampled_from(["0", "10", "500"]), at_resets)
def test_equity_is_what_one_account_of_net_orders_would_have(
    ladder: Ladder | Fibonacci, path: list[Decimal], lot: Decimal, minimum: str, at_reset: AtReset
) -> None:
    """Its own price never changes it, RESETs and resizes included; long and short are never negative."""
    trader = Trader(trade(ladder, lot, minimum, at_reset))
    held, spent = trader.state.ledger.net_qty, trader.state.start_notional
    for price in path:
        with localcontext(EXACT):
            before = trader.state.equity(price)
            done = len(trader.orders)
            state = trader.prices(price)
            for order in trader.orders[done:]:
                assert order.size % lot == 0
                held, spent = held + order.size, spent + order.size * order.average_price
            assert abs(state.equity(price) - before) < TOLERANCE_USD
            assert abs(state.equity(price) - (2000 + held * price - spent)) < TOLERANCE_USD
        assert state.ledger.long_qty >= 0 and state.ledger.short_qty >= 0
        assert state.ledger.net_qty == held


@PATIENT
@given(ladders(), st.lists(st.sampled_from([-1, 1]), max_size=40), lots)
def test_a_retracement_holds_the_same_at_a_depth_however_often_it_comes_there(
    ladder: Ladder, moves: list[int], lot: Decimal
) -> None:
    trader = Trader(trade(ladder, lot, at_reset=AtReset.KEEP))
    at_depth = {0: holdings(trader.state)}
    depth = 0
    for move in moves:
        if not 0 <= depth - move < ladder.depth:
            continue
        depth -= move
        state = trader.prices(1000 - depth)
        assert holdings(state) == at_depth.setdefault(depth, holdings(state))
        if state.cycle > 1:
            break


@PATIENT
@given(ladders(), st.integers(0, 4), st.lists(st.sampled_from([-1, 1]), max_size=40), lots)
def test_a_recovery_undone_to_the_decline_holds_what_the_decline_held(
    ladder: Ladder, further: int, moves: list[int], lot: Decimal
) -> None:
    trader = Trader(trade(ladder, lot))
    valley = 1000 - ladder.depth - further
    declined = holdings(trader.prices(*range(999, valley - 1, -1)))
    assert trader.state.phase is Phase.DECLINE
    height = 0
    for move in moves:
        if not 0 <= height + move < ladder.sweep_at:
            continue
        height += move
        state = trader.prices(valley + height)
        recovering = height >= ladder.cover_from
        assert state.phase is (Phase.RECOVERY if recovering else Phase.DECLINE)
        assert len(state.steps) == max(height - ladder.cover_from + 1, 0)
        if not recovering:
            assert holdings(state) == declined


@PATIENT
@given(strategies(), paths(longest=40), st.integers(2, 5), at_resets)
def test_a_path_sampled_more_finely_gives_the_same_units_and_phases(
    ladder: Ladder | Fibonacci, path: list[Decimal], parts: int, at_reset: AtReset
) -> None:
    coarse, fine = Trader(trade(ladder, at_reset=at_reset)), Trader(trade(ladder, at_reset=at_reset))
    finer = refined(path, START, parts)
    for index, price in enumerate(path):
        coarse.prices(price)
        fine.prices(*finer[index * parts : (index + 1) * parts])
        assert units(coarse.state) == units(fine.state)


@PATIENT
@given(strategies(), paths(), st.data(), at_resets)
def test_a_path_in_batches_gives_the_same_units_and_phases(
    ladder: Ladder | Fibonacci, path: list[Decimal], data: st.DataObject, at_reset: AtReset
) -> None:
    one_by_one, batched = Trader(trade(ladder, at_reset=at_reset)), Trader(trade(ladder, at_reset=at_reset))
    left = path
    while left:
        size = data.draw(st.integers(1, len(left)))
        batched.batch(left[:size])
        one_by_one.prices(*left[:size])
        assert units(one_by_one.state) == units(batched.state)
        left = left[size:]


@PATIENT
@given(strategies(), paths())
def test_only_the_turning_points_of_a_path_matter(ladder: Ladder | Fibonacci, path: list[Decimal]) -> None:
    kept = [turn.price for turn in turning_points([tick(price) for price in path])]
    whole, turns = Trader(trade(ladder)), Trader(trade(ladder))
    assert units(whole.prices(*path)) == units(turns.prices(*kept))


@PATIENT
@given(st.lists(st.integers(1, 9).map(Decimal), min_size=1, max_size=30))
def test_turning_points_are_the_ends_and_each_extreme_once(path: list[Decimal]) -> None:
    kept = [turn.price for turn in turning_points([tick(price) for price in path])]
    assert (kept[0], kept[-1]) == (path[0], path[-1])
    moves = [after - before for before, after in pairwise(kept) if after != before]
    assert all(a * b < 0 for a, b in pairwise(moves))
    walked = sum(abs(after - before) for before, after in pairwise(path))
    assert sum(map(abs, moves)) == walked


@PATIENT
@given(strategies(), paths(), lots, at_resets)
def test_every_reset_leaves_no_short_no_cash_and_all_units_0(
    ladder: Ladder | Fibonacci, path: list[Decimal], lot: Decimal, at_reset: AtReset
) -> None:
    trader = Trader(trade(ladder, lot, at_reset=at_reset))
    trader.prices(*path)
    assert len(trader.starts) == trader.state.cycle - 1
    for state in trader.starts:
        assert (state.ledger.short_qty, state.ledger.short_entry, state.ledger.cash) == (0, 0, 0)
        assert (state.current_unit, state.peak_unit, state.valley_unit) == (0, 0, 0)
        assert (state.phase, state.steps, state.hedge_qty) == (Phase.ADVANCE, (), None)
        assert (state.legs_due, state.reset_due, state.resizing) == ((), False, False)


@PATIENT
@given(ladders(), paths(), lots)
def test_cap_never_leaves_more_than_a_lot_above_the_allocation(
    ladder: Ladder, path: list[Decimal], lot: Decimal
) -> None:
    trader = Trader(trade(ladder, lot, at_reset=AtReset.CAP))
    trader.prices(*path)
    for state in trader.starts:
        # The start notional is the position at the RESET's price, after the resize.
        price = state.start_notional / state.ledger.long_qty if state.ledger.long_qty else START
        assert state.start_notional <= max(state.allocation * 5, ZERO) + lot * price + TOLERANCE_USD


@PATIENT
@given(strategies(), paths(), of_two_places("-0.99", "0.99"))
def test_a_price_in_the_same_unit_changes_nothing(
    ladder: Ladder | Fibonacci, path: list[Decimal], off: Decimal
) -> None:
    trader = Trader(trade(ladder))
    state = trader.prices(*path)
    again = decide(state, [tick(state.grid.line_price(state.line) + off)])
    assert (again.state, again.legs, again.unit_changes, again.rest) == (state, (), (), ())


@st.composite
def poor_fills(draw: st.DrawFn) -> Fill:
    """Half of the orders fill in part first, all of them off the price and for a fee."""
    random = draw(st.randoms(use_true_random=False))

    def fill(size: Decimal, price: Decimal) -> Execution:
        part = Decimal(random.choice(["1", "1", "0.25", "0.6"]))
        filled = (size * part).quantize(QUANTUM) if abs(size) * price > 1 else size
        off = Decimal(random.randint(-300, 300)) / 10_000
        return Execution(size=filled, average_price=price * (1 + off), fee_usd=abs(filled) * price / 1000)

    return fill


@PATIENT
@given(strategies(), paths(), poor_fills(), at_resets)
def test_phases_depend_on_units_alone_never_on_fills(
    ladder: Ladder | Fibonacci, path: list[Decimal], fill: Fill, at_reset: AtReset
) -> None:
    well, poorly = Trader(trade(ladder, at_reset=at_reset)), Trader(trade(ladder, at_reset=at_reset), fill=fill)
    for price in path:
        assert units(well.prices(price)) == units(poorly.prices(price))


@PATIENT
@given(strategies(), paths(), poor_fills(), at_resets)
def test_poor_fills_are_in_the_ledger_to_the_cent(
    ladder: Ladder | Fibonacci, path: list[Decimal], fill: Fill, at_reset: AtReset
) -> None:
    trader = Trader(trade(ladder, at_reset=at_reset), fill=fill)
    with localcontext(EXACT):
        account = Decimal(2000) - trader.state.start_notional
        for price in path:
            trader.prices(price)
        account -= sum((order.size * order.average_price + order.fee_usd for order in trader.orders), ZERO)
        worth = account + trader.state.ledger.net_qty * path[-1]
        assert abs(trader.state.equity(path[-1]) - worth) < TOLERANCE_USD


@PATIENT
@given(strategies(), paths())
def test_a_state_survives_its_json(ladder: Ladder | Fibonacci, path: list[Decimal]) -> None:
    state = Trader(trade(ladder)).prices(*path)
    assert TradeState.model_validate_json(state.model_dump_json()) == state
