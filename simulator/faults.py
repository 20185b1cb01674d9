"""What can go wrong with a request: the kinds of faults and which requests they are for, as the control API takes them.

A fault has one of four places in the life of a request. It may hold it back (`delay`), keep it from being executed
(`drop_request`, `nonce_used`, `status` and `html` before), change how it is executed (`partial`, `hide`,
`reduce_only`), or spoil the answer to what was executed (`drop_reply`, `truncate`, `slow`, `wrong_content_type`,
`status` and `html` after). Of the faults that fit a request one strikes in each place, the oldest first.
"""

from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator

from simulator.info import ANSWERS
from simulator.listings import LISTED
from simulator.requests import ACTION_TYPES

When = Literal["before", "after"]
ANY = "*"
ORDER_ACTIONS = ("order", "modify", "batchModify")
SECONDS_MAX = 3600


class Place(IntEnum):
    """Where in a request's life a fault strikes, in order. Nothing after REFUSED strikes a request that was refused."""

    HELD_BEFORE = 0
    REFUSED = 1
    PARTIAL = 2
    HIDDEN = 3
    REDUCE_ONLY = 4
    HELD_AFTER = 5
    REPLY = 6


class Match(BaseModel):
    """Which requests: by action type or by info type (`*` is any); without either, every action.

    The fault begins with the `nth` matching request from now on and strikes `count` times, each with `probability`.
    """

    model_config = ConfigDict(extra="forbid")
    action: str | None = None
    info: str | None = None
    coin: str | None = None
    """Only actions that name this coin."""
    nth: int = Field(default=1, ge=1)
    count: int = Field(default=1, ge=1)
    probability: float = Field(default=1.0, gt=0, le=1)

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if self.action is not None and self.info is not None:
            raise ValueError("action and info are given: a request is one of them")
        if self.info is not None and self.coin is not None:
            raise ValueError("coin is for actions only")
        _check("action", self.action, (ANY, *ACTION_TYPES))
        _check("info", self.info, (ANY, *ANSWERS))
        _check("coin", self.coin, tuple(LISTED))
        return self

    def fits(self, asked: "Asked") -> bool:
        if asked.info is not None:
            return self.info in (ANY, asked.info)
        if self.info is not None or self.action not in (None, ANY, asked.action):
            return False
        return self.coin is None or self.coin in asked.coins


def _check(name: str, value: str | None, allowed: tuple[str, ...]) -> None:
    if value is not None and value not in allowed:
        raise ValueError(f"{name} is {value}: allowed are {', '.join(allowed)}")


class Asked(BaseModel):
    """What a fault looks at in a request; exactly one of `action` and `info` is given."""

    action: str | None = None
    info: str | None = None
    coins: frozenset[str] = frozenset()


class _Kind(BaseModel):
    model_config = ConfigDict(extra="forbid")
    match: Match = Match()


class _OfActions(_Kind):
    """Makes no sense for a question."""

    @model_validator(mode="after")
    def _is_for_actions(self) -> Self:
        if self.match.info is not None:
            raise ValueError("match.info is given: this kind is for actions only")
        return self


class _OfOrders(_OfActions):
    """Changes how orders are executed; without an action, `order` is meant."""

    @model_validator(mode="after")
    def _is_for_orders(self) -> Self:
        if self.match.action in (None, ANY):
            self.match = self.match.model_copy(update={"action": "order"})
        _check("match.action", self.match.action, ORDER_ACTIONS)
        return self


class DropRequest(_Kind):
    """The connection dies before anything is looked at; nothing happened."""

    kind: Literal["drop_request"]


class DropReply(_Kind):
    """Executed and kept, then the connection dies without an answer."""

    kind: Literal["drop_reply"]


class Delay(_Kind):
    """Held back, before it is executed or before it is answered. Other requests pass; it is never left out."""

    kind: Literal["delay"]
    seconds: float = Field(gt=0, le=SECONDS_MAX)
    when: When = "before"


class Truncate(_Kind):
    """Executed; half of the answer is sent, with the length of the whole, then the connection dies."""

    kind: Literal["truncate"]


class HttpStatus(_Kind):
    """Answered by what stands before the exchange: 429 and 500 with `null`, 502 and 504 with HTML."""

    kind: Literal["status"]
    status: Literal[429, 500, 502, 504]
    when: When = "before"

    @model_validator(mode="after")
    def _limiter_refuses_first(self) -> Self:
        if self.status == 429 and self.when == "after":
            raise ValueError("status is 429: only when is before, a rate limit refuses what it did not let in")
        return self


class Html(_Kind):
    """200 with HTML."""

    kind: Literal["html"]
    when: When = "before"


class Partial(_OfOrders):
    """An IOC fills only this share of what it would: on lots, at least one. The rest is dropped, as of any IOC."""

    kind: Literal["partial"]
    share: Annotated[Decimal, BeforeValidator(str), Field(gt=0, lt=1)]


class Hide(_OfOrders):
    """For so long orderStatus, historicalOrders and userFills* do not know the order and its fills."""

    kind: Literal["hide"]
    seconds: float = Field(gt=0, le=SECONDS_MAX)


class NonceUsed(_OfActions):
    """Answered as a duplicate of its nonce, which it is not; nothing happened and the nonce is still free."""

    kind: Literal["nonce_used"]


class ReduceOnly(_OfOrders):
    """How this order is treated if it is reduce-only and larger than the position."""

    kind: Literal["reduce_only"]
    oversize: Literal["shrink", "reject"]


class WrongContentType(_Kind):
    """Executed; the answer says it is plain text."""

    kind: Literal["wrong_content_type"]


class Slow(_Kind):
    """Executed; the answer dribbles byte by byte over so many seconds."""

    kind: Literal["slow"]
    seconds: float = Field(gt=0, le=SECONDS_MAX)


FaultKind = (
    DropRequest
    | DropReply
    | Delay
    | Truncate
    | HttpStatus
    | Html
    | Partial
    | Hide
    | NonceUsed
    | ReduceOnly
    | WrongContentType
    | Slow
)
FAULT: TypeAdapter[FaultKind] = TypeAdapter(Annotated[FaultKind, Field(discriminator="kind")])


def place_of(fault: FaultKind) -> Place:
    match fault:
        case Delay():
            return Place.HELD_BEFORE if fault.when == "before" else Place.HELD_AFTER
        case DropRequest() | NonceUsed() | HttpStatus(when="before") | Html(when="before"):
            return Place.REFUSED
        case Partial():
            return Place.PARTIAL
        case Hide():
            return Place.HIDDEN
        case ReduceOnly():
            return Place.REDUCE_ONLY
        case DropReply() | Truncate() | HttpStatus() | Html() | WrongContentType() | Slow():
            return Place.REPLY
