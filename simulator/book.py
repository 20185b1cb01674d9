"""One coin's order book: makers quote synthetic levels around the mid, users' resting orders stand among them.

Makers never stand where a user's order would cross them: that part of their depth has been taken by it. Depth is
finite, so an order can fill partly and slip. Nothing here touches accounts: `match` says what would trade.
"""

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from simulator.config import Depth
from simulator.grid import Listing
from simulator.records import ZERO, Order

MAKERS_PER_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Level:
    """Everything at one price; `count` is the number of orders."""

    price: Decimal
    size: Decimal
    count: int


@dataclass(frozen=True, slots=True)
class Match:
    """A part of an order that trades; `resting` is the user's order on the other side, None for a maker."""

    price: Decimal
    size: Decimal
    resting: Order | None


class Book:
    """Bids and asks of one market at its current mid."""

    def __init__(self, market: Listing, depth: Depth, mid: Decimal) -> None:
        self.market = market
        self.depth = depth
        self.mid = mid
        self.resting: dict[int, Order] = {}
        self._taken: dict[Decimal, Decimal] = {}

    def move(self, mid: Decimal) -> None:
        """Makers quote around the new mid with full size. Crossed resting orders are the caller's to fill first."""
        self.mid = mid
        self._taken.clear()

    def makers(self, is_bid: bool) -> Iterator[Level]:
        """The makers' levels of one side, best first, as if no user's order crossed them."""
        yield from self._quotes(self.mid, is_bid)

    def _quotes(self, mid: Decimal, is_bid: bool) -> Iterator[Level]:
        if self.market.delisted:
            return
        market = self.market
        offset = self.depth.half_spread_ticks * market.tick(mid)
        price = (
            market.round_price(mid - offset, ROUND_FLOOR) if is_bid else market.round_price(mid + offset, ROUND_CEILING)
        )
        for _ in range(self.depth.levels):
            if price <= 0:
                return
            size = market.round_size(self.depth.size_usd / price) - self._taken.get(price, ZERO)
            if size > 0:
                yield Level(price, size, MAKERS_PER_LEVEL)
            price = market.tick_below(price) if is_bid else market.tick_above(price)

    def orders(self, is_bid: bool) -> list[Order]:
        """Users' resting orders of one side, best price first, then oldest."""
        side = [order for order in self.resting.values() if order.is_buy == is_bid]
        return sorted(side, key=lambda order: (-order.limit_price if is_bid else order.limit_price, order.oid))

    def _uncrossed(self, is_bid: bool) -> Iterator[Level]:
        opposite = self.orders(not is_bid)
        if not opposite:
            yield from self.makers(is_bid)
            return
        wall = opposite[0].limit_price
        yield from (level for level in self.makers(is_bid) if (level.price < wall if is_bid else level.price > wall))

    def levels(self, is_bid: bool, limit: int = 20) -> list[Level]:
        """Makers and users by price, best first."""
        merged: dict[Decimal, Level] = {level.price: level for level in self._uncrossed(is_bid)}
        for order in self.orders(is_bid):
            level = merged.get(order.limit_price, Level(order.limit_price, ZERO, 0))
            merged[order.limit_price] = Level(level.price, level.size + order.remaining, level.count + 1)
        return sorted(merged.values(), key=lambda level: level.price, reverse=is_bid)[:limit]

    def best(self, is_bid: bool) -> Decimal | None:
        maker = next(self._uncrossed(is_bid), None)
        users = self.orders(is_bid)
        prices = ([maker.price] if maker else []) + ([users[0].limit_price] if users else [])
        if not prices:
            return None
        return max(prices) if is_bid else min(prices)

    def crosses(self, is_buy: bool, limit_price: Decimal) -> bool:
        """Whether an order at this limit would trade at once."""
        best = self.best(is_bid=not is_buy)
        return best is not None and (limit_price >= best if is_buy else limit_price <= best)

    def match(self, is_buy: bool, limit_price: Decimal, size: Decimal) -> list[Match]:
        """What an incoming order trades with, best first, users before makers at one price. Changes nothing."""
        users = (Match(order.limit_price, order.remaining, order) for order in self.orders(not is_buy))
        makers = (Match(level.price, level.size, None) for level in self._uncrossed(not is_buy))
        offers = heapq.merge(users, makers, key=lambda offer: offer.price, reverse=not is_buy)
        matches = []
        for offer in offers:
            if size <= 0 or (offer.price > limit_price if is_buy else offer.price < limit_price):
                break
            part = min(size, offer.size)
            matches.append(Match(offer.price, part, offer.resting))
            size -= part
        return matches

    def take(self, price: Decimal, size: Decimal) -> None:
        """Remember that makers' depth at `price` is used up until they quote anew."""
        if self.depth.refill == "price":
            self._taken[price] = self._taken.get(price, ZERO) + size

    def crossed_by(self, mid: Decimal, print_size: Decimal) -> list[Match]:
        """Resting orders that trade on the way to a new mid, with at most the depth that crosses them there.

        An order at exactly the new price takes part in the print only. Makers quote anew at a new price.
        """
        self._taken.clear()
        matches: list[Match] = []
        for is_buy in (True, False):
            asks = [Level(mid, print_size, 1), *self._quotes(mid, is_bid=not is_buy)]
            spent = ZERO
            for order in self.orders(is_buy):
                reach = sum((a.size for a in asks if _reaches(is_buy, order.limit_price, a.price)), ZERO)
                part = min(order.remaining, self.market.round_size(reach) - spent)
                if part > 0:
                    matches.append(Match(order.limit_price, part, order))
                    spent += part
        return matches


def _reaches(is_buy: bool, limit_price: Decimal, offered: Decimal) -> bool:
    return limit_price >= offered if is_buy else limit_price <= offered


def mid_of(bid: Decimal | None, ask: Decimal | None, otherwise: Decimal) -> Decimal:
    """Halfway between the best prices; `otherwise` where a side is empty."""
    return (bid + ask) / 2 if bid is not None and ask is not None else otherwise


def open_orders(books: Iterable[Book], user: str) -> list[Order]:
    """A user's orders that rest on these books."""
    return [order for book in books for order in book.resting.values() if order.user == user]
