import asyncio
import json
from decimal import Decimal
from itertools import takewhile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.paths import PathSource, Print
from simulator.prices import Clock, PricePoint, PriceSourceError
from simulator.scenario import Scenario, bundled_names, load_scenario, parse_scenario
from simulator.sources import PriceSpec, price_source
from strategy.fold import booked, decide, reset
from strategy.ladder import V6, V7, Ladder
from strategy.state import Terms, TradeState, opened
from strategy.values import Execution, Tick

TWO_COINS = """
step_s: 1
coins:
  ETH:
    path: [[0, 3450], [2, 3452], [2.5, 3452.25]]
  SOL:
    step_s: 2
    path: [[0, 180], [3, 180.3]]
"""


def prints_until(scenario: Scenario, from_s: float, until_s: float) -> list[Print]:
    return list(takewhile(lambda each: each.elapsed_s <= until_s, scenario.prints_after(from_s)))


async def all_points(source: PathSource) -> list[PricePoint]:
    return [point async for point in source.stream()]


def test_prices_between_points_lie_on_the_line_and_points_are_exact() -> None:
    scenario = parse_scenario(TWO_COINS, "two.yaml")
    assert scenario.prices_at(0) == {"ETH": Decimal(3450), "SOL": Decimal(180)}
    assert list(scenario.prints_after(0)) == [
        Print(1.0, "ETH", Decimal(3451)),
        Print(2.0, "ETH", Decimal(3452)),
        Print(2.0, "SOL", Decimal("180.2")),
        Print(2.5, "ETH", Decimal("3452.25")),
        Print(3.0, "SOL", Decimal("180.3")),
    ]


def test_prices_between_points_have_five_figures_and_above_ten_thousand_no_decimals() -> None:
    text = "step_s: 1\ncoins: {ETH: {path: [[0, 3450], [3, 3451]]}, BTC: {path: [[0, 123455], [2, 123456]]}}"
    prints = list(parse_scenario(text, "s").prints_after(0))
    assert [each.price for each in prints if each.coin == "ETH"] == [Decimal("3450.3"), Decimal("3450.7"), 3451]
    assert [each.price for each in prints if each.coin == "BTC"] == [123456, 123456]


def test_same_scenario_in_json_indented_with_tabs() -> None:
    as_json = json.dumps(
        {"step_s": 1, "coins": {"ETH": {"path": [[0, 3450], [2, 3452.5]]}}, "loop": False, "start": "running"},
        indent="\t",
    )
    scenario = parse_scenario(as_json, "scenario.json")
    assert [each.price for each in scenario.prints_after(0)] == [Decimal("3451.2"), Decimal("3452.5")]


def test_loop_begins_again_without_printing_the_seam_twice() -> None:
    scenario = parse_scenario("step_s: 1\nloop: true\ncoins: {ETH: {path: [[0, 10], [1, 11], [2, 10]]}}", "loop")
    assert prints_until(scenario, 0, 5) == [
        Print(1.0, "ETH", Decimal(11)),
        Print(2.0, "ETH", Decimal(10)),
        Print(3.0, "ETH", Decimal(11)),
        Print(4.0, "ETH", Decimal(10)),
        Print(5.0, "ETH", Decimal(11)),
    ]


def test_loop_with_a_jump_prints_the_first_point_again() -> None:
    scenario = parse_scenario("step_s: 1\nloop: true\ncoins: {ETH: {path: [[0, 10], [1, 12]]}}", "loop")
    told = [(each.elapsed_s, int(each.price)) for each in prints_until(scenario, 0, 2)]
    assert told == [(1.0, 12), (1.0, 10), (2.0, 12), (2.0, 10)]


@given(position_s=st.floats(min_value=0, max_value=400, allow_nan=False))
def test_path_continued_at_any_position_is_the_rest_of_the_whole(position_s: float) -> None:
    scenario = load_scenario("full_cycle")
    whole = prints_until(scenario, 0, 450)
    assert prints_until(scenario, position_s, 450) == [each for each in whole if each.elapsed_s > position_s]
    expected = scenario.prices_at(0)
    expected.update({each.coin: each.price for each in whole if each.elapsed_s <= position_s})
    assert scenario.prices_at(position_s) == expected


