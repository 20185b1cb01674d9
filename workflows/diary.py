"""A workflow's entries on their way to the journal: numbered in its state, written by an activity."""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.messages import JournalBatch
    from journal.entries import ENTRY, BaseEntry, Entry, TradeRef

BATCH_SIZE_MAX = 200


class Journaled(Protocol):
    """The part of a workflow's state that is its diary's."""

    trade: TradeRef | None
    outbox: list[Entry]
    next_seq: int
    notes: list[str]


class Diary:
    def __init__(self, record: Journaled) -> None:
        self._record = record
        self.held = False
        self._alone_up_to = 0
        """Entries up to this seq are written one by one: one that is refused must not take others with it."""

    def add(self, kind: type[BaseEntry], **fields: Any) -> None:
        """Number an entry and put it in the outbox; it is part of the workflow's state until it is written."""
        entry: Entry = ENTRY.validate_python(kind(seq=self._record.next_seq, at_ms=now_ms(), **fields))
        self._record.next_seq += 1
        self._record.outbox.append(entry)

    async def write_forever(self) -> None:
        """Trading does not wait for the journal; the journal misses nothing of the trade.

        Nothing is written while an order is on its way: the server's time is the order's then.
        """
        while True:
            await workflow.wait_condition(lambda: bool(self._record.outbox) and not self.held)
            await self._write_some()

    async def written(self) -> None:
        """Wait until the journal has everything."""
        await workflow.wait_condition(lambda: not self._record.outbox)

    async def _write_some(self) -> None:
        record = self._record
        entries = tuple(record.outbox[: 1 if record.outbox[0].seq <= self._alone_up_to else BATCH_SIZE_MAX])
        assert record.trade is not None, "nothing is recorded before the opening begins"
        batch = JournalBatch(trade=record.trade, entries=entries)
        try:
            await workflow.execute_activity(
                "record",
                batch,
                start_to_close_timeout=timedelta(seconds=5),
                retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
                summary=f"journal {entries[0].seq}-{entries[-1].seq}",
            )
        except ActivityError as error:
            # Only a conflict gets here: the journal holds something else under these numbers.
            if len(entries) > 1 and workflow.patched("refused entries go alone"):
                self._alone_up_to = entries[-1].seq
                return
            record.notes.append(f"journal refused entries {entries[0].seq}-{entries[-1].seq}: {error.cause}")
        written = {entry.seq for entry in entries}
        record.outbox[:] = [entry for entry in record.outbox if entry.seq not in written]


def moment(at_ms: int) -> str:
    """For people."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def now_ms() -> int:
    return int(workflow.now().timestamp() * 1000)
