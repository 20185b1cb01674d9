"""Nothing is given twice, nothing is given that is not there, and no part of a profit is lost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portfolio.book import (
    Allocation,
    Ask,
    Book,
    Grant,
    Refused,
    counted_anew,
    earned,
    grant,
    investable_usd,
    paid_in,
    released,
    saved,
    shared,
)
from portfolio.terms import Compounding, PortfolioLimits, PortfolioTerms, ProfitSplit

D = Decimal
COINS = ("ETH", "BTC", "SOL", "DOGE", "HYPE")
TERMS = PortfolioTerms(shares={"ETH": D("0.4"), "BTC": D("0.2"), "SOL": D("0.2")})
cents = st.decimals(min_value=0, max_value=100_000, places=2)
shares = st.decimals(min_value=D("0.01"), max_value=1, places=2)


def given_to(book: Book, terms: PortfolioTerms, ask: Ask, free_usd: Decimal) -> Grant:
    answer = grant(terms, book, ask, free_usd)
    assert isinstance(answer, Grant)
    return answer


def test_three_coins_get_exactly_their_shares_and_the_reserve_stays() -> None:
    book, margins = Book(capital_usd=D(1000)), []
    for coin in TERMS.shares:
        # What opening the others has cost is already gone.
        answer = given_to(book, TERMS, Ask(trade=f"trade-{coin}", coin=coin), D(999) - book.allocated_usd)
        book = answer.book
        margins.append(answer.margin_usd)
    assert margins == [400, 200, 200]


def test_who_asks_again_has_what_it_had() -> None:
    ask = Ask(trade="trade-ETH", coin="ETH")
    once = given_to(Book(capital_usd=D(1000)), TERMS, ask, D(1000))
    assert given_to(once.book, TERMS, ask, D(600)) == once


def test_a_second_trade_of_a_coin_gets_what_the_first_left_of_its_share() -> None:
    book = Book(capital_usd=D(1000), allocations={"trade-ETH": Allocation(coin="ETH", margin_usd=D(150))})
    answer = given_to(book, TERMS, Ask(trade="trade-ETH-long", coin="ETH"), D(850))
    assert answer.margin_usd == 250


@pytest.mark.parametrize(("has", "becomes"), [((600, 200), (300, 100)), ((60, 20), (300, 100))], ids=["less", "more"])
@pytest.mark.parametrize("first", [0, 1])
def test_two_trades_of_a_coin_get_their_parts_of_its_share_whoever_asks_first(
    has: tuple[int, int], becomes: tuple[int, int], first: int
) -> None:
    names = ("trade-ETH", "trade-ETH-long")
    terms = TERMS.model_copy(update={"limits": PortfolioLimits(max_coin_share=D("0.4"))})
    allocations = {name: Allocation(coin="ETH", margin_usd=D(usd)) for name, usd in zip(names, has, strict=True)}
    book = Book(capital_usd=D(1000), allocations=allocations)
    for name, part in sorted(zip(names, (D("0.75"), D("0.25")), strict=True), reverse=bool(first)):
        book = given_to(book, terms, Ask(trade=name, coin="ETH", part=part), D(1000) - book.allocated_usd).book
    assert tuple(book.allocations[name].margin_usd for name in names) == becomes


def test_a_coin_without_a_share_is_refused() -> None:
    answer = grant(TERMS, Book(capital_usd=D(1000)), Ask(trade="t", coin="XRP"), D(1000))
    assert answer == Refused(text="coin is XRP; ETH, BTC, SOL have a share")


def test_an_account_that_is_given_away_refuses_with_its_figures() -> None:
    book = Book(capital_usd=D(1000), allocations={"trade-BTC": Allocation(coin="BTC", margin_usd=D(800))})
    answer = grant(TERMS, book, Ask(trade="t", coin="ETH"), D(200))
    assert isinstance(answer, Refused)
    assert answer.text == (
        "0 USD can be given to t; at least 1 is needed: its share is 400 USD, 0 are left beside the others and the "
        "reserve, and the exchange has 200 free"
    )


@pytest.mark.parametrize(("compounding", "margin"), [(Compounding.LOCAL, 500), (Compounding.POOLED, 440)])
def test_at_a_reset_a_coin_keeps_its_own_or_takes_its_share(compounding: Compounding, margin: int) -> None:
    terms = TERMS.model_copy(update={"compounding": compounding})
    book = Book(capital_usd=D(1100), allocations={"trade-ETH": Allocation(coin="ETH", margin_usd=D(400))})
    ask = Ask(trade="trade-ETH", coin="ETH", own_usd=D(500))
    assert given_to(book, terms, ask, D(600)).margin_usd == margin


def test_no_coin_outgrows_its_limit() -> None:
    terms = TERMS.model_copy(update={"limits": PortfolioLimits(max_coin_share=D("0.45"))})
    book = Book(capital_usd=D(1200), allocations={"trade-ETH": Allocation(coin="ETH", margin_usd=D(400))})
    ask = Ask(trade="trade-ETH", coin="ETH", own_usd=D(600))
    assert given_to(book, terms, ask, D(600)).margin_usd == 540


def test_a_trade_keeps_its_profit_beside_others_that_have_all_the_rest() -> None:
    margins = {"trade-ETH": ("ETH", 400), "trade-BTC": ("BTC", 200), "trade-SOL": ("SOL", 200)}
    allocations = {name: Allocation(coin=coin, margin_usd=D(usd)) for name, (coin, usd) in margins.items()}
    parts = shared(ProfitSplit(), D(50))
    book = earned(Book(capital_usd=D(1000), allocations=allocations), D(50), parts, "ETH")
    answer = given_to(book, TERMS, Ask(trade="trade-ETH", coin="ETH", own_usd=D(425)), D(250))
    assert (answer.margin_usd, book.reserve_usd, book.owed) == (425, 15, {"ETH": 10})


def test_what_was_put_aside_is_never_given_away() -> None:
    book = Book(capital_usd=D(1000), reserve_usd=D(600))
    margins = []
    for coin in TERMS.shares:
        answer = given_to(book, TERMS, Ask(trade=coin, coin=coin), D(1000))
        book = answer.book
        margins.append(answer.margin_usd)
    assert margins == [200, 100, 100]


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
    book = Book(capital_usd=equity_usd, reserve_usd=aside[0], owed={"ETH": aside[1]})
    for coin, number, own_usd in asks:
        before = book
        free_usd = max(equity_usd - book.allocated_usd, D(0))
        answer = grant(terms, book, Ask(trade=f"{coin}-{number}", coin=coin, own_usd=own_usd), free_usd)
        match answer:
            case Grant():
                book = answer.book
                assert book.allocations[f"{coin}-{number}"].margin_usd == answer.margin_usd >= 1
            case Refused():
                assert book == before
        assert book.allocated_usd <= investable_usd(terms, book)
        kept_usd = equity_usd - aside[1] - book.allocated_usd
        assert not book.allocations or kept_usd >= max(aside[0], terms.reserve_share * (equity_usd - aside[1]))


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
    book = earned(Book(capital_usd=D(1000)), D(50), parts, "BTC")
    assert saved(book, "BTC", D(10)) == Book(capital_usd=D(1040), reserve_usd=D(15))
    with pytest.raises(ValueError, match="11 USD was saved in BTC; 10 was owed"):
        saved(book, "BTC", D(11))


def test_what_is_paid_out_is_divided_no_more() -> None:
    book = Book(capital_usd=D(1000), reserve_usd=D(100))
    assert paid_in(book, D(-950)) == Book(capital_usd=D(50), reserve_usd=D(50))


def test_equity_is_taken_as_it_is_while_nobody_has_any() -> None:
    assert counted_anew(Book(capital_usd=D(1000)), D(900)).capital_usd == 900
    held = Book(capital_usd=D(1000), allocations={"trade-ETH": Allocation(coin="ETH", margin_usd=D(400))})
    assert counted_anew(held, D(900)) == held


def test_a_trade_that_is_over_leaves_its_margin() -> None:
    book = Book(allocations={"trade-ETH": Allocation(coin="ETH", margin_usd=D(400))})
    assert released(released(book, "trade-ETH"), "trade-ETH") == Book()
