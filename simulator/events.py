"""What happened at the venue, for whoever is subscribed to it."""

from dataclasses import dataclass
from decimal import Decimal

from simulator.records import Fill, FundingPayment, Order, Trade


@dataclass(frozen=True, slots=True)
class Traded:
    """Prints of one coin, in order."""

    coin: str
    trades: tuple[Trade, ...]


@dataclass(frozen=True, slots=True)
class BookMoved:
    coin: str


@dataclass(frozen=True, slots=True)
class Filled:
    user: str
    fill: Fill


@dataclass(frozen=True, slots=True)
class OrderChanged:
    """A copy of the order as it stood."""

    order: Order


@dataclass(frozen=True, slots=True)
class FundingPaid:
    payment: FundingPayment


@dataclass(frozen=True, slots=True)
class NonUserCancel:
    """The venue itself took an order off the book."""

    user: str
    coin: str
    oid: int


@dataclass(frozen=True, slots=True)
class Liquidated:
    """Positions of this notional were closed while the account (isolated: the position) was worth that much."""

    user: str
    lid: int
    liquidator: str
    notional_usd: Decimal
    account_value_usd: Decimal


Event = Traded | BookMoved | Filled | OrderChanged | FundingPaid | NonUserCancel | Liquidated
