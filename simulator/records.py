"""What the venue remembers: accounts, positions, orders, fills. Plain mutable records; rules live elsewhere.

Money is in USD, sizes in coin and signed (long positive), times in ms UTC.
"""

from decimal import Decimal
from typing import Any, Literal

from pydantic import BaseModel, Field

from simulator.spot import SPOT_ASSETS
from simulator.wire import MICRO_USD

ZERO = Decimal(0)


class Leverage(BaseModel):
    """The setting of one coin; it stands also while the coin is flat."""

    is_cross: bool
    value: int


class Position(BaseModel):
    """Net size of one coin and what it cost.

    `entry_notional_usd` is the signed sum of size x price of what is still open, kept exactly: the average entry price
    is derived from it and never booked. `isolated_usd` is the cash side of an isolated position (the wire's `rawUsd`).
    The funding counters are what was paid: positive is a cost.
    """

    coin: str
    size: Decimal = ZERO
    entry_notional_usd: Decimal = ZERO
    isolated_usd: Decimal = ZERO
    funding_since_open_usd: Decimal = ZERO
    funding_since_change_usd: Decimal = ZERO

    def unrealized_usd(self, mark: Decimal) -> Decimal:
        return self.size * mark - self.entry_notional_usd

    def add(self, size: Decimal, price: Decimal) -> None:
        """Open or increase: `size` has the position's direction."""
        assert self.size * size >= 0
        self.size += size
        self.entry_notional_usd += size * price

    def reduce(self, size: Decimal, price: Decimal) -> Decimal:
        """Close the part `-size` of the position at `price`; returns its realised profit, fee not included."""
        assert self.size * size < 0 and abs(size) <= abs(self.size)
        if size == -self.size:
            released = self.entry_notional_usd
        else:
            released = (self.entry_notional_usd * -size / self.size).quantize(MICRO_USD)
        self.size += size
        self.entry_notional_usd -= released
        return -size * price - released


class Agent(BaseModel):
    """A wallet that signs L1 actions for an account. `valid_until_ms` None: until replaced."""

    name: str
    address: str
    valid_until_ms: int | None = None


class Holding(BaseModel):
    """A spot token that is owned, and what it cost."""

    size: Decimal = ZERO
    entry_notional_usd: Decimal = ZERO

    def add(self, size: Decimal, cost_usd: Decimal) -> None:
        self.size += size
        self.entry_notional_usd += cost_usd

    def reduce(self, size: Decimal) -> Decimal:
        """Give away `size`; returns what that part had cost."""
        assert 0 < size <= self.size
        cost_usd = self.entry_notional_usd
        if size < self.size:
            cost_usd = (cost_usd * size / self.size).quantize(MICRO_USD)
        self.size -= size
        self.entry_notional_usd -= cost_usd
        return cost_usd


class LedgerEntry(BaseModel):
    """A movement of money that is neither trading nor funding; `delta` is the wire's object."""

    time_ms: int
    hash: str
    delta: dict[str, Any]


class Account(BaseModel):
    """One address with money. `cross_usd` is cash: deposits, less what was bought, plus what was sold, less fees."""

    address: str
    master: str | None = None
    name: str = ""
    cross_usd: Decimal = ZERO
    spot_usd: Decimal = ZERO
    deposits_usd: Decimal = ZERO
    positions: dict[str, Position] = Field(default_factory=dict)
    leverages: dict[str, Leverage] = Field(default_factory=dict)
    agents: dict[str, Agent] = Field(default_factory=dict)
    builder_fees: dict[str, int] = Field(default_factory=dict)
    """Approved maximum per builder, in tenths of a basis point."""
    sub_accounts: list[str] = Field(default_factory=list)
    referral_code: str | None = None
    volume_usd: Decimal = ZERO
    requests_used: int = 0
    ledger: list[LedgerEntry] = Field(default_factory=list)
    holdings: dict[str, Holding] = Field(default_factory=dict)
    """Spot tokens by name; USDC apart, as `spot_usd`."""
    funding_all_time_usd: dict[str, Decimal] = Field(default_factory=dict)
    """Paid per coin; positive is a cost."""
    backstop_usd: Decimal = ZERO
    """What the backstop liquidator left (negative: took) when it took positions over."""
    partly_liquidated_ms: int = 0
    """Market time of the last liquidation of a share of a large position."""

    def size(self, coin: str) -> Decimal:
        position = self.positions.get(coin)
        return position.size if position else ZERO

    def count_funding(self, position: Position, paid_usd: Decimal) -> None:
        position.funding_since_open_usd += paid_usd
        position.funding_since_change_usd += paid_usd
        before_usd = self.funding_all_time_usd.get(position.coin, ZERO)
        self.funding_all_time_usd[position.coin] = before_usd + paid_usd


