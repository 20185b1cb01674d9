"""Records in the shapes of the wire, as `/info` answers and WebSocket messages share them."""

from decimal import Decimal
from typing import Any

from simulator.book import Level
from simulator.events import Liquidated
from simulator.markets import MARKETS, Market
from simulator.records import ZERO, Fill, FundingPayment, Order, Trade
from simulator.spot import PAIR_OF, PAIRS, Pair
from simulator.venue import Venue
from simulator.wire import number

Json = dict[str, Any]
BOOK_LEVELS = 20
IMPACT_USD = Decimal(20_000)
SUPPLY = "600000000.0"


def side(is_buy: bool) -> str:
    return "B" if is_buy else "A"


def trade(record: Trade) -> Json:
    return {
        "coin": record.coin,
        "side": side(record.is_buy),
        "px": number(record.price),
        "sz": number(record.size),
        "time": record.time_ms,
        "hash": record.hash,
        "tid": record.tid,
        "users": [record.buyer, record.seller],
    }


def fill(record: Fill) -> Json:
    shape: Json = {
        "coin": record.coin,
        "px": number(record.price),
        "sz": number(record.size),
        "side": side(record.is_buy),
        "time": record.time_ms,
        "startPosition": number(record.start_position),
        "dir": record.direction,
        "closedPnl": number(record.closed_pnl_usd),
        "hash": record.hash,
        "oid": record.oid,
        "crossed": record.crossed,
        "fee": number(record.fee_usd if record.fee_size is None else record.fee_size),
        "tid": record.tid,
    }
    if record.cloid:
        shape["cloid"] = record.cloid
    if record.builder_fee_usd is not None:
        shape["builderFee"] = number(record.builder_fee_usd)
    if record.liquidation is not None:
        shape["liquidation"] = {
            "liquidatedUser": record.liquidation.user,
            "markPx": number(record.liquidation.mark_price),
            "method": record.liquidation.method,
        }
    fee_token = "USDC" if record.fee_size is None else PAIR_OF[record.coin].token.name
    return shape | {"feeToken": fee_token, "twapId": None}


def user_funding(payment: FundingPayment) -> Json:
    """As `userFunding` answers it; `usdc` positive was received."""
    delta = {"type": "funding"} | _payment(payment) | {"nSamples": None}
    return {"time": payment.time_ms, "hash": payment.hash, "delta": delta}


def streamed_funding(payment: FundingPayment) -> Json:
    """As the WebSocket sends it."""
    return {"time": payment.time_ms} | _payment(payment)


def _payment(payment: FundingPayment) -> Json:
    return {
        "coin": payment.coin,
        "usdc": number(payment.usd),
        "szi": number(payment.size),
        "fundingRate": number(payment.rate),
    }


def liquidation(event: Liquidated) -> Json:
    return {
        "lid": event.lid,
        "liquidator": event.liquidator,
        "liquidated_user": event.user,
        "liquidated_ntl_pos": number(event.notional_usd),
        "liquidated_account_value": number(event.account_value_usd),
    }


def basic_order(order: Order) -> Json:
    """As in `openOrders` and `orderUpdates`: no key for a cloid that was not given."""
    shape: Json = {
        "coin": order.coin,
        "side": side(order.is_buy),
        "limitPx": number(order.limit_price),
        "sz": number(order.remaining),
        "oid": order.oid,
        "timestamp": order.time_ms,
        "origSz": number(order.size),
    }
    return shape | {"cloid": order.cloid} if order.cloid else shape


def open_order(order: Order) -> Json:
    shape = basic_order(order)
    return shape | {"reduceOnly": True} if order.reduce_only else shape


def frontend_order(order: Order) -> Json:
    trigger = order.trigger
    return {
        "coin": order.coin,
        "side": side(order.is_buy),
        "limitPx": number(order.limit_price),
        "sz": number(order.remaining),
        "oid": order.oid,
        "timestamp": order.time_ms,
        "triggerCondition": _trigger_condition(order),
        "isTrigger": trigger is not None,
        "triggerPx": number(trigger.price if trigger else ZERO),
        "children": [],
        "isPositionTpsl": False,
        "reduceOnly": order.reduce_only,
        "orderType": _order_type(order),
        "origSz": number(order.size),
        "tif": None if trigger else order.tif,
        "cloid": order.cloid,
    }


