"""The boundaries that the matrix strikes at, in the order a trade passes them; `sweep.hooks` asks at them."""

BEFORE_THE_ORDER = (
    "feed.price",
    "signal.units_moved.due",
    "signal.units_moved.sent",
    "units_moved.arrived",
)
ORDER = (
    "draw_nonce.recorded",
    "draw_nonce.begun",
    "draw_nonce.done",
    "draw_nonce.reported",
    "execute_order.decided",
    "execute_order.recorded",
    "execute_order.begun",
    "exchange.order.signed",
    "exchange.order.sent",
    "exchange.order.accepted",
    "exchange.order.answered",
    "info.userFillsByTime.answered",
    "execute_order.done",
    "execute_order.reported",
    "execute_order.arrived",
    "execute_order.booked",
)
JOURNAL = ("record.decided", "record.begun", "journal.written", "record.reported")
HEARTBEATS = ("execute_order.heartbeat.due", "execute_order.heartbeat.sent", "track_units.heartbeat.sent")
PLACING = tuple(boundary for boundary in ORDER if not boundary.startswith("info."))
"""Of a stop, which rests: it has no fills to read."""
CANCELLING = (
    "cancel_order.decided",
    "cancel_order.recorded",
    "cancel_order.begun",
    "exchange.cancelByCloid.signed",
    "exchange.cancelByCloid.sent",
    "exchange.cancelByCloid.accepted",
    "exchange.cancelByCloid.answered",
    "cancel_order.done",
    "cancel_order.reported",
    "cancel_order.arrived",
    "cancel_order.booked",
)
OPENING_ONLY = (
    "inspect_market.begun",
    "inspect_market.done",
    "set_leverage.begun",
    "exchange.updateLeverage.signed",
    "exchange.updateLeverage.accepted",
    "exchange.updateLeverage.answered",
    "set_leverage.reported",
    "renewal.decided",
    "renewal.recorded",
    "track_units.begun",
    "query.tracking.answered",
)
CLOSE_ONLY = ("close.arrived", "current_price.begun", "current_price.reported")
FENCE = (
    "exchange.order.unanswered",
    "exchange.noop.signed",
    "exchange.noop.sent",
    "exchange.noop.accepted",
    "exchange.noop.answered",
)
LOOK_UP = ("info.orderStatus.signed", "info.orderStatus.answered", "info.userFillsByTime.answered")
PAUSED_AT = (
    "execute_order.recorded",
    "execute_order.begun",
    "exchange.order.signed",
    "exchange.order.sent",
    "exchange.order.accepted",
    "exchange.order.answered",
    "execute_order.done",
)
RENEWAL = ("renewal.decided", "renewal.recorded")
