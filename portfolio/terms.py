"""What the trader wants of the whole account: shares, a reserve, savings and limits."""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field, PositiveInt, field_validator, model_validator

from strategy.values import ONE, ZERO, Value, exact, plain

COINS_MAX = 20

Share = Annotated[Decimal, Field(gt=0, le=1, max_digits=20)]
ShareOrNone = Annotated[Decimal, Field(ge=0, le=1, max_digits=20)]
"""0 is a share too."""
Usd = Annotated[Decimal, Field(gt=0, max_digits=40)]


class Compounding(StrEnum):
    LOCAL = "local"
    """A coin keeps what it earns and bears what it loses."""
    POOLED = "pooled"
    """At every RESET a coin gets its share of what there is then."""


class ProfitSplit(Value):
    """Where the profit of a cycle goes, as shares that are 1 together. A loss is the trade's alone."""

    trade: ShareOrNone = Decimal("0.5")
    reserve: ShareOrNone = Decimal("0.3")
    savings: ShareOrNone = Decimal("0.2")
    """Leaves the perpetuals side and buys a coin on spot."""

    @model_validator(mode="after")
    @exact
    def _is_the_whole(self) -> "ProfitSplit":
        total = self.trade + self.reserve + self.savings
        if total != 1:
            raise ValueError(f"trade + reserve + savings is {plain(total):f}; together they must be 1")
        return self


class PortfolioLimits(Value):
    """None: no such limit. Every one that is broken stays broken until the trader releases it."""

    max_drawdown: Share = Decimal("0.23")
    """From the highest value a unit of the portfolio has had: at it everything is stopped."""
    warn_at: tuple[Share, ...] = (Decimal("0.5"), Decimal("0.8"))
    """Shares of max_drawdown at which the trader is told."""
    max_leverage: Usd | None = None
    """Notional of all trades together, as a multiple of equity."""
    max_coin_share: Share | None = None
    """Of all there is, whatever a coin has earned."""
    max_net_notional_usd: Usd | None = None
    """Longs minus shorts over all coins: coins fall together."""
    max_open_orders: PositiveInt | None = None
    min_requests_left: PositiveInt | None = None
    """Of the exchange's budget of requests per address."""

    @field_validator("warn_at")
    @classmethod
    def _rise_and_come_before_the_end(cls, value: tuple[Decimal, ...]) -> tuple[Decimal, ...]:
        if list(value) != sorted(set(value)) or (value and value[-1] == 1):
            words = ", ".join(f"{each:f}" for each in value)
            raise ValueError(f"warn_at is {words}; rising shares of max_drawdown below 1 are allowed")
        return value


class PortfolioTerms(Value):
    """One account's wishes. Shares are of all there is, savings that are still owed left out."""

    shares: dict[str, Share] = Field(min_length=1, max_length=COINS_MAX)
    """By coin."""
    reserve_share: ShareOrNone = Decimal("0.2")
    """Stays cash; profit that was put aside counts for it, and stays where it is more."""
    split: ProfitSplit = ProfitSplit()
    savings_coin: str | None = Field(default=None, min_length=1, max_length=20)
    """Bought with the savings; the trade's own coin where none is named."""
    compounding: Compounding = Compounding.LOCAL
    band: ShareOrNone = Decimal("0.05")
    """A coin whose share is off by less is left alone when the portfolio is rebalanced."""
    limits: PortfolioLimits = PortfolioLimits()

    @model_validator(mode="after")
    @exact
    def _gives_away_no_more_than_there_is(self) -> "PortfolioTerms":
        total = sum(self.shares.values(), ZERO)
        if total + self.reserve_share > ONE:
            raise ValueError(
                f"the shares are {plain(total):f} together and reserve_share is {plain(self.reserve_share):f}; "
                "1 is allowed for both"
            )
        limit = self.limits.max_coin_share
        for coin, share in self.shares.items():
            if limit is not None and share > limit:
                raise ValueError(f"shares.{coin} is {share:f}; limits.max_coin_share allows {limit:f}")
        return self
