"""Only what is off its share by more than the band is resized, and who shrinks comes first."""

from decimal import Decimal

from portfolio.book import Allocation, Book
from portfolio.rebalance import resizes
from portfolio.terms import PortfolioTerms

D = Decimal
TERMS = PortfolioTerms(shares={"ETH": D("0.4"), "BTC": D("0.2"), "SOL": D("0.2")}, band=D("0.05"))


def book(**margins: int) -> Book:
    """With a reserve of a quarter of them."""
    return Book(
        capital_usd=D(sum(margins.values())) * D("1.25"),
        allocations={name: Allocation(coin=name.split("_")[0], margin_usd=D(usd)) for name, usd in margins.items()},
    )


def test_within_the_band_nobody_is_touched() -> None:
    worth = {"ETH": D(450), "BTC": D(150), "SOL": D(200)}
    assert resizes(TERMS, book(ETH=400, BTC=200, SOL=200), worth) == ()


def test_who_shrinks_pays_who_grows() -> None:
    worth = {"ETH": D(600), "BTC": D(100), "SOL": D(240)}
    found = resizes(TERMS, book(ETH=400, BTC=200, SOL=200), worth)
    assert [(each.trade, each.from_usd, each.to_usd) for each in found] == [("ETH", 600, 456), ("BTC", 100, 228)]


def test_trades_of_one_coin_keep_their_proportions() -> None:
    worth = {"ETH_a": D(300), "ETH_b": D(100), "BTC": D(200), "SOL": D(200)}
    grown = book(ETH_a=300, ETH_b=100, BTC=200, SOL=200).model_copy(update={"capital_usd": D(2000)})
    found = resizes(TERMS, grown, worth)
    assert {each.trade: each.to_usd for each in found if each.coin == "ETH"} == {"ETH_a": 600, "ETH_b": 200}


def test_what_was_put_aside_is_nobodys_share() -> None:
    aside = book(ETH=400, BTC=200, SOL=200).model_copy(update={"capital_usd": D(1300), "reserve_usd": D(500)})
    assert resizes(TERMS, aside, {"ETH": D(400), "BTC": D(200), "SOL": D(200)}) == ()
