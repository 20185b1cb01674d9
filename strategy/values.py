"""The small values everything here speaks in, and how exactly it counts."""

import functools
from collections.abc import Callable
from decimal import ROUND_DOWN, Context, Decimal, localcontext
from enum import StrEnum
from typing import ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict, Field

ZERO = Decimal(0)
ONE = Decimal(1)
QUANTUM = Decimal("1e-18")
"""Quantities are kept to this many coins; anything smaller is zero."""

_CONTEXT = Context(prec=40)

P = ParamSpec("P")
R = TypeVar("R")


def exact(function: Callable[P, R]) -> Callable[P, R]:
    """Run with 40 digits, whatever the caller's decimal context is."""

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        with localcontext(_CONTEXT):
            return function(*args, **kwargs)

    return wrapped


def quantise(quantity: Decimal) -> Decimal:
    """Down to QUANTUM, so that nothing is ever sold that is not held or bought that is not paid for."""
    return plain(quantity.quantize(QUANTUM, rounding=ROUND_DOWN))


def money(usd: Decimal) -> Decimal:
    """To QUANTUM: an average price that does not end leaves nothing behind in the cash it was reckoned with."""
    return plain(usd.quantize(QUANTUM))


def plain(number: Decimal) -> Decimal:
    """The same number without trailing zeros or exponent, as people write it."""
    whole = number.to_integral_value()
    return whole.quantize(ONE) if number == whole else number.normalize()


def round_down(quantity: Decimal, lot: Decimal) -> Decimal:
    """Towards zero to a whole number of lots."""
    return (quantity / lot).to_integral_value(rounding=ROUND_DOWN) * lot


class Value(BaseModel):
    """An immutable value; unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Phase(StrEnum):
    ADVANCE = "ADVANCE"
    RETRACEMENT = "RETRACEMENT"
    DECLINE = "DECLINE"
    RECOVERY = "RECOVERY"


class Direction(StrEnum):
    UP = "up"
    DOWN = "down"


class Action(StrEnum):
    SELL_LONG = "sell_long"
    OPEN_SHORT = "open_short"
    COVER_SHORT = "cover_short"
    BUY_LONG = "buy_long"

    @property
    def opposite(self) -> "Action":
        return _OPPOSITES[self]

    @property
    def sign(self) -> int:
        """+1 where the exchange sees a buy, -1 where it sees a sell."""
        return 1 if self in (Action.COVER_SHORT, Action.BUY_LONG) else -1


_OPPOSITES = {
    Action.SELL_LONG: Action.BUY_LONG,
    Action.BUY_LONG: Action.SELL_LONG,
    Action.OPEN_SHORT: Action.COVER_SHORT,
    Action.COVER_SHORT: Action.OPEN_SHORT,
}


class Leg(Value):
    """One movement between long, short and cash. `qty` is in coin, never negative."""

    action: Action
    qty: Decimal

    @property
    def signed_qty(self) -> Decimal:
        return self.action.sign * self.qty

    @property
    def opposite(self) -> "Leg":
        return Leg(action=self.action.opposite, qty=self.qty)


def legs_of(*pairs: tuple[Action, Decimal]) -> tuple[Leg, ...]:
    """Legs that move something: quantities below QUANTUM count as zero and are left out."""
    return tuple(Leg(action=action, qty=quantise(qty)) for action, qty in pairs if quantise(qty) > 0)


def net_qty(legs: tuple[Leg, ...]) -> Decimal:
    """What the legs are together on the exchange, in coin; buys positive."""
    return plain(sum((leg.signed_qty for leg in legs), ZERO))


def fit_to_lot(legs: tuple[Leg, ...], lot: Decimal) -> tuple[Leg, ...]:
    """Round the net of legs that all point one way down to a lot; the last leg takes the rounding."""
    total = sum((leg.qty for leg in legs), ZERO)
    excess = total - round_down(total, lot)
    fitted: list[Leg] = []
    for leg in reversed(legs):
        taken = min(leg.qty, excess)
        excess -= taken
        if leg.qty > taken:
            fitted.append(Leg(action=leg.action, qty=plain(leg.qty - taken)))
    return tuple(reversed(fitted))


class Tick(Value):
    """A trade on the exchange: USD per coin, ms UTC."""

    price: Decimal = Field(gt=0, max_digits=40)
    time_ms: int = Field(ge=0, lt=2**63)


class Execution(Value):
    """What an order really did: signed size in coin, average price, fee in USD (positive when paid)."""

    size: Decimal
    average_price: Decimal
    fee_usd: Decimal = ZERO
