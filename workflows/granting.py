"""What a trade and the portfolio of its account say to each other: signals both ways, each safe to be told twice.

    trade ── ask_margin ──▶ portfolio ── granted ──▶ trade      at its start, at every RESET, and when it is asked to
    portfolio ── review ──▶ trade                               ask again, or to leave
    trade ── trade_ended ──▶ portfolio                          closed or stopped: its margin is free again

An ask is told again until it is answered, and answered as often as it is told: what it moved, it moved once, and every
answer to it is the same. A trade has one ask open at a time; what comes meanwhile is in the next one.
"""

from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from activities.messages import Message
from workflows.asked import YEAR_10000_MS, Amount, Digits, Reason


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
    """What the trade is worth: at a RESET its allocation with the cycle's result; 0 at the start."""
    profit_usd: Digits = Decimal(0)
    """Of the cycle that ended, after fees and funding, and of those before it that nobody answered to; negative: the
    loss. Told once. 0 at a review."""


class Granted(Message):
    """Signal `granted`. With no margin the trade does not begin, or goes on with what it has left."""

    ask_id: AskId
    margin_usd: Annotated[Digits, Field(gt=0)] | None = None
    """What the trade is to be worth where it was worth `equity_usd`: the difference leaves it, or is put in. At a RESET
    this is its allocation from then on."""
    refusal: str = Field(default="", max_length=500)


class Review(Message):
    """Signal `review`: ask for the margin anew when all is long again; with `now` the cycle ends where it is, and that
    is a RESET."""

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
    """Of the cycle it ended in, and whatever no ask has told; 0 of a trade that never opened."""
