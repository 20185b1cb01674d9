"""Whose the account's money is: what each trade was given, what lies in reserve, what is owed to savings."""

from decimal import ROUND_DOWN, Decimal

from pydantic import Field

from portfolio.terms import Compounding, PortfolioTerms, ProfitSplit
from strategy.values import ONE, ZERO, Value, exact, plain

CENT = Decimal("0.01")
MICRO_USD = Decimal("0.000001")
"""What the exchange moves between an account's sides is a whole number of these."""
MARGIN_USD_MIN = Decimal(1)
"""At 10x the smallest order."""


class Allocation(Value):
    coin: str
    margin_usd: Decimal


class Book(Value):
    """All money in USD. What is in none of these is free: `reserve_share` of it is never given."""

    allocations: dict[str, Allocation] = Field(default_factory=dict)
    """By trade."""
    reserve_usd: Decimal = ZERO
    """Profit that was put aside for good."""
    owed_usd: Decimal = ZERO
    """Profit that is to become savings and still lies with the margin."""

    @property
    def allocated_usd(self) -> Decimal:
        return sum((each.margin_usd for each in self.allocations.values()), ZERO)


class Ask(Value):
    """A trade asks for its margin: at its start, and at a RESET with what it has."""

    trade: str
    coin: str
    own_usd: Decimal | None = None
    """At a RESET: its allocation with the cycle's result, the profit's other shares taken off; None at the start."""


class Funds(Value):
    """The account as the exchange shows it, in USD."""

    equity_usd: Decimal
    free_usd: Decimal
    """Not posted as margin."""


class Grant(Value):
    margin_usd: Decimal
    book: Book
    """With it."""


class Refused(Value):
    text: str


@exact
def investable_usd(book: Book, equity_usd: Decimal) -> Decimal:
    """What shares are of."""
    return max(equity_usd - book.reserve_usd - book.owed_usd, ZERO)


@exact
def target_usd(terms: PortfolioTerms, book: Book, coin: str, equity_usd: Decimal) -> Decimal:
    """A coin's share of what can be invested; 0 for a coin that has none."""
    return investable_usd(book, equity_usd) * terms.shares.get(coin, ZERO)


@exact
def grant(terms: PortfolioTerms, book: Book, ask: Ask, funds: Funds) -> Grant | Refused:
    """The margin a trade gets, to the cent, and the book with it. Asked again, it is given anew and not twice.

    Never more than is left beside the reserve and what others have, and never more than is free on the exchange.
    """
    if ask.coin not in terms.shares:
        return Refused(text=f"coin is {ask.coin}; {', '.join(terms.shares)} have a share")
    before = book.allocations.get(ask.trade)
    own_usd = ask.own_usd if ask.own_usd is not None else (before.margin_usd if before else ZERO)
    others = {trade: each for trade, each in book.allocations.items() if trade != ask.trade}
    others_usd = sum((each.margin_usd for each in others.values()), ZERO)
    of_the_coin_usd = sum((each.margin_usd for each in others.values() if each.coin == ask.coin), ZERO)
    investable = investable_usd(book, funds.equity_usd)
    keeps_its_own = terms.compounding is Compounding.LOCAL and ask.own_usd is not None
    wanted = own_usd if keeps_its_own else target_usd(terms, book, ask.coin, funds.equity_usd) - of_the_coin_usd
    bounds = [wanted, investable * (ONE - terms.reserve_share) - others_usd, own_usd + funds.free_usd]
    if terms.limits.max_coin_share is not None:
        bounds.append(investable * terms.limits.max_coin_share - of_the_coin_usd)
    margin_usd = plain(max(min(bounds), ZERO).quantize(CENT, rounding=ROUND_DOWN))
    if margin_usd < MARGIN_USD_MIN:
        return Refused(
            text=f"{margin_usd:f} USD can be given to {ask.trade}; at least {MARGIN_USD_MIN} is needed. "
            f"{plain(investable):.8g} USD can be invested, others have {plain(others_usd):.8g}"
        )
    given = Allocation(coin=ask.coin, margin_usd=margin_usd)
    return Grant(margin_usd=margin_usd, book=book.model_copy(update={"allocations": {**others, ask.trade: given}}))


def released(book: Book, trade: str) -> Book:
    """Without a trade that is over."""
    left = {name: each for name, each in book.allocations.items() if name != trade}
    return book.model_copy(update={"allocations": left})


class Shared(Value):
    """A cycle's profit in its parts, in USD. They are the profit, to the last digit."""

    trade_usd: Decimal
    reserve_usd: Decimal = ZERO
    savings_usd: Decimal = ZERO


@exact
def shared(split: ProfitSplit, profit_usd: Decimal) -> Shared:
    """Reserve and savings rounded down to what can be moved; the rest, and every loss, is the trade's."""
    if profit_usd <= 0:
        return Shared(trade_usd=profit_usd)
    reserve, savings = (
        plain((profit_usd * share).quantize(MICRO_USD, rounding=ROUND_DOWN)) for share in (split.reserve, split.savings)
    )
    return Shared(trade_usd=plain(profit_usd - reserve - savings), reserve_usd=reserve, savings_usd=savings)


@exact
def put_aside(book: Book, parts: Shared) -> Book:
    """With a cycle's profit in reserve and owed to savings."""
    return book.model_copy(
        update={
            "reserve_usd": plain(book.reserve_usd + parts.reserve_usd),
            "owed_usd": plain(book.owed_usd + parts.savings_usd),
        }
    )


@exact
def saved(book: Book, usd: Decimal) -> Book:
    """Once so much of what was owed has left the perpetuals side."""
    if usd > book.owed_usd:
        raise ValueError(f"{usd} USD was saved; {book.owed_usd} was owed")
    return book.model_copy(update={"owed_usd": plain(book.owed_usd - usd)})
