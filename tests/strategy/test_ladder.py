# mypy: disable-error-code="comparison-overlap"
# Decimals are compared with plain integers throughout: they are equal when they mean the same number.

from decimal import Decimal
from typing import Any

import pytest
from pydantic import ValidationError

from strategy.ladder import PRESETS, V6, V7, Ladder
from strategy.values import Phase
from tests.strategy.trading import Trader, open_trade

# In fragments of the position at the peak: long, short, cash and the net order, after each depth.
V6_TABLE = [(9, 1, 0, 8), (7, 2, 1, 5), (5, 3, 2, 2), (3, 4, 3, -1), (0, 7, 3, -7)]
V7_LONG_AND_SHORT = [("88", "12"), ("64", "24"), ("40", "36"), ("16", "48"), ("0", "48")]


@pytest.mark.parametrize("depth", range(1, 6))
def test_v6_retraces_along_its_table(depth: int) -> None:
    # A unit so small beside the price that a fragment is worth the same at every line.
    trader = Trader(open_trade(V6, unit="0.000001"))
    trader.batch(["100.000003"])
    for step in range(1, depth + 1):
        trader.batch([Decimal("100.000003") - step * Decimal("0.000001")])
    long, short, cash, net = V6_TABLE[depth - 1]
    ledger = trader.state.ledger
    assert (ledger.long_qty, ledger.short_qty, ledger.net_qty) == (long, short, net)
    assert abs(ledger.cash / 100 - cash) < Decimal("0.00001")
    assert trader.state.phase is (Phase.DECLINE if depth == 5 else Phase.RETRACEMENT)


def test_v7_keeps_the_last_proceeds_in_cash() -> None:
    trader = Trader(open_trade(V7, margin="1000", unit="0.000001"))
    for depth, (long, short) in enumerate(V7_LONG_AND_SHORT, start=1):
        trader.prices(100 - depth * Decimal("0.000001"))
        assert trader.state.ledger.long_qty == Decimal(long)
        assert trader.state.ledger.short_qty == Decimal(short)
    assert trader.state.phase is Phase.DECLINE
    assert abs(trader.state.ledger.cash - 5200) < Decimal("0.001")


@pytest.mark.parametrize(
    ("ladder", "heights"),
    [(V6, {2: "5.25", 3: "3.5", 4: "1.75", 5: "0"}), (V7, {2: "3.6", 3: "2.4", 4: "1.2", 5: "0", 6: "0"})],
)
def test_recovery_covers_a_hedge_fragment_a_unit_and_resets_at_the_sweep(
    ladder: Ladder, heights: dict[int, str]
) -> None:
    trader = Trader(open_trade(ladder))
    trader.prices(95, 94)
    assert trader.state.valley_unit == -6
    trader.prices(95)
    assert (trader.state.phase, len(trader.starts)) == (Phase.DECLINE, 0)
    for height, short in heights.items():
        orders = len(trader.orders)
        trader.prices(94 + height)
        assert trader.state.ledger.short_qty == Decimal(short)
        assert len(trader.orders) == orders + 1
    assert (trader.state.phase, len(trader.starts), trader.state.ledger.cash) == (Phase.ADVANCE, 1, 0)


def test_v7_resets_when_a_retracement_is_wholly_undone() -> None:
    trader = Trader(open_trade(V7))
    trader.prices(103, 102, 101, 102)
    assert (trader.state.phase, trader.state.cycle) == (Phase.RETRACEMENT, 1)
    trader.prices(103)
    assert (trader.state.phase, trader.state.cycle, trader.state.line) == (Phase.ADVANCE, 2, 3)
    # Five fragments of 1.2 coins were sold, long and short, and bought back a dollar dearer.
    assert trader.state.allocation == 100 + 30 - 6
    assert trader.state.ledger.cash == 0


