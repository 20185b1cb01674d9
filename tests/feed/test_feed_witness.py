import asyncio
import logging

import pytest

from activities.messages import Outage
from feed import witness as witness_module
from feed.courier import Undelivered
from feed.tasks import running
from feed.witness import Absence, Owed, Witness
from tests.feed.harness import until

log = logging.getLogger("feed.test")


class WallClock:
    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    clock = WallClock()
    monkeypatch.setattr(witness_module, "now_ms", clock)
    return clock


def away(from_s: int, to_s: int) -> Outage:
    return Outage(who="exchange", from_ms=from_s * 1000, to_ms=to_s * 1000)


class Workflow:
    def __init__(self) -> None:
        self.heard: list[Outage] = []
        self.failures = 0

    async def tell(self, outage: Outage) -> None:
        if self.failures:
            self.failures -= 1
            raise Undelivered("UNAVAILABLE")
        self.heard.append(outage)


async def told(owed: Owed) -> list[Outage]:
    """All that it is owed."""
    workflow = Workflow()
    async with running(owed.tell(workflow.tell, log)):
        await owed.all_told()
    return workflow.heard


def test_an_absence_is_told_from_when_it_was_last_there(clock: WallClock) -> None:
    over: list[Outage] = []
    absence = Absence("temporal", over.append)
    absence.back()
    absence.gone(999_000)
    clock.ms += 5_000
    absence.gone(clock.ms)
    absence.back()
    absence.back()
    assert over == [Outage(who="temporal", from_ms=999_000, to_ms=1_005_000)]


def test_a_short_absence_and_one_nobody_missed_are_not_told(clock: WallClock) -> None:
    over: list[Outage] = []
    absence = Absence("exchange", over.append)
    absence.gone(clock.ms)
    clock.ms += 1_999
    absence.back()
    absence.gone(clock.ms)
    absence.forget()
    clock.ms += 60_000
    absence.back()
    absence.gone(clock.ms)
    clock.ms -= 60_000
    absence.back()
    assert over == []


async def test_outages_are_delivered_in_order_each_once_whatever_fails() -> None:
    owed, workflow = Owed(), Workflow()
    outages = [away(1, 4), away(5, 9), away(10, 20)]
    workflow.failures = 3
    async with running(owed.tell(workflow.tell, log)):
        for outage in outages:
            owed.put(outage)
        await owed.all_told()
    assert workflow.heard == outages


async def test_what_an_attempt_left_untold_the_next_one_tells() -> None:
    owed, workflow = Owed(), Workflow()
    workflow.failures = 10**9
    owed.put(away(1, 4))
    async with running(owed.tell(workflow.tell, log)):
        await until(lambda: workflow.failures < 10**9)
        owed.put(away(5, 9))
    assert await told(owed) == [away(1, 4), away(5, 9)]


async def test_an_outage_is_owed_to_every_trade_followed_here(clock: WallClock) -> None:
    witness = Witness()
    first, second = witness.follows("trade-ETH", None), witness.follows("trade-SOL", None)
    over = witness.follows("trade-BTC", None)
    witness.forget("trade-BTC")
    witness.exchange.gone(clock.ms)
    clock.ms += 3_000
    witness.exchange.back()
    assert [outage.who for outage in await told(first)] == ["exchange"]
    assert [outage.who for outage in await told(second)] == ["exchange"]
    assert await told(over) == []


async def test_a_trade_is_told_how_long_nobody_followed_it(clock: WallClock) -> None:
    witness = Witness()
    expected = Outage(who="feed", from_ms=clock.ms - 4_000, to_ms=clock.ms)
    assert await told(witness.follows("trade-ETH", clock.ms - 4_000)) == [expected]
    assert await told(witness.follows("trade-SOL", clock.ms - 1_000)) == []
    assert await told(witness.follows("trade-BTC", None)) == []


async def test_a_trade_this_process_followed_all_the_time_missed_nothing(clock: WallClock) -> None:
    """Heartbeats reach Temporal late."""
    witness = Witness()
    owed = witness.follows("trade-ETH", None)
    clock.ms += 60_000
    owed.followed_ms = clock.ms
    assert await told(witness.follows("trade-ETH", clock.ms - 30_000)) == []


@pytest.mark.parametrize("found_again_after_s", [3, 60])
async def test_while_temporal_is_away_nobody_can_be_found_to_follow(clock: WallClock, found_again_after_s: int) -> None:
    witness = Witness()
    since_ms = clock.ms
    witness.temporal.gone(since_ms)
    clock.ms += 20_000
    witness.temporal.back()
    clock.ms += found_again_after_s * 1000
    heard = await told(witness.follows("trade-ETH", since_ms - 500))
    assert [outage.who for outage in heard] == ["temporal"] + ["feed"] * (found_again_after_s == 60)


async def test_two_attempts_at_once_do_not_tell_twice() -> None:
    """The one that is being replaced ends a moment later."""
    owed, workflow = Owed(), Workflow()
    workflow.failures = 2
    owed.put(away(1, 4))
    async with running(owed.tell(workflow.tell, log)), running(owed.tell(workflow.tell, log)):
        await owed.all_told()
        await asyncio.sleep(0)
    assert workflow.heard == [away(1, 4)]
