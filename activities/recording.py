"""Writing the journal, as a workflow may."""

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.failures import refused
from activities.messages import JournalBatch
from journal.errors import JournalConflict, JournalUnavailable
from journal.store import Journal


class RecordingActivities:
    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    @activity.defn
    async def record(self, batch: JournalBatch) -> None:
        """Append entries; those already there are left as they are. How the trade stands is kept beside them."""
        try:
            await self._journal.append(batch.trade, batch.entries, batch.standing)
        except JournalConflict as error:
            raise refused(str(error)) from error
        except JournalUnavailable as error:
            raise ApplicationError(str(error), type="JournalUnavailable") from error
