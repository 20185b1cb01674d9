"""What people ask of a trade: what it is started with, and the commands to one that runs.

Operators write these as one JSON object; numbers may be quoted ("3450.5") to be exact.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field

from activities.messages import TRADE, Message
from plans.plan import AccountName, Backstop, EntryRule, Size, TradingPlan
from strategy.fibonacci import Fibonacci
from strategy.ladder import V6, AtReset, Ladder
from strategy.risk import Limits
from strategy.units import UnitMode


def workflow_id(coin: str, name: str | None = None) -> str:
    """Of a coin's trade; of one more on the coin, which has a name. ETH-hedge, as people call it, is both in one."""
    return f"{TRADE}{coin}" if name is None else f"{TRADE}{coin}-{name}"


Digits = Annotated[Decimal, Field(max_digits=40)]
"""What can be reckoned with exactly; whether it makes sense is for the checks of the opening."""
YEAR_10000_MS = 253_402_300_800_000
"""No timer runs so long: a moment at or after it was given in another unit."""


class PlanRef(Message):
    """Which document a trade follows."""

    name: str
    version: int


class TradeInput(Message):
    """What a trader asks for, by a plan or in few words. Leverage is the market's maximum when not given."""

    coin: str = Field(min_length=1, max_length=20)
    margin_usd: Digits | None = None
    """None: `size` says how it is found when the trade opens, or the portfolio gives it."""
    size: Size | None = None
    portfolio: AccountName | None = None
    """Gives the margin, then and at every RESET; margin_usd and size are None with it."""
    unit_size: Digits
    leverage: int | None = None
    ladder: Ladder | Fibonacci = V6
    limits: Limits = Limits()
    entry: EntryRule = EntryRule()
    expires_ms: int | None = Field(default=None, lt=YEAR_10000_MS)
    """The trade is closed then, or no longer waits for its entry."""
    backstop: Backstop | None = None
    plan: PlanRef | None = None
    unit_mode: UnitMode = UnitMode.FULL
    at_reset: AtReset = AtReset.CAP
    network: str = "paper"
    accepts_costs: bool = False
    """The trader confirmed that a unit is smaller than 3 times the costs of a round trip."""

    @classmethod
    def of(cls, plan: TradingPlan, network: str) -> "TradeInput":
        expires = plan.exit.expires
        return cls(
            coin=plan.coin,
            margin_usd=plan.size.margin_usd,
            size=None if plan.size.margin_usd is not None or plan.size.portfolio is not None else plan.size,
            portfolio=plan.size.portfolio,
            unit_size=plan.unit_size,
            leverage=plan.leverage,
            ladder=plan.ladder,
            unit_mode=plan.unit_mode,
            at_reset=plan.at_reset,
            limits=plan.trade_limits,
            entry=plan.entry,
            expires_ms=None if expires is None else int(expires.timestamp() * 1000),
            backstop=plan.backstop,
            plan=PlanRef(name=plan.name, version=plan.version),
            network=network,
            accepts_costs=plan.accepts_costs,
        )


def printable(text: str) -> str:
    """What every database and terminal can keep: no control characters, no half of a surrogate pair."""
    return "".join(char if char.isprintable() else " " for char in text)


Reason = Annotated[str, Field(max_length=500), AfterValidator(printable)]
Amount = Annotated[Digits, Field(gt=0)]


class Pause(Message):
    reason: Reason = ""


class Resume(Message):
    reason: Reason = ""


class Close(Message):
    reason: Reason = ""


class Adopt(Message):
    """A new cycle begins now, with what the exchange holds."""

    reason: Reason = ""


class Rehedge(Message):
    """One order makes the exchange hold what the ladder wants."""

    reason: Reason = ""


class Release(Message):
    """The trade ends without an order; what the exchange holds is the operator's."""

    reason: Reason = ""


class Stop(Message):
    """Emergency: close, and never order again until released."""

    reason: Reason = ""


class Edit(Message):
    """A new version of the plan that the trade follows."""

    input: TradeInput
    reason: Reason = ""


class SetUnitSize(Message):
    unit_size: Amount
    reason: Reason = ""


class Answer(StrEnum):
    """What a person decided about a trade that needs attention."""

    ADOPT = "adopt"
    REHEDGE = "rehedge"
    RELEASE = "release"
