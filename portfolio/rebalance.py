"""Who is to have more and who less, so that the coins have their shares again."""

from collections.abc import Mapping
from decimal import ROUND_DOWN, Decimal

from portfolio.book import CENT, Book, target_usd
from portfolio.terms import PortfolioTerms
from strategy.values import ZERO, Value, exact, plain


class Resize(Value):
    """What one trade's margin is to become, in USD."""

    trade: str
    coin: str
    from_usd: Decimal
    to_usd: Decimal


@exact
def resizes(terms: PortfolioTerms, book: Book, worth_usd: Mapping[str, Decimal]) -> tuple[Resize, ...]:
    """For the coins that are off their share by more than the band; who shrinks comes first, for it pays the others.

    `worth_usd` is each trade's equity now: what they are worth beyond what they were given is divided too. Trades of
    one coin keep their proportions. A coin without a share is left to its exit, and one without a trade to its start.
    """
    open_usd = sum(worth_usd.values(), ZERO) - book.allocated_usd
    book = book.model_copy(update={"capital_usd": book.capital_usd + open_usd})
    band_usd = terms.band * max(book.capital_usd - book.owed_usd, ZERO)
    found: list[Resize] = []
    for coin in terms.shares:
        trades = [trade for trade, each in book.allocations.items() if each.coin == coin]
        has_usd = sum((worth_usd[trade] for trade in trades), ZERO)
        should_usd = target_usd(terms, book, coin)
        if has_usd > 0 and abs(has_usd - should_usd) > band_usd:
            found += [_resize(trade, coin, worth_usd[trade], should_usd / has_usd) for trade in trades]
    return tuple(sorted(found, key=lambda each: each.to_usd - each.from_usd))


def _resize(trade: str, coin: str, worth_usd: Decimal, factor: Decimal) -> Resize:
    to_usd = plain((worth_usd * factor).quantize(CENT, rounding=ROUND_DOWN))
    return Resize(trade=trade, coin=coin, from_usd=worth_usd, to_usd=to_usd)
