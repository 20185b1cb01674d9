"""Answers about markets: listings, contexts, books, trades, candles."""

from typing import Any

from simulator import markets as listing
from simulator import shapes, spot
from simulator.candles import INTERVALS
from simulator.query import BadRequest, Query
from simulator.venue import known_coin

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
    return [spot.meta(), spot.contexts()]


def all_mids(query: Query) -> Json:
    return shapes.all_mids(query.venue) | spot.mids()


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
    """Nobody pays funding here yet: no listed coin has any history."""
    query.coin()
    return []


def exchange_status(query: Query) -> Json:
    return {"specialStatuses": None, "time": query.venue.market_ms()}
