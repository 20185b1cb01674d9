import asyncio
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import text

from exchange.port import Side
from journal.engine import create_engine, parse_url
from journal.entries import (
    AlertRecord,
    Closed,
    Decision,
    Entry,
    FillRecord,
    IntentRecord,
    Opened,
    OperatorRecord,
    OutcomeRecord,
    RejectedInput,
    ResetRecord,
    TradeRef,
    UnitChange,
)
from journal.errors import JournalConflict, JournalError, JournalUnavailable
from journal.store import Journal
from strategy.values import Action, Leg, Phase

NOW_MS = 1_756_071_910_000
SIGNER = "0x" + "ab" * 20


def trade(number: int = 1) -> TradeRef:
    return TradeRef(
        trade_id=f"trade-ETH/{number}",
        workflow_id="trade-ETH",
        coin="ETH",
        account="0x" + "cd" * 20,
        network="paper",
        opened_at_ms=NOW_MS + number,
        terms={"margin_usd": "100", "ladder": {"name": "v6", "retracement": [["1", "1"], ["rest", "same"]]}},
    )


def cloid(number: int) -> str:
    return f"0x{number:032x}"


def whole_story() -> list[Entry]:
    """Every kind once, numbers with more digits than a float has."""
    fine = Decimal("0.123456789012345678901")
    return [
        Opened(
            seq=1,
            at_ms=NOW_MS,
            coin="ETH",
            margin_usd=Decimal(100),
            leverage=25,
            unit_size=Decimal(2),
            preset="v6",
            anchor_price=Decimal("3450.1"),
            size=Decimal("0.7246"),
        ),
        UnitChange(seq=2, at_ms=NOW_MS + 1, from_unit=3, to_unit=2, price=Decimal("3454.10"), cycle=1),
        Decision(
            seq=3,
            at_ms=NOW_MS + 1,
            price=Decimal("3454.10"),
            unit=2,
            phase=Phase.RETRACEMENT,
            peak=3,
            valley=0,
            cycle=1,
            legs=(Leg(action=Action.SELL_LONG, qty=fine), Leg(action=Action.OPEN_SHORT, qty=fine)),
            order_qty=-2 * fine,
            cloid=cloid(1),
        ),
        intent(4, 1),
        outcome(5, 1, total_size=Decimal("0.1449")),
        fill(6, 1, Decimal("-0.1449")),
        ResetRecord(
            seq=7, at_ms=NOW_MS, cycle=1, price=Decimal(3450), cycle_pnl_usd=Decimal("-1E-9"), allocation_usd=fine
        ),
        OperatorRecord(seq=8, at_ms=NOW_MS, command="set_unit_size", arguments={"unit_size": "4"}, result="refused"),
        RejectedInput(seq=9, at_ms=NOW_MS, name="pause", payload='{"a": [1, null]}', text="unknown field `a`"),
        AlertRecord(seq=10, at_ms=NOW_MS, text="net position differs: ledger 0.5, exchange 0.4 ETH — Größe"),
        Closed(seq=11, at_ms=NOW_MS, reason="operator", realized_pnl_usd=Decimal("-3.25"), price=Decimal("3448.9")),
    ]


def intent(seq: int, number: int) -> IntentRecord:
    return IntentRecord(
        seq=seq,
        at_ms=NOW_MS + seq,
        cloid=cloid(number),
        signer=SIGNER,
        nonce=NOW_MS + number,
        coin="ETH",
        side="sell",
        size=Decimal("0.1449"),
        limit_price=Decimal("3436.8"),
        reduce_only=False,
        expires_after_ms=NOW_MS + 15_000,
        purpose="retracement -1",
    )


def outcome(seq: int, number: int, **fields: object) -> OutcomeRecord:
    known = {"status": "filled", "average_price": Decimal("3454.05"), "fee_usd": Decimal("0.225223"), "asks": 1}
    return OutcomeRecord.model_validate(
        {
            "seq": seq,
            "at_ms": NOW_MS + seq,
            "cloid": cloid(number),
            "established_by": "reply",
            "established_at_ms": NOW_MS + seq,
            **known,
            **fields,
        }
    )


