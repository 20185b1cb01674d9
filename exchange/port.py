"""What the engine asks of an exchange, in its own words. Nothing here knows ccxt.

Sizes are in coin, prices in USD per coin, times in ms UTC. `size` is signed where it describes a position or a fill
(buys and longs positive) and positive where a side stands beside it.
"""

from collections.abc import Sequence
from decimal import Decimal
from enum import StrEnum
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field

from exchange.errors import RejectReason


def _is_none(value: object) -> bool:
    return value is None


class Value(BaseModel):
    """An immutable value; unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Side(StrEnum):
    BUY = "buy"
    SELL = "sell"


class MarginTier(Value):
    lower_bound_usd: Decimal
    max_leverage: int


class MarketRules(Value):
    """One perpetual market as the exchange lists it now."""

    coin: str
    asset: int
    size_decimals: int
    max_leverage: int
    min_notional_usd: Decimal
    tiers: tuple[MarginTier, ...]
    mark_price: Decimal
    mid_price: Decimal
    taker_fee_rate: Decimal
    maker_fee_rate: Decimal
    only_isolated: bool = False

    @property
    def lot(self) -> Decimal:
        """The smallest size step, in coin."""
        return Decimal(1).scaleb(-self.size_decimals)

    @property
    def maintenance_rate(self) -> Decimal:
        """Maintenance margin of the first tier as a share of notional: half the initial margin at maximum leverage."""
        return Decimal(1) / (2 * self.max_leverage)


class Position(Value):
    """The account's net position in one coin; size 0 when flat."""

    coin: str
    size: Decimal
    entry_price: Decimal | None = None
    mark_price: Decimal | None = None
    unrealized_pnl_usd: Decimal = Decimal(0)
    leverage: int | None = None
    margin_used_usd: Decimal = Decimal(0)
    liquidation_price: Decimal | None = None


class Balance(Value):
    """Margin of the perpetuals account, in USD; `total` includes unrealised profit. Or a token of the spot side, in
    coin; `used` is what resting orders hold back."""

    currency: str
    total: Decimal
    used: Decimal
    free: Decimal


class Intent(Value):
    """An order, fixed for good before anything is sent: every retry on any machine signs the very same bytes."""

    cloid: str
    """0x and 32 hex digits."""
    account: str
    """Address whose position moves, lower case."""
    signer: str
    """Address of the key that signs, lower case; the nonce belongs to it."""
    nonce: int
    coin: str
    asset: int
    side: Side
    size: Decimal
    """In coin, positive, a whole number of lots."""
    limit_price: Decimal
    reduce_only: bool
    expires_after_ms: int
    """Wall time after which the exchange must refuse it."""
    traceparent: str | None = None
    """W3C trace context of the decision; not part of what is signed."""
    trigger_price: Decimal | None = Field(default=None, exclude_if=_is_none)
    """Set: a stop, that waits until the mark price reaches it, then fills like any order. Not written when there is
    none, so that intents read and look the same as those of releases that had no stops."""


class Fill(Value):
    """One execution. `size` is signed; `fee_usd` is positive when paid. `coin` may be a spot pair."""

    cloid: str | None
    oid: int
    tid: int
    coin: str
    price: Decimal
    size: Decimal
    fee_usd: Decimal
    time_ms: int
    closed_pnl_usd: Decimal = Decimal(0)
    liquidation: bool = False
    fee_size: Decimal | None = Field(default=None, exclude_if=_is_none)
    """The fee in coin, where it was taken from what was bought on spot: `fee_usd` is 0 then."""


class OutcomeStatus(StrEnum):
    FILLED = "filled"
    """Executed, wholly or in part: see `filled_size`."""
    RESTING = "resting"
    """A stop that the exchange has taken: it waits for its trigger, whatever becomes of us. What comes of it later is
    in `open_stops` and the fills."""
    REJECTED = "rejected"
    """The exchange refused it and will never execute it."""
    NOT_EXECUTED = "not_executed"
    """Its nonce was burnt before it arrived, or it left no trace after its expiry: it can never execute."""


class Proof(Value):
    """How an outcome was established: `reply`, `order_status`, `fills`, `noop_fence` or `expired_without_record`."""

    established_by: str
    asks: int
    """Requests it took, the sending included."""
    established_at_ms: int


