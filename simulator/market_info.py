"""Answers about markets: listings, contexts, books, trades, candles."""

from typing import Any

from simulator import markets as listing
from simulator import shapes, spot
from simulator.candles import INTERVALS
from simulator.query import BadRequest, Query
from simulator.venue import known_coin
from simulator.wire import number

Json = Any


def meta(query: Query) -> Json:
    return listing.meta()


def meta_and_contexts(query: Query) -> Json:
    return [listing.meta(), shapes.asset_contexts(query.venue)]


def perp_dexs(query: Query) -> Json:
    return [None]


def spot_meta(query: Query) -> Json:
    return spot.meta()


def spot_meta_and_contexts(query: Query) -> Json:
    return [spot.meta(), shapes.spot_contexts(query.venue)]


def all_mids(query: Query) -> Json:
    return shapes.all_mids(query.venue)


def l2_book(query: Query) -> Json:
    # The one type that answers an unknown coin with null instead of an error.
    return shapes.book(query.venue, query.coin()) if known_coin(query.request.coin) else None


def recent_trades(query: Query) -> Json:
    return [shapes.trade(trade) for trade in reversed(query.venue.tape[query.coin()])]


def candles(query: Query) -> Json:
    asked = query.request.req
    assert asked is not None
    if not known_coin(asked.coin) or asked.interval not in INTERVALS:
        raise BadRequest(f"coin is {asked.coin}, interval is {asked.interval}: allowed are {', '.join(INTERVALS)}")
    end_ms = asked.endTime if asked.endTime is not None else query.venue.market_ms()
    return query.candles.snapshot(asked.coin, asked.interval, asked.startTime, end_ms)


def funding_history(query: Query) -> Json:
    """The newest 500 hours at most; a premium is not part of how rates are made here."""
    start, end = query.request.startTime or 0, query.request.endTime
    return [
        {"coin": each.coin, "fundingRate": number(each.rate), "premium": "0.0", "time": each.time_ms}
        for each in query.venue.rates_of.get(query.coin(), ())
        if each.time_ms >= start and (end is None or each.time_ms <= end)
    ]


def exchange_status(query: Query) -> Json:
    return {"specialStatuses": None, "time": query.venue.market_ms()}