def fill(seq: int, number: int | None, size: Decimal) -> FillRecord:
    return FillRecord(
        seq=seq,
        at_ms=NOW_MS + seq,
        cloid=None if number is None else cloid(number),
        oid=7_000 + seq,
        tid=9_000 + seq,
        price=Decimal("3454.05"),
        size=size,
        fee_usd=Decimal("0.225223"),
        time_ms=NOW_MS + seq,
    )


async def read_back(journal: Journal, of: str) -> list[Entry]:
    return [line.entry for line in await journal.history(of)]


async def test_every_kind_of_entry_comes_back_exactly(journal: Journal) -> None:
    await journal.append(trade(), whole_story())
    back = await read_back(journal, "trade-ETH/1")
    assert back == whole_story()
    assert [repr(entry) for entry in back] == [repr(entry) for entry in whole_story()], "digits of decimals too"
    assert await journal.trades() == [trade()]


async def test_decimals_stand_as_text_and_cycle_unit_phase_as_columns(journal: Journal, url: str) -> None:
    await journal.append(trade(), whole_story())
    engine = create_engine(parse_url(url))
    async with engine.connect() as connection:
        query = "SELECT cycle, unit, phase, CAST(data AS TEXT) FROM entries WHERE seq IN (2, 3, 10) ORDER BY seq"
        change, decision, alert = (await connection.execute(text(query))).all()
    await engine.dispose()
    assert tuple(change)[:3] == (1, 2, None)
    assert tuple(decision)[:3] == (1, 2, "RETRACEMENT")
    assert '"qty": "0.123456789012345678901"' in decision[3]
    assert tuple(alert)[:3] == (None, None, None)


async def test_same_entries_written_again_change_nothing(journal: Journal) -> None:
    story = whole_story()
    for batch in (story[:4], story[2:7], story, story[::-1], [*story, *story]):
        await journal.append(trade(), batch)
    assert await read_back(journal, "trade-ETH") == story


async def test_different_entry_under_the_same_key_is_refused_with_both_named(journal: Journal) -> None:
    await journal.append(trade(), whole_story())
    other = UnitChange(seq=2, at_ms=NOW_MS + 1, from_unit=3, to_unit=4, price=Decimal(3458), cycle=1)
    new = AlertRecord(seq=12, at_ms=NOW_MS, text="new")
    with pytest.raises(JournalConflict, match=r"entry 2 of trade trade-ETH/1 .*to_unit=2.* not as .*to_unit=4"):
        await journal.append(trade(), [other, new])
    assert await read_back(journal, "trade-ETH") == whole_story(), "the batch of a conflict leaves nothing behind"


async def test_other_kind_or_time_under_the_same_key_is_a_conflict_too(journal: Journal) -> None:
    await journal.append(trade(), [AlertRecord(seq=1, at_ms=1, text="a")])
    for other in (AlertRecord(seq=1, at_ms=2, text="a"), OperatorRecord(seq=1, at_ms=1, command="a")):
        with pytest.raises(JournalConflict, match="entry 1"):
            await journal.append(trade(), [other])


async def test_two_different_entries_of_one_seq_in_one_batch_are_refused(journal: Journal) -> None:
    with pytest.raises(JournalConflict, match="text='b'"):
        await journal.append(trade(), [AlertRecord(seq=1, at_ms=1, text="a"), AlertRecord(seq=1, at_ms=1, text="b")])
    assert await journal.trades() == []


async def test_trade_with_other_terms_under_the_same_id_is_refused(journal: Journal) -> None:
    await journal.append(trade(), [])
    with pytest.raises(JournalConflict, match="trade trade-ETH/1 stands in the journal"):
        await journal.append(trade().model_copy(update={"terms": {"margin_usd": "200"}}), whole_story())
    assert await journal.history("trade-ETH") == []


