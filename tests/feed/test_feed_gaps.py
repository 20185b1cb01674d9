"""What candles tell of prices nobody heard. Times are in seconds of the first minutes; prices in USD."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from exchange.budget import Budget
from exchange.governor import Governor
from feed import gaps as gaps_module
from feed.candles import Candle, CandlesUnread, read_candles
from feed.gaps import Gap, Gaps, path
from feed.trades import Trade
from simulator.candles import Candles


def trade(second: float, price: int | str, *, after_gap: bool = False) -> Trade:
    time_ms = round(second * 1000)
    return Trade("ETH", Decimal(price), Decimal(1), time_ms, time_ms + 1, 0, after_gap)


def candle(minute: int, open_: int, high: int, low: int, close: int) -> Candle:
    at = minute * 60_000
    return Candle(at, at + 59_999, Decimal(open_), Decimal(high), Decimal(low), Decimal(close))


def prices(found: Sequence[Trade]) -> list[int]:
    return [int(each.price) for each in found]


def test_a_candle_within_the_gap_is_walked_to_the_far_end_first() -> None:
    gap = Gap(59_000, trade(181, 100))
    rising, falling, even = candle(1, 100, 110, 90, 105), candle(1, 100, 110, 90, 95), candle(2, 100, 110, 90, 100)
    assert prices(path(gap, [rising], [])) == [100, 90, 110, 105]
    assert prices(path(gap, [falling], [])) == [100, 110, 90, 95]
    assert prices(path(gap, [falling, even], [])) == [100, 110, 90, 95, 100, 90, 110, 100]


def test_of_the_minute_in_which_hearing_ended_only_the_close_counts_unless_it_was_heard_from_its_start() -> None:
    gap = Gap(90_000, trade(121, 100))
    minute = candle(1, 100, 110, 90, 105)
    assert prices(path(gap, [minute], [])) == [105]
    from_within = [trade(70, 100), trade(90, 102)]
    assert prices(path(gap, [minute], from_within)) == [105]
    whole = [trade(59, 100), *from_within]
    assert prices(path(gap, [minute], whole)) == [90, 110, 105]
    seen_high = [trade(59, 100), trade(65, 110), trade(90, 102)]
    assert prices(path(gap, [minute], seen_high)) == [90, 105]
    with_a_hole = [trade(59, 100), trade(80, 101, after_gap=True), trade(90, 102)]
    assert prices(path(gap, [minute], with_a_hole)) == [105]
    another_feed_went_on = [trade(59, 100), trade(80, 101)]
    assert prices(path(gap, [minute], another_feed_went_on)) == [105]


def test_of_the_minute_in_which_hearing_began_again_what_was_heard_since_does_not_count() -> None:
    first = trade(100, 104, after_gap=True)
    gap = Gap(59_000, first)
    minute = candle(1, 100, 110, 90, 95)
    assert prices(path(gap, [minute], [first])) == [100, 90, 110]
    assert prices(path(gap, [minute], [first, trade(110, 110)])) == [100, 90]
    assert prices(path(gap, [minute], [first, trade(110, 110), trade(111, 90)])) == [100]


def test_a_gap_within_one_minute_gives_what_lies_beyond_all_that_was_heard() -> None:
    first = trade(100, 104, after_gap=True)
    heard = [trade(59, 100), trade(70, 101), first, trade(110, 103)]
    gap = Gap(70_000, first)
    assert prices(path(gap, [candle(1, 101, 110, 101, 103)], heard)) == [110]
    assert prices(path(gap, [candle(1, 101, 104, 101, 103)], heard)) == []


def test_nothing_from_before_a_trade_opened_is_told() -> None:
    """It opened at 90 s; whoever follows it heard nothing before 100 s."""
    first = trade(100, 104)
    before_and_now = [candle(0, 50, 60, 40, 55), candle(1, 55, 999, 1, 104)]
    assert path(Gap(90_000, first), before_and_now, [first]) == []


def test_times_lie_in_the_gap_in_order_and_numbers_are_of_no_trade() -> None:
    first = trade(190.5, 100, after_gap=True)
    gap = Gap(59_000, first)
    candles = [candle(minute, 100, 110, 90, 105) for minute in (0, 1, 2, 3)]
    found = path(gap, candles, [first])
    times = [each.time_ms for each in found]
    assert times == sorted(times) and gap.after_ms <= times[0] and times[-1] < first.time_ms
    assert len({each.tid for each in found}) == len(found) and all(2**53 < each.tid < 2**63 for each in found)
    no_room = path(Gap(190_499, first), candles, [trade(179, 100), trade(190.499, 100), first])
    assert [each.time_ms for each in no_room] == [190_499] * 2


@asynccontextmanager
async def info(answers: list[Any]) -> AsyncIterator[tuple[str, list[Any]]]:
    """A venue that gives these answers, the last one for ever; an int is a status."""
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        found = answers[min(len(asked), len(answers)) - 1]
        return web.Response(status=found) if isinstance(found, int) else web.json_response(found)

    app = web.Application()
    app.router.add_post("/info", answer)
    async with TestServer(app) as server:
        yield str(server.make_url("/info")), asked


def wire() -> list[Any]:
    """Minutes 0 to 3 as the exchange sends them: 100, a spike to 120 in minute 1, then 104."""
    candles = Candles()
    for second, price in ((1, 100), (70, 100), (75, 120), (80, 103), (190, 104)):
        candles.add("ETH", Decimal(price), Decimal(1), second * 1000)
    return list(candles.snapshot("ETH", "1m", 0, 10**9))


async def test_candles_are_asked_for_until_they_are_read() -> None:
    first = trade(190, 104, after_gap=True)
    bad = [{"t": 0, "T": 59_999, "o": "100", "h": "90", "l": "110", "c": "100"}]
    async with info([502, None, bad, wire()]) as (url, asked):
        found = await Gaps(url, lambda: [trade(59, 100), first]).prices(Gap(59_000, first))
    assert max(prices(found)) == 120
    assert asked[-1]["req"] == {"coin": "ETH", "interval": "1m", "startTime": 0, "endTime": 190_000}
    assert len(asked) == 4


async def test_prices_go_on_without_candles_that_can_not_be_read(caplog: pytest.LogCaptureFixture) -> None:
    first = trade(190, 104, after_gap=True)
    async with info([500]) as (url, asked):
        assert await Gaps(url, lambda: [first], wait_s=0.3).prices(Gap(59_000, first)) == []
    assert len(asked) >= 2
    assert any("going on without them" in message for message in caplog.messages)
    async with info([[]]) as (url, _):
        assert await Gaps(url, lambda: [first]).prices(Gap(59_000, first)) == []


async def test_candles_are_read_within_the_feeds_share_of_the_rate_budget() -> None:
    governor = Governor(Budget(200, 50))
    async with info([wire(), 429]) as (url, _):
        await read_candles(url, "ETH", 0, 190_000, governor)
        assert governor.left() == 200 - 21
        with pytest.raises(CandlesUnread, match="429"):
            await read_candles(url, "ETH", 0, 190_000, governor)
    waiting = asyncio.create_task(read_candles(url, "ETH", 0, 190_000, governor))
    await asyncio.sleep(0)
    assert governor.waiting == 1, "after a 429 nothing is asked for a moment"
    waiting.cancel()


async def test_a_price_that_is_just_being_heard_is_not_one_of_the_gap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The candle had it before the stream did."""
    monkeypatch.setattr(gaps_module, "SETTLE_S", 0.01)
    first = trade(72, 100, after_gap=True)
    heard = [trade(1, 100), trade(59, 100), trade(65, 100), first]

    def hearing() -> list[Trade]:
        now, heard[4:] = list(heard), [trade(75, 120)]
        return now

    async with info([wire()]) as (url, _):
        assert await Gaps(url, hearing).prices(Gap(65_000, first)) == []


async def test_what_one_gap_told_is_not_told_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps_module, "SETTLE_S", 0.01)
    first, second = trade(77, 101, after_gap=True), trade(85, 103, after_gap=True)
    heard = [trade(1, 100), trade(71, 100), first, trade(78, 102), second]
    async with info([wire()]) as (url, _):
        gaps = Gaps(url, lambda: heard)
        assert prices(await gaps.prices(Gap(71_000, first))) == [120]
        assert await gaps.prices(Gap(78_000, replace(second))) == []
