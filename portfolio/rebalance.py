"""Who is to have more and who less, so that the coins have their shares again."""

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal

from portfolio.book import CENT, Book, target_usd
from portfolio.terms import PortfolioTerms
from strategy.values import ONE, ZERO, Value, exact, plain


class Resize(Value):
    """What one trade's margin is to become, in USD."""

    trade: str
    coin: str
    from_usd: Decimal
    to_usd: Decimal
    part: Decimal = ONE
    """Of what its coin is to have."""


class Worth(Value):
    """One trade now, in USD."""

    usd: Decimal
    open_usd: Decimal
    """Of it, the result of the cycle that runs: the book hears of it when the cycle ends."""


@exact
def resizes(terms: PortfolioTerms, book: Book, worth: Mapping[str, Worth]) -> tuple[Resize, ...]:
    """For the coins that are off their share by more than the band; who shrinks comes first, for it pays the others.

    Open results are divided too. Trades of one coin keep their proportions, and those that nobody could ask are left
    alone. A coin without a share is left to its exit, and one without a trade to its start.
    """
    book = valued(book, worth)
    band_usd = terms.band * max(book.capital_usd - book.owed_usd, ZERO)
    found: list[Resize] = []
    for coin in terms.shares:
        trades = {trade: each.margin_usd for trade, each in book.allocations.items() if each.coin == coin}
        has_usd = sum(trades.values(), ZERO)
        should_usd = target_usd(terms, book, coin)
        if has_usd > 0 and abs(has_usd - should_usd) > band_usd:
            asked = {trade: usd for trade, usd in trades.items() if trade in worth}
            found += [_resize(trade, coin, usd, usd / has_usd, should_usd) for trade, usd in asked.items()]
    return tuple(sorted(found, key=lambda each: each.to_usd - each.from_usd))


@exact
def valued(book: Book, worth: Mapping[str, Worth]) -> Book:
    """With each trade at what it is worth now, and the whole as well; those that nobody could ask at what they were
    given."""
    known = {trade: worth[trade] for trade in book.allocations if trade in worth}
    open_usd = sum((each.open_usd for each in known.values()), ZERO)
    now = {trade: book.allocations[trade].model_copy(update={"margin_usd": each.usd}) for trade, each in known.items()}
    return book.model_copy(
        update={"capital_usd": plain(book.capital_usd + open_usd), "allocations": {**book.allocations, **now}}
    )


def _resize(trade: str, coin: str, worth_usd: Decimal, part: Decimal, should_usd: Decimal) -> Resize:
    to_usd = plain((should_usd * part).quantize(CENT, rounding=ROUND_DOWN))
    return Resize(trade=trade, coin=coin, from_usd=worth_usd, to_usd=to_usd, part=part)