async def test_source_prints_every_point_at_its_time_and_ends_with_the_path() -> None:
    clock = Clock(speed=200, start_ms=1_756_000_000_000)
    source = PathSource(parse_scenario(TWO_COINS, "two.yaml"), clock)
    assert source.coins == ("ETH", "SOL")
    assert source.initial() == {"ETH": Decimal(3450), "SOL": Decimal(180)}
    points = await asyncio.wait_for(all_points(source), 5)
    assert [(point.coin, point.time_ms - clock.start_ms) for point in points] == [
        ("ETH", 1000),
        ("ETH", 2000),
        ("SOL", 2000),
        ("ETH", 2500),
        ("SOL", 3000),
    ]
    assert clock.elapsed_s() >= 3


async def test_closed_source_ends_while_it_waits() -> None:
    clock = Clock(paused=True)
    source = PathSource(parse_scenario(TWO_COINS, "two.yaml"), clock)
    reader = asyncio.create_task(all_points(source))
    await asyncio.sleep(0)
    await source.close()
    assert await asyncio.wait_for(reader, 5) == []


async def test_cancelled_reader_leaves_nothing_running() -> None:
    source = PathSource(parse_scenario(TWO_COINS, "two.yaml"), Clock(paused=True))
    before = asyncio.all_tasks()
    reader = asyncio.create_task(all_points(source))
    await asyncio.wait({reader}, timeout=0.01)
    reader.cancel()
    await asyncio.wait({reader}, timeout=5)
    assert reader.cancelled()
    leftover = asyncio.all_tasks() - before
    await asyncio.wait(leftover, timeout=5) if leftover else None
    assert asyncio.all_tasks() <= before


def test_scenario_that_starts_paused_pauses_a_new_clock_only(tmp_path: Path) -> None:
    file = tmp_path / "paused.yaml"
    file.write_text("start: paused\n" + TWO_COINS)
    new, continued = Clock(), Clock(position=1.5)
    price_source(PriceSpec(scenario=str(file)), new)
    source = price_source(PriceSpec(scenario=str(file)), continued)
    assert new.paused
    assert not continued.paused
    assert source.initial()["ETH"] == 3451


REFUSED = {
    "not yaml": ("coins: [", r"line 1: not YAML or JSON"),
    "empty": ("", r"is empty"),
    "a list": ("- 1", r"line 1: the file is a list: a mapping is needed"),
    "no coins": ("step_s: 1", r"line 1: the file has no `coins`"),
    "empty coins": ("coins: {}", r"line 1: coins is empty"),
    "unknown key": (
        "coins: {}\nstep: 1",
        r"line 2: the file has the key 'step': allowed are coins, step_s, start, loop",
    ),
    "coin twice": ("coins:\n  A: {path: [[0,1]]}\n  A: {path: [[0,1]]}", r"line 3: coins has the key 'A' twice"),
    "no path": ("coins:\n  ETH: {step_s: 1}", r"line 2: coins.ETH has no `path`"),
    "path a number": ("coins:\n  ETH: {path: 5}", r"line 2: coins.ETH.path is '5': a list of \[seconds, price\]"),
    "point too long": ("coins:\n  ETH:\n    path:\n    - [0, 1, 2]", r"line 4: coins.ETH.path\[0\] is a list: \[sec"),
    "word as price": (
        "coins:\n  ETH:\n    path:\n    - [0, 1]\n    - [1, up]",
        r"s\.yaml line 5: coins.ETH.path\[1\]: price is 'up': a number above 0 is allowed",
    ),
    "price zero": ("coins: {ETH: {path: [[0, 0]]}}", r"price is 0: a number above 0"),
    "price infinite": ("coins: {ETH: {path: [[0, Infinity]]}}", r"price is 'Infinity'"),
    "negative time": ("coins: {ETH: {path: [[-1, 5]]}}", r"seconds is -1: a number, 0 or more"),
    "first point late": ("coins: {ETH: {path: [[3, 5]]}}", r"seconds is 3: the first point stands at 0"),
    "time backwards": (
        "coins:\n  ETH:\n    path:\n    - [0, 5]\n    - [4, 5]\n    - [4, 6]",
        r"line 6: coins.ETH.path\[2\]: seconds is 4: more than the point before, 4,",
    ),
    "step zero": ("step_s: 0\ncoins: {ETH: {path: [[0, 5]]}}", r"line 1: step_s is 0: a number of seconds from 0.001"),
    "coin's step a word": ("coins: {ETH: {step_s: fast, path: [[0, 5]]}}", r"coins.ETH.step_s is 'fast'"),
    "start unknown": (
        "start: later\ncoins: {ETH: {path: [[0, 5]]}}",
        r"start is 'later': running or paused is allowed",
    ),
    "loop of nothing": ("loop: true\ncoins: {ETH: {path: [[0, 5]]}}", r"line 1: loop is true, but no path is longer"),
}


