"""Records in the shapes of the wire, as `/info` answers and WebSocket messages share them."""

from decimal import Decimal
from typing import Any

from simulator import margin
from simulator.book import Level
from simulator.margin import Summary, leverage_of
from simulator.markets import BY_COIN, MARKETS, Market
from simulator.records import ZERO, Account, Fill, Order, Position, Trade
from simulator.venue import Venue
from simulator.wire import number

Json = dict[str, Any]
FUNDING_RATE = "0.0000125"
"""The venue's default hourly rate; funding itself is not charged here."""
BOOK_LEVELS = 20
IMPACT_USD = Decimal(20_000)


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
        "fee": number(record.fee_usd),
        "tid": record.tid,
    }
    if record.cloid:
        shape["cloid"] = record.cloid
    if record.builder_fee_usd is not None:
        shape["builderFee"] = number(record.builder_fee_usd)
    return shape | {"feeToken": "USDC", "twapId": None}


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
    return {
        "coin": order.coin,
        "side": side(order.is_buy),
        "limitPx": number(order.limit_price),
        "sz": number(order.remaining),
        "oid": order.oid,
        "timestamp": order.time_ms,
        "triggerCondition": "N/A",
        "isTrigger": False,
        "triggerPx": "0.0",
        "children": [],
        "isPositionTpsl": False,
        "reduceOnly": order.reduce_only,
        "orderType": "Limit",
        "origSz": number(order.size),
        "tif": order.tif,
        "cloid": order.cloid,
    }


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
        "funding": FUNDING_RATE if live else "0.0",
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


def asset_contexts(venue: Venue) -> list[Json]:
    return [asset_context(venue, market) for market in MARKETS]


def _summary(found: Summary) -> Json:
    return {
        "accountValue": number(found.account_value),
        "totalNtlPos": number(found.notional),
        "totalRawUsd": number(found.raw_usd),
        "totalMarginUsed": number(found.margin_used),
    }


def leverage(account: Account, market: Market) -> Json:
    setting = leverage_of(account, market)
    shape: Json = {"type": "cross" if setting.is_cross else "isolated", "value": setting.value}
    if setting.is_cross:
        return shape
    held = account.positions.get(market.coin)
    return shape | {"rawUsd": number(held.isolated_usd if held else ZERO)}


def position(account: Account, held: Position, marks: margin.Marks) -> Json:
    market, mark = BY_COIN[held.coin], marks[held.coin]
    unrealized = held.unrealized_usd(mark)
    entry = held.entry_notional_usd / held.size
    invested = abs(held.entry_notional_usd) / leverage_of(account, market).value
    liquidation = margin.liquidation_price(account, held, marks)
    return {
        "coin": held.coin,
        "szi": number(held.size),
        "leverage": leverage(account, market),
        "entryPx": number(entry.quantize(Decimal(1).scaleb(-market.price_decimals))),
        "positionValue": number(abs(held.size) * mark),
        "unrealizedPnl": number(unrealized),
        "returnOnEquity": number((unrealized / invested).quantize(Decimal("1e-10"))),
        "liquidationPx": None if liquidation is None else number(liquidation.quantize(Decimal("1e-10"))),
        "marginUsed": number(margin.margin_used(account, held, mark)),
        "maxLeverage": market.max_leverage,
        "cumFunding": {
            "allTime": number(held.funding_all_time_usd),
            "sinceOpen": number(held.funding_since_open_usd),
            "sinceChange": number(held.funding_since_change_usd),
        },
    }


def clearinghouse_state(venue: Venue, account: Account) -> Json:
    marks = venue.all_marks
    held = sorted(account.positions.values(), key=lambda each: BY_COIN[each.coin].asset)
    return {
        "marginSummary": _summary(margin.summary(account, marks)),
        "crossMarginSummary": _summary(margin.cross_summary(account, marks)),
        "crossMaintenanceMarginUsed": number(margin.cross_maintenance(account, marks)),
        "withdrawable": number(margin.withdrawable(account, venue.open_orders(account.address), marks)),
        "assetPositions": [{"type": "oneWay", "position": position(account, each, marks)} for each in held],
        "time": venue.market_ms(),
    }


def spot_state(account: Account) -> Json:
    balance = {"coin": "USDC", "token": 0, "total": number(account.spot_usd), "hold": "0.0", "entryNtl": "0.0"}
    return {"balances": [balance] if account.spot_usd else []}


def active_asset_data(venue: Venue, account: Account, market: Market) -> Json:
    """Leverage setting and room of one coin, also while flat; the pairs are buy, sell."""
    mark, setting = venue.mark(market.coin), leverage_of(account, market)
    free = max(ZERO, margin.available(account, venue.open_orders(account.address), venue.all_marks))
    held = account.positions.get(market.coin)
    back = 2 * margin.margin_used(account, held, mark) if held else ZERO
    size = held.size if held else ZERO
    room = [free + (back if size < 0 else ZERO), free + (back if size > 0 else ZERO)]
    return {
        "user": account.address,
        "coin": market.coin,
        "leverage": leverage(account, market),
        "maxTradeSzs": [number(market.round_size(usd * setting.value / mark)) for usd in room],
        "availableToTrade": [number(usd) for usd in room],
        "markPx": number(mark),
    }
