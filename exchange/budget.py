"""Who may go next, so that no minute ever holds more weight than this process has a share of. Pure: the time is passed
in, in seconds of a clock that only goes forward.

A request counts from when it leaves until a minute after it was answered, first with its claim, then with what it came
to. It arrived somewhere in between, so whichever minute the exchange looks at, the sum in it is no more than what is
counted here. Only an answer heavier than its claim can go beyond the share: what comes next waits for it.

Orders, and what settles them, go first. A part of the share is kept for them, which reads never touch; when they have
to wait all the same, the lightest goes first, which is the order. Reads go one after the other as they came.
"""

from collections import deque
from dataclasses import dataclass, field

WINDOW_S = 60.0
BACK_OFF_S = 2.0
BACK_OFF_S_MAX = 16.0
"""Nothing leaves for so long after a 429, doubled when the first request after it is refused as well."""


@dataclass(slots=True, eq=False)
class Claim:
    """A request that wants to leave, by `until_s` at the latest."""

    weight: int
    urgent: bool
    until_s: float
    left_at_s: float | None = field(default=None, init=False)
    """None while it waits."""


class Budget:
    """`per_minute` of weight, of which `reserved` is for urgent requests alone."""

    def __init__(self, per_minute: int, reserved: int) -> None:
        assert 0 <= reserved < per_minute, "reads need a part, too"
        self.per_minute = per_minute
        self.reserved = reserved
        self._urgent: deque[Claim] = deque()
        self._reads: deque[Claim] = deque()
        self._under_way = 0
        self._past: deque[tuple[float, int]] = deque()
        """(when it is forgotten, weight) of what was answered, oldest first."""
        self._past_weight = 0
        self._closed_until_s = 0.0
        self._back_off_s = BACK_OFF_S

    def left(self, now_s: float) -> int:
        """Weight that may be used now; below 0 when answers were heavier than was claimed for them."""
        while self._past and self._past[0][0] <= now_s:
            self._past_weight -= self._past.popleft()[1]
        return self.per_minute - self._under_way - self._past_weight

    def ask(self, claim: Claim) -> None:
        """Stand in line; `step` says when it is one's turn."""
        assert claim.weight <= self.per_minute - (0 if claim.urgent else self.reserved), "it could wait for ever"
        self._line(claim).append(claim)

    def step(self, now_s: float) -> tuple[list[Claim], list[Claim]]:
        """Those that may leave now, and those that could not leave in time; both are out of the line then."""
        late = [claim for line in (self._urgent, self._reads) for claim in line if claim.until_s <= now_s]
        for claim in late:
            self._line(claim).remove(claim)
        leaving: list[Claim] = []
        while (first := self._next(now_s)) is not None:
            self._line(first).remove(first)
            first.left_at_s = now_s
            self._under_way += first.weight
            leaving.append(first)
        return leaving, late

    def withdraw(self, claim: Claim) -> None:
        """It is not sent after all, whether it waits or was just let go."""
        if claim.left_at_s is None:
            self._line(claim).remove(claim)
        else:
            self._under_way -= claim.weight

    def settle(self, claim: Claim, weight: int, now_s: float) -> None:
        """It was answered, or is not waited for any longer, and came to `weight`."""
        self._under_way -= claim.weight
        if weight:
            self._past.append((now_s + WINDOW_S, weight))
            self._past_weight += weight

    def answered(self, claim: Claim, now_s: float, *, refused: bool) -> None:
        """Whether the exchange let it in, or said 429. Those under way while it was said are one refusal."""
        assert claim.left_at_s is not None
        if claim.left_at_s < self._closed_until_s:
            return
        if not refused:
            self._back_off_s = BACK_OFF_S
            return
        self._closed_until_s = now_s + self._back_off_s
        self._back_off_s = min(2 * self._back_off_s, BACK_OFF_S_MAX)

    def next_s(self, now_s: float) -> float | None:
        """When to `step` again if nothing is asked or settled before; None while nobody waits."""
        waiting = [*self._urgent, *self._reads]
        if not waiting:
            return None
        changes = [min(claim.until_s for claim in waiting)]
        if self._closed_until_s > now_s:
            changes.append(self._closed_until_s)
        elif self._past:
            changes.append(self._past[0][0])
        return min(changes)

    def _next(self, now_s: float) -> Claim | None:
        if now_s < self._closed_until_s:
            return None
        if self._urgent:
            claim = min(self._urgent, key=lambda waiting: waiting.weight)
            return claim if claim.weight <= self.left(now_s) else None
        if self._reads and self._reads[0].weight <= self.left(now_s) - self.reserved:
            return self._reads[0]
        return None

    def _line(self, claim: Claim) -> deque[Claim]:
        return self._urgent if claim.urgent else self._reads
