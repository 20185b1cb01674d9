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
    """All money in USD. What is in none of its parts is free."""

    capital_usd: Decimal = ZERO
    """What there is to divide: equity when the portfolio began, what was paid in or out since, and the results of the
    cycles that ended. Not what running cycles are worth: a coin's open loss takes nothing from another coin's share.
    """
    allocations: dict[str, Allocation] = Field(default_factory=dict)
    """By trade."""
    reserve_usd: Decimal = ZERO
    """Profit that was put aside for good."""
    owed: dict[str, Decimal] = Field(default_factory=dict)
    """Profit that is to become savings and still lies with the margin, by the coin it is to buy."""

    @property
    def allocated_usd(self) -> Decimal:
        return sum((each.margin_usd for each in self.allocations.values()), ZERO)

    @property
    def owed_usd(self) -> Decimal:
        return sum(self.owed.values(), ZERO)


class Ask(Value):
    """A trade asks for its margin: at its start, and at a RESET with what it has."""

    trade: str
    coin: str
    own_usd: Decimal | None = None
    """At a RESET: its allocation with the cycle's result, the profit's other shares taken off; None at the start, and
    where it is to have its share anew."""
    part: Decimal | None = None
    """Of its coin's share, where all trades of the coin are resized; None: what the others leave of it."""


class Grant(Value):
    margin_usd: Decimal
    book: Book
    """With it."""


class Refused(Value):
    text: str


@exact
def reserve_usd(terms: PortfolioTerms, book: Book) -> Decimal:
    """What stays cash: the reserve's share of all, or what was put aside if that is more by now."""
    return max(terms.reserve_share * (book.capital_usd - book.owed_usd), book.reserve_usd, ZERO)


@exact
def investable_usd(terms: PortfolioTerms, book: Book) -> Decimal:
    """What all trades together may have."""
    return max(book.capital_usd - book.owed_usd - reserve_usd(terms, book), ZERO)


@exact
def target_usd(terms: PortfolioTerms, book: Book, coin: str) -> Decimal:
    """A coin's share of all, as long as the reserve is what it should be; 0 for a coin that has none."""
    return _of_all(terms, book, terms.shares.get(coin, ZERO))


def _of_all(terms: PortfolioTerms, book: Book, share: Decimal) -> Decimal:
    return investable_usd(terms, book) * share / (ONE - terms.reserve_share) if share else ZERO


@exact
def grant(terms: PortfolioTerms, book: Book, ask: Ask, free_usd: Decimal) -> Grant | Refused:
    """The margin a trade gets, to the cent, and the book with it. Asked again, it is given anew and not twice.

    Never more than the reserve and the others leave, and never more than the exchange has free: `free_usd`.
    """
    if ask.coin not in terms.shares:
        return Refused(text=f"coin is {ask.coin}; {', '.join(terms.shares)} have a share")
    before = book.allocations.get(ask.trade)
    has_usd = before.margin_usd if before else ZERO
    others = {trade: each for trade, each in book.allocations.items() if trade != ask.trade}
    others_usd = sum((each.margin_usd for each in others.values()), ZERO)
    of_the_coin_usd = sum((each.margin_usd for each in others.values() if each.coin == ask.coin), ZERO)
    keeps_its_own = terms.compounding is Compounding.LOCAL and ask.own_usd is not None

    def its_own(coin_usd: Decimal) -> Decimal:
        left_usd = coin_usd - of_the_coin_usd
        if ask.part is None:
            return left_usd
        # The others may have too much still: it is smaller than its part for that only until they had their turn.
        return min(coin_usd * ask.part, max(has_usd, left_usd))

    share_usd = its_own(target_usd(terms, book, ask.coin))
    wanted_usd = ask.own_usd if keeps_its_own and ask.own_usd is not None else share_usd
    left_usd = investable_usd(terms, book) - others_usd
    bounds = [wanted_usd, left_usd, max(has_usd, ask.own_usd or ZERO) + free_usd]
    if terms.limits.max_coin_share is not None:
        bounds.append(its_own(_of_all(terms, book, terms.limits.max_coin_share)))
    margin_usd = plain(max(min(bounds), ZERO).quantize(CENT, rounding=ROUND_DOWN))
    if margin_usd < MARGIN_USD_MIN:
        return Refused(
            text=f"{margin_usd:f} USD can be given to {ask.trade}; at least {MARGIN_USD_MIN} is needed: its share is "
            f"{plain(wanted_usd):.8g} USD, {plain(left_usd):.8g} are left beside the others and the reserve, and the "
            f"exchange has {plain(free_usd):.8g} free"
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
def earned(book: Book, profit_usd: Decimal, parts: Shared, savings_coin: str) -> Book:
    """With a cycle's result, its parts in reserve and owed to savings."""
    owed = {**book.owed, savings_coin: plain(book.owed.get(savings_coin, ZERO) + parts.savings_usd)}
    return book.model_copy(
        update={
            "capital_usd": plain(book.capital_usd + profit_usd),
            "reserve_usd": plain(book.reserve_usd + parts.reserve_usd),
            "owed": {coin: usd for coin, usd in owed.items() if usd},
        }
    )


@exact
def unallocated_usd(book: Book) -> Decimal:
    """In no trade, and owed to nobody: the reserve is in it."""
    return max(book.capital_usd - book.owed_usd - book.allocated_usd, ZERO)


@exact
def skimmed(book: Book, coin: str, usd: Decimal) -> Book:
    """With so much of that owed to savings; profit that was put aside is the last to go. Raises ValueError."""
    left_usd = unallocated_usd(book) - usd
    if left_usd < 0:
        raise ValueError(f"{usd:f} USD is to be saved; {plain(left_usd + usd):f} is in no trade")
    owed = {**book.owed, coin: plain(book.owed.get(coin, ZERO) + usd)}
    return book.model_copy(update={"owed": owed, "reserve_usd": min(book.reserve_usd, left_usd)})


@exact
def paid_in(book: Book, usd: Decimal) -> Book:
    """From outside, or back to it where negative. What was put aside is the last to go."""
    capital_usd = plain(book.capital_usd + usd)
    return book.model_copy(
        update={"capital_usd": capital_usd, "reserve_usd": min(book.reserve_usd, max(capital_usd, ZERO))}
    )


@exact
def saved(book: Book, coin: str, usd: Decimal) -> Book:
    """Once so much of what was owed to `coin` has left the perpetuals side; negative: it came back."""
    left_usd = plain(book.owed.get(coin, ZERO) - usd)
    if left_usd < 0:
        raise ValueError(f"{usd} USD was saved in {coin}; {plain(left_usd + usd):f} was owed")
    owed = {**book.owed, coin: left_usd}
    return book.model_copy(
        update={
            "capital_usd": plain(book.capital_usd - usd),
            "owed": {each: owing for each, owing in owed.items() if owing},
        }
    )


def counted_anew(book: Book, equity_usd: Decimal) -> Book:
    """While no trade has anything, equity is what there is: nothing that went by unseen is carried on."""
    return book if book.allocations else book.model_copy(update={"capital_usd": max(equity_usd, ZERO)})
