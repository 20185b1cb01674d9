"""What a WebSocket subscription means: which channel it is, and what it shows on the spot.

A key names a stream for routing (`("trades", "ETH")`); the echo is the venue's normalised form of the request, never
equal to what was sent.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from simulator import account_shapes, shapes
from simulator.candles import INTERVALS
from simulator.info import Info
from simulator.listings import LISTED
from simulator.markets import BY_COIN
from simulator.spot import PAIR_OF
from simulator.venue import Venue
from simulator.wire import Address

Key = tuple[str, ...]
Json = dict[str, Any]
SNAPSHOT_FILLS = 100
SNAPSHOT_FUNDINGS = 100


class InvalidSubscription(Exception):
    """The subscription's type or fields are not known; answered with an error frame."""


class UnknownCoin(Exception):
    """The venue closes the socket over this, without a frame."""


class Request(BaseModel):
    model_config = ConfigDict(extra="ignore")
    type: Literal[
        "trades",
        "bbo",
        "l2Book",
        "allMids",
        "activeAssetCtx",
        "candle",
        "orderUpdates",
        "userFills",
        "userEvents",
        "userFundings",
        "userNonFundingLedgerUpdates",
        "clearinghouseState",
        "openOrders",
        "webData3",
        "notification",
        "activeAssetData",
    ]
    coin: str | None = None
    interval: str | None = None
    user: Address | None = None
    aggregateByTime: bool = False
    nSigFigs: int | None = None
    mantissa: int | None = None
    fast: bool = False


@dataclass(frozen=True, slots=True)
class Subscription:
    key: Key
    echo: Json
    user: str | None


COIN_TYPES = {"trades", "bbo", "l2Book", "activeAssetCtx", "candle", "activeAssetData"}
USER_TYPES = {
    "orderUpdates",
    "userFills",
    "userEvents",
    "userFundings",
    "userNonFundingLedgerUpdates",
    "clearinghouseState",
    "openOrders",
    "webData3",
    "notification",
    "activeAssetData",
}
COALESCED = {
    "l2Book",
    "allMids",
    "activeAssetCtx",
    "activeAssetData",
    "candle",
    "clearinghouseState",
    "openOrders",
    "webData3",
}
"""Channels that show a state: sent at a pace, the newest only."""


def parse(raw: object) -> Subscription:
    """Raises InvalidSubscription or UnknownCoin."""
    try:
        request = Request.model_validate(raw)
    except ValidationError as error:
        raise InvalidSubscription from error
    kind: str = request.type
    echo: Json = {"type": kind}
    key: list[str] = [kind]
    if kind in COIN_TYPES:
        if request.coin is None:
            raise InvalidSubscription
        if request.coin not in (BY_COIN if kind == "activeAssetData" else LISTED):
            raise UnknownCoin(request.coin)
        echo["coin"] = request.coin
        key.append(request.coin)
    if kind in USER_TYPES:
        if request.user is None:
            raise InvalidSubscription
        echo["user"] = request.user
        key.append(request.user)
    if kind == "candle":
        if request.interval not in INTERVALS:
            raise InvalidSubscription
        echo["interval"] = request.interval
        key.append(request.interval)
    return Subscription(tuple(key), echo | _extras(request), request.user if kind in USER_TYPES else None)


def _extras(request: Request) -> Json:
    if request.type == "userFills":
        return {"aggregateByTime": request.aggregateByTime}
    if request.type == "l2Book":
        return {"nSigFigs": request.nSigFigs, "mantissa": request.mantissa, "fast": request.fast}
    return {}


def frame(channel: str, data: object) -> Json:
    return {"channel": channel, "data": data}


def _trades(info: Info, key: Key) -> Json:
    return frame("trades", [shapes.trade(trade) for trade in info.venue.tape[key[1]]])


def _bbo(info: Info, key: Key) -> Json:
    return frame("bbo", shapes.bbo(info.venue, key[1]))


def _book(info: Info, key: Key) -> Json:
    return frame("l2Book", shapes.book(info.venue, key[1]))


def _mids(info: Info, key: Key) -> Json:
    return frame("allMids", {"mids": info.answer({"type": "allMids"})})


def _context(info: Info, key: Key) -> Json:
    if key[1] in PAIR_OF:
        context = shapes.spot_context(info.venue, PAIR_OF[key[1]])
        return frame("activeSpotAssetCtx", {"coin": key[1], "ctx": context})
    return frame("activeAssetCtx", {"coin": key[1], "ctx": shapes.asset_context(info.venue, BY_COIN[key[1]])})


def _asset_data(info: Info, key: Key) -> Json:
    return frame("activeAssetData", info.answer({"type": "activeAssetData", "coin": key[1], "user": key[2]}))


def _candle(info: Info, key: Key) -> Json | None:
    forming = info.candles.forming(key[1], key[2])
    return frame("candle", forming) if forming else None


def _user_fills(info: Info, key: Key) -> Json:
    fills = info.venue.known_fills(key[1])[-SNAPSHOT_FILLS:]
    shown = [shapes.fill(fill) for fill in reversed(fills)]
    return frame("userFills", {"isSnapshot": True, "user": key[1], "fills": shown})


def _user_fundings(info: Info, key: Key) -> Json:
    paid = info.venue.fundings_of.get(key[1], [])[-SNAPSHOT_FUNDINGS:]
    shown = [shapes.streamed_funding(payment) for payment in reversed(paid)]
    return frame("userFundings", {"isSnapshot": True, "user": key[1], "fundings": shown})


def _movements(info: Info, key: Key) -> Json:
    updates = info.answer({"type": "userNonFundingLedgerUpdates", "user": key[1], "startTime": 0})
    data = {"isSnapshot": True, "user": key[1], "nonFundingLedgerUpdates": updates}
    return frame("userNonFundingLedgerUpdates", data)


def _state(venue: Venue, user: str) -> Json:
    return account_shapes.clearinghouse_state(venue, venue.account(user))


def _clearinghouse(info: Info, key: Key) -> Json:
    return frame("clearinghouseState", {"dex": "", "user": key[1], "clearinghouseState": _state(info.venue, key[1])})


def _open_orders(info: Info, key: Key) -> Json:
    orders = [shapes.frontend_order(order) for order in info.venue.open_orders(key[1])]
    return frame("openOrders", {"dex": "", "user": key[1], "orders": orders})


def _web_data(info: Info, key: Key) -> Json:
    user_state = {"serverTime": info.venue.market_ms(), "user": key[1], "abstraction": "disabled"}
    return frame("webData3", {"userState": user_state, "perpDexStates": [_state(info.venue, key[1])]})


SNAPSHOTS: dict[str, Callable[[Info, Key], Json | None]] = {
    "trades": _trades,
    "bbo": _bbo,
    "l2Book": _book,
    "allMids": _mids,
    "activeAssetCtx": _context,
    "activeAssetData": _asset_data,
    "candle": _candle,
    "userFills": _user_fills,
    "userFundings": _user_fundings,
    "userNonFundingLedgerUpdates": _movements,
    "clearinghouseState": _clearinghouse,
    "openOrders": _open_orders,
    "webData3": _web_data,
}
"""What a new subscription, or a changed state, sends. `orderUpdates`, `userEvents` and `notification` show nothing."""


def snapshot(info: Info, key: Key) -> Json | None:
    show = SNAPSHOTS.get(key[0])
    return show(info, key) if show else None