def test_v6_stays_in_its_cycle_when_a_retracement_is_wholly_undone() -> None:
    trader = Trader(open_trade(V6))
    trader.prices(103, 102, 101, 102, 103)
    state = trader.state
    assert (state.phase, state.cycle, state.current_unit, state.peak_unit) == (Phase.ADVANCE, 1, 3, 3)
    assert (state.ledger.long_qty, state.ledger.cash) == (10, -5)


def test_presets_are_known_by_their_names() -> None:
    assert {name: ladder.name for name, ladder in PRESETS.items()} == {"v6": "v6", "v7": "v7"}
    assert [ladder.depth for ladder in PRESETS.values()] == [5, 5]


def test_a_ladder_survives_its_json() -> None:
    for ladder in PRESETS.values():
        assert Ladder.model_validate_json(ladder.model_dump_json()) == ladder


def ladder_data(**changes: Any) -> dict[str, Any]:
    return {**V6.model_dump(mode="json"), "name": "mine", **changes}


REST: dict[str, Any] = {"sell_long": "rest", "open_short": 0}


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"retracement": [{"sell_long": 6, "open_short": 0}, {"sell_long": 5, "open_short": 0}, REST]}, "step 2: 110%"),
        ({"retracement": [{"sell_long": 1, "open_short": 1}]}, "step 1: sell_long is 1; the last step"),
        ({"retracement": [REST, {"sell_long": 1, "open_short": 1}]}, "step 1: sell_long is rest; the last step"),
        ({"retracement": [{"sell_long": -1, "open_short": 1}, REST]}, "step 1: sell_long is -1; it must be 0 or more"),
        (
            {"retracement": [{"sell_long": 1, "open_short": 1}, {"sell_long": "rest", "open_short": "-0.5"}]},
            "step 2: open_short is -0.5; it must be 0 or more",
        ),
        ({"retracement": []}, "retracement"),
        ({"cover_from": 3, "cover_rest_at": 2}, "cover_from 3 <= cover_rest_at 2"),
        ({"cover_rest_at": 6}, "cover_rest_at 6 <= sweep_at 5"),
        ({"cover_from": 0}, "cover_from"),
        ({"fragment": 0}, "fragment"),
        ({"fragment": "1.01"}, "fragment"),
        ({"fragment": "NaN"}, "fragment"),
        ({"hedge_fragment": "1.2"}, "hedge_fragment"),
        ({"hedge_fragment": 0}, "hedge_fragment"),
        ({"sweep_From": 3}, "sweep_From"),
    ],
)
def test_a_ladder_that_cannot_be_executed_is_refused_naming_the_step_or_field(changes: Any, says: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        Ladder.model_validate(ladder_data(**changes))
    assert says in str(refusal.value)


def test_a_ladder_that_sells_all_before_its_last_step_is_fine() -> None:
    ladder = Ladder.model_validate(ladder_data(fragment=1, retracement=[{"sell_long": 1, "open_short": "same"}, REST]))
    trader = Trader(open_trade(ladder))
    trader.prices(99)
    assert (trader.state.ledger.long_qty, trader.state.ledger.short_qty) == (0, 10)
    trader.prices(98)
    assert (trader.state.phase, len(trader.orders)) == (Phase.DECLINE, 1)


def test_a_ladder_of_one_step_goes_straight_to_the_decline_and_back_to_the_reset() -> None:
    ladder = Ladder.model_validate(
        ladder_data(
            fragment=1, hedge_fragment=1, retracement=[{**REST, "open_short": "same"}], cover_from=1, cover_rest_at=1
        )
        | {"sweep_at": 1}
    )
    trader = Trader(open_trade(ladder))
    trader.prices(99)
    assert (trader.state.phase, trader.state.ledger.short_qty) == (Phase.DECLINE, 10)
    trader.prices(90)
    trader.prices(91)
    assert (trader.state.phase, trader.state.cycle) == (Phase.ADVANCE, 2)
    # Sold and shorted at 99, bought back at 91: the fall was earned once on the short.
    assert trader.state.allocation == 100 - 10 + 80
