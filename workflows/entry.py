"""Before the position: a trade may wait for a moment, a price or a rise. Nothing is held, and nothing is ordered."""

import contextlib
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow

with workflow.unsafe.imports_passed_through():
    from plans.entry import watch_from
    from plans.plan import EntryRule, When
    from workflows.contracts import Mode, TradeRecord
    from workflows.desk import current_price
    from workflows.diary import now_ms


def has_to_wait(rule: EntryRule) -> bool:
    return rule.when is not When.NOW or rule.not_before is not None


class Entry:
    """The loop of the trade calls `advance` while the mode is WAITING."""

    def __init__(self, record: TradeRecord, *, follow: Callable[[], None], can_renew: Callable[[], bool]) -> None:
        """`follow` has the feed tell prices from here on."""
        self._record = record
        self._follow = follow
        self._can_renew = can_renew
        self._followed = False

    async def advance(self) -> None:
        """One step. Then the mode may be OPENING, for the entry has come, or CLOSED, for it was told to close."""
        record = self._record
        if record.close_reason is not None:
            record.mode = Mode.CLOSED
        elif (waits_ms := self._waits_ms()) > 0:
            await self._until_something(waits_ms)
        elif record.input.entry.when is When.NOW:
            self._enter()
        elif record.watch is None:
            await self._begin()
        elif record.watch.has_come(record.input.entry):
            self._enter()
        elif record.inbox:
            self._fold()
        elif not self._followed:
            self._followed = True
            self._follow()
        else:
            await self._until_something(None)

    async def _until_something(self, within_ms: int | None) -> None:
        """A price, a word of the operator, or so much time."""
        record = self._record
        timeout = None if within_ms is None else timedelta(milliseconds=within_ms)
        with contextlib.suppress(TimeoutError):
            await workflow.wait_condition(
                lambda: (
                    record.close_reason is not None
                    or record.new_input is not None
                    or (within_ms is None and bool(record.inbox))
                    or self._can_renew()
                ),
                timeout=timeout,
            )

    def _waits_ms(self) -> int:
        not_before = self._record.input.entry.not_before
        return 0 if not_before is None else int(not_before.timestamp() * 1000) - now_ms()

    async def _begin(self) -> None:
        record, asked = self._record, self._record.input
        asked_ms = now_ms()
        price = await current_price(asked.network, asked.coin)
        record.watch = watch_from(asked.entry, price, asked.unit_size)
        record.since_ms, record.last_price = asked_ms, price
        # What was told before is of a time that is not looked at; what came since the question is not lost.
        record.inbox[:] = [tick for tick in record.inbox if tick.time_ms >= asked_ms]
        self._followed = False

    def _fold(self) -> None:
        """Up to the price at which the entry has come."""
        record = self._record
        for tick in record.inbox:
            assert record.watch is not None
            record.watch, record.last_price = record.watch.moved(tick.price), tick.price
            if record.watch.has_come(record.input.entry):
                break
        record.inbox.clear()

    def _enter(self) -> None:
        record = self._record
        record.mode, record.watch = Mode.OPENING, None
        record.inbox.clear()