async def test_history_of_a_workflow_is_all_its_trades_in_order(journal: Journal) -> None:
    # Written in the other order: what counts is when a trade was opened.
    await journal.append(trade(2), [AlertRecord(seq=seq, at_ms=0, text="second") for seq in (1, 2)])
    await journal.append(trade(1), [AlertRecord(seq=seq, at_ms=9, text="first") for seq in (1, 2, 3)])
    told = [(line.trade_id, line.entry.seq) for line in await journal.history("trade-ETH")]
    assert told == [("trade-ETH/1", 1), ("trade-ETH/1", 2), ("trade-ETH/1", 3), ("trade-ETH/2", 1), ("trade-ETH/2", 2)]
    assert [line.trade_id for line in await journal.history("trade-ETH/2")] == ["trade-ETH/2"] * 2
    assert [each.trade_id for each in await journal.trades()] == ["trade-ETH/1", "trade-ETH/2"]
    assert await journal.history("trade-SOL") == []


async def test_history_by_kind_since_a_seq_and_the_newest_few(journal: Journal) -> None:
    await journal.append(trade(), whole_story())

    async def seqs(**choice: object) -> list[int]:
        return [line.entry.seq for line in await journal.history("trade-ETH", **choice)]  # type: ignore[arg-type]

    assert await seqs(kinds=["intent", "fill"]) == [4, 6]
    assert await seqs(kinds=[]) == []
    assert await seqs(since_seq=9) == [10, 11]
    assert await seqs(limit=3) == [9, 10, 11]
    assert await seqs(since_seq=2, limit=2, kinds=["decision", "intent", "alert"]) == [4, 10]


async def test_orders_say_what_became_of_each_and_how_that_is_known(journal: Journal) -> None:
    story: list[Entry] = [
        intent(1, 1),
        intent(2, 2),
        fill(3, 1, Decimal("-0.1")),
        fill(4, 1, Decimal("-0.0449")),
        outcome(5, 1, total_size=Decimal("0.1449"), established_by="duplicate_nonce+order_status", asks=3),
        fill(6, None, Decimal("0.5")),
        outcome(7, 2, status="not_executed", average_price=None, fee_usd=0, established_by="noop_fence", asks=2),
        intent(8, 3),
    ]
    await journal.append(trade(), story)
    filled, fenced, in_flight = await journal.orders("trade-ETH")
    assert (filled.cloid, filled.status, filled.filled_size, filled.established_by, filled.asks) == (
        cloid(1),
        "filled",
        Decimal("0.1449"),
        "duplicate_nonce+order_status",
        3,
    )
    assert filled.established_at_ms == NOW_MS + 5
    assert [each.size for each in filled.fills] == [Decimal("-0.1"), Decimal("-0.0449")]
    assert (fenced.status, fenced.established_by, fenced.asks) == ("not_executed", "noop_fence", 2)
    assert (fenced.filled_size, fenced.fills) == (Decimal(0), ())
    assert (in_flight.cloid, in_flight.status, in_flight.asks, in_flight.seq) == (cloid(3), None, None, 8)


async def test_a_stop_is_told_with_its_trigger_and_an_order_without_one_as_before(journal: Journal) -> None:
    stop = intent(1, 1).model_copy(update={"trigger_price": Decimal(3350)})
    resting = outcome(2, 1, status="resting", average_price=None, total_size=0, fee_usd=0)
    assert "trigger_price" not in intent(1, 1).model_dump_json()
    await journal.append(trade(), [stop, resting])
    [row] = await journal.orders("trade-ETH")
    assert (row.trigger_price, row.status, row.filled_size) == (Decimal(3350), "resting", Decimal(0))


async def test_same_order_id_in_two_trades_stays_apart(journal: Journal) -> None:
    await journal.append(trade(1), [intent(1, 1), outcome(2, 1)])
    await journal.append(trade(2), [intent(1, 1)])
    assert [(row.trade_id, row.status) for row in await journal.orders("trade-ETH")] == [
        ("trade-ETH/1", "filled"),
        ("trade-ETH/2", None),
    ]


