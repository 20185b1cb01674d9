import asyncio
import logging
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feed.subscription import ConsumerTooSlow, Subscription
from feed.tracker import UnitTracker
from feed.trades import CLOCK_BACK_AFTER, Tape, Trade, trades_of
from strategy.units import UnitGrid


def entry(**changes: Any) -> dict[str, Any]:
    return {"coin": "ETH", "side": "B", "px": "3450.5", "sz": "0.1", "time": 1000, "hash": "0x0", "tid": 7} | changes


def trade(tid: int, time_ms: int = 0, price: str = "100") -> Trade:
    return Trade("ETH", Decimal(price), Decimal(1), time_ms or tid, tid, 0)


def test_a_frame_becomes_trades_oldest_first_and_exact() -> None:
    (found,) = trades_of([entry(px="0.10000000000000001")], 42)
    assert found == Trade("ETH", Decimal("0.10000000000000001"), Decimal("0.1"), 1000, 7, 42)
    newest_first = [entry(time=3, tid=1), entry(time=2, tid=9), entry(time=2, tid=5), entry(time=1, tid=2)]
    assert [found.tid for found in trades_of(newest_first, 0)] == [2, 5, 9, 1]
    one_block = [entry(time=2, tid=9), entry(time=2, tid=5)]
    assert [found.tid for found in trades_of(one_block, 0)] == [9, 5]


@pytest.mark.parametrize(
    "data",
    [None, {}, ["x"], [entry(px="NaN")], [entry(px="0")], [entry(px=None)], [entry(coin=3)], [{"coin": "ETH"}]],
)
def test_what_is_no_trade_is_refused_with_its_text(data: Any) -> None:
    with pytest.raises(ValueError, match="trade"):
        trades_of(data, 0)


def test_a_tape_has_each_trade_once_and_none_from_the_past() -> None:
    tape = Tape("ETH")
    first = [trade(3, 10), trade(1, 10), trade(2, 11)]
    assert tape.news(first) == first
    assert tape.news([trade(9, 9), *first, trade(4, 11)]) == [trade(4, 11)]
    assert tape.recent == (*first, trade(4, 11))


def test_a_tape_forgets_what_is_old_and_still_refuses_it() -> None:
    tape = Tape("ETH", kept=3)
    tape.news([trade(tid) for tid in range(1, 10)])
    assert [kept.tid for kept in tape.recent] == [7, 8, 9]
    assert tape.news([trade(1), trade(6)]) == []


def test_a_clock_that_was_set_back_is_followed(caplog: pytest.LogCaptureFixture) -> None:
    tape = Tape("ETH")
    tape.news([trade(1, 10**9)])
    assert tape.news([trade(tid, tid) for tid in range(2, CLOCK_BACK_AFTER + 2)]) == []
    later = [trade(tid, tid) for tid in range(CLOCK_BACK_AFTER + 2, CLOCK_BACK_AFTER + 5)]
    assert tape.news(later) == later
    assert [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING] == [
        f"The exchange's clock went back, from 1000000000 to {CLOCK_BACK_AFTER + 2} ms: following it"
    ]


@pytest.mark.parametrize(("replay", "gap"), [((4, 5), None), ((5, 6), 5), ((7,), 7)])
def test_a_replay_that_does_not_reach_back_is_marked(replay: tuple[int, ...], gap: int | None) -> None:
    tape = Tape("ETH")
    tape.news([trade(tid) for tid in (1, 2, 3, 4)])
    tape.interrupted()
    news = tape.news([trade(tid) for tid in replay])
    assert [each.tid for each in news if each.after_gap] == ([gap] if gap else [])
    assert tape.recent[4:] == tuple(news)


def path(long: int, too_long: int = 10**6) -> Subscription:
    async def enter(_: Subscription) -> None: ...

    return Subscription("ETH", enter, lambda _: None, long=long, too_long=too_long)


async def drained(subscription: Subscription) -> list[Trade]:
    return [await anext(subscription) for _ in range(len(subscription))]


def turning_points(lines: list[int]) -> list[int]:
    """Without repetitions and without what lies on the way."""
    kept: list[int] = []
    for line in lines:
        if len(kept) >= 2 and (kept[-2] <= kept[-1] <= line or kept[-2] >= kept[-1] >= line):
            kept.pop()
        if not kept or kept[-1] != line:
            kept.append(line)
    return kept


@settings(max_examples=200)
@given(st.lists(st.integers(80, 120), min_size=1, max_size=80), st.integers(2, 10))
def test_a_consumer_that_is_behind_counts_the_same_units(prices: list[int], long: int) -> None:
    grid = UnitGrid(anchor_price=Decimal(100), unit_size=Decimal(3))
    trades = [trade(tid, tid, str(price)) for tid, price in enumerate(prices, 1)]
    subscription = path(long)
    subscription.put(trades)
    taken = asyncio.run(drained(subscription))

    def lines(trades: list[Trade]) -> list[int]:
        tracker = UnitTracker(grid)
        return [0, *(line for each in trades if (line := tracker.observe(each.price)) is not None)]

    assert turning_points(lines(taken)) == turning_points(lines(trades))
    assert taken[-1].price == trades[-1].price
    turns = turning_points(prices)
    assert len(taken) <= long + len(turns)


async def test_a_path_is_kept_short_while_the_price_goes_one_way() -> None:
    subscription = path(long=5)
    subscription.put(trade(tid, tid, str(1000 + tid)) for tid in range(1, 1000))
    taken = await drained(subscription)
    assert len(taken) == 5 and taken[-1].tid == 999
    assert all(earlier.tid < later.tid for earlier, later in pairwise(taken))


async def test_a_path_that_can_not_be_kept_short_ends_aloud() -> None:
    subscription = path(long=2, too_long=50)
    subscription.put(trade(tid, tid, str(100 + tid % 2)) for tid in range(1, 100))
    with pytest.raises(ConsumerTooSlow, match="trades of ETH were not taken"):
        await anext(subscription)
