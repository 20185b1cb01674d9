"""The exchange's own books, summed anew from deposits and fills: the independent witness tests compare with.

Nothing here reads a position or a balance; `accountValue` is deposits + bought and sold + what is held at mark.
"""

from decimal import Decimal
from typing import Any

from simulator import shapes
from simulator.log import RequestLog
from simulator.records import ZERO, Account, Fill, Order
from simulator.venue import Venue
from simulator.wire import number

REFUSED = ("Rejected",)


def ledger(venue: Venue, log: RequestLog) -> dict[str, Any]:
    """Per address: deposits, fills, positions, fees, realised profit, accepted and refused orders."""
    return {address: _account(venue, account, log) for address, account in venue.accounts.items()}


def _account(venue: Venue, account: Account, log: RequestLog) -> dict[str, Any]:
    fills = venue.fills_of.get(account.address, [])
    orders = [order for order in venue.orders.values() if order.user == account.address]
    accepted = [order for order in orders if not order.status.endswith(REFUSED)]
    moved = _transfers(account)
    sizes = _sizes(fills)
    cash = sum((_cash(fill) for fill in fills), ZERO)
    held = sum((size * venue.mark(coin) for coin, size in sizes.items()), ZERO)
    fees = sum((fill.fee_usd for fill in fills), ZERO)
    requests = [entry for entry in log.entries if entry.path == "/exchange" and entry.account == account.address]
    return {
        "depositsUsd": number(account.deposits_usd),
        "transfersUsd": number(moved),
        "feesUsd": number(fees),
        "realizedPnlUsd": number(sum((fill.closed_pnl_usd for fill in fills), ZERO)),
        "accountValueUsd": number(account.deposits_usd + moved + cash - fees + held),
        "positions": {coin: number(size) for coin, size in sizes.items() if size},
        "acceptedOrders": [_order(order) for order in accepted],
        "refusedOrders": [_order(order) for order in orders if order.status.endswith(REFUSED)],
        "orderRequests": sum(entry.type == "order" for entry in requests),
        "fills": [shapes.fill(fill) for fill in fills],
    }


def _cash(fill: Fill) -> Decimal:
    return -fill.size * fill.price if fill.is_buy else fill.size * fill.price


def _sizes(fills: list[Fill]) -> dict[str, Decimal]:
    sizes: dict[str, Decimal] = {}
    for fill in fills:
        sizes[fill.coin] = sizes.get(fill.coin, ZERO) + (fill.size if fill.is_buy else -fill.size)
    return sizes


def _transfers(account: Account) -> Decimal:
    """Money that came from (positive) or went to the spot side and other accounts."""
    total = ZERO
    for entry in account.ledger:
        delta = entry.delta
        if delta["type"] == "accountClassTransfer":
            total += Decimal(delta["usdc"]) if delta["toPerp"] else -Decimal(delta["usdc"])
        elif delta["type"] == "subAccountTransfer":
            total += Decimal(delta["usdc"]) if delta["destination"] == account.address else -Decimal(delta["usdc"])
    return total


def _order(order: Order) -> dict[str, Any]:
    return shapes.order_update(order) | {
        "signer": order.signer,
        "nonce": order.nonce,
        "tif": order.tif,
        "reduceOnly": order.reduce_only,
        "coin": order.coin,
        "cloid": order.cloid,
        "oid": order.oid,
    }
