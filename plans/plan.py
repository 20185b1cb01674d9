"""A trading plan: what to trade, how large, by which strategy, when to begin and when to stop. Read docs/plans.md."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AwareDatetime, BeforeValidator, Discriminator, Field, PositiveInt, Tag, model_validator

from strategy.fibonacci import FIBONACCI, Fibonacci
from strategy.ladder import PRESETS, AtReset, Ladder
from strategy.risk import Limits
from strategy.units import UnitMode
from strategy.values import Value

NAMED: dict[str, Ladder | Fibonacci] = {**PRESETS, FIBONACCI.name: FIBONACCI}
"""Strategies that a plan may name; any other is written out in it."""
FIBONACCI_DRAWDOWN_MAX = Decimal("0.23")
"""What a plan of the Fibonacci hedge allows unless it says otherwise. A ladder's is the portfolio's matter."""

AccountName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")]
"""Of an account and its portfolio, as their trader calls them: lower case letters, digits and dashes."""
Usd = Annotated[Decimal, Field(gt=0, max_digits=40)]
Share = Annotated[Decimal, Field(gt=0, le=1)]


def _no_number(moment: object) -> object:
    """A price in the place of a time would be one in 1970."""
    if isinstance(moment, int | float | Decimal) or (isinstance(moment, str) and moment.replace(".", "").isdigit()):
        raise ValueError(f"{moment} is no time; one such as 2027-01-31T00:00Z is needed")
    return moment


Moment = Annotated[AwareDatetime, BeforeValidator(_no_number)]


def _kind(strategy: object) -> str:
    """What a strategy is meant to be, so that only that one's fields are asked for."""
    match strategy:
        case str():
            return "named"
        case Fibonacci():
            return "fibonacci"
        case Mapping() if "levels" in strategy:
            return "fibonacci"
        case _:
            return "ladder"


Strategy = Annotated[
    Annotated[str, Tag("named")] | Annotated[Ladder, Tag("ladder")] | Annotated[Fibonacci, Tag("fibonacci")],
    Discriminator(_kind),
]


class Size(Value):
    """How large the trade is: exactly one of these. docs/plans.md has the formulas."""

    margin_usd: Usd | None = None
    notional_usd: Usd | None = None
    risk_usd: Usd | None = None
    """What is lost at most if the strategy's worst case happens."""
    portfolio_share: Share | None = None
    """Of what the account has free when the trade opens."""
    portfolio: AccountName | None = None
    """Gives the margin: when the trade opens, and anew at every RESET."""

    @model_validator(mode="after")
    def _one_is_given(self) -> "Size":
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given) or 'nothing'} is given; exactly one of {', '.join(Size.model_fields)} is needed"
            )
        return self


class When(StrEnum):
    NOW = "now"
    AT_PRICE = "at_price"
    """Once the price has reached `price`, from whichever side it comes."""
    ON_RISE = "on_rise"
    """Once the price has completed `units` units up from the lowest line since the plan was started."""


class EntryRule(Value):
    when: When = When.NOW
    price: Usd | None = None
    units: PositiveInt | None = None
    not_before: Moment | None = None
    """Nothing is looked at before."""

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> "EntryRule":
        needs = {When.NOW: None, When.AT_PRICE: "price", When.ON_RISE: "units"}[self.when]
        for field in ("price", "units"):
            given = getattr(self, field) is not None
            if given != (field == needs):
                raise ValueError(f"{field} is {'given' if given else 'missing'}; when is {self.when.value}")
        return self


class ExitRule(Value):
    """Beside the limits: what ends the trade."""

    take_profit: Annotated[Decimal, Field(gt=0)] | None = None
    """Of the margin: 0.5 closes the trade when it has earned half of it."""
    stop_price: Usd | None = None
    expires: Moment | None = None
    """The trade is closed then; a plan that still waits ends."""


class RiskLimits(Value):
    """None: no such limit; but max_drawdown is 23% for the Fibonacci hedge unless it is "off"."""

    max_drawdown: Share | Literal["off"] | None = None
    max_loss_usd: Usd | None = None
    max_position_usd: Usd | None = None
    max_leverage: PositiveInt | None = None
    max_orders_per_day: PositiveInt | None = None


class Backstop(Value):
    """A reduce-only stop order that rests on the exchange, and works when nothing here does."""

    beyond: Annotated[Decimal, Field(gt=0, lt=1)]
    """How far beyond the strategy's last level it lies, as a share of the price."""


class TradingPlan(Value):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9-]{0,39}$")
    version: PositiveInt = 1
    coin: str = Field(min_length=1, max_length=20)
    size: Size
    leverage: PositiveInt = 1
    unit_size: Usd
    strategy: Strategy
    """v6, v7 or fibonacci, or one written out."""
    unit_mode: UnitMode = UnitMode.FULL
    at_reset: AtReset = AtReset.CAP
    """Of a ladder. A new fractal of the Fibonacci hedge always begins with the allocation."""
    entry: EntryRule = EntryRule()
    exit: ExitRule = ExitRule()
    limits: RiskLimits = RiskLimits()
    backstop: Backstop | None = None
    accepts_costs: bool = False
    """The trader confirms that what a round trip earns is less than three times what it costs."""

    @model_validator(mode="after")
    def _names_a_strategy(self) -> "TradingPlan":
        if isinstance(self.strategy, str) and self.strategy not in NAMED:
            raise ValueError(f"strategy is {self.strategy}; {', '.join(NAMED)} or one written out is allowed")
        if self.exit.expires is not None and self.entry.not_before is not None:
            _require_order(self.entry.not_before, self.exit.expires)
        return self

    @model_validator(mode="after")
    def _keeps_its_own_limits(self) -> "TradingPlan":
        """What can be told before there is a price; the rest is checked when the trade opens."""
        if self.limits.max_leverage is not None and self.leverage > self.limits.max_leverage:
            raise ValueError(f"leverage is {self.leverage}; limits.max_leverage allows {self.limits.max_leverage}")
        stop_price, entry_price = self.exit.stop_price, self.entry.price
        if stop_price is not None and entry_price is not None and stop_price >= entry_price:
            raise ValueError(f"exit.stop_price is {stop_price}; it must be below entry.price, which is {entry_price}")
        return self

    @property
    def ladder(self) -> Ladder | Fibonacci:
        return NAMED[self.strategy] if isinstance(self.strategy, str) else self.strategy

    @property
    def trade_limits(self) -> Limits:
        """The limits and exits that the strategy's own state watches."""
        given = self.limits.model_dump(exclude={"max_drawdown"})
        drawdown = self.limits.max_drawdown
        if drawdown is None:
            drawdown = default_limits(self.ladder).max_drawdown
        exits = self.exit.model_dump(include={"take_profit", "stop_price"})
        return Limits(max_drawdown=None if drawdown == "off" else drawdown, **given, **exits)


def default_limits(strategy: Ladder | Fibonacci) -> Limits:
    """What holds unless something else is said."""
    return Limits(max_drawdown=FIBONACCI_DRAWDOWN_MAX) if isinstance(strategy, Fibonacci) else Limits()


def _require_order(not_before: datetime, expires: datetime) -> None:
    if expires <= not_before:
        raise ValueError(f"exit.expires is {expires}; it must be after entry.not_before, which is {not_before}")
