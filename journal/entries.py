"""What the journal records: one pydantic model per kind of entry.

Made in workflow code, so this module is pure: pydantic and `strategy` only. Prices are USD per coin, sizes coin, units
count within the cycle, times are ms UTC. The key of an entry is (trade, seq): the workflow counts `seq` up from 1, and
the same entry written twice is written once.
"""

from decimal import Decimal
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter

from strategy.values import Leg, Phase

Who = Literal["worker", "feed", "exchange", "temporal"]
"""What can be away."""


class Record(BaseModel):
    """An immutable value; unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TradeRef(Record):
    """The trade an entry belongs to: written with its first entry and never changed."""

    trade_id: str = Field(min_length=1, max_length=200)
    workflow_id: str = Field(min_length=1, max_length=200)
    """Several trades, one after the other, may have the same."""
    coin: str
    account: str
    """Address whose position moves, lower case."""
    network: str
    """`paper`, `testnet` or `mainnet`."""
    opened_at_ms: int
    terms: dict[str, JsonValue] = {}
    """What it was opened with, as JSON; numbers that matter as strings."""


class Standing(Record):
    """What another run of a trade's workflow would begin with: kept beside its entries, the newest alone."""

    seq: int = Field(ge=0)
    """Of the newest entry of the trade then: all up to it are reflected here."""
    at_ms: int
    record: dict[str, JsonValue]
    """Numbers that matter as strings."""


class BaseEntry(Record):
    """What every entry has."""

    seq: int = Field(ge=0)
    at_ms: int
    """When the trade knew it."""


class Opened(BaseEntry):
    kind: Literal["opened"] = "opened"
    coin: str
    margin_usd: Decimal
    leverage: int
    unit_size: Decimal
    preset: str
    anchor_price: Decimal
    size: Decimal


class UnitChange(BaseEntry):
    kind: Literal["unit_change"] = "unit_change"
    from_unit: int
    to_unit: int
    price: Decimal
    cycle: int


class Decision(BaseEntry):
    """What prices meant; `unit`, `peak`, `valley` and `phase` as they are after it."""

    kind: Literal["decision"] = "decision"
    price: Decimal
    unit: int
    phase: Phase
    peak: int
    valley: int
    cycle: int
    legs: tuple[Leg, ...] = ()
    order_qty: Decimal
    """Net of the legs, signed, buys positive; 0 when there is no order."""
    cloid: str | None = None


class IntentRecord(BaseEntry):
    """An order, fixed before it was sent."""

    kind: Literal["intent"] = "intent"
    cloid: str
    signer: str
    """Address of the key, lower case."""
    nonce: int
    coin: str
    side: Literal["buy", "sell"]
    size: Decimal
    """Positive."""
    limit_price: Decimal
    reduce_only: bool
    expires_after_ms: int
    purpose: str
    trigger_price: Decimal | None = Field(default=None, exclude_if=lambda price: price is None)
    """Of a stop, on the mark price; not written where there is none, as before there were stops."""


class OutcomeRecord(BaseEntry):
    """The definite end of an intent, and how it is known; of a stop also that it rests."""

    kind: Literal["outcome"] = "outcome"
    cloid: str
    status: Literal["filled", "resting", "rejected", "not_executed"]
    total_size: Decimal = Decimal(0)
    """Filled, positive."""
    average_price: Decimal | None = None
    fee_usd: Decimal = Decimal(0)
    reason: str | None = None
    established_by: str
    """`reply`, `order_status`, `fills`, `noop_fence` or `expired_without_record`; joined by + where it took several."""
    asks: int = Field(ge=0)
    """Requests it took, the sending included."""
    established_at_ms: int


class FillRecord(BaseEntry):
    kind: Literal["fill"] = "fill"
    cloid: str | None
    """None when the fill was not of an order of ours: a liquidation, a hand on the exchange."""
    oid: int
    tid: int
    price: Decimal
    size: Decimal
    """Signed."""
    fee_usd: Decimal
    """Positive when paid."""
    time_ms: int


class ResetRecord(BaseEntry):
    kind: Literal["reset"] = "reset"
    cycle: int
    """The cycle that ended."""
    price: Decimal
    cycle_pnl_usd: Decimal
    allocation_usd: Decimal
    """Of the cycle that begins."""


class MarginRecord(BaseEntry):
    """What the trade's portfolio took out of it, or put in."""

    kind: Literal["margin"] = "margin"
    portfolio: str
    occasion: str
    taken_usd: Decimal
    """Negative when it was put in."""
    allocation_usd: Decimal
    """With it."""


class OperatorRecord(BaseEntry):
    """A command that was accepted, and what came of it."""

    kind: Literal["operator"] = "operator"
    command: str
    arguments: dict[str, JsonValue] = {}
    result: str = ""


