"""Whatever batches come, in whatever order and however often: each entry stands once, exactly as first written."""

import uuid
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from journal.entries import AlertRecord, Decision, Entry, FillRecord, OperatorRecord, TradeRef, UnitChange
from journal.errors import JournalConflict
from journal.store import Journal
from strategy.values import Leg, Phase

times_ms = st.integers(0, 2**53)
units = st.integers(-1000, 1000)
numbers = st.decimals(allow_nan=False, allow_infinity=False, places=18, min_value=-(10**12), max_value=10**12) | (
    st.decimals(allow_nan=False, allow_infinity=False)
)
# PostgreSQL has no character 0 in text; JSON hides it, so it is allowed in entries, and lone surrogates are no text.
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=50)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**60), 2**60) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)


def entry_at(seq: int) -> st.SearchStrategy[Entry]:
    key = {"seq": st.just(seq), "at_ms": times_ms}
    return st.one_of(
        st.builds(UnitChange, **key, from_unit=units, to_unit=units, price=numbers, cycle=st.integers(1, 99)),
        st.builds(
            Decision,
            **key,
            price=numbers,
            unit=units,
            phase=st.sampled_from(Phase),
            peak=units,
            valley=units,
            cycle=st.integers(1, 99),
            legs=st.lists(st.builds(Leg, qty=numbers), max_size=3).map(tuple),
            order_qty=numbers,
            cloid=st.none() | texts,
        ),
        st.builds(
            FillRecord,
            **key,
            cloid=st.none() | texts,
            oid=times_ms,
            tid=times_ms,
            price=numbers,
            size=numbers,
            fee_usd=numbers,
            time_ms=times_ms,
        ),
        st.builds(OperatorRecord, **key, command=texts, arguments=st.dictionaries(texts, json_values), result=texts),
        st.builds(AlertRecord, **key, text=texts),
    )


stories = st.integers(1, 12).flatmap(lambda length: st.tuples(*(entry_at(seq) for seq in range(length))))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), story=stories)
async def test_any_batches_in_any_order_end_in_the_same_journal(
    journal: Journal, data: st.DataObject, story: tuple[Entry, ...]
) -> None:
    trade = TradeRef(
        trade_id=uuid.uuid4().hex, workflow_id="w", coin="ETH", account="0x1", network="paper", opened_at_ms=0
    )
    batches = data.draw(st.lists(st.lists(st.sampled_from(story), max_size=20), max_size=5))
    for batch in batches:
        await journal.append(trade, batch)
    await journal.append(trade, story)
    for batch in batches:
        await journal.append(trade, batch)
    assert [line.entry for line in await journal.history(trade.trade_id)] == list(story)

    changed = data.draw(st.sampled_from(story))
    with pytest.raises(JournalConflict):
        await journal.append(trade, [changed.model_copy(update={"at_ms": changed.at_ms + 1})])
    assert [line.entry for line in await journal.history(trade.trade_id)] == list(story)


@given(number=numbers)
def test_decimals_survive_json_with_every_digit(number: Decimal) -> None:
    fill = FillRecord(seq=1, at_ms=1, cloid=None, oid=1, tid=1, price=number, size=number, fee_usd=number, time_ms=1)
    back = FillRecord.model_validate_json(fill.model_dump_json())
    assert back.price.as_tuple() == number.as_tuple()
