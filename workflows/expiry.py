"""The end of a plan: at its moment the trade closes, or waits no longer for its entry."""

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
        expires_ms = record.input.expires_ms
        if expires_ms is not None and expires_ms <= now_ms():
            close(f"the plan expired on {moment(expires_ms)}")
            return
        await _until_it_is_another(record, expires_ms)


async def _until_it_is_another(record: TradeRecord, expires_ms: int | None) -> None:
    """Or until its moment, or the trade closes for another reason."""
    timeout = None if expires_ms is None else timedelta(milliseconds=expires_ms - now_ms())
    with contextlib.suppress(TimeoutError):
        await workflow.wait_condition(
            lambda: record.close_reason is not None or record.input.expires_ms != expires_ms, timeout=timeout
        )
