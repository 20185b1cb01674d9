"""What becomes of profit that is to be saved, in the record: nothing here waits, every step is one change of it.

    due ── purchase.of ── moved ── saved.of        `book.owed` has it up to the move, `spot_usd` from then on

A hand that moves money between the account's sides takes the same steps.
"""

from collections.abc import Sequence
from decimal import Decimal

from exchange.grid import round_size_down
from exchange.port import OrderOutcome
from exchange.spot_port import TransferIntent
from portfolio.book import paid_in, saved
from strategy.values import ZERO, exact, plain
from workflows.portfolio.record import DueSaving, PortfolioRecord, Purchase, Saved, SavingsWait

USD_DECIMALS = 6
"""As finely as the exchange moves USDC between an account's sides."""
DAY_MS = 24 * 60 * 60 * 1000
SAVED_KEPT = 20
DUE_KEPT = 50
"""Of each coin; what is older is told in one."""


@exact
def movable_usd(record: PortfolioRecord, coin: str) -> Decimal:
    """What is owed to it and not on its way."""
    purchase = record.purchase
    moving = purchase is not None and purchase.coin == coin and not purchase.moved
    left_usd = record.book.owed.get(coin, ZERO) - (purchase.usd if purchase is not None and moving else ZERO)
    return plain(round_size_down(left_usd, USD_DECIMALS))


@exact
def to_spend_usd(record: PortfolioRecord, coin: str) -> Decimal:
    return movable_usd(record, coin) + record.spot_usd.get(coin, ZERO)


def set_out(record: PortfolioRecord, coin: str, transfer: TransferIntent) -> None:
    """So much of what is owed to it is to move: the oldest first."""
    of, record.due = _parted(record.due, transfer.usd, coin)
    record.purchase = Purchase(coin=coin, usd=transfer.usd, of=tuple(of), transfer=transfer)
    record.moves_unseen = [*record.moves_unseen, -transfer.usd]


def moved(record: PortfolioRecord, purchase: Purchase) -> None:
    """It is on the spot side."""
    _to_spot(record, purchase.of)
    record.purchase = purchase.model_copy(update={"moved": True})


def not_moved(record: PortfolioRecord, purchase: Purchase) -> None:
    """It never will be, and is owed as before."""
    record.due = [*purchase.of, *record.due]
    record.purchase = None
    _never_seen(record, -purchase.usd)


@exact
def bought(record: PortfolioRecord, purchase: Purchase, outcome: OrderOutcome, at_ms: int) -> Saved:
    """What is left over goes with the next."""
    assert outcome.average_price is not None
    coin = purchase.coin
    usd = sum((fill.price * fill.size for fill in outcome.fills), ZERO) + outcome.fee_usd
    done = Saved(
        at_ms=at_ms,
        coin=coin,
        size=plain(outcome.received_size),
        price=plain(outcome.average_price),
        usd=plain(usd),
        of=tuple(each for each in record.moved if each.coin == coin),
    )
    _add_spot(record, coin, -usd)
    record.moved = [each for each in record.moved if each.coin != coin]
    record.saved = [*record.saved, done][-SAVED_KEPT:]
    record.savings_waits[coin] = SavingsWait(until_ms=at_ms + DAY_MS, usd=record.spot_usd.get(coin, ZERO))
    record.purchase = None
    return done


def set_back(record: PortfolioRecord, purchase: Purchase, transfer: TransferIntent) -> None:
    """What could not buy is to go where it came from."""
    record.purchase = purchase.model_copy(update={"back": transfer})
    record.moves_unseen = [*record.moves_unseen, transfer.usd]


def moved_back(record: PortfolioRecord, purchase: Purchase, usd: Decimal) -> None:
    """It is with the margin, and owed again."""
    _from_spot(record, purchase.coin, usd)
    record.purchase = None


def not_moved_back(record: PortfolioRecord, usd: Decimal) -> None:
    """It stays on the spot side."""
    record.purchase = None
    _never_seen(record, usd)


def moved_by_hand(record: PortfolioRecord, perp_usd: Decimal) -> Decimal:
    """What a person moved between the account's sides; negative: to the spot side. Returns what of it was no saving.

    What is owed longest is saved first. What comes back comes from savings that have bought nothing yet, and is owed
    again; it is not moved again before there is more, or a day is over.
    """
    return _saved_by_hand(record, -perp_usd) if perp_usd < 0 else _fetched_by_hand(record, perp_usd)


