"""What workflows say to activities and hear back. Nothing here does anything, so workflow code may import it."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, FailFast, Field

from exchange.port import Balance, Fill, FundingPayment, Intent, MarketRules, OpenOrder, Position, PriceRange
from exchange.spot_port import LedgerUpdate, SpotRules, TransferIntent
from journal.entries import Entry, Standing, TradeRef, Who
from strategy.units import UnitGrid
from strategy.values import Tick

TRADES_QUEUE = "trades"
FEED_QUEUE = "feed"


def orders_queue(signer: str) -> str:
    """Served only by processes that hold the signer's key."""
    return f"orders-{signer}"


class Message(BaseModel):
    """One JSON object; a field that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class MarketQuestion(Message):
    """`network` is the one the trade was opened for: a worker of another one refuses."""

    network: str
    coin: str


class MarketFacts(Message):
    """A market and the account that would trade it, as they are now."""

    rules: MarketRules
    account: str
    signer: str
    position: Position
    free_usd: Decimal
    slippage_bps: int
    """How far from the deciding price this installation lets a market order fill."""


class LeverageChange(Message):
    network: str
    coin: str
    leverage: int
    nonce: int


class OrderRequest(Message):
    network: str
    intent: Intent


class CancelRequest(Message):
    """`since_ms`: not after the order was placed; its fills are looked for from then on."""

    network: str
    account: str
    coin: str
    cloid: str
    since_ms: int


class JournalBatch(Message):
    """Entries of one trade, in order of their numbers; writing them twice is writing them once."""

    trade: TradeRef
    entries: tuple[Entry, ...]
    standing: Standing | None = None
    """How the trade stands after all that was noted; None when there is more to be written."""


class TrackRequest(Message):
    workflow_id: str
    coin: str


class Tracking(Message):
    """Query `tracking`: what the feed follows a trade's price from. Lines count from the anchor."""

    coin: str
    grid: UnitGrid
    line: int
    since_ms: int
    """Trades at or before it are history."""
    last_tid: int
    """Of the last trade folded; 0 before the first."""


class UnitsMoved(Message):
    """Signal of the feed: the trades that completed units by its reckoning, oldest first."""

    ticks: Annotated[tuple[Tick, ...], FailFast()] = Field(min_length=1, max_length=1_000)
    tid: int = Field(ge=0, lt=2**63)
    """Of the last trade among them: where the feed stands."""
    traceparent: str | None = Field(default=None, max_length=55)


class Outage(Message):
    """Signal `was_away`: something a trade needs was gone and is back. ms UTC; both equal when nothing was missed."""

    who: Who
    from_ms: int = Field(ge=0, lt=2**63)
    to_ms: int = Field(ge=0, lt=2**63)

    def overlaps(self, other: "Outage") -> bool:
        return self.who == other.who and self.from_ms < other.to_ms and other.from_ms < self.to_ms


class LookRequest(Message):
    """`since_ms`: fills from then on; `funding_since_ms`: payments. `away`: whose prices are asked for too."""

    network: str
    account: str
    coin: str
    since_ms: int
    funding_since_ms: int = 0
    away: Outage | None = None


class Findings(Message):
    """One coin of the account as the exchange has it, whoever traded there."""

    at_ms: int
    """The worker's clock before the first question."""
    position: Position
    resting: tuple[OpenOrder, ...] = ()
    fills: tuple[Fill, ...] = ()
    funding: tuple[FundingPayment, ...] | None = ()
    """None when it could not be asked for now: it is asked for again from the same moment."""
    missed: PriceRange | None = None
    """Of the stretch asked for; None where nothing was traded, or nobody could say."""
    liquidation_within_pct: Decimal = Decimal(0)
    """Of the mark price: how near this installation calls near; 0 is never."""


class SpotQuestion(Message):
    """`coin` as people say it: ETH is found as the pair of UETH."""

    network: str
    account: str
    coin: str


class SpotFacts(Message):
    """A coin's pair on spot, and what the account has there, as they are now."""

    rules: SpotRules
    signer: str
    usd: Balance
    owned: Balance
    may_transfer: bool
    """False for an API wallet: it buys with what is there, and moves nothing."""
    slippage_bps: int


class TransferQuestion(Message):
    network: str
    account: str
    usd: Decimal
    to_perp: bool


class TransferRequest(Message):
    network: str
    intent: TransferIntent


class LedgerQuestion(Message):
    network: str
    account: str
    since_ms: int


class LedgerFacts(Message):
    """Money that came, left or changed sides, oldest first; `at_ms` is the worker's clock before it was asked."""

    at_ms: int
    updates: tuple[LedgerUpdate, ...]


class NoticeKind(StrEnum):
    ATTENTION = "attention"
    """Something a person decides or has to see to, a stop included."""
    LIQUIDATION = "liquidation"
    """It is near."""
    RESET = "reset"
    """A cycle ended with its profit."""
    OUTAGE = "outage"
    """What was missed while something was away."""


class Notice(Message):
    """What a person should know now."""

    workflow_id: str
    coin: str
    text: str
    at_ms: int
    kind: NoticeKind = NoticeKind.ATTENTION

    @property
    def urgent(self) -> bool:
        return self.kind in (NoticeKind.ATTENTION, NoticeKind.LIQUIDATION)
