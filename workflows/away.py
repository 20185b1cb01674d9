"""While I was away: what an outage meant for the trade, told once it is dealt with."""

import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from activities.messages import NoticeKind
    from journal.entries import AwayRecord
    from workflows.contracts import Away, AwayReport, LastOrder, Mode, TradeRecord
    from workflows.diary import Diary, now_ms
    from workflows.messenger import Messenger

CAUGHT_UP_AFTER = timedelta(seconds=5)
"""From hearing of an outage: by then the feed has told what completed meanwhile."""
WAITS_FOR_CALM = timedelta(minutes=1)
REPORTS_KEPT = 10


class Homecoming:
    """Writes the reports, one after the other; the loop of the trade does the looking."""

    def __init__(self, record: TradeRecord, diary: Diary, messenger: Messenger, show: Callable[[], None]) -> None:
        self._record = record
        self._diary = diary
        self._messenger = messenger
        self._show = show

    async def report_forever(self) -> None:
        record = self._record
        while True:
            await workflow.wait_condition(lambda: bool(record.away) and record.away[0].looked)
            waits_ms = record.away[0].heard_ms + CAUGHT_UP_AFTER / timedelta(milliseconds=1) - now_ms()
            if waits_ms > 0:
                await workflow.sleep(waits_ms / 1000)
            # An order that finds nobody may not come to an end for long: then what is known so far is told.
            with contextlib.suppress(TimeoutError):
                await workflow.wait_condition(self._is_calm, timeout=WAITS_FOR_CALM)
            self._report(record.away.pop(0))
            self._show()

    def _is_calm(self) -> bool:
        """What came of the outage is dealt with, or waits for a person."""
        record = self._record
        return not record.look_due and (record.mode is not Mode.TRADING or not (record.inbox or record.pending))

    def _report(self, away: Away) -> None:
        record, outage = self._record, away.outage
        report = AwayReport(
            who=outage.who,
            from_ms=outage.from_ms,
            to_ms=outage.to_ms,
            low=away.missed.low if away.missed else None,
            high=away.missed.high if away.missed else None,
            units=tuple(each.unit for each in record.units_reached if each.time_ms >= outage.from_ms),
            orders=tuple(_words(order) for order in record.last_orders if _was_on_its_way(order, away)),
            difference=record.attention if record.difference is not None else None,
        )
        record.away_reports = [*record.away_reports, report][-REPORTS_KEPT:]
        self._diary.add(AwayRecord, **report.model_dump())
        self._messenger.tell(report_words(report), NoticeKind.OUTAGE)


def _was_on_its_way(order: LastOrder, away: Away) -> bool:
    """Sent before the outage was over, and its outcome known only after it began."""
    return order.sent_ms <= away.outage.to_ms and order.time_ms >= away.outage.from_ms


def _words(order: LastOrder) -> str:
    return f"{order.purpose}: {order.status}, known by {order.established_by} after {order.asks} asks"


def report_words(report: AwayReport) -> str:
    """One line for people."""
    seconds = (report.to_ms - report.from_ms) / 1000
    since = datetime.fromtimestamp(report.from_ms / 1000, UTC)
    parts = [f"{report.who} away for {seconds:.0f} s from {since:%Y-%m-%d %H:%M:%S} UTC"]
    if report.low is not None and report.high is not None:
        parts.append(f"price {report.low:f} to {report.high:f}")
    parts.append(f"units {', '.join(map(str, report.units))}" if report.units else "no unit completed")
    parts += report.orders
    parts.append(report.difference or "exchange and ledger agree")
    return "; ".join(parts)
