"""Margin arithmetic of one account, from its records and the mark prices. Pure; exact unless it divides.

Cross positions share the account's cash; an isolated position has its own (`isolated_usd`). Equity of either is
cash + sum of size x mark, and account value is the sum of both.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal

from simulator.markets import BY_COIN, Market
from simulator.records import ZERO, Account, Leverage, Order, Position
from simulator.wire import MICRO_USD

Marks = Mapping[str, Decimal]
WITHDRAW_SHARE = Decimal("0.1")


@dataclass(frozen=True, slots=True)
class Summary:
    """Sums over some of an account's positions, in USD; `raw_usd` is the cash side."""

    account_value: Decimal
    notional: Decimal
    raw_usd: Decimal
    margin_used: Decimal


def leverage_of(account: Account, market: Market) -> Leverage:
    """The coin's setting, or what the venue starts a coin with."""
    found = account.leverages.get(market.coin)
    return found or Leverage(is_cross=not market.only_isolated, value=market.default_leverage)


def is_cross(account: Account, coin: str) -> bool:
    return leverage_of(account, BY_COIN[coin]).is_cross


def initial_margin(account: Account, market: Market, size: Decimal, price: Decimal) -> Decimal:
    """What a position of `size` needs at the coin's leverage, rounded up to the micro-dollar."""
    needed = abs(size) * price / leverage_of(account, market).value
    return needed.quantize(MICRO_USD, rounding=ROUND_CEILING)


def margin_used(account: Account, position: Position, mark: Decimal) -> Decimal:
    """Cross: notional / leverage. Isolated: all that is in the position, its profit included."""
    market = BY_COIN[position.coin]
    leverage = leverage_of(account, market)
    if leverage.is_cross:
        return (abs(position.size) * mark / leverage.value).quantize(MICRO_USD)
    return position.isolated_usd + position.size * mark


def cross_summary(account: Account, marks: Marks) -> Summary:
    return _summary(account, marks, account.cross_usd, [p for p in _open(account) if is_cross(account, p.coin)])


def summary(account: Account, marks: Marks) -> Summary:
    positions = list(_open(account))
    isolated = sum((p.isolated_usd for p in positions), ZERO)
    return _summary(account, marks, account.cross_usd + isolated, positions)


def _open(account: Account) -> Iterable[Position]:
    return (position for position in account.positions.values() if position.size)


def _summary(account: Account, marks: Marks, raw_usd: Decimal, positions: list[Position]) -> Summary:
    value = raw_usd + sum((p.size * marks[p.coin] for p in positions), ZERO)
    notional = sum((abs(p.size) * marks[p.coin] for p in positions), ZERO)
    used = sum((margin_used(account, p, marks[p.coin]) for p in positions), ZERO)
    return Summary(value, notional, raw_usd, used)


def cross_maintenance(account: Account, marks: Marks) -> Decimal:
    """Maintenance margin of the cross positions only."""
    return sum(
        (
            BY_COIN[p.coin].maintenance_usd(abs(p.size) * marks[p.coin])
            for p in _open(account)
            if is_cross(account, p.coin)
        ),
        ZERO,
    )


def reserved(account: Account, orders: Iterable[Order], marks: Marks) -> Decimal:
    """Margin that resting orders hold back: per coin, of whichever side would leave the larger position."""
    sides: dict[str, list[Decimal]] = {}
    for order in orders:
        if order.reduce_only or order.is_waiting or order.is_spot:
            continue
        buys_sells = sides.setdefault(order.coin, [ZERO, ZERO])
        buys_sells[0 if order.is_buy else 1] += order.remaining
    total = ZERO
    for coin, (buys, sells) in sides.items():
        size = account.size(coin)
        extra = max(abs(size + buys), abs(size - sells)) - abs(size)
        if extra > 0:
            total += initial_margin(account, BY_COIN[coin], extra, marks[coin])
    return total


def available(account: Account, orders: Iterable[Order], marks: Marks) -> Decimal:
    """Collateral that a new order may use; below zero when the account is over its limits."""
    cross = cross_summary(account, marks)
    return cross.account_value - cross.margin_used - reserved(account, orders, marks)


def withdrawable(account: Account, orders: Iterable[Order], marks: Marks) -> Decimal:
    """What may leave: equity above initial margin (resting orders included) and above a tenth of notional."""
    cross = cross_summary(account, marks)
    held = max(cross.margin_used + reserved(account, orders, marks), WITHDRAW_SHARE * cross.notional)
    return max(ZERO, cross.account_value - held)


def cross_spare(account: Account, marks: Marks) -> Decimal:
    """What the cross positions may lose together before they are liquidated."""
    return cross_summary(account, marks).account_value - cross_maintenance(account, marks)


def liquidation_price(account: Account, position: Position, marks: Marks, cross_spare_usd: Decimal) -> Decimal | None:
    """Mark price at which equity meets maintenance, all else standing still; None where no positive price does.

    price - side x margin_available / size / (1 - l x side), with l the maintenance rate of the position's tier.
    """
    market = BY_COIN[position.coin]
    mark = marks[position.coin]
    notional = abs(position.size) * mark
    if is_cross(account, position.coin):
        margin = cross_spare_usd
    else:
        margin = position.isolated_usd + position.size * mark - market.maintenance_usd(notional)
    side = 1 if position.size > 0 else -1
    price = mark - side * margin / abs(position.size) / (1 - market.maintenance_rate(notional) * side)
    return price if price > 0 else None
