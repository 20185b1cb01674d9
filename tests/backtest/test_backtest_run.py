import hashlib
import io
import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtest.columns import stretch_of
from backtest.equity import EquityCurve
from backtest.journal import Journal, as_text
from backtest.prices import PriceBatch
from backtest.run import run_fast, run_reference
from backtest.setup import CannotOpenError, Setup
from backtest.summary import Summary
from backtest.trading import Fills, advance
from strategy.ladder import V6, V7, AtReset, Ladder
from strategy.ledger import Ledger
from strategy.units import UnitMode
from strategy.values import Action, Phase
from tests.strategy.trading import PATIENT, TOLERANCE_USD, Trader, ladders, open_trade, paths, tick

FIRST_MS, STEP_MS = 1_750_000_000_000, 1_000


def batches(prices: Sequence[Decimal | int | str], size: int = 10_000) -> list[PriceBatch]:
    whole = [Decimal(price) for price in prices]
    return [
        PriceBatch(row, [FIRST_MS + k * STEP_MS for k in range(row, row + len(whole[row : row + size]))], part)
        for row in range(0, len(whole), size)
        if (part := whole[row : row + size])
    ]


def traded(prices: Sequence[Decimal | int | str], size: int = 10_000, **changes: Any) -> tuple[list[Any], Summary]:
    """The journal's lines and the summary of a trade of 100 USD at 10x with units of 1, the same by both paths."""
    file, fast = io.StringIO(), io.StringIO()
    setup = Setup.model_validate({"coin": "ETH", "margin_usd": 100, "leverage": 10, "unit_size": 1} | changes)
    summary = run_reference(setup, batches(prices, size), Journal(file))
    assert run_fast(setup, map(stretch_of, batches(prices, size)), Journal(fast)) == summary
    assert file.getvalue() == fast.getvalue()
    assert summary.decisions_sha256 == hashlib.sha256(file.getvalue().encode()).hexdigest()
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    assert summary.journal_lines == len(lines)
    return lines, summary


def test_the_worked_example_is_journalled_exactly() -> None:
    lines, summary = traded([100, "100.99", 103, "102.5", 102, 101, "101.7", 102])
    assert [line["i"] for line in lines] == [2, 4, 5, 7]
    assert lines[2] == {
        "i": 5,
        "ts": FIRST_MS + 5 * STEP_MS,
        "price": "101",
        "phase": "RETRACEMENT",
        "unit": 1,
        "peak": 3,
        "valley": 0,
        "cycle": 1,
        "legs": [["sell_long", "2"], ["open_short", "1"]],
        "order_qty": "-3",
        "long": "7",
        "short": "2",
        "short_entry": "101.5",
        "cash": "101",
        "allocation": "100",
        "equity": "112",
    }
    assert [line["equity"] for line in lines] == ["130", "120", "112", "117"]
    assert sorted(lines[3]["legs"]) == [["buy_long", "2"], ["cover_short", "1"]]
    assert lines[3]["order_qty"] == "3" and lines[3]["cash"] == "-2"
    assert summary.equity_usd == 117 and summary.pnl_usd == 17 and summary.return_on_margin == Decimal("0.17")
    assert (summary.orders, summary.cycles, summary.resets, summary.rows) == (4, 1, 0, 8)
    assert (summary.first_ts, summary.last_ts) == (FIRST_MS, FIRST_MS + 7 * STEP_MS)
    assert (summary.phase, summary.unit) == (Phase.RETRACEMENT, 2)


def test_the_entry_is_the_first_price_and_no_tick() -> None:
    lines, summary = traded([100])
    assert lines == [] and (summary.rows, summary.orders) == (1, 1) and summary.equity_usd == 100
    assert summary.phase_ticks[Phase.ADVANCE] == 1


def test_a_reset_inside_a_tick_is_journalled_with_the_legs_of_all_its_orders() -> None:
    lines, summary = traded([100, 95, 101], at_reset="cap")
    line = lines[1]
    assert (line["cycle"], line["unit"], line["peak"], line["phase"]) == (2, 1, 1, "ADVANCE")
    # Four recovery steps, the last buying nothing: the cash is spent; then the new cycle's sale down to its margin.
    actions = [action for action, _ in line["legs"]]
    assert actions[0] == "cover_short" and actions[-1] == "sell_long" and actions.count("sell_long") == 1
    signs = {"cover_short": 1, "buy_long": 1, "sell_long": -1, "open_short": -1}
    assert sum(signs[action] * Decimal(qty) for action, qty in line["legs"]) == Decimal(line["order_qty"])
    assert (summary.resets, summary.orders) == (1, 4)
    assert Decimal(line["long"]) * 101 <= Decimal(line["equity"]) * 10 + TOLERANCE_USD


