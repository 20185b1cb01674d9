"""Whether an account's collateral carries an order."""

from simulator import margin
from simulator.markets import BY_COIN
from simulator.matching import Refused
from simulator.records import Order
from simulator.venue import Venue


def check_margin(venue: Venue, order: Order) -> None:
    """Raises Refused for an order that would leave a larger position than its account can hold."""
    account, market = venue.accounts[order.user], BY_COIN[order.coin]
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
