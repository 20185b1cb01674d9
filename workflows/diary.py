"""A workflow's entries on their way to the journal: numbered in its state, written by an activity."""

from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

from temporalio import workflow
from temporalio.common import RetryPolicy
from temporalio.exceptions import ActivityError

with workflow.unsafe.imports_passed_through():
    from activities.messages import JournalBatch
    from journal.entries import ENTRY, BaseEntry, Entry, Standing, TradeRef

BATCH_SIZE_MAX = 200


class Journaled(Protocol):
    """The part of a workflow's state that is its diary's."""

    trade: TradeRef | None
    outbox: list[Entry]
    next_seq: int
    notes: list[str]


class Standings(Protocol):
    """How a workflow stands, where that is kept beside its entries."""

    def mark(self) -> object | None:
        """Equal as long as nothing of weight has changed; None while there is nothing to keep."""

    def standing(self) -> Standing | None: ...


class Diary:
    def __init__(self, record: Journaled, standings: Standings | None = None) -> None:
        self._record = record
        self._standings = standings
        self.held = False
        self._alone_up_to = 0
        """Entries up to this seq are written one by one: one that is refused must not take others with it."""
        self._keeps = False
        """False in a run that a release began which did not keep how a trade stands, but for beside its entries."""
        self._kept: object | None = None
        """As the journal has it, as far as this run knows."""

    def add(self, kind: type[BaseEntry], **fields: Any) -> None:
        """Number an entry and put it in the outbox; it is part of the workflow's state until it is written."""
        entry: Entry = ENTRY.validate_python(kind(seq=self._record.next_seq, at_ms=now_ms(), **fields))
        self._record.next_seq += 1
        self._record.outbox.append(entry)

    async def write_forever(self) -> None:
        """Trading does not wait for the journal; the journal misses nothing of the trade.

        Nothing is written while an order is on its way: the server's time is the order's then.
        """
        self._keeps = self._standings is not None and workflow.patched("how a trade stands is kept")
        while True:
            await workflow.wait_condition(lambda: self._has_news() and not self.held)
            await self._write_some()

    async def written(self) -> None:
        """Wait until the journal has everything."""
        await workflow.wait_condition(self.has_everything)

    def has_everything(self) -> bool:
        return not self._has_news()

    def _has_news(self) -> bool:
        return bool(self._record.outbox) or (self._keeps and self._stands_otherwise())

    def _stands_otherwise(self) -> bool:
        """Also where there is nothing to tell: a new grid, what others traded taken over."""
        mark = self._mark()
        return mark is not None and self._kept != mark

    def _mark(self) -> object | None:
        return self._standings.mark() if self._standings is not None else None

    def _standing(self) -> Standing | None:
        return self._standings.standing() if self._standings is not None else None

    async def _write_some(self) -> None:
        record = self._record
        count = 1 if record.outbox and record.outbox[0].seq <= self._alone_up_to else BATCH_SIZE_MAX
        entries = tuple(record.outbox[:count])
        assert record.trade is not None, "nothing is recorded before the opening begins"
        # One that is whole: with entries left to be written it would tell of what the journal does not.
        standing = self._standing() if len(entries) == len(record.outbox) else None
        stands = self._mark()
        what = f"journal {entries[0].seq}-{entries[-1].seq}" if entries else "how it stands"
        try:
            await workflow.execute_activity(
                "record",
                JournalBatch(trade=record.trade, entries=entries, standing=standing),
                start_to_close_timeout=timedelta(seconds=5),
                retry_policy=RetryPolicy(maximum_interval=timedelta(seconds=30)),
                summary=what,
            )
        except ActivityError as error:
            # Only a conflict gets here: the journal holds something else under these numbers.
            if len(entries) > 1 and workflow.patched("refused entries go alone"):
                self._alone_up_to = entries[-1].seq
                return
            told = f"entries {entries[0].seq}-{entries[-1].seq}" if entries else what
            record.notes.append(f"journal refused {told}: {error.cause}")
            # What went with an entry that is refused is tried once more without it.
            standing = None if entries else standing
        if standing is not None:
            self._kept = stands
        written = {entry.seq for entry in entries}
        record.outbox[:] = [entry for entry in record.outbox if entry.seq not in written]


def moment(at_ms: int) -> str:
    """For people."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def now_ms() -> int:
    return int(workflow.now().timestamp() * 1000)
