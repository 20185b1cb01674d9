"""Orders at the venue: the checks in the venue's order and words, matching, resting, cancelling, moving prices.

Trigger orders are refused; liquidation and funding are not done here either: both would enter where `move_price`
ends, after the prices of a coin are new.
"""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from simulator import margin
from simulator.book import Book, Match
from simulator.markets import MARKETS, Market
from simulator.records import ZERO, Account, Order, Trade
from simulator.requests import Builder, OrderSpec
from simulator.settlement import MAKER, TAKER, settle
from simulator.venue import BookMoved, Venue
from simulator.wire import ZERO_HASH, number

MIN_NOTIONAL_USD = Decimal(10)
PRICE_BAND = (Decimal("0.2"), Decimal(5))
Status = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Sender:
    """Who acts: the account moved, who signed for it and with which nonce; `hash` names the action."""

    account: Account
    signer: str
    nonce: int
    hash: str


class Refused(Exception):
    """A rule of the venue broken by one order. `status` is the record's; None where no record is kept."""

    def __init__(self, text: str, status: str | None = None) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


def market_of(asset: int) -> Market:
    """Raises Refused for an asset id that is not in the universe; spot ids are not simulated."""
    if asset >= len(MARKETS):
        raise Refused("Order has invalid asset.")
    return MARKETS[asset]


def check_static(spec: OrderSpec) -> None:
    """What is wrong whatever the state: leaves no record, and answers a whole batch at once."""
    market = market_of(spec.a)
    if market.delisted:
        raise Refused("Trading is halted.")
    if spec.t.trigger is not None:
        raise Refused("Trigger orders are not simulated.")
    if spec.s == 0:
        raise Refused("Order has zero size.")
    if not market.on_lot(spec.s):
        raise Refused("Order has invalid size.")
    if spec.p == 0 or not market.on_tick(spec.p):
        raise Refused("Price must be divisible by tick size.")


def place(venue: Venue, sender: Sender, spec: OrderSpec, builder: Builder | None = None) -> Status:
    """One order that passed `check_static`; returns its status object."""
    market = market_of(spec.a)
    now = venue.market_ms()
    limit = spec.t.limit
    assert limit is not None
    order = Order(
        oid=venue.next_oid(),
        user=sender.account.address,
        coin=market.coin,
        asset=spec.a,
        is_buy=spec.b,
        limit_price=spec.p,
        size=spec.s,
        remaining=spec.s,
        tif=limit.tif,
        reduce_only=spec.r,
        cloid=spec.c,
        time_ms=now,
        status="open",
        status_time_ms=now,
        signer=sender.signer,
        nonce=sender.nonce,
        hash=sender.hash,
        visible_at_ms=venue.wall_ms() + venue.config.visibility_lag_ms,
        builder=builder.b if builder else None,
        builder_fee=builder.f if builder else 0,
    )
    try:
        _check_state(venue, sender.account, order, market)
        return _execute(venue, order, venue.books[market.coin])
    except Refused as refusal:
        if refusal.status is not None:
            order.status = refusal.status
            venue.keep_order(order)
        return {"error": f"{refusal.text} asset={spec.a}"}


def _check_state(venue: Venue, account: Account, order: Order, market: Market) -> None:
    held = account.size(order.coin)
    reference = venue.mark(order.coin)
    if not PRICE_BAND[0] * reference <= order.limit_price <= PRICE_BAND[1] * reference:
        raise Refused("Order price cannot be more than 80% away from the reference price", "oracleRejected")
    opposes = held > 0 if not order.is_buy else held < 0
    covers_whole = opposes and (order.size == abs(held) or (order.reduce_only and order.size > abs(held)))
    if order.reduce_only:
        if not opposes or (order.size > abs(held) and venue.config.reduce_only_oversize == "reject"):
            raise Refused("Reduce only order would increase position.", "reduceOnlyRejected")
        order.remaining = min(order.size, abs(held))
    if order.size * order.limit_price < MIN_NOTIONAL_USD and not covers_whole:
        raise Refused("Order must have minimum value of $10.", "minTradeNtlRejected")
    _check_margin(venue, account, order, market)


