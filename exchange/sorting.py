"""The one place where what came back from the exchange is sorted by what is known afterwards.

Most specific first; whatever is not recognised is Unknown. ccxt's classes alone don't tell: a body cut off in the
middle and a refusal are the same `ExchangeError` to it, and a web page in place of an answer is no error at all.
"""

import re
import socket
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

import aiohttp
import ccxt

from exchange.errors import ExchangeError, NotSent, Rejected, RejectReason, Unknown


class NonceUsed(Rejected):
    """The nonce is spent: by these very bytes sent before, or by the noop that fenced them off."""

    def __init__(self, text: str) -> None:
        super().__init__(text, RejectReason.NONCE)


class NonceTooLow(Rejected):
    """The signer's window has passed the nonce: it can't be used any more, but may have been."""

    def __init__(self, text: str) -> None:
        super().__init__(text, RejectReason.NONCE)


@dataclass(frozen=True, slots=True)
class Filled:
    """The order executed at least in part; `size` in coin, positive, may be less than was asked for."""

    oid: int
    size: Decimal


@dataclass(frozen=True, slots=True)
class Resting:
    """The order was taken and has not executed: a stop, waiting for its trigger."""

    oid: int


@dataclass(frozen=True, slots=True)
class Declined:
    """The order was admitted and refused; `text` is the exchange's."""

    reason: RejectReason
    text: str


class Removed(StrEnum):
    """What a cancel found."""

    NOW = "now"
    """It was open, and is no longer."""
    NOT_OPEN = "not_open"
    """Never placed, or over before: the exchange has one sentence for all of these."""


_REASONS: tuple[tuple[str, RejectReason], ...] = (
    ("could not immediately match", RejectReason.NO_MATCH),
    ("No liquidity available", RejectReason.NO_MATCH),
    ("Insufficient margin", RejectReason.MARGIN),
    ("insufficient spot balance", RejectReason.MARGIN),
    ("Insufficient balance", RejectReason.MARGIN),
    ("exceed margin tier limit", RejectReason.MARGIN),
    ("Invalid TP/SL price", RejectReason.TRIGGER),
    ("Must deposit before performing actions", RejectReason.KEY),
    ("already expired", RejectReason.EXPIRED),
    ("Invalid nonce", RejectReason.NONCE),
)

_RECORD_REASONS = {
    "iocCancelRejected": RejectReason.NO_MATCH,
    "marketOrderNoLiquidityRejected": RejectReason.NO_MATCH,
    "perpMarginRejected": RejectReason.MARGIN,
    "perpMaxPositionRejected": RejectReason.MARGIN,
    "insufficientSpotBalanceRejected": RejectReason.MARGIN,
    "marginCanceled": RejectReason.MARGIN,
    "badTriggerPxRejected": RejectReason.TRIGGER,
}

_CLIENT_ERRORS = frozenset({400, 415, 422})
"""The body was never understood as an action. Not 403: whatever stands in front of the exchange says that too."""


def reason_of(text: str) -> RejectReason:
    """What a refusal in the exchange's words means for the engine; RULE when it is none of the known ones."""
    folded = text.lower()
    return next((reason for mark, reason in _REASONS if mark.lower() in folded), RejectReason.RULE)


def record_reason(status: str) -> RejectReason:
    """The same for the status of an order's record, as `iocCancelRejected`."""
    return _RECORD_REASONS.get(status, RejectReason.RULE)


def sort_status(code: int, body: str) -> ExchangeError | None:
    """An HTTP status, None for 200."""
    if code == 200:
        return None
    text = f"HTTP {code}: {_short(body)}"
    if code == 429:
        return NotSent(text, over_limit=True)
    if code in _CLIENT_ERRORS:
        return Rejected(text)
    return Unknown(text)


def sort_exception(error: Exception) -> ExchangeError:
    """What a call through ccxt raised."""
    if isinstance(error, ExchangeError):
        return error
    text = f"{type(error).__name__}: {_short(str(error))}"
    if isinstance(error, ccxt.RateLimitExceeded | ccxt.ArgumentsRequired | ccxt.AuthenticationError | ccxt.BadSymbol):
        return NotSent(text)
    if isinstance(error, ccxt.NetworkError) and _never_connected(error.__cause__):
        return NotSent(f"no connection to the exchange: {_short(str(error.__cause__))}")
    return Unknown(text)


def sort_refusal(text: str) -> ExchangeError:
    """The text of an action-level error, `{"status": "err", "response": text}`."""
    if "duplicate nonce" in text:
        return NonceUsed(text)
    if "nonce too low" in text:
        return NonceTooLow(text)
    if "Too many cumulative requests" in text:
        return NotSent(text)
    return Rejected(text, reason_of(text))


def check_action_reply(reply: Any) -> dict[str, Any]:
    """The `response` of an action that was admitted. Raises what an error, or anything else, means."""
    match reply:
        case {"status": "ok", "response": dict(response)}:
            return response
        case {"status": "err", "response": str(text)}:
            raise sort_refusal(text)
        case _:
            raise Unknown(f"the exchange answered {_short(repr(reply))}")


def check_performed(reply: Any) -> None:
    """An action that answers nothing but that it was performed, as noop does. Raises what anything else means."""
    response = check_action_reply(reply)
    if response != {"type": "default"}:
        raise Unknown(f"the exchange answered {_short(repr(response))}")


def sort_order_reply(reply: Any, *, may_rest: bool = False) -> Filled | Resting | Declined:
    """The reply to one order: its only definite forms are `filled`, a per-order `error`, and for a stop `resting`."""
    response = check_action_reply(reply)
    match response:
        case {"type": "order", "data": {"statuses": [{"filled": {"oid": int(oid), "totalSz": str(size)}}]}} if (
            _is_number(size)
        ):
            return Filled(oid, Decimal(size))
        case {"type": "order", "data": {"statuses": [{"error": str(text)}]}}:
            return Declined(reason_of(text), text)
        case {"type": "order", "data": {"statuses": [{"resting": {"oid": int(oid)}}]}} if may_rest:
            return Resting(oid)
        case _:
            raise Unknown(f"the exchange answered an order with {_short(repr(response))}")


def sort_cancel_reply(reply: Any) -> Removed:
    """The reply to the cancel of one order."""
    response = check_action_reply(reply)
    match response:
        case {"type": "cancel", "data": {"statuses": ["success"]}}:
            return Removed.NOW
        case {"type": "cancel", "data": {"statuses": [{"error": str(text)}]}} if "never placed" in text:
            return Removed.NOT_OPEN
        case {"type": "cancel", "data": {"statuses": [{"error": str(text)}]}}:
            raise Rejected(text)
        case _:
            raise Unknown(f"the exchange answered a cancel with {_short(repr(response))}")


def _never_connected(cause: BaseException | None) -> bool:
    """aiohttp raises these only before there is a connection; a bare ClientOSError can come after the request left."""
    return isinstance(cause, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | socket.gaierror)


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


def _short(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= 300 else flat[:300] + "..."