async def test_large_batch_is_written_at_once(journal: Journal) -> None:
    batch = [AlertRecord(seq=seq, at_ms=seq, text=f"entry {seq}") for seq in range(5000)]
    await journal.append(trade(), batch)
    await journal.append(trade(), batch)
    assert await read_back(journal, "trade-ETH") == batch


async def test_writers_at_the_same_moment_write_each_entry_once(journal: Journal, url: str) -> None:
    other = Journal(url)
    await other.open()
    batches = [
        [AlertRecord(seq=seq, at_ms=0, text="x") for seq in range(start, start + 20)] for start in range(0, 80, 5)
    ]
    await asyncio.gather(
        *(journal.append(trade(), batch) for batch in batches),
        *(other.append(trade(), batch[::-1]) for batch in batches),
        *(other.append(trade(2), batch) for batch in batches),
    )
    for trade_id in ("trade-ETH/1", "trade-ETH/2"):
        assert [entry.seq for entry in await read_back(other, trade_id)] == list(range(95))
    await other.close()


async def test_of_two_writers_who_disagree_one_is_refused(journal: Journal, url: str) -> None:
    other = Journal(url)
    await other.open()
    results = await asyncio.gather(
        journal.append(trade(), [AlertRecord(seq=1, at_ms=0, text="a")]),
        other.append(trade(), [AlertRecord(seq=1, at_ms=0, text="b")]),
        return_exceptions=True,
    )
    assert {type(result) for result in results} == {type(None), JournalConflict}
    assert len(await journal.history("trade-ETH")) == 1
    await other.close()


async def test_what_stands_can_not_be_changed_or_removed_by_sql(journal: Journal, url: str) -> None:
    await journal.append(trade(), whole_story())
    engine = create_engine(parse_url(url))
    for statement in ("UPDATE entries SET at_ms = 0", "DELETE FROM entries", "DELETE FROM trades"):
        with pytest.raises(Exception, match="append-only"):
            async with engine.begin() as connection:
                await connection.execute(text(statement))
    await engine.dispose()
    assert await read_back(journal, "trade-ETH") == whole_story()


async def test_entry_of_a_kind_unknown_here_is_an_error_that_names_it(journal: Journal, url: str) -> None:
    await journal.append(trade(), [])
    engine = create_engine(parse_url(url))
    async with engine.begin() as connection:
        row = "INSERT INTO entries (trade_id, seq, kind, at_ms, data) VALUES ('trade-ETH/1', 1, 'later', 0, '{}')"
        await connection.execute(text(row))
    await engine.dispose()
    with pytest.raises(JournalError, match="entry 1 of trade trade-ETH/1 can't be read as later"):
        await journal.history("trade-ETH")


def test_sides_of_the_exchange_port_are_taken_as_they_are() -> None:
    fields = intent(1, 1).model_dump() | {"side": Side.BUY}
    assert IntentRecord.model_validate(fields).side == "buy"


async def test_journal_that_is_not_open_says_so(url: str) -> None:
    journal = Journal(url)
    with pytest.raises(JournalError, match="not open"):
        await journal.trades()
    await journal.open()
    await journal.open()
    await journal.close()
    with pytest.raises(JournalError, match="not open"):
        await journal.append(trade(), [])
    await journal.close()


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("mysql://host/db", "begins with 'mysql': sqlite or postgresql"),
        ("sqlite://", "SQLite needs a file"),
        ("sqlite:///:memory:", "SQLite needs a file"),
        ("no url secret", "can't be read"),
    ],
)
def test_url_that_can_not_hold_a_journal_is_refused(url: str, problem: str) -> None:
    with pytest.raises(JournalError, match=problem) as refusal:
        Journal(url)
    assert "secret" not in str(refusal.value)


async def test_unreachable_database_is_unavailable_and_its_password_stays_secret(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for url in ("postgresql://me:hush@127.0.0.1:1/journal", f"sqlite:///{tmp_path / 'file' / 'journal.db'}"):
        with pytest.raises(JournalUnavailable, match="is not available") as failure:
            await Journal(url).open()
        assert "hush" not in str(failure.value)
