"""The exchange's own books, summed anew from deposits, fills and funding: the independent witness tests compare with.

Nothing here reads a position or a balance; `accountValue` is deposits and transfers + bought and sold + funding + what
is held at mark, less fees, and less what the backstop liquidator took.
"""

from decimal import Decimal
from typing import Any

from simulator import shapes
from simulator.log import RequestLog
from simulator.records import ZERO, Account, Fill, Order
from simulator.spot import PAIR_OF, USDC
from simulator.venue import Venue
from simulator.wire import number

REFUSED = ("Rejected",)


def ledger(venue: Venue, log: RequestLog) -> dict[str, Any]:
    """Per address: deposits, fills, funding, positions, fees, realised profit, accepted and refused orders."""
    return {address: _account(venue, account, log) for address, account in venue.accounts.items()}


def _account(venue: Venue, account: Account, log: RequestLog) -> dict[str, Any]:
    fills = venue.fills_of.get(account.address, [])
    orders = [order for order in venue.orders.values() if order.user == account.address]
    filled = _filled(fills)
    on_perpetuals = [fill for fill in fills if fill.coin not in PAIR_OF]
    requests = [entry for entry in log.entries if entry.path == "/exchange" and entry.account == account.address]
    return _money(venue, account, on_perpetuals) | {
        "positions": {coin: number(size) for coin, size in _sizes(on_perpetuals).items() if size},
        "acceptedOrders": [_order(order, filled) for order in orders if not order.status.endswith(REFUSED)],
        "refusedOrders": [_order(order, filled) for order in orders if order.status.endswith(REFUSED)],
        "orderRequests": sum(entry.type == "order" for entry in requests),
        "fills": [shapes.fill(fill) for fill in on_perpetuals],
        "spot": _spot(account, [fill for fill in fills if fill.coin in PAIR_OF]),
        "liquidationOids": sorted({fill.oid for fill in fills if _is_liquidation_of(account, fill)}),
        "fundingPayments": [shapes.user_funding(payment) for payment in venue.fundings_of.get(account.address, [])],
    }


def _money(venue: Venue, account: Account, fills: list[Fill]) -> dict[str, Any]:
    moved = _transfers(account)
    traded = sum((_cash(fill) for fill in fills), ZERO)
    fees = sum((fill.fee_usd for fill in fills), ZERO)
    funding = sum((payment.usd for payment in venue.fundings_of.get(account.address, [])), ZERO)
    held = sum((size * venue.mark(coin) for coin, size in _sizes(fills).items()), ZERO)
    value = account.deposits_usd + moved + traded - fees + funding + account.backstop_usd + held
    return {
        "depositsUsd": number(account.deposits_usd),
        "transfersUsd": number(moved),
        "feesUsd": number(fees),
        "realizedPnlUsd": number(sum((fill.closed_pnl_usd for fill in fills), ZERO)),
        "fundingUsd": number(funding),
        "backstopUsd": number(account.backstop_usd),
        "accountValueUsd": number(value),
    }


def _spot(account: Account, fills: list[Fill]) -> dict[str, Any]:
    """What is owned on the spot side by what came from the other side, was traded and was paid as fees."""
    owned = {USDC.name: -_class_transfers(account)}
    for fill in fills:
        name = PAIR_OF[fill.coin].token.name
        size = fill.size - (fill.fee_size or ZERO) if fill.is_buy else -fill.size
        owned[name] = owned.get(name, ZERO) + size
        owned[USDC.name] += _cash(fill) - fill.fee_usd
    return {
        "balances": {name: number(size) for name, size in owned.items() if size},
        "fills": [shapes.fill(fill) for fill in fills],
    }


def _is_liquidation_of(account: Account, fill: Fill) -> bool:
    """Not a counterparty's fill, which is marked too."""
    return fill.liquidation is not None and fill.liquidation.user == account.address


def _cash(fill: Fill) -> Decimal:
    return -fill.size * fill.price if fill.is_buy else fill.size * fill.price


def _sizes(fills: list[Fill]) -> dict[str, Decimal]:
    sizes: dict[str, Decimal] = {}
    for fill in fills:
        sizes[fill.coin] = sizes.get(fill.coin, ZERO) + (fill.size if fill.is_buy else -fill.size)
    return sizes


def _filled(fills: list[Fill]) -> dict[int, Decimal]:
    """Per order."""
    filled: dict[int, Decimal] = {}
    for fill in fills:
        filled[fill.oid] = filled.get(fill.oid, ZERO) + fill.size
    return filled


def _transfers(account: Account) -> Decimal:
    """Money that came from (positive) or went to the spot side and other accounts."""
    total = _class_transfers(account)
    for entry in account.ledger:
        delta = entry.delta
        if delta["type"] == "subAccountTransfer":
            total += Decimal(delta["usdc"]) if delta["destination"] == account.address else -Decimal(delta["usdc"])
    return total


def _class_transfers(account: Account) -> Decimal:
    """Money that came from the account's own spot side."""
    deltas = [entry.delta for entry in account.ledger if entry.delta["type"] == "accountClassTransfer"]
    return sum((Decimal(each["usdc"]) * (1 if each["toPerp"] else -1) for each in deltas), ZERO)


def _order(order: Order, filled: dict[int, Decimal]) -> dict[str, Any]:
    return shapes.order_update(order) | {
        "signer": order.signer,
        "nonce": order.nonce,
        "tif": order.tif,
        "reduceOnly": order.reduce_only,
        "triggerPx": number(order.trigger.price) if order.trigger else None,
        "coin": order.coin,
        "cloid": order.cloid,
        "oid": order.oid,
        "size": number(order.size),
        "filledSize": number(filled.get(order.oid, ZERO)),
        "shrunkSize": number(order.shrunk),
    }
