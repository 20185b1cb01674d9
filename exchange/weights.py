"""What a request weighs at the exchange: the table of Hyperliquid's documents, of which an address of the network may
use 1,200 in a minute.

A list weighs more the more rows it has, which only its answer tells. So a read is taken for the most it can come to, an
urgent list for few rows, being an order's own fills, and both for what they came to once they are answered.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_LIGHT = frozenset(
    {"l2Book", "allMids", "clearinghouseState", "orderStatus", "spotClearinghouseState", "exchangeStatus"}
)
_LIGHT_WEIGHT, _USUAL_WEIGHT, _ROLE_WEIGHT = 2, 20, 60
_ROWS_MAX = {
    "historicalOrders": 2_000,
    "userFills": 2_000,
    "userFillsByTime": 2_000,
    "recentTrades": 500,
    "fundingHistory": 500,
    "userFunding": 500,
    "userNonFundingLedgerUpdates": 500,
}
"""Lists that weigh one more for every twenty rows; so many at most are in an answer."""
_ROWS_EACH, _CANDLES_EACH = 20, 60
_CANDLES_MAX = 5_000
_MINUTE_MS = 60_000
_ORDERS_EACH = 40
_BATCHES = ("orders", "cancels", "modifies")


@dataclass(frozen=True, slots=True)
class Weight:
    """`base`, and one more for every `rows_each` rows of the answer."""

    base: int
    rows_max: int = 0
    rows_each: int = 1

    @property
    def most(self) -> int:
        return self.base + -(-self.rows_max // self.rows_each)

    def before(self, *, urgent: bool) -> int:
        """What it is taken for until it is answered."""
        return self.base + min(1, self.rows_max) if urgent else self.most

    def of(self, answer: Any) -> int:
        """What it came to. Of an answer in no known shape the most is believed."""
        if not self.rows_max:
            return self.base
        return self.base + -(-len(answer) // self.rows_each) if isinstance(answer, list) else self.most


def of_info(request: Mapping[str, Any]) -> Weight:
    """Of a POST to /info. A type that is not in the table weighs what most do."""
    kind = request["type"]
    if kind == "candleSnapshot":
        return Weight(_USUAL_WEIGHT, _candles_max(request["req"]), _CANDLES_EACH)
    if kind in _LIGHT:
        return Weight(_LIGHT_WEIGHT)
    if kind == "userRole":
        return Weight(_ROLE_WEIGHT)
    return Weight(_USUAL_WEIGHT, _ROWS_MAX.get(kind, 0), _ROWS_EACH)


def of_action(action: Mapping[str, Any]) -> Weight:
    """Of a POST to /exchange: 1, and one more for every forty orders of a batch."""
    batched = max(len(action.get(name, ())) for name in _BATCHES)
    return Weight(1 + batched // _ORDERS_EACH)


def _candles_max(asked: Mapping[str, Any]) -> int:
    """One candle a minute of the span, its ends included: no interval has more."""
    if "endTime" not in asked:
        return _CANDLES_MAX
    span_ms = int(asked["endTime"]) - int(asked["startTime"])
    return min(_CANDLES_MAX, span_ms // _MINUTE_MS + 2)