def _saved_by_hand(record: PortfolioRecord, usd: Decimal) -> Decimal:
    of, record.due = _parted(record.due, usd)
    _to_spot(record, of)
    for coin in {each.coin: None for each in of}:
        try_again(record, coin)
    return sum((each.usd for each in of), ZERO) - usd


def _fetched_by_hand(record: PortfolioRecord, usd: Decimal) -> Decimal:
    buying = record.purchase.coin if record.purchase is not None else None
    for coin, has_usd in list(record.spot_usd.items()):
        fetched_usd = min(has_usd, usd)
        if coin == buying or not fetched_usd:
            continue
        _from_spot(record, coin, fetched_usd)
        usd -= fetched_usd
        record.savings_waits[coin] = SavingsWait(
            text=f"{plain(fetched_usd):f} USD that were to buy {coin} were moved back by hand, and are owed again",
            until_ms=record.looked_ms + DAY_MS,
            usd=to_spend_usd(record, coin),
        )
    return usd


def try_again(record: PortfolioRecord, coin: str | None = None) -> None:
    """A person has changed something: savings of the coin, or of all coins, no longer wait."""
    for each in list(record.savings_waits) if coin is None else [coin]:
        record.savings_waits.pop(each, None)


@exact
def told_in_one(due: Sequence[DueSaving], coin: str) -> list[DueSaving]:
    """With the oldest of a coin's many small ones together, so that they don't grow without end."""
    own = [each for each in due if each.coin == coin]
    if len(own) <= DUE_KEPT:
        return list(due)
    old, new = own[: 1 - DUE_KEPT], own[1 - DUE_KEPT :]
    usd = plain(sum((each.usd for each in old), ZERO))
    one = DueSaving(coin=coin, usd=usd, trade="earlier cycles", cycle=0, at_ms=old[0].at_ms)
    return [one, *(each for each in due if each.coin != coin), *new]


@exact
def _parted(due: Sequence[DueSaving], usd: Decimal, coin: str | None = None) -> tuple[list[DueSaving], list[DueSaving]]:
    """So much of it, the oldest first, and the rest; of one coin where it is named."""
    taken: list[DueSaving] = []
    left: list[DueSaving] = []
    for each in due:
        part_usd = min(each.usd, usd) if coin in (None, each.coin) else ZERO
        usd -= part_usd
        if part_usd:
            taken.append(each.model_copy(update={"usd": plain(part_usd)}))
        if part_usd < each.usd:
            left.append(each.model_copy(update={"usd": plain(each.usd - part_usd)}))
    return taken, left


def _to_spot(record: PortfolioRecord, of: Sequence[DueSaving]) -> None:
    for each in of:
        record.book = saved(record.book, each.coin, each.usd)
        _add_spot(record, each.coin, each.usd)
    record.moved = [*record.moved, *of]


def _from_spot(record: PortfolioRecord, coin: str, usd: Decimal) -> None:
    of, record.moved = _parted(record.moved, usd, coin)
    if rest_usd := usd - sum((each.usd for each in of), ZERO):
        # Of a former purchase, whose profits were told when it bought.
        of = [DueSaving(coin=coin, usd=rest_usd, trade="left over", cycle=0, at_ms=record.looked_ms), *of]
    record.due = [*of, *record.due]
    record.book = saved(record.book, coin, -usd)
    _add_spot(record, coin, -usd)


@exact
def _add_spot(record: PortfolioRecord, coin: str, usd: Decimal) -> None:
    left = {**record.spot_usd, coin: plain(max(record.spot_usd.get(coin, ZERO) + usd, ZERO))}
    record.spot_usd = {each: has_usd for each, has_usd in left.items() if has_usd}


def _never_seen(record: PortfolioRecord, perp_usd: Decimal) -> None:
    """Of a move that never happened. Where the ledger has shown one like it, that was a hand's."""
    if perp_usd in record.moves_unseen:
        record.moves_unseen.remove(perp_usd)
    else:
        left_usd = moved_by_hand(record, perp_usd)
        record.book = paid_in(record.book, left_usd)
