"""The one state that a trade's workflow carries from run to run, and what it is made of."""

from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, ConfigDict, Field, model_validator

from activities.messages import Message, Notice, Outage
from exchange.port import Fill, Intent, PriceRange
from journal.entries import Entry, TradeRef, Who
from plans.entry import EntryWatch
from strategy.backstop import StopOrder
from strategy.fold import Decision
from strategy.state import TradeState
from strategy.units import UnitGrid
from strategy.values import Tick
from workflows.asked import Answer, TradeInput
from workflows.granting import Granted, Leave, MarginAsk, Occasion, TradeEnded


class Mode(StrEnum):
    """What a trade does with the prices it is told."""

    OPENING = "opening"
    ASKING = "asking"
    """Its portfolio for the margin: nothing is held."""
    WAITING = "waiting"
    """For its entry: nothing is held, the price is followed."""
    TRADING = "trading"
    PAUSED = "paused"
    """Units are tracked without orders."""
    ATTENTION = "attention"
    """No orders until a person says how it goes on: an order was refused, or the exchange holds something else."""
    CLOSING = "closing"
    STOPPED = "stopped"
    """Flat after an emergency stop: never an order again; a person releases it."""
    CLOSED = "closed"


class NeedsAttention(Exception):
    """Only a person can say how the trade goes on; the text is for them."""


class PendingOrder(Message):
    """An intent on its way and the decision it carries out: kept until its outcome is definite."""

    intent: Intent
    purpose: str
    decision: Decision
    taken: int
    """Ticks at the front of the inbox that the decision was made of."""


class LastOrder(Message):
    """For people: an order of the trade as it ended. `established_by` and `asks` are the proof of its outcome."""

    time_ms: int
    sent_ms: int = 0
    established_by: str = ""
    asks: int = 0
    purpose: str
    size: Decimal
    price: Decimal | None
    status: str
    cloid: str


class Difference(Message):
    """What the exchange has otherwise than the trade, and did not get from it. Sizes signed, in coin."""

    wanted_size: Decimal
    held_size: Decimal
    wanted_leverage: int
    leverage: int
    fills: tuple[Fill, ...]
    """Of others in this coin since both last agreed; the newest ten."""
    liquidated: bool
    at_ms: int
    others: dict[str, Decimal] = Field(default_factory=dict)
    """What other trades on the coin have of it, by their names."""

    @property
    def others_size(self) -> Decimal:
        return sum(self.others.values(), Decimal(0))

    def same_as(self, other: "Difference") -> bool:
        mine, its = (each.held_size - each.others_size for each in (self, other))
        return (mine, self.leverage) == (its, other.leverage)


class FlatProof(Message):
    """The exchange's own word that nothing is left: no position, no resting order. Beside other trades on the coin:
    nothing of this one."""

    asked_at_ms: int
    looks: int
    """How often it was asked until it said so."""
    cancelled_orders: int
    left_size: Decimal = Decimal(0)
    """That the exchange still holds in the coin, beside which the trade has nothing."""
    others: dict[str, Decimal] = Field(default_factory=dict)
    """What other trades have of it, by their names."""


class Away(Message):
    """An outage that is not reported yet. `missed` is known once the exchange was asked."""

    outage: Outage
    heard_ms: int
    looked: bool = False
    missed: PriceRange | None = None


class AwayReport(Message):
    """While I was away: what an outage meant for the trade."""

    who: Who
    from_ms: int
    to_ms: int
    low: Decimal | None
    high: Decimal | None
    """Prices missed, to the minute; None where nothing was traded."""
    units: tuple[int, ...]
    """Units as they were reached by prices from then, in order; empty when none completed."""
    orders: tuple[str, ...]
    """Those that were on their way, and how it is known what became of them."""
    difference: str | None


class UnitsReached(Message):
    time_ms: int
    """Of the price."""
    unit: int


class RestingStop(Message):
    """The backstop as it rests on the exchange."""

    cloid: str
    terms: StopOrder
    placed_ms: int


class PlanVersion(Message):
    """A version of the plan that the trade followed, and what it changed."""

    version: int
    at_ms: int
    changes: str


class OpenAsk(Message):
    """What the trade asked its portfolio, until the answer is acted on."""

    ask: MarginAsk
    asked_at_ms: int
    told: bool = False
    """The portfolio has it, or there is none."""
    holds: bool
    """The new cycle waits for the answer, but not for ever."""
    answer: Granted | None = None


RETIRED = frozenset({"not_ours"})
"""Fields of former releases that mean nothing any more."""


