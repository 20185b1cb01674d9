"""An account's state in the shapes of the wire."""

from decimal import Decimal
from typing import Any

from simulator import margin, spot_books
from simulator.margin import Summary, leverage_of
from simulator.markets import BY_COIN, Market
from simulator.records import ZERO, Account, Position
from simulator.spot import PAIRS, USDC, Token
from simulator.venue import Venue
from simulator.wire import number

Json = dict[str, Any]


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


def position(account: Account, held: Position, marks: margin.Marks, cross_spare_usd: Decimal) -> Json:
    market, mark = BY_COIN[held.coin], marks[held.coin]
    unrealized = held.unrealized_usd(mark)
    entry = held.entry_notional_usd / held.size
    invested = abs(held.entry_notional_usd) / leverage_of(account, market).value
    liquidation = margin.liquidation_price(account, held, marks, cross_spare_usd)
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
            "allTime": number(account.funding_all_time_usd.get(held.coin, ZERO)),
            "sinceOpen": number(held.funding_since_open_usd),
            "sinceChange": number(held.funding_since_change_usd),
        },
    }


def clearinghouse_state(venue: Venue, account: Account) -> Json:
    marks = venue.all_marks
    held = sorted(account.positions.values(), key=lambda each: BY_COIN[each.coin].asset)
    spare_usd = margin.cross_spare(account, marks)
    return {
        "marginSummary": _summary(margin.summary(account, marks)),
        "crossMarginSummary": _summary(margin.cross_summary(account, marks)),
        "crossMaintenanceMarginUsed": number(margin.cross_maintenance(account, marks)),
        "withdrawable": number(margin.withdrawable(account, venue.open_orders(account.address), marks)),
        "assetPositions": [{"type": "oneWay", "position": position(account, each, marks, spare_usd)} for each in held],
        "time": venue.market_ms(),
    }


def spot_state(venue: Venue, account: Account) -> Json:
    """Balances that are not zero: USDC, then tokens in their order."""
    orders = venue.open_orders(account.address)
    balances = []
    if account.spot_usd:
        balances.append(_balance(USDC, account.spot_usd, spot_books.held_usd(orders), ZERO))
    for pair in PAIRS:
        if holding := account.holdings.get(pair.token.name):
            hold = spot_books.held_size(orders, pair.coin)
            balances.append(_balance(pair.token, holding.size, hold, holding.entry_notional_usd))
    return {"balances": balances}


def _balance(token: Token, total: Decimal, hold: Decimal, entry_notional_usd: Decimal) -> Json:
    return {
        "coin": token.name,
        "token": token.index,
        "total": number(total),
        "hold": number(hold),
        "entryNtl": number(entry_notional_usd),
    }


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