class OrderOutcome(Value):
    """The definite end of an intent."""

    cloid: str
    status: OutcomeStatus
    proof: Proof
    fills: tuple[Fill, ...] = ()
    reason: RejectReason | None = None
    text: str = ""
    """The exchange's own words for a refusal."""
    oid: int | None = Field(default=None, exclude_if=_is_none)
    """The exchange's number of an order at rest."""

    @property
    def filled_size(self) -> Decimal:
        """Signed, in coin."""
        return sum((fill.size for fill in self.fills), Decimal(0))

    @property
    def received_size(self) -> Decimal:
        """What the account's holding changed by: less than was filled when a buy on spot paid its fee in coin."""
        return self.filled_size - sum((fill.fee_size or Decimal(0) for fill in self.fills), Decimal(0))

    @property
    def fee_usd(self) -> Decimal:
        return sum((fill.fee_usd for fill in self.fills), Decimal(0))

    @property
    def average_price(self) -> Decimal | None:
        """Volume-weighted; None when nothing was filled."""
        if not self.filled_size:
            return None
        return sum((fill.price * fill.size for fill in self.fills), Decimal(0)) / self.filled_size


class OpenOrder(Value):
    coin: str
    oid: int
    cloid: str | None
    side: Side
    size: Decimal
    limit_price: Decimal
    trigger_price: Decimal | None = Field(default=None, exclude_if=_is_none)
    """Of an order that waits off the book for its trigger."""
    reduce_only: bool = False


class CancelStatus(StrEnum):
    CANCELLED = "cancelled"
    """It can never execute, and nothing of it has: taken off now, or ended before (`text` is the exchange's status)."""
    FIRED = "fired"
    """It executed, or began to, before it could be cancelled: `fills` are those that carry its cloid."""
    NOT_FOUND = "not_found"
    """The exchange has no such order and no fill of one."""


class CancelOutcome(Value):
    """The definite end of a stop that was to be cancelled."""

    cloid: str
    status: CancelStatus
    proof: Proof
    fills: tuple[Fill, ...] = ()
    text: str = ""


class FundingPayment(Value):
    """`usd` is positive when received; `size` is the position it was paid for. Without it: of a former release."""

    coin: str
    usd: Decimal
    time_ms: int
    size: Decimal | None = None


class PriceRange(Value):
    """The lowest and the highest price of a stretch of time."""

    low: Decimal
    high: Decimal


class AccountFacts(Value):
    """An account as one moment's questions found it: all its coins together.

    `fills` and `funding` are those asked for; `positions` leaves out coins that are flat.
    """

    at_ms: int
    """Our clock before the first question: what happened later may be in it or not."""
    positions: tuple[Position, ...]
    resting: tuple[OpenOrder, ...]
    fills: tuple[Fill, ...]
    funding: tuple[FundingPayment, ...] | None
    """None when it could not be asked for: what is held does not wait for it."""


class AccountValue(Value):
    """What the perpetuals side of an account is worth, in USD, and the positions that make it move."""

    equity_usd: Decimal
    """With unrealised profit."""
    free_usd: Decimal
    """What a new position can use."""
    positions: tuple[Position, ...]
    """Those that are not flat."""

    @property
    def net_notional_usd(self) -> dict[str, Decimal]:
        """By coin; shorts negative."""
        return {each.coin: each.size * (each.mark_price or Decimal(0)) for each in self.positions}


class AddressBudget(Value):
    """How many actions the exchange takes from an account: 10,000 to begin with, and one for each USD ever traded.

    Beyond it one action passes every ten seconds; cancels may go on to twice as many, at most 100,000 more.
    """

    used: int
    cap: int
    volume_usd: Decimal
    """Ever traded."""

    @property
    def left(self) -> int:
        return max(0, self.cap - self.used)


class OrderRecord(Value):
    """What the exchange remembers of an order; it holds no average price, fills do."""

    oid: int
    cloid: str | None
    coin: str
    status: str
    original_size: Decimal
    remaining_size: Decimal
    status_time_ms: int


class Exchange(Protocol):
    """The port. Every method raises NotSent, Rejected or Unknown; none returns an empty value for "could not ask"."""

    account: str
    signer: str

    async def market_rules(self, coin: str) -> MarketRules: ...
    async def get_position(self, coin: str) -> Position: ...
    async def get_balance(self, currency: str) -> Balance: ...
    async def set_leverage(self, coin: str, leverage: int, *, nonce: int) -> None: ...
    async def order_by_cloid(self, cloid: str) -> OrderRecord | None: ...
    async def account_value(self) -> AccountValue: ...
    async def fills(self, *, since_ms: int, cloid: str | None = None) -> tuple[Fill, ...]: ...
    async def open_orders(self, coin: str | None = None) -> tuple[OpenOrder, ...]: ...
    async def open_stops(self, coin: str) -> tuple[OpenOrder, ...]: ...
    async def cancel_orders(self, orders: Sequence[OpenOrder]) -> None: ...
    async def cancel_order(self, coin: str, cloid: str, *, since_ms: int) -> CancelOutcome: ...
    async def account_facts(self, *, since_ms: int, funding_since_ms: int | None = None) -> AccountFacts: ...
    async def price_range(self, coin: str, *, from_ms: int, to_ms: int) -> PriceRange | None: ...
    async def execute(self, intent: Intent) -> OrderOutcome: ...
    async def close(self) -> None: ...
