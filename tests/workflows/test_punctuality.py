"""A task that is over by now is known by how late it comes, whatever the clocks say."""

import time

import pytest

from workflows import steady
from workflows.steady import _Punctuality


class Hand:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hand:
    hand = Hand()
    monkeypatch.setattr(time, "monotonic", hand)
    monkeypatch.setattr(time, "time", lambda: 50_000.0 + hand.now_s)
    return hand


def begun(seconds_ago: float, clock: Hand, skew_s: float = 0) -> int:
    return round((50_000 + clock.now_s - seconds_ago + skew_s) * 1e9)


@pytest.mark.parametrize("behind_s", [0.0, 100.0])
def test_a_task_over_the_limit_is_too_late_however_far_the_clock_is_behind(clock: Hand, behind_s: float) -> None:
    told = _Punctuality()
    assert not told.is_doubtful("run", clock(), begun(0.01, clock, behind_s), 3)
    clock.now_s += 60
    assert not told.is_doubtful("run", clock(), begun(2.9, clock, behind_s), 3)
    assert told.is_doubtful("run", clock(), begun(3.1, clock, behind_s), 3)
    assert not told.is_doubtful("run", clock(), begun(0.02, clock, behind_s), 3)


def test_a_worker_that_has_just_begun_knows_a_task_that_is_over(clock: Hand) -> None:
    assert _Punctuality().is_doubtful("run", clock(), begun(3.1, clock), 3)


def test_what_is_late_for_long_is_taken_for_a_clock_that_was_set(clock: Hand) -> None:
    told = _Punctuality()
    assert not told.is_doubtful("run", clock(), begun(0.01, clock), 3)
    assert told.is_doubtful("run", clock(), begun(10, clock), 3)
    clock.now_s += steady.LATE_FOR_S - 1
    assert told.is_doubtful("run", clock(), begun(10, clock), 3)
    clock.now_s += 2
    assert not told.is_doubtful("run", clock(), begun(10, clock), 3)
    assert not told.is_doubtful("run", clock(), begun(12, clock), 3)


def test_a_task_that_began_before_its_run_was_refused_went_with_it(clock: Hand) -> None:
    told = _Punctuality()
    task_ns = begun(0, clock)
    clock.now_s += 0.03
    told.refused("run")
    clock.now_s += 0.05
    assert told.is_doubtful("run", clock(), task_ns, 3)
    assert not told.is_doubtful("another", clock(), task_ns, 3)
    assert not told.is_doubtful("run", clock(), begun(0.01, clock), 3)
