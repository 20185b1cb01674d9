# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

"""The user's own cases, pure: the same ones run end to end beside the workflow's tests."""

from decimal import Decimal

import pytest

from strategy.checks import Proposal, refusals
from strategy.fold import decide
from strategy.ladder import V6
from strategy.ledger import Ledger
from strategy.state import Step, TradeState
from strategy.values import Action, Leg, Phase
from tests.strategy.trading import Trader, holdings, open_trade, tick

CLOSE = Decimal("1e-15")


def pairs(legs: list[Leg]) -> list[tuple[Action, Decimal]]:
    return [(leg.action, leg.qty) for leg in legs]


@pytest.mark.parametrize(("price", "change"), [("3452.50", (0, 1)), ("3447.50", (0, -1)), ("3451.50", None)])
def test_case_2_units_from_the_entry_price(price: str, change: tuple[int, int] | None) -> None:
    state = open_trade(price="3450", unit="2")
    decision = decide(state, [tick(price)])
    changes = [(unit_change.from_unit, unit_change.to_unit) for unit_change in decision.unit_changes]
    assert changes == ([change] if change else [])
    assert decision.state.current_unit == (change[1] if change else 0)


def test_case_4_a_started_trade_is_long_its_margin_times_leverage() -> None:
    plan = Proposal(
        coin="ETH",
        margin_usd=Decimal(100),
        leverage=25,
        unit_size=Decimal(2),
        ladder=V6,
        price=Decimal(3450),
        max_leverage=25,
        maintenance_rate=Decimal("0.02"),
        min_notional_usd=Decimal(10),
        lot=Decimal("0.0001"),
        fee_rate=Decimal("0.00045"),
        slippage_bps=Decimal(1),
    )
    (refusal,) = refusals(plan)
    assert "unit size is 2" in refusal and "--yes" in refusal
    assert refusals(plan.model_copy(update={"accepts_costs": True})) == ()

    state = open_trade(price="3450", unit="2", margin="100", leverage=25, lot=plan.lot)
    assert state.ledger.long_qty == Decimal("0.7246")
    assert Decimal(2500) - plan.lot * 3450 < state.start_notional <= 2500
    assert state.grid.anchor_price == 3450
    assert (state.phase, state.current_unit, state.peak_unit, state.valley_unit) == (Phase.ADVANCE, 0, 0, 0)
    assert state.grid.next_lines(state.line) == (3448, 3452)


def test_case_5_retracement_undo_restores_the_state() -> None:
    trader = Trader(open_trade(V6, lot=Decimal("0.0001")))
    trader.prices(103)
    assert (trader.state.phase, trader.state.peak_unit) == (Phase.ADVANCE, 3)
    trader.prices(102)
    assert pairs(trader.legs) == [(Action.SELL_LONG, 1), (Action.OPEN_SHORT, 1)]
    assert trader.state.phase is Phase.RETRACEMENT

    trader.prices(101, 100)
    at_depth_3 = holdings(trader.state), trader.state.steps, trader.state.phase
    trader.legs.clear()
    trader.prices(99)
    step_4 = list(trader.legs)
    assert pairs(step_4) == [(Action.SELL_LONG, 2), (Action.OPEN_SHORT, 1)]
    trader.legs.clear()
    trader.prices(100)
    assert sorted(pairs(trader.legs)) == sorted(pairs([leg.opposite for leg in step_4]))
    assert (holdings(trader.state), trader.state.steps, trader.state.phase) == at_depth_3


def almost_recovered() -> TradeState:
    """One unit from the sweep: 90% long, a small short and a little cash."""
    held = Ledger(long_qty=Decimal(9), short_qty=Decimal("0.4"), short_entry=Decimal(97), cash=Decimal("55.8"))
    return open_trade(V6).changed(
        phase=Phase.RECOVERY,
        current_unit=-4,
        valley_unit=-8,
        ledger=held,
        wanted_long=held.long_qty,
        wanted_short=held.short_qty,
        hedge_qty=Decimal("0.4"),
        steps=(Step(height=2, legs=()), Step(height=3, legs=()), Step(height=4, legs=())),
    )


