"""Answers about one account: state, orders, fills, fees, roles."""

from typing import Any

from simulator import account_shapes, shapes
from simulator.query import Query
from simulator.venue import ORDERS_KEPT
from simulator.wire import number

Json = Any
FILLS_PER_ANSWER = 2000
FILLS_KEPT = 10_000
FUNDINGS_PER_ANSWER = 500
REQUESTS_START = 10_000


def clearinghouse(query: Query) -> Json:
    return account_shapes.clearinghouse_state(query.venue, query.account)


def spot_clearinghouse(query: Query) -> Json:
    return account_shapes.spot_state(query.venue, query.account)


def open_orders(query: Query) -> Json:
    return [shapes.open_order(order) for order in reversed(query.venue.open_orders(query.user))]


def frontend_orders(query: Query) -> Json:
    return [shapes.frontend_order(order) for order in reversed(query.venue.open_orders(query.user))]


def order_status(query: Query) -> Json:
    assert query.request.oid is not None
    order, now = query.venue.find_order(query.user, query.request.oid), query.venue.wall_ms()
    if order is None or max(order.visible_at_ms, order.hidden_until_ms) > now:
        return {"status": "unknownOid"}
    return {"status": "order", "order": shapes.order_record(order)}


def historical_orders(query: Query) -> Json:
    kept = query.venue.orders_of.get(query.user, ())
    newest = [query.venue.orders[oid] for oid in list(kept)[-ORDERS_KEPT:]]
    now = query.venue.wall_ms()
    return [shapes.order_record(order) for order in reversed(newest) if order.hidden_until_ms <= now]


def fills(query: Query) -> Json:
    return [shapes.fill(fill) for fill in reversed(query.venue.known_fills(query.user)[-FILLS_PER_ANSWER:])]


def fills_by_time(query: Query) -> Json:
    """The oldest 2000 of the span, so that paging by the last time goes on; newest first within the answer."""
    kept = query.venue.known_fills(query.user)[-FILLS_KEPT:]
    start, end = query.request.startTime or 0, query.request.endTime
    span = [fill for fill in kept if fill.time_ms >= start and (end is None or fill.time_ms <= end)]
    return [shapes.fill(fill) for fill in reversed(span[:FILLS_PER_ANSWER])]


def funding(query: Query) -> Json:
    """The oldest 500 of the span."""
    start, end = query.request.startTime or 0, query.request.endTime
    paid = query.venue.fundings_of.get(query.user, [])
    span = [each for each in paid if each.time_ms >= start and (end is None or each.time_ms <= end)]
    return [shapes.user_funding(payment) for payment in span[:FUNDINGS_PER_ANSWER]]


def ledger(query: Query) -> Json:
    start, end = query.request.startTime or 0, query.request.endTime
    entries = query.account.ledger
    return [
        {"time": entry.time_ms, "hash": entry.hash, "delta": entry.delta}
        for entry in entries
        if entry.time_ms >= start and (end is None or entry.time_ms <= end)
    ]


def fees(query: Query) -> Json:
    fees = query.venue.config.fees
    taker, maker = number(fees.taker), number(fees.maker)
    return {
        "dailyUserVlm": [],
        "feeSchedule": {
            "cross": taker,
            "add": maker,
            "spotCross": number(fees.spot_taker),
            "spotAdd": number(fees.spot_maker),
            "tiers": {"vip": [], "mm": []},
            "referralDiscount": "0.04",
            "stakingDiscountTiers": [],
        },
        "userCrossRate": taker,
        "userAddRate": maker,
        "userSpotCrossRate": number(fees.spot_taker),
        "userSpotAddRate": number(fees.spot_maker),
        "activeReferralDiscount": "0.0",
        "trial": None,
        "feeTrialReward": "0.0",
        "nextTrialAvailableTimestamp": None,
        "stakingLink": None,
        "activeStakingDiscount": {"bpsOfMaxSupply": "0.0", "discount": "0.0"},
    }


def rate_limit(query: Query) -> Json:
    account = query.account
    return {
        "cumVlm": number(account.volume_usd),
        "nRequestsUsed": account.requests_used,
        "nRequestsCap": REQUESTS_START + int(account.volume_usd),
        "nRequestsSurplus": 0,
    }


def role(query: Query) -> Json:
    user = query.user
    if user in query.venue.agents:
        return {"role": "agent", "data": {"user": query.venue.agents[user]}}
    account = query.venue.accounts.get(user)
    if account is None:
        return {"role": "missing"}
    return {"role": "subAccount", "data": {"master": account.master}} if account.master else {"role": "user"}


def sub_accounts(query: Query) -> Json:
    subs = [query.venue.account(address) for address in query.account.sub_accounts]
    found = [
        {
            "name": sub.name,
            "subAccountUser": sub.address,
            "master": sub.master,
            "clearinghouseState": account_shapes.clearinghouse_state(query.venue, sub),
            "spotState": account_shapes.spot_state(query.venue, sub),
        }
        for sub in subs
    ]
    return found or None


def agents(query: Query) -> Json:
    agents = [agent for agent in query.account.agents.values() if agent.name]
    return [{"name": agent.name, "address": agent.address, "validUntil": agent.valid_until_ms} for agent in agents]


def abstraction(query: Query) -> Json:
    return "disabled"


def builder_fee(query: Query) -> Json:
    return query.account.builder_fees.get(str(query.request.builder), 0)


def active_asset(query: Query) -> Json:
    return account_shapes.active_asset_data(query.venue, query.account, query.perpetual())