def _trigger_condition(order: Order) -> str:
    if order.trigger is None:
        return "N/A"
    return f"Price {'below' if order.fires_below else 'above'} {number(order.trigger.price)}"


def _order_type(order: Order) -> str:
    if order.trigger is None:
        return "Limit"
    kind = "Stop" if order.trigger.kind == "sl" else "Take Profit"
    return f"{kind} {'Market' if order.trigger.is_market else 'Limit'}"


def order_update(order: Order) -> Json:
    return {"order": basic_order(order), "status": order.status, "statusTimestamp": order.status_time_ms}


def order_record(order: Order) -> Json:
    return {"order": frontend_order(order), "status": order.status, "statusTimestamp": order.status_time_ms}


def _level(level: Level) -> Json:
    return {"px": number(level.price), "sz": number(level.size), "n": level.count}


def book(venue: Venue, coin: str, levels: int = BOOK_LEVELS) -> Json:
    found = venue.books[coin]
    sides = [[_level(level) for level in found.levels(is_bid, levels)] for is_bid in (True, False)]
    return {"coin": coin, "time": venue.market_ms(), "levels": sides}


def bbo(venue: Venue, coin: str) -> Json:
    found = venue.books[coin]
    best = [next((_level(level) for level in found.levels(is_bid, 1)), None) for is_bid in (True, False)]
    return {"coin": coin, "time": venue.market_ms(), "bbo": best}


def all_mids(venue: Venue) -> dict[str, str]:
    return {coin: number(venue.mid(coin)) for coin, found in venue.books.items() if not found.market.delisted}


def _impact_price(venue: Venue, market: Market, is_bid: bool) -> str | None:
    """Average price of a market order of the impact notional."""
    left, paid, size = IMPACT_USD, ZERO, ZERO
    for level in venue.books[market.coin].levels(is_bid):
        part = min(left / level.price, level.size)
        paid, size, left = paid + part * level.price, size + part, left - part * level.price
        if left <= 0:
            return number((paid / size).quantize(Decimal(1).scaleb(-market.price_decimals)))
    return None


def asset_context(venue: Venue, market: Market) -> Json:
    coin = market.coin
    mark, oracle, volume = venue.mark(coin), venue.oracle(coin), venue.day_volume[coin]
    live = not market.delisted
    impact = [_impact_price(venue, market, is_bid) for is_bid in (True, False)] if live else [None]
    held = sum((abs(account.size(coin)) for account in venue.accounts.values()), ZERO)
    return {
        "funding": number(venue.next_rate(coin)) if live else "0.0",
        "openInterest": number(held),
        "prevDayPx": number(market.reference_price),
        "dayNtlVlm": number(volume * mark),
        "premium": number(((mark - oracle) / oracle).quantize(Decimal("1e-10"))) if live else None,
        "oraclePx": number(oracle),
        "markPx": number(mark),
        "midPx": number(venue.mid(coin)) if live else None,
        "impactPxs": impact if None not in impact else None,
        "dayBaseVlm": number(volume),
    }


def spot_context(venue: Venue, pair: Pair) -> Json:
    coin, volume = pair.coin, venue.day_volume[pair.coin]
    return {
        "prevDayPx": number(pair.reference_price),
        "dayNtlVlm": number(volume * venue.mark(coin)),
        "markPx": number(venue.mark(coin)),
        "midPx": number(venue.mid(coin)),
        "circulatingSupply": SUPPLY,
        "coin": coin,
        "totalSupply": SUPPLY,
        "dayBaseVlm": number(volume),
    }


def spot_contexts(venue: Venue) -> list[Json]:
    return [spot_context(venue, pair) for pair in PAIRS]


def asset_contexts(venue: Venue) -> list[Json]:
    return [asset_context(venue, market) for market in MARKETS]