class RejectedInput(BaseEntry):
    """A signal or update that was refused."""

    kind: Literal["rejected_input"] = "rejected_input"
    name: str
    payload: str
    """As it came, shortened if need be."""
    text: str
    """Why."""


class AlertRecord(BaseEntry):
    """Something a person should look at."""

    kind: Literal["alert"] = "alert"
    text: str


class FundingRecord(BaseEntry):
    kind: Literal["funding"] = "funding"
    usd: Decimal
    """Positive when received."""
    time_ms: int


class DifferenceRecord(BaseEntry):
    """The exchange holds something else than the trade, and did not get it from it. Sizes signed, in coin."""

    kind: Literal["difference"] = "difference"
    wanted_size: Decimal
    held_size: Decimal
    wanted_leverage: int
    leverage: int
    text: str


class LiquidationRecord(BaseEntry):
    """A fill by which the exchange liquidated the position."""

    kind: Literal["liquidation"] = "liquidation"
    tid: int
    price: Decimal
    size: Decimal
    """Signed."""
    fee_usd: Decimal
    time_ms: int


class AwayRecord(BaseEntry):
    """What an outage meant for the trade."""

    kind: Literal["away"] = "away"
    who: Who
    from_ms: int
    to_ms: int
    low: Decimal | None = None
    high: Decimal | None = None
    """Prices missed, to the minute."""
    units: tuple[int, ...] = ()
    """As they were reached by prices from then on."""
    orders: tuple[str, ...] = ()
    """Those on their way, and how it is known what became of them."""
    difference: str | None = None


class Closed(BaseEntry):
    """`flat_*`: the exchange's own word that nothing is left, and after how many looks it gave it."""

    kind: Literal["closed"] = "closed"
    reason: str
    realized_pnl_usd: Decimal
    """Over all cycles, fees and funding included."""
    price: Decimal | None = None
    """Average price of the closing fills; None when nothing was held."""
    flat_at_ms: int | None = None
    flat_looks: int = 0
    cancelled_orders: int = 0
    """Resting orders in the coin that had to go."""


class GrantRecord(BaseEntry):
    """Of a portfolio: margin given to a trade, or refused."""

    kind: Literal["grant"] = "grant"
    trade: str
    occasion: str
    margin_usd: Decimal | None = None
    refusal: str = ""


class ProfitRecord(BaseEntry):
    """Of a portfolio: a cycle's result and where it went."""

    kind: Literal["profit"] = "profit"
    trade: str
    cycle: int
    profit_usd: Decimal
    trade_usd: Decimal
    reserve_usd: Decimal = Decimal(0)
    savings_usd: Decimal = Decimal(0)


class MoneyRecord(BaseEntry):
    """Of a portfolio: money that came to or left the perpetuals side of the account, otherwise than by trading."""

    kind: Literal["money"] = "money"
    movement: str
    """The exchange's word: `deposit`, `withdraw`, `accountClassTransfer`, ..."""
    usd: Decimal
    time_ms: int
    hash: str


class TransferRecord(BaseEntry):
    """Of a portfolio: USDC that was to move between the account's sides for its savings, and how it is known whether
    it did."""

    kind: Literal["transfer"] = "transfer"
    coin: str
    """That it is to buy."""
    nonce: int
    usd: Decimal
    to_perp: bool
    status: Literal["done", "not_done"]
    reason: str | None = None
    established_by: str
    """`reply`, `ledger`, `noop_fence` or `not_in_ledger`."""
    asks: int = Field(ge=0)
    established_at_ms: int


class SavedRecord(BaseEntry):
    """Of a portfolio: savings that were bought. Size in coin, as received."""

    kind: Literal["saved"] = "saved"
    coin: str
    size: Decimal
    price: Decimal
    usd: Decimal
    of: tuple[str, ...] = ()
    """Trades and cycles whose profit it was."""


class StoppedRecord(BaseEntry):
    """Of a portfolio: an emergency stop that was proved."""

    kind: Literal["all_stopped"] = "all_stopped"
    reason: str
    trades: tuple[str, ...]
    flat_at_ms: int
    looks: int
    left: tuple[str, ...] = ()
    """Coins that somebody else holds."""


Entry = Annotated[
    Opened
    | UnitChange
    | Decision
    | IntentRecord
    | OutcomeRecord
    | FillRecord
    | ResetRecord
    | MarginRecord
    | OperatorRecord
    | RejectedInput
    | AlertRecord
    | FundingRecord
    | DifferenceRecord
    | LiquidationRecord
    | AwayRecord
    | Closed
    | GrantRecord
    | ProfitRecord
    | MoneyRecord
    | TransferRecord
    | SavedRecord
    | StoppedRecord,
    Field(discriminator="kind"),
]

ENTRY: TypeAdapter[Entry] = TypeAdapter(Entry)
"""Builds the model of any entry from its fields."""
