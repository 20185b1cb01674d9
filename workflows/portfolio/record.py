"""The one state that a portfolio's workflow carries from run to run, and what it is made of."""

from decimal import Decimal

from pydantic import BaseModel, ConfigDict, Field

from activities.messages import LeftOver, Message, Notice, TradeSummary
from exchange.port import Intent
from exchange.spot_port import TransferIntent
from journal.entries import Entry, TradeRef
from portfolio.book import Book
from portfolio.curve import Curve
from portfolio.risk import Exposure
from portfolio.terms import PortfolioTerms
from workflows.granting import Granted, Leave, MarginAsk, TradeEnded
from workflows.portfolio.asked import PortfolioInput, Rebalance


class Answered(Message):
    """The last thing a trade was told: told again when it asks the same again."""

    ask_id: str
    granted: Granted | None = None
    """None of a trade that told its end."""


class StopProof(Message):
    """What the exchange said when every trade was flat."""

    at_ms: int
    looks: int
    """How often everything was looked at until it was so."""
    trades: tuple[TradeSummary, ...]
    left: LeftOver
    """What no trade here holds."""

    @property
    def words(self) -> str:
        others = f"; no trade here holds {', '.join(self.left.coins)}" if self.left.coins else ""
        stopped = "1 trade is" if len(self.trades) == 1 else f"{len(self.trades)} trades are"
        return f"{stopped} stopped{others}"


class Latch(Message):
    """Everything is stopped, until a person releases it."""

    since_ms: int
    reason: str
    everything: bool = False
    """Also what no trade holds is closed."""
    proof: StopProof | None = None
    """None while something may be held still."""
    looks: int = 0
    trouble: str | None = None
    """What keeps it from being flat."""


class HeldBack(Message):
    """A limit that was broken: nothing is opened and nothing made larger until a person releases it."""

    limit: str
    since_ms: int
    text: str


class Leaving(Message):
    """A coin that is being left. Its trades were told; those that ask all the same are told then."""

    leave: Leave
    now: bool = False


class ToReview(Message):
    trade: str
    now: bool
    grows: bool
    part: Decimal = Decimal(1)
    """Of its coin's share."""


class DueSaving(Message):
    """Profit of one cycle that is to become savings."""

    coin: str
    usd: Decimal
    trade: str
    cycle: int
    at_ms: int


class Purchase(Message):
    """Savings on their way: USDC moves to the spot side, then buys. One at a time; every step is here before it is
    taken, so that it is taken once."""

    coin: str
    usd: Decimal
    of: tuple[DueSaving, ...] = ()
    transfer: TransferIntent | None = None
    moved: bool = False
    order: Intent | None = None
    tries: int = 0
    refused: str = ""
    """Why nothing can be bought with it: what has moved is to move back."""
    back: TransferIntent | None = None
    """What could not buy moves back."""

    @property
    def signers(self) -> frozenset[str]:
        """Of what is on its way."""
        intents = (self.transfer if not self.moved else None, self.order, self.back)
        return frozenset(intent.signer for intent in intents if intent is not None)


class SavingsWait(Message):
    """Why a coin is not bought now. It is tried again then, or when there is another amount for it than `usd`, and no
    less than `least_usd`."""

    until_ms: int
    text: str = ""
    """Empty where there is not enough yet."""
    usd: Decimal | None = None
    least_usd: Decimal = Decimal(0)
    tries: int = 0
    told: bool = False
    """A person was told of the trouble."""


class Saved(Message):
    """Savings that were bought. Size in coin, as the account received it; USD with the fee."""

    at_ms: int
    coin: str
    size: Decimal
    price: Decimal
    usd: Decimal
    of: tuple[DueSaving, ...] = ()
    """Empty after a recovery: the journal has it."""


class PortfolioRecord(BaseModel):
    """Every mutable field of a portfolio's workflow: what the next run of it continues with.

    It is carried from release to release: a field may be added with a default, never renamed.
    """

    model_config = ConfigDict(extra="forbid")

    input: PortfolioInput
    terms: PortfolioTerms
    terms_version: int = 1
    account: str = ""
    signer: str = ""
    next_signer: str | None = None
    """By whose key the next run is to sign."""
    trade: TradeRef | None = None
    """Under it the journal keeps everything."""
    outbox: list[Entry] = Field(default_factory=list)
    next_seq: int = 1
    notices: list[Notice] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    book: Book = Book()
    curve: Curve = Curve()
    exposure: Exposure | None = None
    """As it was seen last."""
    looked_ms: int = 0
    ledger_ms: int = 0
    """Movements of money up to here are in the curve and in the book."""
    ledger_hashes: tuple[str, ...] = ()
    """Of those at that very moment."""
    asks: list[MarginAsk] = Field(default_factory=list)
    ended: list[TradeEnded] = Field(default_factory=list)
    answered: dict[str, Answered] = Field(default_factory=dict)
    """By trade."""
    rebalance: Rebalance | None = None
    """Asked for, and not planned yet."""
    to_review: list[ToReview] = Field(default_factory=list)
    """Trades that are to be given their share anew and were not told yet, those that shrink first."""
    reviewed: list[str] = Field(default_factory=list)
    """Told, and not asked yet."""
    parts: dict[str, Decimal] = Field(default_factory=dict)
    """What each of these is to have of its coin's share."""
    leaving: dict[str, Leaving] = Field(default_factory=dict)
    """By coin."""
    to_leave: list[str] = Field(default_factory=list)
    """Trades that are to be told."""
    gone: list[str] = Field(default_factory=list)
    """Trades that were not there when they were to be told."""
    left: list[str] = Field(default_factory=list)
    """Coins that are given nothing more, until terms are applied that give them a share."""
    latch: Latch | None = None
    held_back: list[HeldBack] = Field(default_factory=list)
    due: list[DueSaving] = Field(default_factory=list)
    purchase: Purchase | None = None
    saved: list[Saved] = Field(default_factory=list)
    """The newest."""
    spot_usd: dict[str, Decimal] = Field(default_factory=dict)
    """USDC on the spot side that is savings and has bought nothing yet, by the coin it is to buy."""
    moved: list[DueSaving] = Field(default_factory=list)
    """The profit that it was; what a purchase left over is not told again."""
    savings_waits: dict[str, SavingsWait] = Field(default_factory=dict)
    """By coin."""
    moves_unseen: list[Decimal] = Field(default_factory=list)
    """Our own transfers to the spot side, negative where back, that the account's ledger has not shown yet, in USD."""
    rebalanced_ms: int = 0
    is_over: bool = False
    """The operator has ended it."""
    trades_come_until_ms: int = 0
    """Rebuilt with its trades, it tells none of them anything before: one that is not there yet is not gone."""

    @property
    def network(self) -> str:
        return self.input.network

    @property
    def about(self) -> str:
        """For notices."""
        return f"portfolio {self.input.name}"

    @property
    def savings_trouble(self) -> str | None:
        """Why savings wait, in words; None where there is only not enough yet."""
        return "; ".join(each.text for each in self.savings_waits.values() if each.text) or None
