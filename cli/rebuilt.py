"""What was found of the trades and portfolios that nobody runs any more."""

from decimal import Decimal
from enum import StrEnum

from pydantic import BaseModel, Field

from workflows.contracts import Mode, TradeRecord
from workflows.portfolio.record import PortfolioRecord


class Goes(StrEnum):
    ON = "on"
    TO_ATTENTION = "to attention"
    """A person has to say how it goes on."""
    NOWHERE = "nowhere"
    """It can't be rebuilt."""
    ALREADY = "already"
    """It runs."""


class Found(BaseModel):
    """As it stood at `as_of_ms`."""

    workflow_id: str
    as_of_ms: int
    goes: Goes
    why: str = ""
    started: bool = False


class Rebuilt(Found):
    """One trade. Sizes signed, in coin."""

    trade_id: str
    coin: str
    mode: Mode | None = None
    phase: str | None = None
    unit: int | None = None
    cycle: int | None = None
    long: Decimal | None = None
    short: Decimal | None = None
    net: Decimal | None = None
    """What the exchange should hold for it: with what its orders filled that the journal does not know."""
    held: Decimal
    unresolved: list[str] = []
    """Orders whose end the journal does not know, and what the exchange says of them."""
    record: TradeRecord | None = Field(default=None, exclude=True)
    """What it goes on with."""


class Unexplained(BaseModel):
    """A position that no trade which goes on is in."""

    coin: str
    size: Decimal


class RebuiltPortfolio(Found):
    """One portfolio. Money in USD."""

    name: str = ""
    equity_usd: Decimal | None = None
    high_water_usd: Decimal | None = None
    drawdown: Decimal | None = None
    reserve_usd: Decimal | None = None
    """Profit that was put aside."""
    owed: dict[str, Decimal] = {}
    """To savings, by the coin it is to buy."""
    spot_usd: dict[str, Decimal] = {}
    purchase: str = ""
    """The step of it whose end the journal does not know."""
    stopped: str = ""
    """Why everything is stopped."""
    held_back: list[str] = []
    free_again: dict[str, Decimal] = {}
    """What trades had that are over, or that can't be rebuilt."""
    record: PortfolioRecord | None = Field(default=None, exclude=True)
    """What it goes on with."""


class Survey(BaseModel):
    network: str
    account: str
    portfolios: list[RebuiltPortfolio]
    trades: list[Rebuilt]
    unexplained: list[Unexplained]
