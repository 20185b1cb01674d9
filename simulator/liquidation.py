"""Liquidation at the mark price: whoever is worth less than the maintenance margin loses the position.

Cross positions stand by the account's equity together, an isolated position by its own. First the resting orders of
the account (isolated: of the coin) are cancelled. Then market orders go into the book, the largest position first,
until the rest is covered: of a position above 100 000 USD a fifth, and during 30 s of market time after that all of
it. Below two thirds of the maintenance margin the backstop liquidator takes the positions at mark with all the margin
there is, or bears what is missing: nothing of that equity is left.

What the venue's documents leave open is kept simple. The liquidating order has an oid but no record of its own; it does
not trade beyond the price that uses up the equity; it pays the taker's fee, the backstop none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Literal

from simulator.events import Liquidated
from simulator.margin import Marks, is_cross
from simulator.markets import BY_COIN, MARKETS
from simulator.matching import cancel, take
from simulator.records import ZERO, Account, Liquidation, Order, Position
from simulator.settlement import hand_over
from simulator.venue import Venue
from simulator.wire import digest, made_address, number

LIQUIDATOR = made_address("backstop liquidator")
LARGE_USD = Decimal(100_000)
SHARE_OF_LARGE = Decimal("0.2")
COOLDOWN_MS = 30_000
LOWEST_LEVERAGE = min(tier.max_leverage for market in MARKETS for tier in market.tiers)
"""That any market allows at most: maintenance is never more than half of what it would ask as margin."""


@dataclass(frozen=True, slots=True)
class Stake:
    """Positions that stand by one equity: all cross positions of an account, or one isolated position."""

    account: Account
    positions: tuple[Position, ...]
    is_cross: bool

    def equity_usd(self, marks: Marks) -> Decimal:
        cash_usd = (
            self.account.cross_usd if self.is_cross else sum((each.isolated_usd for each in self.positions), ZERO)
        )
        return cash_usd + sum((each.size * marks[each.coin] for each in self.positions), ZERO)

    def maintenance_usd(self, marks: Marks) -> Decimal:
        return sum((BY_COIN[p.coin].maintenance_usd(abs(p.size) * marks[p.coin]) for p in self.positions), ZERO)

    def maintenance_usd_max(self, marks: Marks) -> Decimal:
        """No more than this, told in less time: it is asked after every price."""
        return sum((abs(p.size) * marks[p.coin] for p in self.positions), ZERO) / (2 * LOWEST_LEVERAGE)

    def by_size(self, marks: Marks) -> list[Position]:
        return sorted(self.positions, key=lambda each: abs(each.size) * marks[each.coin], reverse=True)


def liquidate(venue: Venue) -> None:
    """Called after anything that may have changed an equity or a mark price."""
    marks = venue.all_marks
    for account in list(venue.accounts.values()):
        for stake in list(_stakes(account)):
            equity_usd = stake.equity_usd(marks)
            if equity_usd >= stake.maintenance_usd_max(marks):
                continue
            maintenance_usd = stake.maintenance_usd(marks)
            if equity_usd >= maintenance_usd:
                continue
            _cancel_orders(venue, stake)
            if 3 * equity_usd < 2 * maintenance_usd:
                _hand_over(venue, stake, marks)
            else:
                _close_on_book(venue, stake, marks)


def _stakes(account: Account) -> Iterator[Stake]:
    cross = tuple(position for position in account.positions.values() if is_cross(account, position.coin))
    if cross:
        yield Stake(account, cross, is_cross=True)
    for position in account.positions.values():
        if not is_cross(account, position.coin):
            yield Stake(account, (position,), is_cross=False)


def _cancel_orders(venue: Venue, stake: Stake) -> None:
    for order in venue.open_orders(stake.account.address, None if stake.is_cross else stake.positions[0].coin):
        if not order.is_spot:
            cancel(venue, order, "liquidatedCanceled")


def _close_on_book(venue: Venue, stake: Stake, marks: Marks) -> None:
    account, now_ms = stake.account, venue.market_ms()
    in_cooldown = now_ms - account.partly_liquidated_ms < COOLDOWN_MS
    for position in stake.by_size(marks):
        coin, mark, held = position.coin, marks[position.coin], position.size
        equity_usd, size = stake.equity_usd(marks), abs(held)
        if size * mark > LARGE_USD and not in_cooldown:
            size = (size * SHARE_OF_LARGE).quantize(BY_COIN[coin].lot, rounding=ROUND_CEILING)
            account.partly_liquidated_ms = now_ms
        limit = _worst_price(venue, held, size, mark, equity_usd, coin)
        order = _order(venue, account, coin, size.copy_sign(-held), limit)
        closed = take(venue, order, venue.books[coin], _mark_as(account, mark, "market"))
        if closed:
            _announce(venue, stake, {coin: closed.copy_sign(held)}, marks, equity_usd)
        if stake.equity_usd(marks) >= stake.maintenance_usd(marks):
            return


def _worst_price(venue: Venue, held: Decimal, size: Decimal, mark: Decimal, equity_usd: Decimal, coin: str) -> Decimal:
    """Where closing `size`, fee included, would use up the equity; on the grid, on the side of the mark."""
    room = max(ZERO, equity_usd - size * mark * venue.config.fees.taker) / size
    if held > 0:
        return BY_COIN[coin].round_price(max(ZERO, mark - room), ROUND_CEILING)
    return BY_COIN[coin].round_price(mark + room, ROUND_FLOOR)


def _hand_over(venue: Venue, stake: Stake, marks: Marks) -> None:
    account, equity_usd = stake.account, stake.equity_usd(marks)
    sizes = {position.coin: position.size for position in stake.positions}
    for coin, size in sizes.items():
        order = _order(venue, account, coin, -size, marks[coin])
        hand_over(venue, order, marks[coin], _mark_as(account, marks[coin], "backstop"))
    # Closed at mark, all of the equity is cash now.
    account.cross_usd -= equity_usd
    account.backstop_usd -= equity_usd
    _announce(venue, stake, sizes, marks, equity_usd)


def _order(venue: Venue, account: Account, coin: str, size: Decimal, limit: Decimal) -> Order:
    """The venue's own order for an account; `size` signed."""
    oid, now_ms = venue.next_oid(), venue.market_ms()
    return Order(
        oid=oid,
        user=account.address,
        coin=coin,
        asset=BY_COIN[coin].asset,
        is_buy=size > 0,
        limit_price=limit,
        size=abs(size),
        remaining=abs(size),
        tif="Ioc",
        reduce_only=True,
        cloid=None,
        time_ms=now_ms,
        status="open",
        status_time_ms=now_ms,
        signer="",
        nonce=0,
        hash=digest("liquidation", account.address, oid),
    )


def _mark_as(account: Account, mark: Decimal, method: Literal["market", "backstop"]) -> Liquidation:
    return Liquidation(user=account.address, mark_price=mark, method=method)


def _announce(venue: Venue, stake: Stake, sizes: dict[str, Decimal], marks: Marks, equity_usd: Decimal) -> None:
    """In the account's ledger and to its subscribers; `sizes` are the closed ones, signed as they were held."""
    notional_usd = sum((abs(size) * marks[coin] for coin, size in sizes.items()), ZERO)
    delta: dict[str, object] = {
        "type": "liquidation",
        "liquidatedNtlPos": number(notional_usd),
        "accountValue": number(equity_usd),
        "leverageType": "Cross" if stake.is_cross else "Isolated",
        "liquidatedPositions": [{"coin": coin, "szi": number(size)} for coin, size in sizes.items()],
    }
    venue.record_movement(stake.account, delta)
    event = Liquidated(stake.account.address, venue.next_tid(), LIQUIDATOR, notional_usd, equity_usd)
    venue.events.append(event)
