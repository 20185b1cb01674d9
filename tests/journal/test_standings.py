"""How a trade stands is kept beside its entries, in one piece with them, and the newest alone."""

import pytest

from journal.entries import AlertRecord, Standing
from journal.errors import JournalConflict
from journal.standings import LastKnown
from journal.store import Journal
from tests.journal.test_journal_store import trade, whole_story


def standing(at_ms: int, **record: str) -> Standing:
    return Standing(seq=at_ms, at_ms=at_ms, record={"mode": "trading", "numbers": ["0.1234567890123456789"], **record})


async def test_the_newest_standing_is_kept_whoever_writes_last(journal: Journal) -> None:
    alert = AlertRecord(seq=1, at_ms=7, text="a")
    for at_ms in (1, 3, 2):
        await journal.append(trade(), [alert], standing(at_ms))
    await journal.append(trade(), [])
    (known,) = await journal.last_known()
    assert known == LastKnown(
        trade=trade(), standing=standing(3), newest_seq=1, newest_ms=7, opened=False, closed=False
    )
    await journal.append(trade(), [], standing(3, mode="paused"))
    (known,) = await journal.last_known()
    assert known.standing == standing(3, mode="paused"), "of one moment the one that was written last"


async def test_a_refused_batch_leaves_no_standing(journal: Journal) -> None:
    await journal.append(trade(), [AlertRecord(seq=1, at_ms=1, text="a")], standing(1))
    with pytest.raises(JournalConflict):
        await journal.append(trade(), [AlertRecord(seq=1, at_ms=1, text="b")], standing(2))
    (known,) = await journal.last_known()
    assert known.standing == standing(1)


async def test_what_stands_without_an_entry_is_told_too(journal: Journal) -> None:
    await journal.append(trade(), [], standing(3))
    (known,) = await journal.last_known()
    assert (known.standing, known.newest_seq, known.newest_ms, known.opened) == (standing(3), 0, 0, False)


async def test_trades_are_told_apart_oldest_first(journal: Journal) -> None:
    story = whole_story()
    await journal.append(trade(2), story[:-1], standing(5))
    await journal.append(trade(1), story)
    first, second = await journal.last_known()
    assert (first.trade, first.standing, first.opened, first.closed) == (trade(1), None, True, True)
    assert (second.trade, second.standing, second.opened, second.closed) == (trade(2), standing(5), True, False)
    assert (first.newest_seq, second.newest_seq) == (11, 10)
