"""Orders on the book: matching, resting, cancelling, and what a new price does to them."""

from decimal import Decimal
from typing import Any

from simulator.book import Book, Match
from simulator.events import BookMoved, NonUserCancel
from simulator.grid import Listing
from simulator.records import ZERO, Liquidation, Order, Trade
from simulator.settlement import MAKER, TAKER, settle
from simulator.spot import FOLLOWERS, Pair
from simulator.twist import Twist
from simulator.venue import Venue
from simulator.wire import ZERO_HASH, number

Status = dict[str, Any]


class Refused(Exception):
    """A rule of the venue broken by one order. `status` is the record's; None where no record is kept."""

    def __init__(self, text: str, status: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


def execute(venue: Venue, order: Order, book: Book, twist: Twist) -> Status:
    """An order that passed the checks: trade what crosses, rest or drop what is left. Raises Refused."""
    if order.tif == "Alo" and book.crosses(order.is_buy, order.limit_price):
        bid, ask = (number(price) if price else "" for price in (book.best(is_bid=True), book.best(is_bid=False)))
        text = f"Post only order would have immediately matched, bbo was {bid}@{ask}."
        raise Refused(text, "badAloPxRejected")
    matches = _without_self_trades(venue, order, book)
    if order.tif == "Ioc" and not matches:
        raise Refused("Order could not immediately match against any resting orders.", "iocCancelRejected")
    if order.tif == "Ioc" and twist.share is not None:
        matches = book.match(order.is_buy, order.limit_price, _share(book, matches, twist.share))
    asked = order.remaining
    trades = [_trade(venue, order, match, book) for match in matches]
    taken = sum((match.size for match in matches), ZERO)
    if order.tif == "Ioc":
        # What an IOC could not match is dropped without an error; its record says filled all the same.
        order.status = "filled"
    elif order.remaining and taken < asked:
        book.resting[order.oid] = order
    venue.keep_order(order)
    _publish(venue, order, trades, matches, book)
    return _status(order, matches, taken, book.market)


def take(venue: Venue, order: Order, book: Book, liquidation: Liquidation) -> Decimal:
    """Trade for the venue itself, up to the order's limit; the order leaves no record. Returns the size traded."""
    matches = book.match(order.is_buy, order.limit_price, order.remaining)
    trades = [_trade(venue, order, match, book, liquidation) for match in matches]
    _publish(venue, order, trades, matches, book)
    return sum((match.size for match in matches), ZERO)


def _publish(venue: Venue, order: Order, trades: list[Trade], matches: list[Match], book: Book) -> None:
    if trades:
        venue.print_trades(order.coin, trades)
        _shrink_reduce_only(venue, {order.user, *(match.resting.user for match in matches if match.resting)}, book)
    venue.events.append(BookMoved(order.coin))


def _share(book: Book, matches: list[Match], share: Decimal) -> Decimal:
    """That share of what would trade, in lots and at least one."""
    size = sum((match.size for match in matches), ZERO)
    return max(book.market.lot, book.market.round_size(size * share))


def _without_self_trades(venue: Venue, order: Order, book: Book) -> list[Match]:
    """Matches of the order after its own user's resting orders in the way were cancelled."""
    while True:
        matches = book.match(order.is_buy, order.limit_price, order.remaining)
        own = [match.resting for match in matches if match.resting and match.resting.user == order.user]
        if not own:
            return matches
        for resting in own:
            cancel(venue, resting, "selfTradeCanceled")


def _trade(venue: Venue, order: Order, match: Match, book: Book, liquidation: Liquidation | None = None) -> Trade:
    trade = settle(venue, order, match, crossed=True, liquidation=liquidation)
    if match.resting is None:
        book.take(match.price, match.size)
    else:
        if not match.resting.is_open:
            del book.resting[match.resting.oid]
        venue.changed(match.resting)
    return trade


def _status(order: Order, matches: list[Match], taken: Decimal, market: Listing) -> Status:
    ids: dict[str, Any] = {"oid": order.oid}
    if order.cloid:
        ids["cloid"] = order.cloid
    if not taken:
        return {"resting": ids}
    paid = sum((match.price * match.size for match in matches), ZERO)
    average = (paid / taken).quantize(Decimal(1).scaleb(-market.price_decimals))
    return {"filled": {"totalSz": number(taken), "avgPx": number(average)} | ids}


def cancel(venue: Venue, order: Order, status: str = "canceled") -> None:
    """Take an open order away; its record keeps the remainder. Without a status its user asked for it."""
    if order.is_waiting:
        del venue.waiting[order.oid]
    else:
        del venue.books[order.coin].resting[order.oid]
        venue.events.append(BookMoved(order.coin))
    order.status, order.status_time_ms = status, venue.market_ms()
    venue.changed(order)
    if status != "canceled":
        venue.events.append(NonUserCancel(order.user, order.coin, order.oid))


def _shrink_reduce_only(venue: Venue, users: set[str], book: Book) -> None:
    """Reduce-only orders end with the position they reduce. On the book they never exceed it either; one that waits
    for its trigger keeps its size until it fires."""
    waiting = (order for order in venue.waiting.values() if order.coin == book.market.coin)
    for order in [each for each in (*book.resting.values(), *waiting) if each.reduce_only and each.user in users]:
        room = room_to_reduce(venue, order)
        if room == 0:
            cancel(venue, order, "reduceOnlyCanceled")
        elif not order.is_waiting and order.shrink(room):
            venue.changed(order)


def room_to_reduce(venue: Venue, order: Order) -> Decimal:
    """How much of a position the order can close."""
    held = venue.account(order.user).size(order.coin)
    return max(ZERO, -held if order.is_buy else held)


def move_price(venue: Venue, coin: str, price: Decimal) -> None:
    """A new price: what it crosses fills on the way, makers quote around it, and the last print is exactly it."""
    book = venue.books[coin]
    market = book.market
    mid = market.round_price(price)
    print_size = max(market.lot, market.round_size(venue.config.print_usd / mid))
    trades = _fill_crossed(venue, book, mid, print_size)
    rises = mid >= book.mid
    book.move(mid)
    trades.append(
        Trade(
            coin=coin,
            is_buy=rises,
            price=mid,
            size=print_size,
            time_ms=venue.market_ms(),
            hash=ZERO_HASH,
            tid=venue.next_tid(),
            buyer=TAKER if rises else MAKER,
            seller=MAKER if rises else TAKER,
        )
    )
    venue.print_trades(coin, trades)
    venue.changes.prices.add(coin)
    venue.events.append(BookMoved(coin))
    if coin in FOLLOWERS:
        follow(venue, FOLLOWERS[coin])


def follow(venue: Venue, pair: Pair) -> None:
    """Quote a spot pair around its perpetual's price and its basis. It prints only what its own orders trade."""
    assert pair.follows is not None
    book = venue.books[pair.coin]
    mid = pair.round_price(venue.books[pair.follows].mid * (1 + venue.bases.get(pair.coin, ZERO)))
    if mid == book.mid:
        return
    trades = _fill_crossed(venue, book, mid, ZERO) if book.resting else []
    book.move(mid)
    if trades:
        venue.print_trades(pair.coin, trades)
    venue.events.append(BookMoved(pair.coin))


def _fill_crossed(venue: Venue, book: Book, mid: Decimal, print_size: Decimal) -> list[Trade]:
    """Resting orders that trade on the way to a new mid."""
    trades = []
    touched: set[str] = set()
    for match in book.crossed_by(mid, print_size):
        order = match.resting
        assert order is not None
        if not order.is_open:
            continue
        size = min(match.size, order.remaining)
        trades.append(settle(venue, order, Match(match.price, size, None), crossed=False))
        if not order.is_open:
            del book.resting[order.oid]
        venue.changed(order)
        touched.add(order.user)
        _shrink_reduce_only(venue, touched, book)
    return trades