def test_case_6_the_last_cover_and_buy_reset_the_trade() -> None:
    trader = Trader(almost_recovered())
    equity = trader.state.equity(Decimal(97))
    trader.prices(97)
    # The cover frees its reserve of 0.4 * 97 and all cash buys: (55.8 + 38.8) / 97.
    cover, buy = trader.legs
    assert pairs([cover]) == [(Action.COVER_SHORT, Decimal("0.4"))]
    assert buy.action is Action.BUY_LONG and abs(buy.qty - Decimal("94.6") / 97) < CLOSE
    (state,) = trader.starts
    assert (state.phase, state.current_unit, state.peak_unit, state.valley_unit) == (Phase.ADVANCE, 0, 0, 0)
    assert (state.cycle, state.line, state.steps, state.hedge_qty) == (2, -3, (), None)
    assert (state.ledger.short_qty, state.ledger.cash) == (0, 0)
    assert abs(state.allocation - equity) < CLOSE
    assert state.equity(Decimal(97)) == state.allocation
    assert abs(state.fragment_qty - state.ledger.long_qty / 10) < CLOSE


def test_case_7_decline_only_follows_until_the_first_unit_up() -> None:
    trader = Trader(open_trade(V6))
    trader.prices(99, 98, 97, 96, 95)
    assert (trader.state.phase, trader.state.valley_unit) == (Phase.DECLINE, -5)
    orders = len(trader.orders)
    for valley, price in ((-6, 94), (-7, 93), (-12, 88)):
        state = trader.prices(price)
        assert (state.phase, state.valley_unit, state.hedge_qty) == (Phase.DECLINE, valley, None)
    state = trader.prices(89)
    assert (state.phase, state.valley_unit) == (Phase.DECLINE, -12)
    assert state.hedge_qty == Decimal("0.25") * state.ledger.short_qty == Decimal("1.75")
    # A lower valley starts the measure anew.
    state = trader.prices(87)
    assert (state.phase, state.valley_unit, state.hedge_qty) == (Phase.DECLINE, -13, None)
    assert trader.prices(88).hedge_qty == Decimal("1.75")
    assert len(trader.orders) == orders


def test_case_8_recovery_from_a_deep_valley_to_the_reset() -> None:
    trader = Trader(open_trade(V6, price="1000", unit="10", margin="1000"))
    trader.prices(990, 980, 970, 960, 950, 900, 850)
    state = trader.state
    assert (state.phase, state.valley_unit, state.ledger.long_qty) == (Phase.DECLINE, -15, 0)
    assert (state.ledger.short_qty, state.ledger.cash) == (7, 2910)

    trader.legs.clear()
    assert trader.prices(860).phase is Phase.DECLINE
    assert trader.legs == []
    # A quarter of the short was opened for 6750 / 4 and twice that less the price is what covering it frees.
    freed = Decimal(6750) / 4 * 2
    bought = []
    for price, unit, from_cash in ((870, -13, 1000), (880, -12, 1000), (890, -11, 910)):
        trader.legs.clear()
        state = trader.prices(price)
        assert (state.phase, state.current_unit) == (Phase.RECOVERY, unit)
        cover, buy = trader.legs
        assert pairs([cover]) == [(Action.COVER_SHORT, Decimal("1.75"))]
        bought.append((freed - Decimal("1.75") * price + from_cash) / price)
        assert buy.action is Action.BUY_LONG and abs(buy.qty - bought[-1]) < CLOSE
    assert abs(trader.state.ledger.cash) < CLOSE * 1000

    trader.legs.clear()
    state = trader.prices(900)
    bought.append(Decimal(2))
    assert pairs([trader.legs[0]]) == [(Action.COVER_SHORT, Decimal("1.75"))]
    assert abs(trader.legs[1].qty - 2) < CLOSE
    assert (state.phase, state.current_unit, state.cycle, state.line) == (Phase.ADVANCE, 0, 2, -10)
    assert (state.ledger.short_qty, state.ledger.cash) == (0, 0)
    assert abs(state.ledger.long_qty - sum(bought)) < 4 * CLOSE
    assert abs(state.allocation - (1000 + 900 * sum(bought) - 10_000)) < Decimal("1e-9")

    assert abs(state.fragment_usd - state.fragment_qty * 900) < CLOSE

    state = trader.prices(910)
    assert (state.phase, state.current_unit, state.peak_unit) == (Phase.ADVANCE, 1, 1)
