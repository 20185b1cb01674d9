"""What an event at the venue sends, and on which channels. Frames are built only for channels that someone reads."""

from collections.abc import Callable, Iterator
from functools import partial

from simulator import shapes
from simulator.events import BookMoved, Event, Filled, FundingPaid, Liquidated, NonUserCancel, OrderChanged, Traded
from simulator.info import Info
from simulator.subscriptions import Key, frame, snapshot

Build = Callable[[], object]


def of(event: Event, info: Info) -> Iterator[tuple[Key, Build]]:
    """Channels and how to build the frame of each; trades are apart, since they may be disordered."""
    match event:
        case BookMoved(coin):
            yield ("bbo", coin), partial(snapshot, info, ("bbo", coin))
        case Filled(user, fill):
            shown = partial(shapes.fill, fill)
            yield ("userFills", user), lambda: frame("userFills", {"user": user, "fills": [shown()]})
            yield ("userEvents", user), lambda: _user("fills", [shown()])
        case OrderChanged(order):
            yield ("orderUpdates", order.user), lambda: frame("orderUpdates", [shapes.order_update(order)])
        case FundingPaid(payment):
            user, row = payment.user, shapes.streamed_funding(payment)
            yield ("userFundings", user), lambda: frame("userFundings", {"user": user, "fundings": [row]})
            yield ("userEvents", user), lambda: _user("funding", row)
        case NonUserCancel(user, coin, oid):
            yield ("userEvents", user), lambda: _user("nonUserCancel", [{"coin": coin, "oid": oid}])
        case Liquidated(user):
            yield ("userEvents", user), lambda: _user("liquidation", shapes.liquidation(event))


def _user(kind: str, value: object) -> object:
    """`userEvents` come on a channel of another name."""
    return frame("user", {kind: value})


def trades(traded: Traded) -> object:
    return frame("trades", [shapes.trade(trade) for trade in traded.trades])


def touched_by(event: Event) -> dict[str, str]:
    """The `coin` or `user` whose states an event changes."""
    match event:
        case Traded(coin) | BookMoved(coin):
            return {"coin": coin}
        case Filled(user) | NonUserCancel(user) | Liquidated(user):
            return {"user": user}
        case OrderChanged(order):
            return {"user": order.user}
        case FundingPaid(payment):
            return {"user": payment.user}
