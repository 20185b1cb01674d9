"""Several trades over the one net position that the exchange holds: what of it is whose. Sizes signed, in coin."""

from decimal import ROUND_CEILING, Decimal

from strategy.values import ZERO, exact, money

WELL_ABOVE = Decimal("1.2")
"""Times the exchange's minimum: the price moves between two orders."""


@exact
def order_to_close(held: Decimal, own: Decimal, others: Decimal) -> Decimal:
    """The order that ends a trade whose ledger's net is `own`, beside trades that hold `others` of the `held`.

    It never takes more than the trade has, and never leads past what the others have: what is missing of the trade's on
    the exchange (a liquidation, a hand) can't be sold once more, and what is there beyond is not the trade's.
    """
    to_others = others - held
    if to_others * own >= 0:
        return ZERO
    return -own if abs(own) <= abs(to_others) else to_others


@exact
def taken_by_exchange(order_qty: Decimal, price: Decimal, lot: Decimal, min_notional_usd: Decimal) -> Decimal:
    """An order the exchange takes: one below its minimum goes beyond its goal, by enough for an order back."""
    if not order_qty or abs(order_qty) * price >= min_notional_usd:
        return order_qty
    lots_beyond = (WELL_ABOVE * min_notional_usd / price / lot).to_integral_value(ROUND_CEILING)
    beyond = lots_beyond * lot
    return order_qty + (beyond if order_qty > 0 else -beyond)


@exact
def shrinks_only(held: Decimal, order_qty: Decimal) -> bool:
    """Whether reduce-only changes nothing about the order, and so can protect it."""
    return held * order_qty < 0 and abs(order_qty) <= abs(held)


@exact
def part_of_funding(usd: Decimal, size: Decimal, own: Decimal) -> Decimal:
    """Of what a position of `size` was paid, the part of a trade with `own` of it: a long pays where a short is
    paid."""
    return money(usd * own / size) if size else ZERO
