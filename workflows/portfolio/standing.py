"""How a portfolio stands: what of its record is kept beside its journal, and the record it goes on with from there.

As `workflows.standing` does it for trades. What it promised is money: before a step of a purchase is taken and before a
grant is told the journal has it, so what goes on from there takes the same step and gives the same answer.
"""

from collections.abc import Iterable
from typing import Any

from journal.entries import OperatorRecord, Standing, TradeRef
from strategy.values import ONE
from workflows.diary import now_ms
from workflows.portfolio.record import PortfolioRecord, ToReview

NOT_KEPT = frozenset({"trade", "outbox", "notices", "notes", "asks"})
"""The journal has it already, it tells people of what is past, or it is told again."""
SEEN_AGAIN = frozenset({"curve", "exposure", "looked_ms"})
"""Kept, but no reason to write: they change with every look. Of the curve it is the high that counts."""
TRADES_COME_WITHIN_MS = 30_000
"""Trades that go on with their portfolio are started after it: one that is not there by then is gone."""


class PortfolioStandings:
    """A portfolio's, as its diary keeps them."""

    def __init__(self, record: PortfolioRecord) -> None:
        self._record = record

    def mark(self) -> dict[str, object]:
        record = self._record
        fields = {name: _as_now(value) for name, value in record if name not in NOT_KEPT | SEEN_AGAIN}
        return {**fields, "curve": (record.curve.units, record.curve.high_usd)}

    def standing(self) -> Standing:
        return standing_of(self._record, now_ms())


def _as_now(value: object) -> object:
    """Lists and tables are changed where they are; what is in them never is."""
    return value.copy() if isinstance(value, list | dict) else value


def standing_of(record: PortfolioRecord, at_ms: int) -> Standing:
    """Of what was bought, the journal has from which cycles: that alone grows without end."""
    left_out: dict[str, Any] = {**dict.fromkeys(NOT_KEPT, True), "saved": {"__all__": {"of": True}}}
    return Standing(seq=record.next_seq - 1, at_ms=at_ms, record=record.model_dump(mode="json", exclude=left_out))


def record_of(portfolio: TradeRef, standing: Standing) -> PortfolioRecord:
    """Raises pydantic's ValidationError for what no release up to this one wrote."""
    return PortfolioRecord.model_validate({**standing.record, "trade": portfolio})


def taken_up(record: PortfolioRecord, as_of_ms: int, at_ms: int, next_seq: int, gone: Iterable[str]) -> PortfolioRecord:
    """What a portfolio goes on with that stood so at `as_of_ms`. Of the trades it gave margin `gone` are over, or can't
    be rebuilt: what they had is free. From `next_seq` on no number was used."""
    record = record.model_copy(deep=True)
    recovered = OperatorRecord(
        seq=next_seq,
        at_ms=at_ms,
        command="recover",
        arguments={"as_of_ms": as_of_ms},
        result="rebuilt from the journal",
    )
    record.outbox, record.next_seq = [recovered], next_seq + 1
    record.gone = [*record.gone, *(trade for trade in gone if trade not in record.gone)]
    # Whoever was told to ask anew, and did not yet, may have forgotten it: to be told twice does no harm.
    waiting = {each.trade for each in record.to_review}
    record.to_review = [
        *(_told_again(record, each) for each in record.reviewed if each not in waiting),
        *record.to_review,
    ]
    # The first look is told at once.
    record.looked_ms = 0
    record.trades_come_until_ms = at_ms + TRADES_COME_WITHIN_MS
    return record


def _told_again(record: PortfolioRecord, trade: str) -> ToReview:
    """Before those that grow: they wait for it."""
    return ToReview(trade=trade, now=False, grows=False, part=record.parts.get(trade, ONE))
