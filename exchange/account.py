"""An account looked at as a whole: what it holds, what rests, what was filled and paid since a moment.

All answers are about every coin, so one look serves all trades of the account.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from exchange import shapes, spot_shapes
from exchange.errors import ExchangeError, Unknown
from exchange.nonces import wall_ms
from exchange.port import AccountFacts, Fill, FundingPayment, PriceRange
from exchange.spot_port import LedgerUpdate

Info = Callable[[dict[str, Any]], Awaitable[Any]]

FILLS_PER_ANSWER = 2000
FUNDING_PER_ANSWER = 500
LEDGER_PER_ANSWER = 500
MINUTE_MS = 60_000


async def account_facts(info: Info, account: str, *, since_ms: int, funding_since_ms: int) -> AccountFacts:
    """One after the other, the positions last: a fill that is in the positions is in the fills of the next look."""
    at_ms = wall_ms()
    fills = await fills_since(info, account, since_ms)
    funding: tuple[FundingPayment, ...] | None
    try:
        funding = await funding_since(info, account, funding_since_ms)
    except ExchangeError:
        funding = None
    resting = shapes.open_orders(await info({"type": "frontendOpenOrders", "user": account}))
    positions = shapes.positions(await info({"type": "clearinghouseState", "user": account}))
    return AccountFacts(at_ms=at_ms, positions=positions, resting=resting, fills=fills, funding=funding)


async def fills_since(info: Info, account: str, since_ms: int, cloid: str | None = None) -> tuple[Fill, ...]:
    """Executions from `since_ms` on, oldest first; of one order when `cloid` is given."""
    found: dict[int, Fill] = {}
    start_ms = since_ms
    while True:
        rows = await info({"type": "userFillsByTime", "user": account, "startTime": start_ms})
        found |= {fill.tid: fill for fill in shapes.fills(rows, account, cloid)}
        if len(rows) < FILLS_PER_ANSWER:
            return tuple(found.values())
        last_ms = shapes.last_ms(rows)
        if last_ms == start_ms:
            raise Unknown(f"over {FILLS_PER_ANSWER} fills at {start_ms} ms: not all of them can be read")
        # From the last time on once more: more fills of that very ms may be on the next page.
        start_ms = last_ms


async def funding_since(info: Info, account: str, since_ms: int) -> tuple[FundingPayment, ...]:
    """Payments from `since_ms` on, oldest first; one per coin and hour."""
    found: dict[tuple[str, int], FundingPayment] = {}
    start_ms = since_ms
    while True:
        page = shapes.funding(await info({"type": "userFunding", "user": account, "startTime": start_ms}))
        found |= {(payment.coin, payment.time_ms): payment for payment in page}
        if len(page) < FUNDING_PER_ANSWER or page[-1].time_ms == start_ms:
            return tuple(found.values())
        start_ms = page[-1].time_ms


async def ledger_since(info: Info, account: str, since_ms: int) -> tuple[LedgerUpdate, ...]:
    """Money that moved from `since_ms` on, oldest first."""
    found: dict[str, Any] = {}
    start_ms = since_ms
    while True:
        page = await info({"type": "userNonFundingLedgerUpdates", "user": account, "startTime": start_ms})
        updates = spot_shapes.ledger_updates(page, account)
        # One hash can stand on several movements.
        found |= {json.dumps(row, sort_keys=True): row for row in page}
        if len(updates) < LEDGER_PER_ANSWER or updates[-1].time_ms == start_ms:
            return spot_shapes.ledger_updates(found.values(), account)
        start_ms = updates[-1].time_ms


async def price_range(info: Info, coin: str, *, from_ms: int, to_ms: int) -> PriceRange | None:
    """Lowest and highest price by the minute candles that touch the stretch; None where nothing was traded."""
    start_ms = from_ms - from_ms % MINUTE_MS
    asked = {"coin": coin, "interval": "1m", "startTime": start_ms, "endTime": to_ms}
    return shapes.price_range(await info({"type": "candleSnapshot", "req": asked}))
