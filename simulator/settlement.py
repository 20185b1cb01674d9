"""What a trade does to the accounts on both sides of it: position or tokens, cash, fee, fill."""

from decimal import ROUND_DOWN, ROUND_FLOOR, Decimal

from simulator import spot_books
from simulator.book import Match
from simulator.events import Filled
from simulator.margin import initial_margin, is_cross, leverage_of
from simulator.markets import BY_COIN
from simulator.records import ZERO, Account, Fill, Liquidation, Order, Position, Trade
from simulator.spot_books import Booking
from simulator.venue import Venue
from simulator.wire import MICRO_USD, made_address

MAKER = made_address("market maker")
TAKER = made_address("passing taker")
BUILDER_FEE_UNIT = Decimal("0.00001")
"""A builder fee of 1 is a tenth of a basis point."""


def settle(venue: Venue, order: Order, match: Match, *, crossed: bool, liquidation: Liquidation | None = None) -> Trade:
    """Trade a part of `order`. `crossed` says whether it took (True) or gave (False) liquidity.

    The resting order of the match, if any, is settled as well. Returns the print.
    """
    tid, time_ms = venue.next_tid(), venue.market_ms()
    _fill(venue, order, match, tid, time_ms, crossed=crossed, liquidation=liquidation)
    other = MAKER if crossed else TAKER
    if crossed and match.resting is not None:
        _fill(venue, match.resting, match, tid, time_ms, crossed=False, liquidation=liquidation)
        other = match.resting.user
    aggressor_buys = order.is_buy == crossed
    return Trade(
        coin=order.coin,
        is_buy=aggressor_buys,
        price=match.price,
        size=match.size,
        time_ms=time_ms,
        hash=order.hash,
        tid=tid,
        buyer=order.user if order.is_buy else other,
        seller=other if order.is_buy else order.user,
    )


def hand_over(venue: Venue, order: Order, price: Decimal, liquidation: Liquidation) -> None:
    """Trade all of `order` with the backstop liquidator: off the book, without a print and without a fee."""
    match = Match(price, order.remaining, None)
    _fill(venue, order, match, venue.next_tid(), venue.market_ms(), crossed=True, liquidation=liquidation)


def _fill(
    venue: Venue,
    order: Order,
    match: Match,
    tid: int,
    time_ms: int,
    *,
    crossed: bool,
    liquidation: Liquidation | None,
) -> None:
    account = venue.accounts[order.user]
    rate = _rate(venue, order, crossed=crossed)
    if order.is_spot:
        booked = spot_books.book(account, order, match.size, match.price, rate, _builder_rate(order))
    else:
        booked = _book(account, order, match, rate, liquidation)
    account.volume_usd += match.size * match.price
    order.remaining -= match.size
    if order.remaining == 0:
        order.status, order.status_time_ms = "filled", time_ms
    fill = Fill(
        tid=tid,
        user=order.user,
        coin=order.coin,
        price=match.price,
        size=match.size,
        is_buy=order.is_buy,
        time_ms=time_ms,
        start_position=booked.start_position,
        direction=booked.direction,
        closed_pnl_usd=booked.closed_pnl_usd,
        hash=order.hash,
        oid=order.oid,
        crossed=crossed,
        fee_usd=booked.fee_usd,
        fee_size=booked.fee_size,
        cloid=order.cloid,
        builder_fee_usd=booked.builder_fee_usd or None,
        hidden_until_ms=order.hidden_until_ms,
        liquidation=liquidation,
    )
    venue.fills_of[order.user].append(fill)
    venue.changes.fills.append(fill)
    venue.changes.accounts.add(order.user)
    venue.events.append(Filled(order.user, fill))


def _book(account: Account, order: Order, match: Match, rate: Decimal, liquidation: Liquidation | None) -> Booking:
    """Trade a part of an order on a perpetual; fee and builder's part of it are each truncated to micro-dollars."""
    start = account.size(order.coin)
    signed = match.size if order.is_buy else -match.size
    notional = match.size * match.price
    kind = "Cross" if is_cross(account, order.coin) else "Isolated"
    closed_pnl = trade_position(account, order.coin, signed, match.price)
    if liquidation is not None and liquidation.method == "backstop":
        return Booking(start, f"Liquidated {kind} {_side(start)}", closed_pnl, ZERO)
    builder = notional * _builder_rate(order)
    fee = (notional * rate + builder).quantize(MICRO_USD, rounding=ROUND_DOWN)
    account.cross_usd -= fee
    return Booking(start, _direction(start, signed), closed_pnl, fee, builder.quantize(MICRO_USD, rounding=ROUND_DOWN))


def _rate(venue: Venue, order: Order, *, crossed: bool) -> Decimal:
    """The fee as a share of notional."""
    fees = venue.config.fees
    if order.is_spot:
        return fees.spot_taker if crossed else fees.spot_maker
    return fees.taker if crossed else fees.maker


def _builder_rate(order: Order) -> Decimal:
    return order.builder_fee * BUILDER_FEE_UNIT


def trade_position(account: Account, coin: str, size: Decimal, price: Decimal) -> Decimal:
    """Net `size` (signed) into the position: close what is opposite, then open the rest, flipping if need be.

    Returns realised profit in USD, fees not included. A position that ends flat is dropped.
    """
    position = account.positions.setdefault(coin, Position(coin=coin))
    held = position.size
    closing = ZERO
    if held * size < 0:
        closing = -held if abs(size) > abs(held) else size
    opening = size - closing
    closed_pnl = _close(account, position, closing, price) if closing else ZERO
    if opening:
        _open(account, position, opening, price)
    position.funding_since_change_usd = ZERO
    if held * position.size < 0:
        position.funding_since_open_usd = ZERO
    if position.size == 0:
        del account.positions[coin]
    return closed_pnl


def _open(account: Account, position: Position, size: Decimal, price: Decimal) -> None:
    market = BY_COIN[position.coin]
    position.add(size, price)
    if leverage_of(account, market).is_cross:
        account.cross_usd -= size * price
        return
    margin = initial_margin(account, market, size, price)
    account.cross_usd -= margin
    position.isolated_usd += margin - size * price


def _close(account: Account, position: Position, size: Decimal, price: Decimal) -> Decimal:
    if leverage_of(account, BY_COIN[position.coin]).is_cross:
        account.cross_usd -= size * price
        return position.reduce(size, price)
    equity = position.isolated_usd + position.size * price
    whole = size == -position.size
    # The closed share of an isolated position gives back its share of the margin, profit included.
    freed = equity if whole else (equity * -size / position.size).quantize(MICRO_USD, rounding=ROUND_FLOOR)
    closed_pnl = position.reduce(size, price)
    position.isolated_usd += -size * price - freed
    account.cross_usd += freed
    return closed_pnl


def _direction(start: Decimal, signed: Decimal) -> str:
    end = start + signed
    if start > 0 > end:
        return "Long > Short"
    if start < 0 < end:
        return "Short > Long"
    return f"{'Open' if start * signed >= 0 else 'Close'} {_side(start or signed)}"


def _side(size: Decimal) -> str:
    return "Long" if size > 0 else "Short"
