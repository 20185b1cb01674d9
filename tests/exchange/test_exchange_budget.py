"""Who may send what when, judged by a clock that is moved by hand: no window of a minute above the share, no order
behind a read, nobody forgotten."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exchange import weights
from exchange.budget import BACK_OFF_S, BACK_OFF_S_MAX, WINDOW_S, Budget, Claim

SHARE, RESERVED = 100, 30


@pytest.mark.parametrize(
    ("request_", "most", "urgent", "rows", "came_to"),
    [
        ({"type": "clearinghouseState"}, 2, 2, {}, 2),
        ({"type": "orderStatus"}, 2, 2, {}, 2),
        ({"type": "metaAndAssetCtxs"}, 20, 20, [[], []], 20),
        ({"type": "frontendOpenOrders"}, 20, 20, [{}] * 45, 20),
        ({"type": "a new one"}, 20, 20, [{}] * 45, 20),
        ({"type": "userRole"}, 60, 60, {}, 60),
        ({"type": "userFillsByTime"}, 120, 21, [], 20),
        ({"type": "userFillsByTime"}, 120, 21, [{}] * 41, 23),
        ({"type": "userFillsByTime"}, 120, 21, [{}] * 2000, 120),
        ({"type": "userFunding"}, 45, 21, None, 45),
        ({"type": "candleSnapshot", "req": {"startTime": 0, "endTime": 60_000 * 118}}, 22, 21, [{}] * 119, 22),
        ({"type": "candleSnapshot", "req": {"startTime": 0}}, 104, 21, [{}] * 5000, 104),
    ],
)
def test_questions_weigh_what_the_exchange_says(
    request_: dict[str, Any], most: int, urgent: int, rows: object, came_to: int
) -> None:
    weight = weights.of_info(request_)
    assert (weight.before(urgent=False), weight.before(urgent=True), weight.of(rows)) == (most, urgent, came_to)


@pytest.mark.parametrize(
    ("action", "weight"),
    [
        ({"type": "noop"}, 1),
        ({"type": "order", "orders": [{}]}, 1),
        ({"type": "order", "orders": [{}] * 39}, 1),
        ({"type": "order", "orders": [{}] * 40}, 2),
        ({"type": "cancel", "cancels": [{}] * 100}, 3),
    ],
)
def test_an_action_weighs_one_and_a_batch_little_more(action: dict[str, Any], weight: int) -> None:
    assert weights.of_action(action).before(urgent=True) == weights.of_action(action).of({}) == weight


@dataclass
class Sent:
    """A request that left: what it came to at the exchange, and when it was there."""

    claim: Claim
    left_s: float
    answered_s: float | None = None
    weight: int = 0


@dataclass
class Scene:
    """One process's budget, and everything that became of its requests."""

    budget: Budget = field(default_factory=lambda: Budget(SHARE, RESERVED))
    now_s: float = 1000
    waiting: list[Claim] = field(default_factory=list)
    sent: list[Sent] = field(default_factory=list)
    late: list[Claim] = field(default_factory=list)
    withdrawn: list[Claim] = field(default_factory=list)
    closed_until_s: float = 0
    pause_s: float = BACK_OFF_S

    @property
    def under_way(self) -> list[Sent]:
        return [each for each in self.sent if each.answered_s is None]

    def ask(self, weight: int, *, urgent: bool, within_s: float) -> Claim:
        claim = Claim(weight, urgent, self.now_s + within_s)
        self.waiting.append(claim)
        self.budget.ask(claim)
        self.step()
        return claim

    def step(self) -> None:
        leaving, late = self.budget.step(self.now_s)
        assert not leaving or self.now_s >= self.closed_until_s, "nothing leaves after a 429"
        for claim in late:
            assert claim.until_s <= self.now_s
            self.waiting.remove(claim)
        self.late += late
        for claim in leaving:
            self.waiting.remove(claim)
            self.sent.append(Sent(claim, self.now_s))
        left = self.budget.left(self.now_s)
        if any(not claim.urgent for claim in leaving):
            assert left >= RESERVED, "reads never touch what is kept for orders"
            assert not [claim for claim in self.waiting if claim.urgent], "no read leaves while an order waits"
        lightest = min((claim.weight for claim in self.waiting if claim.urgent), default=None)
        if lightest is not None and self.now_s >= self.closed_until_s:
            assert left < lightest, "an order waits only while there is no room for it"

    def pass_(self, seconds: float) -> None:
        """As alarms would wake it."""
        end_s = self.now_s + seconds
        while (next_s := self.budget.next_s(self.now_s)) is not None and next_s <= end_s:
            self.now_s = max(self.now_s, next_s)
            self.step()
            later_s = self.budget.next_s(self.now_s)
            assert later_s is None or later_s > self.now_s, "an alarm that changes nothing would ring for ever"
        assert (self.budget.next_s(end_s) is None) == (not self.waiting), "who waits is woken"
        self.now_s = end_s

    def answer(self, sent: Sent, weight: int, *, refused: bool = False) -> None:
        sent.answered_s, sent.weight = self.now_s, weight
        self.budget.settle(sent.claim, weight, self.now_s)
        if sent.left_s >= self.closed_until_s:
            if refused:
                self.closed_until_s = self.now_s + self.pause_s
            self.pause_s = min(2 * self.pause_s, BACK_OFF_S_MAX) if refused else BACK_OFF_S
        self.budget.answered(sent.claim, self.now_s, refused=refused)
        self.step()

    def withdraw(self, claim: Claim) -> None:
        self.waiting.remove(claim)
        self.withdrawn.append(claim)
        self.budget.withdraw(claim)
        self.step()


