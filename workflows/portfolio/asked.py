"""What people ask of a portfolio: what it is begun with, and the commands to one that runs.

Operators write these as one JSON object; numbers may be quoted ("0.25") to be exact.
"""

from pydantic import Field

from activities.messages import Message
from plans.plan import AccountName
from portfolio.terms import PortfolioTerms
from workflows.asked import YEAR_10000_MS, Amount, Reason

Coin = Field(min_length=1, max_length=20)


class PortfolioInput(Message):
    name: AccountName = "main"
    """Of the account, as its trader calls it."""
    network: str = "paper"


class Apply(Message):
    """New terms, whole. Trades that run are given them at their next RESET, or by `rebalance`."""

    terms: PortfolioTerms
    reason: Reason = ""


class Rebalance(Message):
    """Bring the coins back to their shares: those that are off by more than the band."""

    now: bool = False
    """End the cycles of those where they are; else each is resized when it is 100% long again."""
    reason: Reason = ""


class Skim(Message):
    """Put so much of what no trade has into savings, beside what profits bring."""

    usd: Amount
    coin: str | None = Field(default=None, min_length=1, max_length=20)
    """To buy; `savings_coin` of the terms when it is not given."""
    reason: Reason = ""


class Exit(Message):
    """A coin is to be left: its trades begin no new cycle, and it is given nothing more."""

    coin: str = Coin
    now: bool = False
    """Close them at once."""
    profit_usd: Amount | None = None
    """Close each once it has earned so much."""
    until_ms: int | None = Field(default=None, ge=0, lt=YEAR_10000_MS)
    """Close them then at the latest."""
    reason: Reason = ""


class EmergencyStop(Message):
    """Every trade of the account is closed and proved flat, and none begins before the portfolio is released."""

    everything: bool = False
    """Also what no trade here holds."""
    reason: Reason = ""


class ReleaseAll(Message):
    """A person has looked: limits that were broken count no more, and trades may begin again."""

    reason: str = Field(min_length=1, max_length=500)
    new_high: bool = True
    """Drawdown is measured from today's equity on. False: from the old high, so that the limit may strike at once."""


class End(Message):
    """The account is traded without a portfolio from now on: for one that has no trade, and buys no savings."""

    reason: Reason = ""