def test_a_line_is_written_when_a_reset_brings_the_unit_back_to_its_number() -> None:
    # Unit 0, down to -1, and v7's wholly undone retracement at unit 0 again: a new cycle, the same number.
    lines, summary = traded([100, 99, 100, 101], ladder=V7)
    assert [(line["unit"], line["cycle"]) for line in lines] == [(-1, 1), (0, 2), (1, 2)]
    # From valley -5 at unit -5 a gap sweeps at unit 0 and 5 units more are counted from there: 0 before, 5 after.
    lines, _ = traded([100, 95, 90, 95], margin_usd=1000, leverage=1)
    assert (lines[-1]["cycle"], lines[-1]["unit"]) == (2, 0)
    assert summary.resets == 1


def test_fees_and_slippage_are_charged_on_every_order() -> None:
    lines, summary = traded([100, 99], fee_bps="4.5", slippage_bps=10, leverage=1)
    # Bought 1 at 100.1, the anchor; at 99 one unit is complete: 0.1 sold and 0.1 shorted at 98.901.
    bought, sold = Decimal("100.1"), Decimal("0.2") * Decimal("98.901")
    assert (lines[0]["unit"], lines[0]["order_qty"]) == (-1, "-0.2")
    assert summary.fees_usd == (bought + sold) * Decimal("0.00045")
    assert summary.slippage_usd == Decimal("0.1") + Decimal("0.2") * Decimal("0.099")
    expected = 100 - bought + sold + Decimal("0.8") * 99 - summary.fees_usd
    assert abs(summary.equity_usd - expected) < TOLERANCE_USD


def test_lots_and_the_smallest_order_hold_back_what_the_exchange_would_not_take() -> None:
    lines, summary = traded([97, 96, 95, 96, 97], margin_usd=45, leverage=1, lot="0.01", min_notional_usd=10)
    # 0.09 at 96 is not worth 10 dollars and goes with the 0.13 at 95; taking it back at 97 waits again.
    assert [line["order_qty"] for line in lines] == ["0", "-0.22", "0.13", "0"]
    assert [len(line["legs"]) for line in lines] == [0, 4, 2, 0]
    assert [(line["long"], line["short"]) for line in lines] == [
        ("0.46", "0"),
        ("0.322", "0.082"),
        ("0.414", "0.044"),
        ("0.414", "0.044"),
    ]
    assert (summary.orders, lines[-1]["phase"]) == (3, "ADVANCE")


def test_legs_that_cancel_each_other_are_booked_without_an_order() -> None:
    held = Ledger(long_qty=Decimal(9), short_qty=Decimal(1), short_entry=Decimal(98), cash=Decimal(2))
    due = open_trade().changed(ledger=held, wanted_long=Decimal(8))
    fills = Fills(Setup(coin="ETH", margin_usd=Decimal(100), unit_size=Decimal(1)))
    state, legs = advance(due, tick("100.5"), fills)
    assert state.ledger.long_qty == 8 and state.ledger.short_qty == 0
    assert [leg.action for leg in legs] == [Action.SELL_LONG, Action.COVER_SHORT]
    assert fills.orders == 0