_second = st.integers(0, 40)
_asks = st.tuples(st.just("ask"), st.integers(1, SHARE - RESERVED), st.booleans(), st.integers(1, 90))
_passes = st.tuples(st.just("pass"), _second, st.just(False), st.just(0))
_answers = st.tuples(st.just("answer"), st.integers(0, 9), st.booleans(), st.integers(0, SHARE))
_withdrawals = st.tuples(st.just("withdraw"), st.integers(0, 9), st.just(False), st.just(0))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(_asks, _asks, _passes, _answers, _withdrawals), max_size=60), st.data())
def test_no_minute_holds_more_than_the_share_and_nobody_is_forgotten(
    steps: list[tuple[str, int, bool, int]], data: st.DataObject
) -> None:
    scene, asked = Scene(), 0
    for kind, number, flag, other in steps:
        if kind == "ask":
            scene.ask(number, urgent=flag, within_s=other)
            asked += 1
        elif kind == "pass":
            scene.pass_(number)
        elif kind == "answer" and scene.under_way:
            sent = scene.under_way[number % len(scene.under_way)]
            scene.answer(sent, min(other, sent.claim.weight), refused=flag and number == 0)
        elif kind == "withdraw" and scene.waiting:
            scene.withdraw(scene.waiting[number % len(scene.waiting)])
    for sent in scene.under_way:
        scene.answer(sent, sent.claim.weight)
    scene.pass_(100)
    assert not scene.waiting and scene.budget.next_s(scene.now_s) is None
    assert len(scene.sent) + len(scene.late) + len(scene.withdrawn) == asked
    for sent in scene.under_way:
        scene.answer(sent, sent.claim.weight)
    # Each was at the exchange somewhere between its leaving and its answer: that is not known here.
    share = data.draw(st.sampled_from([0.0, 0.5, 1.0]))
    there = [(s.left_s + share * ((s.answered_s or s.left_s) - s.left_s), s.weight) for s in scene.sent]
    for start_s, _ in there:
        assert sum(weight for at_s, weight in there if start_s <= at_s < start_s + WINDOW_S) <= SHARE
    scene.pass_(WINDOW_S)
    assert scene.budget.left(scene.now_s) == SHARE


def test_orders_leave_while_reads_have_used_all_they_may() -> None:
    scene = Scene()
    for _ in range(10):
        scene.ask(20, urgent=False, within_s=500)
    assert len(scene.sent) == 3
    orders = [scene.ask(1, urgent=True, within_s=5) for _ in range(RESERVED)]
    assert [sent.claim for sent in scene.sent[3:]] == orders
    assert len(scene.waiting) == 7


def test_when_all_is_used_the_lightest_urgent_one_goes_first_and_reads_in_their_order() -> None:
    scene = Scene()
    scene.ask(SHARE, urgent=True, within_s=5)
    reads = [scene.ask(weight, urgent=False, within_s=500) for weight in (40, 2, 1)]
    fills = scene.ask(21, urgent=True, within_s=500)
    order = scene.ask(1, urgent=True, within_s=500)
    assert len(scene.sent) == 1
    scene.answer(scene.sent[0], SHARE - 1)
    assert scene.sent[-1].claim is order
    scene.pass_(WINDOW_S)
    assert [sent.claim for sent in scene.sent[2:]] == [fills, *reads]


def test_what_could_not_leave_in_time_is_told_so_at_its_time() -> None:
    scene = Scene()
    scene.ask(SHARE, urgent=True, within_s=5)
    order = scene.ask(1, urgent=True, within_s=5)
    scene.pass_(4)
    assert scene.late == []
    scene.pass_(1)
    assert scene.late == [order]


def test_an_answer_heavier_than_its_claim_is_paid_by_those_that_follow() -> None:
    scene = Scene()
    scene.ask(21, urgent=True, within_s=5)
    scene.answer(scene.sent[0], 120)
    assert scene.budget.left(scene.now_s) == -20
    scene.ask(1, urgent=True, within_s=100)
    scene.pass_(WINDOW_S - 1)
    assert len(scene.sent) == 1
    scene.pass_(1)
    assert len(scene.sent) == 2


def test_a_429_holds_everything_for_a_moment_and_longer_when_it_comes_again() -> None:
    budget, now_s, pause_s = Budget(SHARE, RESERVED), 1000.0, BACK_OFF_S
    for _ in range(6):
        first, same_time, urgent = (Claim(1, kind, now_s + 500) for kind in (False, False, True))
        budget.ask(first)
        budget.ask(same_time)
        assert budget.step(now_s)[0] == [first, same_time]
        for claim in (first, same_time):
            budget.settle(claim, 1, now_s)
            budget.answered(claim, now_s, refused=True)
        budget.ask(urgent)
        assert budget.step(now_s + pause_s - 0.1) == ([], [])
        assert budget.next_s(now_s) == now_s + pause_s
        now_s += pause_s
        assert budget.step(now_s)[0] == [urgent]
        budget.withdraw(urgent)
        pause_s = min(2 * pause_s, BACK_OFF_S_MAX)
    assert pause_s == BACK_OFF_S_MAX
    good = Claim(1, False, now_s + 5)
    budget.ask(good)
    budget.step(now_s)
    budget.answered(good, now_s, refused=False)
    budget.answered(good, now_s, refused=True)
    budget.ask(Claim(1, False, now_s + 50))
    assert budget.next_s(now_s) == now_s + BACK_OFF_S
