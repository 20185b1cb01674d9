"""Nothing is given twice, nothing is given that is not there, and no part of a profit is lost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.book import Allocation, Ask, Book, Funds, Grant, Refused, grant, put_aside, released, saved, shared
from portfolio.terms import Compounding, PortfolioLimits, PortfolioTerms, ProfitSplit

D = Decimal
COINS = ("ETH", "BTC", "SOL", "DOGE", "HYPE")
TERMS = PortfolioTerms(shares={"ETH": D("0.4"), "BTC": D("0.2"), "SOL": D("0.2")})
cents = st.decimals(min_value=0, max_value=100_000, places=2)
shares = st.decimals(min_value=D("0.01"), max_value=1, places=2)


def given_to(book: Book, terms: PortfolioTerms, ask: Ask, equity_usd: Decimal, free_usd: Decimal) -> Grant:
    answer = grant(terms, book, ask, Funds(equity_usd=equity_usd, free_usd=free_usd))
    assert isinstance(answer, Grant)
    return answer


def test_three_coins_get_exactly_their_shares_and_the_reserve_stays() -> None:
    book, margins = Book(), []
    for coin in TERMS.shares:
        answer = given_to(book, TERMS, Ask(trade=f"trade-{coin}", coin=coin), D(1000), D(1000) - book.allocated_usd)
        book = answer.book
        margins.append(answer.margin_usd)
    assert margins == [400, 200, 200]


def test_who_asks_again_has_what_it_had() -> None:
    ask = Ask(trade="trade-ETH", coin="ETH")
    once = given_to(Book(), TERMS, ask, D(1000), D(1000))
    assert given_to(once.book, TERMS, ask, D(1000), D(600)) == once


def test_a_second_trade_of_a_coin_gets_what_the_first_left_of_its_share() -> None:
    book = Book(allocations={"trade-ETH": Allocation(coin="ETH", margin_usd=D(150))})
    answer = given_to(book, TERMS, Ask(trade="trade-ETH-long", coin="ETH"), D(1000), D(850))
    assert answer.margin_usd == 250


def test_a_coin_without_a_share_is_refused() -> None:
    answer = grant(TERMS, Book(), Ask(trade="t", coin="XRP"), Funds(equity_usd=D(1000), free_usd=D(1000)))
    assert answer == Refused(text="coin is XRP; ETH, BTC, SOL have a share")


def test_an_account_that_is_given_away_refuses_with_its_figures() -> None:
    book = Book(allocations={"trade-BTC": Allocation(coin="BTC", margin_usd=D(800))})
    answer = grant(TERMS, book, Ask(trade="t", coin="ETH"), Funds(equity_usd=D(1000), free_usd=D(200)))
    assert isinstance(answer, Refused)
    assert answer.text.endswith("at least 1 is needed. 1000 USD can be invested, others have 800")


@pytest.mark.parametrize(("compounding", "margin"), [(Compounding.LOCAL, 500), (Compounding.POOLED, 440)])
def test_at_a_reset_a_coin_keeps_its_own_or_takes_its_share(compounding: Compounding, margin: int) -> None:
    terms = TERMS.model_copy(update={"compounding": compounding})
    book = Book(allocations={"trade-ETH": Allocation(coin="ETH", margin_usd=D(400))})
    ask = Ask(trade="trade-ETH", coin="ETH", own_usd=D(500))
    assert given_to(book, terms, ask, D(1100), D(600)).margin_usd == margin


def test_no_coin_outgrows_its_limit() -> None:
    terms = TERMS.model_copy(update={"limits": PortfolioLimits(max_coin_share=D("0.45"))})
    book = Book(allocations={"trade-ETH": Allocation(coin="ETH", margin_usd=D(400))})
    ask = Ask(trade="trade-ETH", coin="ETH", own_usd=D(600))
    assert given_to(book, terms, ask, D(1200), D(600)).margin_usd == 540


asks = st.lists(st.tuples(st.sampled_from(COINS), st.integers(0, 3), st.none() | cents), min_size=1, max_size=20)


@given(
    shares=st.dictionaries(st.sampled_from(COINS), shares, min_size=1),
    reserve=st.decimals(min_value=0, max_value=1, places=2),
    compounding=st.sampled_from(Compounding),
    aside=st.tuples(cents, cents),
    equity_usd=cents,
    asks=asks,
)
def test_nothing_is_given_that_is_not_there_whoever_asks_in_whatever_order(
    shares: dict[str, Decimal],
    reserve: Decimal,
    compounding: Compounding,
    aside: tuple[Decimal, Decimal],
    equity_usd: Decimal,
    asks: list[tuple[str, int, Decimal | None]],
) -> None:
    total = sum(shares.values()) + reserve
    scaled = {coin: share / total if total > 1 else share for coin, share in shares.items()}
    terms = PortfolioTerms.model_construct(
        shares=scaled,
        reserve_share=reserve / total if total > 1 else reserve,
        compounding=compounding,
        limits=PortfolioLimits(),
    )
    book = Book(reserve_usd=aside[0], owed_usd=aside[1])
    investable = max(equity_usd - sum(aside), D(0))
    for coin, number, own_usd in asks:
        before = book
        funds = Funds(equity_usd=equity_usd, free_usd=max(equity_usd - book.allocated_usd, D(0)))
        answer = grant(terms, book, Ask(trade=f"{coin}-{number}", coin=coin, own_usd=own_usd), funds)
        match answer:
            case Grant():
                book = answer.book
                assert book.allocations[f"{coin}-{number}"].margin_usd == answer.margin_usd >= 1
            case Refused():
                assert book == before
        assert book.allocated_usd <= investable * (1 - terms.reserve_share) + D("1e-20")


@given(
    profit_usd=st.decimals(min_value=-1000, max_value=10_000, places=9), points=st.tuples(*[st.integers(0, 100)] * 2)
)
def test_the_parts_of_a_profit_are_the_profit(profit_usd: Decimal, points: tuple[int, int]) -> None:
    low, high = sorted(points)
    split = ProfitSplit(trade=D(low) / 100, reserve=D(high - low) / 100, savings=D(100 - high) / 100)
    parts = shared(split, profit_usd)
    assert parts.trade_usd + parts.reserve_usd + parts.savings_usd == profit_usd
    assert parts.reserve_usd >= 0 <= parts.savings_usd
    assert parts.trade_usd == profit_usd or profit_usd > 0


def test_a_profit_of_fifty_is_split_and_what_is_owed_is_paid_once() -> None:
    parts = shared(ProfitSplit(trade=D("0.5"), reserve=D("0.3"), savings=D("0.2")), D(50))
    assert (parts.trade_usd, parts.reserve_usd, parts.savings_usd) == (25, 15, 10)
    book = put_aside(Book(), parts)
    assert saved(book, D(10)) == Book(reserve_usd=D(15))
    with pytest.raises(ValueError, match="11 USD was saved; 10 was owed"):
        saved(book, D(11))


def test_a_trade_that_is_over_leaves_its_margin() -> None:
    book = Book(allocations={"trade-ETH": Allocation(coin="ETH", margin_usd=D(400))})
    assert released(released(book, "trade-ETH"), "trade-ETH") == Book()