def test_the_memoryless_grid_stays_in_its_unit_on_the_line_it_starts_at() -> None:
    lines, _ = traded([100, "101.5", 101, "100.9"], unit_mode="grid")
    assert [(line["i"], line["unit"]) for line in lines] == [(1, 1), (3, 0)]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"margin_usd": "0.9", "min_notional_usd": 10}, "worth 9.00 USD"),
        ({"margin_usd": "0.9", "min_notional_usd": 10}, "at least 1 USD"),
        ({"margin_usd": 9, "leverage": 1, "lot": 1}, "at least 100 USD"),
        ({"unit_size": "0.00001"}, "use at least 0.0001 USD"),
    ],
)
def test_a_trade_that_can_not_be_is_refused_with_its_figures(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(CannotOpenError) as refusal:
        traded([100, 101], **changes)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_no_prices_are_refused() -> None:
    with pytest.raises(ValueError, match="no prices"):
        traded([])


def test_a_trade_worn_down_below_one_order_runs_on_to_the_end() -> None:
    prices = [Decimal(100), *([Decimal(95), Decimal(100)] * 40)]
    _, summary = traded(prices, margin_usd=20, leverage=1, fee_bps=45, lot="0.01", min_notional_usd=10)
    assert summary.rows == 81 and summary.equity_usd < 10


@PATIENT
@given(ladders(), paths(), st.sampled_from(AtReset), st.sampled_from(UnitMode), st.integers(1, 20))
def test_the_fast_path_decides_what_every_tick_decided_alone_would(
    ladder: Ladder, path: list[Decimal], at_reset: AtReset, unit_mode: UnitMode, size: int
) -> None:
    """Against a trade to which each price is given by itself; equity at every tick, too."""
    lines, summary = traded(
        [1000, *path], size, margin_usd=2000, leverage=5, ladder=ladder, at_reset=at_reset, unit_mode=unit_mode
    )
    trader = Trader(open_trade(ladder, price="1000", margin="2000", leverage=5, at_reset=at_reset, unit_mode=unit_mode))
    left = iter(lines)
    equities = [Decimal(2000)]
    phases = [Phase.ADVANCE]
    for row, price in enumerate(path, start=1):
        line_before, orders = trader.state.line, len(trader.orders)
        trader.legs.clear()
        state = trader.prices(price)
        equities.append(state.equity(price))
        phases.append(state.phase)
        if state.line == line_before:
            assert trader.orders[orders:] == []
            continue
        line = next(left)
        assert (line["i"], line["ts"]) == (row, FIRST_MS + row * STEP_MS)
        assert (line["unit"], line["peak"], line["valley"]) == (state.current_unit, state.peak_unit, state.valley_unit)
        assert (line["phase"], line["cycle"]) == (state.phase, state.cycle)
        assert line["legs"] == [[leg.action, as_text(leg.qty)] for leg in trader.legs]
        assert Decimal(line["order_qty"]) == sum(order.size for order in trader.orders[orders:])
        held = state.ledger
        for name, figure in (
            ("price", price),
            ("long", held.long_qty),
            ("short", held.short_qty),
            ("short_entry", held.short_entry),
            ("cash", held.cash),
            ("allocation", state.allocation),
            ("equity", state.equity(price)),
        ):
            assert Decimal(line[name]) == figure
    assert next(left, None) is None
    assert abs(summary.max_drawdown_usd - deepest(equities)) < TOLERANCE_USD
    assert abs(summary.lowest_equity_usd - min(equities)) < TOLERANCE_USD
    assert summary.phase_ticks == {phase: phases.count(phase) for phase in Phase}
    assert sum(summary.phase_ms.values()) == summary.last_ts - summary.first_ts
    assert summary.resets == trader.state.cycle - 1
    assert summary.orders == len([order for order in trader.orders if order.size]) + 1


def deepest(equities: list[Decimal]) -> Decimal:
    return max(max(equities[: k + 1]) - equity for k, equity in enumerate(equities))


@PATIENT
@given(paths(), st.sampled_from(["0", "10"]), st.sampled_from(["0.0001", "0.01", "1"]))
def test_equity_is_the_money_spent_and_the_position_held(path: list[Decimal], minimum: str, lot: str) -> None:
    """Costs included: from the journal's orders alone, as the exchange would have filled them."""
    lines, summary = traded(
        [1000, *path],
        margin_usd=2000,
        fee_bps="4.5",
        slippage_bps=2,
        lot=lot,
        min_notional_usd=minimum,
        at_reset="keep",
    )
    qty = Decimal(2000) * 10 / 1000
    account, held = Decimal(2000), Decimal(0)
    for size, price in [(qty, Decimal(1000)), *((Decimal(x["order_qty"]), Decimal(x["price"])) for x in lines)]:
        fill = price * (1 + Decimal("0.0002") * (1 if size > 0 else -1))
        account -= size * fill + abs(size) * fill * Decimal("0.00045")
        held += size
    assert abs(summary.equity_usd - (account + held * path[-1])) < TOLERANCE_USD


@PATIENT
@given(st.lists(st.integers(1, 2000).map(Decimal), min_size=1, max_size=50))
def test_drawdowns_are_the_deepest_falls_from_the_peak_so_far(equities: list[Decimal]) -> None:
    curve = EquityCurve(equities[0])
    for equity in equities:
        curve.see(equity)
    shares = [1 - equity / max(equities[: k + 1]) for k, equity in enumerate(equities)]
    assert curve.max_drawdown_usd == deepest(equities)
    assert abs(curve.max_drawdown - max(shares)) < Decimal("1e-20")
    assert (curve.peak_usd, curve.lowest_usd) == (max(equities), min(equities))


def test_a_summary_says_when_more_than_the_margin_was_lost() -> None:
    _, summary = traded([100, 50, 60], leverage=10)
    assert summary.lowest_equity_usd < 0 and summary.max_drawdown > 1


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1E+3", "1000"),
        ("1.500", "1.5"),
        ("-0", "0"),
        ("0E-18", "0"),
        ("-0.00", "0"),
        ("1E-18", "0.000000000000000001"),
    ],
)
def test_equal_numbers_have_one_text(number: str, text: str) -> None:
    assert as_text(Decimal(number)) == text


def test_the_same_run_has_the_same_hash_and_another_ladder_another() -> None:
    prices = [100, 97, 99, 95, 90, 93, 96, 99]
    hashes = [traded(prices, ladder=ladder)[1].decisions_sha256 for ladder in (V6, V6, V7)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_a_journal_without_a_file_has_the_same_hash() -> None:
    prices = batches([100, 97, 99, 95])
    setup = Setup(coin="ETH", margin_usd=Decimal(100), unit_size=Decimal(1))
    assert run_reference(setup, prices, Journal()) == run_reference(setup, prices, Journal(io.StringIO()))
