"""How much may be asked from one address of the network: so much weight in any minute, as the exchange documents it.

Off unless it is configured, since prices here run faster than time does. What is over the limit is answered 429 and
not looked at.
"""

import time
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from simulator.requests import Envelope

WINDOW_S = 60.0

_WEIGHTS = {
    "l2Book": 2,
    "allMids": 2,
    "clearinghouseState": 2,
    "orderStatus": 2,
    "spotClearinghouseState": 2,
    "exchangeStatus": 2,
    "userRole": 60,
}
_OTHERS = 20
_ROWS_EACH = {
    "recentTrades": 20,
    "historicalOrders": 20,
    "userFills": 20,
    "userFillsByTime": 20,
    "fundingHistory": 20,
    "userFunding": 20,
    "userNonFundingLedgerUpdates": 20,
    "candleSnapshot": 60,
}
"""So many rows of an answer weigh one more."""
_ORDERS_EACH = 40


class Limits:
    """`per_minute` of weight for each address; None lets everything in."""

    def __init__(self, per_minute: int | None, now_s: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._now_s = now_s
        self._used: dict[str, deque[tuple[float, int]]] = defaultdict(deque)

    def let_in(self, address: str, weight: int) -> bool:
        """Whether there is room; what is let in counts from now."""
        if self._per_minute is None:
            return True
        if self.used(address) + weight > self._per_minute:
            return False
        self._used[address].append((self._now_s(), weight))
        return True

    def answered(self, address: str, kind: str, answer: Any) -> None:
        """Long answers weigh more, and nobody knows before how long they are."""
        if self._per_minute is not None and kind in _ROWS_EACH and isinstance(answer, list):
            self._used[address].append((self._now_s(), len(answer) // _ROWS_EACH[kind]))

    def used(self, address: str) -> int:
        """Within the last minute."""
        used = self._used[address]
        while used and used[0][0] <= self._now_s() - WINDOW_S:
            used.popleft()
        return sum(weight for _, weight in used)


def info_weight(kind: str) -> int:
    return _WEIGHTS.get(kind, _OTHERS)


def action_weight(envelope: Envelope) -> int:
    action = envelope.action
    batched = max(len(getattr(action, name, ())) for name in ("orders", "cancels", "modifies"))
    return 1 + batched // _ORDERS_EACH
