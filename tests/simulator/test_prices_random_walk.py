import statistics
from decimal import Decimal
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.paths import Print
from simulator.prices import Clock
from simulator.random_walk import RandomWalk, Walk
from simulator.sources import PriceSpec, price_source


def prices_of(walk: RandomWalk, coin: str, number: int) -> list[Decimal]:
    return list(islice((each.price for each in walk.prints_after(0) if each.coin == coin), number))


def test_seed_names_one_path_for_ever() -> None:
    assert list(islice(RandomWalk(7).prints_after(0), 10)) == SEED_7


def test_other_seed_is_another_path() -> None:
    assert prices_of(RandomWalk(1), "ETH", 20) != prices_of(RandomWalk(2), "ETH", 20)


def test_path_of_a_coin_does_not_depend_on_the_others() -> None:
    alone = RandomWalk(3, {"ETH": Walk(Decimal(3450), Decimal("0.9"))})
    assert prices_of(alone, "ETH", 50) == prices_of(RandomWalk(3), "ETH", 50)


@pytest.mark.parametrize("volatility_bps", [1, 20])
def test_moves_are_as_wide_as_asked(volatility_bps: int) -> None:
    walk = RandomWalk(11, {"X": Walk(Decimal(9), Decimal(volatility_bps))}, step_s=Decimal(4))
    prices = [float(price) for price in prices_of(walk, "X", 4000)]
    moves_bps = [(after / before - 1) * 10_000 for before, after in pairwise(prices)]
    # Twice the volatility of one second over four seconds; 4000 draws are good to about 1%.
    assert statistics.pstdev(moves_bps) == pytest.approx(2 * volatility_bps, rel=0.1)
    assert abs(statistics.fmean(moves_bps)) < 0.2 * volatility_bps


@settings(max_examples=20)
@given(position_s=st.floats(min_value=0, max_value=60), seed=st.integers())
def test_walk_continued_at_any_position_is_the_rest_of_the_whole(position_s: float, seed: int) -> None:
    walk = RandomWalk(seed)
    whole = list(islice(walk.prints_after(0), 5 * 4 * 70))
    rest = [each for each in whole if each.elapsed_s > position_s]
    assert list(islice(walk.prints_after(position_s), len(rest))) == rest
    passed = {each.coin: each.price for each in whole if each.elapsed_s <= position_s}
    assert walk.prices_at(position_s) == {**walk.prices_at(0), **passed}


def test_option_makes_the_walk_of_its_seed() -> None:
    source = price_source(PriceSpec(random_walk=7), Clock(position=0.5, paused=True))
    assert source.initial()["ETH"] == SEED_7[6].price


SEED_7 = [
    Print(0.25, "BTC", Decimal("85000")),
    Print(0.25, "ETH", Decimal("3450.1")),
    Print(0.25, "SOL", Decimal("180.00")),
    Print(0.25, "HYPE", Decimal("40.004")),
    Print(0.25, "DOGE", Decimal("0.21001")),
    Print(0.5, "BTC", Decimal("84995")),
    Print(0.5, "ETH", Decimal("3449.7")),
    Print(0.5, "SOL", Decimal("180.00")),
    Print(0.5, "HYPE", Decimal("40.007")),
    Print(0.5, "DOGE", Decimal("0.21002")),
]
