"""How a trade stands: what of its record is kept beside its journal, and the record it goes on with from there.

What is kept is all that another run of the trade would begin with, so nothing has to be worked out anew. It is written
with the entries, in one transaction; what the trade did after the last of them, the exchange alone remembers.
"""

from collections.abc import Sequence

from pydantic import JsonValue

from activities.messages import Outage
from exchange.port import Fill
from journal.entries import Entry, FillRecord, OperatorRecord, Standing, TradeRef
from strategy.fold import booked, corrected
from strategy.state import TradeState
from strategy.values import Execution, plain
from workflows.contracts import Away, Mode, TradeRecord
from workflows.diary import now_ms

NOT_KEPT = frozenset(
    {"trade", "outbox", "notices", "notes", "away_reports", "units_reached", "last_orders", "traceparent"}
)
"""The journal has it already, or it tells people of what is past. All else is the trade."""
PRICES_KEPT = 1_000
ORDERS_IN = (Mode.TRADING, Mode.PAUSED, Mode.ATTENTION)


class TradeStandings:
    """A trade's, as its diary keeps them."""

    def __init__(self, record: TradeRecord) -> None:
        self._record = record

    def mark(self) -> tuple[Mode, TradeState] | None:
        state = self._record.state
        return None if state is None else (self._record.mode, state)

    def standing(self) -> Standing | None:
        return standing_of(self._record, now_ms())


def standing_of(record: TradeRecord, at_ms: int) -> Standing | None:
    """None of a trade that is not open yet: nobody else takes up an opening."""
    if record.state is None:
        return None
    kept = record.model_dump(mode="json", exclude=set(NOT_KEPT)) | _waiting(record)
    return Standing(seq=record.next_seq - 1, at_ms=at_ms, record=kept)


def _waiting(record: TradeRecord) -> dict[str, JsonValue]:
    """Of very many prices none: a journal has to stay small, and the feed tells them once more, from candles."""
    taken = record.pending.taken if record.pending is not None else 0
    waiting = record.inbox[taken:]
    if len(waiting) <= PRICES_KEPT:
        return {}
    front: list[JsonValue] = [tick.model_dump(mode="json") for tick in record.inbox[:taken]]
    return {"inbox": front, "since_ms": waiting[0].time_ms - 1, "last_tid": 0}


def record_of(trade: TradeRef, standing: Standing) -> TradeRecord:
    """Of the open trade as it stood. Raises pydantic's ValidationError for what no release up to this one wrote."""
    return TradeRecord.model_validate({**standing.record, "trade": trade})


def taken_up(
    record: TradeRecord, lost: Outage, next_seq: int, *, missed: Sequence[Fill] = (), resting: Sequence[str] = ()
) -> TradeRecord:
    """What a trade goes on with that stood so at `lost.from_ms`: it asks the exchange before it orders anything.

    `missed` are fills of its own orders that the journal knows nothing of: a person looks, for of the prices behind
    them there are only candles. `resting`: cloids of its orders on the exchange. From `next_seq` on no number was used.
    """
    record = record.model_copy(deep=True)
    result = "rebuilt from the journal"
    told: list[Entry] = [
        OperatorRecord(
            seq=next_seq, at_ms=lost.to_ms, command="recover", arguments={"as_of_ms": lost.from_ms}, result=result
        )
    ]
    record.away.append(Away(outage=lost, heard_ms=lost.to_ms))
    record.look_due = result
    # Others on the coin may have come since: they are asked for once more, and hear of this one.
    record.neighbours_found = False
    # A backstop that nobody remembers is taken off at the first look.
    record.stop_cloids += [cloid for cloid in resting if cloid not in record.stop_cloids]
    if missed and record.mode in ORDERS_IN:
        told += [_as_entry(fill, next_seq + number, lost.to_ms) for number, fill in enumerate(missed, start=1)]
        _take_over(record, missed)
    record.outbox, record.next_seq = told, told[-1].seq + 1
    # What the portfolio heard last, it may have forgotten; it books the same but once.
    record.end_told = False
    if record.open_ask is not None:
        record.open_ask = record.open_ask.model_copy(update={"told": False})
    return record


def _take_over(record: TradeRecord, missed: Sequence[Fill]) -> None:
    fills = ", ".join(f"{plain(fill.size):+f} at {plain(fill.price):f}" for fill in missed)
    text = (
        f"orders of this trade that its journal does not know were filled ({fills}): see that all is well, and resume"
    )
    record.attention = f"{record.attention}; {text}" if record.attention else text
    record.mode = Mode.ATTENTION
    # An order whose end is not known is booked onto the ledger it was decided with: the next look tells the rest.
    if record.pending is None and record.state is not None:
        for fill in missed:
            record.state = _booked(record.state, fill)


def _booked(state: TradeState, fill: Fill) -> TradeState:
    """As the order that was due, if it can have been that one; the prices that led to any other are folded later."""
    execution = Execution(size=fill.size, average_price=fill.price, fee_usd=fill.fee_usd)
    due = state.net_due
    was_due = fill.size * due > 0 and abs(fill.size) <= abs(due)
    return booked(state, execution) if was_due else corrected(state, execution)


def _as_entry(fill: Fill, seq: int, at_ms: int) -> FillRecord:
    fields = fill.model_dump(include={"cloid", "oid", "tid", "price", "size", "fee_usd", "time_ms"})
    return FillRecord(seq=seq, at_ms=at_ms, **fields)