@pytest.mark.parametrize(("text", "problem"), REFUSED.values(), ids=REFUSED)
def test_refusal_names_line_field_value_and_what_is_allowed(text: str, problem: str) -> None:
    with pytest.raises(PriceSourceError, match=problem):
        parse_scenario(text, "s.yaml")


def test_unknown_name_is_answered_with_the_names_there_are() -> None:
    with pytest.raises(PriceSourceError, match=r"scenario is 'no_such': No such file.*one of: .*full_cycle"):
        load_scenario("no_such")


@pytest.mark.parametrize("name", bundled_names())
def test_bundled_scenarios_load_and_loop_without_a_jump(name: str) -> None:
    scenario = load_scenario(name)
    assert {"ETH", "BTC", "SOL", "HYPE", "DOGE"} <= set(scenario.coins)
    for path in scenario.paths.values():
        assert path.points[0][1] == path.points[-1][1]


def full_cycle_trade(ladder: Ladder, anchor: Decimal) -> TradeState:
    terms = Terms(coin="ETH", leverage=10, ladder=ladder)
    size = Decimal(1000) / anchor
    return opened(terms, Decimal(2), Decimal(100), Execution(size=size, average_price=anchor))


def story_of(state: TradeState, prices: list[Decimal]) -> tuple[list[str], TradeState]:
    """Phase and unit after every completed unit, orders filled exactly at the price that caused them."""
    story: list[str] = []
    for time_ms, price in enumerate(prices):
        ticks: tuple[Tick, ...] = (Tick(price=price, time_ms=time_ms),)
        while ticks:
            decision = decide(state, ticks)
            ticks, state = decision.rest, decision.state
            if decision.order_qty:
                state = booked(state, Execution(size=decision.order_qty, average_price=price))
            for _ in decision.unit_changes:
                story.append(f"{state.phase.value} {state.current_unit}")
            if state.reset_due:
                state = reset(state, price).state
                story.append(f"RESET {state.cycle}")
    return story, state


FIRST_PASS = """
ADVANCE 1, ADVANCE 2, ADVANCE 3,
RETRACEMENT 2, RETRACEMENT 1, RETRACEMENT 2, RETRACEMENT 1, RETRACEMENT 0, RETRACEMENT -1,
DECLINE -2, DECLINE -3, DECLINE -4, DECLINE -5,
DECLINE -4, RECOVERY -3, RECOVERY -2, RECOVERY -1, RECOVERY 0, RESET 2,
ADVANCE 1, ADVANCE 2, ADVANCE 3
"""


@pytest.mark.parametrize("anchor", ["3449.1", "3449.75", "3450", "3450.3", "3450.9"])
def test_full_cycle_tells_the_whole_ladder_once_per_pass_for_any_anchor_near_the_start(anchor: str) -> None:
    scenario = load_scenario("full_cycle")
    assert 75 <= scenario.length_s <= 90
    assert all(price == 3450 for at_s, _, price in eth(prints_until(scenario, 0, 10)))
    until_back = [price for _, _, price in eth(prints_until(scenario, 0, 72))]
    story, _ = story_of(full_cycle_trade(V6, Decimal(anchor)), until_back)
    assert ", ".join(story) == FIRST_PASS.strip().replace("\n", " ")

    three_passes = [price for _, _, price in eth(prints_until(scenario, 0, 3 * scenario.length_s))]
    story, state = story_of(full_cycle_trade(V6, Decimal(anchor)), three_passes)
    assert [each for each in story if each.startswith("RESET")] == ["RESET 2", "RESET 3", "RESET 4"]
    assert state.base_unit == 0


def test_full_cycle_resets_the_v7_ladder_too() -> None:
    prices = [price for _, _, price in eth(prints_until(load_scenario("full_cycle"), 0, 90))]
    story, _ = story_of(full_cycle_trade(V7, Decimal(3450)), prices)
    assert "RESET 2" in story


def eth(prints: list[Print]) -> list[Print]:
    return [each for each in prints if each.coin == "ETH"]
