"""The activity that keeps a feed process following a trade's price, for as long as the trade's workflow runs.

Each start asks the workflow where it stands. Heartbeat details reach Temporal late or not at all, so they are no
position: they say since when nobody followed, and up to where nothing is missing.
"""

import asyncio
import logging
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError
from temporalio import activity
from temporalio.activity import ActivityCancellationDetails
from temporalio.client import Client
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.messages import TrackRequest
from feed.courier import TURNS
from feed.following import CHECK_INTERVAL_S, Following, WorkflowGone
from feed.stream import PriceStream
from feed.subscription import FeedError
from feed.tasks import end, until_one_ends
from feed.witness import Owed, Witness, now_ms

BEATS_A_SECOND = 40
"""Of all trades that one process follows: each beat is a write to Temporal's database."""
HEARTBEAT_S, HEARTBEAT_S_MAX = 1.0, 5.0
CHECKS_A_SECOND = 2
"""Questions to all workflows together whether they still count as we do."""
BEATS_WITHIN = 0.4
"""Of the activity's heartbeat timeout; a run that an older release began has a shorter one."""
LAST_WORDS_S = 3.0
"""What completed before a shutdown may take so long to reach its workflow."""

_log = logging.getLogger(__name__)


class FeedActivities:
    def __init__(
        self, client: Client, stream: PriceStream, witness: Witness, *, check_interval_s: float = CHECK_INTERVAL_S
    ) -> None:
        self._client = client
        self._stream = stream
        self._witness = witness
        self._check_interval_s = check_interval_s
        self._following: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(TURNS)

    @activity.defn
    async def track_units(self, request: TrackRequest) -> None:
        """Signal `units_moved` to the workflow whenever the price completes units. Returns when the workflow is gone;
        fails, to be taken over by another process, when this one stops."""
        previous = _previous_attempt(activity.info().heartbeat_details)
        owed = self._witness.follows(request.workflow_id, previous.at_ms if previous else None)
        following = Following(
            self._client,
            self._stream,
            request,
            owed=owed,
            seen_ms=previous.seen_ms if previous else 0,
            check_interval_s=lambda: max(self._check_interval_s, len(self._following) / CHECKS_A_SECOND),
            turns=self._turns,
        )
        work = asyncio.create_task(until_one_ends(following.run(), self._beat(following, owed)))
        stopping = asyncio.create_task(activity.wait_for_worker_shutdown())
        try:
            await self._supersede(request.workflow_id, work)
            await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                await _hand_over(following)
            if not work.cancelled():
                work.result()
        except WorkflowGone as gone:
            self._witness.forget(request.workflow_id)
            _log.info("No longer following: %s", gone, extra={"coin": request.coin, "workflow_id": request.workflow_id})
        except FeedError as error:
            raise ApplicationError(str(error), type=type(error).__name__) from error
        except asyncio.CancelledError:
            if _is_for_another_attempt(activity.cancellation_details()):
                raise _again("this attempt was ended; another follows", "FeedInterrupted") from None
            self._witness.forget(request.workflow_id)
            raise
        finally:
            await end(work, stopping)
            if self._following.get(request.workflow_id) is work:
                del self._following[request.workflow_id]

    async def _beat(self, following: Following, owed: Owed) -> None:
        timeout = activity.info().heartbeat_timeout
        longest_s = min(HEARTBEAT_S_MAX, BEATS_WITHIN * timeout.total_seconds() if timeout else HEARTBEAT_S_MAX)
        while True:
            owed.followed_ms = now_ms()
            sign = SignOfLife(
                at_ms=owed.followed_ms, seen_ms=following.seen_ms, line=following.line, tid=following.last_tid
            )
            activity.heartbeat(sign)
            await asyncio.sleep(min(max(HEARTBEAT_S, len(self._following) / BEATS_A_SECOND), longest_s))

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


class SignOfLife(BaseModel):
    """Heartbeat details: when it was, by our clock; `line` and `tid` are for people."""

    at_ms: int
    seen_ms: int
    line: int | None
    tid: int | None


def _previous_attempt(details: Sequence[object]) -> SignOfLife | None:
    """The last that Temporal heard of it; None if this is the first."""
    try:
        return SignOfLife.model_validate(details[0]) if details else None
    except ValidationError as error:
        _log.warning("Heartbeat details of another version are not used: %s", error)
        return None


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