class TradeRecord(BaseModel):
    """Every mutable field of a trade's workflow: what the next run of it continues with.

    Open trades carry it from release to release: a field (here and in all that is in it) may be added with a default,
    never renamed, and one that goes is named in RETIRED.
    """

    model_config = ConfigDict(extra="forbid")

    @model_validator(mode="before")
    @classmethod
    def _without_retired(cls, given: object) -> object:
        return (
            {name: value for name, value in given.items() if name not in RETIRED} if isinstance(given, dict) else given
        )

    input: TradeInput
    trade: TradeRef | None = None
    """Set when the opening begins: under it the journal keeps everything."""
    account: str = ""
    signer: str = ""
    next_signer: str | None = None
    """By whose key the next run is to sign."""
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
    stopping: bool = False
    """The close is an emergency stop."""
    flat_proof: FlatProof | None = None
    close_looks: int = 0
    """How often the exchange was asked whether it is flat."""
    close_cancelled: int = 0
    close_troubles: int = 0
    """In a row."""
    look_due: str | None = None
    """Why the exchange has to be asked what it holds before anything else is ordered."""
    opened_ms: int = 0
    """The first moment whose fills in the coin are of this trade's time, by the exchange's clock."""
    looked_ms: int = 0
    sent_ms: int | None = None
    """When the feed sent the newest prices; None where it did not say."""
    looked_for_ms: int = 0
    """Of the newest price that had waited, and for which the exchange was looked at."""
    agreed_ms: int = 0
    """When exchange and ledger last agreed; what others did since is listed from here."""
    funding_ms: int = 0
    """Of the newest payment in the ledger."""
    strange_tids: list[int] = Field(default_factory=list)
    """Fills of others that are told already."""
    settled_tids: list[int] = Field(default_factory=list)
    """Those that are in the ledger."""
    difference: Difference | None = None
    answer: Answer | None = None
    away: list[Away] = Field(default_factory=list)
    away_reports: list[AwayReport] = Field(default_factory=list)
    units_reached: list[UnitsReached] = Field(default_factory=list)
    """The newest, for those reports."""
    near_liquidation: bool = False
    """And somebody was told."""
    neighbours: list[str] = Field(default_factory=list)
    """Trade ids of others on the coin and account."""
    former_neighbours: list[str] = Field(default_factory=list)
    """The newest of those that are over: what they traded was no hand."""
    neighbours_found: bool = False
    """Since then new ones make themselves known."""
    unsettled: str | None = None
    """Why the last look passed no verdict."""
    notices: list[Notice] = Field(default_factory=list)
    """Not delivered yet."""
    new_unit_size: Decimal | None = None
    new_input: TradeInput | None = None
    """A version of the plan that is taken between two orders."""
    plan_versions: list[PlanVersion] = Field(default_factory=list)
    watch: EntryWatch | None = None
    stop: RestingStop | None = None
    former_stops: list[RestingStop] = Field(default_factory=list)
    """To be taken off."""
    pending_stop: Intent | None = None
    """On its way: its outcome is not known yet."""
    stop_cloids: list[str] = Field(default_factory=list)
    stop_tids: list[int] = Field(default_factory=list)
    """Fills of backstops that are in the ledger."""
    granted_usd: Decimal | None = None
    """By the portfolio, for the opening."""
    asks: int = 0
    """Messages to the portfolio that have a name, so far."""
    open_ask: OpenAsk | None = None
    ask_due: Occasion | None = None
    """To be made when nothing else is open."""
    untold_usd: Decimal = Decimal(0)
    """Results of cycles that no ask has told of yet."""
    ends_cycle: bool = False
    """The portfolio wants the cycle to end where it is."""
    ended: TradeEnded | None = None
    end_told: bool = False
    leave: Leave | None = None
    order_times_ms: list[int] = Field(default_factory=list)
    """Of the orders of the last day, where their number is limited."""
    attention: str | None = None
    notes: list[str] = Field(default_factory=list)
    """Refused input and the like, newest last; shown to people."""
    last_orders: list[LastOrder] = Field(default_factory=list)

    @property
    def network(self) -> str:
        return self.input.network

    @property
    def about(self) -> str:
        """For notices."""
        return self.input.coin

    @property
    def on_their_way(self) -> dict[str, Intent]:
        """By cloid: what became of them is found out before anything else."""
        intents = [self.pending.intent if self.pending is not None else None, self.pending_stop]
        return {intent.cloid: intent for intent in intents if intent is not None}

    @property
    def margin_usd(self) -> Decimal:
        """As given, or as found at the opening; 0 while that is ahead."""
        opened = self.state.margin_usd if self.state is not None else Decimal(0)
        return opened or self.input.margin_usd or self.granted_usd or Decimal(0)

    def earned_usd(self, price: Decimal) -> Decimal:
        """Since the opening, were all closed at `price`; what the portfolio took out was earned too."""
        assert self.state is not None
        return self.state.equity(price) - self.margin_usd + self.state.taken_usd

    @property
    def followed(self) -> tuple[UnitGrid, int] | None:
        """The grid whose lines are counted now, and the line the last price folded completed."""
        if self.state is not None:
            return self.state.grid, self.state.line
        return (self.watch.grid, self.watch.line) if self.watch is not None else None
