"""What a trade and the portfolio of its account say to each other: signals both ways, each safe to be told twice.

    trade ── ask_margin ──▶ portfolio ── granted ──▶ trade      at its start, at every RESET, and when it is asked to
    portfolio ── review ──▶ trade                               ask again, or to leave
    trade ── ended ──▶ portfolio                                closed or stopped: its margin is free again

An ask is told again until it is answered, and answered as often as it is told: what it moved, it moved once.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from activities.messages import Message
from workflows.asked import YEAR_10000_MS, Amount, Digits, Reason

NAME = r"^[a-z][a-z0-9-]{0,19}$"
AccountName = Annotated[str, Field(pattern=NAME)]
"""Of an account, as its trader calls it: letters, digits and dashes."""


def portfolio_id(account_name: str) -> str:
    return f"portfolio-{account_name}"


AskId = Annotated[str, Field(pattern=r"^.{1,180}/[0-9]{1,12}$")]
"""The trade's first run, and a number that rises: the same however often it is told."""


class Occasion(StrEnum):
    START = "start"
    RESET = "reset"
    REVIEW = "review"
    """The portfolio asked for it."""


class MarginAsk(Message):
    """Signal `ask_margin`. Money in USD."""

    ask_id: AskId
    occasion: Occasion
    trade: str = Field(min_length=1, max_length=200)
    """Its workflow's id."""
    coin: str = Field(min_length=1, max_length=20)
    cycle: int = Field(ge=0, lt=2**63)
    """That ended, or that is running; 0 at the start."""
    equity_usd: Digits = Decimal(0)
    """The allocation with the cycle's result; 0 at the start."""
    profit_usd: Digits = Decimal(0)
    """Of the cycle that ended, after fees and funding; negative: its loss."""


class Granted(Message):
    """Signal `granted`. With no margin the trade does not begin, or goes on with what it has left."""

    ask_id: AskId
    margin_usd: Annotated[Digits, Field(gt=0)] | None = None
    """The trade's allocation from now on."""
    refusal: str = Field(default="", max_length=500)


class Review(Message):
    """Signal `review`: ask for the margin anew when all is long again, or at once by ending the cycle where it is."""

    now: bool = False
    reason: Reason = ""


class Leave(Message):
    """Signal `leave`: no new cycle. The trade closes at the next RESET, or before it at the profit or at the moment."""

    profit_usd: Amount | None = None
    """Closes the trade once it has earned so much since it was opened."""
    until_ms: int | None = Field(default=None, ge=0, lt=YEAR_10000_MS)
    reason: Reason = ""


class TradeEnded(Message):
    """Signal `trade_ended`: flat, and never an order again. The parts of money are as in MarginAsk."""

    ask_id: AskId
    trade: str = Field(min_length=1, max_length=200)
    coin: str = Field(min_length=1, max_length=20)
    cycle: int = Field(ge=0, lt=2**63)
    profit_usd: Digits = Decimal(0)
    """Of the cycle it ended in; 0 of a trade that never opened."""
