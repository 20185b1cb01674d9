"""What workflows say to activities and hear back. Nothing here does anything, so workflow code may import it."""

from decimal import Decimal
from enum import StrEnum
from hashlib import sha256
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, FailFast, Field

from exchange.port import (
    Balance,
    Fill,
    FundingPayment,
    Intent,
    MarketRules,
    OpenOrder,
    Position,
    PriceRange,
)
from exchange.spot_port import LedgerUpdate, SpotRules, TransferIntent
from journal.entries import Entry, Standing, TradeRef, Who
from portfolio.curve import Curve
from portfolio.risk import Breach, Exposure
from portfolio.terms import PortfolioLimits
from strategy.units import UnitGrid
from strategy.values import Tick

TRADES_QUEUE = "trades"
FEED_QUEUE = "feed"
TRADE = "trade-"
"""How the id of a trade's workflow begins."""


def orders_queue(signer: str) -> str:
    """Served only by processes that hold the signer's key."""
    return f"orders-{signer}"


def trade_name(trade_id: str) -> str:
    """What people call it: ETH, or ETH-hedge for one that was given a name. Also of a workflow's id."""
    return trade_id.partition("/")[0].removeprefix(TRADE)


def tag_of(trade_id: str) -> str:
    """The first half of every cloid of a trade, in hex: by it its fills are known among all others."""
    return sha256(trade_id.encode()).hexdigest()[:16]


def tag_in(cloid: str | None) -> str | None:
    return None if cloid is None else cloid[2:18]


class Message(BaseModel):
    """One JSON object; a field that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$"), AfterValidator(str.lower)]
"""Of an account or a key, at the exchange; in lower case from here on."""


class MarketQuestion(Message):
    """`network` is the one the trade was opened for: a worker of another one refuses."""

    network: str
    coin: str
    trade_id: str | None = None
    """Of the trade that is about to open: it is made known to the others on its coin."""


class Neighbour(Message):
    """Query `neighbour`: what a trade says to another one on the same coin and account; they share one net position."""

    trade_id: str
    coin: str
    network: str
    account: str
    """Empty before its opening has asked the exchange: it has ordered nothing yet."""
    mode: str
    size: Decimal
    """The net of its ledger, signed, in coin."""
    leverage: int | None
    """None: the market's maximum."""
    unsettled: str | None = None
    """Why the exchange may hold something else for it just now."""
    stop_cloids: tuple[str, ...] = ()
    """Of its backstops: one that fired is not in `size`."""
    revision: int
    """Grows with everything it does."""

    @property
    def name(self) -> str:
        return trade_name(self.trade_id)

    @property
    def is_stopped(self) -> bool:
        """It holds nothing, and orders nothing any more."""
        return self.mode == "stopped"


class Greeting(Message):
    """Signal `neighbour`, from another trade on the coin: it is there; or it sees a difference, which is theirs too."""

    trade_id: str = Field(pattern=r"^[!-.0-~]{1,200}/[0-9a-f-]{36}$")
    """A workflow's id and that of its first run."""
    differs: bool = False


class MarketFacts(Message):
    """A market and the account that would trade it, as they are now."""

    rules: MarketRules
    account: str
    signer: str
    position: Position
    free_usd: Decimal
    slippage_bps: int
    """How far from the deciding price this installation lets a market order fill."""
    others: tuple[Neighbour, ...] | None = None
    """Trades on the coin that run; None where nobody was asked."""

    @property
    def unclaimed_size(self) -> Decimal:
        """What the account holds and no trade has."""
        return self.position.size - sum((each.size for each in self.others or ()), Decimal(0))


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


class TradeSummary(Message):
    """Query `summary`: what a portfolio reckons with. Money in USD, quantities in coin, equity at `price`."""

    workflow_id: str
    coin: str
    network: str
    account: str = ""
    """Empty until the opening has asked the exchange."""
    portfolio: str | None = None
    mode: str
    phase: str | None = None
    unit: int = 0
    cycle: int = 0
    fully_long: bool = False
    margin_usd: Decimal = Decimal(0)
    """Given at the opening."""
    allocation_usd: Decimal = Decimal(0)
    """The margin with the results of the cycles that ended, and with what the portfolio added or took."""
    equity_usd: Decimal = Decimal(0)
    pnl_usd: Decimal = Decimal(0)
    """Since the opening; what the portfolio took was earned too."""
    net_size: Decimal = Decimal(0)
    price: Decimal | None = None
    flat_at_ms: int | None = None
    """When the exchange said that nothing is left, after `flat_looks` looks."""
    flat_looks: int = 0
    attention: str | None = None


