"""The activity that keeps a feed process following a trade's price, for as long as the trade's workflow runs.

It has no state worth keeping: each start asks the workflow where it stands. What Temporal gets as heartbeat details is
for people only.
"""

import asyncio
import logging

from temporalio import activity
from temporalio.activity import ActivityCancellationDetails
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.messages import TrackRequest
from feed.following import CHECK_INTERVAL_S, Following, WorkflowGone
from feed.stream import PriceStream
from feed.subscription import FeedError
from feed.tasks import end, until_one_ends

HEARTBEAT_INTERVAL_S = 1.0
LAST_WORDS_S = 3.0
"""What completed before a shutdown may take so long to reach its workflow."""

_log = logging.getLogger(__name__)


class FeedActivities:
    def __init__(self, client: Client, stream: PriceStream, *, check_interval_s: float = CHECK_INTERVAL_S) -> None:
        self._client = client
        self._stream = stream
        self._check_interval_s = check_interval_s
        self._following: dict[str, asyncio.Task[None]] = {}

    @activity.defn
    async def track_units(self, request: TrackRequest) -> None:
        """Signal `units_moved` to the workflow whenever the price completes units. Returns when the workflow is gone;
        fails, to be taken over by another process, when this one stops."""
        following = Following(self._client, self._stream, request, check_interval_s=self._check_interval_s)
        work = asyncio.create_task(until_one_ends(following.run(), _heartbeat(following)))
        stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
        try:
            await self._supersede(request.workflow_id, work)
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await _hand_over(following)
            if not work.cancelled():
                work.result()
        except WorkflowGone as gone:
            _log.info("No longer following: %s", gone, extra={"coin": request.coin, "workflow_id": request.workflow_id})
        except FeedError as error:
            raise ApplicationError(str(error), type=type(error).__name__) from error
        except asyncio.CancelledError:
            if _is_for_another_attempt(activity.cancellation_details()):
                raise _again("this attempt was ended; another follows", "FeedInterrupted") from None
            raise
        finally:
            await end(work, stopping)
            if self._following.get(request.workflow_id) is work:
                del self._following[request.workflow_id]

    async def _supersede(self, workflow_id: str, work: asyncio.Task[None]) -> None:
        """A workflow that starts following anew has cancelled the former; that is told with the next heartbeat only,
        and until then the two would talk at once."""
        former = self._following.get(workflow_id)
        self._following[workflow_id] = work
        if former is not None:
            await end(former)


def _is_for_another_attempt(why: ActivityCancellationDetails | None) -> bool:
    """Whether somebody is to follow the price after this cancellation: only the workflow's own is the end of it. When
    the attempt is over for Temporal already, what it ends with is not recorded anywhere."""
    return why is not None and not why.cancel_requested


async def _heartbeat(following: Following) -> None:
    while True:
        activity.heartbeat({"line": following.line, "tid": following.last_tid})
        await asyncio.sleep(HEARTBEAT_INTERVAL_S)


async def _hand_over(following: Following) -> None:
    """What completed so far still goes out; the rest the next process catches up with."""
    try:
        async with asyncio.timeout(LAST_WORDS_S):
            await following.all_delivered()
    except TimeoutError:
        _log.warning("Stopping before all units were delivered; the next process catches up")
    raise _again("this feed process is stopping; another takes over", "FeedStopping")


def _again(text: str, kind: str) -> ApplicationError:
    """Nothing is wrong: Temporal is only to start the activity anew."""
    return ApplicationError(text, type=kind, category=ApplicationErrorCategory.BENIGN)
