"""The end of a plan, or the date to leave at: then the trade closes, or waits no longer for its entry."""

import contextlib
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from workflows.contracts import TradeRecord
    from workflows.diary import moment, now_ms


async def close_at_expiry(record: TradeRecord, close: Callable[[str], None]) -> None:
    """A durable timer: the moment may be moved while it runs. `close` is called once, with the reason."""
    while record.close_reason is None:
        end = _end_of(record)
        if end is not None and end[0] <= now_ms():
            close(end[1])
            return
        await _until_it_is_another(record, end)


def _end_of(record: TradeRecord) -> tuple[int, str] | None:
    """When it closes, and the reason."""
    expires_ms, leaves_ms = record.input.expires_ms, record.leave.until_ms if record.leave is not None else None
    ends = [] if expires_ms is None else [(expires_ms, f"the plan expired on {moment(expires_ms)}")]
    if leaves_ms is not None:
        ends.append((leaves_ms, f"left on {moment(leaves_ms)}"))
    return min(ends, default=None)


async def _until_it_is_another(record: TradeRecord, end: tuple[int, str] | None) -> None:
    """Or until its moment, or the trade closes for another reason."""
    timeout = None if end is None else timedelta(milliseconds=end[0] - now_ms())
    with contextlib.suppress(TimeoutError):
        await workflow.wait_condition(
            lambda: record.close_reason is not None or _end_of(record) != end, timeout=timeout
        )
