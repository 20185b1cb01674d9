"""Funding: at each full hour of market time every position pays size x oracle x rate, or is paid it.

Longs pay when the rate is positive. A payment is cut to the micro-dollar and moves the cash of the account, or of the
position if that is isolated. Each hour is paid once, also across restarts; hours that passed while the simulator was
off are not charged.
"""

from decimal import ROUND_DOWN, Decimal

from simulator.events import FundingPaid
from simulator.funding_rates import HOUR_MS
from simulator.margin import is_cross
from simulator.markets import MARKETS
from simulator.records import Account, FundingPayment, FundingRate, Position
from simulator.venue import Venue
from simulator.wire import MICRO_USD, digest

STAMP_MS = 20
"""How far past the hour the venue stamps its payments."""


def begin(venue: Venue) -> None:
    """Called once the stored state is loaded.

    Simulated market time stood still while the simulator was off, so it goes on from the last hour that was paid.
    """
    this_hour_ms = _hour_of(venue.market_ms())
    if venue.funded_hour_ms is None or not venue.time_is_simulated:
        venue.funded_hour_ms = max(venue.funded_hour_ms or 0, this_hour_ms)


def pay_due(venue: Venue) -> None:
    """Pay every full hour that has passed and was not paid yet, in order."""
    this_hour_ms = _hour_of(venue.market_ms())
    while venue.funded_hour_ms is not None and venue.funded_hour_ms < this_hour_ms:
        hour_ms = venue.funded_hour_ms + HOUR_MS
        for market in MARKETS:
            if not market.delisted:
                pay(venue, market.coin, venue.config.funding.rate(market.coin, hour_ms), hour_ms + STAMP_MS)
        venue.funded_hour_ms = hour_ms
        venue.changes.funded_hour = True


def pay(venue: Venue, coin: str, rate: Decimal, time_ms: int) -> list[FundingPayment]:
    """One hour of one coin, by everyone who holds it."""
    venue.keep_rate(FundingRate(coin=coin, rate=rate, time_ms=time_ms))
    if not rate:
        return []
    oracle = venue.oracle(coin)
    holders = [(account, account.positions[coin]) for account in venue.accounts.values() if account.size(coin)]
    return [_pay_one(venue, account, position, oracle, rate, time_ms) for account, position in holders]


def _pay_one(
    venue: Venue, account: Account, position: Position, oracle: Decimal, rate: Decimal, time_ms: int
) -> FundingPayment:
    received = (-position.size * oracle * rate).quantize(MICRO_USD, rounding=ROUND_DOWN)
    if is_cross(account, position.coin):
        account.cross_usd += received
    else:
        position.isolated_usd += received
    account.count_funding(position, -received)
    payment = FundingPayment(
        user=account.address,
        coin=position.coin,
        time_ms=time_ms,
        hash=digest("funding", account.address, position.coin, time_ms),
        usd=received,
        size=position.size,
        rate=rate,
    )
    venue.keep_funding(payment)
    venue.events.append(FundingPaid(payment))
    return payment


def _hour_of(time_ms: int) -> int:
    return time_ms // HOUR_MS * HOUR_MS
