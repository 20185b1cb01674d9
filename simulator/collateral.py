"""Whether an account can carry an order: by its collateral, or on spot by what it owns."""

from simulator import margin, spot_books
from simulator.markets import BY_COIN
from simulator.matching import Refused
from simulator.records import Order
from simulator.spot import PAIR_OF
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


def check_balance(venue: Venue, order: Order) -> None:
    """Raises Refused for a spot order that its account can't pay or deliver. A buy is counted at its limit."""
    account, orders = venue.accounts[order.user], venue.open_orders(order.user)
    if order.is_buy:
        enough = order.remaining * order.limit_price <= account.spot_usd - spot_books.held_usd(orders)
    else:
        owned = spot_books.owned(account, PAIR_OF[order.coin].token)
        enough = order.remaining <= owned - spot_books.held_size(orders, order.coin)
    if not enough:
        raise Refused("Insufficient spot balance", "insufficientSpotBalanceRejected")
