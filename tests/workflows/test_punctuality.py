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


@pytest.mark.parametrize("skew_s", [-100.0, 0.0, 100.0])
def test_a_task_older_than_its_timeout_is_too_late_however_far_apart_the_clocks_are(clock: Hand, skew_s: float) -> None:
    told = _Punctuality()
    assert not told.is_too_late(begun(0.01, clock, skew_s), 3)
    clock.now_s += 60
    assert not told.is_too_late(begun(2.9, clock, skew_s), 3)
    assert told.is_too_late(begun(3.1, clock, skew_s), 3)
    assert not told.is_too_late(begun(0.02, clock, skew_s), 3)


def test_what_would_be_refused_for_long_is_taken_for_a_clock_that_was_set(clock: Hand) -> None:
    told = _Punctuality()
    assert not told.is_too_late(begun(0.01, clock), 3)
    assert told.is_too_late(begun(10, clock), 3)
    clock.now_s += steady.REFUSES_FOR_S - 1
    assert told.is_too_late(begun(10, clock), 3)
    clock.now_s += 2
    assert not told.is_too_late(begun(10, clock), 3)
    assert not told.is_too_late(begun(12, clock), 3)
