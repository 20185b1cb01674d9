"""Shapes of `/exchange` requests. What does not fit is answered with 422; what fits is typed and canonical.

The venue deserialises an action, serialises it again in its own key order and hashes that, so letter case of a cloid
and the order of keys in the JSON do not change the recovered signer, while a trailing zero in a signed price does.
`canonical()` gives that form.
"""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, Strict, StringConstraints, TypeAdapter

from simulator.shape import Bool, Int, Shape, SignedInt
from simulator.user_signed import ApproveAgentAction, ApproveBuilderFeeAction, UsdClassTransferAction
from simulator.wire import Address, Cloid, WireDecimal, stripped

Tif = Literal["Gtc", "Ioc", "Alo"]


class Limit(Shape):
    tif: Tif


class Trigger(Shape):
    isMarket: Bool
    triggerPx: WireDecimal
    tpsl: Literal["tp", "sl"]


class OrderType(Shape):
    limit: Limit | None = None
    trigger: Trigger | None = None

    def model_post_init(self, _context: object) -> None:
        if (self.limit is None) == (self.trigger is None):
            raise ValueError("exactly one of limit and trigger")

    def canonical(self) -> dict[str, Any]:
        if self.limit:
            return {"limit": {"tif": self.limit.tif}}
        assert self.trigger
        trigger = self.trigger
        return {
            "trigger": {
                "isMarket": trigger.isMarket,
                "triggerPx": stripped(trigger.triggerPx),
                "tpsl": trigger.tpsl,
            }
        }


class OrderSpec(Shape):
    """One order as sent: a asset, b is-buy, p limit price, s size, r reduce-only, t type, c cloid."""

    a: Int
    b: Bool
    p: WireDecimal
    s: WireDecimal
    r: Bool
    t: OrderType
    c: Cloid | None = None

    def canonical(self) -> dict[str, Any]:
        order: dict[str, Any] = {
            "a": self.a,
            "b": self.b,
            "p": stripped(self.p),
            "s": stripped(self.s),
            "r": self.r,
            "t": self.t.canonical(),
        }
        return order if self.c is None else order | {"c": self.c}


class Builder(Shape):
    b: Address
    f: Int

    def canonical(self) -> dict[str, Any]:
        return {"b": self.b, "f": self.f}


class L1Action(Shape):
    """Signed as a phantom agent over the msgpack of `canonical()`."""

    type: str

    def canonical(self) -> dict[str, Any]:
        return self.model_dump(exclude_none=True)


class OrderAction(L1Action):
    type: Literal["order"]
    orders: Annotated[list[OrderSpec], Field(min_length=1)]
    grouping: Literal["na", "normalTpsl", "positionTpsl"]
    builder: Builder | None = None

    def canonical(self) -> dict[str, Any]:
        action: dict[str, Any] = {
            "type": "order",
            "orders": [order.canonical() for order in self.orders],
            "grouping": self.grouping,
        }
        return action if self.builder is None else action | {"builder": self.builder.canonical()}


class Cancel(Shape):
    a: Int
    o: Int


class CancelAction(L1Action):
    type: Literal["cancel"]
    cancels: Annotated[list[Cancel], Field(min_length=1)]


class CloidCancel(Shape):
    asset: Int
    cloid: Cloid


class CancelByCloidAction(L1Action):
    type: Literal["cancelByCloid"]
    cancels: Annotated[list[CloidCancel], Field(min_length=1)]


class Modify(Shape):
    oid: Int | Cloid
    order: OrderSpec

    def canonical(self) -> dict[str, Any]:
        return {"oid": self.oid, "order": self.order.canonical()}


class ModifyAction(L1Action, Modify):
    type: Literal["modify"]

    def canonical(self) -> dict[str, Any]:
        return {"type": "modify", "oid": self.oid, "order": self.order.canonical()}


class BatchModifyAction(L1Action):
    type: Literal["batchModify"]
    modifies: Annotated[list[Modify], Field(min_length=1)]

    def canonical(self) -> dict[str, Any]:
        return {"type": "batchModify", "modifies": [modify.canonical() for modify in self.modifies]}


class UpdateLeverageAction(L1Action):
    type: Literal["updateLeverage"]
    asset: Int
    isCross: Bool
    leverage: Int


class UpdateIsolatedMarginAction(L1Action):
    type: Literal["updateIsolatedMargin"]
    asset: Int
    isBuy: Bool
    ntli: SignedInt


class NoopAction(L1Action):
    type: Literal["noop"]


class ScheduleCancelAction(L1Action):
    type: Literal["scheduleCancel"]
    time: Int | None = None


class SetReferrerAction(L1Action):
    type: Literal["setReferrer"]
    code: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=20)]


class CreateSubAccountAction(L1Action):
    type: Literal["createSubAccount"]
    name: Annotated[str, StringConstraints(strict=True, min_length=1, max_length=16)]


class SubAccountTransferAction(L1Action):
    type: Literal["subAccountTransfer"]
    subAccountUser: Address
    isDeposit: Bool
    usd: Int


Action = Annotated[
    OrderAction
    | CancelAction
    | CancelByCloidAction
    | ModifyAction
    | BatchModifyAction
    | UpdateLeverageAction
    | UpdateIsolatedMarginAction
    | NoopAction
    | ScheduleCancelAction
    | SetReferrerAction
    | CreateSubAccountAction
    | SubAccountTransferAction
    | UsdClassTransferAction
    | ApproveAgentAction
    | ApproveBuilderFeeAction,
    Field(discriminator="type"),
]

ACTION_TYPES: tuple[str, ...] = tuple(
    get_args(action.model_fields["type"].annotation)[0] for action in get_args(get_args(Action)[0])
)

Hex256 = Annotated[str, StringConstraints(strict=True, pattern=r"^0x[0-9a-fA-F]{1,64}$")]


class Signature(Shape):
    """r and s as hex integers: the SDK leaves out leading zeros."""

    r: Hex256
    s: Hex256
    v: Annotated[int, Strict()]


class Envelope(Shape):
    action: Action
    nonce: Int
    signature: Signature
    vaultAddress: Address | None = None
    expiresAfter: Int | None = None


ENVELOPE: TypeAdapter[Envelope] = TypeAdapter(Envelope)
