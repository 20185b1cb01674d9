"""A trade as a backtest opens it, and what it costs to hold and to trade."""

from decimal import Decimal

from pydantic import Field, PositiveInt

from strategy.fibonacci import Fibonacci
from strategy.ladder import V6, AtReset, Ladder
from strategy.risk import Limits
from strategy.state import Terms
from strategy.units import UnitMode
from strategy.values import QUANTUM, ZERO, Value


class MarginTier(Value):
    """From `lower_bound_usd` of position notional on, at most `max_leverage`."""

    lower_bound_usd: Decimal
    max_leverage: PositiveInt


class Setup(Value):
    """Rates in basis points of notional, money in USD."""

    coin: str
    margin_usd: Decimal = Field(gt=0)
    leverage: PositiveInt = 1
    unit_size: Decimal = Field(gt=0)
    unit_mode: UnitMode = UnitMode.FULL
    ladder: Ladder | Fibonacci = V6
    at_reset: AtReset = AtReset.CAP
    limits: Limits = Limits()
    """Looked at where units complete; a breach closes the trade and ends the run."""
    fee_bps: Decimal = Field(default=ZERO, ge=0, lt=10_000)
    slippage_bps: Decimal = Field(default=ZERO, ge=0, lt=10_000)
    half_spread_usd: Decimal = Field(default=ZERO, ge=0)
    """Beyond the price of every order, besides its slippage."""
    lot: Decimal = Field(default=QUANTUM, gt=0)
    min_notional_usd: Decimal = Field(default=ZERO, ge=0)
    """An order below it is not sent: its quantity waits for the next one."""
    money_step_usd: Decimal = Field(default=ZERO, ge=0)
    """Fees and funding are cut to whole multiples of it, towards zero; 0 leaves them as they are."""
    tiers: tuple[MarginTier, ...] = ()
    """The market's margin table, lowest bound (0) first. Empty: nothing is ever liquidated."""

    @property
    def terms(self) -> Terms:
        return Terms(
            coin=self.coin,
            leverage=self.leverage,
            ladder=self.ladder,
            at_reset=self.at_reset,
            lot=self.lot,
            min_notional_usd=self.min_notional_usd,
            limits=self.limits,
        )


class CannotOpenError(ValueError):
    """There can be no such trade at this price; the text has the figures."""


class TooFineError(ValueError):
    """The lines have more decimals than a search can compare as integers."""
