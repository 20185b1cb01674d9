"""Placing an order: the checks in the venue's order and words, then matching, or waiting for a trigger."""

from dataclasses import dataclass
from decimal import Decimal

from simulator.collateral import check_balance, check_margin
from simulator.grid import Listing
from simulator.listings import BY_ASSET
from simulator.matching import Refused, Status, execute
from simulator.records import Account, Order, Trigger
from simulator.requests import Builder, OrderSpec, OrderType, Tif
from simulator.spot import SPOT_ASSETS
from simulator.triggers import check_trigger, wait
from simulator.twist import NO_TWIST, Twist
from simulator.venue import Venue

MIN_NOTIONAL_USD = Decimal(10)
PRICE_BAND = (Decimal("0.2"), Decimal(5))


@dataclass(frozen=True, slots=True)
class Sender:
    """Who acts: the account moved, who signed for it and with which nonce; `hash` names the action.

    `twist` is what a fault does to the action's orders.
    """

    account: Account
    signer: str
    nonce: int
    hash: str
    twist: Twist = NO_TWIST


def market_of(asset: int) -> Listing:
    """Raises Refused for an asset id that neither a perpetual nor a spot pair has."""
    if asset not in BY_ASSET:
        raise Refused("Order has invalid asset.")
    return BY_ASSET[asset]


def check_static(spec: OrderSpec) -> None:
    """What is wrong whatever the state: leaves no record, and answers a whole batch at once."""
    market = market_of(spec.a)
    if market.delisted:
        raise Refused("Trading is halted.")
    if spec.s == 0:
        raise Refused("Order has zero size.")
    if not market.on_lot(spec.s):
        raise Refused("Order has invalid size.")
    if spec.a >= SPOT_ASSETS and (spec.t.trigger or spec.r):
        raise Refused("Trigger and reduce-only orders on spot are not simulated.")
    prices = [spec.p] if spec.t.trigger is None else [spec.p, spec.t.trigger.triggerPx]
    if any(price == 0 or not market.on_tick(price) for price in prices):
        raise Refused("Price must be divisible by tick size.")


def place(venue: Venue, sender: Sender, spec: OrderSpec, builder: Builder | None = None) -> Status:
    """One order that passed `check_static`; returns its status object."""
    market = market_of(spec.a)
    now = venue.market_ms()
    order = Order(
        oid=venue.next_oid(),
        user=sender.account.address,
        coin=market.coin,
        asset=spec.a,
        is_buy=spec.b,
        limit_price=spec.p,
        size=spec.s,
        remaining=spec.s,
        tif=_tif(spec.t),
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
        hidden_until_ms=sender.twist.hidden_until_ms(venue.wall_ms()),
        trigger=_trigger(spec.t),
    )
    try:
        _check_state(venue, sender, order)
        if order.is_waiting:
            return wait(venue, order)
        if order.is_spot:
            check_balance(venue, order)
        else:
            check_margin(venue, order)
        return execute(venue, order, venue.books[market.coin], sender.twist)
    except Refused as refusal:
        if refusal.status is not None:
            order.status = refusal.status
            venue.keep_order(order)
        return {"error": f"{refusal.text} asset={spec.a}"}


def _tif(kind: OrderType) -> Tif:
    if kind.limit is not None:
        return kind.limit.tif
    assert kind.trigger is not None
    return "Ioc" if kind.trigger.isMarket else "Gtc"


def _trigger(kind: OrderType) -> Trigger | None:
    asked = kind.trigger
    if asked is None:
        return None
    return Trigger(price=asked.triggerPx, kind=asked.tpsl, is_market=asked.isMarket)


def _check_state(venue: Venue, sender: Sender, order: Order) -> None:
    check_trigger(venue, order)
    reference = order.trigger.price if order.trigger else venue.mark(order.coin)
    if not PRICE_BAND[0] * reference <= order.limit_price <= PRICE_BAND[1] * reference:
        raise Refused("Order price cannot be more than 80% away from the reference price", "oracleRejected")
    if order.is_spot:
        if order.size * order.limit_price < MIN_NOTIONAL_USD:
            raise Refused("Order must have minimum value of 10 USDC.", "minTradeSpotNtlRejected")
        return
    held = sender.account.size(order.coin)
    opposes = held > 0 if not order.is_buy else held < 0
    covers_whole = opposes and (order.size == abs(held) or (order.reduce_only and order.size > abs(held)))
    if order.reduce_only:
        oversize = sender.twist.oversize or venue.config.reduce_only_oversize
        if not opposes or (order.size > abs(held) and oversize == "reject"):
            raise Refused("Reduce only order would increase position.", "reduceOnlyRejected")
        if not order.is_waiting:
            order.shrink(abs(held))
    if order.size * order.limit_price < MIN_NOTIONAL_USD and not covers_whole:
        raise Refused("Order must have minimum value of $10.", "minTradeNtlRejected")