def _check_margin(venue: Venue, account: Account, order: Order, market: Market) -> None:
    held = account.size(order.coin)
    after = held + (order.remaining if order.is_buy else -order.remaining)
    increase = abs(after) - abs(held) if after * held >= 0 else abs(after)
    if increase <= 0:
        return
    mark = venue.mark(order.coin)
    leverage = margin.leverage_of(account, market)
    if leverage.value > market.tier(abs(after) * mark).max_leverage:
        text = "Order would cause position to exceed margin tier limit at current leverage"
        raise Refused(text, "perpMaxPositionRejected")
    needed = margin.initial_margin(account, market, increase, mark)
    free = margin.available(account, venue.open_orders(account.address), venue.all_marks)
    if after * held < 0:
        # A flip first gives back what the closed side held.
        free += margin.margin_used(account, account.positions[order.coin], mark)
    if needed > free:
        raise Refused("Insufficient margin to place order.", "perpMarginRejected")


def _execute(venue: Venue, order: Order, book: Book) -> Status:
    if order.tif == "Alo" and book.crosses(order.is_buy, order.limit_price):
        bid, ask = (number(price) if price else "" for price in (book.best(is_bid=True), book.best(is_bid=False)))
        text = f"Post only order would have immediately matched, bbo was {bid}@{ask}."
        raise Refused(text, "badAloPxRejected")
    matches = _without_self_trades(venue, order, book)
    if order.tif == "Ioc" and not matches:
        raise Refused("Order could not immediately match against any resting orders.", "iocCancelRejected")
    asked = order.remaining
    trades = [_trade(venue, order, match, book) for match in matches]
    taken = sum((match.size for match in matches), ZERO)
    if order.tif == "Ioc":
        # What an IOC could not match is dropped without an error; its record says filled all the same.
        order.status = "filled"
    elif order.remaining and taken < asked:
        order.status = "open"
        book.resting[order.oid] = order
    venue.keep_order(order)
    if trades:
        venue.print_trades(order.coin, trades)
        _shrink_reduce_only(venue, {order.user, *(match.resting.user for match in matches if match.resting)}, book)
    venue.events.append(BookMoved(order.coin))
    return _status(order, matches, taken)


def _without_self_trades(venue: Venue, order: Order, book: Book) -> list[Match]:
    """Matches of the order after its own user's resting orders in the way were cancelled."""
    while True:
        matches = book.match(order.is_buy, order.limit_price, order.remaining)
        own = [match.resting for match in matches if match.resting and match.resting.user == order.user]
        if not own:
            return matches
        for resting in own:
            cancel(venue, resting, "selfTradeCanceled")


def _trade(venue: Venue, order: Order, match: Match, book: Book) -> Trade:
    trade = settle(venue, order, match, crossed=True)
    if match.resting is None:
        book.take(match.price, match.size)
    else:
        if not match.resting.is_open:
            del book.resting[match.resting.oid]
        venue.changed(match.resting)
    return trade


def _status(order: Order, matches: list[Match], taken: Decimal) -> Status:
    ids: dict[str, Any] = {"oid": order.oid}
    if order.cloid:
        ids["cloid"] = order.cloid
    if not taken:
        return {"resting": ids}
    paid = sum((match.price * match.size for match in matches), ZERO)
    market = MARKETS[order.asset]
    average = (paid / taken).quantize(Decimal(1).scaleb(-market.price_decimals))
    return {"filled": {"totalSz": number(taken), "avgPx": number(average)} | ids}


def cancel(venue: Venue, order: Order, status: str = "canceled") -> None:
    """Take a resting order off the book; its record keeps the remainder."""
    del venue.books[order.coin].resting[order.oid]
    order.status, order.status_time_ms = status, venue.market_ms()
    venue.changed(order)
    venue.events.append(BookMoved(order.coin))


def _shrink_reduce_only(venue: Venue, users: set[str], book: Book) -> None:
    """Resting reduce-only orders never exceed the position they reduce, and end with it."""
    for order in [order for order in book.resting.values() if order.reduce_only and order.user in users]:
        held = venue.account(order.user).size(order.coin)
        room = max(ZERO, -held if order.is_buy else held)
        if room == 0:
            cancel(venue, order, "reduceOnlyCanceled")
        elif order.remaining > room:
            order.remaining = room
            venue.changed(order)


def move_price(venue: Venue, coin: str, price: Decimal) -> None:
    """A new price: what it crosses fills on the way, makers quote around it, and the last print is exactly it."""
    book = venue.books[coin]
    market = book.market
    mid = market.round_price(price)
    print_size = max(market.lot, market.round_size(venue.config.print_usd / mid))
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
