"""Trigger orders: they wait off the book, without margin, until the mark price reaches their trigger.

Then a market one takes what the book has within its limit, as an IOC does, and a limit one goes on the book. The order
keeps its ids: its fills carry the oid and the cloid it was placed with. What the venue's documents leave open is kept
simple: orders fire oldest first and before liquidations at the same mark; one that finds nothing within its limit ends
as `iocCancelRejected`.
"""

from simulator.collateral import check_margin
from simulator.matching import Refused, Status, execute, room_to_reduce
from simulator.records import Order
from simulator.twist import NO_TWIST
from simulator.venue import Venue

NO_MATCH = "iocCancelRejected"


def check_trigger(venue: Venue, order: Order) -> None:
    """Raises Refused for a trigger that the mark has reached already, and for a market order's limit before it."""
    trigger = order.trigger
    if trigger is None:
        return
    before = order.limit_price < trigger.price if order.is_buy else order.limit_price > trigger.price
    if order.fires_at(venue.mark(order.coin)) or (trigger.is_market and before):
        raise Refused("Invalid TP/SL price.", "badTriggerPxRejected")


def wait(venue: Venue, order: Order) -> Status:
    """Keep an order that passed the checks until its trigger; its status object."""
    venue.waiting[order.oid] = order
    venue.keep_order(order)
    ids = {"oid": order.oid} | ({"cloid": order.cloid} if order.cloid else {})
    return {"resting": ids}


def fire_due(venue: Venue) -> None:
    """Called after anything that may have changed a mark price."""
    for order in sorted(venue.waiting.values(), key=lambda each: each.oid):
        # One before it may have ended it: a position that is gone takes its reduce-only orders along.
        if order.is_waiting and order.fires_at(venue.mark(order.coin)):
            _fire(venue, order)


def _fire(venue: Venue, order: Order) -> None:
    del venue.waiting[order.oid]
    order.status, order.status_time_ms = "triggered", venue.market_ms()
    venue.changed(order)
    try:
        if order.reduce_only:
            order.shrink(room_to_reduce(venue, order))
        check_margin(venue, order)
        execute(venue, order, venue.books[order.coin], NO_TWIST)
    except Refused as refusal:
        # Accepted once, it is cancelled for want of margin, no longer refused.
        order.status = NO_MATCH if refusal.status == NO_MATCH else "marginCanceled"
        venue.changed(order)
