"""What actions on orders do once they are admitted. Every function returns the `response` object.

A refusal of the whole action is ActionRefused; its text is the venue's.
"""

from collections.abc import Callable
from typing import Any

from simulator.matching import Refused, Status, cancel
from simulator.placing import Sender, check_static, place
from simulator.records import Account, Order
from simulator.requests import (
    BatchModifyAction,
    CancelAction,
    CancelByCloidAction,
    Modify,
    ModifyAction,
    NoopAction,
    OrderAction,
    OrderSpec,
)
from simulator.venue import Venue

Response = dict[str, Any]
Perform = Callable[[Any, Venue, Sender], Response]
DEFAULT: Response = {"type": "default"}
MAX_CANCELS = 200
NOT_FOUND = "Order was never placed, already canceled, or filled. asset={asset}"


class ActionRefused(Exception):
    """The whole action is refused: `{"status":"err","response":text}`."""


def _statuses(kind: str, statuses: list[Any]) -> Response:
    return {"type": kind, "data": {"statuses": statuses}}


def _order(action: OrderAction, venue: Venue, sender: Sender) -> Response:
    if action.builder and action.builder.f > sender.account.builder_fees.get(action.builder.b, 0):
        raise ActionRefused("Builder fee has not been approved.")
    if action.grouping != "na":
        raise ActionRefused(f"Grouping {action.grouping} is not simulated.")
    refusal = _static_refusal(action.orders)
    if refusal:
        return _statuses("order", [refusal])
    return _statuses("order", [place(venue, sender, spec, action.builder) for spec in action.orders])


def _static_refusal(specs: list[OrderSpec]) -> Status | None:
    for spec in specs:
        try:
            check_static(spec)
        except Refused as refusal:
            return {"error": f"{refusal.text} asset={spec.a}"}
    return None


def _cancel(action: CancelAction, venue: Venue, sender: Sender) -> Response:
    _check_weight(len(action.cancels))
    return _statuses("cancel", [_cancel_one(venue, sender, item.a, item.o) for item in action.cancels])


def _cancel_by_cloid(action: CancelByCloidAction, venue: Venue, sender: Sender) -> Response:
    _check_weight(len(action.cancels))
    return _statuses("cancel", [_cancel_one(venue, sender, item.asset, item.cloid) for item in action.cancels])


def _check_weight(cancels: int) -> None:
    if cancels > MAX_CANCELS:
        raise ActionRefused(f"Signed action over weight limit of {MAX_CANCELS}.")


def _open_order(venue: Venue, account: Account, oid: int | str) -> Order | None:
    """By oid; by cloid the newest open one, since several may share it."""
    if isinstance(oid, str):
        sharing = [order for order in venue.open_orders(account.address) if order.cloid == oid]
        return sharing[-1] if sharing else None
    order = venue.orders.get(oid)
    return order if order and order.user == account.address and order.is_open else None


def _cancel_one(venue: Venue, sender: Sender, asset: int, oid: int | str) -> str | dict[str, str]:
    order = _open_order(venue, sender.account, oid)
    if order is None or order.asset != asset:
        return {"error": NOT_FOUND.format(asset=asset)}
    cancel(venue, order)
    return "success"


def _modify(action: ModifyAction, venue: Venue, sender: Sender) -> Response:
    status = _modify_one(venue, sender, action)
    if "error" in status:
        raise ActionRefused(str(status["error"]))
    return DEFAULT


def _batch_modify(action: BatchModifyAction, venue: Venue, sender: Sender) -> Response:
    refusal = _static_refusal([modify.order for modify in action.modifies])
    if refusal:
        return _statuses("order", [refusal])
    return _statuses("order", [_modify_one(venue, sender, modify) for modify in action.modifies])


def _modify_one(venue: Venue, sender: Sender, modify: Modify) -> Status:
    refusal = _static_refusal([modify.order])
    if refusal:
        return refusal
    order = _open_order(venue, sender.account, modify.oid)
    if order is None:
        return {"error": "Cannot modify canceled or filled order"}
    cancel(venue, order)
    return place(venue, sender, modify.order)


def _noop(action: NoopAction, venue: Venue, sender: Sender) -> Response:
    return DEFAULT


ORDER_ACTIONS: dict[type, Perform] = {
    OrderAction: _order,
    CancelAction: _cancel,
    CancelByCloidAction: _cancel_by_cloid,
    ModifyAction: _modify,
    BatchModifyAction: _batch_modify,
    NoopAction: _noop,
}
