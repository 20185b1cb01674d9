"""What crosses the border of a trade's workflow: its input, signals, updates, queries, and the one state it carries.

Operators write these as one JSON object; numbers may be quoted ("3450.5") to be exact.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from activities.messages import Message
from exchange.port import Intent
from journal.entries import Entry, TradeRef
from strategy.fold import Decision
from strategy.ladder import V6, AtReset, Ladder
from strategy.state import TradeState
from strategy.units import UnitMode
from strategy.values import Phase, Tick


def workflow_id(coin: str) -> str:
    return f"trade-{coin}"


class TradeInput(Message):
    """What a trader asks for. Leverage is the market's maximum when not given."""

    coin: str = Field(min_length=1, max_length=20)
    margin_usd: Decimal
    unit_size: Decimal
    leverage: int | None = None
    ladder: Ladder = V6
    unit_mode: UnitMode = UnitMode.FULL
    at_reset: AtReset = AtReset.CAP
    network: str = "paper"
    accepts_costs: bool = False
    """The trader confirmed that a unit is smaller than 3 times the costs of a round trip."""


class Mode(StrEnum):
    """What a trade does with the prices it is told."""

    OPENING = "opening"
    TRADING = "trading"
    PAUSED = "paused"
    """Units are tracked without orders."""
    ATTENTION = "attention"
    """An order was refused: no orders until a person says so."""
    CLOSING = "closing"
    CLOSED = "closed"


class NeedsAttention(Exception):
    """Only a person can say how the trade goes on; the text is for them."""


class Pause(Message):
    reason: str = Field(default="", max_length=500)


class Resume(Message):
    reason: str = Field(default="", max_length=500)


class Close(Message):
    reason: str = Field(default="", max_length=500)


class SetUnitSize(Message):
    unit_size: Annotated[Decimal, Field(gt=0)]
    reason: str = Field(default="", max_length=500)


class PendingOrder(Message):
    """An intent on its way and the decision it carries out: kept until its outcome is definite."""

    intent: Intent
    purpose: str
    decision: Decision
    taken: int
    """Ticks at the front of the inbox that the decision was made of."""


class LastOrder(Message):
    """For people: an order of the trade as it ended."""

    time_ms: int
    purpose: str
    size: Decimal
    price: Decimal | None
    status: str
    cloid: str


class TradeRecord(BaseModel):
    """Every mutable field of a trade's workflow: what the next run of it continues with."""

    model_config = ConfigDict(extra="forbid")

    input: TradeInput
    trade: TradeRef | None = None
    """Set when the opening begins: under it the journal keeps everything."""
    account: str = ""
    signer: str = ""
    asset: int = 0
    size_decimals: int = 0
    slippage_bps: int = 50
    maintenance_rate: Decimal = Decimal(0)
    """Of the market: maintenance margin as a share of notional."""
    mode: Mode = Mode.OPENING
    state: TradeState | None = None
    inbox: list[Tick] = Field(default_factory=list)
    traceparent: str | None = None
    """Of the newest signal in the inbox."""
    pending: PendingOrder | None = None
    since_ms: int = 0
    last_tid: int = 0
    last_price: Decimal | None = None
    outbox: list[Entry] = Field(default_factory=list)
    """Journal entries not written yet."""
    next_seq: int = 1
    close_reason: str | None = None
    not_ours: Decimal = Decimal(0)
    """What the exchange still held in the coin when the trade was closed: somebody else's."""
    new_unit_size: Decimal | None = None
    attention: str | None = None
    notes: list[str] = Field(default_factory=list)
    """Refused input and the like, newest last; shown to people."""
    last_orders: list[LastOrder] = Field(default_factory=list)


class LedgerView(Message):
    """Query `ledger`. Quantities in coin, money in USD; equity at `price`."""

    long: Decimal
    short: Decimal
    short_entry: Decimal
    cash: Decimal
    allocation: Decimal
    equity: Decimal
    net: Decimal
    price: Decimal


class TradeStatus(Message):
    """Query `status`: all a person wants to see. Units relative to the cycle; triggers are prices."""

    workflow_id: str
    trade_id: str | None
    network: str
    coin: str
    mode: Mode
    phase: Phase | None
    unit: int
    peak: int
    valley: int
    cycle: int
    anchor_price: Decimal | None
    unit_size: Decimal
    preset: str
    leverage: int | None
    margin_usd: Decimal
    price: Decimal | None
    trigger_up: Decimal | None
    trigger_down: Decimal | None
    steps: int
    order_in_flight: bool
    attention: str | None
    ledger: LedgerView | None
    last_orders: tuple[LastOrder, ...]
    notes: tuple[str, ...]


class TradeResult(Message):
    """What a closed trade leaves behind."""

    coin: str
    reason: str
    cycles: int
    equity: Decimal
    pnl_usd: Decimal