class Trigger(BaseModel):
    """What a trigger order waits for, on the mark price; `is_market` says that it then takes what its limit allows."""

    price: Decimal
    kind: Literal["tp", "sl"]
    is_market: bool


class Order(BaseModel):
    """An order that got an id, also a refused one. `size` is what was asked, `remaining` what is not filled yet."""

    oid: int
    user: str
    coin: str
    asset: int
    is_buy: bool
    limit_price: Decimal
    size: Decimal
    remaining: Decimal
    tif: str
    reduce_only: bool
    cloid: str | None
    time_ms: int
    status: str
    status_time_ms: int
    signer: str
    nonce: int
    hash: str
    visible_at_ms: int = 0
    """Wall time from which `orderStatus` knows it."""
    builder: str | None = None
    builder_fee: int = 0
    hidden_until_ms: int = 0
    """Wall time until which a fault hides it, and its fills, from questions."""
    trigger: Trigger | None = None
    shrunk: Decimal = ZERO
    """What was taken off a reduce-only order because the position was smaller."""

    @property
    def is_spot(self) -> bool:
        return self.asset >= SPOT_ASSETS

    @property
    def is_open(self) -> bool:
        return self.status in ("open", "triggered")

    @property
    def is_waiting(self) -> bool:
        """A trigger order that has not fired stands on no book."""
        return self.trigger is not None and self.status == "open"

    @property
    def fires_below(self) -> bool:
        """Whether its trigger lies under the market: a stop that sells, or a profit that is taken by buying."""
        return self.trigger is not None and (self.trigger.kind == "sl") != self.is_buy

    def fires_at(self, mark: Decimal) -> bool:
        if self.trigger is None:
            return False
        return mark <= self.trigger.price if self.fires_below else mark >= self.trigger.price

    def shrink(self, room: Decimal) -> bool:
        """Reduce-only: no larger than the position it reduces. Whether that changed it."""
        excess = self.remaining - room
        if excess <= 0:
            return False
        self.remaining, self.shrunk = room, self.shrunk + excess
        return True


class Liquidation(BaseModel):
    """On the fills of both sides of a liquidation; `user` is who was liquidated."""

    user: str
    mark_price: Decimal
    method: Literal["market", "backstop"]


class Fill(BaseModel):
    """One side of one trade. `size` is positive; `fee_usd` includes `builder_fee_usd`.

    Of a spot pair, `start_position` is what was owned before.
    """

    tid: int
    user: str
    coin: str
    price: Decimal
    size: Decimal
    is_buy: bool
    time_ms: int
    start_position: Decimal
    direction: str
    closed_pnl_usd: Decimal
    hash: str
    oid: int
    crossed: bool
    fee_usd: Decimal
    cloid: str | None = None
    builder_fee_usd: Decimal | None = None
    fee_size: Decimal | None = None
    """The fee in coin, where it was taken from what was bought on spot; `fee_usd` is 0 then."""
    hidden_until_ms: int = 0
    liquidation: Liquidation | None = None


class FundingPayment(BaseModel):
    """One position's payment of one hour. `usd` is what was received (negative: paid), `size` is signed."""

    user: str
    coin: str
    time_ms: int
    hash: str
    usd: Decimal
    size: Decimal
    rate: Decimal


class FundingRate(BaseModel):
    """What a coin cost in the hour that ended."""

    coin: str
    rate: Decimal
    time_ms: int


class Trade(BaseModel):
    """One print on the tape; `is_buy` is the aggressor's side."""

    coin: str
    is_buy: bool
    price: Decimal
    size: Decimal
    time_ms: int
    hash: str
    tid: int
    buyer: str
    seller: str