class SignBy(Message):
    """Signal `sign_by`: what the account does is signed by that key from now on."""

    account: Address
    signer: Address


class SignedBy(Message):
    """Query `signed_by`: by whose key a workflow signs what it begins."""

    account: str = ""
    """Empty before it knows."""
    signer: str = ""
    began: tuple[str, ...] = ()
    """Signers of what is on its way: each has to finish what it began."""

    @property
    def signers(self) -> frozenset[str]:
        return frozenset({self.signer, *self.began} - {""})


class UnitsMoved(Message):
    """Signal of the feed: the trades that completed units by its reckoning, oldest first."""

    ticks: Annotated[tuple[Tick, ...], FailFast()] = Field(min_length=1, max_length=1_000)
    tid: int = Field(ge=0, lt=2**63)
    """Of the last trade among them: where the feed stands."""
    sent_ms: int | None = Field(default=None, ge=0, lt=2**63)
    """When the feed made it up, ms UTC: what is handled much later has waited for a worker."""
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
    trade_id: str = ""
    """Who looks."""
    neighbours: tuple[str, ...] = ()
    """Ids of the trades on the coin that are asked for their part."""
    find_neighbours: bool = False
    """They were never looked for."""
    own_tag: str | None = None
    """Of cloids in hex: only these orders are cancelled."""


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
    others: tuple[Neighbour, ...] = ()
    """Trades on the coin that run."""
    unsettled: str | None = None
    """Why it can't be said now what the others hold of the position."""

    @property
    def others_size(self) -> Decimal:
        return sum((each.size for each in self.others), Decimal(0))


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


class AccountQuestion(Message):
    network: str
    account: str


class AccountIdentity(Message):
    """Whose account a worker serves, and what it is worth: movements of money after `ledger_ms`, and those at it that
    are not among the hashes, are not in it."""

    account: str
    signer: str
    equity_usd: Decimal
    ledger_ms: int
    ledger_hashes: tuple[str, ...]


class LeftOver(Message):
    """What an account holds and has resting, as the exchange says."""

    at_ms: int
    positions: tuple[Position, ...]
    resting: tuple[OpenOrder, ...]

    @property
    def coins(self) -> tuple[str, ...]:
        return tuple(sorted({each.coin for each in self.positions} | {each.coin for each in self.resting}))


class WatchRequest(Message):
    """`known`: limits whose breach was told. Movements of money after `ledger_ms`, and those at it that are not among
    the hashes, are not in the curve yet. `at_once`: the first look is told, whatever it shows."""

    network: str
    account: str
    curve: Curve
    limits: PortfolioLimits
    ledger_ms: int
    ledger_hashes: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    at_once: bool = False


class WatchReport(Message):
    """The account at `at_ms`, by the worker's clock; `updates` are in the curve."""

    at_ms: int
    curve: Curve
    exposure: Exposure
    breaches: tuple[Breach, ...] = ()
    warnings: tuple[str, ...] = ()
    updates: tuple[LedgerUpdate, ...] = ()
    known: tuple[str, ...] = ()

    @property
    def new_breaches(self) -> tuple[Breach, ...]:
        return tuple(each for each in self.breaches if each.limit not in self.known)

    @property
    def is_news(self) -> bool:
        return bool(self.new_breaches or self.warnings or self.updates)


class StopRound(Message):
    """Every trade of the account that runs was told to stop: what each said of itself, and who could not be asked."""

    trades: tuple[TradeSummary, ...]
    silent: tuple[str, ...] = ()


class StopRequest(Message):
    network: str
    account: str
    reason: str


class NoticeKind(StrEnum):
    ATTENTION = "attention"
    """Something a person decides or has to see to, a stop included."""
    LIQUIDATION = "liquidation"
    """It is near."""
    RESET = "reset"
    """A cycle ended with its profit."""
    OUTAGE = "outage"
    """What was missed while something was away."""
    DRAWDOWN = "drawdown"
    """Of the account: a warning level was passed."""


class Notice(Message):
    """What a person should know now."""

    workflow_id: str
    coin: str
    text: str
    at_ms: int
    kind: NoticeKind = NoticeKind.ATTENTION

    @property
    def about(self) -> str:
        """A trade, as it is called, or who else tells it."""
        return trade_name(self.workflow_id) if self.workflow_id.startswith(TRADE) else self.coin

    @property
    def urgent(self) -> bool:
        return self.kind in (NoticeKind.ATTENTION, NoticeKind.LIQUIDATION, NoticeKind.DRAWDOWN)
