import asyncio
import time

import pytest

from simulator.prices import Clock

WAIT_S = 5.0


async def is_waiting(task: asyncio.Task[None]) -> bool:
    """Whether a task is still waiting after the loop had every chance to wake it."""
    _, pending = await asyncio.wait({task}, timeout=0.02)
    return bool(pending)


async def test_position_moves_speed_times_as_fast_as_the_wall() -> None:
    clock = Clock(speed=100)
    before = time.monotonic()
    await clock.wait_until(5)
    wall_s = time.monotonic() - before
    assert clock.elapsed_s() >= 5
    assert 0.045 <= wall_s < WAIT_S


async def test_paused_clock_stands_still_and_goes_on_where_it_was() -> None:
    clock = Clock(speed=1000, position=7)
    clock.pause()
    held = clock.elapsed_s()
    waiter = asyncio.create_task(clock.wait_until(held + 1))
    assert await is_waiting(waiter)
    assert clock.elapsed_s() == held >= 7
    clock.resume()
    assert clock.elapsed_s() < held + WAIT_S * 1000
    await asyncio.wait_for(waiter, WAIT_S)


async def test_pause_holds_those_who_already_wait() -> None:
    clock = Clock(speed=50)
    waiter = asyncio.create_task(clock.wait_until(1))
    await asyncio.sleep(0)
    clock.pause()
    assert await is_waiting(waiter)
    clock.resume()
    await asyncio.wait_for(waiter, WAIT_S)


async def test_speed_change_wakes_those_who_wait_at_the_old_pace() -> None:
    clock = Clock(speed=0.001)
    waiter = asyncio.create_task(clock.wait_until(10))
    await asyncio.sleep(0)
    clock.set_speed(1000)
    await asyncio.wait_for(waiter, WAIT_S)
    assert clock.speed == 1000


async def test_seek_brings_what_lies_between_at_once_also_when_paused() -> None:
    clock = Clock(speed=0.001, paused=True)
    waiter = asyncio.create_task(clock.wait_until(3600))
    await asyncio.sleep(0)
    clock.seek(3600)
    await asyncio.wait_for(waiter, WAIT_S)
    assert clock.elapsed_s() == 3600
    assert clock.paused


def test_restarted_clock_continues_position_and_simulated_time() -> None:
    clock = Clock(position=90, start_ms=1_756_000_000_000, paused=True)
    assert clock.elapsed_s() == 90
    assert clock.now_ms() == 1_756_000_090_000
    assert not clock.is_new


def test_new_clock_starts_at_wall_time() -> None:
    before = time.time_ns() // 1_000_000
    clock = Clock(paused=True)
    assert before <= clock.now_ms() <= time.time_ns() // 1_000_000
    assert clock.is_new


@pytest.mark.parametrize("speed", [0, -1, float("nan"), float("inf")])
def test_speed_that_is_not_above_zero_is_refused(speed: float) -> None:
    with pytest.raises(ValueError, match=r"speed is .*a number above 0"):
        Clock(speed=speed)
    clock = Clock()
    with pytest.raises(ValueError, match="speed is"):
        clock.set_speed(speed)
    assert clock.speed == 1


def test_position_that_has_passed_is_refused() -> None:
    clock = Clock(position=10, paused=True)
    with pytest.raises(ValueError, match="can only go on"):
        clock.seek(9.5)
    with pytest.raises(ValueError, match="position is -1"):
        Clock(position=-1)
