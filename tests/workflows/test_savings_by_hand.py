"""Whatever a hand moves between the account's sides: no dollar of the savings is counted twice, and none is lost."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.spot_port import TransferIntent
from portfolio.book import Book
from portfolio.terms import PortfolioTerms
from workflows.portfolio.asked import PortfolioInput
from workflows.portfolio.record import DueSaving, PortfolioRecord, Purchase
from workflows.portfolio.savings import (
    DUE_KEPT,
    movable_usd,
    moved,
    moved_back,
    moved_by_hand,
    not_moved,
    not_moved_back,
    set_back,
    set_out,
    told_in_one,
)

D = Decimal
amounts = st.decimals(min_value=D("0.01"), max_value=1000, places=2)
dues = st.lists(st.tuples(st.sampled_from(("ETH", "BTC", "SOL")), amounts), max_size=6)


def due(coin: str, usd: Decimal | int, cycle: int = 1) -> DueSaving:
    return DueSaving(coin=coin, usd=D(usd), trade=f"trade-{coin}", cycle=cycle, at_ms=cycle)


def owing(*owed: DueSaving, spot_usd: dict[str, Decimal] | None = None) -> PortfolioRecord:
    """A portfolio of 10,000 USD."""
    by_coin: dict[str, Decimal] = {}
    for each in owed:
        by_coin[each.coin] = by_coin.get(each.coin, D(0)) + each.usd
    return PortfolioRecord(
        input=PortfolioInput(),
        terms=PortfolioTerms(shares={"ETH": D("0.5")}),
        book=Book(capital_usd=D(10_000), owed=by_coin),
        due=list(owed),
        spot_usd=spot_usd or {},
    )


def owed_by_its_parts(record: PortfolioRecord) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for each in record.due:
        found[each.coin] = found.get(each.coin, D(0)) + each.usd
    return found


@given(
    owed=dues,
    spot_usd=st.dictionaries(st.sampled_from(("ETH", "BTC")), amounts),
    moved=st.lists(amounts | amounts.map(lambda usd: -usd), max_size=8),
)
def test_what_is_owed_and_what_is_on_the_spot_side_is_the_same_sum_all_the_time(
    owed: list[tuple[str, Decimal]], spot_usd: dict[str, Decimal], moved: list[Decimal]
) -> None:
    record = owing(*(due(coin, usd) for coin, usd in owed), spot_usd=spot_usd)
    savings_usd = record.book.owed_usd + sum(spot_usd.values(), D(0))
    for perp_usd in moved:
        before_usd = record.book.capital_usd
        rest_usd = moved_by_hand(record, perp_usd)
        assert abs(rest_usd) <= abs(perp_usd) and rest_usd * perp_usd >= 0
        assert record.book.capital_usd - before_usd == perp_usd - rest_usd
        assert record.book.owed_usd + sum(record.spot_usd.values(), D(0)) == savings_usd
        assert record.book.owed == owed_by_its_parts(record)


def test_what_is_owed_longest_is_saved_first() -> None:
    record = owing(due("ETH", 10, 1), due("BTC", 5, 2), due("ETH", 10, 3))
    assert moved_by_hand(record, D(-12)) == 0
    assert record.spot_usd == {"ETH": 10, "BTC": 2}
    assert record.due == [due("BTC", 3, 2), due("ETH", 10, 3)]
    assert moved_by_hand(record, D(-20)) == -7, "only 13 were owed"


def test_what_comes_back_is_owed_again_but_not_what_is_just_being_spent() -> None:
    record = owing(spot_usd={"ETH": D(10), "BTC": D(4)})
    record.purchase = Purchase(coin="ETH", usd=D(10), moved=True)
    assert moved_by_hand(record, D(6)) == 2
    assert (record.book.owed, record.spot_usd) == ({"BTC": 4}, {"ETH": 10})
    assert "BTC were moved back by hand" in (record.savings_trouble or "")


def test_a_transfer_that_never_happened_but_was_seen_was_a_hands() -> None:
    record = owing(due("ETH", 10))
    intent = TransferIntent(account="0x1", signer="0x1", nonce=1, usd=D(10), to_perp=False)
    set_out(record, "ETH", intent)
    assert (record.moves_unseen, record.due, movable_usd(record, "ETH")) == ([-10], [], 0)
    seen_by_the_watch = record.model_copy(update={"moves_unseen": []})
    assert record.purchase is not None
    not_moved(record, record.purchase)
    assert (record.moves_unseen, record.due, record.spot_usd) == ([], [due("ETH", 10)], {})
    assert seen_by_the_watch.purchase is not None
    not_moved(seen_by_the_watch, seen_by_the_watch.purchase)
    assert (seen_by_the_watch.due, seen_by_the_watch.spot_usd, seen_by_the_watch.book.owed) == ([], {"ETH": 10}, {})


@pytest.mark.parametrize("back", [True, False])
def test_what_could_not_buy_is_owed_again_or_stays_where_it_is(back: bool) -> None:
    record = owing(due("ETH", 10), due("ETH", 7, 2))
    there = TransferIntent(account="0x1", signer="0x1", nonce=1, usd=D(17), to_perp=False)
    set_out(record, "ETH", there)
    assert record.purchase is not None
    moved(record, record.purchase)
    assert (record.book.owed, record.spot_usd, record.book.capital_usd) == ({}, {"ETH": 17}, 10_000 - 17)
    set_back(record, record.purchase, there.model_copy(update={"to_perp": True, "nonce": 2}))
    assert record.moves_unseen == [-17, 17]
    if back:
        moved_back(record, record.purchase, D(17))
        assert (record.book.owed, record.spot_usd, record.book.capital_usd) == ({"ETH": 17}, {}, 10_000)
        assert (record.due, record.moved) == ([due("ETH", 10), due("ETH", 7, 2)], [])
    else:
        not_moved_back(record, D(17))
        assert (record.book.owed, record.spot_usd, record.moves_unseen) == ({}, {"ETH": 17}, [-17])
        assert [each.usd for each in record.moved] == [10, 7]
    assert record.purchase is None


@pytest.mark.parametrize("count", [DUE_KEPT, DUE_KEPT + 1, 3 * DUE_KEPT])
def test_many_small_ones_are_told_in_one_and_are_the_same_sum(count: int) -> None:
    owed = [due("BTC", 7), *(due("ETH", D("0.1"), cycle) for cycle in range(count))]
    kept = told_in_one(owed, "ETH")
    assert sum(each.usd for each in kept) == 7 + count * D("0.1")
    assert sum(each.coin == "ETH" for each in kept) == DUE_KEPT
    assert kept[-1] == owed[-1]
